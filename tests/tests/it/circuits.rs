//! Circuits with the real client: a loop stands still, a human lets it try again, and nobody else is stopped.

use bursar_tests::api::{Kind, Script, ScriptedApi, Turn, Usage};
use bursar_tests::client::Headless;
use bursar_tests::daemon::Bursar;
use bursar_tests::reply::{Circuit, Circuits};
use bursar_tests::world::World;
use serde_json::json;

use crate::common::{SOON, assert_counted, bare, thousand};

const STRICT: (&str, &str) = ("CIRCUIT_BREAKER_PROFILE", "strict");
const AT_ONCE: (&str, &str) = ("CIRCUIT_BREAKER_COOLDOWN", "0");

fn strict(world: &World) -> Bursar<'_> {
    Bursar::up(world, &[STRICT, AT_ONCE])
}

fn repeated(command: &str, times: usize) -> impl Iterator<Item = Turn> {
    let turn = Turn::bash(command, Usage::plain(10, 10));
    std::iter::repeat_n(turn, times)
}

fn circuit(bursar: &Bursar<'_>, id: &str) -> Circuit {
    let all = bursar.json::<Circuits>(&["circuit", "list"]).circuits;
    all.into_iter().find(|c| c.circuit_id == id).expect("the circuit")
}

#[test]
fn five_identical_calls_stand_still_until_a_human_lets_the_agent_try_again() {
    let world = bare();
    let bursar = strict(&world);
    let turns = repeated("echo a", 5)
        .chain([Turn::bash("echo b", thousand())])
        .chain(repeated("echo a", 6))
        .chain([Turn::says("All done.", thousand())]);
    let api = ScriptedApi::start(Script::main(turns));
    let run = Headless::new(&world, &api, "do it").start();

    // The fifth is let through, and its batch is held: no sixth request.
    let hold = bursar.wait_for_hold();
    assert_eq!((hold.agent.as_str(), hold.event.as_str()), ("main", "PostToolBatch"));
    let id = hold.circuit_id.clone().expect("a circuit holds");
    assert_eq!(id, format!("session:{}", hold.session_id));
    assert_eq!(api.log().count(), 5);
    let open = circuit(&bursar, &id);
    assert_eq!((open.state.as_str(), open.iteration_count, open.duplicate_call_count), ("open", 5, 5));
    assert_eq!(open.trip_reason.as_deref(), Some("5 identical calls of Bash in a row"));
    let alerts = bursar.alerts().alerts;
    assert_eq!(alerts.iter().filter(|a| a.alert_type == "circuit_tripped").count(), 1);
    let waiting = bursar.done(&["waiting"]).stdout;
    assert!(
        waiting.contains("5 identical calls") && waiting.contains("bursar circuit acknowledge"),
        "{waiting}"
    );

    // Acknowledged with words: they reach the model. One different good call, and it is closed.
    bursar.done(&[
        "circuit",
        "acknowledge",
        "--say",
        "look at the log first",
        "--reason",
        "it knows better now",
    ]);
    let hold = bursar.wait_for_hold();
    assert_eq!((hold.event.as_str(), api.log().count()), ("PostToolBatch", 11));
    let sixth = &api.log().entries()[5];
    assert!(sixth.carries("The operator says: look at the log first"), "the words were lost");
    assert_eq!(bursar.how_it_ended(hold.hold_id - 1), "acknowledged");

    // Five again: open. Acknowledged, the same call again: open at once, before it runs.
    assert_eq!(circuit(&bursar, &id).state, "open");
    bursar.done(&["circuit", "acknowledge"]);
    let hold = bursar.wait_for_hold();
    assert_eq!((hold.event.as_str(), api.log().count()), ("PreToolUse", 12));
    let again = circuit(&bursar, &id);
    let reason = again.trip_reason.unwrap_or_default();
    assert_eq!(
        (again.state.as_str(), reason.contains("the same call of Bash again")),
        ("open", true),
        "{reason}"
    );

    bursar.done(&["circuit", "reset", &id]);
    let outcome = run.outcome();
    assert_eq!((outcome.reason(), outcome.result.result.as_str()), ("completed", "All done."));
    assert_eq!(circuit(&bursar, &id).state, "closed");
    assert_counted(&bursar, &outcome.result, api.log());
}

#[test]
fn a_different_good_call_after_the_acknowledgement_closes_it() {
    let world = bare();
    let bursar = strict(&world);
    let turns =
        repeated("echo a", 5).chain([Turn::bash("echo b", thousand()), Turn::says("All done.", thousand())]);
    let api = ScriptedApi::start(Script::main(turns));
    let run = Headless::new(&world, &api, "do it").start();
    let id = bursar.wait_for_hold().circuit_id.expect("a circuit holds");
    bursar.done(&["circuit", "acknowledge", &id]);
    assert_eq!(run.outcome().result.result, "All done.");
    let closed = circuit(&bursar, &id);
    assert_eq!((closed.state.as_str(), closed.trip_reason), ("closed", None));
}

