//! Budgets: a limit with a running total, and the status that follows from it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::BudgetId;
use crate::level::Level;
use crate::policy::{Limit, Policy};
use crate::ratio::Ratio;
use crate::time::Timestamp;

pub use crate::level::Counted;

/// The most tokens that one extension adds, unless the base limit is more (4.5).
pub const MAX_EXTENSION_TOKENS: u64 = 1_000_000;

/// The most micro-dollars that one extension adds, unless the base limit is more.
pub const MAX_EXTENSION_MICRO_USD: u64 = 100_000_000;

/// How many grants a budget remembers; a retry of an older one is not known any more.
pub const MAX_GRANTS: usize = 256;

/// Where a budget stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Below the alert threshold.
    Active,
    /// At the alert threshold.
    Warning,
    /// At the pause threshold: shut until an operator acts.
    Paused,
    /// At the hard threshold, declined, or a hold ran out: shut for good until an operator acts.
    Exhausted,
}

impl Status {
    /// Paused or exhausted.
    pub fn is_shut(self) -> bool {
        matches!(self, Self::Paused | Self::Exhausted)
    }

    /// The word that people read.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Warning => "warning",
            Self::Paused => "paused",
            Self::Exhausted => "exhausted",
        }
    }
}

/// Why a budget stays shut whatever its utilization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seal {
    /// An operator said no.
    Declined,
    /// A hold ran out.
    RanOut,
    /// An operator shut it (`budget set --shut`).
    Shut,
}

/// The window of time that a total belongs to (4.8). Only `None` is made so far.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// From the start, without end.
    None,
    /// A calendar day, by its first instant.
    Day(Timestamp),
    /// A calendar week, by its first instant.
    Week(Timestamp),
    /// A calendar month, by its first instant.
    Month(Timestamp),
}

/// What a total and its grants belong to: a reset begins a new generation, a window's end a new window.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Epoch {
    /// Counts resets.
    pub generation: u32,
    /// The window.
    pub window: Window,
}

/// What an operator gave once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Whole tokens.
    pub tokens: u64,
    /// Micro-dollars.
    pub micro_usd: u64,
    /// Given to finish up.
    pub finish_up: bool,
    /// When.
    pub at: Timestamp,
}

/// A budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Its id.
    pub id: BudgetId,
    /// Reset generation and window.
    pub epoch: Epoch,
    /// The limit before grants.
    pub base: Limit,
    /// Grants by request id.
    pub grants: BTreeMap<String, Grant>,
    /// The limit with grants; 0 means none.
    pub max: Limit,
    /// What was used.
    pub used: Counted,
    /// The share at which it warns.
    pub alert_threshold: Ratio,
    /// What was used at the last extension: it warns at a share of what was left then.
    pub alert_base: Counted,
    /// Where it stands.
    pub status: Status,
    /// Why it stays shut whatever its utilization.
    pub seal: Option<Seal>,
    /// It was granted what it takes to finish, and warns accordingly.
    pub finishing: bool,
    /// Counts crossings of the alert threshold: each agent hears of each once.
    pub crossings: u32,
    /// Counts pauses.
    pub pauses: u32,
    /// Rows dated before this do not count in it (3.2).
    pub started_at: Timestamp,
    /// When it changed last.
    pub last_updated: Timestamp,
    /// Who spends, as people see it.
    pub agent: String,
    /// A task's description or type.
    pub task_description: Option<String>,
    /// A task that somebody began who may only tighten: anybody may end it.
    #[serde(default)]
    pub anybody_ends: bool,
}

/// What a change of a budget's total did to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crossing {
    /// Nothing that anybody hears of.
    None,
    /// Into warning.
    Warning,
    /// Into paused.
    Paused,
}

impl Budget {
    /// A new budget at zero.
    pub fn new(id: BudgetId, base: Limit, policy: &Policy, agent: String, now: Timestamp) -> Self {
        Self {
            id,
            epoch: Epoch { generation: 0, window: Window::None },
            base,
            grants: BTreeMap::new(),
            max: base,
            used: Counted::default(),
            alert_threshold: policy.alert,
            alert_base: Counted::default(),
            status: Status::Active,
            seal: None,
            finishing: false,
            crossings: 0,
            pauses: 0,
            started_at: now,
            last_updated: now,
            agent,
            task_description: None,
            anybody_ends: false,
        }
    }

    /// Adds and takes away what a row counted, and moves the status (DESIGN 4's table).
    pub fn recount(&mut self, minus: Counted, plus: Counted, policy: &Policy, now: Timestamp) -> Crossing {
        let before = self.level(policy);
        // What is taken away may have been added by this very change: one reading has all lines of a message.
        let adjust = |used: u64, minus: u64, plus: u64| used.saturating_add(plus).saturating_sub(minus);
        self.used.micro_tokens = adjust(self.used.micro_tokens, minus.micro_tokens, plus.micro_tokens);
        self.used.micro_usd = adjust(self.used.micro_usd, minus.micro_usd, plus.micro_usd);
        self.used.estimated = adjust(self.used.estimated, minus.estimated, plus.estimated);
        self.last_updated = now;
        self.move_to(before, policy)
    }

