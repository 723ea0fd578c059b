//! A client's status line.

use bursar_engine::ratio::Ratio;
use bursar_engine::records::{BudgetState, CircuitState};
use serde::{Deserialize, Serialize};

/// What a client's status line shows of its session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LineView {
    /// The session.
    pub session_id: String,
    /// A hook of it has been here.
    pub known: bool,
    /// `enforce`, `observe` or `disabled`.
    pub mode: String,
    /// The budget that holds it, else the tightest above it.
    pub budget: Option<BudgetState>,
    /// That budget's total is known to be too low.
    pub lower_bound: bool,
    /// Tokens a minute, lately.
    pub per_minute: Option<u64>,
    /// Seconds to the limit at that pace.
    pub seconds_left: Option<u64>,
    /// Its circuit, where that is not closed.
    pub circuit: Option<CircuitState>,
    /// Somebody of it waits for a person.
    pub held: Option<HeldView>,
    /// The share of the plan's five-hour window that is used.
    pub five_hour: Option<Ratio>,
    /// The share of the plan's seven-day window that is used.
    pub seven_day: Option<Ratio>,
}

/// Somebody who waits for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldView {
    /// `main` or the subagent's id.
    pub agent: String,
    /// A circuit holds it, not a budget.
    pub by_circuit: bool,
    /// The command that lets it go on.
    pub answer: String,
}
