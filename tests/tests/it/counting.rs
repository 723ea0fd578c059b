//! What Bursar counts is what the client itself reckons and what the API sent, to the token and in every kind,
//! however the daemon and the session met.

use bursar_tests::api::{Gate, Kind, Script, ScriptedApi, Turn, Usage};
use bursar_tests::client::Headless;
use bursar_tests::daemon::Bursar;
use bursar_tests::wait;
use serde_json::json;

use crate::common::{SOON, assert_counted, bare, usage};

/// What the session's own budget says was drawn from it.
#[track_caller]
fn drawn(bursar: &Bursar<'_>, session_id: &str) -> u64 {
    bursar.budget(&format!("session:{session_id}")).expect("the session's budget").tokens_used
}

#[test]
fn parallel_failing_and_invalid_calls_are_counted_to_the_token() {
    let world = bare();
    let bursar = Bursar::up(&world, &[]);
    let api = ScriptedApi::start(Script::main([
        Turn::bash("echo one", usage(1)).after_saying("Three at once.").and_bash("echo two").and_bash("true"),
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
    assert!(api.log().entries().iter().all(|entry| entry.streamed), "real answers are streamed");
    assert_counted(&bursar, &outcome.result, api.log());
    assert_eq!(drawn(&bursar, &outcome.result.session_id), api.log().usage().weighed());
}

#[test]
fn subagents_of_two_models_are_counted_each_for_itself() {
    let world = bare();
    let bursar = Bursar::up(&world, &[]);
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
    assert_eq!(outcome.result.result, "All done.");
    assert_eq!(outcome.result.model_usage.len(), 2);
    assert_counted(&bursar, &outcome.result, api.log());
    // Each subagent fills its own budget, and both the session's.
    let shown = bursar.session(&outcome.result.session_id);
    let subagents: Vec<_> = shown.agents.iter().filter(|share| share.agent != "main").collect();
    assert_eq!(subagents.len(), 2);
    for share in subagents {
        assert_eq!(share.agent_type.as_deref(), Some("general-purpose"));
        let budget = bursar.budget(&format!("agent:{}", share.agent)).expect("the subagent's budget");
        let own = share.usage;
        let weighed = own.input_tokens + own.output_tokens + own.cache_creation_input_tokens;
        assert_eq!(budget.tokens_used, weighed);
        assert!(shown.budget_ids.contains(&budget.budget_id), "{:?}", shown.budget_ids);
    }
    assert_eq!(drawn(&bursar, &outcome.result.session_id), api.log().usage().weighed());
}

#[test]
fn a_resumed_session_goes_on_in_the_same_totals_over_restarts_of_the_daemon() {
    let world = bare();
    let mut bursar = Bursar::up(&world, &[]);
    let api = ScriptedApi::start(Script::main([
        Turn::bash("echo one", usage(1)),
        Turn::says("First.", usage(2)),
        Turn::bash("echo two", usage(3)),
        Turn::says("Second.", usage(4)),
        Turn::says("Third.", usage(5)),
    ]));
    let first = Headless::new(&world, &api, "do it").run();
    let id = first.result.session_id.clone();
    assert_counted(&bursar, &first.result, api.log());
    let second = Headless::new(&world, &api, "and more").resume(&id).run();
    assert_eq!(second.result.session_id, id);
    assert_counted(&bursar, &second.result, api.log());
    bursar.stop();
    bursar.start();
    assert_counted(&bursar, &second.result, api.log());
    let third = Headless::new(&world, &api, "and the rest").resume(&id).run();
    assert_counted(&bursar, &third.result, api.log());
    bursar.kill();
    bursar.start();
    assert_counted(&bursar, &third.result, api.log());
    assert_eq!(drawn(&bursar, &id), api.log().usage().weighed());
    assert_eq!(bursar.sessions(true).len(), 1);
}

#[test]
fn a_daemon_that_comes_in_the_middle_of_a_session_catches_up() {
    let world = bare();
    let mut bursar = Bursar::new(&world, &[]);
    bursar.install();
    let gate = Gate::new();
    let api = ScriptedApi::start(Script::main([
        Turn::bash("echo one", usage(1)).and_bash("exit 1"),
        Turn::bash("echo two", usage(2)).behind(&gate),
        Turn::says("Done.", usage(3)),
    ]));
    let run = Headless::new(&world, &api, "do it").start();
    api.log().wait_for(&Kind::Main, 2, SOON);
    bursar.start();
    gate.open();
    let outcome = run.outcome();
    assert_eq!(outcome.reason(), "completed");
    assert_counted(&bursar, &outcome.result, api.log());
    // What came before its first hook here is history, not drawn from the budget.
    let drawn = drawn(&bursar, &outcome.result.session_id);
    let whole = api.log().usage().weighed();
    assert!(drawn < whole && drawn >= usage(3).weighed(), "{drawn} of {whole}");
}

#[test]
fn a_daemon_that_was_away_at_the_end_catches_up_when_it_starts() {
    let world = bare();
    let mut bursar = Bursar::up(&world, &[]);
    let gate = Gate::new();
    let api = ScriptedApi::start(
        Script::main([
            Turn::agent("count the sheep", false, usage(1)),
            Turn::bash("echo two", usage(2)),
            Turn::says("Done.", usage(3)),
        ])
        .subagent(
            "count the sheep",
            [Turn::bash("echo baa", usage(4)).behind(&gate), Turn::says("Three sheep.", usage(5))],
        ),
    );
    let run = Headless::new(&world, &api, "do it").start();
    api.log().wait_for(&Kind::Subagent("count the sheep".to_owned()), 1, SOON);
    bursar.kill();
    gate.open();
    let outcome = run.outcome();
    assert_eq!(outcome.reason(), "completed");
    bursar.start();
    // Without asking for the session: that alone would make it read.
    let id = &outcome.result.session_id;
    assert_eq!(drawn(&bursar, id), api.log().usage().weighed());
    assert_counted(&bursar, &outcome.result, api.log());
}

#[test]
fn a_session_that_ran_without_a_daemon_is_counted_whole_from_its_next_hook_on() {
    let world = bare();
    let mut bursar = Bursar::new(&world, &[]);
    bursar.install();
    let api = ScriptedApi::start(Script::main([
        Turn::bash("echo one", usage(1)),
        Turn::says("First.", usage(2)),
        Turn::says("Second.", usage(3)),
    ]));
    let first = Headless::new(&world, &api, "do it").run();
    bursar.start();
    // It was told that it is not counted, and nobody knows of it yet.
    assert_eq!(bursar.sessions(true).len(), 0);
    let second = Headless::new(&world, &api, "and more").resume(&first.result.session_id).run();
    assert_counted(&bursar, &second.result, api.log());
    assert_eq!(drawn(&bursar, &second.result.session_id), usage(3).weighed());
}

#[test]
fn a_resumed_session_that_ran_on_without_a_daemon_is_counted_by_the_next() {
    let world = bare();
    let mut bursar = Bursar::up(&world, &[]);
    let api = ScriptedApi::start(Script::main([
        Turn::says("First.", usage(1)),
        Turn::bash("echo two", usage(2)),
        Turn::says("Second.", usage(3)),
    ]));
    let first = Headless::new(&world, &api, "do it").run();
    let id = &first.result.session_id;
    wait::until_true("the session's end", SOON, || {
        bursar.sessions(true).iter().any(|session| session.state == "ended")
    });
    bursar.kill();
    let second = Headless::new(&world, &api, "and more").resume(id).run();
    bursar.start();
    assert_eq!(drawn(&bursar, id), api.log().usage().weighed());
    assert_counted(&bursar, &second.result, api.log());
}

#[test]
fn a_session_that_began_without_hooks_is_counted_whole_once_it_is_hooked() {
    let world = bare();
    let api = ScriptedApi::start(Script::main([
        Turn::bash("echo one", usage(1)),
        Turn::says("First.", usage(2)),
        Turn::bash("echo two", usage(3)),
        Turn::says("Second.", usage(4)),
    ]));
    let first = Headless::new(&world, &api, "do it").run();
    let bursar = Bursar::up(&world, &[]);
    let second = Headless::new(&world, &api, "and more").resume(&first.result.session_id).run();
    assert_counted(&bursar, &second.result, api.log());
    let hooked: Usage = usage(3) + usage(4);
    assert_eq!(drawn(&bursar, &second.result.session_id), hooked.weighed());
}
