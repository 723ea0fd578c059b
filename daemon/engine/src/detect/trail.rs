//! What the evidence detectors see of an agent's calls: one view that each call moves on by a constant amount of work.
//!
//! **Bound.** At most [`MAX_STEPS`] steps, 8 calls, errors and waits each, 6 steps of a cycle, 128 parts of files, 16
//! calls of a message and 60 times are remembered: under 6 KiB an agent, however long it runs.

use serde::{Deserialize, Serialize};

use super::coverage::Coverage;
use super::cycle::Cycles;
use super::denied::Denials;
use super::empty::Empties;
use super::failing::Failing;
use super::message::Message;
use super::novelty;
use super::rapid_fire;
use super::repeated::Repeated;
use super::same_error::SameErrors;
use super::still::Still;
use super::todo::Todos;
use super::waiting::Waits;
use super::warned::{Heard, Warned};
use super::{Finding, Window};
use crate::command::{Call, Outcome};
use crate::last::Last;
use crate::policy::CircuitPolicy;
use crate::print::{Gist, Kind, Print};
use crate::time::Timestamp;

/// How many of the last calls that were no waiting are remembered (DETECTION: novelty over the last 20 to 30).
pub const MAX_STEPS: usize = 30;

/// A call that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The call.
    pub call: Print,
    /// The call and what came of it.
    pub pair: Print,
}

/// What is known of an agent's last calls and what came of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Trail {
    /// The last calls that were no waiting, oldest first.
    pub(crate) steps: Last<Step, MAX_STEPS>,
    /// The last good edit that was not made lately.
    edit: Option<Print>,
    /// When the last call ended that did not wait.
    acted: Timestamp,
    /// When the last call ended; 0 before the first.
    ended: Timestamp,
    /// The last call did nothing but wait, or looked after such a call.
    slept: bool,
    /// When calls ended lately that were the same as another of their message; oldest first.
    pub(crate) repeats: Last<Timestamp, { rapid_fire::TOO_MANY }>,
    /// How many of them differ.
    pub(crate) distinct: u32,
    /// The message whose calls are ending.
    pub(crate) message: Message,
    pub(crate) repeated: Repeated,
    pub(crate) failing: Failing,
    pub(crate) cycles: Cycles,
    pub(crate) waits: Waits,
    pub(crate) errors: SameErrors,
    pub(crate) denials: Denials,
    pub(crate) empties: Empties,
    pub(crate) coverage: Coverage,
    pub(crate) lists: Todos,
    pub(crate) still: Still,
    pub(crate) warned: Warned,
    /// What the model is to hear at its next hook that carries text.
    pub warning: Option<Heard>,
}

/// A call that has just ended, as detectors see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended<'a> {
    /// The call.
    pub(crate) call: &'a Call,
    /// What came of it.
    pub(crate) outcome: &'a Outcome,
    /// The call and what came of it.
    pub(crate) pair: Print,
    /// The pair was not among the last 32 that differ.
    pub(crate) is_new: bool,
    /// It waited, and what it waits for goes on.
    pub(crate) waits: bool,
    /// Another call of this message was the same and came to the same: the two count once.
    pub(crate) again_in_message: bool,
    /// Another call of this message told of the same error.
    pub(crate) error_again: bool,
    /// The same call came to something else when it was made last.
    pub(crate) changed: bool,
    /// When it ended.
    pub(crate) at: Timestamp,
}

impl Ended<'_> {
    /// A good edit: the work goes on.
    pub(crate) fn is_good_edit(&self) -> bool {
        self.outcome.ok && matches!(self.call.kind, Kind::Edit(_))
    }

    pub(crate) fn step(&self) -> Step {
        Step { call: self.call.print, pair: self.pair }
    }
}

