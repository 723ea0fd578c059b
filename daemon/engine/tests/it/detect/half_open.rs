//! A half-open circuit under the evidence profile.

use bursar_engine::detect::Detector::{self, Cycle, LoopAgain, RapidFire, RepeatedCall, SameError};
use bursar_engine::records::BreakerState::{Closed, HalfOpen, Open};

use crate::support::calls::Agent;

/// An agent whose circuit was opened by that and then acknowledged.
fn acknowledged(cooldown_s: u64, step: impl FnMut(&mut Agent, usize)) -> (Agent, Detector) {
    let mut agent = Agent::under(|c| c.cooldown_s = cooldown_s);
    let (_, detector) = agent.over_and_over(40, step).unwrap();
    agent.life.acknowledge();
    (agent, detector)
}

fn same(agent: &mut Agent, _: usize) {
    agent.runs("ls", true, "same");
}

fn turns(agent: &mut Agent, n: usize) {
    agent.reads(
        if n.is_multiple_of(2) { "a" } else { "b" },
        1,
        9,
        if n.is_multiple_of(2) { "A" } else { "B" },
    );
}

#[test]
fn the_same_loop_again_opens_it_at_once() {
    let (mut agent, why) = acknowledged(0, same);
    assert_eq!(why, RepeatedCall);
    same(&mut agent, 0);
    assert_eq!(agent.tripped(), Some(LoopAgain));
    // And again, after another acknowledgement.
    agent.life.acknowledge();
    same(&mut agent, 0);
    assert_eq!(agent.tripped(), Some(LoopAgain));
    let (mut agent, why) = acknowledged(0, turns);
    assert_eq!(why, Cycle);
    turns(&mut agent, 1);
    assert_eq!(agent.tripped(), Some(LoopAgain));
    let error = |agent: &mut Agent, n: usize| agent.runs(&format!("get {n}"), false, "404");
    let (mut agent, why) = acknowledged(0, error);
    assert_eq!(why, SameError);
    error(&mut agent, 99);
    assert_eq!(agent.tripped(), Some(LoopAgain));
}

#[test]
fn every_loop_opens_it_again_where_it_goes_on() {
    type Step = fn(&mut Agent, usize);
    let steps: [Step; 7] = [
        |agent, n| agent.runs("make", false, &format!("line {n}")),
        |agent, _| agent.makes("BashOutput", "{}", true, "status: running"),
        |agent, n| agent.makes("Grep", &format!("{{\"pattern\":{n}}}"), true, ""),
        |agent, n| agent.makes("TodoWrite", &format!("{{\"todos\":[{n}]}}"), true, "modified"),
        |agent, _| agent.runs("rm x", false, "The user doesn't want to proceed with this tool use."),
        |agent, n| agent.runs(&format!("look {}", n % 9), true, &format!("result {}", n % 9)),
        |agent, n| agent.makes("Agent", &format!("{{\"prompt\":\"{n}\"}}"), true, "started"),
    ];
    for (n, step) in steps.into_iter().enumerate() {
        let mut agent = Agent::under(|c| c.cooldown_s = 0);
        agent.life.step_ms = 1_500;
        let (at, why) = agent.over_and_over(40, step).unwrap();
        agent.life.acknowledge();
        assert_eq!(agent.life.state(), HalfOpen);
        step(&mut agent, at + 9);
        assert_eq!(agent.tripped(), Some(LoopAgain), "{n} {why:?}");
    }
}

#[test]
fn the_call_may_be_tried_once_more_if_it_comes_to_something_else() {
    let (mut agent, _) = acknowledged(0, same);
    agent.runs("ls", true, "something else");
    assert_eq!(agent.life.state(), HalfOpen, "the same call closes nothing");
    agent.runs("pwd", true, "/home");
    assert_eq!(agent.life.state(), Closed);
}

#[test]
fn the_first_good_call_that_differs_and_is_new_closes_it_after_the_cool_down() {
    let (mut agent, _) = acknowledged(0, same);
    agent.runs("make", false, "error");
    assert_eq!(agent.life.state(), HalfOpen, "a failure closes nothing");
    agent.runs("make", true, "made");
    assert_eq!(agent.life.state(), Closed);
    let (mut agent, _) = acknowledged(60, same);
    agent.runs("make 1", true, "made");
    assert_eq!(agent.life.state(), HalfOpen);
    agent.life.world.wait_ms(60_000);
    agent.runs("make 2", true, "made");
    assert_eq!(agent.life.state(), Closed);
}

#[test]
fn any_other_anomaly_opens_it_for_its_own_reason() {
    let (mut agent, _) = acknowledged(3_600, same);
    let tripped = agent.over_and_over(9, |agent, _| agent.runs("pwd", true, "/home"));
    assert_eq!(tripped, Some((3, RepeatedCall)), "what only warns elsewhere");
    // How many and how fast are no anomaly below what trips.
    let (mut agent, _) = acknowledged(3_600, same);
    agent.life.step_ms = 300;
    assert_eq!(agent.over_and_over(59, |agent, n| agent.runs(&format!("do {n}"), true, "")), None);
    assert!(agent.heard.iter().any(|(_, why)| *why == RapidFire));
}

#[test]
fn a_reset_forgets_the_loop() {
    let (mut agent, _) = acknowledged(0, same);
    let id = agent.life.circuit_id();
    agent.life.world.act(bursar_engine::command::Act::ResetCircuit(id)).unwrap();
    (0..4).for_each(|n| same(&mut agent, n));
    assert_eq!(agent.life.state(), Closed);
    same(&mut agent, 4);
    assert_eq!(agent.life.state(), Open);
}

#[test]
fn the_same_answer_by_another_way_closes_nothing() {
    let (mut agent, _) = acknowledged(0, same);
    agent.runs("ls .", true, "same");
    assert_eq!(agent.life.state(), HalfOpen);
    agent.runs("ls src", true, "other");
    assert_eq!(agent.life.state(), Closed);
}
