//! So many calls since the last prompt of a human.

use bursar_engine::detect::Detector::{self, IterationLimit};
use bursar_engine::table::HookEvent;

use crate::support::calls::Agent;
use crate::support::hook;

fn new(agent: &mut Agent, n: usize) {
    agent.runs(&format!("do {n}"), true, &format!("done {n}"));
}

#[test]
fn a_thousand_trip_whatever_they_are_and_fifty_warn_at_each_doubling() {
    let mut agent = Agent::new();
    assert_eq!(agent.over_and_over(1_100, new), Some((1_000, IterationLimit)));
    let heard: Vec<u32> = agent.heard.iter().map(|(at, _)| *at).collect();
    assert_eq!(heard, [50, 100, 200, 400, 800]);
    agent.life.acknowledge();
    assert_eq!(agent.over_and_over(1_100, |agent, n| new(agent, n + 2_000)), Some((1_000, IterationLimit)));
}

#[test]
fn fifty_trip_where_little_is_new() {
    let mut agent = Agent::new();
    (0..30).for_each(|n| new(&mut agent, n));
    // Of each 30, fewer than 18 differ, and more than 13.
    let some = |agent: &mut Agent, n: usize| new(agent, 1_000 + (n * n + n / 16) % 16);
    let tripped = agent.over_and_over(60, some);
    assert!(tripped.is_some(), "{:?}", agent.heard);
    let mut agent = Agent::new();
    let pairs = |agent: &mut Agent, n: usize| new(agent, n / 2);
    let tripped: Option<(usize, Detector)> = agent.over_and_over(200, pairs);
    assert_eq!(tripped, Some((50, IterationLimit)));
}

#[test]
fn a_humans_prompt_begins_anew_and_a_limit_that_was_set_is_meant() {
    let mut agent = Agent::new();
    (0..999).for_each(|n| new(&mut agent, n));
    agent.tell(hook(HookEvent::HumanPrompt));
    assert_eq!(agent.over_and_over(999, |agent, n| new(agent, n + 5_000)), None);
    let mut agent = Agent::under(|c| c.max_iterations = Some(50));
    assert_eq!(agent.over_and_over(60, new), Some((50, IterationLimit)));
    let mut agent = Agent::under(|c| c.max_iterations = Some(0));
    assert_eq!(agent.over_and_over(1_100, new), None);
}
