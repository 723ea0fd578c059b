//! A subagent over its own budget meets that alone; over the session's, everybody does.

use std::time::Duration;

use bursar_tests::api::{Gate, Kind, Script, ScriptedApi, Turn};
use bursar_tests::client::Headless;
use bursar_tests::daemon::Bursar;
use bursar_tests::wait;

use crate::common::{SOON, assert_counted, bare, thousand, tokens};

const WATCH: Duration = Duration::from_secs(2);

fn painter() -> Kind {
    Kind::Subagent("paint the fence".to_owned())
}

/// A subagent whose second answer reaches a budget of two thousand.
fn painting() -> [Turn; 3] {
    [
        Turn::bash("true", thousand()).after_saying("The fence is half green."),
        Turn::bash("echo two", thousand()).after_saying("Nearly done."),
        Turn::says("The fence is green.", thousand()),
    ]
}

#[test]
fn a_background_subagent_over_its_own_budget_is_held_alone() {
    let world = bare();
    let bursar = Bursar::up(&world, &[("TOKEN_BUDGET_SUBAGENT_DEFAULT", "2000")]);
    let gate = Gate::new();
    let api = ScriptedApi::start(
        Script::main([
            Turn::agent("paint the fence", true, thousand()),
            Turn::bash("echo one", thousand()).behind(&gate),
            Turn::bash("true", thousand()),
            Turn::says("Waiting for the painter.", thousand()),
            Turn::says("All done.", thousand()),
        ])
        .subagent("paint the fence", painting()),
    );
    let run = Headless::new(&world, &api, "do it").start();
    let hold = bursar.wait_for_hold();
    assert_eq!(hold.budget_id, format!("agent:{}", hold.agent));
    assert_eq!(hold.event, "PostToolBatch");
    // The main agent spends three more answers meanwhile.
    gate.open();
    api.log().wait_for(&Kind::Main, 4, SOON);
    wait::until_true("the main agent's last answer", SOON, || {
        api.log().entries().iter().all(|entry| entry.finished.is_some())
    });
    api.log().assert_silent_for(WATCH, "the painter is held, and the main agent waits for it");
    assert_eq!(api.log().count_of(&painter()), 2);
    assert_eq!(bursar.holds(), std::slice::from_ref(&hold));
    let session = bursar.budget(&format!("session:{}", hold.session_id)).expect("the session's budget");
    assert_eq!((session.status.as_str(), session.tokens_used), ("active", 6000));

    bursar.extend(&hold.budget_id, 10_000);
    let outcome = run.outcome();
    assert_eq!(outcome.result.result, "All done.");
    assert!(api.log().entries().pop().expect("requests").carries("The fence is green."));
    assert_counted(&bursar, &outcome.result, api.log());
}

#[test]
fn a_foreground_subagent_over_its_own_budget_is_held_before_its_next_request() {
    let world = bare();
    let bursar = Bursar::up(&world, &[("TOKEN_BUDGET_SUBAGENT_DEFAULT", "2000")]);
    let api = ScriptedApi::start(
        Script::main([
            Turn::agent("paint the fence", false, thousand()),
            Turn::says("All done.", thousand()),
        ])
        .subagent("paint the fence", painting()),
    );
    let run = Headless::new(&world, &api, "do it").start();
    let hold = bursar.wait_for_hold();
    assert_eq!(hold.budget_id, format!("agent:{}", hold.agent));
    api.log().assert_silent_for(WATCH, "the painter is held");
    assert_eq!(api.log().count_of(&painter()), 2);
    bursar.done(&["extend", "+10k"]);
    let outcome = run.outcome();
    assert_eq!(outcome.result.result, "All done.");
    assert_counted(&bursar, &outcome.result, api.log());
}

#[test]
fn a_subagent_that_is_stopped_is_stopped_alone_and_its_parent_goes_on_with_what_it_said() {
    let world = bare();
    let bursar =
        Bursar::up(&world, &[("TOKEN_BUDGET_SUBAGENT_DEFAULT", "2000"), ("TOKEN_BUDGET_ON_PAUSE", "stop")]);
    let api = ScriptedApi::start(
        Script::main([
            Turn::agent("paint the fence", false, thousand()),
            Turn::bash("true", thousand()),
            Turn::says("All done.", thousand()),
        ])
        .subagent("paint the fence", painting()),
    );
    let outcome = Headless::new(&world, &api, "do it").run();
    assert_eq!((outcome.reason(), outcome.result.result.as_str()), ("completed", "All done."));
    assert_eq!(api.log().count_of(&painter()), 2, "a stopped subagent sent a request");
    assert_eq!(api.log().count_of(&Kind::Main), 3);
    let after = &api.log().entries()[3];
    assert!(
        after.kind == Kind::Main && after.carries("Nearly done."),
        "the parent did not hear what it said"
    );
    assert_counted(&bursar, &outcome.result, api.log());
}

#[test]
fn a_declined_subagent_is_stopped_and_its_parent_goes_on() {
    let world = bare();
    let bursar = Bursar::up(&world, &[("TOKEN_BUDGET_SUBAGENT_DEFAULT", "2000")]);
    let api = ScriptedApi::start(
        Script::main([
            Turn::agent("paint the fence", false, thousand()),
            Turn::says("All done.", thousand()),
        ])
        .subagent("paint the fence", painting()),
    );
    let run = Headless::new(&world, &api, "do it").start();
    let hold = bursar.wait_for_hold();
    bursar.decline(&hold.budget_id);
    let outcome = run.outcome();
    assert_eq!((outcome.reason(), outcome.result.result.as_str()), ("completed", "All done."));
    assert_eq!(api.log().count_of(&painter()), 2);
}

#[test]
fn a_session_over_its_budget_holds_all_its_agents_and_one_answer_frees_them() {
    let world = bare();
    let bursar = Bursar::up(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "10000")]);
    let (gate, last) = (Gate::new(), Gate::new());
    let api = ScriptedApi::start(
        Script::main([
            Turn::agent("paint the fence", true, thousand()),
            Turn::bash("true", tokens(100)).behind(&gate),
            Turn::says("Waiting for the painter.", thousand()),
            Turn::says("All done.", thousand()),
        ])
        .subagent(
            "paint the fence",
            [
                // It crosses by itself, whatever was read of the other; both stay below the hard threshold.
                Turn::bash("true", tokens(10_000)),
                Turn::says("The fence is green.", thousand()).behind(&last),
            ],
        ),
    );
    let run = Headless::new(&world, &api, "do it").start();
    let first = bursar.wait_for_hold();
    assert_ne!(first.agent, "main");
    assert_eq!(first.budget_id, format!("session:{}", first.session_id));
    gate.open();
    wait::until_true("both agents held", SOON, || bursar.holds().len() == 2);
    api.log().assert_silent_for(WATCH, "both are held");
    assert_eq!(api.log().count(), 3);
    let said = bursar.done(&["extend", "+100k"]).stdout;
    assert!(said.contains("2 agents released"), "{said}");
    // The painter ends after the main agent's turn, or the client tells of it in the same turn.
    api.log().wait_for(&Kind::Main, 3, SOON);
    wait::until_true("the end of the main agent's turn", SOON, || {
        bursar.verdicts().verdicts.iter().any(|verdict| verdict.event == "Stop")
    });
    last.open();
    let outcome = run.outcome();
    assert_eq!(outcome.result.result, "All done.");
    assert_counted(&bursar, &outcome.result, api.log());
}
