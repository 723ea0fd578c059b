//! How much of what is done is new.

use bursar_engine::detect::Detector::LowNovelty;

use crate::support::calls::Agent;

/// Calls in an order without a short cycle: the `n`-th is one of `of`.
fn mixed(n: usize, of: usize) -> usize {
    (n * n * 7 + n * 3 + n / of) % of
}

fn pick(agent: &mut Agent, n: usize, of: usize) {
    let which = mixed(n, of);
    agent.runs(&format!("look {which}"), true, &format!("result {which}"));
}

#[test]
fn hardly_anything_new_trips_without_any_cycle() {
    let mut agent = Agent::new();
    let tripped = agent.over_and_over(30, |agent, n| pick(agent, n, 7));
    assert!(matches!(tripped, Some((20..=22, LowNovelty))), "{tripped:?}");
}

#[test]
fn cycles_too_long_to_be_seen_as_such_are_a_want_of_novelty() {
    for length in 7..=13 {
        let mut agent = Agent::new();
        let tripped = agent.over_and_over(30, |agent, n| {
            let step = n % length;
            agent.runs(&format!("step {step}"), true, &format!("result {step}"));
        });
        assert!(matches!(tripped, Some((20..=30, LowNovelty))), "{length}: {tripped:?}");
        assert!(
            agent.heard.iter().any(|(_, why)| *why == LowNovelty) || length == 7 || length == 8,
            "{length}"
        );
    }
}

#[test]
fn two_passes_over_many_files_warn_at_most() {
    let mut agent = Agent::new();
    let passes = |agent: &mut Agent, n: usize| {
        let input = format!("{{\"file_path\":\"/tmp/{}\",\"content\":\"x\"}}", n % 15);
        agent.makes("Write", &input, true, "wrote it");
    };
    assert_eq!(agent.over_and_over(30, passes), None);
}

#[test]
fn waiting_is_no_want_of_novelty() {
    let mut agent = Agent::new();
    let waiting = |agent: &mut Agent, n: usize| {
        agent.runs(&format!("do {n}"), true, "");
        (0..3).for_each(|_| agent.makes("BashOutput", "{}", true, "status: running"));
    };
    assert_eq!(agent.over_and_over(12, waiting), None);
}

#[test]
fn what_runs_well_after_each_new_edit_is_something_new() {
    let edit = |agent: &mut Agent, n: usize| {
        let input = format!("{{\"file_path\":\"a.go\",\"old_string\":\"{n}\",\"new_string\":\"x\"}}");
        agent.makes("Edit", &input, true, "updated");
    };
    let mut agent = Agent::new();
    let small_steps = |agent: &mut Agent, n: usize| {
        edit(agent, n);
        agent.runs("go vet ./...", true, "");
        agent.runs("go test ./...", true, "ok");
    };
    assert_eq!(agent.over_and_over(40, small_steps), None);
    // The same few edits back and forth are not new.
    let mut agent = Agent::new();
    let back_and_forth = |agent: &mut Agent, n: usize| {
        edit(agent, n % 7);
        agent.runs("go test ./...", true, "ok");
    };
    assert!(matches!(agent.over_and_over(40, back_and_forth), Some((_, LowNovelty))));
}
