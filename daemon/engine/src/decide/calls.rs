//! An agent's calls, counted in its circuit.

use std::borrow::Cow;

use crate::State;
use crate::alert::{Alert, AlertType};
use crate::circuit::{Circuit, CircuitId, Effect};
use crate::command::Hook;
use crate::event::Event;
use crate::ids::AlertId;
use crate::policy::Profile;
use crate::table::HookEvent;
use crate::time::Timestamp;

/// An agent's circuit after a hook's calls.
pub(super) struct Counted<'a> {
    /// As it is now; none while the agent has called nothing.
    pub(super) circuit: Option<Cow<'a, Circuit>>,
    /// The call that opened it goes ahead all the same (DETECTION, `strict`).
    pub(super) passes: bool,
}

impl Counted<'_> {
    /// The circuit, as far as it meets this hook.
    pub(super) fn meets(&self) -> Option<&Circuit> {
        self.circuit.as_deref().filter(|_| !self.passes)
    }
}

/// Counts the calls that a hook tells of, each once whichever hooks tell of it.
pub(super) fn count<'a>(
    state: &'a State,
    hook: &Hook,
    now: Timestamp,
    events: &mut Vec<Event>,
) -> Counted<'a> {
    let id = CircuitId::of(&hook.session, &hook.agent);
    let known = state.circuits.get(&id);
    if !state.policy.circuits.enabled || !matters(hook) {
        return Counted { circuit: known.map(Cow::Borrowed), passes: false };
    }
    let mut circuit = known.cloned().unwrap_or_else(|| {
        Circuit::new(hook.session.clone(), hook.agent.clone(), shown_as(state, hook), now)
    });
    let passes = tell(&mut circuit, state, hook, now);
    if known == Some(&circuit) || (known.is_none() && circuit.window.iterations == 0) {
        return Counted { circuit: known.map(Cow::Borrowed), passes: false };
    }
    if circuit.trips > known.map_or(0, |c| c.trips) {
        events.push(Event::Alert(tripped(AlertId(state.next_alert), &circuit, now)));
    }
    events.push(Event::Circuit(circuit.clone()));
    Counted { circuit: Some(Cow::Owned(circuit)), passes }
}

fn matters(hook: &Hook) -> bool {
    match hook.event {
        HookEvent::PreToolUse
        | HookEvent::PostToolUse
        | HookEvent::PostToolUseFailure
        | HookEvent::PostToolBatch => !hook.calls.is_empty(),
        HookEvent::HumanPrompt => true,
        HookEvent::SessionStart
        | HookEvent::SessionEnd
        | HookEvent::OtherPrompt
        | HookEvent::SubagentStart
        | HookEvent::SubagentStop
        | HookEvent::Stop
        | HookEvent::PreCompact
        | HookEvent::PostCompact
        | HookEvent::Notification => false,
    }
}

/// Tells the circuit; whether this hook's own call passes though it opened the circuit.
fn tell(circuit: &mut Circuit, state: &State, hook: &Hook, now: Timestamp) -> bool {
    let policy = &state.policy.circuits;
    if hook.event == HookEvent::HumanPrompt {
        // A limit that was set literally runs on until it is reset (6.10).
        let is_literal = policy.profile == Profile::Strict || policy.max_iterations.is_some();
        if !is_literal && !circuit.is_open() {
            circuit.clear_window();
        }
        return false;
    }
    let mut passes = false;
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
        let was_announced = call.id.is_none_or(|id| circuit.window.seen(id).is_some());
        let effect = circuit.call(call, policy, now);
        passes |= is_about_to_run && effect == Effect::TrippedAndPasses;
        // A call that only its batch tells of never ran: what it came to closes nothing.
        let ran = was_announced || hook.event != HookEvent::PostToolBatch;
        if let Some(outcome) = call.outcome.as_ref().filter(|_| ran) {
            circuit.outcome(call, outcome, policy, now);
        }
    }
    if hook.event == HookEvent::PostToolBatch {
        circuit.batch_ended(&hook.calls);
    }
    passes
}

fn shown_as(state: &State, hook: &Hook) -> String {
    let agent = state.agents.get(&(hook.session.clone(), hook.agent.clone()));
    let of_type = agent.and_then(|a| a.agent_type.clone()).filter(|t| !t.is_empty());
    let session = state.sessions.get(&hook.session).and_then(|s| s.shown_as.clone());
    let main = hook.agent.sub().is_none();
    let named = if main { hook.shown_as.clone().or(session) } else { hook.agent_type.clone().or(of_type) };
    named.filter(|n| !n.is_empty()).unwrap_or_else(|| hook.agent.to_string())
}

/// The alert of a trip.
pub(super) fn tripped(id: AlertId, circuit: &Circuit, now: Timestamp) -> Alert {
    let (about, agent) = (circuit.id.clone().into(), circuit.shown_as.clone());
    let alert = Alert::without_figures(id, about, AlertType::CircuitTripped, agent, now);
    Alert { trip: circuit.trip.clone(), ..alert }
}
