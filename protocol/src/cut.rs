//! Cutting long strings so that every payload fits a frame (HOOK 4). Pure: whoever cuts, the same comes out, so that
//! what is made of a cut payload is the same in the hook and in a replay. Whatever an agent makes a tool take or say,
//! the payload stays readable: a call that cannot be read would be let through.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use xxhash_rust::xxh3::xxh3_128;

use crate::json;
use crate::message::Cut;

/// A string over this many bytes is cut.
pub const LONG_STRING_BYTES: usize = 16 * 1024;

/// The most bytes of a payload: the frame's limit, less room for the other fields.
pub const MAX_PAYLOAD_BYTES: usize = 240 * 1024;

/// What is kept of something too long that is not JSON.
const MALFORMED_HEAD_BYTES: usize = 4 * 1024;

/// A response's `usage` stays where the response goes, if it is no longer than this.
const SMALL_USAGE_BYTES: usize = 2 * 1024;

/// The fields that are never cut: ids, names, event, session and paths.
const KEPT: [&str; 16] = [
    "session_id",
    "sessionId",
    "hook_event_name",
    "transcript_path",
    "cwd",
    "agent_id",
    "agent_type",
    "agent_transcript_path",
    "source",
    "trigger",
    "reason",
    "tool_name",
    "tool",
    "tool_use_id",
    "prompt_id",
    "permission_mode",
];

/// What is kept of one field, and of how many calls, where nothing else fits.
const LONGEST_KEPT_BYTES: usize = 4 * 1024;
const MOST_CALLS: usize = 1_000;

/// The key of the object that stands for something cut.
const MARK: &str = "$bursar_cut";

/// Cuts a payload as far as it has to be. One in which no string can be too long comes back as it is, unparsed.
pub fn cut(payload: &[u8]) -> (Cut, Cow<'_, [u8]>) {
    if payload.len() <= LONG_STRING_BYTES {
        return (Cut::None, Cow::Borrowed(payload));
    }
    let malformed = (Cut::Malformed, Cow::Borrowed(&payload[..payload.len().min(MALFORMED_HEAD_BYTES)]));
    let Some(mut fields) = std::str::from_utf8(payload).ok().and_then(read) else { return malformed };
    let mut changed = false;
    each(&mut fields, &mut |_, part| changed |= part.shorten(LONG_STRING_BYTES, LONG_STRING_BYTES / 2));
    if !changed && payload.len() <= MAX_PAYLOAD_BYTES {
        return (Cut::None, Cow::Borrowed(payload));
    }
    let stages: [(Cut, Stage); 4] = [
        (Cut::LongStrings, |_, _| {}),
        (Cut::Tight, |_, part| _ = part.shorten(1_024, 512)),
        (Cut::Emptied, |_, part| _ = part.shorten(128, 0)),
        (Cut::NoResponses, |name, part| match name {
            "tool_response" | "response" => part.keep_usage(),
            // Long without a long string: numbers, keys.
            _ => part.shorten_whole(1_024, 512),
        }),
    ];
    for (how, stage) in stages {
        each(&mut fields, &mut |name, part| stage(name, part));
        let bytes = serde_json::to_vec(&fields).unwrap_or_default();
        if (1..=MAX_PAYLOAD_BYTES).contains(&bytes.len()) {
            return (how, Cow::Owned(bytes));
        }
    }
    let mut skeleton = skeleton(&fields);
    let mut bytes = serde_json::to_vec(&skeleton).unwrap_or_default();
    if bytes.len() > MAX_PAYLOAD_BYTES {
        skeleton.remove("tool_calls");
        bytes = serde_json::to_vec(&skeleton).unwrap_or_default();
    }
    (Cut::NoResponses, Cow::Owned(bytes))
}

/// The last resort, whatever else there is: what says who asks about what, as far as it is of a sensible length. A call
/// that could not be read would be let through.
fn skeleton(fields: &Fields<'_>) -> Map<String, Value> {
    let kept = |fields: &Fields<'_>, names: &[&str]| -> Map<String, Value> {
        let short = |name: &&str| match fields.get(*name)? {
            Part::Text(text) if text.get().len() <= LONGEST_KEPT_BYTES => {
                Some(((*name).to_owned(), json::read(text.get())?))
            }
            Part::Text(_) | Part::Calls(_) | Part::Parsed(_) => None,
        };
        names.iter().filter_map(short).collect()
    };
    let mut skeleton = kept(fields, &KEPT);
    if let Some(Part::Calls(calls)) = fields.get("tool_calls") {
        let ids = calls.iter().take(MOST_CALLS).map(|call| Value::Object(kept(call, &["tool_use_id"])));
        skeleton.insert("tool_calls".to_owned(), ids.collect());
    }
    skeleton
}

