//! What an outcome says, as far as detectors ask: nothing, that something runs still, or that somebody refused.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::canon::head;

/// What an outcome says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Gist {
    /// Something.
    #[default]
    Plain,
    /// Nothing: no text, no match.
    Empty,
    /// What was asked about runs still.
    Waiting,
    /// What was asked about has ended.
    Ended,
    /// A human or another hook refused the call.
    Denied,
    /// The call was given up because another one of its message failed.
    Sibling,
    /// We refused it ourselves.
    Vetoed,
}

/// How much of an outcome's text is looked at, in bytes: what says that something waits is short, and what says that a
/// call was refused begins so.
const LOOKED_AT_BYTES: usize = 1_024;

/// Beginnings and phrases of the client's and of other agents' words for a refusal.
const DENIALS: [&str; 11] = [
    "user doesn't want to proceed",
    "user does not want to proceed",
    "user doesn't want to take this action",
    "user rejected",
    "rejected by user",
    "rejected by the user",
    "denied by user",
    "denied by the user",
    "user denied",
    "requested permissions to",
    "hook error",
];

/// The client's words for a call that it gave up.
const SIBLINGS: [&str; 2] = ["sibling tool call errored", "cancelled: parallel tool call"];

/// Our own words (`protocol/src/answer.rs`), which the client gives back as the outcome of what we refused.
const VETOES: [&str; 3] =
    ["call is refused until a person", "the turn was stopped before this call", "circuit open:"];

/// Beginnings of what tools say where there is nothing.
const NOTHING: [&str; 24] = [
    "nothing found",
    "none found",
    "not found",
    "no hits",
    "0 rows",
    "0 hits",
    "no matches",
    "no matching ",
    "no match found",
    "no files",
    "no results",
    "no result",
    "no content",
    "no output",
    "(no content)",
    "(no output)",
    "(no matches)",
    "(empty)",
    "0 matches",
    "0 results",
    "found 0 ",
    "(bash completed with no output)",
    "<system-reminder>warning: the file exists but the contents are empty",
    "<system-reminder>warning: the file exists but is shorter than",
];

const STATUSES: [&str; 3] = ["status", "state", "phase"];

const RUNS_STILL: [&str; 20] = [
    "running",
    "pending",
    "queued",
    "waiting",
    "in_progress",
    "inprogress",
    "processing",
    "starting",
    "building",
    "deploying",
    "provisioning",
    "creating",
    "scheduled",
    "training",
    "executing",
    "initializing",
    "compiling",
    "installing",
    "downloading",
    "uploading",
];

const HAS_ENDED: [&str; 11] = [
    "completed",
    "complete",
    "finished",
    "done",
    "exited",
    "failed",
    "killed",
    "succeeded",
    "success",
    "stopped",
    "cancelled",
];

/// What an outcome says; `response` as [`crate::canon::read`] gave it, or a string of plain text.
pub(super) fn of(ok: bool, response: Option<&Value>) -> Gist {
    let mut text = String::new();
    let all = response.is_none_or(|value| gather(value, &mut text));
    let text = text.to_lowercase();
    if !ok {
        return match refused(&text) {
            Gist::Plain if all && is_pending(&text) => Gist::Waiting,
            refused => refused,
        };
    }
    let is_nothing = || response.is_none_or(is_nothing) || says_nothing(&text);
    match all {
        true if is_nothing() => Gist::Empty,
        true => stands(&text),
        false => Gist::Plain,
    }
}

/// What an error says.
fn refused(text: &str) -> Gist {
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| text.contains(phrase));
    let by_rule = text.contains("permission to use") && text.contains("has been denied");
    if says(&VETOES) {
        Gist::Vetoed
    } else if says(&SIBLINGS) {
        Gist::Sibling
    } else if by_rule || says(&DENIALS) {
        Gist::Denied
    } else {
        Gist::Plain
    }
}

/// Collects the text of a response; whether that is all of it.
fn gather(value: &Value, text: &mut String) -> bool {
    let left = LOOKED_AT_BYTES.saturating_sub(text.len());
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
        Value::String(all) => {
            let part = beginning(all, left);
            text.push_str(part);
            text.push('\n');
            part.len() == all.len()
        }
        Value::Array(items) => items.iter().all(|item| gather(item, text)),
        Value::Object(fields) => match head(value) {
            Some(cut) => {
                text.push_str(beginning(cut, left));
                false
            }
            None => fields.iter().all(|(key, value)| {
                text.push_str(key);
                text.push_str(": ");
                gather(value, text)
            }),
        },
    }
}

