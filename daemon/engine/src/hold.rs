//! Holds: hooks that are kept waiting while a person decides.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::circuit::CircuitId;
use crate::ids::{AgentKey, BudgetId, HoldId, SessionId};
use crate::table::HookEvent;
use crate::time::Timestamp;

/// What holds somebody.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blocker {
    /// A budget that is shut.
    Budget(BudgetId),
    /// A circuit that is open.
    Circuit(CircuitId),
}

impl Blocker {
    /// The budget, if it is one.
    pub fn budget(&self) -> Option<&BudgetId> {
        match self {
            Self::Budget(id) => Some(id),
            Self::Circuit(_) => None,
        }
    }

    /// The circuit, if it is one.
    pub fn circuit(&self) -> Option<&CircuitId> {
        match self {
            Self::Circuit(id) => Some(id),
            Self::Budget(_) => None,
        }
    }
}

/// As commands take it: circuits are named as such, since budgets have the same ids.
impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Budget(id) => write!(f, "{id}"),
            Self::Circuit(id) => write!(f, "circuit {id}"),
        }
    }
}

/// A held hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Its id.
    pub id: HoldId,
    /// The session that stands still.
    pub session: SessionId,
    /// The agent that stands still.
    pub agent: AgentKey,
    /// What holds it: the tightest of all that is shut above it.
    pub blocker: Blocker,
    /// The event whose hook waits.
    pub event: HookEvent,
    /// The tool it was about to call, or had called, as a name of at most 64 characters.
    pub tool: Option<String>,
    /// When it began; kept over a restart of the daemon.
    pub started: Timestamp,
    /// When it is answered with a stop if nobody decides.
    pub deadline: Timestamp,
    /// Whether a person is at the client.
    pub attended: bool,
    /// The context that going on sends again, in tokens.
    pub context_tokens: u64,
    /// Its caller named no event, and is answered in the seed's shape.
    pub seed_shape: bool,
    /// What the operator who ended it says to the model.
    pub said: Option<String>,
    /// How it ended.
    pub end: Option<HoldEnd>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// How a hold ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldEnd {
    /// An operator gave more.
    Extended,
    /// An operator gave what it takes to finish.
    FinishUp,
    /// An operator acknowledged the circuit.
    Acknowledged,
    /// An operator began the budget or circuit anew, lifted its limit or let everything go; or a corrected row took it
    /// back below its limit.
    Released,
    /// An operator said no.
    Declined,
    /// Nobody answered in time.
    RanOut,
    /// The client interrupted it or went away.
    ClientGone,
}

impl HoldEnd {
    /// The word that people and programs read.
    pub fn name(self) -> &'static str {
        match self {
            Self::Extended => "extended",
            Self::FinishUp => "finish_up",
            Self::Acknowledged => "acknowledged",
            Self::Released => "released",
            Self::Declined => "declined",
            Self::RanOut => "ran_out",
            Self::ClientGone => "client_gone",
        }
    }

    /// Whether the agent goes on.
    pub fn goes_on(self) -> bool {
        matches!(self, Self::Extended | Self::FinishUp | Self::Acknowledged | Self::Released)
    }
}

/// The hook's time limit, less a margin: 15 s before it, or half of it below 30 s (HOOK 4). In milliseconds.
pub fn answer_before_ms(timeout_s: u32) -> u64 {
    let timeout_ms = u64::from(timeout_s) * 1_000;
    if timeout_s < 30 { timeout_ms / 2 } else { timeout_ms - 15_000 }
}
