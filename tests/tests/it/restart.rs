//! A restart, gentle or not, gives the same state.

use std::time::Duration;

use bursar_tests::api::{Gate, Script, ScriptedApi, Turn};
use bursar_tests::client::Headless;
use bursar_tests::daemon::Bursar;
use bursar_tests::wait;
use serde_json::Value;

use crate::common::{SOON, assert_counted, bare, thousand, tokens};

/// All that is remembered, as commands tell it.
#[track_caller]
fn state(bursar: &Bursar<'_>) -> Vec<Value> {
    let mut state: Vec<Value> = [
        ["budget", "list"].as_slice(),
        &["alerts", "list", "--all"],
        &["waiting", "--all"],
        &["sessions", "--all"],
    ]
    .iter()
    .map(|args| bursar.json(args))
    .collect();
    for session in bursar.sessions(true) {
        state.push(bursar.json(&["sessions", "show", &session.session_id]));
    }
    state
}

#[test]
fn a_restart_gives_the_same_state() {
    let world = bare();
    let mut bursar = Bursar::up(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "10000")]);
    let half = || tokens(5000);
    let api = ScriptedApi::start(
        Script::default()
            .session(
                "the red one",
                [
                    Turn::agent("count the sheep", false, thousand()),
                    Turn::bash("true", half()),
                    Turn::bash("true", half()),
                    Turn::says("Red.", thousand()),
                ],
            )
            .session("the blue one", [Turn::bash("true", half()), Turn::bash("true", half())])
            .session("the green one", [Turn::bash("exit 3", half()), Turn::says("Green.", half())])
            .subagent(
                "count the sheep",
                [Turn::bash("true", tokens(100)), Turn::says("Three.", tokens(100))],
            ),
    );
    // One that was extended, one that was declined, one that is paused at its end.
    let red = Headless::new(&world, &api, "do the red one").start();
    bursar.extend(&bursar.wait_for_hold().budget_id, 20_000);
    let red = red.outcome();
    assert_eq!(red.result.result, "Red.");
    let blue = Headless::new(&world, &api, "do the blue one").start();
    bursar.decline(&bursar.wait_for_hold().budget_id);
    assert_eq!(blue.outcome().reason(), "hook_stopped");
    bursar.done(&["alerts", "acknowledge"]);
    Headless::new(&world, &api, "do the green one").run();
    bursar.wait_for_status("paused");
    wait::until_true("the ends of the sessions", SOON, || bursar.sessions(false).is_empty());
    let before = state(&bursar);
    bursar.stop();
    bursar.start();
    assert_eq!(state(&bursar), before, "after a restart");
    bursar.kill();
    bursar.start();
    assert_eq!(state(&bursar), before, "after a kill");
    assert_eq!(bursar.sessions(true).len(), 3);
    let statuses: Vec<String> = bursar.sessions(true).iter().map(|session| session.state.clone()).collect();
    assert_eq!(statuses, ["ended", "ended", "ended"]);
}

#[test]
fn what_a_person_decided_outlives_a_kill_right_after_it() {
    let world = bare();
    let mut bursar = Bursar::up(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "1000")]);
    let api = ScriptedApi::start(Script::main([
        Turn::bash("true", thousand()),
        Turn::says("All done.", thousand()),
    ]));
    let run = Headless::new(&world, &api, "do it").start();
    let hold = bursar.wait_for_hold();
    bursar.extend(&hold.budget_id, 100_000);
    bursar.kill();
    let outcome = run.outcome();
    bursar.start();
    assert_eq!(outcome.result.result, "All done.");
    let budget = bursar.budget(&hold.budget_id).expect("the budget");
    assert_eq!((budget.max_tokens, budget.tokens_used, budget.status.as_str()), (101_000, 2000, "active"));
    assert_counted(&bursar, &outcome.result, api.log());
}

#[test]
fn a_pause_outlives_a_kill_at_any_moment_of_a_session() {
    let world = bare();
    let mut bursar = Bursar::up(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "4000")]);
    // A crossing that nobody saw is seen at the next hook. However fast it works while the daemon comes and goes, one
    // call is left for when the daemon has come for good.
    let come = Gate::new();
    let turns = (0..30).map(|turn| Turn::bash(&format!("echo {turn}"), thousand()));
    let api = ScriptedApi::start(Script::main(
        turns.chain([Turn::bash("true", thousand()).behind(&come), Turn::says("Never.", thousand())]),
    ));
    let mut run = Headless::new(&world, &api, "do it").start();
    wait::until_true("the session", SOON, || !bursar.sessions(false).is_empty());
    // Killed and started while the session works: what is lost is read again.
    for _ in 0..4 {
        std::thread::sleep(Duration::from_millis(300));
        bursar.kill();
        bursar.start();
    }
    come.open();
    let hold = bursar.wait_for_hold();
    api.log().assert_silent_for(Duration::from_secs(1), "held");
    assert!(run.is_running());
    let budget = bursar.budget(&hold.budget_id).expect("the budget");
    let sent = api.log().usage().weighed();
    assert_eq!(bursar.session(&hold.session_id).usage, api.log().usage().into());
    assert!(budget.tokens_used >= 4000 && budget.tokens_used <= sent, "{budget:?}");
    bursar.decline(&hold.budget_id);
    assert_eq!(run.outcome().reason(), "hook_stopped");
}
