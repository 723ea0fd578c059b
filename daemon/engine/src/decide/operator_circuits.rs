//! A human's acts on circuits.

use crate::State;
use crate::budget::Seal;
use crate::circuit::{Circuit, CircuitId};
use crate::decide::holds::{Changed, reconsider};
use crate::decide::operator::{Ending, Outcome, done_to_circuit, ended_in, holding};
use crate::error::OperatorError;
use crate::event::Event;
use crate::hold::{Blocker, HoldEnd};
use crate::policy::Limit;
use crate::time::Timestamp;

fn named<'a>(state: &'a State, id: &CircuitId) -> Result<&'a Circuit, OperatorError> {
    state.circuits.get(id).ok_or_else(|| OperatorError::NotFound(format!("circuit {id}")))
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
    let open: Vec<&Circuit> = state.circuits.values().filter(|c| c.is_open()).collect();
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
    let overlay = Changed { circuits: [(circuit.id.clone(), &circuit)].into(), ..Changed::default() };
    let holds = reconsider(state, &overlay, ending.end, ending.said, now);
    let released = ended_in(&holds);
    let mut events = vec![Event::Circuit(Box::new(circuit.clone()))];
    events.extend(holds);
    Outcome { done: done_to_circuit(circuit, released), events, added: Limit::default() }
}
