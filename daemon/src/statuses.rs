//! What clients tell their status lines: the client's own total of a session, and how fast its budget fills. In memory
//! only, a session of which nothing is heard any more goes first.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bursar_engine::ids::SessionId;
use bursar_engine::time::Timestamp;
use bursar_protocol::status_line::StatusLine;

/// Sessions that are remembered.
const MAX_SESSIONS: usize = 4_096;

/// How long a client's total must have stood before it says that lines are missing, in milliseconds: they are written
/// through a buffer, and read a moment later.
const LINES_COME_WITHIN_MS: u64 = 5_000;

/// Over how long a pace is taken, in milliseconds.
const PACE_OVER_MS: u64 = 600_000;

/// How far apart its samples are, in milliseconds.
const SAMPLE_EVERY_MS: u64 = 10_000;

/// Less than that is no pace yet, in milliseconds.
const PACE_FROM_MS: u64 = 30_000;

/// What a client says that a session cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// In micro-dollars, since the session began, over resumes.
    pub micro_usd: u64,
    /// It has been that much for so long that all that it is made of should have been read.
    pub stands: bool,
}

/// The costs of sessions.
pub type Costs = BTreeMap<SessionId, Cost>;

#[derive(Debug, Default)]
struct Known {
    micro_usd: Option<u64>,
    since: Timestamp,
    heard: Timestamp,
    /// The budget that it is shown, and the tokens used of that at a time, oldest first.
    budget: String,
    samples: VecDeque<(Timestamp, u64)>,
}

impl Known {
    fn cost(&self, now: Timestamp) -> Option<Cost> {
        let stands = now.since(self.since) >= LINES_COME_WITHIN_MS;
        Some(Cost { micro_usd: self.micro_usd?, stands })
    }
}

/// What status lines told.
#[derive(Debug, Default)]
pub struct Statuses(Mutex<BTreeMap<SessionId, Known>>);

impl Statuses {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<SessionId, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what a client says, and how many tokens are used of the budget that it is shown.
    pub fn take(&self, session: &SessionId, said: &StatusLine, (budget, used): (&str, u64), now: Timestamp) {
        let mut all = self.lock();
        if all.len() >= MAX_SESSIONS && !all.contains_key(session) {
            let oldest = all.iter().min_by_key(|(_, known)| known.heard).map(|(id, _)| id.clone());
            oldest.and_then(|id| all.remove(&id));
        }
        let known = all.entry(session.clone()).or_default();
        known.heard = now;
        if said.micro_usd.is_some() && said.micro_usd != known.micro_usd {
            (known.micro_usd, known.since) = (said.micro_usd, now);
        }
        // Another budget, or one that was reset, begins anew.
        if known.budget != budget || known.samples.back().is_some_and(|(_, before)| *before > used) {
            known.samples.clear();
            budget.clone_into(&mut known.budget);
        }
        if known.samples.back().is_none_or(|(at, _)| now.since(*at) >= SAMPLE_EVERY_MS) {
            known.samples.push_back((now, used));
        }
        while known.samples.front().is_some_and(|(at, _)| now.since(*at) > PACE_OVER_MS) {
            known.samples.pop_front();
        }
    }

    /// Tokens a minute, lately; none while that cannot be said yet.
    pub fn pace(&self, session: &SessionId, used: u64, now: Timestamp) -> Option<u64> {
        let all = self.lock();
        let (at, before) = *all.get(session)?.samples.front()?;
        let (span, tokens) = (now.since(at), used.saturating_sub(before));
        (span >= PACE_FROM_MS).then(|| tokens.saturating_mul(60_000) / span)
    }

    /// What clients say that their sessions cost.
    pub fn costs(&self, now: Timestamp) -> Costs {
        self.lock().iter().filter_map(|(id, known)| Some((id.clone(), known.cost(now)?))).collect()
    }

    /// What the client of one session says that it cost.
    pub fn cost(&self, session: &SessionId, now: Timestamp) -> Option<Cost> {
        self.lock().get(session)?.cost(now)
    }
}

#[cfg(test)]
mod tests {
    use super::{Cost, MAX_SESSIONS, SessionId, StatusLine, Statuses, Timestamp};

    const BUDGET: (&str, u64) = ("b", 0);

    fn id(name: &str) -> SessionId {
        SessionId::new(name).expect("a name")
    }

    fn said(micro_usd: Option<u64>) -> StatusLine {
        StatusLine { session_id: "s".to_owned(), micro_usd, five_hour: None, seven_day: None }
    }

    #[test]
    fn a_total_stands_once_it_has_not_changed_for_a_while() {
        let statuses = Statuses::default();
        statuses.take(&id("s"), &said(Some(7)), BUDGET, Timestamp(1_000));
        statuses.take(&id("s"), &said(None), BUDGET, Timestamp(5_000));
        let cost = |now| statuses.costs(Timestamp(now))[&id("s")];
        assert_eq!(cost(5_999), Cost { micro_usd: 7, stands: false });
        assert_eq!(cost(6_000), Cost { micro_usd: 7, stands: true });
        statuses.take(&id("s"), &said(Some(8)), BUDGET, Timestamp(6_000));
        assert_eq!(cost(6_001), Cost { micro_usd: 8, stands: false });
    }

    #[test]
    fn a_pace_is_of_the_last_minutes_and_forgets_a_reset() {
        let statuses = Statuses::default();
        let mut used = 0;
        for second in 0..1_200 {
            used += 100;
            statuses.take(&id("s"), &said(None), ("b", used), Timestamp(second * 1_000));
            if second == 29 {
                assert_eq!(statuses.pace(&id("s"), used, Timestamp(29_000)), None, "too early");
            }
        }
        assert_eq!(statuses.pace(&id("s"), used, Timestamp(1_199_000)), Some(6_000));
        // It stands still for ten minutes.
        for second in 1_200..1_900 {
            statuses.take(&id("s"), &said(None), ("b", used), Timestamp(second * 1_000));
        }
        assert_eq!(statuses.pace(&id("s"), used, Timestamp(1_899_000)), Some(0));
        statuses.take(&id("s"), &said(None), ("b", 3), Timestamp(1_900_000));
        assert_eq!(statuses.pace(&id("s"), 3, Timestamp(1_900_000)), None);
        statuses.take(&id("s"), &said(None), ("b", 5), Timestamp(1_950_000));
        statuses.take(&id("s"), &said(None), ("other", 9_000), Timestamp(1_960_000));
        assert_eq!(statuses.pace(&id("s"), 9_000, Timestamp(1_989_000)), None, "another budget");
    }

    #[test]
    fn no_more_is_remembered_than_there_is_room_for() {
        let statuses = Statuses::default();
        for n in 0..=MAX_SESSIONS {
            statuses.take(&id(&format!("s{n}")), &said(Some(1)), BUDGET, Timestamp(n as u64));
        }
        let costs = statuses.costs(Timestamp(0));
        assert_eq!((costs.len(), costs.contains_key(&id("s0"))), (MAX_SESSIONS, false));
    }
}
