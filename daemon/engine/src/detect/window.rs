//! The one view of an agent's calls that all detectors share: constant work a call, bounded memory.

use serde::{Deserialize, Serialize};

use super::rapid_fire;
use super::trail::Trail;
use crate::last::Last;
use crate::policy::{CircuitPolicy, Profile};
use crate::print::Print;
use crate::time::Timestamp;

/// The most calls whose times are kept; a rapid-fire threshold above this cannot be set.
pub const MAX_TIMES: usize = 1_000;

/// The most calls that are remembered as already seen, until their batch has ended.
pub const MAX_PENDING: usize = 256;

/// The most calls without an id that are waited for: an agent makes few at once.
const MAX_PASSING: usize = 16;

/// How many calls are remembered whose batches have ended.
const MAX_TOLD: usize = 32;

/// How many outcomes are remembered, to know a new one.
const MAX_OUTCOMES: usize = 32;

/// A call that one hook told of and others will.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Its id's print.
    pub id: Print,
    /// What it was.
    pub call: Print,
    /// The circuit's generation when it was counted: what comes of it after a trip or an act is late, and dropped.
    /// None for a call that passed uncounted.
    pub generation: Option<u32>,
    /// Its outcome was seen.
    pub done: bool,
}

/// The calls of one agent, as far as they matter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Calls counted.
    pub iterations: u64,
    /// How often in a row the last one was made.
    pub run: u64,
    /// The last one.
    pub last: Option<Print>,
    /// When the last ones were made, as many as the rapid-fire threshold; oldest first.
    pub times: Last<Timestamp, MAX_TIMES>,
    /// The last outcomes, each with its call; oldest first.
    pub outcomes: Last<Print, MAX_OUTCOMES>,
    /// Calls of batches that have not ended.
    pub pending: Last<Pending, MAX_PENDING>,
    /// Calls without an id that met an open circuit: let go on later, their ends pass uncounted.
    #[serde(default)]
    pub passing: Last<Print, MAX_PASSING>,
    /// The last calls whose batches have ended: a call that is told of again after that counts no second time.
    #[serde(default)]
    pub told: Last<Print, MAX_TOLD>,
    /// The agent's hooks tell when all calls of a message have ended.
    #[serde(default)]
    pub tells_batches: bool,
    /// What the evidence detectors see.
    #[serde(default)]
    pub trail: Trail,
}

impl Window {
    /// A call is made.
    pub(crate) fn add(&mut self, call: Print, policy: &CircuitPolicy, now: Timestamp) {
        self.iterations = self.iterations.saturating_add(1);
        self.run = if self.last == Some(call) { self.run.saturating_add(1) } else { 1 };
        self.last = Some(call);
        let literal = usize::try_from(policy.rapid_fire()).unwrap_or(usize::MAX);
        let by_evidence = policy.profile == Profile::Evidence;
        let kept = if by_evidence { literal.max(rapid_fire::TOO_MANY) } else { literal };
        let length_ms = policy.rapid_fire_window_s.saturating_mul(1_000);
        let is_over = |at: &&Timestamp| by_evidence && now.since(**at) >= length_ms;
        let over = self.times.iter().take_while(is_over).count();
        let kept = kept.saturating_sub(1).min(self.times.len() - over);
        self.times.append_to(kept, &[now]);
    }

    /// Remembers a call until its batch has ended.
    pub(crate) fn await_batch(&mut self, pending: Pending) {
        self.pending.push(pending);
    }

    /// The call of that id, if a hook told of it before.
    pub(crate) fn seen(&self, id: Print) -> Option<&Pending> {
        self.pending.iter().find(|p| p.id == id)
    }

    /// The call of that id ends: as it was before. None where no hook told of it, or it had ended.
    pub(crate) fn ends(&mut self, id: Print) -> Option<Pending> {
        let pending = self.pending.find_mut(|p| p.id == id && !p.done)?;
        let before = *pending;
        pending.done = true;
        Some(before)
    }

    /// The calls of a batch have ended.
    pub(crate) fn batch_ended(&mut self, ids: &[Print]) {
        self.pending.retain(|p| !ids.contains(&p.id));
        self.told.append(ids);
    }

    /// A call without an id meets an open circuit.
    pub(crate) fn let_pass(&mut self, call: Print) {
        self.passing.push(call);
    }

    /// Whether this is the end of a call without an id that met an open circuit; each is one.
    pub(crate) fn passes(&mut self, call: Print) -> bool {
        self.passing.take(|p| *p == call).is_some()
    }

    /// Notes what came of a call; whether that is new.
    pub(crate) fn note_outcome(&mut self, outcome: Print) -> bool {
        if self.outcomes.contains(&outcome) {
            return false;
        }
        self.outcomes.push(outcome);
        true
    }

    /// Detectors begin anew; the count of calls goes on.
    pub(crate) fn forget_runs(&mut self) {
        (self.run, self.last) = (0, None);
        self.times.clear();
        self.trail.forget();
    }

    /// All begins anew but what batches have not ended.
    pub(crate) fn clear(&mut self) {
        let (pending, told) = (std::mem::take(&mut self.pending), std::mem::take(&mut self.told));
        *self = Self { pending, told, tells_batches: self.tells_batches, ..Self::default() };
    }
}
