//! The harness itself, without Bursar: the scripted API and the client agree to the token, and the client treats
//! hooks as Bursar takes for granted.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bursar_tests::api::{Kind, RequestLog, Script, ScriptedApi, Turn, Usage};
use bursar_tests::client::{ClientResult, Headless, ModelUsage};
use bursar_tests::recorder::Recorder;
use bursar_tests::settings::Settings;
use bursar_tests::wait;
use bursar_tests::world::World;
use serde_json::json;

const SOON: Duration = Duration::from_secs(20);

/// A request's usage that no other request of a test has, with something of each kind.
pub fn usage(n: u64) -> Usage {
    Usage::plain(10 + n, 100 + 3 * n).cached(1000 * n, 50 + 7 * n, 20 + n)
}

#[track_caller]
pub fn assert_same_totals(result: &ClientResult, log: &RequestLog) {
    let sent: BTreeMap<String, ModelUsage> =
        log.usage_by_model().into_iter().map(|(model, usage)| (model, usage.into())).collect();
    assert_eq!(result.model_usage, sent, "the client's own totals (left) against what the API sent (right)");
}

/// A world whose settings register one recording hook for every event.
fn recorded() -> (World, Recorder) {
    let world = World::new();
    let recorder = Recorder::new(world.root(), "recorder");
    recorder.register(Settings::new()).write(&world.settings());
    (world, recorder)
}

#[test]
fn totals_agree_for_parallel_failing_and_invalid_calls() {
    let world = World::new();
    Settings::new().write(&world.settings());
    let api = ScriptedApi::start(Script::main([
        Turn::bash("echo one", usage(1)).after_saying("Two at once.").and_bash("echo two"),
        Turn::bash("exit 3", usage(2)).and_calls("Bash", json!({ "cmd": "no such field" })),
        Turn::calls("NoSuchTool", json!({ "x": 1 }), usage(3)),
        Turn::calls(
            "Edit",
            json!({ "file_path": "never-read.txt", "old_string": "a", "new_string": "b" }),
            usage(4),
        ),
        Turn::says("Another model ends it.", usage(5)).from_model("claude-haiku-4-5"),
    ]));
    let outcome = Headless::new(&world, &api, "do it").run();
    assert_eq!(outcome.reason(), "completed");
    assert_eq!(outcome.result.result, "Another model ends it.");
    assert_same_totals(&outcome.result, api.log());
    api.log().assert_on_script();
    assert_eq!(api.turns_left(), 0);
    assert_eq!(api.log().strangers(), Vec::<String>::new());
}

#[test]
fn totals_agree_for_foreground_and_background_subagents() {
    let (world, recorder) = recorded();
    let api = ScriptedApi::start(
        Script::main([
            Turn::agent("count the sheep", false, usage(1)),
            Turn::agent("paint the fence", true, usage(2)),
            Turn::says("Waiting for the painter.", usage(3)),
            Turn::says("All done.", usage(4)),
        ])
        .subagent("count the sheep", [Turn::bash("echo baa", usage(5)), Turn::says("Three sheep.", usage(6))])
        .subagent("paint the fence", [Turn::bash("sleep 0.5", usage(7)), Turn::says("Painted.", usage(8))]),
    );
    let outcome = Headless::new(&world, &api, "do it").run();
    assert_eq!(outcome.reason(), "completed");
    assert_eq!(outcome.result.result, "All done.");
    assert_same_totals(&outcome.result, api.log());
    api.log().assert_on_script();
    let sheep = Kind::Subagent("count the sheep".to_owned());
    assert_eq!(api.log().usage_of(&sheep), usage(5) + usage(6));
    assert_eq!(recorder.events_of("SubagentStop").len(), 2);
    // The background agent's end is a prompt of its own.
    let prompts = recorder.events_of("UserPromptSubmit");
    assert!(prompts[1]["prompt"].as_str().is_some_and(|prompt| prompt.contains("<task-notification>")));
}

#[test]
fn a_resumed_session_goes_on_with_its_totals() {
    let (world, recorder) = recorded();
    let script =
        [Turn::bash("echo one", usage(1)), Turn::says("First.", usage(2)), Turn::says("Second.", usage(3))];
    let api = ScriptedApi::start(Script::main(script));
    let first = Headless::new(&world, &api, "do it").run();
    let second = Headless::new(&world, &api, "and more").resume(&first.result.session_id).run();
    assert_eq!(second.result.session_id, first.result.session_id);
    assert_eq!(second.result.result, "Second.");
    assert_same_totals(&second.result, api.log());
    let starts = recorder.events_of("SessionStart");
    assert_eq!(starts.iter().map(|start| &start["source"]).collect::<Vec<_>>(), ["startup", "resume"]);
}

#[test]
fn a_waiting_batch_hook_holds_the_session() {
    let (world, recorder) = recorded();
    let api =
        ScriptedApi::start(Script::main([Turn::bash("echo one", usage(1)), Turn::says("Done.", usage(2))]));
    recorder.hold("PostToolBatch");
    let mut run = Headless::new(&world, &api, "do it").start();
    wait::until_true("the batch", SOON, || !recorder.events_of("PostToolBatch").is_empty());
    api.log().assert_silent_for(Duration::from_secs(2), "the batch is held");
    assert!(run.is_running());
    let released = Instant::now();
    recorder.release("PostToolBatch");
    let outcome = run.outcome();
    assert_eq!(outcome.reason(), "completed");
    assert_eq!(api.log().count_between(released, Instant::now()), 1);
    assert_same_totals(&outcome.result, api.log());
}

