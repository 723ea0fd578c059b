//! What a hook reads: the client's own payloads, the seed's spelling, and everything that is neither.

use std::collections::BTreeSet;

use bursar_protocol::hook_input::{Event, HookInput, InputError, valid_id};
use proptest::prelude::*;
use serde_json::{Value, json};

/// One payload of each event and kind, as the client of this version wrote them.
const RECORDED: &str = include_str!("../data/claude-code-2.1.330-hooks.jsonl");

fn recorded() -> impl Iterator<Item = (&'static str, Value)> {
    RECORDED.lines().map(|line| (line, serde_json::from_str(line).unwrap()))
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn raw(value: &Value) -> Option<Value> {
    (!value.is_null()).then(|| value.clone())
}

fn parsed(raw: Option<&serde_json::value::RawValue>) -> Option<Value> {
    raw.map(|raw| serde_json::from_str(raw.get()).unwrap())
}

#[test]
fn every_payload_that_the_client_was_seen_to_send_is_understood() {
    let mut seen = BTreeSet::new();
    for (line, value) in recorded() {
        let input = HookInput::parse(line.as_bytes(), None).unwrap();
        assert_eq!(Some(input.event.name()), value["hook_event_name"].as_str());
        assert!(!input.seed_shape);
        assert_eq!(Some(input.session_id), text(&value["session_id"]));
        assert_eq!(input.transcript_path, text(&value["transcript_path"]));
        assert_eq!(input.cwd, text(&value["cwd"]));
        assert_eq!(input.agent_id, text(&value["agent_id"]));
        assert_eq!(input.agent_type, text(&value["agent_type"]));
        assert_eq!(input.agent_transcript_path, text(&value["agent_transcript_path"]));
        assert_eq!(input.tool_name, text(&value["tool_name"]));
        assert_eq!(input.tool_use_id, text(&value["tool_use_id"]));
        assert_eq!(input.error, text(&value["error"]));
        assert_eq!(parsed(input.tool_input), raw(&value["tool_input"]));
        assert_eq!(parsed(input.tool_response), raw(&value["tool_response"]));
        let source = ["source", "trigger", "reason"].iter().find_map(|name| text(&value[name]));
        assert_eq!(input.source, source, "{line}");
        seen.insert(input.event);
    }
    let never_seen: Vec<Event> = Event::ALL.into_iter().filter(|e| !seen.contains(e)).collect();
    assert_eq!(never_seen, [Event::Notification]);
}

#[test]
fn a_batch_tells_all_its_calls() {
    let mut sizes = BTreeSet::new();
    for (line, value) in recorded().filter(|(_, v)| v["hook_event_name"] == "PostToolBatch") {
        let input = HookInput::parse(line.as_bytes(), None).unwrap();
        let wanted = value["tool_calls"].as_array().unwrap();
        assert_eq!(input.tool_calls.len(), wanted.len());
        for (call, wanted) in input.tool_calls.iter().zip(wanted) {
            assert_eq!(call.tool_name, wanted["tool_name"]);
            assert_eq!(call.tool_use_id, wanted["tool_use_id"]);
            assert_eq!(parsed(call.tool_input), raw(&wanted["tool_input"]));
            assert_eq!(parsed(call.tool_response), raw(&wanted["tool_response"]));
        }
        sizes.insert(wanted.len());
    }
    assert!(sizes.len() > 1, "batches of one call and of several");
}

#[test]
fn an_agents_end_is_told_from_a_persons_prompt() {
    let notes =
        recorded().filter(|(line, _)| HookInput::parse(line.as_bytes(), None).unwrap().task_notification);
    assert_eq!(notes.count(), 1);
    let head = "<task-notification>\n".to_owned() + &"x".repeat(40_000);
    for (prompt, wanted) in [
        (json!("<task-notification>\n<task-id>a</task-id>"), true),
        (json!("\n  <task-notification>"), true),
        (json!("tell me about <task-notification>"), false),
        (json!("<task-notification"), false),
        (json!({ "$bursar_cut": { "head": head, "tail": "", "bytes": 1, "xxh3_128": "" } }), true),
        (json!({ "$bursar_cut": { "head": "do it", "tail": "<task-notification>" } }), false),
        (json!(7), false),
        (Value::Null, false),
    ] {
        let payload =
            json!({ "session_id": "s", "hook_event_name": "UserPromptSubmit", "prompt": prompt }).to_string();
        assert_eq!(
            HookInput::parse(payload.as_bytes(), None).unwrap().task_notification,
            wanted,
            "{payload:.80}"
        );
    }
    let half =
        br#"{"session_id":"s","hook_event_name":"UserPromptSubmit","prompt":"<task-notification> \ud83d"}"#;
    assert!(HookInput::parse(half, None).unwrap().task_notification, "half of a pair hides nothing");
}

/// A payload in the spelling of callers that name no event.
fn in_the_seeds_spelling(mut value: Value) -> String {
    let fields = value.as_object_mut().unwrap();
    fields.remove("hook_event_name");
    for (ours, seeds) in [
        ("session_id", "sessionId"),
        ("tool_name", "tool"),
        ("tool_input", "arguments"),
        ("tool_response", "response"),
    ] {
        if let Some(field) = fields.remove(ours) {
            fields.insert(seeds.to_owned(), field);
        }
    }
    value.to_string()
}

#[test]
fn the_seeds_spelling_says_the_same() {
    for (line, value) in recorded() {
        let ours = HookInput::parse(line.as_bytes(), None).unwrap();
        let payload = in_the_seeds_spelling(value);
        let seeds = HookInput::parse(payload.as_bytes(), Some(ours.event.name())).unwrap();
        assert!(seeds.seed_shape);
        assert_eq!((seeds.event, &seeds.session_id), (ours.event, &ours.session_id));
        assert_eq!((&seeds.tool_name, &seeds.tool_use_id), (&ours.tool_name, &ours.tool_use_id));
        assert_eq!(parsed(seeds.tool_input), parsed(ours.tool_input));
        assert_eq!(parsed(seeds.tool_response), parsed(ours.tool_response));
    }
}

#[test]
fn where_both_spellings_stand_the_clients_counts() {
    let payload =
        br#"{"sessionId":"seed","session_id":"ours","hook_event_name":"Stop","tool":"A","tool_name":"B",
        "arguments":1,"tool_input":2,"response":3,"tool_response":4}"#;
    let input = HookInput::parse(payload, Some("PreToolUse")).unwrap();
    assert_eq!((input.event, input.seed_shape), (Event::Stop, false));
    assert_eq!((input.session_id.as_str(), input.tool_name.as_deref()), ("ours", Some("B")));
    assert_eq!((parsed(input.tool_input), parsed(input.tool_response)), (Some(json!(2)), Some(json!(4))));
}

