//! What an agent did before the daemon came, or while it was away: its detectors are to know of it. It opens nothing: a
//! loop that is over is no reason to stop, and one that goes on shows at its next call.

use std::sync::Arc;

use crate::State;
use crate::circuit::{Circuit, CircuitId};
use crate::command::{Hook, MAX_PAST};
use crate::decide::{Decision, Reply, calls, family};
use crate::event::Event;
use crate::policy::Profile;

pub(super) fn decide(state: &State, hooks: &[Hook]) -> Decision {
    let events = told(state, hooks).map(Event::Circuit);
    Decision { reply: Reply::None, events: events.into_iter().collect() }
}

/// The agent's circuit, where it is another one then.
fn told(state: &State, hooks: &[Hook]) -> Option<Arc<Circuit>> {
    let first = hooks.first()?;
    let policy = &state.policy.circuits;
    let known = state.circuit(&CircuitId::of(&first.session, &first.agent));
    if !policy.enabled || family::is_off(state, first) || known.is_some_and(Circuit::is_open) {
        return None;
    }
    let before = known.cloned().unwrap_or_else(|| calls::new(state, first, first.wall));
    let mut circuit = before.clone();
    let is_of_it = |hook: &&Hook| hook.session == first.session && hook.agent == first.agent;
    for hook in hooks.iter().take(MAX_PAST).filter(is_of_it).filter(|h| calls::matters(h, policy.profile)) {
        // What the model was not told of then is told only where it is the latest.
        circuit.window.trail.warning = None;
        let told = calls::tell(&mut circuit, state, hook, hook.wall);
        if policy.profile == Profile::Evidence {
            // Other agents' circuits are told of by their own calls.
            let _ = family::tell(&mut circuit, told.agents, state, hook, hook.wall);
        }
        circuit.stays_as(&before);
    }
    (circuit != before).then(|| Arc::new(circuit))
}
