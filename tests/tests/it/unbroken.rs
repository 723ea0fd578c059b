//! Whatever a hook meets, it is back within its deadline: a daemon that hangs, and input of every kind.

use std::time::Duration;

use bursar_tests::daemon::Bursar;
use bursar_tests::process::Finished;
use bursar_tests::settings::EVENTS;
use serde_json::{Value, json};

use crate::common::{SOON, bare};

/// A hook's deadline where a daemon serves, and a batch's (HOOK 4).
const DEADLINE: Duration = Duration::from_millis(250);
const BATCH_DEADLINE: Duration = Duration::from_secs(1);

/// Starting and ending a process takes this much more, at its best.
const AROUND: Duration = Duration::from_millis(50);

/// A busy machine may keep a hook from running; of so many tries one is undisturbed.
const TRIES: usize = 4;

fn payload(event: &str) -> Value {
    json!({ "session_id": "s", "hook_event_name": event, "tool_name": "Bash" })
}

#[track_caller]
fn hook(bursar: &Bursar<'_>, payload: &[u8]) -> Finished {
    bursar.start_hook(payload).wait_from_now(SOON)
}

#[test]
fn a_frozen_daemon_keeps_no_hook_past_its_deadline() {
    let world = bare();
    let mut bursar = Bursar::new(&world, &[]);
    bursar.start();
    let before = hook(&bursar, payload("PreToolUse").to_string().as_bytes());
    assert_eq!(before.code, Some(0));
    bursar.freeze();
    for event in EVENTS {
        let deadline = if event == "PostToolBatch" { BATCH_DEADLINE } else { DEADLINE };
        let mut took = Vec::new();
        while took.len() < TRIES && took.last().is_none_or(|last| *last > deadline + AROUND) {
            let said = hook(&bursar, payload(event).to_string().as_bytes());
            assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{event}");
            assert_eq!(said.stdout.is_empty(), event != "SessionStart", "{event}: {}", said.stdout);
            // The clock of a test starts a little late.
            assert!(said.took >= deadline / 2, "{event}: it did not wait: {said:?}");
            took.push(said.took);
        }
        assert!(
            took.last().is_some_and(|last| *last <= deadline + AROUND),
            "{event}: over {deadline:?}: {took:?}"
        );
    }
    bursar.thaw();
    let after = hook(&bursar, payload("PreToolUse").to_string().as_bytes());
    assert_eq!(after.code, Some(0));
    assert!(bursar.spool().lines().count() >= EVENTS.len(), "each left a line: {}", bursar.spool());
}

