//! Compactions, and stops that another hook turns back.

use bursar_engine::command::Hook;
use bursar_engine::detect::Detector::{BlockedStops, Compactions};
use bursar_engine::table::HookEvent;

use crate::support::calls::Agent;
use crate::support::hook;

fn compacts(agent: &mut Agent, by_hand: bool) {
    agent.tell(Hook { by_hand, ..hook(HookEvent::PreCompact) });
}

fn stops(agent: &mut Agent, stop_blocked: bool) {
    agent.tell(Hook { stop_blocked, ..hook(HookEvent::Stop) });
}

#[test]
fn six_compactions_trip_with_nothing_new_between() {
    let mut agent = Agent::new();
    assert_eq!(agent.over_and_over(9, |agent, _| compacts(agent, false)), Some((6, Compactions)));
    // Reading the same again each time is nothing new.
    let mut agent = Agent::new();
    let reading = |agent: &mut Agent, _: usize| {
        agent.reads("plan.md", 1, 99, "the plan");
        compacts(agent, false);
    };
    assert!(matches!(agent.over_and_over(9, reading), Some((5..=7, _))));
    // The model hears of it where it can.
    let mut agent = Agent::new();
    (0..3).for_each(|_| compacts(&mut agent, false));
    assert_eq!(agent.heard, []);
    agent.runs("ls", true, "x");
    assert_eq!(agent.heard, [(1, Compactions)]);
}

#[test]
fn work_between_or_a_human_who_asks_for_it_make_none() {
    let mut agent = Agent::new();
    let working = |agent: &mut Agent, n: usize| {
        agent.edits("x", &n.to_string());
        compacts(agent, false);
    };
    assert_eq!(agent.over_and_over(20, working), None);
    assert_eq!(Agent::new().over_and_over(20, |agent, _| compacts(agent, true)), None);
}

#[test]
fn ten_blocked_stops_trip_and_others_are_none() {
    let mut agent = Agent::new();
    assert_eq!(agent.over_and_over(12, |agent, _| stops(agent, true)), Some((10, BlockedStops)));
    assert_eq!(Agent::new().over_and_over(30, |agent, _| stops(agent, false)), None);
    let mut agent = Agent::new();
    let working = |agent: &mut Agent, n: usize| {
        stops(agent, true);
        agent.runs(&format!("make {n}"), true, "made");
    };
    assert_eq!(agent.over_and_over(30, working), None);
}
