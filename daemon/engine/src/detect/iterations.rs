//! So many calls in all.

use super::{Detector, Finding, Window, novelty};
use crate::policy::CircuitPolicy;

/// So many calls since the last prompt of a human warn, and trip where little of them is new (DETECTION: a prompt has 54
/// at the 95th percentile, 321 at most).
const SOFT: u64 = 50;
/// Little is new below this share, in percent (DETECTION; healthy work stays at 87 and more).
const LITTLE_PERCENT: u64 = 60;

/// `limit` calls; 0 means no limit.
pub(super) fn judge(window: &Window, limit: u64) -> Option<Finding> {
    (limit > 0 && window.iterations >= limit).then(|| finding(window, true))
}

/// The soft limit, where no literal one was set.
pub(super) fn judge_evidence(window: &Window, policy: &CircuitPolicy) -> Option<Finding> {
    let counts = policy.max_iterations.is_none() && window.iterations >= SOFT;
    counts.then(|| finding(window, novelty::is_low(&window.trail, LITTLE_PERCENT, policy)))
}

fn finding(window: &Window, trips: bool) -> Finding {
    let detector = Detector::IterationLimit;
    Finding::of_calls(detector, trips, window.iterations, detector.identity())
}
