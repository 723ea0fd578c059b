//! A hook's verdict.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::State;
use crate::alert::{Alert, AlertType};
use crate::budget::{Budget, Seal};
use crate::command::Hook;
use crate::decide::family::next_alert;
use crate::decide::holds::{begin, instead_of_hold};
use crate::decide::{Decision, Reply, calls, settle, texts};
use crate::event::Event;
use crate::ids::{AgentKey, AlertId, BudgetId, SessionId, to_name};
use crate::policy::{Limit, Mode};
use crate::run::Begins;
use crate::session::{Agent, SEEN_STEP_MS, Session};
use crate::shut::Shut;
use crate::table::{Cell, HookEvent, cell};
use crate::time::Timestamp;
use crate::verdict::{Verdict, Why};

pub(super) fn decide(state: &State, hook: &Hook, now: Timestamp) -> Decision {
    let known = state.sessions.get(&hook.session);
    let mut events = meet_as(known, state, hook, now);
    let counted = calls::count(state, hook, now, &mut events);
    let above: Vec<&Budget> =
        above(known, state, hook).iter().filter_map(|id| state.budgets.get(id)).collect();
    let verdict = match state.tightest(above.iter().copied(), counted.meets()) {
        Some(shut) => stopped(state, hook, shut, now, &mut events),
        None => texts::open(state, hook, &above, &counted, &mut events),
    };
    Decision { reply: Reply::Verdict(verdict), events }
}

/// The budgets above a hook. Its own client's environment says which task it draws on, whatever that of another
/// client on the same session said last.
fn above(known: Option<&Session>, state: &State, hook: &Hook) -> Vec<BudgetId> {
    let named = hook.task.as_deref().map(to_name);
    let mut ids = State::above_of(known, &hook.session, &hook.agent, named.as_deref());
    if let Some(purse) = draws_on(state, hook) {
        let own = BudgetId::Session(hook.session.clone());
        ids.iter_mut().filter(|id| **id == own).for_each(|id| *id = BudgetId::Session(purse.clone()));
    }
    ids
}

/// Whose budget a session draws on that is met for the first time.
fn draws_on(state: &State, hook: &Hook) -> Option<SessionId> {
    let parent = hook.parent.as_ref().filter(|parent| state.sessions.contains_key(*parent))?;
    (!state.sessions.contains_key(&hook.session)).then(|| state.purse(parent).clone())
}

/// The session that a `/clear` ended for a new one: the last one of the same client.
fn follows(state: &State, hook: &Hook) -> Option<SessionId> {
    let client = hook.client_pid.filter(|_| hook.begins == Some(Begins::Clear))?;
    let ended = state.sessions.values().filter(|s| s.client_pid == Some(client) && s.id != hook.session);
    ended.max_by_key(|s| s.ended).map(|s| s.id.clone())
}

fn stopped(state: &State, hook: &Hook, shut: Shut<'_>, now: Timestamp, events: &mut Vec<Event>) -> Verdict {
    let decided = cell(hook.event, state.policy.on_pause, shut.is_final());
    let because_shut = Some(shut.because());
    if state.policy.mode == Mode::Observe {
        let would = (decided != Cell::Allow).then_some(decided);
        return Verdict { would, because: because_shut, ..Verdict::ALLOW };
    }
    if decided != Cell::Hold {
        return Verdict { cell: decided, because: because_shut, ..Verdict::ALLOW };
    }
    if !hook.attended && is_one_too_many(state, hook) {
        let alert = too_many_alert(state, shut, now, events);
        events.extend(alert);
        return instead(hook, shut, Why::TooManyUnattended);
    }
    let Some(hold) = begin(state, hook, shut, now) else {
        // No time to wait at all (CI): that is a hold that ran out.
        events.push(sealed(shut, now));
        return instead(hook, shut, Why::RanOut);
    };
    let verdict = Verdict { cell: Cell::Hold, because: because_shut, hold: Some(hold.id), ..Verdict::ALLOW };
    events.push(Event::Hold(hold));
    verdict
}

