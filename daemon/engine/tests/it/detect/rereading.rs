//! Reading what was read.

use bursar_engine::detect::Detector::Rereading;
use bursar_engine::table::HookEvent;

use crate::support::calls::Agent;

/// The n-th part of a file's sweep, 40 lines each.
fn sweeps(agent: &mut Agent, n: usize, from: usize) {
    let from = u32::try_from(n * 48 + from).unwrap();
    agent.reads("deck.rs", from, 40, &format!("lines {from}"));
}

#[test]
fn a_second_sweep_at_other_offsets_trips_at_twenty_reads_and_warns_at_eight() {
    let mut agent = Agent::new();
    assert_eq!(agent.over_and_over(49, |agent, n| sweeps(agent, n, 1)), None);
    agent.heard.clear();
    let again = agent.over_and_over(30, |agent, n| sweeps(agent, n, 21));
    assert_eq!(again, Some((20, Rereading)));
    let heard: Vec<_> =
        agent.heard.iter().filter(|(_, why)| *why == Rereading).map(|(at, _)| at - 49).collect();
    assert_eq!(heard, [8, 16]);
}

#[test]
fn parts_that_were_not_seen_are_new() {
    let mut agent = Agent::new();
    let on_and_on = |agent: &mut Agent, n: usize| {
        agent.reads("big.rs", u32::try_from(n).unwrap() * 30, 50, &format!("lines {n}"));
    };
    assert_eq!(agent.over_and_over(49, on_and_on), None);
    assert_eq!(agent.heard.len(), 0);
}

#[test]
fn an_edited_file_and_one_that_another_hand_changed_are_new() {
    let mut agent = Agent::new();
    let edited = |agent: &mut Agent, n: usize| {
        agent.reads("a.rs", 1, 100, &format!("version {n}"));
        agent.edits("a.rs", &n.to_string());
    };
    assert_eq!(agent.over_and_over(24, edited), None);
    let mut agent = Agent::new();
    let log = |agent: &mut Agent, n: usize| agent.reads("x.log", 1, 100, &format!("{n} lines"));
    assert_eq!(agent.over_and_over(49, log), None);
    assert!(agent.heard.iter().all(|(_, why)| *why != Rereading), "{:?}", agent.heard);
}

#[test]
fn what_was_read_before_a_compaction_is_gone_with_it() {
    let mut agent = Agent::new();
    (0..24).for_each(|n| sweeps(&mut agent, n, 1));
    agent.hook(HookEvent::PreCompact, Vec::new());
    assert_eq!(agent.over_and_over(24, |agent, n| sweeps(agent, n - 1, 5)), None);
}
