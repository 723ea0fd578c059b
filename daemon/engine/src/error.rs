//! Refusals, with what a caller needs to go on. They serialise to `{error, message, details}`.

use serde::Serialize;
use serde_json::{Value, json};

use crate::budget::Status;
use crate::circuit::CircuitId;
use crate::hold::Blocker;
use crate::ids::BudgetId;

/// A request that a shut budget refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{budget_id} has used {tokens_used} of {max_tokens} tokens and is {}", status.name())]
pub struct BudgetExceededError {
    /// The budget.
    pub budget_id: BudgetId,
    /// Whole tokens used, rounded up.
    pub tokens_used: u64,
    /// The token limit; 0 means none.
    pub max_tokens: u64,
    /// Micro-dollars used.
    pub micro_usd_used: u64,
    /// The limit in micro-dollars; 0 means none.
    pub max_micro_usd: u64,
    /// Where it stands.
    pub status: Status,
}

/// A call that an open circuit refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("circuit {circuit_id} is open: {trip_reason}")]
pub struct CircuitOpenError {
    /// The circuit.
    pub circuit_id: String,
    /// Why it opened, in a sentence.
    pub trip_reason: String,
    /// Calls counted.
    pub iteration_count: u64,
    /// The limit that trips; 0 means none.
    pub max_iterations: u64,
}

/// An act that cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperatorError {
    /// No such budget, or alert.
    #[error("there is no {0}")]
    NotFound(String),
    /// Nobody is held, so an act without a budget has no object.
    #[error("nobody waits")]
    NobodyWaits,
    /// Several budgets or circuits hold somebody.
    #[error("several hold somebody: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Several(Vec<Blocker>),
    /// What holds somebody is not what the act is for.
    #[error("{0} holds, and more tokens do not open it; `bursar circuit acknowledge` lets it try again")]
    HeldByCircuit(CircuitId),
    /// The same id was used for the same act on something else.
    #[error("this request id was used for {0} before; choose another")]
    OtherTarget(String),
    /// A circuit that is not open.
    #[error("circuit {0} is not open")]
    NotOpen(CircuitId),
    /// An amount of nothing.
    #[error("give tokens or dollars, more than 0")]
    NothingGiven,
    /// A limit that does not exist cannot be extended.
    #[error("{budget} has no limit in {unit}; set one with `bursar budget set`")]
    NoLimit {
        /// The budget.
        budget: BudgetId,
        /// `tokens` or `dollars`.
        unit: &'static str,
    },
    /// More than one extension may add.
    #[error("one extension adds at most {} to {budget}", amount(*max, unit))]
    TooMuch {
        /// The budget.
        budget: BudgetId,
        /// The most that is allowed.
        max: u64,
        /// `tokens` or `micro-dollars`.
        unit: &'static str,
    },
    /// It was granted what it takes to finish before.
    #[error("{0} was already granted what it takes to finish; extend it instead")]
    AlreadyFinishing(BudgetId),
    /// The gate refused it.
    #[error("{0}")]
    Refused(String),
}

fn amount(n: u64, unit: &str) -> String {
    match unit {
        "micro-dollars" => format!("${}.{:02}", n / 1_000_000, n / 10_000 % 100),
        unit => format!("{n} {unit}"),
    }
}

impl OperatorError {
    /// The word of the `error` field.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "not_found",
            Self::NobodyWaits => "nobody_waits",
            Self::Several(_) => "ambiguous",
            Self::NothingGiven | Self::NoLimit { .. } | Self::TooMuch { .. } => "invalid",
            Self::AlreadyFinishing(_) | Self::NotOpen(_) | Self::OtherTarget(_) => "conflict",
            Self::HeldByCircuit(_) => "circuit_open",
            Self::Refused(_) => "forbidden",
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::NotFound(_) => 404,
            Self::NobodyWaits
            | Self::Several(_)
            | Self::AlreadyFinishing(_)
            | Self::NotOpen(_)
            | Self::OtherTarget(_)
            | Self::HeldByCircuit(_) => 409,
            Self::NothingGiven | Self::NoLimit { .. } | Self::TooMuch { .. } => 400,
            Self::Refused(_) => 403,
        }
    }
}

/// `{error, message, details}`: the one shape of every error that leaves.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ErrorBody {
    /// A word that programs can match.
    pub error: &'static str,
    /// A sentence for people.
    pub message: String,
    /// The context.
    pub details: Value,
}

impl From<&BudgetExceededError> for ErrorBody {
    fn from(e: &BudgetExceededError) -> Self {
        let details = json!({
            "budget_id": e.budget_id, "tokens_used": e.tokens_used, "max_tokens": e.max_tokens,
            "micro_usd_used": e.micro_usd_used, "max_micro_usd": e.max_micro_usd, "status": e.status,
        });
        Self { error: "budget_exceeded", message: e.to_string(), details }
    }
}

impl From<&CircuitOpenError> for ErrorBody {
    fn from(e: &CircuitOpenError) -> Self {
        let details = json!({
            "circuit_id": e.circuit_id, "trip_reason": e.trip_reason,
            "iteration_count": e.iteration_count, "max_iterations": e.max_iterations,
        });
        Self { error: "circuit_open", message: e.to_string(), details }
    }
}

impl From<&OperatorError> for ErrorBody {
    fn from(e: &OperatorError) -> Self {
        let details = match e {
            OperatorError::Several(ids) => {
                let of =
                    |kind: fn(&Blocker) -> Option<String>| ids.iter().filter_map(kind).collect::<Vec<_>>();
                json!({
                    "budgets": of(|b| b.budget().map(ToString::to_string)),
                    "circuits": of(|b| b.circuit().map(ToString::to_string)),
                })
            }
            OperatorError::HeldByCircuit(circuit) | OperatorError::NotOpen(circuit) => {
                json!({ "circuit_id": circuit })
            }
            OperatorError::NoLimit { budget, .. }
            | OperatorError::TooMuch { budget, .. }
            | OperatorError::AlreadyFinishing(budget) => json!({ "budget_id": budget }),
            OperatorError::NotFound(_)
            | OperatorError::OtherTarget(_)
            | OperatorError::NobodyWaits
            | OperatorError::NothingGiven
            | OperatorError::Refused(_) => json!({}),
        };
        Self { error: e.code(), message: e.to_string(), details }
    }
}
