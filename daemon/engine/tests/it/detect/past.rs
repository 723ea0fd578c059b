//! What an agent did before the daemon came.

use bursar_engine::command::{Command, Hook};
use bursar_engine::detect::Detector::RepeatedCall;
use bursar_engine::records::BreakerState;
use bursar_engine::table::HookEvent;

use crate::support::calls::{Agent, call, ended, looped};
use crate::support::hook;

/// The hooks of calls of these commands that nobody told of.
fn past(agent: &Agent, commands: &[&str]) -> Vec<Hook> {
    let at = agent.life.world.now;
    let hooks = |(n, what): (usize, &&str)| {
        let id = format!("past-{n}");
        let (begun, over) = (call(Some(&id), what), ended(Some(&id), what, true, "a b"));
        let of = |event, call| Hook { wall: at, calls: vec![call], ..hook(event) };
        [
            of(HookEvent::PreToolUse, begun),
            of(HookEvent::PostToolUse, over.clone()),
            of(HookEvent::PostToolBatch, over),
        ]
    };
    commands.iter().enumerate().flat_map(hooks).collect()
}

fn knows(agent: &mut Agent, commands: &[&str]) {
    let hooks = past(agent, commands);
    agent.life.world.send(&Command::Past(hooks));
}

fn tripped(agent: &Agent) -> Option<bursar_engine::detect::Detector> {
    agent.life.circuit().trip.as_ref().map(|trip| trip.detector)
}

#[test]
fn a_loop_that_goes_on_is_known_from_its_beginning() {
    for before in [4, 9] {
        let mut agent = Agent::new();
        knows(&mut agent, &vec!["ls"; before]);
        assert_eq!(agent.life.state(), BreakerState::Closed, "the past opens nothing");
        assert_eq!(agent.life.world.alerts().count(), 0);
        agent.runs("ls", true, "a b");
        assert_eq!(tripped(&agent), Some(RepeatedCall), "{before} before");
    }
}

#[test]
fn one_that_is_over_stops_nobody() {
    let mut agent = Agent::new();
    knows(&mut agent, &["ls", "ls", "ls", "ls", "ls", "ls", "make", "cat x"]);
    agent.runs("ls", true, "a b");
    agent.runs("make test", true, "ok");
    assert_eq!((agent.life.state(), tripped(&agent)), (BreakerState::Closed, None));
    assert_eq!(agent.heard, []);
}

#[test]
fn a_call_counts_once_whether_it_was_told_of_before_or_after() {
    let mut agent = Agent::new();
    knows(&mut agent, &["ls", "ls", "ls"]);
    knows(&mut agent, &["ls", "ls", "ls"]);
    agent.runs("ls", true, "a b");
    assert_eq!(tripped(&agent), None, "four in all");
    agent.runs("ls", true, "a b");
    assert_eq!(tripped(&agent), Some(RepeatedCall));
}

#[test]
fn an_open_circuit_stays_as_it_is() {
    let mut agent = Agent::new();
    agent.over_and_over(9, |agent, _| agent.runs("ls", true, "a b"));
    let before = agent.life.circuit().clone();
    knows(&mut agent, &["make", "cat x"]);
    assert_eq!(*agent.life.circuit(), before);
    let policy = agent.life.world.state.policy.clone();
    let mut half_open = looped(policy);
    half_open.acknowledge();
    let hooks = past(&agent, &["make", "cat x"]);
    half_open.world.send(&Command::Past(hooks));
    assert_eq!(half_open.state(), BreakerState::HalfOpen);
}
