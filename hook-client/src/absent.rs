//! The daemon is away: everything goes on, but what a marker says is shut (HOOK 2, the last two columns).

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use bursar_protocol::answer::{
    AWAY_AND_FAIL_CLOSED, AWAY_AND_SHUT, AWAY_AT_START, Answer, Say, answer as worded,
};
use bursar_protocol::cut;
use bursar_protocol::hook_input::{Event, HookInput};
use bursar_protocol::marker::{self, Marker};
use rustix::fs::OFlags;

use crate::args::Args;
use crate::ask::Away;
use crate::spool;

/// The answer without a daemon, and a line in the spool where the hook is let through.
pub(crate) fn answer(args: &Args, payload: &[u8], why: Away) -> Answer {
    let (_, payload) = cut::cut(payload);
    let input = HookInput::parse(&payload, args.event.as_deref());
    let Ok(input) = input else {
        spool::note(args, None, why);
        return Answer::default();
    };
    let say = match shut(args, &input) {
        true => say_where_shut(input.event, AWAY_AND_SHUT),
        false if args.fail_closed => say_where_shut(input.event, AWAY_AND_FAIL_CLOSED),
        false if input.event == Event::SessionStart => Say::Tell(AWAY_AT_START),
        false => Say::Allow,
    };
    if matches!(say, Say::Allow | Say::Tell(_)) {
        spool::note(args, Some(&input), why);
    }
    worded(input.event, input.seed_shape, say)
}

fn shut(args: &Args, input: &HookInput<'_>) -> bool {
    let Some(state) = args.state() else { return false };
    let path = marker::path(&state, &input.session_id);
    match text_of(&path) {
        Ok(text) => Marker::from_text(&text).names(input.agent_id.as_deref()),
        // It may be there and not be readable: only an operator removes it.
        Err(_) => fs::symlink_metadata(&path).is_ok(),
    }
}

/// A file's text; nothing that stands in its place is followed or waited for.
fn text_of(path: &Path) -> io::Result<String> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    io::read_to_string(file)
}

fn say_where_shut(event: Event, why: &'static str) -> Say<'static> {
    match event {
        Event::PreToolUse | Event::PostToolBatch | Event::Stop | Event::SubagentStop => Say::Stop(why),
        Event::UserPromptSubmit => Say::Refuse(why),
        Event::PreCompact => Say::Deny(why),
        Event::SessionStart => Say::Tell(why),
        Event::SessionEnd
        | Event::PostToolUse
        | Event::PostToolUseFailure
        | Event::SubagentStart
        | Event::PostCompact
        | Event::Notification => Say::Allow,
    }
}
