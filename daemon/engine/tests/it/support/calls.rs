//! An agent that calls things, as its hooks tell of it.

use bursar_engine::circuit::{Circuit, CircuitId};
use bursar_engine::command::{Act, Call, Hook, Outcome};
use bursar_engine::decide::Done;
use bursar_engine::detect::Detector;
use bursar_engine::ids::HoldId;
use bursar_engine::policy::{CircuitPolicy, OnPause, Policy, Profile};
use bursar_engine::records::BreakerState;
use bursar_engine::table::{Cell, HookEvent};
use bursar_engine::verdict::ModelText;

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

    /// The last hook of the call begun last, where no hook tells of messages.
    pub(crate) fn end(&mut self, what: &str, ok: bool, output: &str) {
        let event = if ok { HookEvent::PostToolUse } else { HookEvent::PostToolUseFailure };
        let calls = vec![ended(Some(&self.id()), what, ok, output)];
        self.world.hook(self.hook(event, calls));
    }

    /// The last hooks of the call begun last: the hold of its batch, if there is one.
    pub(crate) fn finish(&mut self, what: &str, ok: bool, output: &str) -> Option<HoldId> {
        self.end(what, ok, output);
        let calls = vec![ended(Some(&self.id()), what, ok, output)];
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

/// One call of a message: tool, input, whether it succeeds, and what it answers.
pub(crate) type Made<'a> = (&'a str, &'a str, bool, &'a str);

/// An agent under the evidence profile.
#[derive(Debug, Clone)]
pub(crate) struct Agent {
    pub(crate) life: Circuits,
    /// What its model was warned of, and at which of its calls.
    pub(crate) heard: Vec<(u32, Detector)>,
}

impl Agent {
    pub(crate) fn new() -> Self {
        Self::under(|_| {})
    }

    pub(crate) fn under(change: impl FnOnce(&mut CircuitPolicy)) -> Self {
        let mut circuits = CircuitPolicy { cooldown_s: 0, ..CircuitPolicy::default() };
        change(&mut circuits);
        let mut life = Circuits::new(Policy { circuits, on_pause: OnPause::Deny, ..Policy::default() });
        life.step_ms = 4_000;
        Self { life, heard: Vec::new() }
    }

    pub(crate) fn hook(&mut self, event: HookEvent, calls: Vec<Call>) {
        let hook = self.life.hook(event, calls);
        self.tell(hook);
    }

    pub(crate) fn tell(&mut self, hook: Hook) {
        let texts = self.life.world.hook(hook).texts;
        let heard = texts.iter().filter_map(|text| match text {
            ModelText::Loop(heard) => Some((self.life.made, heard.detector)),
            _ => None,
        });
        self.heard.extend(heard);
    }

    /// A message of these calls, each from its first hook to its last.
    pub(crate) fn at_once(&mut self, calls: &[Made<'_>]) {
        self.life.world.wait_ms(self.life.step_ms);
        let mut ended = Vec::new();
        for (tool, input, ok, output) in calls {
            self.life.made += 1;
            let id = self.life.id();
            let made = Call::new(Some(&id), tool, (*tool).to_owned(), Some(input));
            let output = serde_json::Value::from(*output).to_string();
            let outcome = Some(Outcome::new(tool, *ok, Some(&output)));
            self.hook(HookEvent::PreToolUse, vec![made.clone()]);
            let made = Call { outcome, ..made };
            // A refused call has no hook of its own at its end.
            if *ok || !bursar_engine::print::is_refusal(Some(&output)) {
                let event = if *ok { HookEvent::PostToolUse } else { HookEvent::PostToolUseFailure };
                self.hook(event, vec![made.clone()]);
            }
            ended.push(made);
        }
        self.hook(HookEvent::PostToolBatch, ended);
    }

    /// A message of one call.
    pub(crate) fn makes(&mut self, tool: &str, input: &str, ok: bool, output: &str) {
        self.at_once(&[(tool, input, ok, output)]);
    }

    /// A message of a call that only its batch tells of.
    pub(crate) fn invalid(&mut self, tool: &str, input: &str, error: &str) {
        self.life.world.wait_ms(self.life.step_ms);
        self.life.made += 1;
        let error = serde_json::Value::from(error).to_string();
        let made = Call::new(Some(&self.life.id()), tool, tool.to_owned(), Some(input));
        let outcome = Some(Outcome::new(tool, false, Some(&error)));
        self.hook(HookEvent::PostToolBatch, vec![Call { outcome, ..made }]);
    }

    /// A command of a shell.
    pub(crate) fn runs(&mut self, command: &str, ok: bool, output: &str) {
        self.makes("Bash", &format!("{{\"command\":\"{command}\"}}"), ok, output);
    }

    pub(crate) fn reads(&mut self, file: &str, from: u32, lines: u32, output: &str) {
        let input = format!("{{\"file_path\":\"{file}\",\"offset\":\"{from}\",\"limit\":{lines}}}");
        self.makes("Read", &input, true, output);
    }

    pub(crate) fn edits(&mut self, file: &str, to: &str) {
        let input = format!("{{\"file_path\":\"{file}\",\"old_string\":\"\",\"new_string\":\"{to}\"}}");
        self.makes("Edit", &input, true, "The file has been updated.");
    }

    /// Why its circuit is open.
    pub(crate) fn tripped(&self) -> Option<Detector> {
        let circuit = self.life.world.state.circuits.get(&self.life.circuit_id())?;
        circuit.is_open().then(|| circuit.trip.as_ref().unwrap().detector)
    }

    /// Does it over and over until the circuit opens, so often at most: at which time it did, and by what.
    pub(crate) fn over_and_over(
        &mut self,
        most: usize,
        mut step: impl FnMut(&mut Self, usize),
    ) -> Option<(usize, Detector)> {
        (1..=most).find_map(|n| {
            step(self, n);
            self.tripped().map(|detector| (n, detector))
        })
    }
}
