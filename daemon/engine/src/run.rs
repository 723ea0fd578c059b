//! Runs: one process of the client on one session. What the client says of itself when it ends settles its run: what
//! its lines do not show, compaction for one, becomes a row of its own (DESIGN 3, sensor 2).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::SessionId;
use crate::reported::AWAITED_MS;
use crate::row::Row;
use crate::time::Timestamp;
use crate::usage::Usage;

/// How many runs of a session are kept; older ones are settled for good.
pub const MAX_RUNS: usize = 64;

/// How many of a session's claims are kept: a fork learns of its parent's last one a little later.
const MAX_CLAIMS: usize = 4;

/// The most models that a claim may name.
pub const MAX_MODELS: usize = 64;

/// How the keys of background rows begin.
pub const BACKGROUND: &str = "background:";

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

/// What a client said that it has counted on a session (`cost-state`): its own total, over resumes, and in a fork from the
/// parent's on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// When it was read.
    pub at: Timestamp,
    /// The totals.
    pub totals: ByModel,
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
    /// Lines that it copied will name its parent, and with it the base.
    pub awaits_parent: bool,
    /// What it said last.
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
}

impl Run {
    /// What its client says that it spent in all.
    pub fn says(&self) -> Option<ByModel> {
        let (claimed, base) = (self.claimed.as_ref()?, self.base.as_ref()?);
        let minus = |(model, spent): (&String, &Spent)| {
            (model.clone(), spent.minus(base.get(model).copied().unwrap_or_default()))
        };
        Some(claimed.iter().map(minus).collect())
    }

    /// What its client spent beside the requests that were counted, by model; none where that cannot be told.
    pub fn missing(&self) -> Option<ByModel> {
        let says = self.says().filter(|_| !self.overlaps)?;
        let missing = |(model, spent): (String, Spent)| {
            let counted = self.counted.get(&model).copied().unwrap_or_default();
            (model, spent.minus(counted))
        };
        Some(says.into_iter().map(missing).collect())
    }

    /// Whether it is over and what it spent beside its lines is not known; or it runs, and telemetry has stopped telling.
    pub fn is_unsettled(&self) -> bool {
        let is_told = self.claimed.is_some() && self.base.is_some();
        self.overlaps || (self.ended.is_some() && !is_told) || (!is_told && self.is_cut())
    }

    /// Whether requests were counted long after the last one that telemetry told of: its stream was cut.
    pub fn is_cut(&self) -> bool {
        self.reported_to.is_some_and(|to| self.counted_to > to.plus_ms(AWAITED_MS))
    }

    fn counts(&mut self, row: &Row, op: fn(Spent, Spent) -> Spent) {
        let spent = Spent { usage: row.usage, micro_usd: row.micro_usd };
        let known = self.counted.entry(row.model.clone()).or_default();
        *known = op(*known, spent);
        if row.reported().is_some() {
            let reported = Spent { usage: self.reported, micro_usd: 0 };
            self.reported = op(reported, spent).usage;
            self.reported_to = self.reported_to.max(Some(row.at));
        }
        self.counted_to = self.counted_to.max(row.at);
    }
}

/// What one sensor told of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Requests.
    pub rows: u64,
    /// Their tokens, as they are counted.
    pub usage: Usage,
}

/// What each sensor told of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sensed {
    /// Lines, and hooks' payloads.
    pub lines: Tally,
    /// Telemetry.
    pub reported: Tally,
    /// What telemetry alone told of.
    pub reported_only: Tally,
}

impl Tally {
    fn plus(self, other: Self) -> Self {
        Self { rows: self.rows.saturating_add(other.rows), usage: self.usage.plus(other.usage) }
    }

    fn minus(self, other: Self) -> Self {
        Self { rows: self.rows.saturating_sub(other.rows), usage: self.usage.minus(other.usage) }
    }
}

impl Sensed {
    fn count(&mut self, row: &Row, op: fn(Tally, Tally) -> Tally) {
        let told = |tally: &mut Tally| *tally = op(*tally, Tally { rows: 1, usage: row.usage });
        let is_reported = row.reported().is_some();
        match row.line() {
            Some(_) => told(&mut self.lines),
            None => told(&mut self.reported_only),
        }
        if is_reported {
            told(&mut self.reported);
        }
    }
}

/// The runs of one session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runs {
    /// The session.
    pub session: SessionId,
    /// Oldest first.
    pub runs: Vec<Run>,
    /// What its clients said last, oldest first.
    pub claims: Vec<Claim>,
    /// The session that it is a copy of, once a copied line has named it.
    pub forked_from: Option<SessionId>,
    /// What each sensor told of.
    #[serde(default)]
    pub sensed: Sensed,
    /// Its lines carry no request id, so that what telemetry tells cannot be joined.
    #[serde(default)]
    pub has_lines_without_request: bool,
}