    fn move_to(&mut self, before: Level, policy: &Policy) -> Crossing {
        if self.seal.is_some() {
            return Crossing::None;
        }
        let after = self.level(policy);
        let was = self.status;
        self.status = match (was, after) {
            (_, Level::Below) => Status::Active,
            (_, Level::Alert) => Status::Warning,
            (Status::Exhausted, Level::Hard) => Status::Exhausted,
            // Gradually past the hard threshold: the pause was there to be answered.
            (Status::Paused, Level::Hard) if before == Level::Pause => Status::Exhausted,
            // A corrected row may take it back below the hard threshold; a jump straight past that is held once, as
            // paused.
            (_, Level::Pause) | (Status::Active | Status::Warning | Status::Paused, Level::Hard) => {
                Status::Paused
            }
        };
        self.note_crossing(was)
    }

    fn note_crossing(&mut self, was: Status) -> Crossing {
        if self.status.is_shut() && !was.is_shut() {
            self.pauses = self.pauses.saturating_add(1);
            Crossing::Paused
        } else if self.status == Status::Warning && was == Status::Active {
            self.crossings = self.crossings.saturating_add(1);
            Crossing::Warning
        } else {
            Crossing::None
        }
    }

    /// Sets the status anew by the utilization alone, as an operator's act does (4.5).
    fn reassess(&mut self, policy: &Policy) {
        self.seal = None;
        self.status = match self.level(policy) {
            Level::Below => Status::Active,
            Level::Alert => Status::Warning,
            Level::Pause => Status::Paused,
            Level::Hard => Status::Exhausted,
        };
        if self.status == Status::Warning {
            self.crossings = self.crossings.saturating_add(1);
        }
    }

    /// Adds a grant; the caller has checked it. A known request id changes nothing.
    pub fn grant(&mut self, request_id: &str, grant: Grant, policy: &Policy) {
        if self.grants.contains_key(request_id) {
            return;
        }
        if self.max.tokens > 0 {
            self.max.tokens = self.max.tokens.saturating_add(grant.tokens);
        }
        if self.max.micro_usd > 0 {
            self.max.micro_usd = self.max.micro_usd.saturating_add(grant.micro_usd);
        }
        self.last_updated = grant.at;
        self.finishing = grant.finish_up;
        self.warn_from_here();
        if self.grants.len() >= MAX_GRANTS {
            let oldest = self.grants.iter().min_by_key(|(_, g)| g.at).map(|(id, _)| id.clone());
            oldest.map(|id| self.grants.remove(&id));
        }
        self.grants.insert(request_id.to_owned(), grant);
        self.reassess(policy);
    }

    fn warn_from_here(&mut self) {
        self.alert_base = self.used;
    }

    /// Begins a new generation at zero, with the base limit.
    pub fn reset(&mut self, now: Timestamp) {
        self.epoch.generation = self.epoch.generation.saturating_add(1);
        self.grants.clear();
        self.max = self.base;
        self.used = Counted::default();
        self.alert_base = Counted::default();
        self.status = Status::Active;
        self.seal = None;
        self.finishing = false;
        self.started_at = now;
        self.last_updated = now;
    }

    /// Shuts it for good, or at once, until an operator acts.
    pub fn seal(&mut self, seal: Seal, now: Timestamp) {
        let was = self.status;
        self.seal = Some(seal);
        self.status = if seal == Seal::Shut { Status::Paused } else { Status::Exhausted };
        self.last_updated = now;
        self.note_crossing(was);
    }

    /// Sets a new share at which it warns. That opens nothing and shuts nothing.
    pub fn set_alert_threshold(&mut self, share: Ratio, policy: &Policy, now: Timestamp) {
        self.alert_threshold = share;
        self.last_updated = now;
        if !self.status.is_shut() {
            self.reassess(policy);
        }
    }

    /// Whether setting this tightens, as anybody may: a lower limit or threshold, and nothing on a budget that is shut,
    /// since a limit set anew lifts a seal.
    pub fn only_tightens(&self, tokens: Option<u64>, micro_usd: Option<u64>, alert: Option<Ratio>) -> bool {
        let tightens = |new: Option<u64>, old: u64| new.is_none_or(|n| n > 0 && (old == 0 || n <= old));
        !self.status.is_shut()
            && tightens(tokens, self.base.tokens)
            && tightens(micro_usd, self.base.micro_usd)
            && alert.is_none_or(|a| a <= self.alert_threshold)
    }

    /// Sets new base limits; grants stand. `None` leaves a limit as it is.
    pub fn set_limits(
        &mut self,
        tokens: Option<u64>,
        micro_usd: Option<u64>,
        policy: &Policy,
        now: Timestamp,
    ) {
        let given: (u64, u64) = self
            .grants
            .values()
            .fold((0, 0), |(t, u), g| (t.saturating_add(g.tokens), u.saturating_add(g.micro_usd)));
        let with = |base: u64, given: u64| if base == 0 { 0 } else { base.saturating_add(given) };
        self.base.tokens = tokens.unwrap_or(self.base.tokens);
        self.base.micro_usd = micro_usd.unwrap_or(self.base.micro_usd);
        self.max =
            Limit { tokens: with(self.base.tokens, given.0), micro_usd: with(self.base.micro_usd, given.1) };
        self.last_updated = now;
        self.reassess(policy);
    }
}
