//! An agent that calls things, as its hooks tell of it.

use bursar_engine::circuit::{Circuit, CircuitId};
use bursar_engine::command::{Act, Call, Hook, Outcome};
use bursar_engine::decide::Done;
use bursar_engine::ids::HoldId;
use bursar_engine::policy::{CircuitPolicy, Policy, Profile};
use bursar_engine::records::BreakerState;
use bursar_engine::table::{Cell, HookEvent};

use super::{World, hook, key, sid};

/// The strict profile with this cool-down in seconds.
pub(crate) fn strict(cooldown_s: u64) -> Policy {
    let circuits = CircuitPolicy { profile: Profile::Strict, cooldown_s, ..CircuitPolicy::default() };
    Policy { circuits, ..Policy::default() }
}

/// What was called, without an outcome.
pub(crate) fn call(id: Option<&str>, what: &str) -> Call {
    let input = format!("{{\"command\":\"{what}\"}}");
    Call::new(id, "Bash", "Bash".to_owned(), Some(&input))
}

/// What was called and what came of it.
pub(crate) fn ended(id: Option<&str>, what: &str, ok: bool, output: &str) -> Call {
    let output = serde_json::Value::from(output).to_string();
    let outcome = Some(Outcome::new("Bash", ok, Some(&output)));
    Call { outcome, ..call(id, what) }
}

/// A world in which one agent makes calls, one a second.
#[derive(Debug, Clone)]
pub(crate) struct Circuits {
    pub(crate) world: World,
    agent: Option<&'static str>,
    made: u32,
    /// Milliseconds from call to call.
    pub(crate) step_ms: u64,
}

impl Circuits {
    pub(crate) fn new(policy: Policy) -> Self {
        let mut world = World::new(policy);
        world.hook(hook(HookEvent::SessionStart));
        Self { world, agent: None, made: 0, step_ms: 1_000 }
    }

    /// The same world, seen by a subagent.
    pub(crate) fn of_agent(mut self, agent: &'static str) -> Self {
        self.agent = Some(agent);
        self.world.hook(self.hook(HookEvent::SubagentStart, Vec::new()));
        self
    }

    pub(crate) fn hook(&self, event: HookEvent, calls: Vec<Call>) -> Hook {
        Hook { agent: key(self.agent), calls, ..hook(event) }
    }

    fn id(&self) -> String {
        format!("call-{}", self.made)
    }

    /// A call from its first hook to its last: what its PreToolUse was told, and the hold of its batch if there is one.
    /// A call that does not run has no further hooks. Its outcome is good, and new for each `what`.
    pub(crate) fn call(&mut self, what: &str) -> (Cell, Option<HoldId>) {
        let cell = self.begin(what);
        let hold =
            if cell == Cell::Allow { self.finish(what, true, &format!("{what} is done")) } else { None };
        (cell, hold)
    }

    /// The first hook of a call.
    pub(crate) fn begin(&mut self, what: &str) -> Cell {
        self.made += 1;
        self.world.wait_ms(self.step_ms);
        let calls = vec![call(Some(&self.id()), what)];
        self.world.hook(self.hook(HookEvent::PreToolUse, calls)).cell
    }

    /// The last hooks of the call begun last: the hold of its batch, if there is one.
    pub(crate) fn finish(&mut self, what: &str, ok: bool, output: &str) -> Option<HoldId> {
        let event = if ok { HookEvent::PostToolUse } else { HookEvent::PostToolUseFailure };
        let calls = vec![ended(Some(&self.id()), what, ok, output)];
        self.world.hook(self.hook(event, calls.clone()));
        self.world.hook(self.hook(HookEvent::PostToolBatch, calls)).hold
    }

    pub(crate) fn circuit_id(&self) -> CircuitId {
        CircuitId::of(&sid(super::S), &key(self.agent))
    }

    pub(crate) fn circuit(&self) -> &Circuit {
        &self.world.state.circuits[&self.circuit_id()]
    }

    pub(crate) fn state(&self) -> BreakerState {
        self.circuit().state
    }

    pub(crate) fn acknowledge(&mut self) -> Done {
        self.world.act(Act::Acknowledge(Some(self.circuit_id()))).unwrap()
    }
}

/// An agent whose fifth identical call has opened its circuit.
pub(crate) fn looped(policy: Policy) -> Circuits {
    let mut life = Circuits::new(policy);
    for _ in 0..5 {
        life.begin("ls");
        life.finish("ls", true, "the same");
    }
    assert_eq!(life.state(), BreakerState::Open);
    life
}
