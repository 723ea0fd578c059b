//! Who may approve more: nobody until `install --unprotected` said so, and never an agent's own shell.

use std::fs;

use bursar_tests::api::{Script, ScriptedApi, Turn};
use bursar_tests::client::Headless;
use bursar_tests::daemon::Bursar;
use bursar_tests::wait;
use bursar_tests::world::World;

use crate::common::{SOON, SlowCall, bare, thousand};

/// A session that is held in an installation that nobody unlocked.
#[track_caller]
fn locked<'a>(world: &'a World, config: &[(&str, &str)]) -> Bursar<'a> {
    let mut bursar = Bursar::new(world, config);
    let said = bursar.install_with(&[]).stdout;
    assert!(said.contains("Locked: ") && said.contains("--unprotected"), "{said}");
    bursar.start();
    bursar
}

#[test]
fn nobody_approves_more_until_the_installation_is_unprotected() {
    let world = bare();
    let bursar = locked(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "1000")]);
    assert_eq!(bursar.status().operator, "locked");
    let api = ScriptedApi::start(Script::main([
        Turn::bash("true", thousand()),
        Turn::says("All done.", thousand()),
    ]));
    let mut run = Headless::new(&world, &api, "do it").start();
    let hold = bursar.wait_for_hold();
    let before = bursar.budget(&hold.budget_id);
    let id = hold.budget_id.as_str();
    let writes: [&[&str]; 8] = [
        &["extend", "+100k"],
        &["finish"],
        &["stop"],
        &["budget", "extend", id, "--tokens", "100k", "--reason", "please"],
        &["budget", "finish", id],
        &["budget", "reset", id],
        &["budget", "decline", id],
        &["budget", "set", id, "--tokens", "100k"],
    ];
    for write in writes {
        let refused = bursar.run(write);
        assert_eq!(refused.code, Some(1), "{write:?}: {refused:?}");
        assert!(refused.stderr.starts_with("Refused: writes are locked"), "{write:?}: {refused:?}");
        assert!(refused.stderr.contains("`bursar install --unprotected`"), "{write:?}: {refused:?}");
    }
    assert_eq!(bursar.budget(id), before);
    assert_eq!(bursar.holds(), std::slice::from_ref(&hold));
    assert!(run.is_running());
    // What the installation says now counts at once.
    let said = bursar.install_with(&["--unprotected"]).stdout;
    assert!(said.contains("Unprotected: anything that you run"), "{said}");
    assert_eq!(bursar.status().operator, "unprotected");
    bursar.done(&["extend", "+100k"]);
    assert_eq!(run.outcome().result.result, "All done.");
}

#[test]
fn tightening_is_open_to_all() {
    let world = bare();
    let bursar = locked(&world, &[]);
    let slow = SlowCall::new(&world);
    let api = ScriptedApi::start(Script::main([
        Turn::bash(&slow.command(), thousand()),
        Turn::says("Never.", thousand()),
    ]));
    let _run = Headless::new(&world, &api, "do it").start();
    slow.wait_until_it_runs();
    let id = bursar.wait_for_status("active").budget_id;
    bursar.done(&["budget", "set", &id, "--tokens", "5000"]);
    assert_eq!(bursar.budget(&id).expect("the budget").max_tokens, 5000);
    let raised = bursar.run(&["budget", "set", &id, "--tokens", "5001"]);
    assert_eq!(raised.code, Some(1), "{raised:?}");
    bursar.done(&["budget", "set", &id, "--shut"]);
    assert_eq!(bursar.budget(&id).expect("the budget").status, "paused");
    // It was shut by anybody, but not everybody opens it.
    assert_eq!(bursar.run(&["budget", "set", &id, "--tokens", "4000"]).code, Some(1));
    slow.end();
    assert_eq!(bursar.wait_for_hold().budget_id, id);
}

#[test]
fn an_agents_own_shell_approves_nothing() {
    let world = bare();
    let bursar = Bursar::up(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "50000")]);
    let program = bursar.program().display().to_string();
    let home = world.bursar_home().display().to_string();
    let said = |name: &str| world.root().join(name);
    let asks = |before: &str, name: &str| {
        let out = said(name).display().to_string();
        format!(
            "{before} env BURSAR_HOME={home} {program} extend session:$CLAUDE_CODE_SESSION_ID +100k \
             >{out} 2>&1; echo exit $? >>{out}"
        )
    };
    // By its environment, by its ancestry, and by its environment alone.
    let calls = [("", "plain"), ("env -u CLAUDECODE", "no-variable"), ("setsid -f", "no-ancestor")];
    let turns = calls.map(|(before, name)| Turn::bash(&asks(before, name), thousand()));
    let api =
        ScriptedApi::start(Script::main(turns.into_iter().chain([Turn::says("All done.", thousand())])));
    let outcome = Headless::new(&world, &api, "do it").run();
    assert_eq!(outcome.result.result, "All done.");
    for (_, name) in calls {
        let text = wait::until("what the command said", SOON, || {
            fs::read_to_string(said(name)).ok().filter(|text| text.contains("Refused"))
        });
        assert!(text.contains("Run it in a terminal of your own."), "{name}: {text}");
        // A detached one's exit is nobody's to see.
        assert!(name == "no-ancestor" || text.contains("exit 1"), "{name}: {text}");
    }
    let budget = bursar.budget(&format!("session:{}", outcome.result.session_id)).expect("the budget");
    assert_eq!(budget.max_tokens, 50_000);
}

#[test]
fn an_agent_cannot_approve_for_another_session_either() {
    let world = bare();
    let bursar = Bursar::up(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "2000")]);
    let program = bursar.program().display().to_string();
    let home = world.bursar_home().display().to_string();
    let api = ScriptedApi::start(
        Script::default()
            .session(
                "the red one",
                [
                    Turn::bash("true", thousand()),
                    Turn::bash("true", thousand()),
                    Turn::says("Red.", thousand()),
                ],
            )
            .session(
                "the blue one",
                [
                    Turn::bash(&format!("env BURSAR_HOME={home} {program} extend +100k"), thousand()),
                    Turn::says("Blue.", thousand()),
                ],
            ),
    );
    let _red = Headless::new(&world, &api, "do the red one").start();
    let hold = bursar.wait_for_hold();
    let blue = Headless::new(&world, &api, "do the blue one").run();
    assert_eq!(blue.result.result, "Blue.");
    assert!(api.log().entries().iter().any(|entry| entry.carries("Refused: ")));
    assert_eq!(bursar.holds(), [hold]);
}
