//! Waiting for what comes by itself, with a limit.

use std::thread::sleep;
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(20);

/// Asks `look` until it has an answer; ends the test with `what` after `limit`.
#[track_caller]
pub fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(since.elapsed() < limit, "waited {limit:?} in vain: {what}");
        sleep(POLL);
    }
}

/// Asks `look` until it says yes; ends the test with `what` after `limit`.
#[track_caller]
pub fn until_true(what: &str, limit: Duration, mut look: impl FnMut() -> bool) {
    until(what, limit, || look().then_some(()));
}
