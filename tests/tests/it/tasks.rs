//! Tasks: who begins them, for which session, and what their limit does.

use bursar_tests::api::{Script, ScriptedApi, Turn};
use bursar_tests::client::Headless;
use bursar_tests::daemon::Bursar;
use bursar_tests::process::{Finished, Running};
use bursar_tests::world::World;
use serde_json::json;

use crate::common::{SOON, assert_counted, bare, thousand, tokens};

#[test]
fn a_task_adds_a_limit_and_ending_it_lets_go() {
    let world = bare();
    let bursar = Bursar::up(&world, &[]);
    let api = ScriptedApi::start(Script::main([
        Turn::bash("sleep 2", thousand()),
        Turn::bash("true", tokens(4_000)),
        Turn::says("All done.", thousand()),
    ]));
    let run = Headless::new(&world, &api, "do it").start();
    bursar.wait_for_status("active");
    // In the project's folder the one live session there is meant.
    let started = bursar.done(&[
        "task",
        "start",
        "checkout",
        "--type",
        "review",
        "--tokens",
        "3k",
        "--description",
        "pay",
    ]);
    assert!(started.stdout.contains("task:checkout is active: 0 tokens used, 3,000 tokens."), "{started:?}");
    let hold = bursar.wait_for_hold();
    assert_eq!(hold.budget_id, "task:checkout");
    assert_eq!(api.log().count(), 2);
    bursar.done(&["task", "end", "checkout"]);
    let outcome = run.outcome();
    assert_eq!(outcome.result.result, "All done.");
    assert_eq!(bursar.how_it_ended(hold.hold_id), "released");
    assert_counted(&bursar, &outcome.result, api.log());
}

fn begin(bursar: &Bursar<'_>, world: &World, session: &str) {
    let payload = json!({ "session_id": session, "hook_event_name": "SessionStart", "cwd": world.project() });
    bursar.hook("SessionStart", payload.to_string().as_bytes());
}

/// A command as an agent's shell runs it: its environment names the session.
fn in_agents_shell(bursar: &Bursar<'_>, world: &World, session: &str, args: &[&str]) -> Finished {
    let mut command = world.command(bursar.program());
    command.env("BURSAR_HOME", world.bursar_home());
    command.env("CLAUDECODE", "1").env("CLAUDE_CODE_SESSION_ID", session).args(args);
    Running::run(command, "bursar", SOON)
}

#[test]
fn an_agent_may_begin_a_task_of_its_session_and_lower_it_and_no_more() {
    let world = bare();
    let bursar = Bursar::up(&world, &[]);
    begin(&bursar, &world, "s-one");
    begin(&bursar, &world, "s-two");
    let shell = |args: &[&str]| in_agents_shell(&bursar, &world, "s-two", args);
    let begun = shell(&["task", "start", "paint", "--tokens", "2k"]);
    assert!(begun.stdout.contains("task:paint is active: 0 tokens used, 2,000 tokens."), "{begun:?}");
    assert_eq!(bursar.session("s-two").budget_ids, ["session:s-two", "task:paint"]);
    assert_eq!(bursar.session("s-one").budget_ids, ["session:s-one"]);
    assert_eq!(shell(&["task", "start", "paint", "--tokens", "1k"]).code, Some(0));
    let raised = shell(&["task", "start", "paint", "--tokens", "5k"]);
    assert_eq!(raised.code, Some(1));
    assert!(raised.stderr.contains("only the operator sets another"), "{raised:?}");
    assert_eq!(bursar.budget("task:paint").expect("the task").max_tokens, 1_000);
    assert_eq!(shell(&["task", "end", "paint"]).code, Some(0), "it began it itself");
    bursar.done(&["task", "start", "guard", "--session", "s-two"]);
    let refused = shell(&["task", "end", "guard"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("an operator began"), "{refused:?}");
}

#[test]
fn without_a_session_the_one_live_one_of_the_folder_is_meant() {
    let world = bare();
    let bursar = Bursar::up(&world, &[]);
    let none = bursar.run(&["task", "start", "paint"]);
    assert_eq!(none.code, Some(2), "{none:?}");
    assert!(none.stderr.contains("no live session works in this folder's project"), "{none:?}");
    begin(&bursar, &world, "s-one");
    bursar.done(&["task", "start", "paint", "--type", "review"]);
    assert_eq!(bursar.budget("task:paint").expect("the task").max_tokens, 30_000);
    begin(&bursar, &world, "s-two");
    let several = bursar.run(&["task", "start", "paint"]);
    assert_eq!(several.code, Some(2), "{several:?}");
    assert!(several.stderr.contains("s-one") && several.stderr.contains("s-two"), "{several:?}");
    bursar.done(&["task", "start", "paint", "--session", "s-t"]);
    assert_eq!(bursar.session("s-two").budget_ids, ["session:s-two", "task:paint"]);
    let odd = bursar.run(&["task", "start", "a b"]);
    assert_eq!(odd.code, Some(2), "{odd:?}");
}
