//! Without a daemon sessions run, and say so; what was paused stays paused.

use std::time::Duration;

use bursar_tests::api::{Kind, Script, ScriptedApi, Turn};
use bursar_tests::client::{Headless, Outcome};
use bursar_tests::daemon::Bursar;
use bursar_tests::wait;
use bursar_tests::world::World;

use crate::common::{SOON, SlowCall, assert_counted, bare, recorded, thousand, usage};

/// How the person is told at a session's start.
const AWAY: &str = "Bursar does not answer: this session is neither counted nor held.";

/// How the person is told where a session is paused.
const PAUSED: &str = "Bursar does not answer and this session is paused.";

/// How long a held hook looks for its daemon, less a little for when the count began.
const LOOKS_FOR: Duration = Duration::from_secs(28);

#[track_caller]
fn wait_for_failed_open(bursar: &Bursar<'_>, count: u64) {
    wait::until(&format!("{count} hooks counted from the spool"), SOON, || {
        let counted = bursar.status().failed_open;
        assert!(counted <= count, "{counted} hooks counted, and only {count} failed open");
        (counted == count).then_some(())
    });
}

#[test]
fn without_a_daemon_a_session_runs_and_says_that_it_is_not_counted() {
    let (world, recorder) = recorded();
    let mut bursar = Bursar::new(&world, &[]);
    bursar.install();
    let api = ScriptedApi::start(Script::main([
        Turn::bash("echo one", usage(1)).and_bash("exit 1"),
        Turn::says("Done.", usage(2)),
    ]));
    let outcome = Headless::new(&world, &api, "do it").streaming().run();
    assert_eq!((outcome.reason(), outcome.result.result.as_str()), ("completed", "Done."));
    let told = outcome.system_messages();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with(AWAY) && told[0].contains("`bursar daemon --detach`"), "{told:?}");
    assert_eq!(bursar.run(&["status"]).code, Some(3));
    // Somebody else's hook saw each event that ours let through.
    let through = recorder.events().len() as u64;
    assert!(through >= 8, "{through} events");
    bursar.start();
    wait_for_failed_open(&bursar, through);
    bursar.stop();
    bursar.start();
    wait_for_failed_open(&bursar, through);
    let with = Headless::new(&world, &api, "go on").resume(&outcome.result.session_id).streaming().run();
    assert_eq!(with.system_messages(), Vec::<String>::new(), "with a daemon nobody is told");
}

#[test]
fn a_daemon_that_does_not_answer_keeps_nobody() {
    let world = bare();
    let bursar = Bursar::up(&world, &[]);
    let api =
        ScriptedApi::start(Script::main([Turn::bash("echo one", usage(1)), Turn::says("Done.", usage(2))]));
    bursar.freeze();
    let outcome = Headless::new(&world, &api, "do it").streaming().run();
    assert_eq!((outcome.reason(), outcome.result.result.as_str()), ("completed", "Done."));
    assert!(outcome.system_messages().iter().any(|told| told.starts_with(AWAY)), "{:?}", outcome.messages);
    bursar.thaw();
    // What the hooks had said by then is heard late, and the transcript is found all the same.
    wait::until_true("the session, known late", SOON, || !bursar.sessions(true).is_empty());
    assert_counted(&bursar, &outcome.result, api.log());
}

/// Shuts the session's budget while its first call runs, kills the daemon, and lets the call end.
#[track_caller]
fn shut_and_killed(world: &World, bursar: &mut Bursar<'_>, api: &ScriptedApi, slow: &SlowCall) -> Outcome {
    let run = Headless::new(world, api, "do the red one").streaming().start();
    slow.wait_until_it_runs();
    let budget_id = bursar.wait_for_status("active").budget_id;
    bursar.done(&["budget", "set", &budget_id, "--shut"]);
    bursar.kill();
    slow.end();
    run.outcome()
}

