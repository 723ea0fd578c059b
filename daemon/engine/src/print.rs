//! Prints of calls, outcomes and errors: what the detectors compare (DETECTION, "Identity"). Made from the cut payload
//! (HOOK 4), so that hook and replay make the same; commands carry prints, never payloads.
//!
//! Equal prints mean equal things but for chance, one in 2^64; they are no security boundary.

mod gist;
mod kind;
mod polls;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use xxhash_rust::xxh3::xxh3_64;

use crate::canon::{Canon, Strings, head, nested, read};
use crate::mask::{LongNumbers, masked};

pub use gist::Gist;
pub use kind::{Kind, Part};

/// Keys by which an agent explains a call. Calls that differ in them only are the same call.
const BOOKKEEPING: [&str; 6] =
    ["description", "timeout", "explanation", "reason", "thought", "task_progress"];

/// The tool that starts a subagent, by both of the client's names for it.
const SUBAGENT_TOOLS: [&str; 2] = ["Agent", "Task"];

/// How much of a masked error counts: where it fails stands first, a long dump behind it differs each time.
const ERROR_CHARS: usize = 400;

/// How much of an error is looked at: what is left of a cut one, so that it equals the same one uncut.
const ERROR_HEAD_BYTES: usize = 8 * 1024;

/// A 64-bit hash. As text and in JSON 16 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Print(u64);

impl Print {
    /// The print of both, in this order.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        let mut both = [0; 16];
        both[..8].copy_from_slice(&self.0.to_le_bytes());
        both[8..].copy_from_slice(&other.0.to_le_bytes());
        Self(xxh3_64(&both))
    }

    /// A print that no thing has, but this number.
    pub(crate) fn of_number(number: u64) -> Self {
        Self(xxh3_64(&number.to_be_bytes()))
    }

    /// The print of both, in whatever order.
    #[must_use]
    pub(crate) fn beside(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }
}

/// A text that is no print.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a print: 16 hex digits")]
pub struct PrintError(String);

impl fmt::Display for Print {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl From<Print> for String {
    fn from(print: Print) -> Self {
        print.to_string()
    }
}

impl TryFrom<String> for Print {
    type Error = PrintError;
    fn try_from(text: String) -> Result<Self, PrintError> {
        let is_hex = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let hash = if is_hex { u64::from_str_radix(&text, 16).ok() } else { None };
        hash.map(Self).ok_or(PrintError(text))
    }
}

/// The print of a call: its tool and its input, JSON text. Equal for equal arguments, however they are written.
pub fn call(tool: &str, input: Option<&str>) -> Print {
    made(tool, input).0
}

/// The print of a call, and what it is for.
pub fn made(tool: &str, input: Option<&str>) -> (Print, Kind) {
    let mut canon = Canon::new("call", Strings::Exact);
    canon.exact(one_name(tool));
    let text = input.map(str::trim_ascii).filter(|text| !text.is_empty());
    let read = text.map_or(Ok(Value::Null), |text| read(text).ok_or(text));
    let kind = kind::of(tool, read.as_ref().unwrap_or(&Value::Null));
    match read {
        Ok(Value::Null) => canon.fields(&Map::new(), |_| true),
        // Where there is nothing but bookkeeping, that is what the tool is about: its calls are not all one.
        Ok(Value::Object(fields)) => {
            let only_bookkeeping = fields.keys().all(|key| is_bookkeeping(key));
            canon.fields(&fields, |key| only_bookkeeping || !is_bookkeeping(key));
        }
        Ok(value) => canon.value(&value),
        Err(text) => unread(&mut canon, text),
    }
    (Print(canon.finish()), kind)
}

/// The print of a call's id (`tool_use_id`).
pub fn id(tool_use_id: &str) -> Print {
    let mut canon = Canon::new("id", Strings::Exact);
    canon.exact(tool_use_id);
    Print(canon.finish())
}

/// The print of what came out of a call: whether it is an error, and the response without what differs each time (times,
/// ids, temporary paths). The response is JSON text; any other text counts as if it were a JSON string of it.
pub fn outcome(ok: bool, response: Option<&str>) -> Print {
    came(ok, response).0
}

/// The print of what came out of a call, and what that says.
pub fn came(ok: bool, response: Option<&str>) -> (Print, Gist) {
    let mut canon = Canon::new(if ok { "ok" } else { "error" }, Strings::Masked);
    let value = response.map(|response| through(said(response)));
    canon.value(value.as_ref().unwrap_or(&Value::Null));
    (Print(canon.finish()), gist::of(ok, value.as_ref()))
}

/// The print of an error: its tool, and the first 400 characters of its text without what differs each time and without
/// numbers of four and more digits. The text is JSON of a string (cut or not) or plain.
pub fn error(tool: &str, text: &str) -> Print {
    let mut canon = Canon::new("error of", Strings::Masked);
    canon.exact(one_name(tool));
    let value = read(text);
    match value.as_ref().and_then(|v| v.as_str().or_else(|| head(v))) {
        // Cut to nothing: its hash is all that is known.
        Some("") => value.iter().for_each(|value| canon.value(value)),
        Some(text) => canon.exact(&beginning(text)),
        None => canon.exact(&beginning(text)),
    }
    Print(canon.finish())
}

/// Whether an outcome's words are those of a refusal, by a human, another hook, or us, or of a call that was given up
/// for another: for callers that are told the words alone.
pub fn is_refusal(response: Option<&str>) -> bool {
    gist::of(false, response.map(|response| through(said(response))).as_ref()) != Gist::Plain
}

/// The beginning of an error's text for people, on one line.
pub(crate) fn words(response: &str, max_chars: usize) -> String {
    let value = said(response);
    let text = value.as_str().or_else(|| head(&value)).unwrap_or(response);
    let shown = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(|c| !c.is_control());
    shown.take(max_chars).collect::<String>().trim().to_owned()
}

fn said(response: &str) -> Value {
    read(response).unwrap_or_else(|| Value::String(response.to_owned()))
}

/// What a tool printed, where that is JSON.
fn through(value: Value) -> Value {
    match value.as_str().and_then(nested) {
        Some(printed) => printed,
        None => value,
    }
}

/// What counts of an error's text.
fn beginning(text: &str) -> String {
    let mut end = text.len().min(ERROR_HEAD_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    masked(&text[..end], LongNumbers::Masked).chars().take(ERROR_CHARS).collect()
}

/// Text that is no JSON for us: no string equals it.
fn unread(canon: &mut Canon, text: &str) {
    canon.value(&Value::Bool(false));
    canon.exact(text);
}

fn one_name(tool: &str) -> &str {
    if SUBAGENT_TOOLS.contains(&tool) { SUBAGENT_TOOLS[0] } else { tool }
}

fn is_bookkeeping(key: &str) -> bool {
    BOOKKEEPING.contains(&key)
}
