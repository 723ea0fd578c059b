//! A human's acts on circuits.

use std::sync::Arc;

use crate::State;
use crate::budget::Seal;
use crate::circuit::{Circuit, CircuitId, MAX_EXEMPT};
use crate::decide::holds::{Changed, reconsider};
use crate::decide::operator::{Ending, Outcome, done_to_circuit, ended_in, holding};
use crate::error::OperatorError;
use crate::event::Event;
use crate::hold::{Blocker, HoldEnd};
use crate::ids::{AgentKey, SessionId};
use crate::policy::Limit;
use crate::records::BreakerState;
use crate::time::Timestamp;

fn named<'a>(state: &'a State, id: &CircuitId) -> Result<&'a Circuit, OperatorError> {
    state.circuit(id).ok_or_else(|| OperatorError::NotFound(format!("circuit {id}")))
}

/// The circuit of that id, or the one that holds somebody, or else the only open one.
fn named_or_open<'a>(state: &'a State, id: Option<&CircuitId>) -> Result<&'a Circuit, OperatorError> {
    if let Some(id) = id {
        return named(state, id);
    }
    match holding(state, |b| b.circuit().is_some()) {
        Ok(Blocker::Circuit(id)) => return named(state, &id),
        Ok(Blocker::Budget(_)) | Err(OperatorError::NobodyWaits) => {}
        Err(e) => return Err(e),
    }
    let open: Vec<&Circuit> = state.circuits.values().map(Arc::as_ref).filter(|c| c.is_open()).collect();
    match open.as_slice() {
        [] => Err(OperatorError::NobodyWaits),
        [one] => Ok(one),
        several => {
            Err(OperatorError::Several(several.iter().map(|c| Blocker::Circuit(c.id.clone())).collect()))
        }
    }
}

/// Open becomes half-open: its agent may try again.
pub(super) fn acknowledge(
    state: &State,
    id: Option<&CircuitId>,
    said: Option<&str>,
    now: Timestamp,
) -> Result<Outcome, OperatorError> {
    let mut circuit = named_or_open(state, id)?.clone();
    if !circuit.is_open() {
        return Err(OperatorError::NotOpen(circuit.id));
    }
    circuit.acknowledge(&state.policy.circuits, now);
    Ok(changed(state, circuit, Ending { end: HoldEnd::Acknowledged, said }, now))
}

/// As [`acknowledge`], and what it tripped on may go on once without opening it again.
pub(super) fn allow_once(
    state: &State,
    id: Option<&CircuitId>,
    said: Option<&str>,
    now: Timestamp,
) -> Result<Outcome, OperatorError> {
    let mut circuit = named_or_open(state, id)?.clone();
    match circuit.state {
        BreakerState::Closed => return Err(OperatorError::NotOpen(circuit.id)),
        BreakerState::Open => circuit.acknowledge(&state.policy.circuits, now),
        BreakerState::HalfOpen => {}
    }
    circuit.pardons = 1;
    Ok(changed(state, circuit, Ending { end: HoldEnd::Acknowledged, said }, now))
}

/// The circuit of a session's main agent, with what holds for the whole session.
fn main(state: &State, session: &SessionId, now: Timestamp) -> Result<Circuit, OperatorError> {
    let known = state.sessions.get(session);
    let known = known.ok_or_else(|| OperatorError::NotFound(format!("session {session}")))?;
    let circuit = state.circuit(&CircuitId::Session(session.clone())).cloned();
    let shown_as = || known.shown_as.clone().unwrap_or_else(|| AgentKey::Main.to_string());
    Ok(circuit.unwrap_or_else(|| Circuit::new(session.clone(), AgentKey::Main, shown_as(), now)))
}

/// Off, all circuits of the session are closed and count nothing until they are switched on.
pub(super) fn switch(
    state: &State,
    session: &SessionId,
    off: bool,
    now: Timestamp,
) -> Result<Outcome, OperatorError> {
    let mut main = main(state, session, now)?;
    main.whole.is_off = off;
    let others = state.agents_of(session).filter(|agent| agent.key != AgentKey::Main);
    let others = others.filter_map(|agent| state.circuit(&CircuitId::of(session, &agent.key)));
    let mut others: Vec<Circuit> = others.cloned().collect();
    if off {
        others.iter_mut().chain([&mut main]).for_each(|circuit| circuit.reset(now));
    }
    Ok(changed_with(state, main, &others, Ending { end: HoldEnd::Released, said: None }, now))
}

/// A tool's calls are counted and looked at no further.
pub(super) fn exempt(
    state: &State,
    session: &SessionId,
    tool: &str,
    exempt: bool,
    now: Timestamp,
) -> Result<Outcome, OperatorError> {
    let mut main = main(state, session, now)?;
    let tools = &mut main.whole.exempt;
    if !exempt {
        tools.remove(tool);
    } else if tools.len() < MAX_EXEMPT {
        tools.insert(tool.to_owned());
    } else {
        let message = format!("{MAX_EXEMPT} tools are exempt already: switch the session's circuits off.");
        return Err(OperatorError::Refused(message));
    }
    Ok(changed(state, main, Ending { end: HoldEnd::Released, said: None }, now))
}

/// Whatever it was, it is closed.
pub(super) fn reset(state: &State, id: &CircuitId, now: Timestamp) -> Result<Outcome, OperatorError> {
    let mut circuit = named(state, id)?.clone();
    circuit.reset(now);
    Ok(changed(state, circuit, Ending { end: HoldEnd::Released, said: None }, now))
}

/// It stays open until an operator's act.
pub(super) fn decline(
    state: &State,
    id: Option<&CircuitId>,
    now: Timestamp,
) -> Result<Outcome, OperatorError> {
    let mut circuit = named_or_open(state, id)?.clone();
    circuit.seal(Seal::Declined, now);
    Ok(changed(state, circuit, Ending { end: HoldEnd::Declined, said: None }, now))
}

/// A circuit is now so, and its holds are decided anew.
fn changed(state: &State, circuit: Circuit, ending: Ending<'_>, now: Timestamp) -> Outcome {
    changed_with(state, circuit, &[], ending, now)
}

/// As [`changed`], with others of its session.
fn changed_with(
    state: &State,
    circuit: Circuit,
    others: &[Circuit],
    ending: Ending<'_>,
    now: Timestamp,
) -> Outcome {
    let all = || others.iter().chain([&circuit]);
    let overlay = Changed { circuits: all().map(|c| (c.id.clone(), c)).collect(), ..Changed::default() };
    let holds = reconsider(state, &overlay, ending.end, ending.said, now);
    let released = ended_in(&holds);
    let mut events: Vec<Event> = all().map(|c| Event::Circuit(Arc::new(c.clone()))).collect();
    events.extend(holds);
    Outcome { done: done_to_circuit(circuit, released), events, added: Limit::default() }
}
