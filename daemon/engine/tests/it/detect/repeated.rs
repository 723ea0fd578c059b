//! The same call with the same outcome, and the same message of several.

use bursar_engine::detect::Detector::{RepeatedCall, RepeatedMessage};
use bursar_engine::table::HookEvent;

use crate::support::calls::Agent;
use crate::support::hook;

#[test]
fn the_same_call_with_the_same_outcome_warns_at_three_and_trips_at_five() {
    let mut agent = Agent::new();
    let tripped = agent.over_and_over(9, |agent, _| agent.runs("ls", true, "a b"));
    assert_eq!(tripped, Some((5, RepeatedCall)));
    assert_eq!(agent.heard, [(3, RepeatedCall)]);
    let trip = agent.life.circuit().trip.clone().unwrap();
    assert_eq!(trip.to_string(), "5 identical calls of Bash in a row, with the same outcome");
    // However long there is between them, and whichever tool it is.
    let mut slow = Agent::new();
    slow.life.step_ms = 3_600_000;
    let same = |agent: &mut Agent, _| agent.makes("mcp__wiki__get_page", "{\"id\":7}", true, "page");
    assert_eq!(slow.over_and_over(9, same), Some((5, RepeatedCall)));
}

#[test]
fn another_outcome_or_another_call_between_begins_anew() {
    let mut agent = Agent::new();
    let changing = |agent: &mut Agent, n: usize| agent.runs("wc -l x", true, &format!("{n} x"));
    assert_eq!(agent.over_and_over(30, changing), None);
    assert_eq!(agent.heard, []);
    let mut agent = Agent::new();
    let between = |agent: &mut Agent, n: usize| {
        let command = if n.is_multiple_of(5) { format!("do {n}") } else { "ls".to_owned() };
        agent.runs(&command, true, "");
    };
    assert_eq!(agent.over_and_over(12, between), None);
}

#[test]
fn a_prompt_of_a_human_begins_anew_and_no_other_does() {
    let mut agent = Agent::new();
    (0..4).for_each(|_| agent.runs("ls", true, ""));
    agent.tell(hook(HookEvent::HumanPrompt));
    (0..4).for_each(|_| agent.runs("ls", true, ""));
    assert_eq!(agent.tripped(), None);
    agent.tell(hook(HookEvent::OtherPrompt));
    agent.runs("ls", true, "");
    assert_eq!(agent.tripped(), Some(RepeatedCall));
}

#[test]
fn what_differs_each_time_although_nothing_else_does_is_the_same() {
    let mut agent = Agent::new();
    let ticking = |agent: &mut Agent, n: usize| {
        let output = format!("sent msg_0{n}aaaaaaaaaaaaaaaaaaaaaa at 2026-01-01T10:00:0{n}Z, pid={n}000");
        agent.makes("send", &format!("{{\"text\":\"x\",\"description\":\"{n}\"}}"), true, &output);
    };
    assert_eq!(agent.over_and_over(9, ticking), Some((5, RepeatedCall)));
}

#[test]
fn the_limit_is_the_operators() {
    for (limit, trips_at) in
        [(6, Some(6)), (10, Some(10)), (25, Some(25)), (1, Some(2)), (2, Some(2)), (0, None)]
    {
        for ok in [true, false] {
            let mut agent = Agent::under(|c| c.duplicate_threshold = limit);
            let tripped = agent.over_and_over(49, |agent, _| agent.runs("ls", ok, "same"));
            assert_eq!(tripped.map(|(at, _)| at), trips_at, "{limit} {ok}");
        }
    }
}

#[test]
fn a_message_of_the_same_call_several_times_counts_once() {
    let mut agent = Agent::new();
    let same = ("Read", "{\"file_path\":\"a\"}", true, "text");
    agent.at_once(&[same; 9]);
    assert_eq!((agent.tripped(), agent.heard.len()), (None, 0));
    assert_eq!(agent.over_and_over(9, |agent, _| agent.at_once(&[same; 3])), Some((4, RepeatedCall)));
}

#[test]
fn the_same_message_is_the_same_in_whatever_order_its_calls_end() {
    let mut agent = Agent::new();
    let calls: Vec<_> = (0..3).map(|n| format!("{{\"pattern\":\"p{n}\"}}")).collect();
    let message = |agent: &mut Agent, n: usize| {
        let mut made: Vec<_> = calls.iter().map(|input| ("Grep", input.as_str(), true, "hit")).collect();
        if n.is_multiple_of(2) {
            made.reverse();
        }
        agent.at_once(&made);
    };
    assert_eq!(agent.over_and_over(9, message), Some((5, RepeatedMessage)));
    assert_eq!(agent.heard, [(9, RepeatedMessage)]);
}

#[test]
fn callers_that_tell_of_no_messages_are_counted_too() {
    let mut agent = Agent::new();
    let one = |agent: &mut Agent, _: usize| {
        let cell = agent.life.begin("ls");
        assert_eq!(cell, bursar_engine::table::Cell::Allow);
        agent.life.end("ls", true, "same");
    };
    assert_eq!(agent.over_and_over(9, one), Some((5, RepeatedCall)));
}
