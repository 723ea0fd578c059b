//! What each sensor told of a session.

use serde::{Deserialize, Serialize};

use crate::row::Row;
use crate::usage::Usage;

/// What one sensor told of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Requests.
    pub rows: u64,
    /// Their tokens, as they are counted.
    pub usage: Usage,
}

/// What each sensor told of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sensed {
    /// Lines, and hooks' payloads.
    pub lines: Tally,
    /// Telemetry.
    pub reported: Tally,
    /// What telemetry alone told of.
    pub reported_only: Tally,
}

impl Tally {
    pub(crate) fn plus(self, other: Self) -> Self {
        Self { rows: self.rows.saturating_add(other.rows), usage: self.usage.plus(other.usage) }
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self { rows: self.rows.saturating_sub(other.rows), usage: self.usage.minus(other.usage) }
    }
}

impl Sensed {
    /// Counts a row in, or out.
    pub(crate) fn count(&mut self, row: &Row, op: fn(Tally, Tally) -> Tally) {
        let told = |tally: &mut Tally| *tally = op(*tally, Tally { rows: 1, usage: row.usage });
        let is_reported = row.reported().is_some();
        match row.line() {
            Some(_) => told(&mut self.lines),
            None => told(&mut self.reported_only),
        }
        if is_reported {
            told(&mut self.reported);
        }
    }
}