#[test]
fn a_daemon_killed_while_a_session_is_paused_leaves_it_paused_and_others_free() {
    let world = bare();
    let mut bursar = Bursar::up(&world, &[]);
    let slow = SlowCall::new(&world);
    let api = ScriptedApi::start(
        Script::default()
            .session(
                "the red one",
                [Turn::bash(&slow.command(), thousand()), Turn::says("After all.", thousand())],
            )
            .session("the blue one", [Turn::bash("echo blue", usage(1)), Turn::says("Blue.", usage(2))]),
    );
    // The batch: the next request is not sent.
    let stopped = shut_and_killed(&world, &mut bursar, &api, &slow);
    assert_eq!(stopped.reason(), "hook_stopped");
    assert!(stopped.process.stdout.contains(PAUSED), "{}", stopped.process.stdout);
    assert_eq!(api.log().count(), 1, "a paused session sent a request");
    // A prompt, and a compaction.
    let red = stopped.result.session_id;
    let resumed = |prompt: &str| Headless::new(&world, &api, prompt).resume(&red).streaming().run();
    for prompt in ["go on", "/compact"] {
        let refused = resumed(prompt);
        assert!(refused.process.stdout.contains(PAUSED), "{prompt}: {}", refused.process.stdout);
        assert_eq!(api.log().count(), 1, "a paused session sent a request: {prompt}");
    }
    // Others are free, and hear that nobody counts them.
    let blue = Headless::new(&world, &api, "do the blue one").streaming().run();
    assert_eq!((blue.reason(), blue.result.result.as_str()), ("completed", "Blue."));
    assert_eq!(blue.system_messages().len(), 1);
    // Killing the daemon was no extension, and the next one knows it too.
    bursar.start();
    let budget = bursar.budget(&format!("session:{red}")).expect("the budget");
    assert_eq!(budget.status, "paused");
    bursar.extend(&budget.budget_id, 100_000);
    bursar.kill();
    assert_eq!(resumed("go on").result.result, "After all.", "an extension outlives its daemon too");
}

#[test]
fn a_call_of_a_paused_session_does_not_run_while_the_daemon_is_away() {
    let world = bare();
    let mut bursar = Bursar::up(&world, &[]);
    let slow = SlowCall::new(&world);
    let api = ScriptedApi::start(Script::main([
        Turn::bash(&slow.command(), thousand()).and_bash("touch second.txt"),
        Turn::says("Never.", thousand()),
    ]));
    let stopped = shut_and_killed(&world, &mut bursar, &api, &slow);
    assert_eq!(stopped.reason(), "hook_stopped");
    assert!(!world.project().join("second.txt").exists(), "a call went ahead");
    assert_eq!(api.log().count(), 1);
}

#[test]
fn a_held_hook_looks_for_its_daemon_for_half_a_minute_and_then_stops() {
    let world = bare();
    let mut bursar = Bursar::up(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "1000")]);
    let api =
        ScriptedApi::start(Script::main([Turn::bash("true", thousand()), Turn::says("Never.", thousand())]));
    let mut run = Headless::new(&world, &api, "do it").start();
    let hold = bursar.wait_for_hold();
    bursar.kill();
    api.log().assert_silent_for(LOOKS_FOR, "a hook that was held when its daemon was killed");
    assert!(run.is_running(), "it looked for its daemon for less than {LOOKS_FOR:?}");
    let outcome = run.outcome();
    assert_eq!(outcome.reason(), "hook_stopped");
    assert_eq!(api.log().count_of(&Kind::Main), 1);
    let refused = Headless::new(&world, &api, "go on").resume(&hold.session_id).streaming().run();
    assert!(refused.process.stdout.contains(PAUSED), "{}", refused.process.stdout);
    assert_eq!(api.log().count(), 1);
}

#[test]
fn a_session_that_was_extended_runs_on_without_a_daemon() {
    let world = bare();
    let mut bursar = Bursar::up(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "1000")]);
    let slow = SlowCall::new(&world);
    let api = ScriptedApi::start(Script::main([
        Turn::bash("true", thousand()),
        Turn::bash(&slow.command(), thousand()),
        Turn::says("Done.", thousand()),
    ]));
    let run = Headless::new(&world, &api, "do it").start();
    bursar.wait_for_hold();
    bursar.done(&["extend", "+100k"]);
    slow.wait_until_it_runs();
    bursar.kill();
    slow.end();
    assert_eq!(run.outcome().result.result, "Done.");
}
