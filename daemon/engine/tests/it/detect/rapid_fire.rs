//! So many calls of one agent in so short a time.

use bursar_engine::detect::Detector::{self, RapidFire};

use crate::support::calls::Agent;

fn quick(step_ms: u64) -> Agent {
    let mut agent = Agent::under(|c| c.duplicate_threshold = 0);
    agent.life.step_ms = step_ms;
    agent
}

fn tripped(step_ms: u64, of: usize) -> Option<(usize, Detector)> {
    // In an order without a short cycle.
    let which = move |n: usize| (n.wrapping_mul(2_654_435_761) >> 13) % of;
    quick(step_ms).over_and_over(49, move |agent, n| {
        agent.runs(&format!("do {}", which(n)), true, &format!("result {}", which(n)));
    })
}

#[test]
fn twenty_in_ten_seconds_trip_where_at_most_half_of_them_differ() {
    assert_eq!(tripped(500, 10), Some((20, RapidFire)));
    assert_eq!(tripped(500, 40), None);
    // Slower, it is another detector's.
    assert!(tripped(600, 10).is_none_or(|(_, why)| why != RapidFire));
}

#[test]
fn sixty_in_ten_seconds_trip_whatever_they_are() {
    let each = |step_ms: u64| {
        let new = |agent: &mut Agent, n: usize| agent.runs(&format!("do {n}"), true, "");
        quick(step_ms).over_and_over(200, new)
    };
    assert_eq!(each(169), Some((60, RapidFire)));
    assert_eq!(each(170), None);
    let mut agent = quick(300);
    let new = |agent: &mut Agent, n: usize| agent.runs(&format!("do {n}"), true, "");
    assert_eq!(agent.over_and_over(45, new), None);
    assert_eq!(agent.heard, [(20, RapidFire)]);
}

#[test]
fn equal_calls_of_one_message_are_a_rush_too() {
    let at_once = |different: usize| {
        let mut agent = Agent::new();
        agent.life.step_ms = 100;
        let inputs: Vec<_> = (0..30).map(|n| format!("{{\"path\":\"{}\"}}", n % different)).collect();
        let message: Vec<_> = inputs.iter().map(|i| ("List", i.as_str(), true, i.as_str())).collect();
        agent.at_once(&message);
        agent.tripped()
    };
    assert_eq!(at_once(1), Some(RapidFire));
    assert_eq!(at_once(8), Some(RapidFire));
    assert_eq!(at_once(16), None);
    assert_eq!(at_once(30), None);
}

#[test]
fn no_limit_is_none() {
    let mut agent = Agent::under(|c| c.rapid_fire_threshold = Some(0));
    agent.life.step_ms = 1;
    let new = |agent: &mut Agent, n: usize| agent.runs(&format!("do {n}"), true, "");
    assert_eq!(agent.over_and_over(200, new), None);
}
