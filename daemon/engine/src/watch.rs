//! What a person is told of a session beside its limits and its circuits (DETECTION, alarms): it spends on with nobody
//! looking, a turn costs far more than its others, its model became a dearer one. An alarm never stops anything.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use crate::row::Row;
use crate::run::bare;
use crate::time::Timestamp;
use crate::usage::{MICRO, Weights};

/// Spending is idle from so many milliseconds after the last prompt of a human on (DETECTION).
const IDLE_MS: u64 = 20 * 60 * 1_000;
/// … and from so many tokens on, cache reads free (DETECTION).
const IDLE_TOKENS: u64 = 100_000;
/// … or so many micro-dollars (DETECTION).
const IDLE_MICRO_USD: u64 = 1_000_000;
/// A request that is read so many milliseconds after its date was not seen as it happened.
const LATE_MS: u64 = 120_000;
/// A turn is dear from so many times the median turn on (DETECTION).
const DEAR_TIMES: u64 = 3;
/// … once so many turns are over, and from so many micro-dollars on: three times a cent is nothing to look at.
const TURNS: usize = 3;
const DEAR_MICRO_USD: u64 = 50_000;
/// So many turns are remembered.
const TURNS_KEPT: usize = 31;
/// So many models are told apart.
const MODELS_KEPT: usize = 16;

/// Something for a person to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alarm {
    /// So much was spent since anybody prompted the session last.
    IdleBurn {
        /// Minutes since then.
        minutes: u64,
        /// Whole tokens, cache reads free.
        tokens: u64,
        /// Micro-dollars.
        micro_usd: u64,
    },
    /// A turn costs more than three times the session's median turn.
    DearTurn {
        /// What it has cost so far, in micro-dollars.
        micro_usd: u64,
        /// The median, in micro-dollars.
        median: u64,
    },
    /// A model that costs more for the same work than the one that the session began with.
    DearerModel {
        /// That model.
        model: String,
        /// The one before.
        first: String,
    },
    /// More subagents started than were called for since the last prompt of a human.
    MoreSubagents {
        /// Called for.
        called: u64,
        /// Started.
        started: u64,
    },
}

/// What was spent on a model: micro-dollars, and millionths of an input token's worth ([`Weights::PRICED`]).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Worth {
    micro_usd: u64,
    worth: u64,
}

impl Worth {
    /// Whether the same work costs at least a quarter more than with the other: prices of cache reads differ by less.
    fn is_dearer(self, than: Self) -> bool {
        let product = |a: u64, b: u64| u128::from(a) * u128::from(b);
        than.micro_usd > 0
            && 4 * product(self.micro_usd, than.worth) > 5 * product(than.micro_usd, self.worth)
    }
}

/// What of a session is watched.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Watch {
    /// The last prompt of a human, else the first request.
    since: Timestamp,
    /// Millionths of a token since then.
    micro_tokens: u64,
    /// Micro-dollars since then.
    micro_usd: u64,
    /// Of so many doublings was told.
    told: u32,
    /// What this turn has cost, in micro-dollars.
    turn: u64,
    /// Of this turn was told.
    told_turn: bool,
    /// What the last turns cost, oldest first.
    turns: VecDeque<u64>,
    /// The first model of the main agent.
    first: Option<String>,
    models: BTreeMap<String, Worth>,
    told_models: BTreeSet<String>,
}

impl Watch {
    /// Somebody, or something, prompts.
    pub(crate) fn prompted(&mut self, human: bool, now: Timestamp) {
        if self.turn > 0 {
            self.turns.push_back(self.turn);
            if self.turns.len() > TURNS_KEPT {
                self.turns.pop_front();
            }
        }
        (self.turn, self.told_turn) = (0, false);
        if human {
            (self.since, self.micro_tokens, self.micro_usd, self.told) = (now, 0, 0, 0);
        }
    }

    /// A request of a session that was first seen at `from` was counted; `old` is what it was before.
    pub(crate) fn counts(
        &mut self,
        old: Option<&Row>,
        row: &Row,
        from: Timestamp,
        now: Timestamp,
    ) -> Vec<Alarm> {
        let usage = old.map_or(row.usage, |old| row.usage.minus(old.usage));
        let micro_usd = row.micro_usd.saturating_sub(old.map_or(0, |old| old.micro_usd));
        self.since = self.since.max(from);
        // Whether anybody prompted meanwhile was not seen: a read that catches up raises no alarm.
        if now.since(row.at) > LATE_MS {
            self.prompted(true, now);
            return Vec::new();
        }
        // What was spent before is an earlier prompt's.
        if row.at < self.since {
            return Vec::new();
        }
        self.micro_tokens = self.micro_tokens.saturating_add(Weights::default().weigh(usage));
        self.micro_usd = self.micro_usd.saturating_add(micro_usd);
        self.turn = self.turn.saturating_add(micro_usd);
        let alarms = [
            self.idle(row.at),
            self.dear_turn(),
            self.dearer_model(row, micro_usd, Weights::PRICED.weigh(usage)),
        ];
        alarms.into_iter().flatten().collect()
    }

    fn idle(&mut self, at: Timestamp) -> Option<Alarm> {
        let (tokens, elapsed) = (self.micro_tokens / MICRO, at.since(self.since));
        let times = (tokens / IDLE_TOKENS).max(self.micro_usd / IDLE_MICRO_USD);
        // Once at the limit, and again at every doubling.
        let doublings = times.checked_ilog2().map_or(0, |n| n + 1);
        if elapsed < IDLE_MS || doublings <= self.told {
            return None;
        }
        self.told = doublings;
        Some(Alarm::IdleBurn { minutes: elapsed / 60_000, tokens, micro_usd: self.micro_usd })
    }

    fn dear_turn(&mut self) -> Option<Alarm> {
        if self.told_turn || self.turns.len() < TURNS || self.turn < DEAR_MICRO_USD {
            return None;
        }
        let mut turns: Vec<u64> = self.turns.iter().copied().collect();
        turns.sort_unstable();
        let median = *turns.get(turns.len() / 2)?;
        self.told_turn = self.turn > median.saturating_mul(DEAR_TIMES);
        self.told_turn.then_some(Alarm::DearTurn { micro_usd: self.turn, median })
    }

    fn dearer_model(&mut self, row: &Row, micro_usd: u64, worth: u64) -> Option<Alarm> {
        // An estimate is the dearest price, and people are told of that.
        if row.estimated || row.line().is_none() {
            return None;
        }
        let model = bare(&row.model);
        if row.agent.sub().is_none() && self.first.is_none() {
            self.first = Some(model.to_owned());
        }
        let first = self.first.clone()?;
        if !self.models.contains_key(model) && self.models.len() >= MODELS_KEPT {
            return None;
        }
        let spent = self.models.entry(model.to_owned()).or_default();
        spent.micro_usd = spent.micro_usd.saturating_add(micro_usd);
        spent.worth = spent.worth.saturating_add(worth);
        let spent = *spent;
        let is_dearer =
            first != model && self.models.get(&first).is_some_and(|first| spent.is_dearer(*first));
        let is_news = is_dearer && self.told_models.insert(model.to_owned());
        is_news.then(|| Alarm::DearerModel { model: model.to_owned(), first })
    }
}
