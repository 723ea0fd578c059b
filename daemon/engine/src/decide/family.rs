//! What concerns a session's agents together: their subagents, and what an operator switched for all of them.

use std::collections::BTreeMap;

use crate::State;
use crate::circuit::{Circuit, CircuitId};
use crate::command::{Call, Hook};
use crate::decide::calls::shown_as_other;
use crate::detect::Detector;
use crate::event::Event;
use crate::ids::{AgentKey, AlertId};
use crate::table::HookEvent;
use crate::time::Timestamp;

/// Circuits of other agents that a hook changes.
type Others = BTreeMap<CircuitId, Circuit>;

fn main<'a>(state: &'a State, hook: &Hook) -> Option<&'a Circuit> {
    state.circuit(&CircuitId::Session(hook.session.clone()))
}

/// Whether an operator switched the session's circuits off.
pub(super) fn is_off(state: &State, hook: &Hook) -> bool {
    main(state, hook).is_some_and(|main| main.whole.is_off)
}

/// Whether an operator exempted the call's tool in this session.
pub(super) fn is_exempt(state: &State, hook: &Hook, call: &Call) -> bool {
    main(state, hook).is_some_and(|main| main.whole.exempt.contains(&call.tool))
}

/// The id of the next alert, after those of this very decision.
pub(super) fn next_alert(state: &State, sofar: &[Event]) -> AlertId {
    let raised = sofar.iter().filter(|e| matches!(e, Event::Alert(_))).count();
    AlertId(state.next_alert + raised as u64)
}

/// Tells the session as a whole of what its agent's circuit was told: `agents` calls for a subagent, a subagent's start, a
/// prompt. What changes in the circuits of other agents comes back.
pub(super) fn tell(circuit: &mut Circuit, agents: u32, state: &State, hook: &Hook, now: Timestamp) -> Others {
    let mut others = Others::new();
    match hook.event {
        HookEvent::HumanPrompt => circuit.whole.spawns.prompted(),
        HookEvent::SubagentStart => started(circuit, state, hook, now, &mut others),
        _ => {
            for _ in 0..agents {
                called(circuit, state, hook, now, &mut others);
            }
        }
    }
    others
}

/// The main agent's circuit, if it is not this one.
fn main_beside<'a>(
    others: &'a mut Others,
    state: &State,
    hook: &Hook,
    now: Timestamp,
) -> Option<&'a mut Circuit> {
    let id = CircuitId::Session(hook.session.clone());
    hook.agent.sub()?;
    Some(others.entry(id.clone()).or_insert_with(|| {
        let new = || {
            let shown_as = shown_as_other(state, hook, &AgentKey::Main);
            Circuit::new(hook.session.clone(), AgentKey::Main, shown_as, now)
        };
        state.circuit(&id).cloned().unwrap_or_else(new)
    }))
}

/// The agent calls for a subagent.
fn called(circuit: &mut Circuit, state: &State, hook: &Hook, now: Timestamp, others: &mut Others) {
    let policy = &state.policy.circuits;
    let Some(call) = hook.calls.iter().find(|call| call.kind == crate::print::Kind::Subagent) else { return };
    circuit.calls_agents = true;
    circuit.unstarted = circuit.unstarted.saturating_add(1);
    let depth = circuit.depth;
    let finding = match main_beside(others, state, hook, now) {
        Some(main) => main.whole.spawns.note(depth, now),
        None => circuit.whole.spawns.note(depth, now),
    };
    let detector = finding.as_ref().map_or(Detector::Subagents, |f| f.detector);
    let opens = circuit.judge_event(finding.clone(), detector, call, policy, now);
    if !opens {
        return;
    }
    // The session's main agent, and whoever else started some.
    let trip = circuit.trip.clone();
    if let Some(main) = main_beside(others, state, hook, now) {
        main.open_with(trip.as_ref(), now);
    }
    let callers = state.agents_of(&hook.session).map(|agent| CircuitId::of(&hook.session, &agent.key));
    for id in callers.filter(|id| *id != circuit.id) {
        let other = others.remove(&id).or_else(|| state.circuit(&id).filter(|c| c.calls_agents).cloned());
        if let Some(mut other) = other {
            other.open_with(trip.as_ref(), now);
            others.insert(id, other);
        }
    }
}

/// A subagent starts. Whose it is, is not told: of those that wait for one to start, the least deep.
fn started(circuit: &mut Circuit, state: &State, hook: &Hook, now: Timestamp, others: &mut Others) {
    let callers = state.agents_of(&hook.session).map(|agent| CircuitId::of(&hook.session, &agent.key));
    let waiting = callers.filter_map(|id| state.circuit(&id)).filter(|c| c.unstarted > 0);
    let parent = waiting.filter(|c| c.id != circuit.id).min_by_key(|c| c.depth);
    if let Some(main) = main_beside(others, state, hook, now) {
        // One that goes on after it had ended starts again, and nobody calls for it.
        if !state.agents.contains_key(&(hook.session.clone(), hook.agent.clone())) {
            main.whole.spawns.started();
        }
    }
    if let Some(parent) = parent {
        circuit.depth = parent.depth.saturating_add(1);
        let parent = others.entry(parent.id.clone()).or_insert_with(|| parent.clone());
        parent.unstarted = parent.unstarted.saturating_sub(1);
    }
}
