//! How much of what is done is new: the share of calls and outcomes that differ among the last 20 to 30.

use super::trail::Trail;
use super::{Detector, Finding};
use crate::policy::CircuitPolicy;

/// Among fewer calls nothing is said (DETECTION).
const LEAST: u64 = 20;
/// Below this share it warns, in percent (DETECTION; healthy work stays at 87 and more).
const WARNS_PERCENT: u64 = 70;
/// Below this share it trips, in percent (DETECTION; every cycle of up to 13 calls is below).
const TRIPS_PERCENT: u64 = 45;

/// What is found of the last calls.
pub(super) fn judge(trail: &Trail, policy: &CircuitPolicy) -> Option<Finding> {
    if !is_low(trail, WARNS_PERCENT, policy) {
        return None;
    }
    let (calls, distinct) = of_calls(trail);
    let trips = is_below(calls, distinct, TRIPS_PERCENT);
    let finding = Finding::of_calls(Detector::LowNovelty, trips, calls, Detector::LowNovelty.identity());
    let mut made: Vec<_> = trail.steps.iter().map(|step| step.call).collect();
    made.sort_unstable();
    made.dedup();
    Some(finding.of_which(distinct).with_calls(made))
}

/// Whether less than that share of the last calls is new, among enough of them.
pub(super) fn is_low(trail: &Trail, percent: u64, policy: &CircuitPolicy) -> bool {
    let (calls, distinct) = of_calls(trail);
    calls >= policy.at_least(LEAST) && is_below(calls, distinct, percent)
}

fn of_calls(trail: &Trail) -> (u64, u64) {
    (u64::try_from(trail.steps.len()).unwrap_or(u64::MAX), u64::from(trail.distinct))
}

fn is_below(calls: u64, distinct: u64, percent: u64) -> bool {
    distinct * 100 < calls * percent
}
