//! What a hook is told, and why.

use serde::{Deserialize, Serialize};

use crate::hold::HoldEnd;
use crate::ids::{BudgetId, HoldId};
use crate::table::Cell;

/// The answer to a hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// What is done.
    pub cell: Cell,
    /// What would have been done, where only observing.
    pub would: Option<Cell>,
    /// The budget that decides, and its figures.
    pub because: Option<Because>,
    /// The hold, where `cell` is hold.
    pub hold: Option<HoldId>,
    /// Text for the model.
    pub text: Option<ModelText>,
}

/// The budget that decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Because {
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
}

/// Why something is shut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The limit is reached.
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

/// Text for the model: which sentence, with which budget's figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModelText {
    /// The alert threshold was reached.
    Warning {
        /// The budget.
        about: Because,
        /// The limit ends the work rather than holding it.
        ends: bool,
    },
    /// An operator gave what it takes to finish.
    FinishUp {
        /// The budget.
        about: Because,
    },
}

impl Verdict {
    /// Go on.
    pub const ALLOW: Self = Self { cell: Cell::Allow, would: None, because: None, hold: None, text: None };
}

/// How a held hook is answered in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release {
    /// Which hold.
    pub hold: HoldId,
    /// How it ended.
    pub end: HoldEnd,
}
