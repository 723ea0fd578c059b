//! Scenarios of loops and of healthy work, drawn from other tools' tests and from users' reports: each behaves as it says.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

use bursar::replay::Seen;
use bursar::replay::scenario::Scenario;
use bursar_engine::policy::CircuitPolicy;

/// What is wrong with what came of a scenario.
fn wrong(scenario: &Scenario, seen: &Seen) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut demand = |holds: bool, what: &str| {
        if !holds {
            wrong.push(format!("{}: {what}: {seen:?}", scenario.name));
        }
    };
    match scenario.expect.as_deref() {
        Some("no_trip") => demand(seen.tripped_at.is_none(), "must not trip"),
        _ => demand(
            seen.tripped_at.is_some_and(|at| scenario.at_call.is_none_or(|latest| at <= latest)),
            "must trip in time",
        ),
    }
    let before = |at: u64| seen.tripped_at.is_none_or(|tripped| at < tripped);
    let warned = seen.warned.iter().any(|(at, _)| before(*at));
    match scenario.warn.as_deref() {
        Some("must") => demand(warned, "must warn before it trips"),
        Some("must_not") => demand(!warned, "must not warn"),
        _ => {}
    }
    if let Some(latest) = scenario.reopen_at_call {
        demand(seen.reopened_at.is_some_and(|at| at <= latest), "must open again in time");
    }
    if let Some(after) = scenario.closes_after_call {
        demand(seen.closed_at == Some(after), "must close after that call");
    }
    wrong
}

#[test]
fn every_scenario_behaves_as_it_says() {
    let all = include_str!("data/loop-scenarios.jsonl");
    let mut wrongs = Vec::new();
    for line in all.lines() {
        let scenario = Scenario::read(line).unwrap();
        let seen = scenario.replay(&CircuitPolicy::default());
        println!("{}: {:?} {:?} warned {:?}", scenario.name, seen.tripped_at, seen.detector, seen.warned);
        wrongs.extend(wrong(&scenario, &seen));
    }
    assert!(wrongs.is_empty(), "{}", wrongs.join("\n"));
    assert_eq!(all.lines().count(), 68);
}
