//! Messages that only keep a list of tasks.

use serde::{Deserialize, Serialize};

use super::message::Message;
use super::{Detector, Finding};

/// So many in a row warn (DETECTION).
const WARNS: u64 = 8;
/// So many in a row trip (DETECTION).
const TRIPS: u64 = 15;

/// A message that only adds new tasks is a third of one: a plan is often written down so, a task a message.
const OF_ADDITION: u64 = 1;
const OF_MESSAGE: u64 = 3;

/// How far such a run has gone. A plan is written down task by task, and then said of each what it waits for: of 540
/// healthy sessions the longest run was 29 additions with 30 changes behind them, and no other had over 10 messages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Todos {
    /// In thirds of a message.
    run: u64,
    /// Tasks that were added in this run, less the messages that said something new of tasks since: those count nothing.
    added: u64,
}

impl Todos {
    /// A board that is looked at and has changed is work of others; one that is looked at in a wait is waited for.
    pub(super) fn note(&mut self, message: &Message) -> Option<Finding> {
        if !message.is_only_lists() {
            *self = Self::default();
            return None;
        }
        if message.lists_change || message.is_partial {
            return None;
        }
        if message.is_only_additions() {
            self.added = self.added.saturating_add(message.additions());
            self.run = self.run.saturating_add(OF_ADDITION);
        } else if message.is_only_news() && self.added > 0 {
            self.added -= 1;
            return None;
        } else {
            self.run = self.run.saturating_add(OF_MESSAGE);
        }
        let (run, detector) = (self.run / OF_MESSAGE, Detector::TodoOnly);
        (run >= WARNS).then(|| Finding::of_calls(detector, run >= TRIPS, run, detector.identity()))
    }
}
