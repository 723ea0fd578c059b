//! When processes started: a number alone names nobody for long, since numbers are used again.

#[cfg(target_os = "linux")]
use std::fs;

/// How exact the start of a process is told, in milliseconds: a tick of the system's clock is 10.
const TICK_MS: u64 = 20;

/// When a process started, in milliseconds since the machine was started; none where it is gone or the system does not
/// tell.
#[cfg(target_os = "linux")]
pub fn started_ms(pid: u32) -> Option<u64> {
    // "pid (name) state …": the name may hold anything, so read from its last parenthesis; the 22nd field is the start.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let ticks: u64 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    Some(ticks.saturating_mul(1_000) / rustix::param::clock_ticks_per_second().max(1))
}

/// When a process started; this system is not asked.
#[cfg(not(target_os = "linux"))]
pub fn started_ms(_pid: u32) -> Option<u64> {
    None
}

/// Whether the process of that number is another one than at `then`, in milliseconds since the machine was started.
pub fn is_another(pid: u32, then_ms: u64) -> bool {
    started_ms(pid).is_some_and(|started| started > then_ms.saturating_add(TICK_MS))
}

#[cfg(test)]
mod tests {
    use super::{is_another, started_ms};
    use crate::clock::since_boot_ms;

    #[test]
    fn a_process_is_the_one_that_was_there_and_not_one_that_came_later() {
        let me = std::process::id();
        assert!(!is_another(me, since_boot_ms()));
        if let Some(started) = started_ms(me) {
            assert!(started > 0 && is_another(me, started - 1_000));
        }
        assert_eq!(started_ms(u32::MAX), None);
    }
}