/// The head of something cut, if `json` is that.
pub fn head_of(json: &str) -> Option<String> {
    let value: Value = serde_json::from_str(json).ok()?;
    value.get(MARK)?.get("head")?.as_str().map(str::to_owned)
}

type Fields<'a> = BTreeMap<String, Part<'a>>;

type Stage = fn(&str, &mut Part<'_>);

/// A field's value, parsed only where it may have to be cut.
#[derive(Serialize)]
#[serde(untagged)]
enum Part<'a> {
    Text(&'a RawValue),
    Calls(Vec<Fields<'a>>),
    Parsed(Value),
}

fn read(payload: &str) -> Option<Fields<'_>> {
    let texts: BTreeMap<String, &RawValue> = serde_json::from_str(payload).ok()?;
    let part = |(name, text): (String, _)| {
        let calls = (name == "tool_calls").then(|| calls(text)).flatten();
        (name, calls.unwrap_or(Part::Text(text)))
    };
    Some(texts.into_iter().map(part).collect())
}

fn calls(text: &RawValue) -> Option<Part<'_>> {
    let calls: Vec<BTreeMap<String, &RawValue>> = serde_json::from_str(text.get()).ok()?;
    let fields =
        |call: BTreeMap<_, _>| call.into_iter().map(|(name, text)| (name, Part::Text(text))).collect();
    Some(Part::Calls(calls.into_iter().map(fields).collect()))
}

/// Visits every field that may be cut, of the payload and of its calls.
fn each(fields: &mut Fields<'_>, visit: &mut dyn FnMut(&str, &mut Part<'_>)) {
    for (name, part) in fields.iter_mut().filter(|(name, _)| !KEPT.contains(&name.as_str())) {
        match part {
            Part::Calls(calls) => calls.iter_mut().for_each(|call| each(call, visit)),
            Part::Text(_) | Part::Parsed(_) => visit(name, part),
        }
    }
}

impl Part<'_> {
    /// Cuts every string over `longest` bytes; whether there was one. What no parser of ours holds, being nested too
    /// deep, is cut as a whole.
    fn shorten(&mut self, longest: usize, keep: usize) -> bool {
        let mut changed = false;
        if let Self::Text(text) = self
            && text.get().len() > longest
        {
            let parsed = json::read(text.get());
            changed = parsed.is_none();
            *self = Self::Parsed(parsed.unwrap_or_else(|| marked(text.get(), keep)));
        }
        if let Self::Parsed(value) = self {
            strings(value, &mut |v| changed |= shorten(v, longest, keep));
        }
        changed
    }

    /// Cuts the whole value's JSON where it is still over `longest` bytes.
    fn shorten_whole(&mut self, longest: usize, keep: usize) {
        let text = serde_json::to_string(self).unwrap_or_default();
        if text.len() > longest {
            *self = Self::Parsed(marked(&text, keep));
        }
    }

    /// Leaves only a response's `usage`.
    fn keep_usage(&mut self) {
        let text = serde_json::to_string(self).unwrap_or_default();
        let usage = serde_json::from_str::<Response<'_>>(&text).ok().and_then(|r| r.usage);
        let usage = usage.filter(|u| u.get().len() <= SMALL_USAGE_BYTES).and_then(|u| json::read(u.get()));
        *self = Self::Parsed(usage.map_or(Value::Null, |usage: Value| json!({ "usage": usage })));
    }
}

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

