//! Sessions that no hook tells of, counted like others, told of once, never held; and those whose client tells too little.

use std::collections::BTreeSet;

use crate::State;
use crate::alert::{Alert, AlertType, MAX_METERING_ALERTS, MAX_UNHOOKED_ALERTS};
use crate::budget::Budget;
use crate::command::Found;
use crate::decide::hook::new_agent;
use crate::decide::{Decision, Reply};
use crate::event::Event;
use crate::ids::{AgentKey, AlertId, BudgetId, SessionId};
use crate::session::{SEEN_STEP_MS, Session};
use crate::time::Timestamp;

/// A session that is found goes on where it is known as one without hooks, and begins where it is not known. One that
/// hooks tell of stays as it is.
pub(super) fn decide(state: &State, found: &Found, now: Timestamp) -> Decision {
    let events = match state.sessions.get(&found.session) {
        Some(known) if known.unhooked => goes_on(known, now).into_iter().collect(),
        Some(_) => Vec::new(),
        None => begins(state, found, now),
    };
    Decision { reply: Reply::None, events }
}

fn goes_on(known: &Session, now: Timestamp) -> Option<Event> {
    let says_more = known.ended.is_some() || now.since(known.last_seen) >= SEEN_STEP_MS;
    says_more.then(|| Event::Session(Session { ended: None, last_seen: now, ..known.clone() }))
}

fn begins(state: &State, found: &Found, now: Timestamp) -> Vec<Event> {
    let began = found.began.min(now);
    let mut events = vec![Event::Session(Session {
        id: found.session.clone(),
        first_seen: began,
        last_seen: now,
        ended: None,
        cwd: found.cwd.clone(),
        project: found.project.clone(),
        transcript: Some(found.transcript.clone()),
        client_pid: None,
        attended: true,
        shown_as: None,
        tasks: BTreeSet::new(),
        env_task: None,
        draws_on: None,
        follows: None,
        unhooked: true,
        unconfirmed: false,
        payload_rows: 0,
    })];
    let id = BudgetId::Session(found.session.clone());
    if state.policy.enabled && !state.budgets.contains_key(&id) {
        let budget = Budget::new(id.clone(), state.policy.session, &state.policy, "main".to_owned(), began);
        events.push(Event::Budget(budget));
    }
    events.extend(new_agent(state, found.session.clone(), AgentKey::Main, None, began));
    let kind = AlertType::UnhookedSession;
    let told = state.alerts.values().filter(|a| a.alert_type == kind && !a.acknowledged).count();
    if told < MAX_UNHOOKED_ALERTS {
        let agent = "main".to_owned();
        let alert = Alert::without_figures(AlertId(state.next_alert), id, kind, agent, now);
        events.push(Event::Alert(alert));
    }
    events
}

/// A session's total may be short from then on. Of each version people are told once, until they have seen it.
pub(super) fn doubted(state: &State, session: &SessionId, version: &str, now: Timestamp) -> Decision {
    let mut events = Vec::new();
    if let Some(known) = state.sessions.get(session).filter(|s| !s.unconfirmed) {
        events.push(Event::Session(Session { unconfirmed: true, ..known.clone() }));
        let kind = AlertType::MeteringNotConfirmed;
        let told: Vec<_> =
            state.alerts.values().filter(|a| a.alert_type == kind && !a.acknowledged).collect();
        let is_told = told.iter().any(|a| a.model.as_deref() == Some(version));
        if !is_told && told.len() < MAX_METERING_ALERTS {
            let about = BudgetId::Session(session.clone());
            let id = AlertId(state.next_alert);
            let alert = Alert::without_figures(id, about, kind, "main".to_owned(), now);
            events.push(Event::Alert(Alert { model: Some(version.to_owned()), ..alert }));
        }
    }
    Decision { reply: Reply::None, events }
}
