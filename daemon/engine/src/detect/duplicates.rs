//! The same call so many times in a row: equal in tool and arguments, outcomes not looked at.

use super::{Anomaly, Detector, Window};

/// `limit` calls in a row; 0 means no limit.
pub(super) fn judge(window: &Window, limit: u64) -> Option<Anomaly> {
    (limit > 0 && window.run >= limit).then_some(Anomaly {
        detector: Detector::IdenticalCalls,
        count: window.run,
        of_one_call: true,
    })
}