#[test]
fn a_stopping_batch_hook_ends_the_turn() {
    let (world, recorder) = recorded();
    let api =
        ScriptedApi::start(Script::main([Turn::bash("echo one", usage(1)), Turn::says("Never.", usage(2))]));
    recorder.answer("PostToolBatch", &json!({ "continue": false, "stopReason": "enough" }));
    let outcome = Headless::new(&world, &api, "do it").run();
    assert_eq!(outcome.reason(), "hook_stopped");
    assert!(!outcome.result.is_error);
    assert_eq!(api.log().count(), 1);
}

#[test]
fn a_system_message_at_the_start_is_there_to_be_read() {
    let (world, recorder) = recorded();
    let api = ScriptedApi::start(Script::main([Turn::says("Done.", usage(1))]));
    recorder.answer("SessionStart", &json!({ "systemMessage": "the lights are out" }));
    let outcome = Headless::new(&world, &api, "do it").streaming().run();
    for m in &outcome.messages {
        println!("MSG {}", m.to_string().chars().take(600).collect::<String>());
    }
    let t = recorder.events_of("SessionStart")[0]["transcript_path"].as_str().unwrap().to_owned();
    for l in std::fs::read_to_string(t).unwrap().lines().filter(|l| l.contains("lights")) {
        println!("LINE {l}");
    }
}

#[test]
fn stop_blocker() {
    let (world, recorder) = recorded();
    let api = ScriptedApi::start(Script::main([Turn::says("One.", usage(1)), Turn::says("Two.", usage(2))]));
    let other = Recorder::new(world.root(), "other");
    other.register(Settings::read(&world.settings())).write(&world.settings());
    recorder.answer("Stop", &json!({ "decision": "block", "reason": "go on" }));
    other.answer("Stop", &json!({ "continue": false, "stopReason": "enough" }));
    let outcome = Headless::new(&world, &api, "do it").run();
    println!("{:?} {}", outcome.result, api.log().count());
}

#[test]
fn stop_blocker_alone() {
    let (world, recorder) = recorded();
    let api = ScriptedApi::start(Script::main([Turn::says("One.", usage(1)), Turn::says("Two.", usage(2))]));
    recorder.answer("Stop", &json!({ "decision": "block", "reason": "go on" }));
    let outcome = Headless::new(&world, &api, "do it").run();
    println!("{:?} {}", outcome.result, api.log().count());
}

#[test]
fn compact_headless() {
    let (world, recorder) = recorded();
    let api = ScriptedApi::start(Script::main([
        Turn::bash("echo 1", usage(1)),
        Turn::says("Two.", usage(2)),
        Turn::says("Three.", usage(3)),
    ]));
    let first = Headless::new(&world, &api, "do it").run();
    let second = Headless::new(&world, &api, "/compact").resume(&first.result.session_id).run();
    println!("{:?}", second.result);
    for e in api.log().entries() {
        println!(
            "{:?} tools={} streamed={} {}",
            e.kind,
            e.tools,
            e.streamed,
            e.body["messages"]
                .as_array()
                .unwrap()
                .last()
                .unwrap()
                .to_string()
                .chars()
                .take(400)
                .collect::<String>()
        );
    }
    recorder.refuse("PreCompact", "no money");
    let third = Headless::new(&world, &api, "/compact").resume(&first.result.session_id).run();
    println!("{:?}", third.result);
    for e in recorder.events() {
        println!("EV {} {}", e["hook_event_name"], e["agent_type"]);
    }
    println!("{}", api.log().count());
}

#[test]
fn background_stop() {
    let (world, recorder) = recorded();
    let api = ScriptedApi::start(
        Script::main([
            Turn::agent("paint the fence", true, usage(2)),
            Turn::says("Waiting for the painter.", usage(3)),
            Turn::says("All done.", usage(4)),
        ])
        .subagent("paint the fence", [Turn::bash("sleep 1", usage(7)), Turn::says("Painted.", usage(8))]),
    );
    recorder.answer("Stop", &json!({ "continue": false, "stopReason": "enough" }));
    let outcome = Headless::new(&world, &api, "do it").run();
    println!("{:?}", outcome.result);
    for e in api.log().entries() {
        println!("{:?} carries {}", e.kind, e.carries("Painted."));
    }
    for e in recorder.events() {
        println!("EV {} {}", e["hook_event_name"], e["agent_type"]);
    }
}

#[test]
fn background_stop_sub() {
    let (world, recorder) = recorded();
    let api = ScriptedApi::start(
        Script::main([
            Turn::agent("paint the fence", true, usage(2)),
            Turn::says("Waiting for the painter.", usage(3)),
            Turn::says("All done.", usage(4)),
        ])
        .subagent("paint the fence", [Turn::bash("sleep 1", usage(7)), Turn::says("Painted.", usage(8))]),
    );
    recorder.answer("SubagentStop", &json!({ "continue": false, "stopReason": "enough" }));
    let outcome = Headless::new(&world, &api, "do it").run();
    println!("{:?}", outcome.result);
    for e in api.log().entries() {
        println!("{:?} carries {}", e.kind, e.carries("Painted."));
    }
    for e in recorder.events() {
        println!("EV {} {}", e["hook_event_name"], e["agent_type"]);
    }
}
