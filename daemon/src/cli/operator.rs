//! `bursar operator`: the passphrase, set and changed at a terminal only.

use bursar_protocol::message::{OperatorAct, Query};
use bursar_protocol::paths::Paths;
use bursar_protocol::secret::Secret;
use clap::Subcommand;

use super::output::{Failure, Output, clean};
use super::{client, tty, unlock};
use crate::passphrase::{self, MIN_CHARS};
use crate::view::{ActView, StatusView};

/// What can be done about the passphrase.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(super) enum Verb {
    /// Set the operator's passphrase, or another one
    Set,
    /// Say that it is forgotten: void in ten minutes, unless somebody unlocks with it
    Reset,
    /// Type the passphrase: this terminal may approve for five minutes
    Unlock,
    /// End this terminal's unlock
    Lock,
    /// Who may approve
    Status,
}

pub(super) fn run(paths: &Paths, verb: Verb, output: &Output) -> Result<(), Failure> {
    let json = match verb {
        Verb::Set => set(paths)?,
        Verb::Reset => client::act(paths, OperatorAct::ResetPassphrase, "forgotten")?,
        Verb::Unlock if cannot_ask() => {
            client::act(paths, OperatorAct::Unlock { passphrase: nothing() }, "nobody could be asked")?
        }
        Verb::Unlock => unlock::unlock(paths)?,
        Verb::Lock => client::act(paths, OperatorAct::Lock, "locked at the terminal")?,
        Verb::Status => return status(paths, output),
    };
    say(&json, output)
}

/// Prints what an act came to.
pub(super) fn say(json: &str, output: &Output) -> Result<(), Failure> {
    if output.json(json) {
        return Ok(());
    }
    let done: ActView = serde_json::from_str(json)
        .map_err(|e| Failure::no_answer(&format!("its answer does not read ({e})")))?;
    output.line(&clean(&done.message));
    Ok(())
}

fn cannot_ask() -> bool {
    unlock::in_agent_shell() || !tty::can_ask()
}

/// Where nobody can be asked the daemon is, so that it says why not and the audit has it.
fn nothing() -> Secret {
    Secret::new(String::new())
}

fn set(paths: &Paths) -> Result<String, Failure> {
    let (status, _): (StatusView, _) = client::query(paths, Query::Status)?;
    if cannot_ask() {
        let act = OperatorAct::SetPassphrase { old: None, new: nothing() };
        return client::act(paths, act, "nobody could be asked");
    }
    let has_one = status.operator == "passphrase";
    let old = has_one.then(|| tty::ask("Old operator passphrase: ")).transpose()?;
    let prompt = format!("New operator passphrase ({MIN_CHARS} characters or more): ");
    let Some(new) = ask_twice(&prompt)? else {
        return Err(Failure::refused("interrupted", "No passphrase was typed; nothing was changed.", ""));
    };
    unlock::patiently(paths, unlock::frame(OperatorAct::SetPassphrase { old, new }, "typed at the terminal"))
}

/// A new passphrase, typed twice; none where both are empty.
pub(super) fn ask_twice(prompt: &str) -> Result<Option<Secret>, Failure> {
    let refused = |message: &str| Failure::refused("invalid", message, "Nothing was changed; run it again.");
    let first = tty::ask(prompt)?;
    let second = tty::ask("The same again: ")?;
    if first != second {
        return Err(refused("The two are not the same."));
    }
    if first.reveal().is_empty() {
        return Ok(None);
    }
    passphrase::check(&first).map_err(|e| refused(&format!("{}.", client::capital(&e.to_string()))))?;
    Ok(Some(first))
}

fn status(paths: &Paths, output: &Output) -> Result<(), Failure> {
    let (status, json): (StatusView, _) = client::query(paths, Query::Status)?;
    if !output.json(&json) {
        output.line(&who_may_approve(&status));
    }
    Ok(())
}

/// Who may approve, in one line.
pub(super) fn who_may_approve(status: &StatusView) -> String {
    if let Some(at) = &status.operator_reset_at {
        return format!(
            "The operator's passphrase was said to be forgotten: it is void at {}. `bursar operator unlock` with it cancels that.",
            clean(at)
        );
    }
    match status.operator.as_str() {
        "unprotected" => "Anything that this user runs may approve more (installed --unprotected).",
        "passphrase" => "Approving more asks for the operator's passphrase, at a terminal.",
        _ => {
            "Nobody may approve more yet: set a passphrase with `bursar operator set`, or `bursar install --unprotected` lets anything that you run."
        }
    }
    .to_owned()
}
