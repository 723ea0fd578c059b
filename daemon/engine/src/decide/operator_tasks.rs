//! Tasks: named units of work with a budget of their own, over one or several sessions.

use crate::State;
use crate::budget::Budget;
use crate::circuit::CircuitId;
use crate::command::{Act, Operator};
use crate::decide::holds::ended;
use crate::decide::operator::{Ending, Outcome, changed, done, ended_in};
use crate::error::OperatorError;
use crate::event::Event;
use crate::hold::{Hold, HoldEnd};
use crate::ids::{BudgetId, to_name};
use crate::policy::Limit;
use crate::session::Session;
use crate::time::Timestamp;

/// The most tasks that one session draws on because somebody said so.
const MAX_TASKS_OF_A_SESSION: usize = 16;

/// The most tasks that there are.
const MAX_TASKS: usize = 10_000;

/// Begins a task, or has a session join it. Open to all, since it only adds a limit: a task that is there keeps its own
/// limit unless the new one is lower or an operator sets it.
pub(super) fn start(state: &State, operator: &Operator, now: Timestamp) -> Result<Outcome, OperatorError> {
    let Act::StartTask { task, session, task_type, tokens, description } = &operator.act else {
        return Err(OperatorError::NothingGiven);
    };
    let known =
        state.sessions.get(session).ok_or_else(|| OperatorError::NotFound(format!("session {session}")))?;
    let name = to_name(task);
    let id = BudgetId::Task(name.clone());
    check_room(state, known, &name)?;
    let mut budget = if let Some(budget) = state.budgets.get(&id) {
        rejoined(budget, *tokens, operator, state, now)?
    } else {
        let usual = state.policy.task_limit(task_type.as_deref());
        let limit = Limit { tokens: tokens.unwrap_or(usual.tokens), ..usual };
        // Whoever names the task next would find a limit looser than the configured one.
        if operator.may_only_tighten && !is_at_least_as_tight(limit.tokens, usual.tokens) {
            return Err(OperatorError::Refused(format!(
                "Refused: only the operator gives a new task more than the usual {} tokens.",
                usual.tokens
            )));
        }
        let shown = known.shown_as.as_deref().unwrap_or("main").to_owned();
        let mut budget = Budget::new(id, limit, &state.policy, shown, now);
        budget.anybody_ends = operator.by_agent;
        budget
    };
    if let Some(about) = description.as_ref().or(task_type.as_ref()) {
        budget.task_description = Some(about.clone());
    }
    budget.last_updated = now;
    let mut joined = Session { ..known.clone() };
    joined.tasks.insert(name);
    let ending = Ending { end: HoldEnd::Released, said: None };
    let mut outcome = changed(state, budget, ending, Limit::default(), now);
    outcome.events.insert(0, Event::Session(joined));
    Ok(outcome)
}

/// A limit of 0 means none.
fn is_at_least_as_tight(tokens: u64, other: u64) -> bool {
    other == 0 || (tokens > 0 && tokens <= other)
}

/// Each request counts in every task of its session, and whoever may begin one may be an agent in a loop.
fn check_room(state: &State, session: &Session, name: &str) -> Result<(), OperatorError> {
    let is_new = !session.tasks.contains(name);
    if is_new && session.tasks.len() >= MAX_TASKS_OF_A_SESSION {
        return Err(OperatorError::Refused(format!(
            "Refused: session {} draws on {MAX_TASKS_OF_A_SESSION} tasks already; end one with `bursar task end`.",
            session.id
        )));
    }
    let begun = state.budgets.keys().filter(|id| matches!(id, BudgetId::Task(_))).count();
    if !state.budgets.contains_key(&BudgetId::Task(name.to_owned())) && begun >= MAX_TASKS {
        return Err(OperatorError::Refused(format!(
            "Refused: there are {MAX_TASKS} tasks already; name one of them."
        )));
    }
    Ok(())
}

fn rejoined(
    budget: &Budget,
    tokens: Option<u64>,
    operator: &Operator,
    state: &State,
    now: Timestamp,
) -> Result<Budget, OperatorError> {
    let mut budget = budget.clone();
    // What an operator joins is the operator's to end.
    budget.anybody_ends &= operator.by_agent;
    let Some(tokens) = tokens.filter(|t| *t != budget.base.tokens) else { return Ok(budget) };
    let lower = is_at_least_as_tight(tokens, budget.base.tokens);
    // Setting a limit lifts a seal, so what is shut is not touched by those who may only tighten.
    if operator.may_only_tighten && (!lower || budget.status.is_shut()) {
        return Err(OperatorError::Refused(format!(
            "Refused: {} has a limit of {} tokens already; only the operator sets another.",
            budget.id, budget.base.tokens
        )));
    }
    budget.set_limits(Some(tokens), None, &state.policy, now);
    Ok(budget)
}

/// Who waits under an ended task goes on, unless something else holds him or his client's environment still names it.
fn left(state: &State, id: &BudgetId, name: &str, now: Timestamp) -> Vec<Event> {
    let names =
        |hold: &&Hold| state.sessions.get(&hold.session).is_some_and(|s| s.env_task.as_deref() == Some(name));
    let held = state.waiting().filter(|h| h.blocker.budget() == Some(id) && !names(h));
    held.map(|hold| {
        let mut above = state.above(&hold.session, &hold.agent);
        above.retain(|other| other != id);
        match state.tightest_of(&above, &CircuitId::of(&hold.session, &hold.agent)) {
            None => ended(hold, HoldEnd::Released, now),
            Some(other) => Event::Hold(Hold { blocker: other.blocker(), ..hold.clone() }),
        }
    })
    .collect()
}

/// No session draws on the task any more. Its total stays, for whoever begins it again.
pub(super) fn end(
    state: &State,
    operator: &Operator,
    task: &str,
    now: Timestamp,
) -> Result<Outcome, OperatorError> {
    let name = to_name(task);
    let id = BudgetId::Task(name.clone());
    let budget = state.budgets.get(&id).ok_or_else(|| OperatorError::NotFound(format!("task {name}")))?;
    if operator.may_only_tighten && (!budget.anybody_ends || budget.status.is_shut()) {
        return Err(OperatorError::Refused(format!(
            "Refused: only the operator ends {id}, which {}.",
            if budget.status.is_shut() { "is shut" } else { "an operator began" }
        )));
    }
    let mut budget = budget.clone();
    budget.last_updated = now;
    let leaving = state.sessions.values().filter(|s| s.tasks.contains(&name)).map(|s| {
        let mut session = s.clone();
        session.tasks.remove(&name);
        Event::Session(session)
    });
    let mut events: Vec<Event> = leaving.collect();
    events.push(Event::Budget(budget.clone()));
    let holds = left(state, &id, &name, now);
    let released = ended_in(&holds);
    events.extend(holds);
    Ok(Outcome { done: done(state, budget, released), events, added: Limit::default() })
}
