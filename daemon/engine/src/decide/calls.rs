//! An agent's calls, counted in its circuit.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::State;
use crate::alert::{Alert, AlertType};
use crate::circuit::{Circuit, CircuitId, Effect};
use crate::command::Hook;
use crate::decide::family;
use crate::detect::{Detector, Heard};
use crate::event::Event;
use crate::ids::{AgentKey, AlertId};
use crate::policy::Profile;
use crate::print::Kind;
use crate::table::HookEvent;
use crate::time::Timestamp;
use crate::watch::Alarm;

/// An agent's circuit after a hook's calls.
pub(super) struct Counted {
    /// As it is now; none while the agent has called nothing.
    pub(super) circuit: Option<Arc<Circuit>>,
    /// The call that opened it goes ahead all the same (DETECTION, `strict`).
    pub(super) passes: bool,
    /// What the model is to hear of its calls.
    pub(super) warning: Option<Heard>,
}

impl Counted {
    /// The circuit, as far as it meets this hook.
    pub(super) fn meets(&self) -> Option<&Circuit> {
        self.circuit.as_deref().filter(|_| !self.passes)
    }
}

/// Counts the calls that a hook tells of, each once whichever hooks tell of it.
pub(super) fn count(state: &State, hook: &Hook, now: Timestamp, events: &mut Vec<Event>) -> Counted {
    let id = CircuitId::of(&hook.session, &hook.agent);
    let known = state.circuits.get(&id);
    let as_it_is = || Counted { circuit: known.cloned(), passes: false, warning: None };
    let policy = &state.policy.circuits;
    if !policy.enabled || !matters(hook, policy.profile) || family::is_off(state, hook) {
        return as_it_is();
    }
    let mut circuit = known.map_or_else(|| new(state, hook, now), |known| Circuit::clone(known));
    let told = tell(&mut circuit, state, hook, now);
    let mut others = BTreeMap::new();
    if policy.profile == Profile::Evidence {
        others = family::tell(&mut circuit, told.agents, state, hook, now);
    }
    let hears = hook.event.carries_text() && !circuit.is_open();
    let warning = if hears { circuit.window.trail.warning.take() } else { None };
    let is_as_it_was = known.map_or_else(|| circuit == new(state, hook, now), |known| **known == circuit);
    if is_as_it_was && others.is_empty() {
        return as_it_is();
    }
    let circuit = Arc::new(circuit);
    for changed in others.into_values().map(Arc::new).chain([Arc::clone(&circuit)]) {
        let before = state.circuit(&changed.id);
        if changed.trips > before.map_or(0, |c| c.trips) {
            events.push(Event::Alert(tripped(family::next_alert(state, events), &changed, now)));
        }
        let spawns = &changed.whole.spawns;
        if spawns.alarms > before.map_or(0, |c| c.whole.spawns.alarms) {
            let alarm = Alarm::MoreSubagents { called: spawns.called_lately, started: spawns.started_lately };
            let id = family::next_alert(state, events);
            events.push(Event::Alert(Alert::of_alarm(id, changed.session.clone(), alarm, now)));
        }
        events.push(Event::Circuit(changed));
    }
    Counted { circuit: Some(circuit), passes: told.passes, warning }
}

pub(super) fn new(state: &State, hook: &Hook, now: Timestamp) -> Circuit {
    Circuit::new(hook.session.clone(), hook.agent.clone(), shown_as(state, hook), now)
}

pub(super) fn matters(hook: &Hook, profile: Profile) -> bool {
    match hook.event {
        HookEvent::PreToolUse
        | HookEvent::PostToolUse
        | HookEvent::PostToolUseFailure
        | HookEvent::PostToolBatch => !hook.calls.is_empty(),
        HookEvent::HumanPrompt => true,
        HookEvent::SubagentStart | HookEvent::Stop | HookEvent::PreCompact => profile == Profile::Evidence,
        HookEvent::SessionStart
        | HookEvent::SessionEnd
        | HookEvent::OtherPrompt
        | HookEvent::SubagentStop
        | HookEvent::PostCompact
        | HookEvent::Notification => false,
    }
}

