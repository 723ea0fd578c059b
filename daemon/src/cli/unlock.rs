//! Acts that may need the passphrase: it is asked for at the terminal, and the act is done again under the same id.

use std::time::Duration;

use bursar_protocol::message::{OperatorAct, OperatorFrame, ToDaemon};
use bursar_protocol::paths::Paths;

use super::output::Failure;
use super::{client, tty};
use crate::view::ErrorView;

/// A passphrase is looked at slowly, and one after the other.
const PATIENCE: Duration = Duration::from_secs(30);

/// An act of the person at this terminal.
pub(super) fn frame(act: OperatorAct, reason: &str) -> OperatorFrame {
    OperatorFrame {
        request_id: uuid::Uuid::now_v7().to_string(),
        reason: reason.to_owned(),
        in_agent_shell: in_agent_shell(),
        act,
        say: None,
    }
}

/// Whether this process stands in an agent's shell, by its own word.
pub(super) fn in_agent_shell() -> bool {
    std::env::var_os("CLAUDECODE").is_some()
}

/// Does an act, and asks for the passphrase if it takes one and a person is there to be asked.
pub(super) fn act(paths: &Paths, frame: OperatorFrame) -> Result<String, Failure> {
    let message = ToDaemon::Operator(frame);
    match client::ask(paths, &message) {
        Err(failure) if word(&failure) == "locked" && tty::can_ask() => {
            unlock(paths)?;
            client::ask(paths, &message)
        }
        answer => answer,
    }
}

/// Asks for the passphrase and unlocks this terminal.
pub(super) fn unlock(paths: &Paths) -> Result<String, Failure> {
    let passphrase = tty::ask("Operator passphrase: ")?;
    patiently(paths, frame(OperatorAct::Unlock { passphrase }, "typed at the terminal"))
}

/// Sends an act that carries a passphrase; after wrong ones the daemon wants a while to pass first.
pub(super) fn patiently(paths: &Paths, frame: OperatorFrame) -> Result<String, Failure> {
    let message = ToDaemon::Operator(frame);
    match client::ask_within(paths, &message, PATIENCE) {
        Err(failure) if word(&failure) == "too_early" => {
            let seconds = error(&failure).and_then(|e| e.details["wait_seconds"].as_u64()).unwrap_or(1);
            eprintln!("The passphrase was wrong before; it is looked at in {seconds} s.");
            std::thread::sleep(Duration::from_secs(seconds.min(60)));
            client::ask_within(paths, &message, PATIENCE)
        }
        answer => answer,
    }
}

/// The word of the `error` field.
pub(super) fn word(failure: &Failure) -> String {
    error(failure).map(|e| e.error).unwrap_or_default()
}

fn error(failure: &Failure) -> Option<ErrorView> {
    serde_json::from_str(failure.json.as_deref()?).ok()
}
