//! The other modes: observing blocks nothing and says what it would have done; stop ends the turn; deny lets the
//! model go on.

use std::fs;

use bursar_tests::api::{Script, ScriptedApi, Turn};
use bursar_tests::client::Headless;
use bursar_tests::daemon::Bursar;
use bursar_tests::world::World;

use crate::common::{SlowCall, assert_counted, bare, thousand, tokens};

fn four_turns() -> ScriptedApi {
    ScriptedApi::start(Script::main([
        Turn::bash("true", thousand()),
        Turn::bash("touch second.txt", thousand()),
        Turn::bash("touch third.txt", thousand()),
        Turn::says("All done.", thousand()),
    ]))
}

fn markers(world: &World) -> usize {
    fs::read_dir(world.bursar_home().join("paused")).map_or(0, Iterator::count)
}

#[test]
fn observing_blocks_nothing_and_records_what_would_have_been() {
    let world = bare();
    let mut bursar = Bursar::new(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "10000")]);
    let said = bursar.install_with(&["--observe", "--unprotected"]).stdout;
    assert!(said.contains("Observing: "), "{said}");
    bursar.start();
    assert_eq!(bursar.status().mode, "observe");
    // Below the hard threshold to the end.
    let api = ScriptedApi::start(Script::main([
        Turn::bash("true", tokens(5000)),
        Turn::bash("touch second.txt", tokens(5000)),
        Turn::bash("touch third.txt", tokens(500)),
        Turn::says("All done.", tokens(500)),
    ]));
    let outcome = Headless::new(&world, &api, "do it").run();
    assert_eq!((outcome.reason(), outcome.result.result.as_str()), ("completed", "All done."));
    let warned = api.log().entries().iter().any(|entry| entry.carries("Go on as planned"));
    assert!(!warned, "an observed model was told something");
    assert!(bursar.holds().is_empty());
    assert_eq!(markers(&world), 0);
    let verdicts = bursar.verdicts().verdicts;
    assert!(verdicts.iter().all(|verdict| verdict.verdict == "allow"), "{verdicts:?}");
    let would: Vec<(&str, &str)> = verdicts
        .iter()
        .rev()
        .filter_map(|verdict| Some((verdict.event.as_str(), verdict.would.as_deref()?)))
        .collect();
    // Paused by the second answer: on a busy machine its line is there before its own call is asked about.
    let after =
        [("PostToolBatch", "hold"), ("PreToolUse", "hold"), ("PostToolBatch", "hold"), ("Stop", "stop")];
    let would = would.strip_prefix(&after[1..2]).filter(|rest| rest.len() == after.len()).unwrap_or(&would);
    assert_eq!(would, after);
    assert_counted(&bursar, &outcome.result, api.log());
    let budget = bursar.budget(&format!("session:{}", outcome.result.session_id)).expect("the budget");
    assert_eq!((budget.status.as_str(), budget.tokens_used), ("paused", 11_000));
}

#[test]
fn in_stop_mode_the_turn_ends_at_the_limit_and_prompts_are_refused_until_it_is_extended() {
    let world = bare();
    let bursar =
        Bursar::up(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "2000"), ("TOKEN_BUDGET_ON_PAUSE", "stop")]);
    let api = four_turns();
    let stopped = Headless::new(&world, &api, "do it").run();
    assert_eq!(stopped.reason(), "hook_stopped");
    assert_eq!(api.log().count(), 2);
    assert!(bursar.holds().is_empty());
    let id = &stopped.result.session_id;
    let refused = Headless::new(&world, &api, "go on").resume(id).streaming().run();
    assert!(refused.process.stdout.contains("Approve with `bursar extend"), "{}", refused.process.stdout);
    assert_eq!(api.log().count(), 2);
    assert!(!world.project().join("third.txt").exists());
    bursar.extend(&format!("session:{id}"), 100_000);
    let reopened = Headless::new(&world, &api, "go on").resume(id).run();
    assert_eq!(reopened.result.result, "All done.");
    assert_counted(&bursar, &reopened.result, api.log());
}

