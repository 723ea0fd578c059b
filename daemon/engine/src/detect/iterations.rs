//! So many calls in all.

use super::{Anomaly, Detector, Window};

/// `limit` calls; 0 means no limit.
pub(super) fn judge(window: &Window, limit: u64) -> Option<Anomaly> {
    (limit > 0 && window.iterations >= limit).then_some(Anomaly {
        detector: Detector::IterationLimit,
        count: window.iterations,
        of_one_call: false,
    })
}
