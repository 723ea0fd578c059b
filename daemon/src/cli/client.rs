//! Asking the daemon.

use std::io::ErrorKind;
use std::time::Duration;

use bursar_protocol::message::{OperatorAct, Query, ToDaemon};
use bursar_protocol::paths::Paths;
use bursar_protocol::{ProtocolError, endpoint};
use serde::de::DeserializeOwned;

use super::output::Failure;
use super::unlock;
use crate::view::{BudgetList, CircuitList, ErrorView, SessionView};

/// How long a command waits for the daemon.
const PATIENCE: Duration = Duration::from_secs(5);

/// The daemon's JSON for a message, where it says yes.
pub(super) fn ask(paths: &Paths, message: &ToDaemon) -> Result<String, Failure> {
    ask_within(paths, message, PATIENCE)
}

/// As [`unlock::act`], without asking for a passphrase.
pub(super) fn act(paths: &Paths, act: OperatorAct, reason: &str) -> Result<String, Failure> {
    ask(paths, &ToDaemon::Operator(unlock::frame(act, reason)))
}

/// As [`ask`], with another time limit.
pub(super) fn ask_within(paths: &Paths, message: &ToDaemon, patience: Duration) -> Result<String, Failure> {
    match endpoint::ask(&paths.socket, message, patience) {
        Ok((200, json)) => Ok(json),
        Ok((status, json)) => Err(refused(status, json)),
        Err(ProtocolError::Io(e))
            if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) =>
        {
            Err(Failure::away())
        }
        Err(e) => Err(Failure::no_answer(&e.to_string())),
    }
}

/// The typed answer to a question, and its JSON as it came.
pub(super) fn query<T: DeserializeOwned>(paths: &Paths, query: Query) -> Result<(T, String), Failure> {
    let json = ask(paths, &ToDaemon::Query(query))?;
    let typed = serde_json::from_str(&json).map_err(|e| {
        Failure::no_answer(&format!("its answer does not read ({e}); is it another release?"))
    })?;
    Ok((typed, json))
}

fn refused(status: u16, json: String) -> Failure {
    let error: Option<ErrorView> = serde_json::from_str(&json).ok();
    let ambiguous = error.as_ref().is_some_and(|e| e.error == "ambiguous");
    let exit = if status == 400 || ambiguous { 2 } else { 1 };
    let hint = error.as_ref().map_or("", |e| what_to_do(&e.error)).to_owned();
    let message = error.map_or_else(|| json.clone(), |e| sentence(&e.message));
    Failure { exit, message, hint, json: Some(json) }
}

/// The line below an error: what to do about it.
fn what_to_do(error: &str) -> &'static str {
    match error {
        "nobody_waits" => {
            "Name the budget you mean, as `bursar budget list` shows it: `bursar extend ID +100k`."
        }
        "ambiguous" => "Name the one you mean: `bursar extend ID +100k`.",
        "circuit_open" => "`bursar waiting` says why; `bursar circuit decline` stops it instead.",
        "not_found" => {
            "`bursar budget list`, `bursar circuit list`, `bursar sessions --all` and `bursar alerts list --all` show what there is."
        }
        _ => "",
    }
}

/// A message as a sentence of its own; one that begins with an id keeps it as it is.
fn sentence(message: &str) -> String {
    let begins_with_id = message.split(' ').next().is_some_and(|word| word.contains(':'));
    let end = if message.ends_with(['.', '`']) { "" } else { "." };
    let message = if begins_with_id { message.to_owned() } else { capital(message) };
    format!("{message}{end}")
}

/// A text with a capital at its beginning.
pub(super) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    first + letters.as_str()
}

/// A budget's whole id from what a person wrote: `session:` may be left out, and a unique beginning is enough.
pub(super) fn budget_id(paths: &Paths, written: &str) -> Result<String, Failure> {
    let (list, _): (BudgetList, _) = query(paths, Query::Budgets)?;
    whole_id("budget", &list.budgets.iter().map(|b| b.budget_id.to_string()).collect::<Vec<_>>(), written)
}

/// A circuit's whole id from what a person wrote.
pub(super) fn circuit_id(paths: &Paths, written: &str) -> Result<String, Failure> {
    let (list, _): (CircuitList, _) = query(paths, Query::Circuits)?;
    whole_id("circuit", &list.circuits.into_iter().map(|c| c.circuit_id).collect::<Vec<_>>(), written)
}

/// A session's whole id from what a person wrote.
pub(super) fn session_id(paths: &Paths, written: &str) -> Result<String, Failure> {
    let (found, _): (SessionView, _) = query(paths, Query::Session { id: written.to_owned() })?;
    Ok(found.session_id)
}

fn whole_id(kind: &str, ids: &[String], written: &str) -> Result<String, Failure> {
    let with_kind = format!("session:{written}");
    if let Some(exact) = ids.iter().find(|id| **id == written || **id == with_kind) {
        return Ok(exact.clone());
    }
    let name = |id: &str| id.split_once(':').map(|(_, name)| name.to_owned()).unwrap_or_default();
    let begins =
        |id: &&String| !written.is_empty() && (id.starts_with(written) || name(id).starts_with(written));
    let found: Vec<&String> = ids.iter().filter(begins).collect();
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(Failure::refused(
            "not_found",
            &format!("there is no {kind} {written}"),
            &format!("`bursar {kind} list` shows them all."),
        )),
        several => {
            let list = several.iter().map(|s| s.as_str()).collect::<Vec<_>>().join(", ");
            Err(Failure::wrong_use(
                &format!("{written} is the beginning of several {kind}s: {list}"),
                "Write more of the one you mean.",
            ))
        }
    }
}
