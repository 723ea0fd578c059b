//! The records that people and programs read: `BudgetState`, `CircuitState`, `BudgetAlert`. JSON round-trips exactly.

use serde::{Deserialize, Serialize};

use crate::alert::AlertType;
use crate::budget::{Budget, Status};
use crate::circuit::Circuit;
use crate::ids::BudgetId;
use crate::policy::CircuitPolicy;
use crate::ratio::Ratio;

/// A budget as it stands. Immutable: a new one is made for each answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BudgetState {
    /// `session:<id>` and so on.
    pub budget_id: BudgetId,
    /// `session`, `task`, `project`, `host` or `fleet`.
    pub budget_type: String,
    /// The limit with grants, in whole tokens; 0 means none.
    pub max_tokens: u64,
    /// Whole tokens used, rounded up.
    pub tokens_used: u64,
    /// The limit with grants, in micro-dollars; 0 means none.
    pub max_micro_usd: u64,
    /// Micro-dollars used.
    pub micro_usd_used: u64,
    /// The share of the limit at which it warns.
    pub alert_threshold: Ratio,
    /// Where it stands.
    pub status: Status,
    /// When its count began, RFC 3339 in UTC.
    pub started_at: String,
    /// When it changed last, RFC 3339 in UTC.
    pub last_updated: String,
    /// Who spends, as people see it.
    pub agent: String,
    /// A task's description.
    pub task_description: Option<String>,
    /// The greater of the shares used of tokens and dollars; 0 when there is no limit.
    pub utilization: Ratio,
    /// Whole tokens left, never negative; 0 when there is no limit.
    pub remaining: u64,
    /// What one token is here.
    pub unit: String,
    /// Some of the cost is an estimate.
    #[serde(default)]
    pub cost_estimated: bool,
    /// It is known that more was used: what is missing stands with the sessions that draw on it. Left false by [`Self::of`].
    #[serde(default)]
    pub lower_bound: bool,
}

impl BudgetState {
    /// The record of a budget; `unit` says what a token is.
    pub fn of(budget: &Budget, unit: &str) -> Self {
        Self {
            budget_id: budget.id.clone(),
            budget_type: budget.id.budget_type().to_owned(),
            max_tokens: budget.max.tokens,
            tokens_used: budget.tokens_used(),
            max_micro_usd: budget.max.micro_usd,
            micro_usd_used: budget.used.micro_usd,
            alert_threshold: budget.alert_threshold,
            status: budget.status,
            started_at: budget.started_at.to_string(),
            last_updated: budget.last_updated.to_string(),
            agent: budget.agent.clone(),
            task_description: budget.task_description.clone(),
            utilization: budget.utilization(),
            remaining: budget.tokens_left().unwrap_or(0),
            unit: unit.to_owned(),
            cost_estimated: budget.used.estimated > 0,
            lower_bound: false,
        }
    }
}

/// The state of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Calls pass.
    Closed,
    /// Calls are held.
    Open,
    /// The next calls decide.
    HalfOpen,
}

impl BreakerState {
    /// The word that people read.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// A circuit as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CircuitState {
    /// `session:<id>` for the main agent, `agent:<agent_id>` for a subagent.
    pub circuit_id: String,
    /// Closed, open or half-open.
    pub state: BreakerState,
    /// Calls counted.
    pub iteration_count: u64,
    /// The limit that really trips; 0 means none.
    pub max_iterations: u64,
    /// Identical calls in a row.
    pub duplicate_call_count: u64,
    /// How many of them trip; 0 means no limit.
    pub duplicate_threshold: u64,
    /// The hash of the last call.
    pub last_tool_call: Option<String>,
    /// Why it opened, in a sentence.
    pub trip_reason: Option<String>,
    /// When it opened, RFC 3339 in UTC.
    pub tripped_at: Option<String>,
    /// When it changed last, RFC 3339 in UTC.
    pub last_updated: String,
    /// Who calls, as people see it.
    pub agent: String,
}

impl CircuitState {
    /// The record of a circuit under a policy.
    pub fn of(circuit: &Circuit, policy: &CircuitPolicy) -> Self {
        Self {
            circuit_id: circuit.id.to_string(),
            state: circuit.state,
            iteration_count: circuit.window.iterations,
            max_iterations: circuit.limit(policy),
            duplicate_call_count: circuit.window.run,
            duplicate_threshold: policy.duplicates(),
            last_tool_call: circuit.window.last.map(|p| p.to_string()),
            trip_reason: circuit.trip.as_ref().map(ToString::to_string),
            tripped_at: circuit.trip.as_ref().map(|t| t.at.to_string()),
            last_updated: circuit.last_updated.to_string(),
            agent: circuit.shown_as.clone(),
        }
    }
}

/// An alert as people read it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BudgetAlert {
    /// Its id.
    pub alert_id: String,
    /// The budget it is about.
    pub budget_id: BudgetId,
    /// What happened.
    pub alert_type: AlertType,
    /// The sentence.
    pub message: String,
    /// The budget's utilization then.
    pub utilization: Ratio,
    /// When, RFC 3339 in UTC.
    pub timestamp: String,
    /// Whether a person has seen it.
    pub acknowledged: bool,
    /// Who spent, as people see it.
    pub agent: String,
}
