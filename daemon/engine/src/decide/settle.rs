//! Settling runs: what a client says of itself, less what its lines showed, is a row of its own. Whatever the order of
//! lines and claims, it comes to the same.

use crate::command::{Hook, Usage as Command};
use crate::ids::{AgentKey, SessionId};
use crate::row::{Row, Sighting};
use crate::run::{BACKGROUND, ByModel, Spent};
use crate::runs::Runs;
use crate::state::State;
use crate::table::HookEvent;
use crate::time::Timestamp;
use crate::watch::Alarm;

/// What a hook tells of runs; none where nothing changes.
pub(super) fn met(state: &State, hook: &Hook, now: Timestamp) -> Option<Runs> {
    // Most hooks tell of none, and nothing is copied then.
    let tells = match hook.event {
        HookEvent::SessionStart => hook.begins.is_some(),
        HookEvent::SessionEnd | HookEvent::HumanPrompt | HookEvent::OtherPrompt => true,
        _ => false,
    };
    if !tells {
        return None;
    }
    let known = state.runs.get(&hook.session);
    let mut runs = known.cloned().unwrap_or_else(|| Runs::new(hook.session.clone()));
    match (hook.event, hook.begins) {
        // Hooks of one start may be told twice.
        (HookEvent::SessionStart, Some(begins)) if !is_told_again(&runs, hook) => {
            let counted = if runs.runs.is_empty() { counted(state, &hook.session) } else { ByModel::new() };
            runs.begin(begins, hook.client_pid, hook.caught_up, counted, now.min(hook.wall));
        }
        (HookEvent::SessionEnd, _) => runs.end(hook.client_pid, now),
        (HookEvent::HumanPrompt | HookEvent::OtherPrompt, _) => {
            runs.watch.prompted(hook.event == HookEvent::HumanPrompt, now);
        }
        _ => return None,
    }
    (known != Some(&runs)).then_some(runs)
}

/// Whether a run that is under way is this very one: the same process, and it has not ended.
fn is_told_again(runs: &Runs, hook: &Hook) -> bool {
    let mut under_way = runs.runs.iter().filter(|run| run.ended.is_none());
    hook.client_pid.is_some() && under_way.any(|run| run.client_pid == hook.client_pid)
}

/// What was counted of a session, by model.
fn counted(state: &State, session: &SessionId) -> ByModel {
    let mut all = ByModel::new();
    for (_, model, totals) in state.totals_of(session) {
        let sum = all.entry(model.to_owned()).or_default();
        *sum = sum.plus(Spent { usage: totals.usage, micro_usd: totals.micro_usd });
    }
    all
}

/// The runs of sessions that one command touches, as they become.
#[derive(Debug, Default)]
pub(super) struct Settling {
    touched: std::collections::BTreeMap<SessionId, Runs>,
    /// What people are told of.
    pub(super) alarms: Vec<(SessionId, Alarm)>,
}

impl Settling {
    fn of<'a>(&'a mut self, state: &State, session: &SessionId) -> Option<&'a mut Runs> {
        if !self.touched.contains_key(session) {
            let known = state.runs.get(session).cloned();
            let met = || state.sessions.contains_key(session).then(|| Runs::new(session.clone()));
            self.touched.insert(session.clone(), known.or_else(met)?);
        }
        self.touched.get_mut(session)
    }

    /// A request was counted; `old` is what it was before.
    pub(super) fn counted(&mut self, state: &State, old: Option<&Row>, row: &Row, now: Timestamp) {
        if row.message_id.starts_with(BACKGROUND) {
            return;
        }
        let Some(runs) = self.of(state, &row.session) else { return };
        runs.counted(old, row);
        if let Some(session) = state.sessions.get(&row.session).filter(|_| state.policy.circuits.enabled) {
            let alarms = runs.watch.counts(old, row, session.first_seen, now);
            self.alarms.extend(alarms.into_iter().map(|alarm| (row.session.clone(), alarm)));
        }
    }

    /// A request's line was read to its end, or was not.
    pub(super) fn known_in_part(&mut self, state: &State, row: &Row, is_partial: bool) {
        let run = self.of(state, &row.session).and_then(|runs| runs.run_at(row.at));
        if let Some(run) = run {
            run.knows_in_part(&row.message_id, is_partial);
        }
    }

    /// A line in the file of one session that belongs to another one names whose copy it is; the copy, if that is new.
    pub(super) fn copied(&mut self, state: &State, from: &Command, seen: &Sighting) -> Option<SessionId> {
        let file = from.file.as_ref()?;
        let runs = self.of(state, &file.session)?;
        let began = runs.runs.iter().find(|run| run.awaits_parent)?.began;
        if file.session == seen.session {
            if file.agent == AgentKey::Main {
                runs.copies_end();
            }
            return None;
        }
        if runs.forked_from.as_ref() == Some(&seen.session) {
            return None;
        }
        // Of a parent that was never seen here nothing is known, so neither is what the fork began with.
        let parent = state.runs.get(&seen.session);
        let before = parent.and_then(|parent| parent.claimed_at(began));
        runs.is_a_copy_of(seen.session.clone(), before.as_ref());
        Some(file.session.clone())
    }

    /// What a session's client said of itself.
    pub(super) fn claimed(&mut self, state: &State, session: &SessionId, totals: &ByModel, now: Timestamp) {
        if let Some(runs) = self.of(state, session) {
            runs.claim(totals, now);
        }
    }

    /// The rows of what no line showed, as they are now: old and new usage of each that changes.
    pub(super) fn missing(&self, now: Timestamp) -> Vec<Missing> {
        let mut all = Vec::new();
        for runs in self.touched.values() {
            for run in &runs.runs {
                let Some(missing) = run.missing() else { continue };
                for (model, spent) in missing {
                    let old = run.background.get(&model).cloned();
                    let was = old
                        .as_ref()
                        .map_or(Spent::default(), |r| Spent { usage: r.usage, micro_usd: r.micro_usd });
                    if was != spent {
                        let at = run.ended.unwrap_or(now).max(run.began);
                        let (session, number) = (runs.session.clone(), run.number);
                        all.push(Missing { session, number, model, spent, old, at });
                    }
                }
            }
        }
        all
    }

    /// Remembers a background row in its run.
    pub(super) fn keep(&mut self, missing: &Missing, row: Row) {
        let run = self
            .touched
            .get_mut(&missing.session)
            .and_then(|runs| runs.runs.iter_mut().find(|run| run.number == missing.number));
        if let Some(run) = run {
            run.background.insert(missing.model.clone(), row);
        }
    }

    /// The runs that changed.
    pub(super) fn into_changed(self, state: &State) -> Vec<Runs> {
        self.touched.into_values().filter(|runs| state.runs.get(&runs.session) != Some(runs)).collect()
    }
}

/// What a run spent beside its lines, on one model.
#[derive(Debug)]
pub(super) struct Missing {
    pub(super) session: SessionId,
    pub(super) number: u32,
    pub(super) model: String,
    pub(super) spent: Spent,
    pub(super) old: Option<Row>,
    pub(super) at: Timestamp,
}

impl Missing {
    /// The key of its row.
    pub(super) fn key(&self) -> String {
        format!("{BACKGROUND}{}:{}:{}", self.session, self.number, self.model)
    }
}
