//! A cycle of two to six calls.

use bursar_engine::detect::Detector::{Cycle, LowNovelty};

use crate::support::calls::Agent;

fn round(agent: &mut Agent, length: usize, output: impl Fn(usize) -> String) {
    (0..length).for_each(|n| agent.runs(&format!("step {n}"), true, &output(n)));
}

#[test]
fn four_rounds_trip_and_three_warn() {
    for length in 2..=6 {
        let mut agent = Agent::new();
        let same = |agent: &mut Agent, _| round(agent, length, |n| format!("result {n}"));
        let tripped = agent.over_and_over(9, same);
        assert!(matches!(tripped, Some((4, Cycle | LowNovelty))), "{length}: {tripped:?}");
        assert_eq!(agent.heard, [(3 * u32::try_from(length).unwrap(), Cycle)]);
    }
}

#[test]
fn edits_are_part_of_it() {
    let mut agent = Agent::new();
    let to_and_fro = |agent: &mut Agent, _| {
        agent.edits("a.rs", "one");
        agent.runs("cargo test", false, "1 failed: a");
        agent.edits("a.rs", "two");
        agent.runs("cargo test", false, "2 failed: a, b");
    };
    assert_eq!(agent.over_and_over(9, to_and_fro), Some((4, Cycle)));
}

#[test]
fn it_is_none_where_outcomes_go_on_or_where_it_is_one_call_that_answers_in_turns() {
    let mut agent = Agent::new();
    let going_on = |agent: &mut Agent, round_no: usize| round(agent, 2, |n| format!("{round_no} {n}"));
    assert_eq!(agent.over_and_over(20, going_on), None);
    let mut agent = Agent::new();
    let board = |agent: &mut Agent, n: usize| {
        agent.makes("TaskList", "{}", true, if n.is_multiple_of(2) { "idle" } else { "busy" });
    };
    assert_eq!(agent.over_and_over(45, board), None);
    // Calls that differ, in rounds that differ.
    let mut agent = Agent::new();
    let batch = |agent: &mut Agent, n: usize| {
        agent.makes("Grep", &format!("{{\"pattern\":\"C{n}\"}}"), true, "2 files");
        agent.runs(&format!("git mv C{n} ui/C{n}"), true, "");
        agent.edits(&format!("f{n}"), "ui");
    };
    assert_eq!(agent.over_and_over(16, batch), None);
    assert_eq!(agent.heard, []);
}

#[test]
fn two_calls_that_wait_in_turns_are_a_wait() {
    let mut agent = Agent::new();
    let waits = |agent: &mut Agent, _| {
        agent.runs("sleep 20", true, "");
        agent.makes("BashOutput", "{\"bash_id\":\"1\"}", true, "<status>running</status>");
    };
    assert_eq!(agent.over_and_over(7, waits), None);
}
