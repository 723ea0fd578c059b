//! The same call with the same outcome, again and again, and the same message of several calls.

use serde::{Deserialize, Serialize};

use super::message::Message;
use super::trail::Ended;
use super::{Detector, Finding};
use crate::policy::CircuitPolicy;
use crate::print::Print;

/// So many warn (DETECTION; healthy work goes to 2).
const WARNS: u64 = 3;

/// How often in a row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Repeated {
    last: Option<Print>,
    run: u64,
    last_message: Option<Print>,
    messages: u64,
}

impl Repeated {
    /// Calls that wait count elsewhere, and end a run.
    pub(super) fn note(&mut self, ended: &Ended<'_>, policy: &CircuitPolicy) -> Option<Finding> {
        if ended.waits {
            (self.last, self.run) = (None, 0);
            return None;
        }
        self.run = if self.last == Some(ended.pair) { self.run.saturating_add(1) } else { 1 };
        self.last = Some(ended.pair);
        let trips = policy.duplicates();
        let found = level(self.run, WARNS, trips)?;
        let finding = Finding::of_calls(Detector::RepeatedCall, found, self.run, ended.call.print);
        Some(finding.with_calls([ended.call.print]))
    }

    /// A message of one call is that call.
    pub(super) fn message(&mut self, message: &Message, policy: &CircuitPolicy) -> Option<Finding> {
        let all = message.all.filter(|_| message.made.len() > 1 && !message.is_partial);
        self.messages =
            if all.is_some() && self.last_message == all { self.messages.saturating_add(1) } else { 1 };
        self.last_message = all;
        let found = level(self.messages, WARNS, policy.duplicates())?;
        let finding = Finding::of_calls(Detector::RepeatedMessage, found, self.messages, all?);
        Some(finding.with_calls(message.made.iter().copied()))
    }
}

impl Repeated {
    /// Whether this was the last.
    pub(super) fn is_last(&self, pair: Print) -> bool {
        self.last == Some(pair)
    }
}

/// Whether so many warn or trip; a limit of 0 is none, and then nothing does.
fn level(run: u64, warns: u64, trips: u64) -> Option<bool> {
    match trips {
        0 => None,
        _ if run >= trips => Some(true),
        _ => (run >= warns).then_some(false),
    }
}
