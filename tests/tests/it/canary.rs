//! A client that does not tell what this one was measured to tell: people hear of its version once, and its session's total
//! says that it may be short. The real one raises no such doubt, whatever becomes of its calls.

use std::fs;

use bursar_tests::api::{Script, ScriptedApi, Turn};
use bursar_tests::client::Headless;
use bursar_tests::daemon::Bursar;
use bursar_tests::wait;
use bursar_tests::world::World;
use serde_json::{Value, json};

use crate::common::{SOON, bare, usage};

/// The alerts about clients' versions.
fn told(bursar: &Bursar<'_>) -> Vec<String> {
    let list: Value = bursar.json(&["alerts", "list", "--all"]);
    let alerts = list["alerts"].as_array().expect("alerts").iter();
    let of_these = alerts.filter(|alert| alert["alert_type"] == "metering_not_confirmed");
    of_these.map(|alert| alert["message"].as_str().expect("a sentence").to_owned()).collect()
}

/// A session of a client of the future, of which this stands in its transcript.
fn pretend(world: &World, bursar: &Bursar<'_>, id: &str, events: &[&str], line: &Value) {
    let transcript = world.project().join(format!("{id}.jsonl"));
    fs::write(&transcript, "").expect("a transcript");
    let call = json!({"tool_name": "Bash", "tool_use_id": "toolu_1", "tool_input": {"command": "true"}, "tool_response": "x"});
    let hook = |event: &str| {
        let mut payload = json!({
            "session_id": id, "transcript_path": transcript, "cwd": world.project(), "hook_event_name": event,
            "source": "startup", "tool_calls": [call],
        });
        let payload = payload.as_object_mut().expect("an object");
        payload.extend(call.as_object().expect("an object").clone());
        bursar.hook(event, json!(payload).to_string().as_bytes());
    };
    hook("SessionStart");
    fs::write(&transcript, format!("{line}\n")).expect("a transcript");
    for event in events {
        hook(event);
    }
}

#[test]
fn messages_without_usage_and_calls_without_their_batch_are_told_of_once_a_version() {
    let world = bare();
    let bursar = Bursar::up(&world, &[]);
    let content = json!([{"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {}}]);
    let message = |usage: Value| json!({"type": "assistant", "version": "9.9.9", "message": {"id": "msg_1", "model": "claude-opus-5-5", "content": content, "usage": usage}});
    let of_a_batch = ["PreToolUse", "PostToolUse", "PostToolBatch", "Stop"];
    pretend(&world, &bursar, "none", &of_a_batch, &message(Value::Null));
    pretend(&world, &bursar, "fine", &of_a_batch, &message(json!({"input_tokens": 7, "output_tokens": 1})));
    let unbatched = ["PreToolUse", "PostToolUse", "Stop"];
    pretend(
        &world,
        &bursar,
        "unbatched",
        &unbatched,
        &message(json!({"input_tokens": 7, "output_tokens": 1})),
    );
    wait::until_true("both doubts", SOON, || {
        bursar.session("none").lower_bound && bursar.session("unbatched").lower_bound
    });
    assert!(!bursar.session("fine").lower_bound);
    let alerts = told(&bursar);
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    assert!(alerts[0].starts_with("Claude Code 9.9.9: metering not confirmed"), "{alerts:?}");
    let ledger: Value = bursar.json(&["ledger", "explain", "none"]);
    assert!(ledger["missing"][0].as_str().expect("a sentence").contains("not confirmed"), "{ledger}");
}

#[test]
fn the_real_client_raises_no_doubt() {
    let world = bare();
    let bursar = Bursar::up(&world, &[]);
    let api = ScriptedApi::start(Script::main([
        Turn::bash("echo one", usage(1)),
        Turn::bash("false", usage(2)),
        Turn::bash("sleep 11", usage(3)),
        Turn::says("Done.", usage(4)),
    ]));
    let outcome = Headless::new(&world, &api, "do it").run();
    assert_eq!(told(&bursar), [] as [String; 0]);
    assert!(!bursar.session(&outcome.result.session_id).lower_bound);
}