/// Visits every string below a value, and everything cut as a whole.
fn strings(value: &mut Value, visit: &mut dyn FnMut(&mut Value)) {
    match value {
        Value::String(_) => visit(value),
        Value::Object(_) if is_mark(value) => visit(value),
        Value::Object(fields) => fields.values_mut().for_each(|v| strings(v, visit)),
        Value::Array(items) => items.iter_mut().for_each(|v| strings(v, visit)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn is_mark(value: &Value) -> bool {
    value.as_object().is_some_and(|fields| fields.len() == 1 && fields.contains_key(MARK))
}

/// Cuts a string over `longest` bytes to `keep` bytes at either end, or a cut one further.
fn shorten(value: &mut Value, longest: usize, keep: usize) -> bool {
    match value {
        Value::String(text) if text.len() > longest => {
            *value = marked(text, keep);
            true
        }
        Value::Object(fields) => {
            for (end, cut) in [("head", head as fn(&str, usize) -> &str), ("tail", tail)] {
                if let Some(Value::String(text)) = fields.get_mut(MARK).and_then(|m| m.get_mut(end)) {
                    *text = cut(text, keep).to_owned();
                }
            }
            false
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => false,
    }
}

/// What stands for a text that was cut: its ends, its length and its hash.
fn marked(text: &str, keep: usize) -> Value {
    let hash = format!("{:032x}", xxh3_128(text.as_bytes()));
    json!({ MARK: {
        "head": head(text, keep), "tail": tail(text, keep), "bytes": text.len(), "xxh3_128": hash,
    } })
}

fn head(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn tail(text: &str, bytes: usize) -> &str {
    let mut start = text.len().saturating_sub(bytes);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

#[cfg(test)]
mod tests {
    use super::{Cow, Cut, MAX_PAYLOAD_BYTES, Value, cut, head_of, json};

    fn payload(response: &str) -> Vec<u8> {
        json!({ "session_id": "s", "hook_event_name": "PostToolUse", "tool_name": "Bash",
            "tool_response": { "stdout": response, "usage": { "input_tokens": 3 } } })
        .to_string()
        .into_bytes()
    }

    #[test]
    fn what_fits_comes_back_as_it_is() {
        for bytes in [payload("x"), payload(&"x".repeat(16 * 1024)), b"not json".to_vec(), Vec::new()] {
            let (how, out) = cut(&bytes);
            assert_eq!((how, out.as_ref()), (Cut::None, bytes.as_slice()));
        }
    }

    #[test]
    fn a_long_string_becomes_its_ends_length_and_hash() {
        let text = format!("{}ä{}", "a".repeat(9_000), "z".repeat(9_000));
        let bytes = payload(&text);
        let (how, out) = cut(&bytes);
        assert_eq!(how, Cut::LongStrings);
        let value: Value = serde_json::from_slice(&out).unwrap();
        let mark = &value["tool_response"]["stdout"]["$bursar_cut"];
        assert_eq!(mark["bytes"], text.len());
        assert_eq!(mark["head"], "a".repeat(8_192));
        assert_eq!(mark["tail"], "z".repeat(8_192));
        assert_eq!(mark["xxh3_128"].as_str().unwrap().len(), 32);
        assert_eq!(head_of(&value["tool_response"]["stdout"].to_string()).unwrap().len(), 8_192);
    }

    #[test]
    fn many_strings_are_cut_until_they_fit_and_usage_stays() {
        let parts: Vec<String> = (0..400).map(|i| format!("{i}{}", "y".repeat(2_000))).collect();
        let bytes = json!({ "session_id": "s", "tool_name": "N", "tool_response": { "parts": parts, "usage": {"output_tokens": 4} } });
        let bytes = bytes.to_string().into_bytes();
        let (how, out) = cut(&bytes);
        assert!(how >= Cut::Tight && out.len() <= MAX_PAYLOAD_BYTES, "{how:?}");
        let numbers: Vec<u64> = (0..200_000).collect();
        let bytes =
            json!({ "session_id": "s", "tool_response": { "n": numbers, "usage": {"output_tokens": 4} } });
        let bytes = bytes.to_string().into_bytes();
        let (how, out) = cut(&bytes);
        let value: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(
            (how, &value["tool_response"]),
            (Cut::NoResponses, &json!({ "usage": {"output_tokens": 4} }))
        );
        assert_eq!(value["session_id"], "s");
    }

    #[test]
    fn cutting_twice_is_cutting_once() {
        let bytes = payload(&"w".repeat(100_000));
        let once = cut(&bytes).1;
        assert!(matches!(cut(&once), (_, Cow::Borrowed(same)) if same == once.as_ref()));
    }

    #[test]
    fn what_is_not_json_and_too_long_keeps_its_head() {
        let bytes = vec![b'['; 300_000];
        assert_eq!(cut(&bytes), (Cut::Malformed, Cow::Borrowed(&bytes[..4_096])));
    }
}
