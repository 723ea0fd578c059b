//! Messages that only keep a list of tasks.

use serde::{Deserialize, Serialize};

use super::message::Message;
use super::{Detector, Finding};

/// So many in a row warn (DETECTION).
const WARNS: u64 = 8;
/// So many in a row trip (DETECTION).
const TRIPS: u64 = 15;

/// How many in a row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Todos(u64);

impl Todos {
    pub(super) fn note(&mut self, message: &Message) -> Option<Finding> {
        self.0 = if message.is_only_lists() { self.0.saturating_add(1) } else { 0 };
        let detector = Detector::TodoOnly;
        (self.0 >= WARNS).then(|| Finding::of_calls(detector, self.0 >= TRIPS, self.0, detector.identity()))
    }
}
