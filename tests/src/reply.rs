//! What Bursar's commands answer with `--json`: the fields that tests read.

use serde::{Deserialize, Deserializer};

use crate::api::Usage;
use crate::client::ModelUsage;

/// Tokens by kind, in the API's own words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct Tokens {
    /// Neither from the cache nor into it.
    pub input_tokens: u64,
    /// Written by the model.
    pub output_tokens: u64,
    /// Written to the cache.
    pub cache_creation_input_tokens: u64,
    /// Read from the cache.
    pub cache_read_input_tokens: u64,
}

impl std::ops::Add for Tokens {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self {
            input_tokens: self.input_tokens + more.input_tokens,
            output_tokens: self.output_tokens + more.output_tokens,
            cache_creation_input_tokens: self.cache_creation_input_tokens + more.cache_creation_input_tokens,
            cache_read_input_tokens: self.cache_read_input_tokens + more.cache_read_input_tokens,
        }
    }
}

impl From<Usage> for Tokens {
    fn from(usage: Usage) -> Self {
        ModelUsage::from(usage).into()
    }
}

impl From<ModelUsage> for Tokens {
    fn from(usage: ModelUsage) -> Self {
        Self {
            input_tokens: usage.input_tokens,
            output_tokens: usage.output_tokens,
            cache_creation_input_tokens: usage.cache_creation_input_tokens,
            cache_read_input_tokens: usage.cache_read_input_tokens,
        }
    }
}

/// `bursar status`.
#[derive(Debug, Clone, Deserialize)]
pub struct Status {
    /// The daemon's process.
    pub pid: u32,
    /// `enforce` or `observe`.
    pub mode: String,
    /// `locked` or `unprotected`.
    pub operator: String,
    /// Hooks answered since the start.
    pub hooks: u64,
    /// Hooks with malformed input since the start.
    pub malformed: u64,
    /// Hooks that were let through without a daemon.
    pub failed_open: u64,
    /// Batches whose message did not stand in the transcript in time.
    pub transcript_late: u64,
    /// What is wrong.
    pub degraded: Vec<String>,
    /// What clients tell of their requests themselves.
    pub telemetry: Telemetry,
}

/// How telemetry stands.
#[derive(Debug, Clone, Deserialize)]
pub struct Telemetry {
    /// Where it is taken.
    pub address: Option<String>,
    /// Events received.
    pub events: u64,
    /// Requests among them.
    pub requests: u64,
    /// Requests that could not be used.
    pub malformed: u64,
    /// Batches that could not be used.
    pub refused: u64,
    /// Events that did not arrive.
    pub missing: u64,
    /// All that in a sentence.
    pub says: String,
}

/// `bursar audit`.
#[derive(Debug, Clone, Deserialize)]
pub struct Audit {
    /// The acts, newest first.
    pub acts: Vec<ActRecord>,
}

/// One act of an operator.
#[derive(Debug, Clone, Deserialize)]
pub struct ActRecord {
    /// Who.
    pub who: String,
    /// What, in one word.
    pub act: String,
    /// On what.
    pub target: String,
    /// Why it was refused, if it was.
    pub refused: Option<String>,
}

/// `bursar config show`.
#[derive(Debug, Clone, Deserialize)]
pub struct SettingsShown {
    /// Every setting.
    pub settings: Vec<Setting>,
}

/// One setting.
#[derive(Debug, Clone, Deserialize)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// Its value in force.
    pub value: String,
    /// Where that comes from.
    pub source: String,
    /// What waits to be accepted.
    pub pending: Option<serde_json::Value>,
}

/// `bursar sessions`.
#[derive(Debug, Clone, Deserialize)]
pub struct Sessions {
    /// The sessions.
    pub sessions: Vec<SessionShow>,
}

/// `bursar sessions show ID`.
#[derive(Debug, Clone, Deserialize)]
pub struct SessionShow {
    /// Its id.
    pub session_id: String,
    /// `live`, `held` or `ended`.
    pub state: String,
    /// Hooks tell of it.
    pub hooked: bool,
    /// All agents and models together.
    pub usage: Tokens,
    /// By model.
    pub models: Vec<ModelShare>,
    /// By agent.
    pub agents: Vec<AgentShare>,
    /// The budgets that it draws on.
    pub budget_ids: Vec<String>,
    /// At list prices, in micro-dollars.
    pub cost_micro_usd: u64,
    /// Some of that is an estimate.
    pub cost_estimated: bool,
    /// Its total is known to be too low.
    pub lower_bound: bool,
    /// The share of what its clients say that is accounted for.
    pub coverage: Option<f64>,
    /// The session whose budget it draws on.
    pub draws_on: Option<String>,
    /// The session that `/clear` ended for it.
    pub follows: Option<String>,
    /// Its total by where it comes from.
    pub sources: Sources,
    /// Its runs.
    pub runs: Vec<Run>,
}

