//! The only reader of clocks.

use std::time::{SystemTime, UNIX_EPOCH};

use bursar_engine::time::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// Wall time that never runs backwards while the process lives: the wall clock at the start, carried on by the
/// clock that counts suspended time too. Setting the wall clock moves no deadline.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    wall_at_start_ms: u64,
    boot_at_start_ms: u64,
}

#[cfg(target_os = "linux")]
const BOOT: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const BOOT: ClockId = ClockId::Monotonic;

impl Clock {
    /// Starts at the wall clock, but not before `high_water`, the last time that was ever recorded.
    pub fn start(high_water: Timestamp) -> Self {
        Self { wall_at_start_ms: Self::wall().0.max(high_water.0), boot_at_start_ms: since_boot_ms() }
    }

    /// The wall clock as it is set now; it may run backwards.
    pub fn wall() -> Timestamp {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
        Timestamp(u64::try_from(wall).unwrap_or(u64::MAX))
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        Timestamp(self.wall_at_start_ms.saturating_add(since_boot_ms().saturating_sub(self.boot_at_start_ms)))
    }
}

/// Milliseconds since the machine was started, suspended time included.
pub fn since_boot_ms() -> u64 {
    let t = clock_gettime(BOOT);
    u64::try_from(t.tv_sec).unwrap_or(0) * 1_000 + u64::try_from(t.tv_nsec).unwrap_or(0) / 1_000_000
}
