//! The same error of the same tool, whatever the arguments.

use serde::{Deserialize, Serialize};

use super::tally::MAX_COUNTED;
use super::trail::Ended;
use super::{Detector, Finding};
use crate::last::Last;
use crate::policy::CircuitPolicy;
use crate::print::Print;

/// In so many messages it warns (DETECTION; healthy work goes to 3, and seldom).
const WARNS: u64 = 3;
/// In so many messages it trips (DETECTION).
const TRIPS: u64 = 8;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    error: Print,
    tool: String,
    count: u64,
    /// How it read first, for people.
    words: Option<String>,
}

/// Errors, the one seen last at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct SameErrors(Last<Known, MAX_COUNTED>);

impl SameErrors {
    /// A success of the tool ends its errors, a good edit all.
    pub(super) fn note(&mut self, ended: &Ended<'_>, policy: &CircuitPolicy) -> Option<Finding> {
        if ended.is_good_edit() {
            self.0.clear();
        } else if ended.outcome.ok {
            self.0.retain(|known| known.tool != ended.call.tool);
        }
        let error = ended.outcome.error.filter(|_| !ended.error_again)?;
        let known = self.0.take(|known| known.error == error);
        let mut known = known.unwrap_or_else(|| Known {
            error,
            tool: ended.call.tool.clone(),
            count: 0,
            words: ended.outcome.words.clone(),
        });
        known.count = known.count.saturating_add(1);
        let count = known.count;
        self.0.push(known);
        let trips = policy.at_least(TRIPS);
        (count >= WARNS)
            .then(|| Finding::of_calls(Detector::SameError, count >= trips, count, error).with_error(error))
    }

    /// How the error of the last failure read when it came first.
    pub(crate) fn first_words(&self) -> Option<&str> {
        self.0.last()?.words.as_deref()
    }
}