impl Window {
    /// A call has ended: what the evidence detectors find. `is_new` says that call and outcome were not seen lately.
    pub(crate) fn ended(
        &mut self,
        call: &Call,
        outcome: &Outcome,
        is_new: bool,
        policy: &CircuitPolicy,
        at: Timestamp,
    ) -> Findings {
        let mut found = Findings::default();
        if matches!(outcome.gist, Gist::Vetoed | Gist::Sibling) {
            self.trail.message.note_uncounted();
            return found;
        }
        let trail = &mut self.trail;
        let pair = call.print.with(outcome.print);
        // Where repeats of one call have no limit, they are one call.
        if policy.duplicates() == 0 && trail.repeated.is_last(pair) {
            return found;
        }
        let last_ended = std::mem::replace(&mut trail.ended, at);
        let took_time = last_ended.0 > 0 && Waits::is_patient(last_ended, at);
        let waits = match outcome.gist {
            // What a file says is no state of anything.
            Gist::Waiting => !matches!(call.kind, Kind::Todo { .. } | Kind::Edit(_) | Kind::Read(Some(_))),
            Gist::Ended => false,
            // A poll that fails is told that it is not there yet, and so is who has slept before it looked.
            _ => match call.kind {
                Kind::Poll => true,
                Kind::Wait => outcome.ok || took_time,
                _ => false,
            },
        };
        // A look after a mere wait that shows what it had shown is a poll by two calls, whatever it looks at; so is one
        // that takes its time and says that something runs still.
        let looks = call.kind.looks() && outcome.ok && outcome.gist != Gist::Ended;
        let in_wait = outcome.gist == Gist::Waiting || trail.slept;
        let looks_again = looks && !is_new && in_wait && Waits::is_patient(trail.acted, at);
        // What tells that something runs still is looked at for that alone. Several looks may follow one wait.
        let sleeps = waits && call.kind == Kind::Wait && outcome.gist != Gist::Waiting;
        trail.slept = sleeps || (looks_again && trail.slept);
        let waits = waits || looks_again;
        if !waits {
            trail.acted = at;
        }
        let before = trail.steps.iter().rev().find(|step| step.call == call.print);
        let ended = Ended {
            call,
            outcome,
            pair,
            is_new,
            waits,
            again_in_message: trail.message.has(pair),
            error_again: outcome.error.is_some_and(|error| trail.message.has(error)),
            changed: before.is_some_and(|step| step.pair != pair),
            at,
        };
        let opens_message = trail.message.note(&ended);
        if outcome.gist == Gist::Denied {
            found.note(trail.denials.note(&ended));
            return found;
        }
        trail.denials.pass(&ended);
        found.note(trail.waits.note(&ended));
        if ended.again_in_message {
            trail.repeats.push(at);
        } else {
            found.note(trail.repeated.note(&ended, policy));
            found.note(trail.cycles.note(&ended));
            if !waits {
                trail.push(&ended);
            }
        }
        let is_up_yet = matches!(call.kind, Kind::Poll | Kind::Wait) && outcome.gist != Gist::Waiting;
        if !waits || outcome.ok || is_up_yet {
            found.note(trail.failing.note(&ended, policy));
            found.note(trail.errors.note(&ended, policy));
        }
        found.note(trail.empties.note(&ended, opens_message));
        found.note(trail.coverage.note(&ended, opens_message));
        trail.still.pass(&ended);
        found.note(rapid_fire::judge_evidence(self, policy, at));
        if !waits {
            found.note(novelty::judge(&self.trail, policy));
        }
        found.note(super::iterations::judge_evidence(self, policy));
        found
    }

    /// The calls of a message have ended.
    pub(crate) fn message_ended(&mut self, policy: &CircuitPolicy) -> Findings {
        let mut found = Findings::default();
        let message = std::mem::take(&mut self.trail.message);
        if message.calls > 0 {
            found.note(self.trail.repeated.message(&message, policy));
            found.note(self.trail.lists.note(&message));
        }
        found
    }
}

impl Trail {
    fn push(&mut self, ended: &Ended<'_>) {
        let mut step = ended.step();
        // A board or a status that goes back and forth is something new each time it is another than before.
        if ended.changed && matches!(ended.call.kind, Kind::Todo { .. } | Kind::Wait | Kind::Poll) {
            step.pair = step.pair.with(Print::of_number(ended.at.0));
        }
        // What is run again, and runs well, after an edit that is new tells that the edit is good.
        if ended.is_good_edit() && ended.is_new {
            self.edit = Some(ended.pair);
        }
        if let Some(edit) =
            self.edit.filter(|_| ended.outcome.ok && matches!(ended.call.kind, Kind::Shell { .. }))
        {
            step.pair = step.pair.with(edit);
        }
        self.distinct += u32::from(!self.steps.iter().any(|s| s.pair == step.pair));
        if let Some(gone) = self.steps.push(step) {
            self.distinct -= u32::from(!self.steps.iter().any(|s| s.pair == gone.pair));
        }
    }

    /// The detectors begin anew; what was warned of is remembered, and which parts of files were read.
    pub(crate) fn forget(&mut self) {
        let Self { coverage, warned, warning, message, .. } = std::mem::take(self);
        *self = Self { coverage: coverage.anew(), warned, warning, message, ..Self::default() };
    }
}

/// What the detectors found in one call: the first that trips, and all that warn.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// The first that trips.
    pub(crate) trip: Option<Finding>,
    /// Those that warn, in the order of the detectors.
    pub(crate) warnings: Vec<Finding>,
}

impl Findings {
    pub(crate) fn note(&mut self, finding: Option<Finding>) {
        match finding {
            Some(finding) if finding.trips => self.trip = self.trip.take().or(Some(finding)),
            Some(finding) => self.warnings.push(finding),
            None => {}
        }
    }
}