/// Tokens by the sensor that told of them.
#[derive(Debug, Clone, Deserialize)]
pub struct Sources {
    /// Lines of transcripts.
    pub transcript: Tokens,
    /// Telemetry.
    pub telemetry: Tokens,
    /// What of that no line told of.
    pub telemetry_only: Tokens,
    /// The client's own word at the end of a run.
    pub settlement: Tokens,
}

/// One process of the client on a session.
#[derive(Debug, Clone, Deserialize)]
pub struct Run {
    /// `startup`, `resume`, `fork` or `clear`.
    pub begins: String,
    /// Its client said what it spent, and that stands beside its lines.
    pub settled: bool,
}

/// A model's part of a session.
#[derive(Debug, Clone, Deserialize)]
pub struct ModelShare {
    /// The model.
    pub model: String,
    /// Its tokens.
    pub usage: Tokens,
    /// Its requests.
    pub requests: u64,
    /// At list prices, in micro-dollars.
    pub cost_micro_usd: u64,
    /// Some of that is an estimate.
    pub cost_estimated: bool,
}

/// An agent's part of a session.
#[derive(Debug, Clone, Deserialize)]
pub struct AgentShare {
    /// `main`, or the subagent's id.
    pub agent: String,
    /// The subagent's type.
    pub agent_type: Option<String>,
    /// Its tokens.
    pub usage: Tokens,
    /// Its requests.
    pub requests: u64,
    /// At list prices, in micro-dollars.
    pub cost_micro_usd: u64,
    /// Some of that is an estimate.
    pub cost_estimated: bool,
}

/// `bursar waiting`.
#[derive(Debug, Clone, Deserialize)]
pub struct Waiting {
    /// Who stands still.
    pub holds: Vec<Hold>,
    /// How many.
    pub total: usize,
}

/// An agent that stands still.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Hold {
    /// Its id, the same over restarts of the daemon.
    pub hold_id: u64,
    /// Whose.
    pub session_id: String,
    /// `main`, or the subagent's id.
    pub agent: String,
    /// The budget that holds, or nothing where a circuit does.
    #[serde(deserialize_with = "or_empty")]
    pub budget_id: String,
    /// The circuit that holds, if one does.
    pub circuit_id: Option<String>,
    /// The hook that waits.
    pub event: String,
    /// Since when.
    pub started_at: String,
    /// `waiting`, or how it ended.
    pub state: String,
}

fn or_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// `bursar circuit list`.
#[derive(Debug, Clone, Deserialize)]
pub struct Circuits {
    /// The circuits.
    pub circuits: Vec<Circuit>,
}

/// A circuit.
#[derive(Debug, Clone, Deserialize)]
pub struct Circuit {
    /// Its id.
    pub circuit_id: String,
    /// `closed`, `open` or `half_open`.
    pub state: String,
    /// Calls counted.
    pub iteration_count: u64,
    /// Identical calls in a row.
    pub duplicate_call_count: u64,
    /// Why it opened.
    pub trip_reason: Option<String>,
}

/// `bursar budget list`.
#[derive(Debug, Clone, Deserialize)]
pub struct Budgets {
    /// The budgets.
    pub budgets: Vec<Budget>,
}

/// A budget's state.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Budget {
    /// Its id: `session:<id>`, `agent:<id>`, …
    pub budget_id: String,
    /// `session`, `task`, …
    pub budget_type: String,
    /// Its limit; 0 is none.
    pub max_tokens: u64,
    /// What was drawn, by the configured weights.
    pub tokens_used: u64,
    /// `active`, `warning`, `paused` or `exhausted`.
    pub status: String,
    /// Its limit in micro-dollars; 0 is none.
    pub max_micro_usd: u64,
    /// What was drawn at list prices.
    pub micro_usd_used: u64,
    /// Some of that is an estimate.
    pub cost_estimated: bool,
}

/// `bursar alerts list`.
#[derive(Debug, Clone, Deserialize)]
pub struct Alerts {
    /// The alerts.
    pub alerts: Vec<Alert>,
}

/// An alert.
#[derive(Debug, Clone, Deserialize)]
pub struct Alert {
    /// Of which budget.
    pub budget_id: String,
    /// `warning_threshold`, `budget_exhausted`, …
    pub alert_type: String,
    /// What it tells the person.
    pub message: String,
}

/// `bursar hooks`.
#[derive(Debug, Clone, Deserialize)]
pub struct Verdicts {
    /// The last verdicts.
    pub verdicts: Vec<GivenVerdict>,
}

/// A verdict, and why.
#[derive(Debug, Clone, Deserialize)]
pub struct GivenVerdict {
    /// Whose.
    pub session_id: String,
    /// `main`, or the subagent's id.
    pub agent: String,
    /// The hook.
    pub event: String,
    /// What was answered.
    pub verdict: String,
    /// What would have been answered, were it enforced.
    pub would: Option<String>,
    /// In words.
    pub reason: Option<String>,
}
