//! How an installation is protected: said to the daemon, or handed over to the first one that starts.

use bursar_protocol::message::{OperatorAct, Query};
use bursar_protocol::paths::Paths;
use serde_json::json;

use super::super::output::{Failure, Output};
use super::super::{client, operator, tty, unlock};
use super::{failed, files};
use crate::handover::{self, Handover};
use crate::passphrase::{self, MIN_CHARS};
use crate::view::StatusView;

/// Sets the protection that was asked for; at a terminal, where there is none yet, asks for a passphrase. Before anything
/// else is written: refused, the settings stay as they are.
pub(super) fn protect(paths: &Paths, unprotected: bool) -> Result<(), Failure> {
    let serving = client::query::<StatusView>(paths, Query::Status).ok().map(|(status, _)| status);
    match (serving, unprotected) {
        (Some(_), true) => {
            unlock::act(paths, unlock::frame(OperatorAct::Unprotect, "installed --unprotected")).map(drop)
        }
        (Some(status), false) if status.operator == "locked" => {
            let Some(new) = ask()? else { return Ok(()) };
            let act = OperatorAct::SetPassphrase { old: None, new };
            unlock::patiently(paths, unlock::frame(act, "typed at the installation")).map(drop)
        }
        (None, true) => hand_over(paths, &Handover::Unprotected),
        // A store that is there may be protected already, and only a daemon can tell.
        (None, false) if !paths.database().exists() && !handover::path(&paths.state).exists() => {
            let Some(new) = ask()? else { return Ok(()) };
            hand_over(paths, &Handover::Passphrase { hash: passphrase::hash(&new).map_err(failed)? })
        }
        (Some(_) | None, false) => Ok(()),
    }
}

fn ask() -> Result<Option<bursar_protocol::secret::Secret>, Failure> {
    if unlock::in_agent_shell() || !tty::can_ask() {
        return Ok(None);
    }
    operator::ask_twice(&format!(
        "Operator passphrase, asked for when you approve more ({MIN_CHARS} characters or more; Enter twice for none yet): "
    ))
}

fn hand_over(paths: &Paths, handover: &Handover) -> Result<(), Failure> {
    let mut record = json!(handover);
    record["since"] = json!(jiff::Timestamp::now().to_string());
    files::write_private(&handover::path(&paths.state), &record.to_string()).map_err(failed)
}

const NO_DAEMON: &str = "No daemon serves there yet: sessions run uncounted until `bursar daemon --detach`.";

/// What is true now, and what to do about it.
pub(super) fn say(paths: &Paths, output: &Output) {
    let serving = client::query::<StatusView>(paths, Query::Status).ok().map(|(status, _)| status.operator);
    let handed = handover::path(&paths.state);
    let level = serving.clone().or_else(|| {
        let text = std::fs::read_to_string(&handed).ok()?;
        Some(match serde_json::from_str(&text).ok()? {
            Handover::Unprotected => "unprotected".to_owned(),
            Handover::Passphrase { .. } => "passphrase".to_owned(),
        })
    });
    if serving.is_none() && level.is_some() && paths.database().exists() {
        output.line("The daemon takes that protection over when it starts, unless there is one already: then install again while it serves.");
        output.line(NO_DAEMON);
        return;
    }
    match level.as_deref() {
        Some("unprotected") => output.line(
            "Unprotected: anything that you run, your agents too, may approve more tokens. An agent's own shell is refused, which slows it down and no more.",
        ),
        Some("passphrase") => output
            .line("Protected: approving more asks for the operator's passphrase, at a terminal, and unlocks that one for 5 minutes."),
        None if paths.database().exists() => {
            output.line("How it is protected says `bursar status`, once the daemon serves.");
        }
        _ => output.line(
            "Locked: at its limit a session stands still, and nobody can approve more yet. Set a passphrase with `bursar operator set` at a terminal; or `bursar install --unprotected` lets anything that you run approve.",
        ),
    }
    if serving.is_none() {
        output.line(NO_DAEMON);
    }
}
