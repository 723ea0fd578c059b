//! A hook's verdict.

use std::collections::BTreeSet;

use crate::State;
use crate::alert::{Alert, AlertType};
use crate::budget::{Budget, Seal, Status};
use crate::command::Hook;
use crate::decide::holds::{because, begin, instead_of_hold, why_shut};
use crate::decide::{Decision, Reply};
use crate::event::Event;
use crate::ids::{AgentKey, AlertId, BudgetId, to_name};
use crate::policy::{Limit, Mode, OnPause};
use crate::session::{Agent, SEEN_STEP_MS, Session};
use crate::table::{Cell, HookEvent, cell};
use crate::time::Timestamp;
use crate::verdict::{ModelText, Verdict, Why};

pub(super) fn decide(state: &State, hook: &Hook, now: Timestamp) -> Decision {
    let mut events = meet(state, hook, now);
    if !state.policy.enabled {
        return Decision { reply: Reply::Verdict(Verdict::ALLOW), events };
    }
    let above = above(state, hook);
    let verdict = match state.tightest_of(&above) {
        Some(budget) => shut(state, hook, budget, now, &mut events),
        None => open(state, hook, above, &mut events),
    };
    Decision { reply: Reply::Verdict(verdict), events }
}

/// The budgets above a hook. Its own client's environment says which task it draws on, whatever that of another
/// client on the same session said last.
fn above(state: &State, hook: &Hook) -> Vec<BudgetId> {
    let named = hook.task.as_deref().map(to_name);
    state.above_naming(&hook.session, &hook.agent, named.as_deref())
}

fn shut(state: &State, hook: &Hook, budget: &Budget, now: Timestamp, events: &mut Vec<Event>) -> Verdict {
    let decided = cell(hook.event, state.policy.on_pause, budget.status == Status::Exhausted);
    let because_shut = Some(because(budget, why_shut(budget)));
    if state.policy.mode == Mode::Observe {
        let would = (decided != Cell::Allow).then_some(decided);
        return Verdict { would, because: because_shut, ..Verdict::ALLOW };
    }
    if decided != Cell::Hold {
        return Verdict { cell: decided, because: because_shut, ..Verdict::ALLOW };
    }
    if !hook.attended && is_one_too_many(state, hook) {
        events.extend(too_many_alert(state, budget, now));
        let why = Why::TooManyUnattended;
        return Verdict {
            cell: instead_of_hold(hook.event),
            because: Some(because(budget, why)),
            ..Verdict::ALLOW
        };
    }
    let Some(hold) = begin(state, hook, budget, now) else {
        // No time to wait at all (CI): that is a hold that ran out.
        let mut sealed = budget.clone();
        sealed.seal(Seal::RanOut, now);
        let verdict = Verdict {
            cell: instead_of_hold(hook.event),
            because: Some(because(&sealed, Why::RanOut)),
            ..Verdict::ALLOW
        };
        events.push(Event::Budget(sealed));
        return verdict;
    };
    let verdict = Verdict { cell: Cell::Hold, because: because_shut, hold: Some(hold.id), ..Verdict::ALLOW };
    events.push(Event::Hold(hold));
    verdict
}

/// Whether as many other unattended sessions are held as may be: it is the client that costs memory, not its hook.
fn is_one_too_many(state: &State, hook: &Hook) -> bool {
    let held: BTreeSet<_> = state.waiting().filter(|h| !h.attended).map(|h| &h.session).collect();
    !held.contains(&hook.session) && held.len() >= state.policy.max_unattended_holds
}

fn too_many_alert(state: &State, budget: &Budget, now: Timestamp) -> Option<Event> {
    let kind = AlertType::TooManyUnattended;
    let standing = state.alerts.values().any(|a| a.alert_type == kind && !a.acknowledged);
    (!standing).then(|| Event::Alert(alert(AlertId(state.next_alert), budget, kind, now)))
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
    }
}

/// Nothing is shut: the model may have to hear of a warning, each agent once for each crossing.
fn open(state: &State, hook: &Hook, above: Vec<BudgetId>, events: &mut Vec<Event>) -> Verdict {
    if !hook.event.carries_text() {
        return Verdict::ALLOW;
    }
    let key = (hook.session.clone(), hook.agent.clone());
    let Some(agent) = state.agents.get(&key) else { return Verdict::ALLOW };
    let heard = |id: &BudgetId| agent.heard.get(id).copied().unwrap_or(0);
    let warns = above
        .into_iter()
        .filter_map(|id| state.budgets.get(&id))
        .filter(|b| b.status == Status::Warning && b.crossings > heard(&b.id))
        .max_by_key(|b| b.utilization());
    let Some(budget) = warns else { return Verdict::ALLOW };
    let mut agent = agent.clone();
    agent.heard.insert(budget.id.clone(), budget.crossings);
    events.push(Event::Agent(agent));
    let ends = budget.finishing || state.policy.on_pause != OnPause::Hold;
    let about = because(budget, Why::Warning);
    if state.policy.mode == Mode::Observe {
        return Verdict { because: Some(about), ..Verdict::ALLOW };
    }
    Verdict {
        text: Some(ModelText::Warning { about: about.clone(), ends }),
        because: Some(about),
        ..Verdict::ALLOW
    }
}

/// Makes known what a hook names for the first time: session, agent, task and their budgets.
pub(super) fn meet(state: &State, hook: &Hook, now: Timestamp) -> Vec<Event> {
    let mut events = Vec::new();
    let began = now.min(hook.wall);
    let known = state.sessions.get(&hook.session);
    if !known.is_some_and(|session| says_nothing_new(session, hook, now)) {
        events.push(Event::Session(met_session(known, hook, now)));
    }
    let shown = hook.shown_as.as_deref().or(known.and_then(|s| s.shown_as.as_deref())).unwrap_or("main");
    let mut start = |id: BudgetId, limit: Limit, agent: &str, about: Option<&str>| {
        if state.policy.enabled && !state.budgets.contains_key(&id) {
            let mut budget = Budget::new(id, limit, &state.policy, agent.to_owned(), began);
            budget.task_description = about.map(str::to_owned);
            events.push(Event::Budget(budget));
        }
    };
    start(BudgetId::Session(hook.session.clone()), state.policy.session, shown, None);
    if let Some(task) = &hook.task {
        let limit = state.policy.task_limit(hook.task_type.as_deref());
        start(BudgetId::Task(to_name(task)), limit, shown, hook.task_type.as_deref());
    }
    events.extend(met_agent(state, hook, now));
    events
}

/// Whether a known session stays as it is: so it is with most hooks, and nothing is copied then.
fn says_nothing_new(session: &Session, hook: &Hook, now: Timestamp) -> bool {
    let same = |old: &Option<String>, new: &Option<String>| new.is_none() || old == new;
    now.since(session.last_seen) < SEEN_STEP_MS
        && session.ended.is_none()
        && hook.event != HookEvent::SessionEnd
        && session.attended == hook.attended
        && session.env_task == hook.task
        && same(&session.transcript, &hook.transcript)
        && same(&session.shown_as, &hook.shown_as)
        && (hook.client_pid.is_none() || session.client_pid == hook.client_pid)
}

fn met_session(known: Option<&Session>, hook: &Hook, now: Timestamp) -> Session {
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
        payload_rows: 0,
    });
    if now.since(session.last_seen) >= SEEN_STEP_MS {
        session.last_seen = now;
    }
    session.ended = (hook.event == HookEvent::SessionEnd).then_some(now);
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
    session: crate::ids::SessionId,
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