/// The verdict where a hold is not to be had.
fn instead(hook: &Hook, shut: Shut<'_>, why: Why) -> Verdict {
    Verdict { cell: instead_of_hold(hook.event), because: Some(shut.because_of(why)), ..Verdict::ALLOW }
}

fn sealed(shut: Shut<'_>, now: Timestamp) -> Event {
    match shut {
        Shut::Budget(budget) => {
            let mut budget = budget.clone();
            budget.seal(Seal::RanOut, now);
            Event::Budget(budget)
        }
        Shut::Circuit(circuit) => {
            let mut circuit = circuit.clone();
            circuit.seal(Seal::RanOut, now);
            Event::Circuit(Arc::new(circuit))
        }
    }
}

/// Whether as many other unattended sessions are held as may be: it is the client that costs memory, not its hook.
fn is_one_too_many(state: &State, hook: &Hook) -> bool {
    let held: BTreeSet<_> = state.waiting().filter(|h| !h.attended).map(|h| &h.session).collect();
    !held.contains(&hook.session) && held.len() >= state.policy.max_unattended_holds
}

fn too_many_alert(state: &State, shut: Shut<'_>, now: Timestamp, sofar: &[Event]) -> Option<Event> {
    let kind = AlertType::TooManyUnattended;
    if state.alerts.values().any(|a| a.alert_type == kind && !a.acknowledged) {
        return None;
    }
    let id = next_alert(state, sofar);
    Some(Event::Alert(match shut {
        Shut::Budget(budget) => alert(id, budget, kind, now),
        Shut::Circuit(circuit) => Alert { alert_type: kind, ..calls::tripped(id, circuit, now) },
    }))
}

/// An alert about a budget as it is.
pub(super) fn alert(id: AlertId, budget: &Budget, alert_type: AlertType, now: Timestamp) -> Alert {
    Alert {
        alert_id: id,
        budget_id: budget.id.clone(),
        alert_type,
        utilization: budget.utilization(),
        tokens_used: budget.tokens_used(),
        max_tokens: budget.max.tokens,
        micro_usd_used: budget.used.micro_usd,
        max_micro_usd: budget.max.micro_usd,
        timestamp: now,
        acknowledged: false,
        agent: budget.agent.clone(),
        trip: None,
        model: None,
        estimated: budget.used.estimated > 0,
        alarm: None,
    }
}

/// Makes known what a hook names for the first time: session, agent, task and their budgets.
pub(super) fn meet(state: &State, hook: &Hook, now: Timestamp) -> Vec<Event> {
    meet_as(state.sessions.get(&hook.session), state, hook, now)
}

fn meet_as(known: Option<&Session>, state: &State, hook: &Hook, now: Timestamp) -> Vec<Event> {
    let mut events = Vec::new();
    let began = now.min(hook.wall);
    if !known.is_some_and(|session| says_nothing_new(session, hook, now)) {
        events.push(Event::Session(met_session(state, known, hook, now)));
    }
    let shown = hook.shown_as.as_deref().or(known.and_then(|s| s.shown_as.as_deref())).unwrap_or("main");
    let mut start = |id: BudgetId, limit: Limit, agent: &str, about: Option<&str>| {
        if state.policy.enabled && !state.budgets.contains_key(&id) {
            let mut budget = Budget::new(id, limit, &state.policy, agent.to_owned(), began);
            budget.task_description = about.map(str::to_owned);
            events.push(Event::Budget(budget));
        }
    };
    let own = || known.map_or(&hook.session, Session::purse).clone();
    let purse = draws_on(state, hook).unwrap_or_else(own);
    start(BudgetId::Session(purse), state.policy.session, shown, None);
    if let Some(task) = &hook.task {
        let limit = state.policy.task_limit(hook.task_type.as_deref());
        start(BudgetId::Task(to_name(task)), limit, shown, hook.task_type.as_deref());
    }
    events.extend(met_agent(state, hook, now));
    events.extend(settle::met(state, hook, now).map(|runs| Event::Runs(Box::new(runs))));
    events
}

