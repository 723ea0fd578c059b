//! So many calls of one agent in so short a time.

use super::{Detector, Finding, Window};
use crate::policy::CircuitPolicy;
use crate::time::Timestamp;

/// So many calls in the window warn, and trip where at most half of them differ (DETECTION; healthy work goes to 16).
const MANY: usize = 20;
/// So many calls in the window trip, whatever they are (DETECTION).
pub(super) const TOO_MANY: usize = 60;

/// As many calls as the threshold within less than the window's length; 0 of either means no limit.
pub(super) fn judge(window: &Window, policy: &CircuitPolicy, now: Timestamp) -> Option<Finding> {
    let calls = policy.literal_rapid_fire();
    let threshold = usize::try_from(calls).unwrap_or(usize::MAX);
    is_within(window, threshold, policy, now).then(|| finding(calls, true, policy))
}

/// As [`judge`], for as many as no agent has reason for, before it is known what came of them.
pub(super) fn judge_excess(window: &Window, policy: &CircuitPolicy, now: Timestamp) -> Option<Finding> {
    let counts = policy.rapid_fire_threshold.is_none() && is_within(window, TOO_MANY, policy, now);
    counts.then(|| finding(TOO_MANY as u64, true, policy))
}

/// As [`judge`], by what came of the calls.
pub(super) fn judge_evidence(window: &Window, policy: &CircuitPolicy, now: Timestamp) -> Option<Finding> {
    if policy.rapid_fire_threshold.is_some() || !is_within(window, MANY, policy, now) {
        return None;
    }
    let length_ms = policy.rapid_fire_window_s.saturating_mul(1_000);
    let within =
        |times: &[Timestamp]| times.iter().rev().take_while(|at| now.since(**at) < length_ms).count();
    let (lately, repeats) = (within(&window.times), within(&window.trail.repeats));
    let steps = &window.trail.steps;
    let ended = lately.saturating_sub(repeats).min(steps.len());
    let newest = steps.iter().skip(steps.len() - ended);
    let mut pairs: Vec<_> = newest.map(|step| step.pair).collect();
    pairs.sort_unstable();
    pairs.dedup();
    // Equal calls of one message are one step, and calls all the same.
    let ended = ended + repeats;
    Some(finding(lately as u64, ended >= MANY && pairs.len() * 2 <= ended, policy))
}

fn is_within(window: &Window, threshold: usize, policy: &CircuitPolicy, now: Timestamp) -> bool {
    let before = window.times.len().checked_sub(threshold).filter(|_| threshold > 0);
    let first = before.and_then(|before| window.times.get(before));
    first.is_some_and(|first| now.since(*first) < policy.rapid_fire_window_s.saturating_mul(1_000))
}

fn finding(count: u64, trips: bool, policy: &CircuitPolicy) -> Finding {
    let detector = Detector::RapidFire;
    let finding = Finding::of_calls(detector, trips, count, detector.identity());
    Finding { window_s: Some(policy.rapid_fire_window_s), ..finding }
}
