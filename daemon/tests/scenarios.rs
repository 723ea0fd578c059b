//! Scenarios of loops and of healthy work, drawn from other tools' tests and from users' reports: each behaves as it says.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

use bursar::replay::scenario::Scenario;
use bursar_engine::policy::CircuitPolicy;

#[test]
fn every_scenario_behaves_as_it_says() {
    let all = include_str!("data/loop-scenarios.jsonl");
    let mut wrongs = Vec::new();
    for line in all.lines() {
        let scenario = Scenario::read(line).unwrap();
        let seen = scenario.replay(&CircuitPolicy::default());
        println!("{}: {:?} {:?} warned {:?}", scenario.name, seen.tripped_at, seen.detector, seen.warned);
        wrongs.extend(scenario.differs(&seen).map(|what| format!("{}: {what}: {seen:?}", scenario.name)));
    }
    assert!(wrongs.is_empty(), "{}", wrongs.join("\n"));
    assert_eq!(all.lines().count(), 68);
}
