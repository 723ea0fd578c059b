//! The same error of a tool, whatever the arguments.

use bursar_engine::detect::Detector::SameError;

use crate::support::calls::Agent;

#[test]
fn eight_messages_trip_and_three_warn_again_at_six() {
    let mut agent = Agent::new();
    let other = |agent: &mut Agent, n: usize| {
        agent.runs(&format!("get {n}"), false, &format!("Error: 404, no issue {}", 1_000 + n));
    };
    assert_eq!(agent.over_and_over(12, other), Some((8, SameError)));
    assert_eq!(agent.heard, [(3, SameError), (6, SameError)]);
    assert_eq!(
        agent.life.circuit().trip.clone().unwrap().words.as_deref(),
        Some("Error: 404, no issue 1001")
    );
}

#[test]
fn calls_that_never_run_count_too() {
    let mut agent = Agent::new();
    let invalid = |agent: &mut Agent, n: usize| {
        let error =
            "<tool_use_error>InputValidationError: the parameter `command` is missing</tool_use_error>";
        agent.invalid("Bash", &format!("{{\"cmd\":{n}}}"), error);
    };
    assert_eq!(agent.over_and_over(12, invalid), Some((8, SameError)));
    let mut agent = Agent::new();
    let unknown = |agent: &mut Agent, n: usize| {
        let error = "<tool_use_error>Error: No such tool available: Nope</tool_use_error>";
        agent.invalid("Nope", &format!("{{\"x\":{n}}}"), error);
    };
    assert_eq!(agent.over_and_over(12, unknown), Some((8, SameError)));
}

#[test]
fn a_success_of_the_tool_or_a_good_edit_ends_it() {
    for n in 0..3 {
        let mut agent = Agent::new();
        let trying = |agent: &mut Agent, step: usize| {
            agent.runs(&format!("try {step}"), false, "it does not work");
            match (step.is_multiple_of(3), n) {
                (true, 0) => agent.runs(&format!("ok {step}"), true, ""),
                (true, 1) => agent.edits("x", &step.to_string()),
                // Another tool's success does not.
                _ => agent.reads(&format!("f{step}"), 1, 9, "text"),
            }
        };
        let tripped = agent.over_and_over(20, trying);
        assert_eq!(tripped, (n == 2).then_some((8, SameError)), "{n}");
    }
}

#[test]
fn a_message_counts_once_and_what_was_given_up_for_another_call_not_at_all() {
    let mut agent = Agent::new();
    let edits: Vec<_> = (0..10).map(|n| format!("{{\"file_path\":\"a\",\"new_string\":\"{n}\"}}")).collect();
    let error = |n: usize| match n {
        0 => "String to replace not found in file.",
        _ => "<tool_use_error>Sibling tool call errored</tool_use_error>",
    };
    let message: Vec<_> =
        edits.iter().enumerate().map(|(n, i)| ("Edit", i.as_str(), false, error(n))).collect();
    agent.life.step_ms = 20_000;
    agent.at_once(&message);
    assert_eq!((agent.tripped(), agent.heard.len()), (None, 0));
    // Ten reads at once of files that are not there are one mistake.
    let reads: Vec<_> = edits.iter().map(|i| ("Read", i.as_str(), false, "no such file")).collect();
    agent.at_once(&reads);
    agent.at_once(&reads[..4]);
    assert_eq!((agent.tripped(), agent.heard.len()), (None, 0));
}

#[test]
fn errors_that_differ_are_no_loop() {
    let mut agent = Agent::new();
    let ideas = |agent: &mut Agent, n: usize| agent.runs(&format!("idea {n}"), false, &format!("{n} failed"));
    assert_eq!(agent.over_and_over(30, ideas), None);
}