#[test]
fn in_deny_mode_calls_are_refused_and_the_model_goes_on() {
    let world = bare();
    let bursar =
        Bursar::up(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "2000"), ("TOKEN_BUDGET_ON_PAUSE", "deny")]);
    let api = four_turns();
    let outcome = Headless::new(&world, &api, "do it").run();
    // The end of its turn is a stop in every mode: nobody else's hook is to keep it going.
    assert_eq!((outcome.reason(), outcome.result.result.as_str()), ("stop_hook_prevented", "All done."));
    assert!(world.project().join("second.txt").exists());
    assert!(!world.project().join("third.txt").exists(), "a denied call went ahead");
    assert!(api.log().entries()[3].carries("this call is refused until a person approves more"));
    assert_counted(&bursar, &outcome.result, api.log());
}

#[test]
fn switched_off_it_counts_and_says_nothing() {
    let world = bare();
    let bursar =
        Bursar::up(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "2000"), ("TOKEN_BUDGET_ENABLED", "false")]);
    let api = four_turns();
    let outcome = Headless::new(&world, &api, "do it").run();
    assert_eq!((outcome.reason(), outcome.result.result.as_str()), ("completed", "All done."));
    assert_eq!(bursar.status().mode, "disabled");
    assert_counted(&bursar, &outcome.result, api.log());
    assert!(bursar.verdicts().verdicts.iter().all(|verdict| verdict.verdict == "allow"));
}

#[test]
fn in_deny_mode_each_event_is_answered_as_its_row_says() {
    let world = bare();
    let bursar = Bursar::up(&world, &[("TOKEN_BUDGET_ON_PAUSE", "deny")]);
    let slow = SlowCall::new(&world);
    let api = ScriptedApi::start(Script::main([
        Turn::bash(&slow.command(), thousand()),
        Turn::bash("touch second.txt", thousand()),
        Turn::says("All done.", thousand()),
    ]));
    let run = Headless::new(&world, &api, "do it").start();
    slow.wait_until_it_runs();
    let budget = bursar.wait_for_status("active");
    bursar.done(&["budget", "set", &budget.budget_id, "--shut"]);
    slow.end();
    let outcome = run.outcome();
    let id = &outcome.result.session_id;
    // PostToolUse: the text goes to the model, and it goes on. PreToolUse: that call does not run. Stop: the turn ends.
    let entries = api.log().entries();
    assert!(entries[1].carries("this call is refused until a person approves more"), "after the call");
    assert!(entries[2].times("this call is refused until a person approves more") > 1, "before the next");
    assert!(!world.project().join("second.txt").exists());
    assert_eq!(outcome.reason(), "stop_hook_prevented");
    // A prompt is refused, a compaction too, and nothing is sent.
    let refused = Headless::new(&world, &api, "go on").resume(id).streaming().run();
    assert!(refused.process.stdout.contains("Approve with `bursar extend"), "{}", refused.process.stdout);
    let compacted = Headless::new(&world, &api, "/compact").resume(id).run();
    assert!(compacted.result.result.contains("Compaction blocked by PreCompact hook"), "{compacted:?}");
    assert_eq!(api.log().count(), 3);
}

#[test]
fn in_ask_mode_a_headless_call_is_refused_with_the_reason_and_the_model_goes_on() {
    let world = bare();
    let bursar =
        Bursar::up(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "2000"), ("TOKEN_BUDGET_ON_PAUSE", "ask")]);
    // Below the hard threshold to the end: past it nobody is asked.
    let api = ScriptedApi::start(Script::main([
        Turn::bash("true", thousand()),
        Turn::bash("touch second.txt", thousand()),
        Turn::bash("touch third.txt", tokens(100)),
        Turn::says("All done.", tokens(100)),
    ]));
    let outcome = Headless::new(&world, &api, "do it").run();
    assert_eq!((outcome.reason(), outcome.result.result.as_str()), ("stop_hook_prevented", "All done."));
    assert!(world.project().join("second.txt").exists());
    assert!(!world.project().join("third.txt").exists(), "nobody was there to say yes");
    assert!(bursar.holds().is_empty());
    let verdicts = bursar.verdicts().verdicts;
    assert!(verdicts.iter().any(|v| (v.event.as_str(), v.verdict.as_str()) == ("PreToolUse", "ask")));
    assert_counted(&bursar, &outcome.result, api.log());
}
