//! `bursar statusline`: Claude Code runs it after each message, and each second, with JSON on its standard input, and
//! shows what it prints. Whatever goes wrong it prints what it can, exits 0, and is soon done.

mod words;
mod wrapped;

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use bursar_protocol::message::ToDaemon;
use bursar_protocol::paths::Paths;
use bursar_protocol::status_line::StatusLine;
use bursar_protocol::{ProtocolError, endpoint};
use clap::Args;
use serde_json::Value;

use crate::view::line::LineView;
use wrapped::Wrapped;

/// The most that is read of what the client writes; it writes a few kilobytes.
const MAX_INPUT_BYTES: u64 = 1024 * 1024;

/// How long the daemon is waited for, as by a hook (HOOK 4).
const PATIENCE: Duration = Duration::from_millis(250);

/// `bursar statusline`.
#[derive(Debug, Args)]
pub(super) struct StatuslineArgs {
    /// The daemon's socket, as `install` writes it
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// The state folder, as `install` writes it
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// The status line that stood in the settings before, as JSON: it is shown as it was, above this one
    #[arg(long, value_name = "JSON")]
    was: Option<String>,
}

impl StatuslineArgs {
    fn paths(&self) -> Option<Paths> {
        let found = Paths::from_env(super::env).ok();
        let mut paths = found?;
        if let Some(socket) = &self.socket {
            paths.socket.clone_from(socket);
        }
        if let Some(state) = &self.state {
            paths.state.clone_from(state);
        }
        Some(paths)
    }
}

pub(super) fn run(args: &StatuslineArgs) {
    let mut input = Vec::new();
    // A person who tries it types nothing.
    if !std::io::stdin().is_terminal() {
        let _ = std::io::stdin().lock().take(MAX_INPUT_BYTES).read_to_end(&mut input);
    }
    let said = std::str::from_utf8(&input).ok().and_then(StatusLine::parse);
    let paths = args.paths();
    let was: Option<Value> = args.was.as_deref().and_then(|was| serde_json::from_str(was).ok());
    // Begun first: it takes its time while the daemon is asked.
    let theirs = was.as_ref().zip(paths.as_ref()).and_then(|(was, paths)| {
        let session = said.as_ref().map_or("", |said| said.session_id.as_str());
        Wrapped::begin(&paths.state, session, was, &input)
    });
    let ours = paths.map(|paths| ours(&paths, said));
    let mut out = theirs.map(Wrapped::output).unwrap_or_default();
    if let Some(ours) = ours {
        if !out.is_empty() && !out.ends_with(b"\n") {
            out.push(b'\n');
        }
        out.extend(ours.into_bytes());
        out.push(b'\n');
    }
    let _ = std::io::stdout().lock().write_all(&out);
}

fn ours(paths: &Paths, said: Option<StatusLine>) -> String {
    let colour = super::env("NO_COLOR").is_none_or(|no| no.is_empty());
    let Some(said) = said else { return words::NOT_ASKED.to_owned() };
    match endpoint::ask(&paths.socket, &ToDaemon::StatusLine(said), PATIENCE) {
        Ok((200, json)) => match serde_json::from_str::<LineView>(&json) {
            Ok(view) => words::line(&view, colour),
            Err(_) => words::OTHER_RELEASE.to_owned(),
        },
        Ok(_) | Err(ProtocolError::Version { .. } | ProtocolError::Malformed(_)) => {
            words::OTHER_RELEASE.to_owned()
        }
        // A daemon of an earlier release hangs up on what it does not know.
        Err(ProtocolError::Io(e)) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            words::OTHER_RELEASE.to_owned()
        }
        Err(_) => words::AWAY.to_owned(),
    }
}
