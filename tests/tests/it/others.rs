//! Hooks of others beside ours: they run as before, and cannot keep a paused session going.

use bursar_tests::api::{Gate, Kind, Script, ScriptedApi, Turn};
use bursar_tests::client::Headless;
use bursar_tests::daemon::Bursar;
use bursar_tests::settings::EVENTS;
use bursar_tests::wait;
use serde_json::json;

use crate::common::{SOON, assert_counted, recorded, thousand, tokens};

#[test]
fn hooks_of_others_run_beside_ours_and_what_they_say_is_heard() {
    let (world, theirs) = recorded();
    let bursar = Bursar::up(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "10000")]);
    theirs.answer("PostToolBatch", &json!({
        "hookSpecificOutput": { "hookEventName": "PostToolBatch", "additionalContext": "said by another hook" }
    }));
    let api = ScriptedApi::start(
        Script::main([
            Turn::agent("count the sheep", false, tokens(4000)),
            Turn::bash("exit 3", tokens(6000)),
            Turn::says("Done.", thousand()),
        ])
        .subagent("count the sheep", [Turn::says("Three sheep.", thousand())]),
    );
    let run = Headless::new(&world, &api, "do it").start();
    let hold = bursar.wait_for_hold();
    // Ours holds the batch; theirs, beside it, hears of it too.
    assert_eq!(hold.event, "PostToolBatch");
    wait::until_true("their second batch", SOON, || theirs.events_of("PostToolBatch").len() == 2);
    bursar.extend(&hold.budget_id, 100_000);
    let outcome = run.outcome();
    assert_eq!(outcome.result.result, "Done.");
    assert!(api.log().entries().pop().expect("requests").carries("said by another hook"));
    let seen: Vec<&str> = EVENTS.into_iter().filter(|event| !theirs.events_of(event).is_empty()).collect();
    assert_eq!(
        seen,
        [
            "SessionStart",
            "SessionEnd",
            "UserPromptSubmit",
            "PreToolUse",
            "PostToolUse",
            "PostToolUseFailure",
            "PostToolBatch",
            "SubagentStart",
            "SubagentStop",
            "Stop",
        ]
    );
    assert_eq!(theirs.events_of("PreToolUse").len(), 2);
    assert_counted(&bursar, &outcome.result, api.log());
}

#[test]
fn what_another_hook_refuses_stays_refused() {
    let (world, theirs) = recorded();
    let _bursar = Bursar::up(&world, &[]);
    theirs.refuse("PreToolUse", "not with me");
    let api = ScriptedApi::start(Script::main([
        Turn::bash("touch refused.txt", thousand()),
        Turn::says("Done.", thousand()),
    ]));
    let outcome = Headless::new(&world, &api, "do it").run();
    assert_eq!(outcome.result.result, "Done.");
    assert!(!world.project().join("refused.txt").exists());
    assert!(api.log().entries()[1].carries("not with me"));
}

#[test]
fn one_that_blocks_every_stop_cannot_keep_a_paused_session_going() {
    let (world, theirs) = recorded();
    let bursar = Bursar::up(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "3000")]);
    theirs.answer("Stop", &json!({ "decision": "block", "reason": "go on" }));
    let api = ScriptedApi::start(Script::main((0..12).map(|_| Turn::says("Done.", thousand()))));
    let outcome = Headless::new(&world, &api, "do it").run();
    assert_eq!(outcome.reason(), "stop_hook_prevented");
    let budget = bursar.budget(&format!("session:{}", outcome.result.session_id)).expect("the budget");
    assert!(budget.status == "paused" || budget.status == "exhausted", "{budget:?}");
    let sent = api.log().count_of(&Kind::Main);
    // At a Stop the last answer may not stand in the transcript yet: three cross, and one more is under way.
    assert!((3..=4).contains(&sent), "{sent} requests with a limit of three");
    assert_counted(&bursar, &outcome.result, api.log());
}

#[test]
fn one_that_blocks_every_stop_cannot_revive_a_session_that_was_shut() {
    let (world, theirs) = recorded();
    let bursar = Bursar::up(&world, &[]);
    theirs.answer("Stop", &json!({ "decision": "block", "reason": "go on" }));
    let gate = Gate::new();
    let first = Turn::says("Done.", thousand()).behind(&gate);
    let more = (0..12).map(|_| Turn::says("Done.", thousand()));
    let api = ScriptedApi::start(Script::main([first].into_iter().chain(more)));
    let run = Headless::new(&world, &api, "do it").start();
    api.log().wait_for(&Kind::Main, 1, SOON);
    let budget = bursar.wait_for_status("active");
    bursar.done(&["budget", "set", &budget.budget_id, "--shut"]);
    gate.open();
    assert_eq!(run.outcome().reason(), "stop_hook_prevented");
    assert_eq!(theirs.events_of("Stop").len(), 1);
    assert_eq!(api.log().count(), 1);
}