/// Whether a known session stays as it is: so it is with most hooks, and nothing is copied then.
fn says_nothing_new(session: &Session, hook: &Hook, now: Timestamp) -> bool {
    let same = |old: &Option<String>, new: &Option<String>| new.is_none() || old == new;
    now.since(session.last_seen) < SEEN_STEP_MS
        && session.ended.is_none()
        && !session.unhooked
        && hook.event != HookEvent::SessionEnd
        && session.attended == hook.attended
        && session.env_task == hook.task
        && same(&session.transcript, &hook.transcript)
        && same(&session.shown_as, &hook.shown_as)
        && (hook.client_pid.is_none() || session.client_pid == hook.client_pid)
}

fn met_session(state: &State, known: Option<&Session>, hook: &Hook, now: Timestamp) -> Session {
    let mut session = known.cloned().unwrap_or_else(|| Session {
        id: hook.session.clone(),
        first_seen: now.min(hook.wall),
        last_seen: now,
        ended: None,
        cwd: hook.cwd.clone(),
        project: hook.project.clone(),
        transcript: None,
        client_pid: None,
        attended: hook.attended,
        shown_as: None,
        tasks: BTreeSet::new(),
        env_task: None,
        draws_on: draws_on(state, hook),
        follows: follows(state, hook),
        unhooked: false,
        unconfirmed: false,
        payload_rows: 0,
    });
    if now.since(session.last_seen) >= SEEN_STEP_MS {
        session.last_seen = now;
    }
    session.ended = (hook.event == HookEvent::SessionEnd).then_some(now);
    session.unhooked = false;
    session.attended = hook.attended;
    session.env_task = hook.task.as_deref().map(to_name);
    let take = |old: &mut Option<String>, new: &Option<String>| {
        if new.is_some() {
            old.clone_from(new);
        }
    };
    take(&mut session.transcript, &hook.transcript);
    take(&mut session.shown_as, &hook.shown_as);
    session.client_pid = hook.client_pid.or(session.client_pid);
    session
}

fn met_agent(state: &State, hook: &Hook, now: Timestamp) -> Vec<Event> {
    let known = state.agents.contains_key(&(hook.session.clone(), hook.agent.clone()));
    // A compaction ends with a SubagentStop of an agent that never started.
    if known || (hook.event == HookEvent::SubagentStop && hook.agent_type.as_deref() == Some("")) {
        return Vec::new();
    }
    let began = now.min(hook.wall);
    new_agent(state, hook.session.clone(), hook.agent.clone(), hook.agent_type.clone(), began)
}

/// An agent seen for the first time, and a subagent's budget.
pub(super) fn new_agent(
    state: &State,
    session: SessionId,
    key: AgentKey,
    agent_type: Option<String>,
    now: Timestamp,
) -> Vec<Event> {
    let budget = key.sub().map(|id| BudgetId::Agent(id.to_owned()));
    let shown = agent_type.clone().filter(|t| !t.is_empty()).unwrap_or_else(|| key.to_string());
    let agent = Agent {
        session,
        key,
        agent_type,
        first_seen: now,
        context_tokens: 0,
        context_at: Timestamp::default(),
        heard: std::collections::BTreeMap::new(),
    };
    let mut events = vec![Event::Agent(agent)];
    if let Some(id) = budget.filter(|id| state.policy.enabled && !state.budgets.contains_key(id)) {
        let limit = Limit { tokens: state.policy.subagent_tokens, micro_usd: 0 };
        events.push(Event::Budget(Budget::new(id, limit, &state.policy, shown, now)));
    }
    events
}