/// What came of telling a circuit.
#[derive(Default)]
pub(super) struct Told {
    /// This hook's own call passes though it opened the circuit.
    passes: bool,
    /// How many calls for a subagent it told of first.
    pub(super) agents: u32,
}

/// Tells the circuit of an event that is no call, or of its calls.
pub(super) fn tell(circuit: &mut Circuit, state: &State, hook: &Hook, now: Timestamp) -> Told {
    let policy = &state.policy.circuits;
    match hook.event {
        HookEvent::HumanPrompt => {
            // A limit that was set literally runs on until it is reset (6.10).
            let is_literal = policy.profile == Profile::Strict || policy.max_iterations.is_some();
            if !is_literal && !circuit.is_open() {
                circuit.prompted();
            }
        }
        HookEvent::PreCompact if !hook.by_hand => circuit.nothing_done(Detector::Compactions, policy, now),
        HookEvent::Stop if hook.stop_blocked => circuit.nothing_done(Detector::BlockedStops, policy, now),
        _ => return tell_calls(circuit, state, hook, now),
    }
    Told::default()
}

fn tell_calls(circuit: &mut Circuit, state: &State, hook: &Hook, now: Timestamp) -> Told {
    let policy = &state.policy.circuits;
    let mut told = Told::default();
    for call in &hook.calls {
        // Without an id it cannot be told whether another hook tells of it too: then only its end counts.
        let is_about_to_run = hook.event == HookEvent::PreToolUse;
        if call.id.is_none() && is_about_to_run {
            circuit.meets_without_id(call);
            continue;
        }
        if call.id.is_none() && circuit.window.passes(call.print) {
            continue;
        }
        if call.id.is_some_and(|id| circuit.window.told.contains(&id)) {
            continue;
        }
        let was_announced = call.id.is_none_or(|id| circuit.window.seen(id).is_some());
        let is_told_first = call.id.is_none() || !was_announced;
        // A call that only its batch tells of never ran: what it came to closes nothing.
        let ran = was_announced || hook.event != HookEvent::PostToolBatch;
        let is_made = is_told_first && ran && !circuit.is_open();
        told.agents += u32::from(is_made && call.kind == Kind::Subagent);
        let effect = circuit.call(call, policy, now);
        told.passes |= is_about_to_run && effect == Effect::TrippedAndPasses;
        if let Some(outcome) = &call.outcome {
            if family::is_exempt(state, hook, call) {
                circuit.let_end(call);
            } else {
                circuit.outcome(call, outcome, ran, policy, now);
            }
        }
    }
    if hook.event == HookEvent::PostToolBatch {
        circuit.batch_ended(&hook.calls, policy, now);
    }
    told
}

fn shown_as(state: &State, hook: &Hook) -> String {
    let agent = state.agents.get(&(hook.session.clone(), hook.agent.clone()));
    let of_type = agent.and_then(|a| a.agent_type.clone()).filter(|t| !t.is_empty());
    let session = state.sessions.get(&hook.session).and_then(|s| s.shown_as.clone());
    let main = hook.agent.sub().is_none();
    let named = if main { hook.shown_as.clone().or(session) } else { hook.agent_type.clone().or(of_type) };
    named.filter(|n| !n.is_empty()).unwrap_or_else(|| hook.agent.to_string())
}

/// As [`shown_as`], for an agent that this hook is not of.
pub(super) fn shown_as_other(state: &State, hook: &Hook, agent: &AgentKey) -> String {
    let other =
        Hook { agent: agent.clone(), agent_type: None, shown_as: None, calls: Vec::new(), ..hook.clone() };
    shown_as(state, &other)
}

/// The alert of a trip.
pub(super) fn tripped(id: AlertId, circuit: &Circuit, now: Timestamp) -> Alert {
    let (about, agent) = (circuit.id.clone().into(), circuit.shown_as.clone());
    let alert = Alert::without_figures(id, about, AlertType::CircuitTripped, agent, now);
    Alert { trip: circuit.trip.clone(), ..alert }
}