/// Inputs that are no hook's.
fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    let with =
        |field: &str| format!(r#"{{"session_id":"s","hook_event_name":"PostToolUse",{field}}}"#).into_bytes();
    vec![
        ("empty", Vec::new()),
        ("not JSON", b"Traceback (most recent call last):".to_vec()),
        ("a million brackets", "[".repeat(1_000_000).into_bytes()),
        ("a million brackets in a field", with(&format!(r#""tool_input":{}"#, "[".repeat(1_000_000)))),
        ("not a number", with(r#""tool_response":{"usage":{"input_tokens":NaN}}"#)),
        ("a key twice", with(r#""session_id":"t""#)),
        ("NUL bytes", vec![0; 4096]),
        ("a NUL byte in a string", with("\"cwd\":\"a\0b\"")),
        (
            "invalid UTF-8",
            b"{\"session_id\":\"s\",\"hook_event_name\":\"Stop\",\"cwd\":\"\xff\xfe\"}".to_vec(),
        ),
        ("100 MiB of nothing", vec![b' '; 100 << 20]),
        ("100 MiB without an end", with(&format!("\"tool_response\":\"{}", "x".repeat(100 << 20)))),
        ("an unknown event", br#"{"session_id":"s","hook_event_name":"PreFlight"}"#.to_vec()),
        ("no event", br#"{"session_id":"s"}"#.to_vec()),
        ("no session", br#"{"hook_event_name":"PreToolUse","tool_name":"Bash"}"#.to_vec()),
        ("an empty session", br#"{"session_id":"","hook_event_name":"PreToolUse"}"#.to_vec()),
        ("half a pair for a session", br#"{"session_id":"\ud83d","hook_event_name":"PreToolUse"}"#.to_vec()),
        ("a number for a session", br#"{"session_id":-5,"hook_event_name":"PreToolUse"}"#.to_vec()),
        ("an object for an event", br#"{"session_id":"s","hook_event_name":{"a":1}}"#.to_vec()),
    ]
}

/// The fields that a payload may have, but those that it must.
const FIELDS: [&str; 16] = [
    "transcript_path",
    "cwd",
    "agent_id",
    "agent_type",
    "agent_transcript_path",
    "source",
    "trigger",
    "reason",
    "tool_name",
    "tool_use_id",
    "tool_input",
    "tool_response",
    "tool_calls",
    "prompt",
    "error",
    "permission_mode",
];

/// Inputs that are a hook's, with something in them that nobody sends.
fn odd() -> Vec<(&'static str, Vec<u8>)> {
    let with =
        |field: &str| format!(r#"{{"session_id":"s","hook_event_name":"PostToolUse",{field}}}"#).into_bytes();
    let mut odd = vec![
        ("huge numbers", with(r#""tool_response":{"usage":{"input_tokens":1e308,"output_tokens":1e999}}"#)),
        ("negative numbers", with(r#""tool_response":{"usage":{"input_tokens":-5,"output_tokens":-1e308}}"#)),
        (
            "half a pair",
            with(r#""tool_name":"\ud83d","tool_input":{"command":"\udc00\u0000"},"cwd":"\ud800x""#),
        ),
        ("keys twice inside", with(r#""tool_input":{"a":1,"a":2},"tool_response":{"usage":{},"usage":[]}"#)),
        ("100 MiB of text", with(&format!("\"tool_response\":\"{}\"", "x".repeat(100 << 20)))),
        ("a transcript that is none", with(r#""transcript_path":"/dev/zero","agent_id":"../../x""#)),
    ];
    for (what, value) in
        [("numbers", "-5"), ("lists", "[[1e308]]"), ("objects", r#"{"a":null}"#), ("null", "null")]
    {
        let all = FIELDS.map(|field| format!(r#""{field}":{value}"#)).join(",");
        odd.push((what, with(&all)));
    }
    odd
}

#[test]
fn input_of_every_kind_says_nothing_and_harms_nobody() {
    let world = bare();
    let mut bursar = Bursar::new(&world, &[("TOKEN_BUDGET_ON_PAUSE", "deny")]);
    bursar.start();
    let shut = payload("PreToolUse").to_string().replace("\"s\"", "\"shut\"");
    assert_eq!(hook(&bursar, shut.as_bytes()).code, Some(0));
    bursar.done(&["budget", "set", "session:shut", "--shut"]);
    let mut sent = 1;
    let (malformed, odd) = (malformed(), odd());
    let count = malformed.len() as u64;
    for (what, input) in malformed.into_iter().chain(odd) {
        let said = hook(&bursar, &input);
        assert_eq!((said.code, said.stdout.as_str(), said.stderr.as_str()), (Some(0), "", ""), "{what}");
        assert_eq!(bursar.spool(), "", "{what}: it was the daemon's to answer, in time");
        // The next good one is answered, and by a decision.
        assert_eq!(hook(&bursar, shut.as_bytes()).code, Some(2), "after {what}");
        sent += 2;
    }
    let status = bursar.status();
    assert_eq!((status.malformed, status.hooks, status.failed_open), (count, sent, 0));
    assert_eq!(bursar.sessions(false).len(), 2, "nothing made a session up");
    let used: Vec<u64> =
        ["session:s", "session:shut"].map(|id| bursar.budget(id).map_or(0, |b| b.tokens_used)).into();
    assert_eq!(used, [0, 0], "and nothing was counted");
}
