//! Cutting long strings so that every payload fits a frame (HOOK 4). Pure: whoever cuts, the same comes out, so that
//! what is made of a cut payload is the same in the hook and in a replay.

use std::borrow::Cow;

use serde_json::{Map, Value, json};
use xxhash_rust::xxh3::xxh3_128;

use crate::message::Cut;

/// A string over this many bytes is cut.
pub const LONG_STRING_BYTES: usize = 16 * 1024;

/// The most bytes of a payload: the frame's limit, less room for the other fields.
pub const MAX_PAYLOAD_BYTES: usize = 240 * 1024;

/// What is kept of something too long that is not JSON.
const MALFORMED_HEAD_BYTES: usize = 4 * 1024;

/// A response's `usage` stays where the response goes, if it is no longer than this.
const SMALL_USAGE_BYTES: usize = 2 * 1024;

/// The fields that may be cut; ids, names, event, session and paths never are.
const CUTTABLE: [&str; 11] = [
    "tool_input",
    "arguments",
    "tool_response",
    "response",
    "tool_calls",
    "prompt",
    "error",
    "last_assistant_message",
    "compact_summary",
    "custom_instructions",
    "background_tasks",
];

/// The key of the object that stands for a cut string.
const MARK: &str = "$bursar_cut";

type Stage = fn(&mut Map<String, Value>);

/// Cuts a payload as far as it has to be. One in which no string can be too long comes back as it is, unparsed.
pub fn cut(payload: &[u8]) -> (Cut, Cow<'_, [u8]>) {
    if payload.len() <= LONG_STRING_BYTES {
        return (Cut::None, Cow::Borrowed(payload));
    }
    let Ok(Value::Object(mut fields)) = serde_json::from_slice(payload) else {
        return (Cut::Malformed, Cow::Borrowed(&payload[..payload.len().min(MALFORMED_HEAD_BYTES)]));
    };
    let mut changed = false;
    each_cuttable(&mut fields, &mut |v| changed |= shorten(v, LONG_STRING_BYTES, LONG_STRING_BYTES / 2));
    if !changed && payload.len() <= MAX_PAYLOAD_BYTES {
        return (Cut::None, Cow::Borrowed(payload));
    }
    let stages: [(Cut, Stage); 4] = [
        (Cut::LongStrings, |_| {}),
        (Cut::Tight, |f| each_cuttable(f, &mut |v| _ = shorten(v, 1_024, 512))),
        (Cut::Emptied, |f| each_cuttable(f, &mut |v| _ = shorten(v, 128, 0))),
        (Cut::NoResponses, without_responses),
    ];
    for (how, stage) in stages {
        stage(&mut fields);
        let bytes = serde_json::to_vec(&fields).unwrap_or_default();
        if (1..=MAX_PAYLOAD_BYTES).contains(&bytes.len()) {
            return (how, Cow::Owned(bytes));
        }
    }
    (Cut::Malformed, Cow::Borrowed(&payload[..MALFORMED_HEAD_BYTES]))
}

fn each_cuttable(fields: &mut Map<String, Value>, visit: &mut dyn FnMut(&mut Value)) {
    for (name, value) in fields.iter_mut().filter(|(name, _)| CUTTABLE.contains(&name.as_str())) {
        if name != "tool_calls" {
            strings(value, visit);
            continue;
        }
        for call in value.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            let inside =
                call.iter_mut().filter(|(name, _)| !matches!(name.as_str(), "tool_name" | "tool_use_id"));
            inside.for_each(|(_, v)| strings(v, visit));
        }
    }
}

/// Visits every string below a value, and every cut string as a whole.
fn strings(value: &mut Value, visit: &mut dyn FnMut(&mut Value)) {
    match value {
        Value::String(_) => visit(value),
        Value::Object(fields) if fields.len() == 1 && fields.contains_key(MARK) => visit(value),
        Value::Object(fields) => fields.values_mut().for_each(|v| strings(v, visit)),
        Value::Array(items) => items.iter_mut().for_each(|v| strings(v, visit)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Cuts a string over `longest` bytes to `keep` bytes at either end, or a cut one further.
fn shorten(value: &mut Value, longest: usize, keep: usize) -> bool {
    match value {
        Value::String(text) if text.len() > longest => {
            let hash = format!("{:032x}", xxh3_128(text.as_bytes()));
            *value = json!({ MARK: {
                "head": head(text, keep), "tail": tail(text, keep), "bytes": text.len(), "xxh3_128": hash,
            } });
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

fn without_responses(fields: &mut Map<String, Value>) {
    let shrink = |holder: &mut Map<String, Value>| {
        for name in ["tool_response", "response"] {
            if let Some(response) = holder.get_mut(name) {
                let usage = response.get("usage").filter(|u| u.to_string().len() <= SMALL_USAGE_BYTES);
                *response = usage.map_or(Value::Null, |usage| json!({ "usage": usage }));
            }
        }
    };
    shrink(fields);
    let calls = fields.get_mut("tool_calls").and_then(Value::as_array_mut);
    calls.into_iter().flatten().filter_map(Value::as_object_mut).for_each(shrink);
}

/// The head of a cut string, if `json` is one.
pub fn head_of(json: &str) -> Option<String> {
    let value: Value = serde_json::from_str(json).ok()?;
    value.get(MARK)?.get("head")?.as_str().map(str::to_owned)
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
