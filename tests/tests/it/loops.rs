//! Loops of the real client under the evidence profile: each is stopped at the call at which it is one, and only its
//! agent.

use bursar_tests::api::{Gate, Kind, Script, ScriptedApi, Turn, Usage};
use bursar_tests::client::Headless;
use bursar_tests::daemon::Bursar;
use bursar_tests::reply::Circuits;
use serde_json::json;

use crate::common::{SOON, bare, thousand};

/// Turns until a circuit opens: how many requests were sent, and why it is open.
fn stopped(turns: impl IntoIterator<Item = Turn>) -> (usize, String, Vec<String>) {
    let world = bare();
    let bursar = Bursar::up(&world, &[]);
    let api = ScriptedApi::start(Script::main(turns));
    let run = Headless::new(&world, &api, "do it").start();
    let hold = bursar.wait_for_hold();
    assert_eq!((hold.agent.as_str(), hold.event.as_str()), ("main", "PostToolBatch"));
    let sent = api.log().count();
    let open = bursar.json::<Circuits>(&["circuit", "list"]).circuits.remove(0);
    let warned: Vec<String> = (0..sent)
        .filter(|n| api.log().entries()[*n].carries("came to the same; another one"))
        .map(|n| n.to_string())
        .collect();
    bursar.done(&["stop"]);
    assert_eq!(run.outcome().reason(), "hook_stopped");
    assert_eq!(api.log().count(), sent, "no request was sent after it");
    (sent, open.trip_reason.unwrap_or_default(), warned)
}

fn bash(command: &str) -> Turn {
    Turn::bash(command, Usage::plain(10, 10))
}

#[test]
fn identical_calls_are_stopped_at_the_fifth_and_the_model_is_told_at_the_third() {
    let (sent, why, warned) = stopped((0..9).map(|_| bash("echo a")));
    assert_eq!((sent, why.as_str()), (5, "5 identical calls of Bash in a row, with the same outcome"));
    assert_eq!(warned.first().map(String::as_str), Some("3"), "the request after the third call carries it");
}

#[test]
fn calls_that_take_turns_are_stopped_at_the_fourth_round() {
    let (sent, why, _) = stopped((0..20).map(|n| bash(["echo a", "echo b"][n % 2])));
    assert_eq!((sent, why.as_str()), (8, "4 rounds of the same 2 calls, with the same outcomes"));
}

#[test]
fn a_call_that_fails_is_stopped_at_the_fifth_where_it_says_the_same_and_at_the_seventh_where_it_does_not() {
    let (sent, why, _) = stopped((0..20).map(|_| bash("cat missing")));
    assert_eq!((sent, why.as_str()), (5, "5 identical calls of Bash in a row, with the same outcome"));
    let (sent, why, _) = stopped((0..20).map(|_| bash("ls /proc/self/fd/none $RANDOM")));
    assert_eq!((sent, why.as_str()), (7, "7 times the same call of Bash, which failed each time"));
}

#[test]
fn invalid_calls_are_stopped_at_the_eighth_message_whatever_their_arguments() {
    let invalid = |n: usize| Turn::calls("NoSuchTool", json!({ "what": n }), thousand());
    let (sent, why, _) = stopped((0..20).map(invalid));
    assert_eq!((sent, why.as_str()), (8, "8 messages in which NoSuchTool failed with the same error"));
}

#[test]
fn a_subagent_that_loops_is_held_alone() {
    let world = bare();
    let bursar = Bursar::up(&world, &[]);
    let sheep = (0..9).map(|_| bash("echo sheep"));
    let api = ScriptedApi::start(
        Script::main([
            Turn::agent("count the sheep", true, thousand()),
            Turn::bash("echo the main agent goes on", thousand()),
            Turn::says("Waiting for the sheep.", thousand()),
            Turn::says("All done.", thousand()),
        ])
        .subagent("count the sheep", sheep),
    );
    let run = Headless::new(&world, &api, "do it").start();
    let hold = bursar.wait_for_hold();
    assert_ne!(hold.agent, "main");
    api.log().wait_for(&Kind::Main, 3, SOON);
    assert_eq!(bursar.holds().len(), 1, "nobody else is held");
    bursar.done(&["stop"]);
    run.outcome();
}

#[test]
fn a_loop_that_began_before_the_daemon_came_is_stopped_all_the_same() {
    let world = bare();
    let mut bursar = Bursar::new(&world, &[]);
    bursar.install();
    let gate = Gate::new();
    let turns = (0..9).map(|n| if n == 4 { bash("echo a").behind(&gate) } else { bash("echo a") });
    let api = ScriptedApi::start(Script::main(turns));
    let run = Headless::new(&world, &api, "do it").start();
    api.log().wait_for(&Kind::Main, 5, SOON);
    bursar.start();
    gate.open();
    bursar.wait_for_hold();
    assert_eq!(api.log().count(), 5, "four before it came, and one after");
    bursar.done(&["stop"]);
    assert_eq!(run.outcome().reason(), "hook_stopped");
}