#[test]
fn what_cannot_be_used_says_why() {
    let unknown = |name: &str| InputError::UnknownEvent(name.to_owned());
    for (payload, argument, wanted) in [
        (r#"{"session_id":"s"}"#, None, unknown("")),
        (r#"{"session_id":"s"}"#, Some("Flush"), unknown("Flush")),
        (r#"{"session_id":"s","hook_event_name":"Flush"}"#, Some("Stop"), unknown("Flush")),
        (r#"{"session_id":"s","hook_event_name":"stop"}"#, None, unknown("stop")),
        (r#"{"session_id":"s","hook_event_name":""}"#, Some("Stop"), unknown("")),
        (r#"{"hook_event_name":"Stop"}"#, None, InputError::NoSession),
        (r#"{"hook_event_name":"Stop","session_id":""}"#, None, InputError::NoSession),
        (r#"{"hook_event_name":"Stop","session_id":"../x"}"#, None, InputError::NoSession),
        (r#"{"hook_event_name":"Stop","session_id":["s"]}"#, None, InputError::NoSession),
        (r#"{"hook_event_name":"Stop","session_id":null}"#, None, InputError::NoSession),
    ] {
        assert_eq!(HookInput::parse(payload.as_bytes(), argument).unwrap_err(), wanted, "{payload}");
    }
}

#[test]
fn what_is_no_object_of_json_is_malformed() {
    let deep = "[".repeat(1_000_000);
    let array = format!(r#"["s","s","Stop"{}]"#, ",null".repeat(18));
    let open = format!(r#"{{"session_id":"s","hook_event_name":"Stop","tool_input":{deep}"#);
    for payload in [
        b"".as_slice(),
        b"not json",
        b"[]",
        b"null",
        b"\"text\"",
        array.as_bytes(),
        b"{",
        br#"{"session_id":"s","hook_event_name":"Stop"} trailing"#,
        br#"{"session_id":"s","hook_event_name":"Stop","tool_input":NaN}"#,
        br#"{"session_id":"s","hook_event_name":"Stop","session_id":"t"}"#,
        b"{\"session_id\":\"s\",\"hook_event_name\":\"Stop\",\"cwd\":\"\xff\"}",
        b"{\"session_id\":\"s\",\"hook_event_name\":\"Stop\",\"cwd\":\"a\0b\"}",
        deep.as_bytes(),
        open.as_bytes(),
    ] {
        let error = HookInput::parse(payload, Some("Stop")).unwrap_err();
        assert!(matches!(error, InputError::Malformed(_)), "{error}");
        assert!(error.to_string().len() < 300, "an error does not carry the payload");
    }
}

#[test]
fn a_field_of_the_wrong_type_counts_as_absent() {
    let fields = [
        "transcript_path",
        "cwd",
        "agent_id",
        "agent_type",
        "agent_transcript_path",
        "source",
        "tool_name",
        "tool_use_id",
        "tool_calls",
        "prompt",
        "error",
    ];
    for field in fields {
        for value in [json!(null), json!(3), json!(true), json!({ "a": "b" }), json!([1]), json!(1e308)] {
            let payload = json!({ "session_id": "s", "hook_event_name": "Stop", field: value }).to_string();
            let input = HookInput::parse(payload.as_bytes(), None).unwrap();
            assert_eq!((input.event, input.session_id.as_str()), (Event::Stop, "s"));
            let strings = [input.transcript_path, input.cwd, input.agent_id, input.agent_type, input.source];
            assert!(strings.iter().all(Option::is_none), "{payload}");
            assert!(input.agent_transcript_path.is_none() && input.tool_name.is_none(), "{payload}");
            assert!(input.tool_use_id.is_none() && input.error.is_none() && input.tool_calls.is_empty());
        }
    }
}

#[test]
fn what_a_tool_takes_and_says_is_never_looked_into() {
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    for value in [
        "1e999",
        "-0",
        "123456789012345678901234567890",
        r#""\ud83d""#,
        r#""\u0000""#,
        r#"{"a":1,"a":2}"#,
        &deep,
    ] {
        let payload = format!(
            r#"{{"session_id":"s","hook_event_name":"PreToolUse","tool_name":"T","tool_input":{value},"x":{value}}}"#
        );
        let input = HookInput::parse(payload.as_bytes(), None).unwrap();
        assert_eq!(input.tool_input.unwrap().get(), value);
    }
}

#[test]
fn ids_are_made_of_harmless_characters() {
    let longest = "x".repeat(128);
    for id in ["a", "704bd2ce-f72b-49e4-b777-f18b25948067", "toolu_01A.b:c", "a..b", longest.as_str()] {
        assert!(valid_id(id), "{id}");
    }
    let too_long = "x".repeat(129);
    for id in ["", ".", "..", ".hidden", "a/b", "a b", "a\n", "a\0", "ä", "a\"", too_long.as_str()] {
        assert!(!valid_id(id), "{id:?}");
    }
}

#[test]
fn an_event_is_known_by_the_name_that_it_has() {
    for event in Event::ALL {
        assert_eq!(Event::from_name(event.name()), Some(event));
    }
    let names: BTreeSet<_> = Event::ALL.iter().map(|e| e.name()).collect();
    assert_eq!(names.len(), Event::ALL.len());
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), argument in prop::option::of(".{0,20}")) {
        let _ = HookInput::parse(&bytes, argument.as_deref());
        let inside = [br#"{"session_id":"s","hook_event_name":"Stop","prompt":"#.as_slice(), &bytes, b"}"].concat();
        let _ = HookInput::parse(&inside, argument.as_deref());
    }

    #[test]
    fn a_name_that_is_no_event_is_refused(name in "[A-Za-z]{0,20}") {
        let payload = json!({ "session_id": "s", "hook_event_name": name }).to_string();
        let input = HookInput::parse(payload.as_bytes(), None);
        prop_assert_eq!(input.is_ok(), Event::ALL.iter().any(|e| e.name() == name));
    }
}
