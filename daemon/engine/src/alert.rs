//! Alerts: what a person should know once.

use serde::{Deserialize, Serialize};

use crate::circuit::Trip;
use crate::ids::{AlertId, BudgetId, SessionId};
use crate::ratio::Ratio;
use crate::time::Timestamp;
use crate::watch::Alarm;

/// What an alert is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertType {
    /// A budget crossed its alert threshold.
    WarningThreshold,
    /// A budget crossed into paused.
    BudgetExhausted,
    /// A circuit opened.
    CircuitTripped,
    /// No more unattended sessions are held on this host.
    TooManyUnattended,
    /// The operator's passphrase was said to be forgotten, and is reset soon.
    PassphraseReset,
    /// A model whose price is not known: what it costs is an estimate.
    UnknownModel,
    /// A session runs without hooks.
    UnhookedSession,
    /// A client of another version does not tell what this one was measured to tell.
    MeteringNotConfirmed,
    /// A session spends on with nobody looking.
    IdleBurn,
    /// A turn costs far more than the session's others.
    DearTurn,
    /// A session's model became a dearer one.
    DearerModel,
    /// More subagents started than were called for.
    MoreSubagents,
}

/// How many alerts the state keeps; older ones are in the store.
pub const MAX_ALERTS: usize = 1_000;

/// How many alerts about unknown models stand in the state at once: names come from files that agents write.
pub(crate) const MAX_UNKNOWN_MODEL_ALERTS: usize = 20;

/// How many alerts about clients' versions stand in the state at once: they stand in files that agents write.
pub(crate) const MAX_METERING_ALERTS: usize = 20;

/// How many alerts about sessions without hooks stand in the state at once: anything that writes transcripts makes some.
pub(crate) const MAX_UNHOOKED_ALERTS: usize = 20;

/// One alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Its id.
    pub alert_id: AlertId,
    /// The budget or circuit it is about.
    pub budget_id: BudgetId,
    /// What happened.
    pub alert_type: AlertType,
    /// The budget's utilization then.
    pub utilization: Ratio,
    /// Whole tokens used then, rounded up.
    pub tokens_used: u64,
    /// The token limit then; 0 means none.
    pub max_tokens: u64,
    /// Micro-dollars used then.
    pub micro_usd_used: u64,
    /// The limit in micro-dollars then; 0 means none.
    pub max_micro_usd: u64,
    /// When.
    pub timestamp: Timestamp,
    /// Whether a person has seen it.
    pub acknowledged: bool,
    /// Who spent, as people see it.
    pub agent: String,
    /// Why a circuit opened.
    #[serde(default)]
    pub trip: Option<Trip>,
    /// The model whose price is not known; the version of a client whose metering is not confirmed.
    #[serde(default)]
    pub model: Option<String>,
    /// Some of the cost was an estimate.
    #[serde(default)]
    pub estimated: bool,
    /// What an alarm is about.
    #[serde(default)]
    pub alarm: Option<Alarm>,
}

impl Alert {
    /// An alert that is not about how much was spent.
    pub(crate) fn without_figures(
        alert_id: AlertId,
        about: BudgetId,
        alert_type: AlertType,
        agent: String,
        now: Timestamp,
    ) -> Self {
        Self {
            alert_id,
            budget_id: about,
            alert_type,
            utilization: Ratio(0),
            tokens_used: 0,
            max_tokens: 0,
            micro_usd_used: 0,
            max_micro_usd: 0,
            timestamp: now,
            acknowledged: false,
            agent,
            trip: None,
            model: None,
            estimated: false,
            alarm: None,
        }
    }

    /// An alarm about a session.
    pub(crate) fn of_alarm(alert_id: AlertId, session: SessionId, alarm: Alarm, now: Timestamp) -> Self {
        let alert_type = match &alarm {
            Alarm::IdleBurn { .. } => AlertType::IdleBurn,
            Alarm::DearTurn { .. } => AlertType::DearTurn,
            Alarm::DearerModel { .. } => AlertType::DearerModel,
            Alarm::MoreSubagents { .. } => AlertType::MoreSubagents,
        };
        let about = BudgetId::Session(session);
        let alert = Self::without_figures(alert_id, about, alert_type, "main".to_owned(), now);
        Self { alarm: Some(alarm), ..alert }
    }
}
