//! The ways past a breaker that an operator has.

use bursar_engine::command::Act;
use bursar_engine::detect::Detector::{LoopAgain, RepeatedCall};
use bursar_engine::error::OperatorError;
use bursar_engine::hold::HoldEnd;
use bursar_engine::policy::Policy;
use bursar_engine::records::BreakerState::{Closed, HalfOpen};
use bursar_engine::table::{Cell, HookEvent};

use crate::support::calls::{Agent, Circuits, looped, strict};
use crate::support::{hook, key, sid};

fn same(agent: &mut Agent, _: usize) {
    agent.runs("ls", true, "same");
}

#[test]
fn allowed_once_the_loop_goes_on_once() {
    let mut agent = Agent::new();
    agent.over_and_over(9, same);
    agent.life.world.act(Act::AllowOnce(None)).unwrap();
    same(&mut agent, 0);
    assert_eq!(agent.life.state(), HalfOpen);
    same(&mut agent, 0);
    assert_eq!(agent.tripped(), Some(LoopAgain));
    let closed = Agent::new().life.world.act(Act::AllowOnce(None));
    assert_eq!(closed, Err(OperatorError::NobodyWaits));
    // The literal profile has it too.
    let mut life = looped(strict(0));
    life.world.act(Act::AllowOnce(Some(life.circuit_id()))).unwrap();
    assert_eq!((life.begin("ls"), life.begin("ls")), (Cell::Allow, Cell::Hold));
}

#[test]
fn switched_off_a_session_is_stopped_by_nothing_until_it_is_switched_on() {
    let mut life = Circuits::new(Policy::default()).of_agent("a");
    for _ in 0..5 {
        life.begin("ls");
        life.finish("ls", true, "same");
    }
    let held = life.world.held(life.hook(HookEvent::PreToolUse, Vec::new()));
    let switch = |off| Act::SwitchCircuits { session: sid("s1"), off };
    life.world.act(switch(true)).unwrap();
    assert_eq!(life.world.end_of(held), Some(HoldEnd::Released));
    for _ in 0..9 {
        life.begin("ls");
        assert_eq!(life.finish("ls", true, "same"), None);
    }
    assert_eq!((life.state(), life.circuit().window.iterations), (Closed, 0));
    life.world.act(switch(false)).unwrap();
    let mut again = 0;
    while life.state() == Closed {
        life.begin("ls");
        life.finish("ls", true, "same");
        again += 1;
    }
    assert_eq!(again, 5);
    let unknown = Act::SwitchCircuits { session: sid("nobody"), off: true };
    assert!(matches!(life.world.act(unknown), Err(OperatorError::NotFound(_))));
}

#[test]
fn an_exempt_tools_calls_are_counted_and_looked_at_no_further() {
    let mut agent = Agent::new();
    let exempt = |exempt| Act::Exempt { session: sid("s1"), tool: "Bash".to_owned(), exempt };
    agent.life.world.act(exempt(true)).unwrap();
    assert_eq!(agent.over_and_over(30, same), None);
    assert_eq!((agent.heard.len(), agent.life.circuit().window.iterations), (0, 30));
    // Another one is not, and in a subagent it is too.
    let other = |agent: &mut Agent, _: usize| agent.makes("Grep", "{\"pattern\":1}", true, "hit");
    assert_eq!(agent.over_and_over(9, other), Some((5, RepeatedCall)));
    let sub = bursar_engine::command::Hook { agent: key(Some("a")), ..hook(HookEvent::SubagentStart) };
    agent.tell(sub);
    let mut agent = Agent::new();
    agent.life.world.act(exempt(true)).unwrap();
    agent.life.world.act(exempt(false)).unwrap();
    assert_eq!(agent.over_and_over(9, same), Some((5, RepeatedCall)));
}
