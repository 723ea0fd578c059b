//! Facts, with absolute values. An event is what the store writes, what subscribers read, and all that changes the
//! state; applying one twice is applying it once.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alert::Alert;
use crate::budget::Budget;
use crate::circuit::Circuit;
use crate::hold::Hold;
use crate::ids::{AgentKey, AlertId, BudgetId, SessionId};
use crate::policy::Policy;
use crate::protection::Protection;
use crate::reported::Awaited;
use crate::row::{FileProgress, Row};
use crate::runs::Runs;
use crate::session::{Agent, Session};
use crate::time::Timestamp;
use crate::usage::Totals;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A session is now so.
    Session(Session),
    /// An agent is now so.
    Agent(Agent),
    /// A budget is now so.
    Budget(Budget),
    /// A request was counted, or corrected.
    Row(Row),
    /// What an agent has spent on a model in a session is now so.
    Totals {
        /// The session.
        session: SessionId,
        /// The agent.
        agent: AgentKey,
        /// The model.
        model: String,
        /// The sums.
        totals: Totals,
    },
    /// A transcript file has been read so far. In one commit with its rows.
    File(FileProgress),
    /// A hold began, or is now so.
    Hold(Hold),
    /// An alert was raised.
    Alert(Alert),
    /// Alerts were seen by a person.
    AlertAcknowledged {
        /// One alert; none: all up to now.
        alert: Option<AlertId>,
    },
    /// An operator acted, or was refused: the audit's record.
    Operator(OperatorRecord),
    /// A session's rows older than `before` are sums by the hour now, and their keys are gone.
    RolledUp {
        /// The session.
        session: SessionId,
        /// The horizon.
        before: Timestamp,
    },
    /// A session is forgotten, with its agents, budgets, totals and files.
    Forgotten(SessionId),
    /// A task's budget is forgotten, with its grants.
    TaskForgotten(BudgetId),
    /// Sums by the hour older than `before` are gone.
    HistoryEnded {
        /// The end of the retention.
        before: Timestamp,
    },
    /// A row that was kept under one key is kept under another: a line has come for what telemetry told of.
    Joined {
        /// The key.
        from: String,
        /// The message's id.
        to: String,
    },
    /// Telemetry told of a request whose line has not come.
    Awaited(Box<Awaited>),
    /// Its line has come, or it counts without one.
    NotAwaited {
        /// The request.
        request_id: String,
    },
    /// The runs of a session are now so.
    Runs(Box<Runs>),
    /// A circuit is now so.
    Circuit(Arc<Circuit>),
    /// The installation is now protected so.
    Protection(Protection),
    /// These settings are in force now.
    Configured {
        /// What the rules need of them.
        policy: Box<Policy>,
        /// All of them, by name, as they would be written.
        settings: BTreeMap<String, String>,
    },
}

/// The audit's record of one act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorRecord {
    /// The caller's id of the act.
    pub request_id: String,
    /// When.
    pub at: Timestamp,
    /// Who: user and process.
    pub who: String,
    /// Why, in the human's words.
    pub reason: String,
    /// What, in one word.
    pub act: String,
    /// On what.
    pub target: String,
    /// Tokens added, if any.
    pub tokens: u64,
    /// Micro-dollars added, if any.
    pub micro_usd: u64,
    /// Words for the model that goes on.
    #[serde(default)]
    pub said: Option<String>,
    /// Why it was refused, if it was.
    pub refused: Option<String>,
}

impl Event {
    /// Whether it must be on the disk before the answer that it belongs to leaves (7.1): a human's act, a pause.
    pub fn is_durable(&self) -> bool {
        match self {
            Self::Operator(_)
            | Self::Hold(_)
            | Self::AlertAcknowledged { .. }
            | Self::Protection(_)
            | Self::Configured { .. }
            | Self::Awaited(_) => true,
            Self::Alert(alert) => alert.alert_type != crate::alert::AlertType::WarningThreshold,
            Self::Budget(budget) => budget.status.is_shut(),
            Self::Circuit(circuit) => circuit.is_open(),
            Self::Session(_)
            | Self::Agent(_)
            | Self::Row(_)
            | Self::Joined { .. }
            | Self::NotAwaited { .. }
            | Self::Totals { .. }
            | Self::File(_)
            | Self::Runs(_)
            | Self::RolledUp { .. }
            | Self::Forgotten(_)
            | Self::TaskForgotten(_)
            | Self::HistoryEnded { .. } => false,
        }
    }
}