#[test]
fn calls_that_no_hook_sees_before_their_batch_trip_it_too() {
    let world = bare();
    let bursar = strict(&world);
    let nonsense = || Turn::calls("NoSuchTool", json!({ "what": "ever" }), thousand());
    let turns = (0..9).map(|_| nonsense()).chain([Turn::says("Never.", thousand())]);
    let api = ScriptedApi::start(Script::main(turns));
    let run = Headless::new(&world, &api, "do it").start();
    let hold = bursar.wait_for_hold();
    assert_eq!((hold.event.as_str(), api.log().count()), ("PostToolBatch", 5));
    let declined = bursar.done(&["stop"]).stdout;
    assert!(declined.contains("is declined: 1 agent stopped"), "{declined}");
    assert_eq!(run.outcome().reason(), "hook_stopped");
    assert_eq!(api.log().count(), 5);
}

#[test]
fn a_subagent_in_a_loop_is_held_alone() {
    let world = bare();
    let bursar = strict(&world);
    let api = ScriptedApi::start(
        Script::main([
            Turn::agent("count the sheep", true, thousand()),
            Turn::bash("echo the main agent goes on", thousand()),
            Turn::says("Waiting for the sheep.", thousand()),
            Turn::says("All done.", thousand()),
        ])
        .subagent("count the sheep", repeated("echo sheep", 5).chain([Turn::says("Five.", thousand())])),
    );
    let run = Headless::new(&world, &api, "do it").start();
    let hold = bursar.wait_for_hold();
    assert_ne!(hold.agent, "main");
    assert_eq!(hold.circuit_id, Some(format!("agent:{}", hold.agent)));
    api.log().wait_for(&Kind::Main, 3, SOON);
    assert_eq!(bursar.holds().len(), 1, "nobody else is held");
    bursar.done(&["circuit", "acknowledge"]);
    let outcome = run.outcome();
    assert_eq!(outcome.result.result, "All done.");
    assert_counted(&bursar, &outcome.result, api.log());
}

#[test]
fn in_deny_mode_the_model_is_told_and_its_next_call_does_not_run() {
    let world = bare();
    let bursar = Bursar::up(&world, &[STRICT, AT_ONCE, ("TOKEN_BUDGET_ON_PAUSE", "deny")]);
    let turns = repeated("echo a", 5)
        .chain([Turn::bash("touch sixth.txt", thousand()), Turn::says("I give up.", thousand())]);
    let api = ScriptedApi::start(Script::main(turns));
    let outcome = Headless::new(&world, &api, "do it").run();
    // The turn's end is the table's: a stop, so that nobody keeps it going.
    assert_eq!(outcome.reason(), "stop_hook_prevented");
    assert!(!world.project().join("sixth.txt").exists());
    assert!(bursar.holds().is_empty());
    let last = api.log().entries().pop().expect("requests");
    assert!(last.carries("This call is refused until a person lets it go on."), "the model was told nothing");
    assert!(last.carries("5 identical calls of Bash in a row"));
    assert_eq!(api.log().count(), 7);
}

#[test]
fn an_open_circuit_survives_the_daemon_and_its_marker_stops_only_its_agent() {
    let world = bare();
    let mut bursar = strict(&world);
    let turns = repeated("echo a", 5).chain([Turn::says("All done.", thousand())]);
    let api = ScriptedApi::start(Script::main(turns));
    let run = Headless::new(&world, &api, "do it").start();
    let hold = bursar.wait_for_hold();
    bursar.kill();
    let hook = |agent: &str| {
        let payload = json!({ "session_id": hold.session_id, "hook_event_name": "PreToolUse", "tool_name": "Bash",
            "tool_input": { "command": "echo other" }, "tool_use_id": "toolu_9" });
        let mut payload = payload;
        if !agent.is_empty() {
            payload["agent_id"] = json!(agent);
        }
        bursar.hook("PreToolUse", payload.to_string().as_bytes()).stdout
    };
    assert!(hook("").contains("\"continue\":false"), "killing the daemon is no acknowledgement");
    assert_eq!(hook("somebody"), "", "a subagent of the session goes on");
    bursar.start();
    let id = hold.circuit_id.expect("a circuit holds");
    assert_eq!(circuit(&bursar, &id).state, "open");
    bursar.done(&["circuit", "acknowledge", &id]);
    assert_eq!(run.outcome().result.result, "All done.");
}
