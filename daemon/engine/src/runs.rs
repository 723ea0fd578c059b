//! The runs of a session, one after another or side by side, and whose word is whose.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::ids::SessionId;
use crate::row::Row;
use crate::run::{Begins, ByModel, Run, Spent, by_bare_name};
use crate::sensed::{Sensed, Tally};
use crate::time::Timestamp;
use crate::usage::Usage;
use crate::watch::Watch;

/// How many runs of a session are kept; older ones are settled for good.
pub const MAX_RUNS: usize = 64;

/// How many of a session's claims are kept: a fork learns of its parent's last one a little later.
const MAX_CLAIMS: usize = 4;

/// How long after its end the last word of a client is read, in milliseconds: it writes through a buffer.
const LAST_WORD_MS: u64 = 10_000;

/// What a client said that it has counted on a session (`cost-state`): its own total, over resumes, and in a fork from the
/// parent's on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// When it was read.
    pub at: Timestamp,
    /// The totals.
    pub totals: ByModel,
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
    /// A run that is no longer kept was unsettled.
    #[serde(default)]
    pub lacks_older: bool,
    /// What each sensor told of.
    #[serde(default)]
    pub sensed: Sensed,
    /// Its lines carry no request id, so that what telemetry tells cannot be joined.
    #[serde(default)]
    pub has_lines_without_request: bool,
    /// What a person is told of it.
    #[serde(default)]
    pub watch: Watch,
}

impl Runs {
    /// A session of which no run was seen.
    pub fn new(session: SessionId) -> Self {
        Self {
            session,
            runs: Vec::new(),
            claims: Vec::new(),
            forked_from: None,
            lacks_older: false,
            sensed: Sensed::default(),
            has_lines_without_request: false,
            watch: Watch::default(),
        }
    }

    /// What a client had counted at `at`; zero where none had said anything, none where that is no longer kept.
    pub fn claimed_at(&self, at: Timestamp) -> Option<ByModel> {
        match self.claims.iter().rev().find(|claim| claim.at <= at) {
            Some(claim) => Some(claim.totals.clone()),
            None => (self.claims.len() < MAX_CLAIMS).then(ByModel::new),
        }
    }

    /// A run begins; one that is under way overlaps with it.
    /// `caught_up` says that all that was written before has been read; `counted` is what of a session was counted
    /// before any run of it was seen. Of a new one that is the first run's, whose client counts from there.
    pub fn begin(
        &mut self,
        begins: Begins,
        client_pid: Option<u32>,
        caught_up: bool,
        counted: ByModel,
        now: Timestamp,
    ) {
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
        let is_first = self.runs.is_empty() && begins != Begins::Resume;
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
            counted: if is_first { counted } else { ByModel::new() },
            reported: Usage::default(),
            reported_to: None,
            counted_to: Timestamp::default(),
            overlaps,
            background: BTreeMap::new(),
            is_gone: false,
            partial: BTreeSet::new(),
        });
        if self.runs.len() > MAX_RUNS {
            self.lacks_older |= self.begins_unseen() || self.runs.first().is_some_and(Run::is_unsettled);
            self.runs.remove(0);
        }
    }

    /// The runs of a client that are under way have ended; where it is not known which client's, all.
    pub fn end(&mut self, client_pid: Option<u32>, now: Timestamp) {
        let is_of = |pid: Option<u32>| pid.is_none() || client_pid.is_none() || pid == client_pid;
        for run in self.runs.iter_mut().filter(|run| run.ended.is_none() && is_of(run.client_pid)) {
            run.ended = Some(now);
        }
    }

    /// Every run that is under way has ended without a word: no client is there any more.
    pub fn gone(&mut self, now: Timestamp) {
        for run in self.runs.iter_mut().filter(|run| run.ended.is_none()) {
            (run.ended, run.is_gone) = (Some(now), true);
        }
    }

    /// The client said what it has counted.
    pub fn claim(&mut self, totals: &ByModel, now: Timestamp) {
        self.claims.push(Claim { at: now, totals: totals.clone() });
        if self.claims.len() > MAX_CLAIMS {
            self.claims.remove(0);
        }
        if let Some(run) = self.speaks(now) {
            let claimed = run.claimed.get_or_insert_default();
            for (model, spent) in totals {
                let most = claimed.entry(model.clone()).or_default();
                *most = most.greatest(*spent);
            }
        }
    }

    /// Whose word a claim is: the last run's. While that is under way, one that has just ended may still owe its own.
    fn speaks(&mut self, now: Timestamp) -> Option<&mut Run> {
        let owes = |run: &Run| {
            let has_just_ended = run.ended.is_some_and(|at| now.since(at) < LAST_WORD_MS);
            has_just_ended && !run.is_gone && run.claimed.is_none()
        };
        let is_under_way = self.runs.last()?.ended.is_none();
        match self.runs.iter().rposition(owes).filter(|_| is_under_way) {
            Some(owing) => self.runs.get_mut(owing),
            None => self.runs.last_mut(),
        }
    }

    /// A copied line names whom this session is a copy of; `before` is what that one's client had counted then. A copy
    /// of a copy has lines of all of them, its own parent's last.
    pub fn is_a_copy_of(&mut self, parent: SessionId, before: Option<&ByModel>) {
        self.forked_from = Some(parent);
        for run in self.runs.iter_mut().filter(|run| run.awaits_parent) {
            run.base = before.cloned();
        }
    }

    /// Its own lines have begun: no copied ones follow.
    pub fn copies_end(&mut self) {
        if self.forked_from.is_some() {
            self.runs.iter_mut().for_each(|run| run.awaits_parent = false);
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

    /// The run that a request of that date belongs to: the last one that had begun. Before the first one of a new
    /// session there was none, whatever the clocks say.
    pub fn run_at(&mut self, at: Timestamp) -> Option<&mut Run> {
        let is_new = self.runs.first().is_some_and(|run| run.number == 1) && !self.begins_unseen();
        let began = self.runs.iter().rposition(|run| run.began <= at);
        self.runs.get_mut(began.or(is_new.then_some(0))?)
    }

    /// Whether the session had begun before its first run here: what it spent until then beside its lines is not known.
    pub fn begins_unseen(&self) -> bool {
        let first = self.runs.first();
        first.is_none_or(|run| run.number == 1 && run.begins == Begins::Resume)
    }

    /// Whether its total is known to be too low: a run of which the start, or the end's own word, is missing.
    pub fn is_lower_bound(&self) -> bool {
        self.lacks_older || self.begins_unseen() || self.runs.iter().any(Run::is_unsettled)
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
            let all_counted = by_bare_name(&run.counted);
            for (name, spent) in says {
                let counted = all_counted.get(&name).map_or(0, |c| of(c.usage));
                let beside = run.background.get(run.called(&name)).map_or(0, |row| of(row.usage));
                accounted = accounted.saturating_add(counted.saturating_add(beside).min(of(spent.usage)));
                said = said.saturating_add(of(spent.usage));
            }
        }
        (said > 0).then_some((accounted, said))
    }
}
