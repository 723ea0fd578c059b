//! What a circuit makes of what the evidence detectors find (DETECTION, "Putting them together").

use super::{Circuit, Trip};
use crate::command::{Call, Outcome};
use crate::detect::{Detector, Finding, Findings, Heard};
use crate::policy::CircuitPolicy;
use crate::records::BreakerState;
use crate::time::Timestamp;

/// The least time that a model takes to answer, in milliseconds: calls of one message follow each other sooner.
const BETWEEN_MESSAGES_MS: u64 = 1_000;

impl Circuit {
    /// A call has ended; whether that opened the circuit.
    pub(super) fn judge_outcome(
        &mut self,
        call: &Call,
        outcome: &Outcome,
        is_new: bool,
        policy: &CircuitPolicy,
        now: Timestamp,
    ) -> bool {
        let found = self.window.ended(call, outcome, is_new, policy, now);
        let is_reread = self.window.trail.coverage.is_again();
        let goes_on = |t: &Trip| t.goes_on(call, outcome, is_new, is_reread);
        if self.goes_on(goes_on) {
            self.open_again(call, policy, now);
            self.opened_by(outcome);
            return true;
        }
        let opens = self.judge_findings(&found, call, policy, now);
        if opens {
            self.opened_by(outcome);
        }
        opens
    }

    fn opened_by(&mut self, outcome: &Outcome) {
        if let Some(trip) = &mut self.trip {
            trip.outcome = Some(outcome.print);
        }
    }

    /// A call begins. Where no hook tells of messages, one is over when the next call comes so long after its last one
    /// ended that a model must have answered between, and for callers without ids with each call.
    pub(super) fn next_call(&mut self, call: &Call, policy: &CircuitPolicy, now: Timestamp) {
        let message = &self.window.trail.message;
        if self.window.tells_batches || message.calls == 0 || self.window.pending.iter().any(|p| !p.done) {
            return;
        }
        if call.id.is_none() || now.since(message.last) >= BETWEEN_MESSAGES_MS {
            self.judge_message(call, policy, now);
        }
    }

    /// The calls of a message have ended.
    pub(super) fn judge_message(&mut self, last: &Call, policy: &CircuitPolicy, now: Timestamp) {
        let only_lists = self.window.trail.message.is_only_lists();
        let found = self.window.message_ended(policy);
        if self.is_open() {
            return;
        }
        if only_lists && self.goes_on(|t| t.is_of(Detector::TodoOnly)) {
            self.open_again(last, policy, now);
        } else {
            self.judge_findings(&found, last, policy, now);
        }
    }

    /// Something that is no call happened, or a call that is about more than itself; `tool` is what people read of it.
    pub(crate) fn judge_event(
        &mut self,
        finding: Option<Finding>,
        detector: Detector,
        call: &Call,
        policy: &CircuitPolicy,
        now: Timestamp,
    ) -> bool {
        if self.is_open() {
            return false;
        }
        if self.goes_on(|t| t.is_of(detector)) {
            self.open_again(call, policy, now);
            return true;
        }
        let mut found = Findings::default();
        found.note(finding);
        self.judge_findings(&found, call, policy, now)
    }

    /// What a compaction or a blocked stop comes to.
    pub(crate) fn nothing_done(&mut self, detector: Detector, policy: &CircuitPolicy, now: Timestamp) {
        if self.is_open() {
            return;
        }
        self.last_updated = now;
        let trail = &mut self.window.trail;
        let finding = match detector {
            Detector::Compactions => {
                // What the agent had read is gone with its context.
                trail.coverage.forget_all();
                trail.still.compacts()
            }
            _ => trail.still.stops(),
        };
        self.judge_event(finding, detector, &Call::new(None, "", String::new(), None), policy, now);
    }

    /// Opens with another circuit of the session, for the same reason.
    pub(crate) fn open_with(&mut self, trip: Option<&Trip>, now: Timestamp) {
        if !self.is_open() {
            self.state = BreakerState::Open;
            self.next_generation(now);
            self.trips = self.trips.saturating_add(1);
            self.trip = trip.cloned();
        }
    }

    /// Whether the loop goes on that a half-open circuit was opened for, and is not let go on this once.
    fn goes_on(&mut self, goes_on: impl FnOnce(&Trip) -> bool) -> bool {
        self.state == BreakerState::HalfOpen && self.trip.as_ref().is_some_and(goes_on) && !self.is_pardoned()
    }

    fn open_again(&mut self, call: &Call, policy: &CircuitPolicy, now: Timestamp) {
        let before = self.trip.take();
        let count = before.as_ref().map_or(1, |t| t.count.saturating_add(1));
        self.open(&Finding::again(Detector::LoopAgain, count), call, policy, now);
        if let (Some(trip), Some(before)) = (&mut self.trip, before) {
            trip.first = before.first.or(Some(before.detector));
            (trip.calls, trip.error, trip.words) = (before.calls, before.error, before.words);
        }
    }

    /// Opens the circuit, or warns; whether it opened. While it is half-open any anomaly opens it.
    fn judge_findings(
        &mut self,
        found: &Findings,
        call: &Call,
        policy: &CircuitPolicy,
        now: Timestamp,
    ) -> bool {
        let half_open = self.state == BreakerState::HalfOpen;
        let of_probation = || found.warnings.iter().find(|f| half_open && f.detector.is_on_probation());
        if let Some(finding) = found.trip.as_ref().or_else(of_probation) {
            let errors = &self.window.trail.errors;
            let failed = matches!(finding.detector, Detector::SameError | Detector::FailingCall)
                || call.outcome.as_ref().is_some_and(|outcome| !outcome.ok);
            let words = errors.first_words().filter(|_| failed).map(str::to_owned);
            self.open(finding, call, policy, now);
            if let Some(trip) = &mut self.trip {
                trip.words = words;
            }
            return true;
        }
        let trail = &mut self.window.trail;
        if let Some(due) = trail.warned.due(&found.warnings, call.print).and_then(|at| found.warnings.get(at))
        {
            trail.warning = Some(Heard {
                detector: due.detector,
                count: due.count,
                of_which: due.of_which,
                window_s: due.window_s,
                tool: call.tool.clone(),
            });
        }
        false
    }
}
