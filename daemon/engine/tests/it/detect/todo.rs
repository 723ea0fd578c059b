//! Messages that only keep a list of tasks.

use bursar_engine::detect::Detector::TodoOnly;

use crate::support::calls::Agent;

fn updates(agent: &mut Agent, n: usize) {
    agent.makes("TodoWrite", &format!("{{\"todos\":[{n}]}}"), true, "Todos have been modified.");
}

#[test]
fn fifteen_trip_and_eight_warn() {
    let mut agent = Agent::new();
    assert_eq!(agent.over_and_over(30, updates), Some((15, TodoOnly)));
    assert_eq!(agent.heard, [(8, TodoOnly)]);
}

#[test]
fn any_other_call_ends_it_and_a_message_counts_once() {
    let mut agent = Agent::new();
    let working = |agent: &mut Agent, n: usize| {
        if n.is_multiple_of(5) { agent.edits("x", &n.to_string()) } else { updates(agent, n) }
    };
    assert_eq!(agent.over_and_over(45, working), None);
    let mut agent = Agent::new();
    let inputs: Vec<_> = (0..30).map(|n| format!("{{\"taskId\":{n}}}")).collect();
    let message: Vec<_> = inputs.iter().map(|i| ("TaskUpdate", i.as_str(), true, "Updated")).collect();
    agent.at_once(&message);
    assert_eq!(agent.tripped(), None);
}

#[test]
fn a_plan_is_written_down_task_by_task_and_then_said_of_each_what_it_waits_for() {
    let adds = |agent: &mut Agent, n: usize| {
        agent.makes("TaskCreate", &format!("{{\"subject\":\"{n}\"}}"), true, &format!("Task {n} created"));
    };
    let waits_for = |agent: &mut Agent, n: usize| {
        let input = format!("{{\"taskId\":{},\"addBlockedBy\":[{n}]}}", n + 1);
        agent.makes("TaskUpdate", &input, true, &format!("Updated task {}", n + 1));
    };
    let mut agent = Agent::new();
    assert_eq!(agent.over_and_over(29, adds), None);
    assert_eq!(agent.over_and_over(30, waits_for), None);
    // What was said is not said again.
    assert_eq!(agent.over_and_over(30, waits_for).map(|(_, why)| why), Some(TodoOnly));
    let mut agent = Agent::new();
    assert_eq!(agent.over_and_over(60, adds), Some((45, TodoOnly)));
}
