//! The same call so many times in a row: equal in tool and arguments, outcomes not looked at.

use super::{Detector, Finding, Window};

/// `limit` calls in a row; 0 means no limit.
pub(super) fn judge(window: &Window, limit: u64) -> Option<Finding> {
    let call = window.last.filter(|_| limit > 0 && window.run >= limit)?;
    Some(Finding::of_calls(Detector::IdenticalCalls, true, window.run, call).with_calls([call]))
}
