//! `install --fail-closed`: nothing goes on without the daemon, so the way out is said first.

use std::path::Path;

use bursar_protocol::hook_input::Event;

use super::super::output::{Failure, Output};
use super::client::Clients;

/// The first client that can be told to block where a hook fails.
const KNOWS_ON_FAILURE: (u32, u32, u32) = (2, 1, 295);

/// Whether the client is to block where this event's hook fails.
pub(super) fn blocks(event: Event) -> bool {
    matches!(event, Event::PreToolUse | Event::PostToolBatch | Event::UserPromptSubmit)
}

/// Says how to get out of it, before anything is written.
///
/// # Errors
/// A client that would go on all the same.
pub(super) fn announce(file: &Path, clients: &Clients, output: &Output) -> Result<(), Failure> {
    if clients.are_at_least(KNOWS_ON_FAILURE) != Some(true) {
        let found =
            clients.text().map_or_else(|| "none was found".to_owned(), |text| format!("{text} was found"));
        return Err(Failure::refused(
            "client",
            &format!("Refused: --fail-closed needs Claude Code 2.1.295 or later on the path, and {found}."),
            "Update Claude Code, or install without --fail-closed.",
        ));
    }
    output.line("Fail-closed: while the daemon is away no session goes on.");
    output.line("How to get out: `bursar uninstall`, which needs neither daemon nor passphrase.");
    output.line(&format!(
        "By hand: take the entries whose command is bursar-hook out of \"hooks\" in {}.",
        file.display()
    ));
    Ok(())
}
