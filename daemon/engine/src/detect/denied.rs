//! The same call, though a human or another hook has refused it.

use serde::{Deserialize, Serialize};

use super::tally::Tally;
use super::trail::Ended;
use super::{Detector, Finding};

/// So many refusals warn (DETECTION).
const WARNS: u64 = 2;
/// So many refusals trip (DETECTION).
const TRIPS: u64 = 4;

/// How often which calls were refused. What we refuse ourselves is none of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Denials(Tally);

impl Denials {
    /// A call was refused.
    pub(super) fn note(&mut self, ended: &Ended<'_>) -> Option<Finding> {
        if ended.again_in_message {
            return None;
        }
        let call = ended.call.print;
        let count = self.0.count(call);
        (count >= WARNS)
            .then(|| Finding::of_calls(Detector::DeniedCall, count >= TRIPS, count, call).with_calls([call]))
    }

    /// A call was let through.
    pub(super) fn pass(&mut self, ended: &Ended<'_>) {
        if ended.outcome.ok {
            self.0.remove(ended.call.print);
        }
    }
}
