//! Random lives of a circuit against the plainest model of it: all calls are remembered, every rule is worked out anew.

use std::collections::BTreeSet;

use bursar_engine::command::Act;
use bursar_engine::policy::{CircuitPolicy, Policy, Profile};
use bursar_engine::records::BreakerState::{self, Closed, HalfOpen, Open};
use bursar_engine::table::{Cell, HookEvent};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

use crate::support::calls::Circuits;
use crate::support::hook;

const IDENTICAL: usize = 3;
const CALLS: usize = 9;
const RAPID: (usize, u64) = (5, 4_000);

#[derive(Debug, Clone)]
enum Step {
    Call { what: u8, ok: bool, output: u8, after_ms: u64 },
    Acknowledge,
    Reset,
    Decline,
    Prompt,
}

fn step() -> impl Strategy<Value = Step> {
    let after = prop_oneof![3 => 0_u64..900, 2 => 1_000_u64..6_000];
    prop_oneof![
        20 => (0_u8..4, prop::bool::weighted(0.8), 0_u8..3, after)
            .prop_map(|(what, ok, output, after_ms)| Step::Call { what, ok, output, after_ms }),
        4 => Just(Step::Acknowledge),
        1 => Just(Step::Reset),
        1 => Just(Step::Decline),
        1 => Just(Step::Prompt),
    ]
}

#[derive(Debug)]
struct Model {
    cooldown_ms: u64,
    now: u64,
    state: BreakerState,
    declined: bool,
    /// Every call counted since the last reset, with its time.
    counted: Vec<(u8, u64)>,
    /// Where the run of identical calls and the quick calls may begin.
    detectors_from: usize,
    limit: usize,
    /// The loop's call, and when it tripped.
    trip: Option<(Option<u8>, u64)>,
    outcomes: BTreeSet<(u8, bool, u8)>,
    trips: u32,
}

impl Model {
    fn new(cooldown_ms: u64) -> Self {
        Self {
            cooldown_ms,
            now: 0,
            state: Closed,
            declined: false,
            counted: Vec::new(),
            detectors_from: 0,
            limit: CALLS,
            trip: None,
            outcomes: BTreeSet::new(),
            trips: 0,
        }
    }

    /// What a call is told at its beginning, and what that does.
    fn call(&mut self, what: u8, ok: bool, output: u8) -> Cell {
        if self.state == Open {
            return if self.declined { Cell::Stop } else { Cell::Hold };
        }
        self.counted.push((what, self.now));
        let lately = &self.counted[self.detectors_from..];
        let run = lately.iter().rev().take_while(|(w, _)| *w == what).count();
        let quick = lately.iter().rev().nth(RAPID.0 - 1).is_some_and(|(_, at)| self.now - at < RAPID.1);
        if self.state == HalfOpen && self.trip.is_some_and(|(call, _)| call == Some(what)) {
            self.opens(Some(what));
            return Cell::Hold;
        }
        if run >= IDENTICAL {
            self.opens(Some(what));
        } else if self.counted.len() >= self.limit || quick {
            self.opens(None);
        }
        let is_new = self.outcomes.insert((what, ok, output));
        if self.state == HalfOpen && ok && is_new && self.cooled() {
            (self.state, self.trip) = (Closed, None);
        }
        Cell::Allow
    }

    fn cooled(&self) -> bool {
        self.trip.is_none_or(|(_, at)| self.now - at >= self.cooldown_ms)
    }

    fn opens(&mut self, call: Option<u8>) {
        self.state = Open;
        self.trip = Some((call, self.now));
        self.trips += 1;
    }

    fn acknowledge(&mut self) -> bool {
        if self.state != Open {
            return false;
        }
        (self.state, self.declined) = (HalfOpen, false);
        self.detectors_from = self.counted.len();
        if self.counted.len() >= self.limit {
            self.limit = self.counted.len() + CALLS;
        }
        true
    }

    fn reset(&mut self) {
        *self = Self { now: self.now, trips: self.trips, ..Self::new(self.cooldown_ms) };
    }
}

fn policy(cooldown_s: u64) -> Policy {
    let circuits = CircuitPolicy {
        profile: Profile::Strict,
        max_iterations: Some(CALLS as u64),
        duplicate_threshold: IDENTICAL as u64,
        rapid_fire_threshold: Some(RAPID.0 as u64),
        rapid_fire_window_s: RAPID.1 / 1_000,
        cooldown_s,
        ..CircuitPolicy::default()
    };
    Policy { circuits, ..Policy::default() }
}

fn live(cooldown_s: u64, steps: &[Step]) -> Result<BTreeSet<String>, TestCaseError> {
    let mut model = Model::new(cooldown_s * 1_000);
    let mut life = Circuits::new(policy(cooldown_s));
    let mut seen = BTreeSet::new();
    for step in steps {
        match *step {
            Step::Call { what, ok, output, after_ms } => {
                life.step_ms = after_ms;
                model.now += after_ms;
                let before = model.state;
                let told = model.call(what, ok, output);
                let name = format!("call {what}");
                prop_assert_eq!(life.begin(&name), told, "{:?} in {:?}", step, before);
                if told == Cell::Allow {
                    let held = life.finish(&name, ok, &format!("{output}")).is_some();
                    prop_assert_eq!(held, model.state == Open, "its batch");
                }
                seen.insert(format!("{before:?} to {:?}", model.state));
            }
            Step::Acknowledge => {
                let done = life.world.act(Act::Acknowledge(Some(life.circuit_id())));
                prop_assert_eq!(done.is_ok(), model.acknowledge());
            }
            Step::Reset => {
                if life.world.act(Act::ResetCircuit(life.circuit_id())).is_ok() {
                    model.reset();
                }
            }
            Step::Decline => {
                if life.world.act(Act::DeclineCircuit(Some(life.circuit_id()))).is_ok() {
                    (model.state, model.declined) = (Open, true);
                }
            }
            Step::Prompt => {
                let refused = life.world.hook(hook(HookEvent::HumanPrompt)).cell == Cell::Refuse;
                prop_assert_eq!(refused, model.state == Open);
            }
        }
        if let Some(circuit) = life.world.state.circuits.get(&life.circuit_id()) {
            prop_assert_eq!(circuit.state, model.state, "after {:?}", step);
            prop_assert_eq!(circuit.window.iterations, model.counted.len() as u64, "after {:?}", step);
            prop_assert_eq!((circuit.trips, circuit.seal.is_some()), (model.trips, model.declined));
            seen.extend(circuit.trip.as_ref().map(|t| format!("trip {:?}", t.detector)));
            let waits = life.world.state.waiting().next().is_some();
            prop_assert!(!waits || model.state == Open, "somebody waits for nothing");
        }
    }
    Ok(seen)
}

proptest! {
    #[test]
    fn a_circuit_is_what_the_plain_model_says(cooldown_s in 0_u64..6, steps in vec(step(), 1..60)) {
        live(cooldown_s, &steps)?;
    }
}

#[test]
fn random_lives_reach_what_the_property_is_about() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    for _ in 0..150 {
        let steps = vec(step(), 60).new_tree(&mut runner).unwrap().current();
        seen.extend(live(2, &steps).unwrap());
    }
    for wanted in [
        "Closed to Closed",
        "Closed to Open",
        "HalfOpen to HalfOpen",
        "HalfOpen to Closed",
        "HalfOpen to Open",
        "Open to Open",
        "trip IdenticalCalls",
        "trip IterationLimit",
        "trip RapidFire",
        "trip SameCallAgain",
    ] {
        assert!(seen.contains(wanted), "{wanted} never came: {seen:?}");
    }
}
