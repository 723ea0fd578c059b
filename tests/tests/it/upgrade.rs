//! The daemon is replaced while a session is held: nothing is lost, and the hold goes on.

use std::time::Duration;

use bursar_tests::api::{Script, ScriptedApi, Turn};
use bursar_tests::client::Headless;
use bursar_tests::daemon::Bursar;
use bursar_tests::reply::Hold;
use bursar_tests::wait;

use crate::common::{SOON, assert_counted, bare, thousand};

const WATCH: Duration = Duration::from_secs(2);

/// Waits until the held hook has found the daemon that serves now: only then can an answer reach it.
#[track_caller]
fn wait_until_it_is_back(bursar: &Bursar<'_>, hold: &Hold) {
    wait::until_true("the hold, taken up again", SOON, || bursar.holds() == std::slice::from_ref(hold));
}

/// A session is held; `replace` puts another daemon in the place of the one that held it; then it is extended.
#[track_caller]
fn a_hold_outlives(mut replace: impl FnMut(&mut Bursar<'_>)) {
    let world = bare();
    let mut bursar = Bursar::up(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "2000")]);
    let api = ScriptedApi::start(Script::main([
        Turn::bash("true", thousand()),
        Turn::bash("echo two", thousand()),
        Turn::bash("true", thousand()),
        Turn::says("All done.", thousand()),
    ]));
    let mut run = Headless::new(&world, &api, "do it").start();
    let hold = bursar.wait_for_hold();
    let before = bursar.status();
    let budgets = bursar.json::<serde_json::Value>(&["budget", "list"]);
    for _ in 0..2 {
        replace(&mut bursar);
        let after = bursar.status();
        assert_ne!(after.pid, before.pid, "it is the same daemon");
        wait_until_it_is_back(&bursar, &hold);
        api.log().assert_silent_for(WATCH, "held over the replacement");
        assert!(run.is_running());
        assert_eq!(bursar.holds(), std::slice::from_ref(&hold), "the same hold, with its old start");
        assert_eq!(bursar.json::<serde_json::Value>(&["budget", "list"]), budgets);
    }
    assert_eq!(api.log().count(), 2);
    bursar.extend(&hold.budget_id, 100_000);
    let outcome = run.outcome();
    assert_eq!((outcome.reason(), outcome.result.result.as_str()), ("completed", "All done."));
    assert_eq!(bursar.how_it_ended(hold.hold_id), "extended");
    assert_counted(&bursar, &outcome.result, api.log());
    let budget = bursar.budget(&hold.budget_id).expect("the budget");
    assert_eq!((budget.tokens_used, budget.max_tokens), (4000, 102_000));
    assert_eq!(bursar.status().failed_open, 0, "a hook was let through without a daemon");
}

#[test]
fn a_hold_outlives_a_new_build() {
    a_hold_outlives(|bursar| {
        bursar.stop();
        bursar.replace_binaries();
        bursar.start();
    });
}

#[test]
fn a_hold_outlives_a_killed_daemon() {
    a_hold_outlives(|bursar| {
        bursar.kill();
        // Long enough for the hook to notice, and to look in vain.
        std::thread::sleep(Duration::from_secs(3));
        bursar.start();
    });
}

#[test]
fn a_hold_outlives_daemon_detach_replace() {
    a_hold_outlives(|bursar| {
        bursar.replace_binaries();
        bursar.detach_and_replace();
    });
}

#[test]
fn an_extension_right_after_the_restart_reaches_a_hook_that_was_still_looking() {
    let world = bare();
    let mut bursar = Bursar::up(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "1000")]);
    let api = ScriptedApi::start(Script::main([
        Turn::bash("true", thousand()),
        Turn::says("All done.", thousand()),
    ]));
    let run = Headless::new(&world, &api, "do it").start();
    let hold = bursar.wait_for_hold();
    bursar.kill();
    std::thread::sleep(Duration::from_secs(3));
    bursar.start();
    bursar.done(&["extend", "+100k"]);
    assert_eq!(run.outcome().result.result, "All done.");
    assert_eq!(bursar.how_it_ended(hold.hold_id), "extended");
}

#[test]
fn a_decline_reaches_a_hold_that_was_taken_up_again() {
    let world = bare();
    let mut bursar = Bursar::up(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "1000")]);
    let api =
        ScriptedApi::start(Script::main([Turn::bash("true", thousand()), Turn::says("Never.", thousand())]));
    let run = Headless::new(&world, &api, "do it").start();
    let hold = bursar.wait_for_hold();
    bursar.stop();
    bursar.start();
    bursar.decline(&hold.budget_id);
    assert_eq!(run.outcome().reason(), "hook_stopped");
    assert_eq!(api.log().count(), 1);
    assert_eq!(bursar.how_it_ended(hold.hold_id), "declined");
}
