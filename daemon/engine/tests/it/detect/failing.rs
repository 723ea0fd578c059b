//! The same call failing, whatever it says.

use bursar_engine::detect::Detector::{FailingCall, SameError};

use crate::support::calls::Agent;

#[test]
fn the_same_call_that_fails_otherwise_each_time_warns_at_four_and_trips_at_seven() {
    let mut agent = Agent::new();
    let failing = |agent: &mut Agent, n: usize| agent.runs("make", false, &format!("line {n}: error"));
    assert_eq!(agent.over_and_over(9, failing), Some((7, FailingCall)));
    assert_eq!(agent.heard, [(4, FailingCall)]);
}

#[test]
fn reading_between_changes_nothing_and_work_does() {
    let mut agent = Agent::new();
    let reading = |agent: &mut Agent, n: usize| {
        agent.runs("make", false, &format!("line {n}: error"));
        agent.reads(&format!("f{n}"), 1, 10, &format!("text {n}"));
    };
    assert_eq!(agent.over_and_over(9, reading), Some((7, FailingCall)));
    for by_shell in [true, false] {
        let mut agent = Agent::new();
        let working = |agent: &mut Agent, n: usize| {
            agent.runs("make", false, &format!("line {n}: error"));
            if by_shell {
                agent.runs(&format!("sed -i s/{n}// x"), true, "");
            } else {
                agent.edits("x", &n.to_string());
            }
        };
        assert_eq!(agent.over_and_over(20, working), None, "{by_shell}");
        assert_eq!(agent.heard, []);
    }
}

#[test]
fn a_success_of_the_call_ends_it() {
    let mut agent = Agent::new();
    let now_and_then = |agent: &mut Agent, n: usize| {
        agent.runs("make", n.is_multiple_of(4), &format!("{n}: words"));
    };
    assert_eq!(agent.over_and_over(40, now_and_then), None);
}

#[test]
fn people_read_the_first_error_and_the_reason_does_not_tell_it() {
    let mut agent = Agent::new();
    let failing = |agent: &mut Agent, n: usize| {
        agent.runs("make", false, &format!("no rule\\u001b[31m to make {n}000000\\nstop"));
    };
    assert!(matches!(agent.over_and_over(9, failing), Some((5..=8, FailingCall | SameError | _))));
    let trip = agent.life.circuit().trip.clone().unwrap();
    let words = trip.words.clone().unwrap();
    assert!(words.contains("1000000") && !words.contains('\u{1b}'), "{words}");
    assert!(!trip.to_string().contains("rule"), "{trip}");
}
