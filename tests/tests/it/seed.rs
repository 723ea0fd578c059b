//! Callers of the seed's shape: old field names, no event name; they are answered in their shape (6.8; T08, T09, T10).

use std::fs;

use bursar_tests::daemon::Bursar;
use bursar_tests::process::Finished;
use bursar_tests::reply::{Circuit, Circuits};
use bursar_tests::world::World;
use serde_json::{Value, json};

use crate::common::bare;

const DENY: (&str, &str) = ("TOKEN_BUDGET_ON_PAUSE", "deny");

fn used(n: u64) -> Value {
    json!({ "usage": { "input_tokens": n, "output_tokens": 0 } })
}

/// A call's end, as `budget-track.py` was told of it.
fn tracked(bursar: &Bursar<'_>, command: &str, response: &Value) -> Finished {
    let payload = json!({ "sessionId": "seed-1", "tool": "Bash", "arguments": { "command": command },
        "response": response });
    bursar.seed_hook("PostToolUse", payload.to_string().as_bytes())
}

fn asked(bursar: &Bursar<'_>, event: &str) -> Finished {
    let payload = json!({ "sessionId": "seed-1", "tool": "Bash", "arguments": { "command": "make" } });
    bursar.seed_hook(event, payload.to_string().as_bytes())
}

fn said(finished: &Finished) -> (Option<i32>, &str, &str) {
    (finished.code, finished.stdout.as_str(), finished.stderr.as_str())
}

fn installed<'a>(world: &'a World, config: &[(&str, &str)]) -> Bursar<'a> {
    Bursar::up(world, &[&[DENY], config].concat())
}

#[test]
fn tokens_in_the_payload_are_counted_and_missing_ones_are_no_error() {
    let world = bare();
    let bursar = installed(&world, &[]);
    assert_eq!(said(&tracked(&bursar, "make", &used(1_200))), (Some(0), "", ""));
    for nothing in [json!({}), json!("text"), json!(null), json!({ "usage": { "input_tokens": "many" } })] {
        assert_eq!(said(&tracked(&bursar, "make more", &nothing)), (Some(0), "", ""), "{nothing}");
    }
    assert_eq!(bursar.budget("session:seed-1").expect("the budget").tokens_used, 1_200);
}

#[test]
fn a_warning_and_a_block_come_in_the_seeds_shape() {
    let world = bare();
    let bursar = installed(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "1000")]);
    assert_eq!(said(&asked(&bursar, "PreToolUse")), (Some(0), "", ""));
    let warned = tracked(&bursar, "make", &used(850));
    let text: Value = serde_json::from_str(&warned.stdout).expect("JSON");
    let told = text["additionalContext"].as_str().unwrap_or_default();
    assert!(told.starts_with("Budget: 850 of 1,000 tokens used."), "{warned:?}");
    assert_eq!(text.as_object().map(serde_json::Map::len), Some(1));

    let blocked = tracked(&bursar, "make", &used(200));
    assert_eq!((blocked.code, blocked.stdout.as_str()), (Some(2), ""));
    assert!(blocked.stderr.contains("1,050 of 1,000 tokens"), "{blocked:?}");
    for event in ["PreToolUse", "UserPromptSubmit"] {
        let blocked = asked(&bursar, event);
        assert_eq!((blocked.code, blocked.stdout.as_str()), (Some(2), ""), "{event}");
        assert!(!blocked.stderr.is_empty());
    }
    bursar.extend("session:seed-1", 100_000);
    assert_eq!(said(&asked(&bursar, "PreToolUse")), (Some(0), "", ""));
}

#[test]
fn in_hold_mode_they_wait_and_are_answered_in_their_shape() {
    let world = bare();
    let bursar = Bursar::up(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "1000")]);
    tracked(&bursar, "make", &used(1_100));
    // Registered for a day; the caller's own two seconds: it is stopped at half of them.
    let stopped = bursar.seed_hook_within("PreToolUse", 2, br#"{"sessionId":"seed-1","tool":"Bash"}"#);
    assert_eq!((stopped.code, stopped.stdout.as_str()), (Some(2), ""));
    // The model reads it: figures, and no command to approve with.
    assert!(
        stopped.stderr.starts_with("Budget: 1,100 of 1,000 tokens used; this call is refused"),
        "{stopped:?}"
    );
}

