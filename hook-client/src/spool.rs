//! One line for each hook that was let through without a daemon, so that the daemon can count it later (DESIGN 6.5).

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::time::{SystemTime, UNIX_EPOCH};

use bursar_protocol::hook_input::HookInput;
use bursar_protocol::paths;

use crate::args::Args;
use crate::ask::Away;

/// The spool's greatest size in bytes; what comes then is not noted.
const MAX_BYTES: u64 = 1024 * 1024;

/// Appends a line. Nothing that goes wrong here is worth more than the agent's going on.
pub(crate) fn note(args: &Args, input: Option<&HookInput<'_>>, why: Away) {
    let Some(state) = args.state() else { return };
    let folder = paths::spool(&state);
    // Without a state folder nothing was ever installed here.
    if !state.is_dir() {
        return;
    }
    let _ = DirBuilder::new().mode(0o700).create(&folder);
    // Made by us, or there as a folder: never through a link.
    if !folder.symlink_metadata().is_ok_and(|m| m.is_dir()) {
        return;
    }
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags((rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits().cast_signed())
        .open(folder.join("failed-open.jsonl"));
    let Ok(mut file) = file else { return };
    let line = line(input, why);
    if file.metadata().is_ok_and(|m| m.is_file() && m.len() + line.len() as u64 <= MAX_BYTES) {
        // One write, so that lines of several hooks do not mix.
        let _ = file.write_all(line.as_bytes());
    }
}

fn line(input: Option<&HookInput<'_>>, why: Away) -> String {
    let at_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
    let (event, session) = input.map_or(("malformed", ""), |i| (i.event.name(), i.session_id.as_str()));
    let why = match why {
        Away::NoDaemon => "no_daemon",
        Away::NoAnswer => "no_answer",
        Away::LostWhileHeld => "lost_while_held",
    };
    // Ids are of harmless characters, so this is JSON.
    format!("{{\"at_ms\":{at_ms},\"event\":\"{event}\",\"session_id\":\"{session}\",\"why\":\"{why}\"}}\n")
}
