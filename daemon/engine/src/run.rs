//! Runs: one process of the client on one session. What the client says of itself when it ends settles its run: what
//! its lines do not show, compaction for one, becomes a row of its own (DESIGN 3, sensor 2).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::reported::AWAITED_MS;
use crate::row::Row;
use crate::time::Timestamp;
use crate::usage::Usage;

/// The most models that a claim may name.
pub const MAX_MODELS: usize = 64;

/// How the keys of background rows begin.
pub const BACKGROUND: &str = "background:";

/// The most requests of a run that are remembered as known in part.
const MAX_PARTIAL: usize = 64;

/// Tokens and micro-dollars.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Tokens by kind.
    pub usage: Usage,
    /// Micro-dollars.
    pub micro_usd: u64,
}

impl Spent {
    /// The difference, kind by kind, never below zero.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self {
            usage: self.usage.minus(other.usage),
            micro_usd: self.micro_usd.saturating_sub(other.micro_usd),
        }
    }

    /// What this total has beyond another one ([`Usage::beyond`]).
    #[must_use]
    pub fn beyond(self, other: Self) -> Self {
        Self { usage: self.usage.beyond(other.usage), ..self.minus(other) }
    }

    /// The greater of each kind.
    #[must_use]
    pub fn greatest(self, other: Self) -> Self {
        Self { usage: self.usage.greatest(other.usage), micro_usd: self.micro_usd.max(other.micro_usd) }
    }

    /// The sum.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            usage: self.usage.plus(other.usage),
            micro_usd: self.micro_usd.saturating_add(other.micro_usd),
        }
    }
}

/// What was spent on each model.
pub type ByModel = BTreeMap<String, Spent>;

/// A model's name without the size of its window and its date: lines and clients' own words differ in these.
pub(crate) fn bare(model: &str) -> &str {
    let name = model.split_once('[').map_or(model, |(name, _)| name);
    let is_date = |end: &str| end.len() == 8 && end.bytes().all(|b| b.is_ascii_digit());
    name.rsplit_once('-').filter(|(_, end)| is_date(end)).map_or(name, |(name, _)| name)
}

/// Sums by the models' bare names.
pub(crate) fn by_bare_name(all: &ByModel) -> ByModel {
    let mut sums = ByModel::new();
    for (model, spent) in all {
        let sum = sums.entry(bare(model).to_owned()).or_default();
        *sum = sum.plus(*spent);
    }
    sums
}

/// How a run begins (SessionStart's `source`; a compaction begins none).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Begins {
    /// A new session.
    Startup,
    /// An earlier session goes on.
    Resume,
    /// A copy of another session goes on.
    Fork,
    /// A new session in the same process.
    Clear,
}

/// One process on one session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its number in the session, from 1.
    pub number: u32,
    /// How it began.
    pub begins: Begins,
    /// The client's process.
    pub client_pid: Option<u32>,
    /// Requests dated from then on, and before the next run, are its.
    pub began: Timestamp,
    /// When it ended, by its own word or because its process was gone.
    pub ended: Option<Timestamp>,
    /// What the client had counted before; none while that is not known.
    pub base: Option<ByModel>,
    /// Lines that it copied will name its parent, and with it the base: the last one that they name.
    pub awaits_parent: bool,
    /// The most that it said: what a client has counted does not fall.
    pub claimed: Option<ByModel>,
    /// What its requests took that were counted.
    pub counted: ByModel,
    /// What of that telemetry told of too.
    #[serde(default)]
    pub reported: Usage,
    /// The date of the newest request that telemetry told of; none: of none.
    #[serde(default)]
    pub reported_to: Option<Timestamp>,
    /// The date of the newest request that was counted.
    #[serde(default)]
    pub counted_to: Timestamp,
    /// Another process was on the session at the same time: what either says cannot be told apart.
    pub overlaps: bool,
    /// What no line showed, by model.
    pub background: BTreeMap<String, Row>,
    /// Its client was gone when it ended: no word of it is to come.
    #[serde(default)]
    pub is_gone: bool,
    /// Requests of which only a line was read that was written before their answer's end: their output is known in part.
    #[serde(default)]
    pub partial: BTreeSet<String>,
}

impl Run {
    /// What its client says that it spent in all, by the models' bare names.
    pub fn says(&self) -> Option<ByModel> {
        let (mut says, base) = (by_bare_name(self.claimed.as_ref()?), by_bare_name(self.base.as_ref()?));
        for (name, spent) in &mut says {
            *spent = spent.beyond(base.get(name).copied().unwrap_or_default());
        }
        Some(says)
    }

    /// What its client spent beside the requests that were counted, by model; none where that cannot be told.
    pub fn missing(&self) -> Option<ByModel> {
        let says = self.says().filter(|_| !self.overlaps)?;
        let counted = by_bare_name(&self.counted);
        let missing = |(name, spent): (String, Spent)| {
            let counted = counted.get(&name).copied().unwrap_or_default();
            (self.called(&name).to_owned(), spent.beyond(counted))
        };
        Some(says.into_iter().map(missing).collect())
    }

    /// How a model is called in the run's rows.
    pub(crate) fn called<'a>(&'a self, name: &'a str) -> &'a str {
        let claimed = self.claimed.iter().flat_map(BTreeMap::keys);
        let mut all = self.background.keys().chain(self.counted.keys()).chain(claimed);
        all.find(|model| bare(model) == name).map_or(name, String::as_str)
    }

    /// Whether it is over and what it spent beside its lines is not known; or it runs, and telemetry has stopped telling.
    pub fn is_unsettled(&self) -> bool {
        let is_told = self.claimed.is_some() && self.base.is_some();
        let is_short = self.ended.is_some() || self.is_cut() || !self.partial.is_empty();
        self.overlaps || (!is_told && is_short)
    }

    /// A request's lines are known to their end, or not. Of very many that are not the first are kept: one is enough to say so.
    pub(crate) fn knows_in_part(&mut self, key: &str, is_partial: bool) {
        if !is_partial {
            self.partial.remove(key);
        } else if self.partial.len() < MAX_PARTIAL {
            self.partial.insert(key.to_owned());
        }
    }

    /// Whether requests were counted long after the last one that telemetry told of: its stream was cut.
    pub fn is_cut(&self) -> bool {
        self.reported_to.is_some_and(|to| self.counted_to > to.plus_ms(AWAITED_MS))
    }

    /// Counts a row in, or out.
    pub(crate) fn counts(&mut self, row: &Row, op: fn(Spent, Spent) -> Spent) {
        let spent = Spent { usage: row.usage, micro_usd: row.micro_usd };
        let known = self.counted.entry(row.model.clone()).or_default();
        *known = op(*known, spent);
        if row.reported().is_some() {
            self.partial.remove(&row.message_id);
            let reported = Spent { usage: self.reported, micro_usd: 0 };
            self.reported = op(reported, spent).usage;
            self.reported_to = self.reported_to.max(Some(row.at));
        }
        self.counted_to = self.counted_to.max(row.at);
    }
}
