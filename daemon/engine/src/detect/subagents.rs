//! Subagents of a whole session: how many, how fast, how deep.

use serde::{Deserialize, Serialize};

use super::{Detector, Finding};
use crate::last::Last;
use crate::time::Timestamp;

/// So many within [`WINDOW_S`] warn (DETECTION; healthy work goes to 8).
const WARNS: usize = 12;
/// So many within [`WINDOW_S`] trip (DETECTION).
const TRIPS: usize = 30;
/// In seconds.
const WINDOW_S: u64 = 60;
/// So many in a session trip (DETECTION; healthy work goes to 19 a prompt).
const TRIPS_IN_ALL: u64 = 80;
/// Subagents of subagents may be so deep; the main agent's are 1 deep (DETECTION).
const DEEPEST: u32 = 3;

/// The subagents of a session, kept with its main agent's circuit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spawns {
    /// When the last ones were called for, oldest first.
    times: Last<Timestamp, TRIPS>,
    /// Called for since the last reset.
    pub called: u64,
    /// Called for since the last prompt of a human.
    pub called_lately: u64,
    /// Started since the last prompt of a human.
    pub started_lately: u64,
    /// As many as this trip.
    limit: Option<u64>,
    /// A human prompted: from then on calls and starts can be held against each other.
    prompted: bool,
    /// How often more had started than were called for; once a prompt.
    pub(crate) alarms: u32,
    told: bool,
}

impl Spawns {
    /// An agent so deep calls for one.
    pub(crate) fn note(&mut self, depth: u32, now: Timestamp) -> Option<Finding> {
        self.called_lately = self.called_lately.saturating_add(1);
        self.count(now);
        let found = |detector: Detector, trips, count: u64| {
            Finding::of_calls(detector, trips, count, detector.identity())
        };
        let lately = self.times.len();
        let lately_found = |trips| Finding {
            window_s: Some(WINDOW_S),
            ..found(Detector::Subagents, trips, u64::try_from(lately).unwrap_or(u64::MAX))
        };
        if depth >= DEEPEST {
            Some(found(Detector::SubagentDepth, true, u64::from(depth) + 1))
        } else if lately >= TRIPS {
            Some(lately_found(true))
        } else if self.called >= self.limit.unwrap_or(TRIPS_IN_ALL) {
            Some(found(Detector::Subagents, true, self.called))
        } else {
            (lately >= WARNS).then(|| lately_found(false))
        }
    }

    fn count(&mut self, now: Timestamp) {
        self.called = self.called.saturating_add(1);
        let over = self.times.iter().take_while(|at| now.since(**at) >= WINDOW_S * 1_000).count();
        self.times.append_to(self.times.len() - over, &[now]);
    }

    /// One started.
    pub(crate) fn started(&mut self) {
        self.started_lately = self.started_lately.saturating_add(1);
        if self.prompted && !self.told && self.started_lately > self.called_lately {
            (self.told, self.alarms) = (true, self.alarms.saturating_add(1));
        }
    }

    /// A human prompts: what was called for in all counts on.
    pub(crate) fn prompted(&mut self) {
        (self.called_lately, self.started_lately) = (0, 0);
        (self.prompted, self.told) = (true, false);
    }

    /// An operator lets it go on.
    pub(crate) fn acknowledged(&mut self) {
        self.times.clear();
        if self.called >= self.limit.unwrap_or(TRIPS_IN_ALL) {
            self.limit = Some(self.called.saturating_add(TRIPS_IN_ALL));
        }
    }
}
