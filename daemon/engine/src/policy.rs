//! What was configured, validated; the engine believes it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ratio::Ratio;
use crate::usage::Weights;

/// Whether anything is blocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Verdicts are given.
    Enforce,
    /// Verdicts are decided and recorded, and everything is allowed.
    Observe,
}

/// What happens at the limit (`TOKEN_BUDGET_ON_PAUSE`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnPause {
    /// The agent stands still until a person decides.
    Hold,
    /// The turn ends.
    Stop,
    /// Calls are refused; the model goes on and spends.
    Deny,
    /// The person is asked about each call.
    Ask,
}

/// Limits of a kind of budget. 0 means none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// Whole tokens.
    pub tokens: u64,
    /// Micro-dollars.
    pub micro_usd: u64,
}

/// Which detectors a circuit has (`CIRCUIT_BREAKER_PROFILE`, DETECTION).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Judged by calls and their outcomes.
    Evidence,
    /// Literal limits: identical calls in a row, calls in all, calls in a short time.
    Strict,
    /// Records, never trips.
    Off,
}

impl Profile {
    /// The word that settings say.
    pub fn name(self) -> &'static str {
        match self {
            Self::Evidence => "evidence",
            Self::Strict => "strict",
            Self::Off => "off",
        }
    }
}

/// The breaker's settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CircuitPolicy {
    /// `CIRCUIT_BREAKER_ENABLED`.
    pub enabled: bool,
    /// `CIRCUIT_BREAKER_PROFILE`.
    pub profile: Profile,
    /// `CIRCUIT_BREAKER_MAX_ITERATIONS`; none: by profile; 0: no limit.
    pub max_iterations: Option<u64>,
    /// `CIRCUIT_BREAKER_DUPLICATE_THRESHOLD`; 0: no limit.
    pub duplicate_threshold: u64,
    /// `CIRCUIT_BREAKER_RAPID_FIRE_WINDOW`, in seconds.
    pub rapid_fire_window_s: u64,
    /// `CIRCUIT_BREAKER_RAPID_FIRE_THRESHOLD`; none: by profile; 0: no limit.
    pub rapid_fire_threshold: Option<u64>,
    /// `CIRCUIT_BREAKER_COOLDOWN`, in seconds.
    pub cooldown_s: u64,
}

impl Default for CircuitPolicy {
    fn default() -> Self {
        Self {
            enabled: true,
            profile: Profile::Evidence,
            max_iterations: None,
            duplicate_threshold: 5,
            rapid_fire_window_s: 10,
            rapid_fire_threshold: None,
            cooldown_s: 60,
        }
    }
}

impl CircuitPolicy {
    /// Whether circuits can stop anybody.
    pub fn trips(&self) -> bool {
        self.enabled && self.profile != Profile::Off
    }

    /// The limit on calls; 0 means none. By profile 50, under evidence 1,000 (DETECTION, Profiles).
    pub fn max_iterations(&self) -> u64 {
        self.max_iterations.unwrap_or(match self.profile {
            Profile::Strict => 50,
            Profile::Evidence => 1_000,
            Profile::Off => 0,
        })
    }

    /// The limit on calls that trips, whatever is counted; 0 means none. What an operator sets explicitly is meant under
    /// every profile that trips (DETECTION, Profiles).
    pub fn literal_iterations(&self) -> u64 {
        match (self.profile, self.max_iterations) {
            (Profile::Off, _) | (Profile::Evidence, None) => 0,
            (Profile::Strict, _) | (Profile::Evidence, Some(_)) => self.max_iterations(),
        }
    }

    /// How many calls in the window trip; 0 means none. Set explicitly it is meant under evidence too.
    pub fn literal_rapid_fire(&self) -> u64 {
        match (self.profile, self.rapid_fire_threshold) {
            (Profile::Off, _) | (Profile::Evidence, None) => 0,
            (Profile::Strict, _) | (Profile::Evidence, Some(_)) => self.rapid_fire(),
        }
    }

    /// How many identical calls in a row trip; 0 means no limit. One call is never a repetition: 1 counts as 2.
    pub fn duplicates(&self) -> u64 {
        if self.duplicate_threshold == 1 { 2 } else { self.duplicate_threshold }
    }

    /// A limit of the evidence detectors that repeats of one call reach too: never below the limit on identical calls
    /// that an operator raised.
    pub(crate) fn at_least(&self, limit: u64) -> u64 {
        limit.max(self.duplicates())
    }

    /// How many calls in the window are too many; 0 means no limit.
    pub fn rapid_fire(&self) -> u64 {
        self.rapid_fire_threshold.unwrap_or(20)
    }
}

/// When a prompt carries the status of its budget and circuit (`TOKEN_BUDGET_STATUS_IN_PROMPT`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StatusInPrompt {
    /// With each prompt.
    Always,
    /// From the alert threshold on, or while the circuit is not closed.
    Warning,
    /// Never.
    Never,
}