/// At most so many bytes of a text.
fn beginning(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// Whether a text says that there is nothing.
fn says_nothing(text: &str) -> bool {
    let text = text.trim_start().as_bytes();
    let begins = |none: &str| text.get(..none.len()).is_some_and(|b| b.eq_ignore_ascii_case(none.as_bytes()));
    NOTHING.iter().any(|none| begins(none)) || says_none_is_found(text)
}

/// Whether a text begins `No references to that name were found`, on one line.
fn says_none_is_found(text: &[u8]) -> bool {
    let line = text.split(|b| *b == b'\n').next().unwrap_or_default();
    let is_short =
        line.len() <= LONGEST_NONE && text.get(..3).is_some_and(|b| b.eq_ignore_ascii_case(b"no "));
    is_short && line.split(|b| !b.is_ascii_alphabetic()).any(|word| word.eq_ignore_ascii_case(b"found"))
}

/// The longest line that is read for that, in bytes.
const LONGEST_NONE: usize = 120;

/// Whether a response has nothing in it: no text, no item, and no number but 0 of what there are.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(_) | Value::Number(_) => false,
        Value::String(text) => ["", "[]", "{}", "null"].contains(&text.trim()) || says_nothing(text),
        Value::Array(items) => items.iter().all(|item| match item {
            // A block of text: what counts is the text.
            Value::Object(fields) if fields.contains_key("type") => {
                fields.get("text").is_some_and(is_nothing)
            }
            other => is_nothing(other),
        }),
        Value::Object(fields) => {
            const CONTENT: [&str; 13] = [
                "content",
                "text",
                "stdout",
                "stderr",
                "output",
                "result",
                "results",
                "matches",
                "filenames",
                "file",
                "files",
                "entries",
                "items",
            ];
            let mut contents = fields.iter().filter(|(key, _)| CONTENT.contains(&key.as_str())).peekable();
            fields.is_empty() || (contents.peek().is_some() && contents.all(|(_, value)| is_nothing(value)))
        }
    }
}

/// Whether an error only says that something runs still, as a check of checks does that exits with 8 until they are done.
fn is_pending(text: &str) -> bool {
    let mut words =
        text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
    let runs = words.clone().any(|word| ["pending", "queued", "in_progress"].contains(&word));
    runs && !words.any(|word| word.starts_with("fail") || word.starts_with("err"))
}

/// How something in the background stands, by short text about it.
fn stands(text: &str) -> Gist {
    let is_of_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut words = [""; 48];
    let mut count = 0;
    for word in text.split(|c: char| !is_of_word(c)).filter(|word| !word.is_empty()) {
        let Some(place) = words.get_mut(count) else { break };
        *place = word;
        count += 1;
    }
    let words = words.get(..count).unwrap_or_default();
    if let [only] = words {
        return named(only).unwrap_or_default();
    }
    for (at, word) in words.iter().enumerate() {
        let next = |n: usize| words.get(at + n).copied().unwrap_or_default();
        let is_status = STATUSES.iter().any(|status| word.ends_with(status));
        let told = if next(1) == "is" { next(2) } else { next(1) };
        let in_progress = told == "in" && next(2) == "progress";
        match *word {
            _ if is_status && in_progress => return Gist::Waiting,
            _ if is_status && named(told).is_some() => return named(told).unwrap_or_default(),
            // `Process running with session ID 7`
            "process" | "command" | "job" if ["running", "queued", "pending"].contains(&told) => {
                return Gist::Waiting;
            }
            "still" if RUNS_STILL.contains(&told) || in_progress => return Gist::Waiting,
            "no" if next(1) == "new" && next(2) == "output" => return Gist::Waiting,
            "not" => {
                let after = if next(1) == "yet" { next(2) } else { next(1) };
                if ["ready", "finished", "complete", "completed", "done"].contains(&after) {
                    return Gist::Waiting;
                }
            }
            "in_progress" | "queued" | "containercreating" => return Gist::Waiting,
            _ => {}
        }
    }
    Gist::Plain
}

fn named(word: &str) -> Option<Gist> {
    if RUNS_STILL.contains(&word) {
        Some(Gist::Waiting)
    } else {
        HAS_ENDED.contains(&word).then_some(Gist::Ended)
    }
}
