//! What `install` does beside the hooks: the status line, and the clients' telemetry.

use std::path::{Path, PathBuf};

use bursar_protocol::paths::Paths;

use super::settings::{Entry, SettingsText};
use super::telemetry::{self, Telemetry};
use super::{InstallArgs, Place, Scope};
use crate::cli::output::Output;
use crate::http::token::TokenError;

/// What becomes of the status line.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    /// It is registered; this program draws it.
    Shown(PathBuf),
    /// It was told to leave it.
    Left,
    /// What stands there has no command.
    Odd,
    /// The file is shared with others.
    Shared,
}

/// What becomes of telemetry.
#[derive(Debug, PartialEq, Eq)]
enum Sent {
    /// It is sent to this port.
    Here(u16),
    /// It was told to leave it, or the daemon takes none.
    Left,
    /// The user has some of their own, there.
    Theirs(u16, String),
    /// The file is shared with others, and a token must not be.
    Shared,
}

/// What is done beside the hooks.
#[derive(Debug)]
pub(super) struct Extras {
    line: Line,
    sent: Sent,
}

impl Extras {
    pub(super) fn choose(args: &InstallArgs, port: u16, parsed: &SettingsText, entry: &Entry) -> Self {
        let is_shared = args.place.settings.is_none() && args.place.scope == Scope::Project;
        let line = match std::env::current_exe().and_then(|exe| exe.canonicalize()) {
            _ if args.no_statusline => Line::Left,
            _ if is_shared => Line::Shared,
            _ if parsed.has_odd_status_line(entry) => Line::Odd,
            Ok(program) => Line::Shown(program),
            Err(_) => Line::Left,
        };
        let theirs = || {
            let here = parsed.has_telemetry(entry).then(|| "these settings".to_owned());
            here.or_else(|| telemetry::theirs_elsewhere(&other_settings(&args.place)))
        };
        let sent = match port {
            0 => Sent::Left,
            _ if args.no_telemetry => Sent::Left,
            _ if is_shared => Sent::Shared,
            port => theirs().map_or(Sent::Here(port), |there| Sent::Theirs(port, there)),
        };
        Self { line, sent }
    }

    pub(super) fn status_line(&self) -> Option<PathBuf> {
        match &self.line {
            Line::Shown(program) => Some(program.clone()),
            Line::Left | Line::Odd | Line::Shared => None,
        }
    }

    /// # Errors
    /// [`TokenError`].
    pub(super) fn telemetry(&self, state: &Path) -> Result<Option<Telemetry>, TokenError> {
        match self.sent {
            Sent::Here(port) => Telemetry::open(port, state).map(Some),
            Sent::Left | Sent::Theirs(..) | Sent::Shared => Ok(None),
        }
    }

    /// As [`Extras::telemetry`], without the token.
    pub(super) fn telemetry_shown(&self) -> Option<Telemetry> {
        match self.sent {
            Sent::Here(port) => Some(Telemetry::shown(port)),
            Sent::Left | Sent::Theirs(..) | Sent::Shared => None,
        }
    }

    pub(super) fn say(&self, paths: &Paths, output: &Output) {
        match &self.line {
            Line::Shown(_) => output.line(
                "Its status line shows budget and holds, below the one that stood there (--no-statusline leaves it out).",
            ),
            Line::Odd => output.line("The status line that stands there has no command, and was left as it is."),
            Line::Left | Line::Shared => {}
        }
        match &self.sent {
            Sent::Here(port) => output.line(&format!(
                "Its telemetry goes to this daemon, 127.0.0.1:{port}, and nowhere else: background requests count at once (--no-telemetry leaves it out). New sessions send it."
            )),
            Sent::Theirs(port, there) => {
                output.line(&format!("Telemetry of your own was found in {there}, and was left as it is."));
                output.line(&telemetry::as_a_second_target(*port, &paths.state));
            }
            Sent::Left | Sent::Shared => {}
        }
        if self.line == Line::Shared || self.sent == Sent::Shared {
            output.line(
                "These settings are shared with others: the status line and telemetry (it has a token) were left out. `bursar install` without --scope project adds them for you.",
            );
        }
    }
}

/// Claude Code's settings of other scopes here.
fn other_settings(place: &Place) -> Vec<PathBuf> {
    let target = place.file().ok();
    let all = [Scope::User, Scope::Project, Scope::Local];
    let files = all.into_iter().filter_map(|scope| Place { scope, settings: None }.file().ok());
    files.filter(|file| Some(file) != target.as_ref()).collect()
}
