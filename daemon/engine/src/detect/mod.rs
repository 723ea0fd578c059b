//! What goes wrong with an agent's calls: one bounded view of them, and a detector a file.
//!
//! A detector looks at the view after each call and says what is anomalous about it. Which of them are asked, and in
//! what order, is the profile's.

mod duplicates;
mod iterations;
mod rapid_fire;
mod window;

use serde::{Deserialize, Serialize};

use crate::policy::{CircuitPolicy, Profile};
use crate::time::Timestamp;

pub use window::{MAX_PENDING, MAX_TIMES, Pending, Window};

/// What tripped a circuit. The names are the metric's labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detector {
    /// The same call, so many times in a row.
    IdenticalCalls,
    /// So many calls in all.
    IterationLimit,
    /// So many calls in so short a time.
    RapidFire,
    /// The call that had tripped it, again, while the circuit was half-open.
    SameCallAgain,
}

impl Detector {
    /// Every detector.
    pub const ALL: [Self; 4] =
        [Self::IdenticalCalls, Self::IterationLimit, Self::RapidFire, Self::SameCallAgain];

    /// The word for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::IdenticalCalls => "identical_calls",
            Self::IterationLimit => "iteration_limit",
            Self::RapidFire => "rapid_fire",
            Self::SameCallAgain => "same_call_again",
        }
    }
}

/// What a detector found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Anomaly {
    /// Which detector.
    pub(crate) detector: Detector,
    /// How many calls it is about.
    pub(crate) count: u64,
    /// Whether it is about one call, which is then the loop's identity.
    pub(crate) of_one_call: bool,
}

/// What is wrong with the calls up to now, if anything. `limit` is the limit on calls that holds at present.
pub(crate) fn judge(window: &Window, limit: u64, policy: &CircuitPolicy, now: Timestamp) -> Option<Anomaly> {
    let strict = policy.profile == Profile::Strict;
    let identical = strict.then(|| duplicates::judge(window, policy.duplicates())).flatten();
    let counts = policy.literal_iterations() > 0;
    identical
        .or_else(|| counts.then(|| iterations::judge(window, limit)).flatten())
        .or_else(|| rapid_fire::judge(window, policy, now))
}
