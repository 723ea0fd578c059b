//! How holds end when nobody says yes, and what a paused session can do meanwhile: nothing that costs.

use std::time::Duration;

use bursar_tests::api::{Gate, Kind, Script, ScriptedApi, Turn, Usage};
use bursar_tests::client::Headless;
use bursar_tests::daemon::Bursar;
use bursar_tests::settings::Settings;
use bursar_tests::world::World;
use rustix::process::Signal;
use serde_json::json;

use crate::common::{SOON, SlowCall, assert_counted, bare, thousand};

/// What a standstill is watched for.
const WATCH: Duration = Duration::from_secs(2);

/// Bursar with a limit that the second answer of a thousand tokens reaches.
#[track_caller]
fn two_thousand(world: &World) -> Bursar<'_> {
    Bursar::up(world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "2000")])
}

/// A call that leaves a file behind, if it goes ahead.
fn writes(world: &World, name: &str) -> Turn {
    let path = world.project().join(name);
    Turn::calls("Write", json!({ "file_path": path, "content": "it went ahead" }), thousand())
}

/// A model whose second answer uses two thousand tokens up, and that says these words if it is asked once more.
fn crossing_then(last: &str) -> ScriptedApi {
    let crossing = [Turn::bash("true", thousand()), Turn::bash("true", thousand())];
    ScriptedApi::start(Script::main(crossing.into_iter().chain([Turn::says(last, thousand())])))
}

#[test]
fn a_decline_ends_the_turn_and_refuses_prompts_until_it_is_extended() {
    let world = bare();
    let bursar = two_thousand(&world);
    let api = ScriptedApi::start(Script::main([
        Turn::bash("true", thousand()),
        Turn::bash("echo two", thousand()),
        Turn::says("After all.", thousand()),
    ]));
    let run = Headless::new(&world, &api, "do it").start();
    let hold = bursar.wait_for_hold();
    bursar.decline(&hold.budget_id);
    let outcome = run.outcome();
    assert_eq!(outcome.reason(), "hook_stopped");
    assert_eq!(outcome.process.code, Some(0));
    assert_eq!(api.log().count(), 2);
    assert_eq!(bursar.how_it_ended(hold.hold_id), "declined");
    assert_eq!(bursar.budget(&hold.budget_id).expect("the budget").status, "exhausted");

    let refused = Headless::new(&world, &api, "go on").resume(&hold.session_id).streaming().run();
    assert!(refused.process.stdout.contains("an operator declined more"), "{}", refused.process.stdout);
    assert_eq!(api.log().count(), 2, "a refused prompt was sent");
    assert!(bursar.holds().is_empty());

    bursar.extend(&hold.budget_id, 100_000);
    let reopened = Headless::new(&world, &api, "go on").resume(&hold.session_id).run();
    assert_eq!((reopened.reason(), reopened.result.result.as_str()), ("completed", "After all."));
    assert_counted(&bursar, &reopened.result, api.log());
}

#[test]
fn the_short_form_stops_the_only_one_that_waits() {
    let world = bare();
    let bursar = two_thousand(&world);
    let api = crossing_then("Never.");
    let run = Headless::new(&world, &api, "do it").start();
    let hold = bursar.wait_for_hold();
    let said = bursar.done(&["stop"]).stdout;
    assert!(said.contains(&format!("{} is declined: 1 agent stopped.", hold.budget_id)), "{said}");
    assert_eq!(run.outcome().reason(), "hook_stopped");
    assert_eq!(api.log().count(), 2);
}

#[test]
fn finishing_grants_a_little_and_tells_the_model_to_close() {
    let world = bare();
    let bursar = two_thousand(&world);
    let api = crossing_then("Closed.");
    let run = Headless::new(&world, &api, "do it").start();
    let hold = bursar.wait_for_hold();
    bursar.done(&["finish"]);
    assert_eq!(run.outcome().result.result, "Closed.");
    assert_eq!(bursar.how_it_ended(hold.hold_id), "finish_up");
    let told = api.log().entries()[2].carries("An operator approved enough to finish");
    assert!(told, "the model was not told to close its work");
}

#[test]
fn an_unattended_hold_that_nobody_answers_is_stopped_before_its_client_times_out() {
    let world = bare();
    let bursar = two_thousand(&world);
    // A hook that times out lets its call go ahead; half of ten seconds is before that.
    Settings::read(&world.settings()).with_timeout("bursar-hook", 10).write(&world.settings());
    let api = ScriptedApi::start(Script::main([
        Turn::bash("true", thousand()),
        Turn::bash("true", thousand()),
        writes(&world, "later.txt"),
        Turn::says("Never.", thousand()),
    ]));
    let run = Headless::new(&world, &api, "do it").start();
    let hold = bursar.wait_for_hold();
    let outcome = run.outcome();
    assert_eq!(outcome.reason(), "hook_stopped");
    assert_eq!(api.log().count(), 2, "a request was sent all the same");
    assert!(!world.project().join("later.txt").exists(), "a call went ahead");
    assert_eq!(bursar.how_it_ended(hold.hold_id), "ran_out");
    assert_eq!(bursar.budget(&hold.budget_id).expect("the budget").status, "exhausted");
    let refused = Headless::new(&world, &api, "go on").resume(&hold.session_id).streaming().run();
    assert!(refused.process.stdout.contains("nobody answered in time"), "{}", refused.process.stdout);
    assert_eq!(api.log().count(), 2);
}

