//! A wait or a poll that is stuck: the same call says the same while nothing else is done.

use serde::{Deserialize, Serialize};

use super::trail::Ended;
use super::{Detector, Finding};
use crate::last::Last;
use crate::print::Print;
use crate::time::Timestamp;

/// So many warn (DETECTION).
const WARNS: u64 = 8;
/// So many trip when they come quickly (DETECTION).
const TRIPS_QUICK: u64 = 20;
/// So many trip else (DETECTION).
const TRIPS_SLOW: u64 = 60;
/// The mean time from one to the next below which they come quickly, in milliseconds.
const QUICK_MS: u64 = 10_000;
/// How many calls that wait are followed at once.
const MAX_FOLLOWED: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Wait {
    call: Print,
    pair: Print,
    count: u64,
    since: Timestamp,
}

/// Calls that wait.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Waits(Last<Wait, MAX_FOLLOWED>);

impl Waits {
    /// Whether who calls now and called then takes time between.
    pub(super) fn is_patient(then: Timestamp, now: Timestamp) -> bool {
        now.since(then) >= QUICK_MS
    }

    /// Whatever is done between ends the waiting, and so does another answer.
    pub(super) fn note(&mut self, ended: &Ended<'_>) -> Option<Finding> {
        if !ended.waits {
            self.0.clear();
            return None;
        }
        if ended.again_in_message {
            return None;
        }
        let call = ended.call.print;
        let known = self.0.take(|wait| wait.call == call);
        let wait = match known {
            Some(wait) if wait.pair == ended.pair => Wait { count: wait.count.saturating_add(1), ..wait },
            _ => Wait { call, pair: ended.pair, count: 1, since: ended.at },
        };
        self.0.push(wait);
        let gaps = wait.count.saturating_sub(1).max(1);
        let is_quick = ended.at.since(wait.since) / gaps < QUICK_MS;
        let trips = wait.count >= if is_quick { TRIPS_QUICK } else { TRIPS_SLOW };
        (wait.count >= WARNS)
            .then(|| Finding::of_calls(Detector::StuckWait, trips, wait.count, call).with_calls([call]))
    }
}
