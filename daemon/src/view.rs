//! The JSON that commands print and the REST routes will answer: typed once, written by the daemon, read by the
//! commands.

use bursar_engine::ratio::Ratio;
use bursar_engine::records::{BudgetAlert, BudgetState, CircuitState};
use serde::{Deserialize, Serialize};

mod ledger;
pub mod line;
pub use ledger::{LedgerView, RowView, RunView, SensorView, SourcesView};

use crate::telemetry::TelemetryView;

/// Tokens by kind, named as the API names them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageView {
    /// Input that was neither read from nor written to the cache.
    pub input_tokens: u64,
    /// Output.
    pub output_tokens: u64,
    /// Written to the cache.
    pub cache_creation_input_tokens: u64,
    /// Read from the cache.
    pub cache_read_input_tokens: u64,
}

/// What was spent on one model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelView {
    /// The model.
    pub model: String,
    /// Tokens.
    pub usage: UsageView,
    /// Requests.
    pub requests: u64,
    /// What it cost at list prices, in micro-dollars.
    #[serde(default)]
    pub cost_micro_usd: u64,
    /// Some of that is an estimate.
    #[serde(default)]
    pub cost_estimated: bool,
}

/// What one agent spent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentView {
    /// `main` or the subagent's id.
    pub agent: String,
    /// A subagent's type.
    pub agent_type: Option<String>,
    /// Tokens.
    pub usage: UsageView,
    /// Requests.
    pub requests: u64,
    /// By model.
    pub models: Vec<ModelView>,
    /// What it cost at list prices, in micro-dollars.
    #[serde(default)]
    pub cost_micro_usd: u64,
    /// Some of that is an estimate.
    #[serde(default)]
    pub cost_estimated: bool,
}

/// One session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionView {
    /// Its id.
    pub session_id: String,
    /// The project's name.
    pub project: Option<String>,
    /// Where it works.
    pub cwd: Option<String>,
    /// The name under which its spending is shown.
    pub agent_name: Option<String>,
    /// `live`, `held` or `ended`.
    pub state: String,
    /// The first hook here, RFC 3339 in UTC.
    pub first_seen: String,
    /// The last hook, RFC 3339 in UTC.
    pub last_seen: String,
    /// When it ended, RFC 3339 in UTC.
    pub ended_at: Option<String>,
    /// Whether a person is at the client.
    pub attended: bool,
    /// Hooks tell of it. One without hooks was found by its transcript, and cannot be held.
    #[serde(default = "yes")]
    pub hooked: bool,
    /// All tokens of all its agents.
    pub usage: UsageView,
    /// Requests.
    pub requests: u64,
    /// By model.
    pub models: Vec<ModelView>,
    /// By agent.
    pub agents: Vec<AgentView>,
    /// The budgets above it.
    pub budget_ids: Vec<String>,
    /// Its own budget.
    pub budget: Option<BudgetState>,
    /// Its transcript.
    pub transcript: Option<String>,
    /// Lines of its files that could not be used.
    pub bad_lines: u64,
    /// What it cost at list prices, in micro-dollars.
    #[serde(default)]
    pub cost_micro_usd: u64,
    /// Some of that is an estimate.
    #[serde(default)]
    pub cost_estimated: bool,
    /// The session whose budget it draws on, as its child or its copy.
    pub draws_on: Option<String>,
    /// The session that `/clear` ended for it.
    pub follows: Option<String>,
    /// Its total is known to be too low: a run's start, or the word at its end, is missing, or lines could not be used.
    pub lower_bound: bool,
    /// The share of what its clients say they spent that is accounted for; null before they said anything.
    pub coverage: Option<Ratio>,
    /// Where its total comes from.
    pub sources: SourcesView,
    /// Its runs: one process of the client each.
    pub runs: Vec<RunView>,
}

fn yes() -> bool {
    true
}

/// Somebody who waits, or waited, for a human.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HoldView {
    /// Its id.
    pub hold_id: u64,
    /// The session.
    pub session_id: String,
    /// The session's project.
    pub project: Option<String>,
    /// `main` or the subagent's id.
    pub agent: String,
    /// The budget that holds it, if it is one.
    pub budget_id: Option<String>,
    /// That budget.
    pub budget: Option<BudgetState>,
    /// The circuit that holds it, if it is one.
    pub circuit_id: Option<String>,
    /// That circuit.
    pub circuit: Option<CircuitState>,
    /// The hook's event.
    pub event: String,
    /// The tool it was about to call.
    pub tool: Option<String>,
    /// When it began, RFC 3339 in UTC.
    pub started_at: String,
    /// When it is stopped if nobody answers, RFC 3339 in UTC.
    pub deadline: String,
    /// Seconds since it began.
    pub held_seconds: u64,
    /// Whether a person is at the client.
    pub attended: bool,
    /// The context that going on sends again, in tokens.
    pub context_tokens: u64,
    /// `waiting`, `extended`, `finish_up`, `acknowledged`, `released`, `declined`, `ran_out` or `client_gone`.
    pub state: String,
    /// When it ended, RFC 3339 in UTC.
    pub ended_at: Option<String>,
    /// How to go on where the client is gone.
    pub resume_with: String,
}

