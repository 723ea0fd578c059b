//! What comes on standard input: nothing is too large, and nothing malformed says a byte.

use std::io::Write as _;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use bursar_protocol::cut::MAX_PAYLOAD_BYTES;
use bursar_protocol::hook_input::HookInput;
use bursar_protocol::message::Cut;
use serde_json::json;

use crate::scripted::{Daemon, STOP, stop};
use crate::world::{Said, World, payload};

fn with_response(bytes: usize) -> String {
    let response = json!({ "stdout": "x".repeat(bytes), "usage": { "output_tokens": 5 } });
    json!({ "session_id": "s1", "hook_event_name": "PostToolUse", "tool_use_id": "toolu_1", "tool_response": response })
        .to_string()
}

#[test]
fn a_large_payload_arrives_cut_and_still_says_what_it_is() {
    for bytes in [1_500_000, 64 << 20] {
        let world = World::new();
        let daemon = Daemon::answering(&world.socket(), stop());
        assert_eq!(world.run(with_response(bytes)), Said::new(0, STOP, ""), "{bytes}");
        let hook = daemon.next_hook();
        assert_eq!(hook.cut, Cut::LongStrings);
        assert!(hook.payload.len() <= MAX_PAYLOAD_BYTES);
        let input = HookInput::parse(&hook.payload, None).unwrap();
        assert_eq!((input.session_id.as_str(), input.tool_use_id.as_deref()), ("s1", Some("toolu_1")));
        assert!(input.tool_response.unwrap().get().contains(r#""usage":{"output_tokens":5}"#));
    }
}

#[test]
fn a_payload_that_comes_slowly_is_read_to_its_end() {
    let world = World::new();
    let daemon = Daemon::answering(&world.socket(), stop());
    let mut child =
        world.command().stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let payload = payload("PreToolUse");
    let (first, second) = payload.split_at(30);
    stdin.write_all(first.as_bytes()).unwrap();
    // Longer than any deadline: they are the daemon's, not the client's.
    sleep(Duration::from_millis(1_200));
    stdin.write_all(second.as_bytes()).unwrap();
    drop(stdin);
    assert_eq!(daemon.next_hook().payload, payload.as_bytes());
    assert!(child.wait().unwrap().success());
}

/// What is no hook's input.
fn malformed() -> Vec<Vec<u8>> {
    let deep = "[".repeat(1_000_000);
    vec![
        Vec::new(),
        b"not json".to_vec(),
        b"null".to_vec(),
        b"{".to_vec(),
        b"\xff\xfe\x00".to_vec(),
        vec![0; 300_000],
        deep.clone().into_bytes(),
        format!(r#"{{"session_id":"s1","hook_event_name":"Stop","x":{deep}"#).into_bytes(),
        br#"{"session_id":"s1"}"#.to_vec(),
        br#"{"hook_event_name":"PreToolUse"}"#.to_vec(),
        br#"{"session_id":"s1","hook_event_name":"Flush"}"#.to_vec(),
        br#"{"session_id":["s1"],"hook_event_name":"PreToolUse"}"#.to_vec(),
        br#"{"session_id":"../../s1","hook_event_name":"PreToolUse"}"#.to_vec(),
    ]
}

#[test]
fn malformed_input_says_nothing_without_a_daemon() {
    for input in malformed() {
        let world = World::new();
        assert_eq!(world.run(input.clone()), Said::nothing(), "{:?}", &input[..input.len().min(60)]);
        let spool = world.spool();
        assert_eq!((&spool[0]["event"], &spool[0]["session_id"]), (&json!("malformed"), &json!("")));
    }
}

#[test]
fn malformed_input_is_the_daemons_to_count() {
    let world = World::new();
    let daemon = Daemon::answering(&world.socket(), stop());
    for input in malformed() {
        assert_eq!(world.run(input.clone()), Said::new(0, STOP, ""));
        let hook = daemon.next_hook();
        let sent = if hook.cut == Cut::Malformed { &input[..4_096] } else { input.as_slice() };
        assert!(hook.payload == sent, "{:?}", &input[..input.len().min(60)]);
    }
}

#[test]
fn a_closed_standard_input_is_an_empty_one() {
    let world = World::new();
    let daemon = Daemon::answering(&world.socket(), stop());
    let status = world.command().stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap();
    assert!(status.success());
    assert_eq!(daemon.next_hook().payload, b"");
}
