//! The same call, though it was refused.

use bursar_engine::detect::Detector::DeniedCall;

use crate::support::calls::Agent;

const BY_HUMAN: &str = "The user doesn't want to proceed with this tool use. The tool use was rejected.";

#[test]
fn four_refusals_trip_and_two_warn_with_other_calls_between() {
    for refusal in [
        BY_HUMAN,
        "PreToolUse:Bash hook error: [guard]: no",
        "Permission to use Bash with command rm has been denied.",
        "Claude requested permissions to use Bash, but you haven't granted it yet.",
    ] {
        let mut agent = Agent::new();
        let asking = |agent: &mut Agent, n: usize| {
            agent.runs("rm -rf build", false, refusal);
            agent.runs(&format!("ls {n}"), true, "x");
        };
        assert_eq!(agent.over_and_over(9, asking), Some((4, DeniedCall)), "{refusal}");
        assert_eq!(agent.heard.first(), Some(&(3, DeniedCall)), "{refusal}");
    }
}

#[test]
fn other_calls_that_are_refused_are_no_loop_and_no_error() {
    let mut agent = Agent::new();
    let asking = |agent: &mut Agent, n: usize| agent.runs(&format!("rm {n}"), false, BY_HUMAN);
    assert_eq!(agent.over_and_over(20, asking), None);
    assert_eq!(agent.heard, []);
}

#[test]
fn what_we_refuse_ourselves_counts_nowhere() {
    for ours in [
        "PreToolUse:Bash hook error: Budget: 5 of 4 tokens used; this call is refused until a person approves more.",
        "The turn was stopped before this call; it did not run.",
    ] {
        let mut agent = Agent::new();
        assert_eq!(agent.over_and_over(20, |agent, _| agent.runs("ls", false, ours)), None);
        assert_eq!(agent.heard, []);
    }
    // The loop that it stands in goes on being one.
    let mut agent = Agent::new();
    (0..4).for_each(|_| agent.runs("ls", true, "same"));
    agent.runs("ls", false, "Circuit breaker: it loops. This call is refused until a person lets it go on.");
    agent.runs("ls", true, "same");
    assert!(agent.tripped().is_some());
}