impl Runs {
    /// A session of which no run was seen.
    pub fn new(session: SessionId) -> Self {
        Self {
            session,
            runs: Vec::new(),
            claims: Vec::new(),
            forked_from: None,
            sensed: Sensed::default(),
            has_lines_without_request: false,
        }
    }

    /// What a client had counted at `at`; zero where none had said anything.
    pub fn claimed_at(&self, at: Timestamp) -> ByModel {
        let last = self.claims.iter().rev().find(|claim| claim.at <= at);
        last.map(|claim| claim.totals.clone()).unwrap_or_default()
    }

    /// A run begins; one that is under way overlaps with it.
    /// `caught_up` says that all that was written before has been read.
    pub fn begin(&mut self, begins: Begins, client_pid: Option<u32>, caught_up: bool, now: Timestamp) {
        let mut overlaps = false;
        for other in self.runs.iter_mut().filter(|run| run.ended.is_none()) {
            other.overlaps = true;
            overlaps = true;
        }
        let base = match begins {
            Begins::Startup | Begins::Clear => Some(ByModel::new()),
            Begins::Resume if caught_up => {
                Some(self.claims.last().map(|c| c.totals.clone()).unwrap_or_default())
            }
            Begins::Resume | Begins::Fork => None,
        };
        let number = self.runs.last().map_or(1, |run| run.number.saturating_add(1));
        self.runs.push(Run {
            number,
            begins,
            client_pid,
            began: now,
            ended: None,
            base,
            awaits_parent: begins == Begins::Fork && caught_up,
            claimed: None,
            counted: ByModel::new(),
            reported: Usage::default(),
            reported_to: None,
            counted_to: Timestamp::default(),
            overlaps,
            background: BTreeMap::new(),
        });
        if self.runs.len() > MAX_RUNS {
            self.runs.remove(0);
        }
    }

    /// Every run that is under way has ended.
    pub fn end(&mut self, now: Timestamp) {
        for run in self.runs.iter_mut().filter(|run| run.ended.is_none()) {
            run.ended = Some(now);
        }
    }

    /// The client said what it has counted; that is of the last run.
    pub fn claim(&mut self, totals: &ByModel, now: Timestamp) {
        self.claims.push(Claim { at: now, totals: totals.clone() });
        if self.claims.len() > MAX_CLAIMS {
            self.claims.remove(0);
        }
        if let Some(run) = self.runs.last_mut() {
            run.claimed = Some(totals.clone());
        }
    }

    /// A copied line names whom this session is a copy of; `before` is what that one's client had counted then.
    pub fn is_a_copy_of(&mut self, parent: SessionId, before: &ByModel) {
        self.forked_from = Some(parent);
        for run in self.runs.iter_mut().filter(|run| run.awaits_parent) {
            run.base = Some(before.clone());
            run.awaits_parent = false;
        }
    }

    /// A request was counted; `old` is what it was before.
    pub fn counted(&mut self, old: Option<&Row>, row: &Row) {
        if let Some(old) = old {
            self.sensed.count(old, Tally::minus);
            if let Some(run) = self.run_at(old.at) {
                run.counts(old, Spent::minus);
            }
        }
        self.sensed.count(row, Tally::plus);
        self.has_lines_without_request |= row.request_id.is_none() && row.line().is_some();
        if let Some(run) = self.run_at(row.at) {
            run.counts(row, Spent::plus);
        }
    }

    /// The run that a request of that date belongs to: the last one that had begun.
    pub fn run_at(&mut self, at: Timestamp) -> Option<&mut Run> {
        self.runs.iter_mut().rev().find(|run| run.began <= at)
    }

    /// Whether its total is known to be too low: a run of which the start, or the end's own word, is missing.
    pub fn is_lower_bound(&self) -> bool {
        self.runs.is_empty() || self.runs.iter().any(Run::is_unsettled)
    }

    /// Tokens that its clients say they spent, and those of them that are accounted for; none before they said anything.
    pub fn coverage(&self) -> Option<(u64, u64)> {
        let of = |usage: Usage| usage.context();
        let (mut accounted, mut said) = (0_u64, 0_u64);
        for run in &self.runs {
            let Some(says) = run.says() else {
                // While it runs, telemetry is the client's word: what it has not told of is not accounted for.
                if run.reported_to.is_some() {
                    let counted = run.counted.values().fold(0_u64, |sum, c| sum.saturating_add(of(c.usage)));
                    accounted = accounted.saturating_add(of(run.reported).min(counted));
                    said = said.saturating_add(counted);
                }
                continue;
            };
            for (model, spent) in says {
                let counted = run.counted.get(&model).map_or(0, |c| of(c.usage));
                let beside = run.background.get(&model).map_or(0, |row| of(row.usage));
                accounted = accounted.saturating_add(counted.saturating_add(beside).min(of(spent.usage)));
                said = said.saturating_add(of(spent.usage));
            }
        }
        (said > 0).then_some((accounted, said))
    }
}
