//! The harness itself, without Bursar: the scripted API and the client agree to the token, and the client treats
//! hooks as Bursar takes for granted.

use std::time::{Duration, Instant};

use bursar_tests::api::{Gate, Kind, Script, ScriptedApi, Turn};
use bursar_tests::client::Headless;
use bursar_tests::recorder::Recorder;
use bursar_tests::settings::Settings;
use bursar_tests::wait;
use serde_json::json;

use crate::common::{SOON, assert_same_totals, bare, recorded, usage};

#[test]
fn totals_agree_for_parallel_failing_and_invalid_calls() {
    let world = bare();
    let api = ScriptedApi::start(Script::main([
        Turn::bash("echo one", usage(1)).after_saying("Two at once.").and_bash("echo two"),
        Turn::bash("exit 3", usage(2)).and_calls("Bash", json!({ "cmd": "no such field" })),
        Turn::calls("NoSuchTool", json!({ "x": 1 }), usage(3)),
        Turn::calls(
            "Edit",
            json!({ "file_path": "never-read.txt", "old_string": "a", "new_string": "b" }),
            usage(4),
        ),
        Turn::says("That was all.", usage(5)),
    ]));
    let outcome = Headless::new(&world, &api, "do it").run();
    assert_eq!(outcome.reason(), "completed");
    assert_eq!(outcome.result.result, "That was all.");
    assert_same_totals(&outcome.result, api.log());
    api.log().assert_on_script();
    assert_eq!(api.turns_left(), 0);
    assert_eq!(api.log().strangers(), Vec::<String>::new());
}

#[test]
fn totals_agree_for_subagents_of_two_models() {
    let (world, recorder) = recorded();
    let api = ScriptedApi::start(
        Script::main([
            Turn::agent("count the sheep", false, usage(1)).with_input("model", json!("haiku")),
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
    assert_eq!(outcome.result.model_usage.len(), 2);
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
fn two_sessions_at_once_get_their_own_turns() {
    let world = bare();
    let gate = Gate::new();
    let api = ScriptedApi::start(
        Script::default()
            .session(
                "the red one",
                [Turn::bash("echo red", usage(1)), Turn::says("Red.", usage(2)).behind(&gate)],
            )
            .session("the blue one", [Turn::bash("echo blue", usage(3)), Turn::says("Blue.", usage(4))]),
    );
    let red = Headless::new(&world, &api, "do the red one").start();
    api.log().wait_for(&Kind::Main, 2, SOON);
    let blue = Headless::new(&world, &api, "do the blue one").run();
    assert_eq!(blue.result.result, "Blue.");
    gate.open();
    assert_eq!(red.outcome().result.result, "Red.");
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
    assert_eq!(outcome.process.code, Some(0));
    assert_eq!(api.log().count(), 1);
}

#[test]
fn a_system_message_at_the_start_is_there_to_be_read() {
    let (world, recorder) = recorded();
    let api = ScriptedApi::start(Script::main([Turn::says("Done.", usage(1))]));
    recorder.answer("SessionStart", &json!({ "systemMessage": "the lights are out" }));
    let outcome = Headless::new(&world, &api, "do it").streaming().run();
    assert_eq!(outcome.system_messages(), ["the lights are out"]);
}

#[test]
fn a_stop_hook_that_blocks_keeps_a_session_going_unless_another_ends_it() {
    let (world, blocker) = recorded();
    let api = ScriptedApi::start(Script::main((1..12).map(|n| Turn::says("Done.", usage(n)))));
    blocker.answer("Stop", &json!({ "decision": "block", "reason": "go on" }));
    Headless::new(&world, &api, "do it").run();
    let alone = api.log().count();
    assert!(alone > 3, "the blocker kept it going for {alone} requests only");

    let ender = Recorder::new(world.root(), "ender");
    ender.register(Settings::read(&world.settings())).write(&world.settings());
    ender.answer("Stop", &json!({ "continue": false, "stopReason": "enough" }));
    let outcome = Headless::new(&world, &api, "do it").run();
    assert_eq!(outcome.reason(), "stop_hook_prevented");
    assert_eq!(api.log().count(), alone + 1);
}

#[test]
fn compaction_without_a_terminal_is_seen_and_can_be_refused() {
    let (world, recorder) = recorded();
    let api =
        ScriptedApi::start(Script::main([Turn::bash("echo one", usage(1)), Turn::says("Done.", usage(2))]));
    let first = Headless::new(&world, &api, "do it").run();
    let compacted = Headless::new(&world, &api, "/compact").resume(&first.result.session_id).run();
    assert_eq!(api.log().count_of(&Kind::Compact), 1);
    // A compaction is in the client's own totals, and in no line of its transcript.
    assert_same_totals(&compacted.result, api.log());
    recorder.refuse("PreCompact", "not now");
    let refused = Headless::new(&world, &api, "/compact").resume(&first.result.session_id).run();
    assert!(refused.result.result.contains("Compaction blocked by PreCompact hook"), "{:?}", refused.result);
    assert_eq!(api.log().count(), 3);
}

#[test]
fn a_background_result_waits_with_its_notification() {
    let (world, recorder) = recorded();
    let gate = Gate::new();
    let api = ScriptedApi::start(
        Script::main([
            Turn::agent("paint the fence", true, usage(1)),
            Turn::says("Waiting for the painter.", usage(2)),
            Turn::says("All done.", usage(3)),
        ])
        .subagent("paint the fence", [Turn::says("The fence is green.", usage(4)).behind(&gate)]),
    );
    let run = Headless::new(&world, &api, "do it").start();
    wait::until_true("the main agent's end of turn", SOON, || !recorder.events_of("Stop").is_empty());
    recorder.hold("UserPromptSubmit");
    gate.open();
    wait::until_true("the notification", SOON, || recorder.events_of("UserPromptSubmit").len() == 2);
    api.log().assert_silent_for(Duration::from_secs(1), "the notification is held");
    recorder.release("UserPromptSubmit");
    let outcome = run.outcome();
    assert_eq!(outcome.result.result, "All done.");
    let last = api.log().entries().pop().expect("requests");
    assert!(last.carries("The fence is green."));
}

#[test]
fn a_stop_before_a_call_ends_the_turn_and_runs_the_call_unless_it_is_denied_too() {
    let (world, recorder) = recorded();
    let api = ScriptedApi::start(Script::main([
        Turn::bash("touch ran-1", usage(1)),
        Turn::bash("touch ran-2", usage(2)),
    ]));
    let stop = json!({ "continue": false, "stopReason": "enough" });
    recorder.answer("PreToolUse", &stop);
    let outcome = Headless::new(&world, &api, "do it").run();
    assert_eq!((outcome.reason(), api.log().count()), ("hook_stopped", 1));
    assert!(world.project().join("ran-1").exists());

    let mut denied = stop;
    denied["hookSpecificOutput"] = json!({ "hookEventName": "PreToolUse", "permissionDecision": "deny", "permissionDecisionReason": "no" });
    recorder.answer("PreToolUse", &denied);
    let outcome = Headless::new(&world, &api, "do it").run();
    assert_eq!((outcome.reason(), api.log().count()), ("hook_stopped", 2));
    assert!(!world.project().join("ran-2").exists());
}
