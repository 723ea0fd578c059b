//! What is kept and for how long (7.2), and sessions that ended without a word.

use std::collections::BTreeSet;

use crate::State;
use crate::decide::{Decision, Reply};
use crate::event::Event;
use crate::ids::{BudgetId, SessionId};
use crate::row::MAX_ROWS_PER_COMMAND;
use crate::session::Session;
use crate::time::Timestamp;

fn told(events: Vec<Event>) -> Decision {
    Decision { reply: Reply::None, events }
}

/// A session whose client is gone has ended; a hook of it brings it back.
pub(super) fn client_gone(state: &State, session: &SessionId, now: Timestamp) -> Decision {
    let live = state.sessions.get(session).filter(|s| s.ended.is_none());
    let ended = live.map(|s| Event::Session(Session { ended: Some(now), ..s.clone() }));
    let mut events: Vec<Event> = ended.into_iter().collect();
    let runs = state.runs.get(session).filter(|r| r.runs.iter().any(|run| run.ended.is_none()));
    events.extend(runs.map(|runs| {
        let mut runs = runs.clone();
        runs.gone(now);
        Event::Runs(Box::new(runs))
    }));
    told(events)
}

pub(super) fn roll_up(sessions: &[SessionId], before: Timestamp) -> Decision {
    let rolled = |session: &SessionId| Event::RolledUp { session: session.clone(), before };
    told(sessions.iter().take(MAX_ROWS_PER_COMMAND).map(rolled).collect())
}

/// What is shut stays, however old: forgetting it would open it.
pub(super) fn forget(state: &State, before: Timestamp) -> Decision {
    // A purse is kept for as long as whoever draws on it.
    let purses: BTreeSet<&SessionId> = state
        .sessions
        .values()
        .filter(|s| s.last_seen >= before)
        .filter_map(|s| s.draws_on.as_ref())
        .collect();
    let is_needed = |id: &SessionId| purses.contains(id) || is_needed(state, id);
    let old = state.sessions.values().filter(|s| s.last_seen < before && !is_needed(&s.id));
    let mut events: Vec<Event> =
        old.take(MAX_ROWS_PER_COMMAND).map(|s| Event::Forgotten(s.id.clone())).collect();
    let tasks = state.budgets.values().filter(|b| matches!(b.id, BudgetId::Task(_)));
    let old = tasks.filter(|b| b.last_updated < before && !b.status.is_shut());
    events.extend(old.take(MAX_ROWS_PER_COMMAND).map(|b| Event::TaskForgotten(b.id.clone())));
    events.push(Event::HistoryEnded { before });
    told(events)
}

fn is_needed(state: &State, session: &SessionId) -> bool {
    let own = state.budgets.get(&BudgetId::Session(session.clone()));
    own.is_some_and(|b| b.status.is_shut())
        || !state.shut_in(session).1.is_empty()
        || state.waiting().any(|h| h.session == *session)
}
