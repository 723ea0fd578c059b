//! Messages that only keep a list of tasks.

use serde::{Deserialize, Serialize};

use super::message::Message;
use super::{Detector, Finding};

/// So many in a row warn (DETECTION).
const WARNS: u64 = 8;
/// So many in a row trip (DETECTION).
const TRIPS: u64 = 15;

/// How many in a row, in halves: a message that only adds new tasks is one. A plan is often written down so, a task a
/// message; of 106 healthy sessions four had 8 to 10 such messages in a row, and none had half as many others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Todos(u64);

impl Todos {
    /// A board that is looked at and has changed is work of others.
    pub(super) fn note(&mut self, message: &Message) -> Option<Finding> {
        if !message.is_only_lists() {
            self.0 = 0;
            return None;
        }
        if message.lists_change {
            return None;
        }
        self.0 = self.0.saturating_add(if message.is_only_additions() { 1 } else { 2 });
        let (run, detector) = (self.0 / 2, Detector::TodoOnly);
        (run >= WARNS).then(|| Finding::of_calls(detector, run >= TRIPS, run, detector.identity()))
    }
}
