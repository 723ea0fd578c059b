//! Cutting (HOOK 4): whatever a payload holds, it fits, it reads, and what names the call is still there.

use std::borrow::Cow;

use bursar_protocol::cut::{LONG_STRING_BYTES, MAX_PAYLOAD_BYTES, cut};
use bursar_protocol::hook_input::HookInput;
use bursar_protocol::message::Cut;
use proptest::prelude::*;
use serde_json::{Value, json};

/// The payload with this JSON as what a tool took and said.
fn payload(input: &str, response: &str) -> String {
    format!(
        r#"{{"session_id":"s1","transcript_path":"/t/s1.jsonl","cwd":"/home/dev","hook_event_name":"PostToolUse","agent_id":"a1","agent_type":"Explore","tool_name":"Bash","tool_input":{input},"tool_response":{response},"tool_use_id":"toolu_1"}}"#
    )
}

fn batch(input: &str, response: &str) -> String {
    let call = |n: u32| {
        format!(
            r#"{{"tool_name":"Bash","tool_input":{input},"tool_use_id":"toolu_{n}","tool_response":{response}}}"#
        )
    };
    format!(
        r#"{{"session_id":"s1","hook_event_name":"PostToolBatch","agent_id":"a1","tool_calls":[{},{}]}}"#,
        call(1),
        call(2)
    )
}

/// What names the event, the session and the calls.
fn names(payload: &[u8]) -> Vec<String> {
    let input = HookInput::parse(payload, None).unwrap();
    let mut names = vec![input.event.name().to_owned(), input.session_id];
    names.extend([input.transcript_path, input.cwd, input.agent_id, input.agent_type].into_iter().flatten());
    names.extend([input.tool_name, input.tool_use_id].into_iter().flatten());
    names.extend(input.tool_calls.iter().map(|c| format!("{} {}", c.tool_name, c.tool_use_id)));
    names
}

/// What holds for every payload that the client can write.
fn check(payload: &str) -> (Cut, Vec<u8>) {
    let (how, bytes) = cut(payload.as_bytes());
    let shown = || format!("{how:?} of {} bytes {payload:.300}", payload.len());
    assert!(bytes.len() <= MAX_PAYLOAD_BYTES, "fits: {}", shown());
    assert_ne!(how, Cut::Malformed, "stays readable: {}", shown());
    assert_eq!(names(&bytes), names(payload.as_bytes()), "names stay: {}", shown());
    assert_eq!(how == Cut::None, bytes == payload.as_bytes(), "flagged when cut: {}", shown());
    assert_eq!(cut(payload.as_bytes()), (how, Cow::Borrowed(bytes.as_ref())), "the same again: {}", shown());
    assert_eq!(cut(&bytes), (Cut::None, Cow::Borrowed(bytes.as_ref())), "twice is once: {}", shown());
    (how, bytes.into_owned())
}

