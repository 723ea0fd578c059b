//! What a hook is told, and why.

use serde::{Deserialize, Serialize};

use crate::circuit::{CircuitId, Trip};
use crate::detect::Heard;
use crate::hold::HoldEnd;
use crate::ids::{BudgetId, HoldId};
use crate::records::BreakerState;
use crate::table::Cell;

/// The answer to a hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// What is done.
    pub cell: Cell,
    /// What would have been done, where only observing.
    pub would: Option<Cell>,
    /// What decides, and its figures.
    pub because: Option<Because>,
    /// The hold, where `cell` is hold.
    pub hold: Option<HoldId>,
    /// Texts for the model, in their order.
    pub texts: Vec<ModelText>,
}

/// What decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Because {
    /// A budget.
    Budget(BudgetFigures),
    /// A circuit.
    Circuit(CircuitFigures),
}

impl Because {
    /// Why it is shut, or that it warns.
    pub fn why(&self) -> Why {
        match self {
            Self::Budget(figures) => figures.why,
            Self::Circuit(figures) => figures.why,
        }
    }

    /// The budget's figures, if it is one.
    pub fn budget(&self) -> Option<&BudgetFigures> {
        match self {
            Self::Budget(figures) => Some(figures),
            Self::Circuit(_) => None,
        }
    }

    /// The circuit's figures, if it is one.
    pub fn circuit(&self) -> Option<&CircuitFigures> {
        match self {
            Self::Circuit(figures) => Some(figures),
            Self::Budget(_) => None,
        }
    }
}

/// A circuit, and why it is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CircuitFigures {
    /// Its id.
    pub circuit: CircuitId,
    /// Why it opened.
    pub trip: Option<Trip>,
    /// Why it is shut.
    pub why: Why,
}

/// A budget, and how far it is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetFigures {
    /// Its id.
    pub budget: BudgetId,
    /// Whole tokens used, rounded up.
    pub tokens_used: u64,
    /// The token limit; 0 means none.
    pub max_tokens: u64,
    /// Micro-dollars used.
    pub micro_usd_used: u64,
    /// The limit in micro-dollars; 0 means none.
    pub max_micro_usd: u64,
    /// Whether dollars are nearer their limit than tokens.
    pub by_cost: bool,
    /// Why it is shut.
    pub why: Why,
    /// Some of the cost is an estimate.
    #[serde(default)]
    pub estimated: bool,
}

/// Why something is shut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The limit is reached, or the circuit is open.
    Paused,
    /// The hard threshold is passed.
    Exhausted,
    /// An operator declined.
    Declined,
    /// Nobody answered in time.
    RanOut,
    /// As many unattended sessions are held as may be.
    TooManyUnattended,
    /// It is not shut: it warns.
    Warning,
}

/// Text for the model: which sentence, with which figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModelText {
    /// The alert threshold was reached.
    Warning {
        /// The budget.
        about: BudgetFigures,
        /// The limit ends the work rather than holding it.
        ends: bool,
    },
    /// An operator gave what it takes to finish.
    FinishUp {
        /// The budget.
        about: BudgetFigures,
    },
    /// How budget and circuit stand, with a prompt.
    Status {
        /// The session's budget; none where budgets are disabled.
        budget: Option<BudgetFigures>,
        /// The agent's circuit; none where circuits are disabled.
        circuit: Option<CircuitStands>,
    },
    /// The words of the operator who let the agent go on.
    Said(String),
    /// What is anomalous about its calls.
    Loop(Heard),
}

/// How a circuit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CircuitStands {
    /// Closed, open or half-open.
    pub state: BreakerState,
    /// Calls counted.
    pub iterations: u64,
    /// The limit that trips; 0 means none.
    pub limit: u64,
}

impl Verdict {
    /// Go on.
    pub const ALLOW: Self =
        Self { cell: Cell::Allow, would: None, because: None, hold: None, texts: Vec::new() };
}

/// How a held hook is answered in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release {
    /// Which hold.
    pub hold: HoldId,
    /// How it ended.
    pub end: HoldEnd,
}
