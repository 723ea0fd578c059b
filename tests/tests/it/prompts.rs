//! What prompts carry to the model: how budget and circuit stand, and the warning, once for each agent.

use bursar_tests::api::{Script, ScriptedApi, Turn};
use bursar_tests::client::Headless;
use bursar_tests::daemon::Bursar;

use crate::common::{bare, thousand, tokens};

#[test]
fn each_prompt_tells_how_budget_and_circuit_stand() {
    let world = bare();
    let _bursar = Bursar::up(&world, &[("CIRCUIT_BREAKER_PROFILE", "strict")]);
    let api = ScriptedApi::start(Script::main([
        Turn::bash("true", tokens(22_500)),
        Turn::says("First.", tokens(22_500)),
        Turn::says("Second.", thousand()),
    ]));
    let first = Headless::new(&world, &api, "do it").run();
    Headless::new(&world, &api, "and on").resume(&first.result.session_id).run();
    let entries = api.log().entries();
    let told = |n: usize, text: &str| assert!(entries[n].carries(text), "request {n} lacks {text:?}");
    told(0, "Session budget: 0 / 500,000 tokens (0%)");
    told(0, "Circuit breaker: closed (0/50 iterations)");
    told(2, "Session budget: 45,000 / 500,000 tokens (9%)");
    told(2, "Circuit breaker: closed (1/50 iterations)");
}

#[test]
fn what_is_switched_off_is_not_told() {
    for (config, budget, circuit) in [
        ([("TOKEN_BUDGET_STATUS_IN_PROMPT", "never")].as_slice(), false, false),
        ([("TOKEN_BUDGET_STATUS_IN_PROMPT", "warning")].as_slice(), false, false),
        ([("CIRCUIT_BREAKER_ENABLED", "false")].as_slice(), true, false),
        ([("TOKEN_BUDGET_ENABLED", "false")].as_slice(), false, true),
        ([("TOKEN_BUDGET_ENABLED", "no"), ("CIRCUIT_BREAKER_ENABLED", "no")].as_slice(), false, false),
    ] {
        let world = bare();
        let _bursar = Bursar::up(&world, config);
        let api = ScriptedApi::start(Script::main([Turn::says("Done.", thousand())]));
        Headless::new(&world, &api, "do it").run();
        let entry = api.log().entries().remove(0);
        assert_eq!(entry.carries("Session budget:"), budget, "{config:?}");
        assert_eq!(entry.carries("Circuit breaker:"), circuit, "{config:?}");
    }
}

#[test]
fn without_a_daemon_a_prompt_carries_nothing() {
    let world = bare();
    let mut bursar = Bursar::up(&world, &[]);
    bursar.stop();
    let api = ScriptedApi::start(Script::main([Turn::says("Done.", thousand())]));
    Headless::new(&world, &api, "do it").run();
    let entry = api.log().entries().remove(0);
    assert!(!entry.carries("Session budget:") && !entry.carries("Circuit breaker:"));
}

#[test]
fn the_warning_reaches_each_agent_once() {
    let world = bare();
    let _bursar = Bursar::up(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "10000")]);
    let api = ScriptedApi::start(
        Script::main([
            Turn::bash("true", tokens(8_000)),
            Turn::agent("count the sheep", false, tokens(100)),
            Turn::bash("true", tokens(100)),
            Turn::says("Done.", tokens(100)),
        ])
        .subagent("count the sheep", [Turn::bash("true", tokens(100)), Turn::says("Three.", tokens(100))]),
    );
    Headless::new(&world, &api, "do it").run();
    let warns = "tokens used. Go on as planned; at the limit you are paused and a person decides.";
    for entry in api.log().entries() {
        let times = entry.times(warns);
        assert!(times <= 1, "{times} times in one conversation");
    }
    let told: Vec<usize> = api.log().entries().iter().map(|e| e.times(warns)).collect();
    // The main agent's second to last requests, and the subagent's second.
    assert_eq!(told, [0, 1, 0, 1, 1, 1], "who was told");
}