#[test]
fn a_call_that_is_held_before_it_runs_never_runs_when_nobody_answers() {
    let world = bare();
    let bursar = Bursar::up(&world, &[]);
    Settings::read(&world.settings()).with_timeout("bursar-hook", 10).write(&world.settings());
    let slow = SlowCall::new(&world);
    let api = ScriptedApi::start(Script::main([
        Turn::bash(&slow.command(), thousand()).and_bash("touch second.txt"),
        Turn::says("Never.", thousand()),
    ]));
    let run = Headless::new(&world, &api, "do it").start();
    slow.wait_until_it_runs();
    let budget_id = bursar.wait_for_status("active").budget_id;
    bursar.done(&["budget", "set", &budget_id, "--shut"]);
    slow.end();
    let hold = bursar.wait_for_hold();
    assert_eq!((hold.event.as_str(), hold.budget_id.as_str()), ("PreToolUse", budget_id.as_str()));
    assert_eq!(run.outcome().reason(), "hook_stopped");
    assert_eq!(bursar.how_it_ended(hold.hold_id), "ran_out");
    assert!(!world.project().join("second.txt").exists(), "a held call went ahead");
    assert_eq!(api.log().count(), 1);
}

#[test]
fn a_held_client_that_is_killed_is_a_client_gone() {
    let world = bare();
    let bursar = two_thousand(&world);
    let api = crossing_then("After all.");
    let run = Headless::new(&world, &api, "do it").start();
    let hold = bursar.wait_for_hold();
    // Nobody tells its hook anything then.
    run.process().signal(Signal::KILL);
    assert_eq!(bursar.how_it_ended(hold.hold_id), "client_gone");
    assert_eq!(bursar.budget(&hold.budget_id).expect("the budget").status, "paused");
    bursar.extend(&hold.budget_id, 100_000);
    let resumed = Headless::new(&world, &api, "go on").resume(&hold.session_id).run();
    assert_eq!(resumed.result.result, "After all.");
}

#[test]
fn a_ci_run_is_stopped_at_once() {
    let world = bare();
    let bursar = two_thousand(&world);
    let api = crossing_then("Never.");
    let outcome = Headless::new(&world, &api, "do it").env("CI", "true").run();
    assert_eq!(outcome.reason(), "hook_stopped");
    assert_eq!(api.log().count(), 2);
    let budget = bursar.budget(&format!("session:{}", outcome.result.session_id)).expect("the budget");
    assert_eq!(budget.status, "exhausted");
}

#[test]
fn a_compaction_of_a_paused_session_sends_nothing() {
    let world = bare();
    let bursar = two_thousand(&world);
    let api =
        ScriptedApi::start(Script::main([Turn::bash("true", thousand()), Turn::says("Done.", thousand())]));
    let first = Headless::new(&world, &api, "do it").run();
    // An answer without calls ends the turn by itself, whether it was counted before that or after.
    assert_eq!(first.result.result, "Done.");
    let budget_id = format!("session:{}", first.result.session_id);
    let paused = bursar.session(&first.result.session_id);
    assert_eq!(paused.budget_ids, [budget_id.as_str()]);
    assert_eq!(bursar.budget(&budget_id).expect("the budget").status, "paused");
    let compact = || Headless::new(&world, &api, "/compact").resume(&first.result.session_id).run();
    let refused = compact();
    assert!(refused.result.result.contains("Compaction blocked by PreCompact hook"), "{:?}", refused.result);
    assert!(refused.result.result.contains("Paused: "), "{:?}", refused.result);
    assert_eq!(api.log().count(), 2, "a compaction was sent");
    bursar.extend(&budget_id, 100_000);
    compact();
    assert_eq!(api.log().count_of(&Kind::Compact), 1);
}

#[test]
fn a_background_agent_that_ends_while_its_session_is_paused_is_heard_after_the_extension() {
    let world = bare();
    let bursar = Bursar::up(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "10000")]);
    let gate = Gate::new();
    let painter = Kind::Subagent("paint the fence".to_owned());
    let api = ScriptedApi::start(
        Script::main([
            Turn::agent("paint the fence", true, thousand()),
            Turn::says("Waiting for the painter.", Usage::plain(4500, 4500)),
            Turn::says("All done.", thousand()),
        ])
        // Its answer was under way before the pause, and stays below the hard threshold.
        .subagent("paint the fence", [Turn::says("The fence is green.", thousand()).behind(&gate)]),
    );
    let run = Headless::new(&world, &api, "do it").start();
    api.log().wait_for(&painter, 1, SOON);
    bursar.wait_for_status("paused");
    gate.open();
    let hold = bursar.wait_for_hold();
    assert_eq!((hold.agent.as_str(), hold.event.as_str()), ("main", "UserPromptSubmit"));
    api.log().assert_silent_for(WATCH, "the notification is held");
    assert_eq!(api.log().count(), 3);
    bursar.extend(&hold.budget_id, 100_000);
    let outcome = run.outcome();
    assert_eq!((outcome.reason(), outcome.result.result.as_str()), ("completed", "All done."));
    let last = api.log().entries().pop().expect("requests");
    assert!(last.carries("The fence is green."), "the result was lost");
    assert_counted(&bursar, &outcome.result, api.log());
}
