//! Searching and reading that finds nothing.

use bursar_engine::detect::Detector::EmptyResults;

use crate::support::calls::Agent;

fn searches(agent: &mut Agent, n: usize) {
    let found = ["", "No files found", "No matches found", "[]", "Found 0 files"][n % 5];
    agent.makes(["Grep", "Glob"][n % 2], &format!("{{\"pattern\":\"{n}\"}}"), true, found);
}

#[test]
fn twenty_trip_and_eight_warn() {
    let mut agent = Agent::new();
    assert_eq!(agent.over_and_over(30, searches), Some((20, EmptyResults)));
    assert_eq!(agent.heard, [(8, EmptyResults), (16, EmptyResults)]);
}

#[test]
fn anything_found_and_any_work_ends_it() {
    for end in 0..4 {
        let mut agent = Agent::new();
        let now_and_then = |agent: &mut Agent, n: usize| match (n.is_multiple_of(7), end) {
            (true, 0) => agent.makes("Grep", &format!("{{\"pattern\":\"{n}\"}}"), true, "a.rs:3"),
            (true, 1) => agent.reads(&format!("f{n}"), 1, 9, "text"),
            (true, 2) => agent.edits("x", &n.to_string()),
            (true, _) => agent.runs(&format!("make {n}"), true, "made"),
            _ => searches(agent, n),
        };
        assert_eq!(agent.over_and_over(49, now_and_then), None, "{end}");
    }
}

#[test]
fn a_command_that_says_nothing_has_done_its_work() {
    let mut agent = Agent::new();
    let quiet = |agent: &mut Agent, n: usize| agent.runs(&format!("convert {n}.png"), true, "");
    assert_eq!(agent.over_and_over(60, quiet), None);
    assert!(agent.heard.iter().all(|(_, why)| *why != EmptyResults));
}

#[test]
fn a_message_of_many_searches_counts_once() {
    let mut agent = Agent::new();
    let inputs: Vec<_> = (0..25).map(|n| format!("{{\"pattern\":\"{n}\"}}")).collect();
    let message: Vec<_> = inputs.iter().map(|input| ("Grep", input.as_str(), true, "")).collect();
    agent.at_once(&message);
    assert!(agent.heard.iter().all(|(_, why)| *why != EmptyResults), "{:?}", agent.heard);
}
