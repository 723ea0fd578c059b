//! Compactions, and stops that another hook turns back, with nothing done between them.

use serde::{Deserialize, Serialize};

use super::trail::Ended;
use super::{Detector, Finding};

/// So many of either warn (DETECTION).
const WARNS: u64 = 3;
/// So many compactions trip (DETECTION).
const TRIPS_COMPACTIONS: u64 = 6;
/// So many blocked stops trip (DETECTION).
const TRIPS_STOPS: u64 = 10;

/// How many of each since anything was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Still {
    compactions: u64,
    stops: u64,
}

impl Still {
    /// The context is compacted by itself.
    pub(crate) fn compacts(&mut self) -> Option<Finding> {
        self.compactions = self.compactions.saturating_add(1);
        found(Detector::Compactions, self.compactions, TRIPS_COMPACTIONS)
    }

    /// A turn ends again that another hook had turned back.
    pub(crate) fn stops(&mut self) -> Option<Finding> {
        self.stops = self.stops.saturating_add(1);
        found(Detector::BlockedStops, self.stops, TRIPS_STOPS)
    }

    /// A good call that came to something new is something done.
    pub(super) fn pass(&mut self, ended: &Ended<'_>) {
        if ended.outcome.ok && ended.is_new && !ended.waits {
            *self = Self::default();
        }
    }
}

fn found(detector: Detector, count: u64, trips: u64) -> Option<Finding> {
    (count >= WARNS).then(|| Finding::of_calls(detector, count >= trips, count, detector.identity()))
}