fn nested(depth: usize, inside: &str) -> String {
    format!("{}{inside}{}", r#"{"a":["#.repeat(depth), "]}".repeat(depth))
}

/// JSON that an agent can make a tool take or say, each far over the limits.
fn hostile() -> Vec<(&'static str, String)> {
    let long = "x".repeat(300_000);
    let numbers = (0..80_000).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let keys = (0..40_000).map(|n| format!(r#""k{n}":0"#)).collect::<Vec<_>>().join(",");
    let strings = vec![format!("\"{}\"", "y".repeat(200)); 2_000].join(",");
    vec![
        ("a long string", format!("\"{long}\"")),
        ("many strings", format!("[{strings}]")),
        ("half of a pair", format!(r#"{{"content":"{long}\ud83d"}}"#)),
        ("halves in the wrong order", format!(r#"{{"content":"\ude00\ud83d{long}"}}"#)),
        ("half of a pair in a key", format!(r#"{{"\ud83d":"{long}"}}"#)),
        ("control characters", format!(r#""{}""#, r"\u0000\u001b\n".repeat(30_000))),
        ("escapes that grow", format!(r#""{}""#, r"\u0001".repeat(60_000))),
        ("two bytes a character", format!("\"{}\"", "ä".repeat(150_000))),
        ("four bytes a character", format!("\"a{}\"", "\u{1F600}".repeat(75_000))),
        ("a depth bomb", nested(120_000, "1")),
        ("a string at the bottom of the deep", nested(200, &format!("\"{long}\""))),
        ("numbers", format!("[{numbers}]")),
        ("a number that is none", format!(r#"{{"n":1e999,"s":"{long}"}}"#)),
        ("great numbers", format!(r#"{{"n":[1e308,-1e308,123456789012345678901234567890],"s":"{long}"}}"#)),
        ("many keys", format!("{{{keys}}}")),
        ("a long key", format!(r#"{{"{long}":1}}"#)),
        ("the same key twice", format!(r#"{{"a":"{long}","a":"{long}"}}"#)),
        ("what looks cut", format!(r#"{{"$bursar_cut":{{"head":"{long}","tail":3}}}}"#)),
        ("numbers in what looks cut", format!(r#"{{"$bursar_cut":[{numbers}]}}"#)),
    ]
}

#[test]
fn whatever_a_tool_takes_or_says_the_call_stays_readable() {
    for (what, value) in hostile() {
        for payload in [payload(&value, "1"), payload("1", &value), batch(&value, "1"), batch("1", &value)] {
            let (how, _) = check(&payload);
            assert_ne!(how, Cut::None, "{what}");
        }
    }
}

#[test]
fn what_nobody_asked_for_may_be_long_too() {
    for (what, value) in hostile() {
        for field in ["prompt", "error", "last_assistant_message", "background_tasks", "something_new"] {
            let payload = format!(r#"{{"hook_event_name":"Stop","session_id":"s1","{field}":{value}}}"#);
            assert_ne!(check(&payload).0, Cut::None, "{what} in {field}");
        }
    }
}

#[test]
fn what_is_no_json_keeps_its_head_and_costs_little() {
    let open = format!(r#"{{"session_id":"s","tool_input":{}"#, "[".repeat(1_000_000));
    let mut no_text = payload(&format!("\"{}\"", "x".repeat(20_000)), "1").into_bytes();
    no_text[15_000] = 0xFF;
    for bytes in [
        vec![b'['; 1_000_000],
        vec![0; 300_000],
        vec![0xFF; 300_000],
        format!("[{}1]", "1,".repeat(100_000)).into_bytes(),
        format!("\"{}\"", "x".repeat(300_000)).into_bytes(),
        format!(r#"{{"session_id":"s","a":NaN,"b":"{}"}}"#, "x".repeat(20_000)).into_bytes(),
        open.into_bytes(),
        no_text,
    ] {
        let (how, head) = cut(&bytes);
        assert_eq!((how, head.as_ref()), (Cut::Malformed, &bytes[..4_096]));
    }
}

#[test]
fn a_string_of_exactly_the_limit_stays_and_one_byte_more_is_cut() {
    let of = |length: usize| payload(&format!(r#"{{"command":"{}"}}"#, "x".repeat(length)), "1");
    assert_eq!(check(&of(LONG_STRING_BYTES)).0, Cut::None);
    let (how, bytes) = check(&of(LONG_STRING_BYTES + 1));
    assert_eq!(how, Cut::LongStrings);
    let value: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(value["tool_input"]["command"]["$bursar_cut"]["bytes"], LONG_STRING_BYTES + 1);
}

#[test]
fn different_strings_are_cut_to_different_hashes_and_equal_ones_to_equal() {
    let hash = |middle: char| {
        let text = format!("{}{middle}{}", "a".repeat(20_000), "z".repeat(20_000));
        let (_, bytes) = check(&payload(&json!({ "command": text }).to_string(), "1"));
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        value["tool_input"]["command"]["$bursar_cut"]["xxh3_128"].clone()
    };
    assert_eq!(hash('m'), hash('m'));
    assert_ne!(hash('m'), hash('n'));
}

/// What stands for the first string of a tool's input.
fn mark_of(bytes: &[u8]) -> Value {
    let value: Value = serde_json::from_slice(bytes).unwrap();
    value["tool_input"][0]["$bursar_cut"].clone()
}

#[test]
fn the_ends_of_a_cut_string_are_whole_characters_and_within_their_limit() {
    for offset in 0..4 {
        let text = format!("{}{}{}", "a".repeat(offset), "\u{1F600}".repeat(10_000), "z".repeat(offset));
        let mark = mark_of(&check(&payload(&json!([text]).to_string(), "1")).1);
        let (head, tail) = (mark["head"].as_str().unwrap(), mark["tail"].as_str().unwrap());
        assert!(text.starts_with(head) && text.ends_with(tail), "{offset}");
        assert!([head, tail].iter().all(|end| (8_189..=8_192).contains(&end.len())), "{offset}");
    }
}

#[test]
fn a_string_that_is_cut_further_still_tells_the_whole_ones_length_and_hash() {
    let texts = |count: usize| json!(vec!["x".repeat(20_000); count]).to_string();
    let (little, little_bytes) = check(&payload(&texts(1), "1"));
    let (tight, tight_bytes) = check(&payload(&texts(100), "1"));
    let (emptied, emptied_bytes) = check(&payload(&texts(1_000), "1"));
    assert_eq!((little, tight, emptied), (Cut::LongStrings, Cut::Tight, Cut::Emptied));
    let whole = mark_of(&little_bytes);
    for (bytes, kept) in [(little_bytes, 8_192), (tight_bytes, 512), (emptied_bytes, 0)] {
        let mark = mark_of(&bytes);
        assert_eq!((&mark["bytes"], &mark["xxh3_128"]), (&json!(20_000), &whole["xxh3_128"]));
        assert_eq!((&mark["head"], &mark["tail"]), (&json!("x".repeat(kept)), &json!("x".repeat(kept))));
    }
}

#[test]
fn a_path_beside_a_long_string_with_half_of_a_pair_stays() {
    let input = format!(r#"{{"file_path":"/src/a.rs","content":"{}\ud83d"}}"#, "x".repeat(20_000));
    let (_, bytes) = check(&payload(&input, "1"));
    let value: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(value["tool_input"]["file_path"], "/src/a.rs");
}

#[test]
fn usage_stays_wherever_the_rest_of_a_response_goes() {
    let usage = format!(r#"{{"input_tokens":3,"iterations":[{}0]}}"#, "0,".repeat(990));
    for (what, value) in hostile() {
        let response = format!(r#"{{"stdout":{value},"usage":{usage}}}"#);
        // What no parser holds goes as a whole.
        if matches!(what, "a depth bomb" | "a string at the bottom of the deep" | "a number that is none") {
            continue;
        }
        let (_, bytes) = check(&payload("1", &response));
        let cut: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(cut["tool_response"]["usage"].to_string(), usage, "{what}");
    }
    let huge = format!(r#"{{"n":[{}1],"usage":{{"a":[{}1]}}}}"#, "1,".repeat(150_000), "2,".repeat(3_000));
    let (_, bytes) = check(&payload("1", &huge));
    let cut: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(cut["tool_response"], Value::Null, "what only claims to be usage is not kept");
}

#[test]
fn whatever_else_does_not_fit_who_asks_and_about_what_does() {
    for (calls, id_bytes, kept) in [(3_000, 100, 1_000), (3_000, 3_000, 0)] {
        let calls = vec![json!({ "tool_name": "Bash", "tool_use_id": "x".repeat(id_bytes) }); calls];
        let mut payload =
            json!({ "session_id": "s1", "hook_event_name": "PostToolBatch", "tool_calls": calls });
        for n in 0..3_000 {
            payload[format!("field{n}")] = json!(["y".repeat(90)]);
        }
        payload["cwd"] = json!("/".repeat(300_000));
        let payload = payload.to_string();
        let (how, bytes) = cut(payload.as_bytes());
        assert!(
            how == Cut::NoResponses && bytes.len() <= MAX_PAYLOAD_BYTES,
            "{how:?}, {} bytes",
            bytes.len()
        );
        let cut: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!((&cut["session_id"], &cut["hook_event_name"]), (&json!("s1"), &json!("PostToolBatch")));
        assert_eq!(cut["tool_calls"].as_array().map_or(0, Vec::len), kept);
    }
}

/// JSON with strings up to many times the limit, of characters that are hard to cut.
fn value() -> impl Strategy<Value = Value> {
    let unit = prop::sample::select(vec!["x", "ä", "漢", "\u{1F600}", "\\", "\"", "\n", "\0", "<"]);
    let string = (unit, 0usize..40_000).prop_map(|(unit, count)| Value::from(unit.repeat(count)));
    let number = any::<i64>().prop_map(Value::from);
    let float = any::<f64>().prop_map(|n| json!(n));
    let leaf = prop_oneof![4 => string, 1 => number, 1 => float, 1 => Just(Value::Null)];
    leaf.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[a-z$_]{0,12}", inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_payload_fits_and_keeps_its_names(input in value(), response in value()) {
        check(&payload(&input.to_string(), &response.to_string()));
        check(&batch(&input.to_string(), &response.to_string()));
    }

    #[test]
    fn usage_stays(input in value(), tokens in any::<u64>()) {
        let response = json!({ "text": input, "usage": { "output_tokens": tokens } });
        let (_, bytes) = check(&payload(&input.to_string(), &response.to_string()));
        let cut: Value = serde_json::from_slice(&bytes).unwrap();
        prop_assert_eq!(&cut["tool_response"]["usage"], &json!({ "output_tokens": tokens }));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..2_000), times in 1usize..200) {
        let bytes = bytes.repeat(times);
        let (how, out) = cut(&bytes);
        prop_assert!(out.len() <= MAX_PAYLOAD_BYTES);
        prop_assert_eq!(how == Cut::None, out.as_ref() == bytes.as_slice());
    }
}