/// One verdict, for `bursar hooks`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictView {
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// The session.
    pub session_id: String,
    /// `main` or the subagent's id.
    pub agent: String,
    /// The event.
    pub event: String,
    /// The tool, where there is one.
    pub tool: Option<String>,
    /// `allow`, `warn`, `hold`, `stop`, `refuse`, `deny`, `ask`, `malformed`, or `gone` where a held hook went away.
    pub verdict: String,
    /// What would have been done, where only observing.
    pub would: Option<String>,
    /// Why, in a sentence.
    pub reason: Option<String>,
    /// How long the answer took inside the daemon, in microseconds (a hold: until it was held).
    pub micros: u64,
}

/// A setting and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingView {
    /// The variable.
    pub name: String,
    /// Its value, as it would be written.
    pub value: String,
    /// `default`, `environment`, a file's path, or `last run` where a stricter value was kept.
    pub source: String,
    /// The looser value that waits for `bursar config accept`.
    #[serde(default)]
    pub pending: Option<PendingView>,
}

/// A value that is looser than the one in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingView {
    /// The value, as it would be written.
    pub value: String,
    /// Where it comes from.
    pub source: String,
}

/// The daemon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusView {
    /// Its version.
    pub version: String,
    /// The protocol's.
    pub protocol: u8,
    /// Its process.
    pub pid: u32,
    /// Since when it serves, RFC 3339 in UTC.
    pub since: String,
    /// `enforce`, `observe` or `disabled`.
    pub mode: String,
    /// Who may raise a limit: `locked` (nobody yet), `passphrase` (who knows it) or `unprotected` (anything that this
    /// user runs).
    pub operator: String,
    /// When a passphrase that was said to be forgotten is void, RFC 3339 in UTC.
    #[serde(default)]
    pub operator_reset_at: Option<String>,
    /// The state folder.
    pub state: String,
    /// The socket.
    pub socket: String,
    /// Live sessions.
    pub sessions: u64,
    /// Who waits.
    pub holds: u64,
    /// Alerts not yet seen.
    pub alerts: u64,
    /// Hooks answered since the start.
    pub hooks: u64,
    /// Hooks with malformed input since the start.
    pub malformed: u64,
    /// Hooks that were let through without a daemon, as far as the spool tells, since the installation.
    pub failed_open: u64,
    /// Batches whose message did not stand in the transcript in time, since the start.
    pub transcript_late: u64,
    /// The store's size in bytes.
    pub store_bytes: u64,
    /// What is wrong, if anything.
    pub degraded: Vec<String>,
    /// The circuit breaker, in a sentence.
    pub circuits: String,
    /// What clients tell of their requests themselves.
    #[serde(default)]
    pub telemetry: TelemetryView,
    /// Every setting and where it comes from.
    pub settings: Vec<SettingView>,
}

/// What an operator's act came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActView {
    /// `extend`, `finish`, `decline`, `reset`, `set`, `acknowledge_alert`, `release`, `acknowledge_circuit`,
    /// `reset_circuit`, `decline_circuit`, `start_task` or `end_task`.
    pub act: String,
    /// The budget as it is now.
    pub budget: Option<BudgetState>,
    /// The circuit as it is now.
    pub circuit: Option<CircuitState>,
    /// Whole tokens that are still missing before it is open.
    pub missing_tokens: u64,
    /// Micro-dollars that are still missing.
    pub missing_micro_usd: u64,
    /// Hooks that were released.
    pub released: u64,
    /// What going on sends again, in tokens.
    pub context_tokens: u64,
    /// One line that says what is now true.
    pub message: String,
    /// Commands with which sessions go on whose client is gone or was stopped.
    pub resume_with: Vec<String>,
}

/// `{error, message, details}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorView {
    /// A word that programs can match.
    pub error: String,
    /// A sentence for people.
    pub message: String,
    /// The context.
    pub details: serde_json::Value,
}

macro_rules! list {
    ($(#[$doc:meta])* $name:ident, $field:ident, $item:ty) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        pub struct $name {
            /// The rows.
            pub $field: Vec<$item>,
            /// How many there are.
            pub total: usize,
        }
    };
}

list!(
    /// `bursar budget list --json`.
    BudgetList, budgets, BudgetState
);
list!(
    /// `bursar circuit list --json`.
    CircuitList, circuits, CircuitState
);
list!(
    /// `bursar alerts list --json`.
    AlertList, alerts, BudgetAlert
);
list!(
    /// `bursar sessions --json`.
    SessionList, sessions, SessionView
);
list!(
    /// `bursar waiting --json`.
    HoldList, holds, HoldView
);
list!(
    /// `bursar hooks --json`.
    VerdictList, verdicts, VerdictView
);
list!(
    /// `bursar config show --json`.
    SettingList, settings, SettingView
);
list!(
    /// `bursar audit --json`.
    AuditList, acts, AuditView
);

/// One act of an operator, done or refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditView {
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// Who: user, process and terminal.
    pub who: String,
    /// What, in one word.
    pub act: String,
    /// On what.
    pub target: String,
    /// Tokens added.
    pub tokens: u64,
    /// Micro-dollars added.
    pub micro_usd: u64,
    /// Why, in the human's words.
    pub reason: String,
    /// Why it was refused, if it was.
    pub refused: Option<String>,
}