#[test]
fn a_loop_trips_at_the_end_of_its_fifth_call() {
    let world = bare();
    let bursar = installed(&world, &[("CIRCUIT_BREAKER_PROFILE", "strict")]);
    for _ in 0..4 {
        assert_eq!(tracked(&bursar, "make", &json!({})).code, Some(0));
    }
    let tripped = tracked(&bursar, "make", &json!({}));
    assert_eq!((tripped.code, tripped.stdout.as_str()), (Some(2), ""));
    assert!(tripped.stderr.contains("5 identical calls of Bash in a row"), "{tripped:?}");
    let refused = asked(&bursar, "PreToolUse");
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("5 identical calls"), "{refused:?}");
    bursar.done(&["circuit", "reset", "seed-1"]);
    assert_eq!(said(&asked(&bursar, "PreToolUse")), (Some(0), "", ""));
    let circuits: Vec<Circuit> = bursar.json::<Circuits>(&["circuit", "list"]).circuits;
    assert_eq!(circuits[0].iteration_count, 0);
}

#[test]
fn a_prompt_carries_the_two_status_lines() {
    let world = bare();
    let bursar = installed(&world, &[]);
    tracked(&bursar, "make", &used(45_000));
    let prompt = bursar.seed_hook("UserPromptSubmit", br#"{"sessionId":"seed-1","prompt":"go on"}"#);
    let text: Value = serde_json::from_str(&prompt.stdout).expect("JSON");
    let told = "Session budget: 45,000 / 500,000 tokens (9%)\nCircuit breaker: closed (1/1000 iterations)";
    assert_eq!(text, json!({ "additionalContext": told }));
}

#[test]
fn nothing_that_is_wrong_stops_them() {
    let world = bare();
    let mut bursar = installed(&world, &[]);
    for bad in [b"".as_slice(), b"not json", b"[]", b"{}", br#"{"sessionId":3}"#, b"\xff\xfe"] {
        assert_eq!(said(&bursar.seed_hook("PostToolUse", bad)), (Some(0), "", ""), "{bad:?}");
    }
    assert_eq!(said(&bursar.seed_hook("NoSuchEvent", br#"{"sessionId":"seed-1"}"#)), (Some(0), "", ""));
    bursar.stop();
    for event in ["PreToolUse", "PostToolUse", "UserPromptSubmit"] {
        assert_eq!(said(&asked(&bursar, event)), (Some(0), "", ""), "{event} without a daemon");
    }
}

/// What an existing hook of the seed's decides, from the very keys that it had: ours must not change it.
fn decision_of_another(file: &std::path::Path) -> Value {
    let script = r"
import json, sys
cache = json.load(open(sys.argv[1]))
fresh = cache['timestamp'] + cache['ttl_seconds'] > 1000
denied = [gate['tool'] for gate in cache['gates'] if gate['action'] == 'deny']
print(json.dumps({'fresh': fresh, 'denied': denied, 'budget': cache.get('budget', {}).get('status')}))
";
    let out = std::process::Command::new("python3").args(["-c", script]).arg(file).output().expect("python3");
    serde_json::from_slice(&out.stdout).expect("a decision")
}

#[test]
fn the_view_file_tells_other_hooks_and_leaves_what_is_theirs() {
    let world = bare();
    let folder = world.root().join("views");
    fs::create_dir(&folder).expect("a folder");
    let file = folder.join("guardrails-seed-1.json");
    let theirs =
        r#"{"gates": [{"tool": "Write", "action": "deny"}], "timestamp": 900.25, "ttl_seconds": 300}"#;
    fs::write(&file, theirs).expect("their file");
    let before = decision_of_another(&file);
    let view = folder.display().to_string();
    let bursar = installed(
        &world,
        &[("TOKEN_BUDGET_SESSION_DEFAULT", "1000"), ("BURSAR_GUARDRAILS_VIEW", view.as_str())],
    );
    tracked(&bursar, "make", &used(1_100));
    let shown =
        || serde_json::from_str::<Value>(&fs::read_to_string(&file).unwrap_or_default()).unwrap_or_default();
    bursar_tests::wait::until_true("the view", crate::common::SOON, || {
        shown()["budget"]["status"] == "paused"
    });
    bursar_tests::wait::until_true("the circuit", crate::common::SOON, || {
        shown()["circuit"]["iteration_count"] == 1
    });
    let after = shown();
    assert_eq!(
        after["budget"],
        json!({ "budget_id": "session:seed-1", "tokens_used": 1_100, "max_tokens": 1_000, "status": "paused",
            "utilization": 1.1 })
    );
    assert_eq!(
        after["circuit"],
        json!({ "circuit_id": "session:seed-1", "state": "closed", "iteration_count": 1, "max_iterations": 1_000 })
    );
    let decided = decision_of_another(&file);
    assert_eq!((&decided["fresh"], &decided["denied"]), (&before["fresh"], &before["denied"]));
    assert_eq!(decided["budget"], "paused");
}