/// The settings of DESIGN section 4 that the rules need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// `TOKEN_BUDGET_ENABLED`.
    pub enabled: bool,
    /// `BURSAR_MODE`.
    pub mode: Mode,
    /// `TOKEN_BUDGET_ON_PAUSE`.
    pub on_pause: OnPause,
    /// `TOKEN_BUDGET_WEIGHTS`.
    pub weights: Weights,
    /// `TOKEN_BUDGET_SESSION_DEFAULT`, `…_USD`.
    pub session: Limit,
    /// `TOKEN_BUDGET_TASK_DEFAULT`, `…_USD`.
    pub task: Limit,
    /// `TOKEN_BUDGET_BY_TASK_TYPE`, in tokens.
    pub by_task_type: BTreeMap<String, u64>,
    /// `TOKEN_BUDGET_SUBAGENT_DEFAULT`, in tokens.
    pub subagent_tokens: u64,
    /// `TOKEN_BUDGET_ALERT_THRESHOLD`.
    pub alert: Ratio,
    /// `TOKEN_BUDGET_PAUSE_THRESHOLD`.
    pub pause: Ratio,
    /// `TOKEN_BUDGET_HARD_THRESHOLD`.
    pub hard: Ratio,
    /// `TOKEN_BUDGET_HOLD_SECONDS`.
    pub hold_s: u64,
    /// How long an unattended session is held, in seconds (`TOKEN_BUDGET_HOLD_SECONDS_UNATTENDED`).
    pub hold_unattended_s: u64,
    /// How many unattended sessions are held at once (4.2: a held client is 123 MB).
    pub max_unattended_holds: usize,
    /// `CIRCUIT_BREAKER_…`.
    pub circuits: CircuitPolicy,
    /// `TOKEN_BUDGET_STATUS_IN_PROMPT`.
    pub status_in_prompt: StatusInPrompt,
}

impl Default for Policy {
    fn default() -> Self {
        let by_task_type = [
            ("planning", 50_000),
            ("implement", 100_000),
            ("review", 30_000),
            ("test", 50_000),
            ("deploy", 20_000),
            ("design", 50_000),
        ];
        Self {
            enabled: true,
            mode: Mode::Enforce,
            on_pause: OnPause::Hold,
            weights: Weights::default(),
            session: Limit { tokens: 500_000, micro_usd: 0 },
            task: Limit { tokens: 100_000, micro_usd: 0 },
            by_task_type: by_task_type.into_iter().map(|(k, v)| (k.to_owned(), v)).collect(),
            subagent_tokens: 250_000,
            alert: Ratio(800_000),
            pause: Ratio::ONE,
            hard: Ratio(1_200_000),
            hold_s: 86_400,
            hold_unattended_s: 900,
            max_unattended_holds: 8,
            circuits: CircuitPolicy::default(),
            status_in_prompt: StatusInPrompt::Always,
        }
    }
}

/// A policy that contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The thresholds are not in order.
    #[error(
        "{key}: thresholds must be 0 < alert ≤ pause ≤ 1.0 ≤ hard ≤ 10 (alert {}, pause {}, hard {})", .alert.as_f64(), .pause.as_f64(), .hard.as_f64()
    )]
    Thresholds {
        /// The variable that breaks the order.
        key: &'static str,
        /// The alert threshold.
        alert: Ratio,
        /// The pause threshold.
        pause: Ratio,
        /// The hard threshold.
        hard: Ratio,
    },
}

impl Policy {
    /// Checks the order 0 < alert ≤ pause ≤ 1.0 ≤ hard ≤ 10.
    ///
    /// # Errors
    /// [`PolicyError`], naming the variable.
    pub fn check(&self) -> Result<(), PolicyError> {
        let key = if self.alert.0 == 0 || self.alert > self.pause {
            "TOKEN_BUDGET_ALERT_THRESHOLD"
        } else if self.pause > Ratio::ONE {
            "TOKEN_BUDGET_PAUSE_THRESHOLD"
        } else if self.hard < Ratio::ONE || self.hard.0 > 10_000_000 {
            "TOKEN_BUDGET_HARD_THRESHOLD"
        } else {
            return Ok(());
        };
        Err(PolicyError::Thresholds { key, alert: self.alert, pause: self.pause, hard: self.hard })
    }

    /// Whether a verdict blocks anything.
    pub fn enforces(&self) -> bool {
        (self.enabled || self.circuits.trips()) && self.mode == Mode::Enforce
    }

    /// The token limit of a task of that type.
    pub fn task_limit(&self, task_type: Option<&str>) -> Limit {
        let tokens = task_type.and_then(|t| self.by_task_type.get(t)).copied();
        Limit { tokens: tokens.unwrap_or(self.task.tokens), micro_usd: self.task.micro_usd }
    }
}
