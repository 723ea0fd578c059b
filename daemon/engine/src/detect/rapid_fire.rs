//! So many calls of one agent in so short a time.

use super::{Anomaly, Detector, Window};
use crate::policy::CircuitPolicy;
use crate::time::Timestamp;

/// As many calls as the threshold within less than the window's length; 0 of either means no limit.
pub(super) fn judge(window: &Window, policy: &CircuitPolicy, now: Timestamp) -> Option<Anomaly> {
    let calls = policy.literal_rapid_fire();
    let threshold = usize::try_from(calls).unwrap_or(usize::MAX);
    let before = window.times.len().checked_sub(threshold).filter(|_| threshold > 0)?;
    let first = window.times.get(before)?;
    (now.since(*first) < policy.rapid_fire_window_s.saturating_mul(1_000)).then_some(Anomaly {
        detector: Detector::RapidFire,
        count: calls,
        of_one_call: false,
    })
}
