//! Where a session's total comes from.

use bursar_engine::ratio::Ratio;
use bursar_engine::run::Begins;
use serde::{Deserialize, Serialize};

use super::UsageView;

/// What a session's total is made of, by the sensor that told of it. A request that two of them told of is in both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourcesView {
    /// Lines of transcripts (and usage in hooks' payloads).
    pub transcript: SensorView,
    /// The clients' telemetry.
    pub telemetry: SensorView,
    /// What of that no line told of.
    pub telemetry_only: SensorView,
    /// What the client said at the end of its runs, beside all these: compactions, titles and the like.
    pub settlement: SensorView,
}

/// What one sensor told of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SensorView {
    /// Rows of the ledger: requests, and of settlements one for each run and model.
    pub rows: u64,
    /// Their tokens.
    #[serde(flatten)]
    pub tokens: UsageView,
}

/// One process of the client on a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunView {
    /// Its number, from 1.
    pub number: u32,
    /// `startup`, `resume`, `fork` or `clear`.
    pub begins: Begins,
    /// When it began, RFC 3339 in UTC.
    pub began_at: String,
    /// When it ended, RFC 3339 in UTC.
    pub ended_at: Option<String>,
    /// Its client said what it spent, and that is what is counted.
    pub settled: bool,
    /// Another process was on the session at the same time.
    pub overlaps: bool,
    /// What was counted request by request.
    pub counted: UsageView,
    /// What of it telemetry told of.
    pub reported: UsageView,
    /// What only its client's own total showed.
    pub background: UsageView,
}

/// A session, request by request: where each number comes from, and what is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerView {
    /// The session.
    pub session_id: String,
    /// Its newest rows, oldest first.
    pub rows: Vec<RowView>,
    /// There are older ones.
    pub more: bool,
    /// All of its rows together.
    pub usage: UsageView,
    /// At list prices, in micro-dollars.
    pub cost_micro_usd: u64,
    /// Some of that is an estimate.
    pub cost_estimated: bool,
    /// The total is known to be too low.
    pub lower_bound: bool,
    /// The share of what its clients say they spent that is accounted for; null before they said anything.
    pub coverage: Option<Ratio>,
    /// What is missing, or may be, a sentence each.
    pub missing: Vec<String>,
}

/// One row of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowView {
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// `main`, or the subagent's id.
    pub agent: String,
    /// The model.
    pub model: String,
    /// The message; what has none has a key of its own.
    pub message_id: String,
    /// The API's request.
    pub request_id: Option<String>,
    /// `transcript`, `telemetry`, `both`, `settlement` or `payload`.
    pub source: String,
    /// Its tokens.
    pub usage: UsageView,
    /// At list prices, in micro-dollars.
    pub cost_micro_usd: u64,
    /// The model's price is not known: it is that of the dearest.
    pub cost_estimated: bool,
    /// The budgets that it was counted in.
    pub budget_ids: Vec<String>,
}
