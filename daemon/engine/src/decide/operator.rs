//! A human's acts.

use std::collections::BTreeSet;

use crate::State;
use crate::alert::AlertType;
use crate::budget::{Budget, Grant, MAX_EXTENSION_MICRO_USD, MAX_EXTENSION_TOKENS, Seal, Status};
use crate::circuit::Circuit;
use crate::command::{Act, Amount, Operator};
use crate::decide::holds::{Changed, context_under, reconsider, release_all};
use crate::decide::hook::alert;
use crate::decide::{Decision, Done, Reply, operator_circuits as circuits, operator_tasks as tasks, protect};
use crate::error::OperatorError;
use crate::event::{Event, OperatorRecord};
use crate::hold::{Blocker, HoldEnd};
use crate::ids::{AlertId, BudgetId};
use crate::policy::Limit;
use crate::ratio::Ratio;
use crate::time::Timestamp;
use crate::usage::Usage;

/// How the targets of acts on circuits begin, as [`Blocker`] writes them.
const CIRCUIT: &str = "circuit ";

/// What finishing is granted beyond the context that is cached anew, in tokens (4.5).
pub(super) const FINISH_UP_TOKENS: u64 = 20_000;

pub(super) fn decide(state: &State, operator: &Operator, now: Timestamp) -> Decision {
    let mut again = false;
    let outcome = match (&operator.refused, state.acts.target(operator.act.name(), &operator.request_id)) {
        (Some(why), _) => Err(OperatorError::Refused(why.clone())),
        (None, Some(target)) if operator.act.target().is_some_and(|named| named != target) => {
            Err(OperatorError::OtherTarget(target.to_owned()))
        }
        (None, Some(target)) => {
            again = true;
            Ok(done_before(state, target))
        }
        (None, None) => act(state, operator, now),
    };
    let (reply, mut events, added, target) = match outcome {
        Ok(Outcome { done, events, added }) => {
            let target = done.blocker().map_or_else(String::new, |b| b.to_string());
            (Ok(done), events, added, target)
        }
        Err(error) => (Err(error), Vec::new(), Limit::default(), String::new()),
    };
    // What is done twice under one id is recorded once.
    if !again {
        events.push(Event::Operator(OperatorRecord {
            request_id: operator.request_id.clone(),
            at: now,
            who: operator.who.clone(),
            reason: operator.reason.clone(),
            act: operator.act.name().to_owned(),
            target,
            tokens: added.tokens,
            micro_usd: added.micro_usd,
            said: operator.say.clone(),
            refused: reply.as_ref().err().map(ToString::to_string),
        }));
    }
    Decision { reply: Reply::Operator(reply), events }
}

/// What an act comes to.
pub(super) struct Outcome {
    pub(super) done: Done,
    pub(super) events: Vec<Event>,
    pub(super) added: Limit,
}

fn act(state: &State, operator: &Operator, now: Timestamp) -> Result<Outcome, OperatorError> {
    match &operator.act {
        Act::Extend { budget, amount } => extend(state, operator, budget.as_ref(), *amount, now),
        Act::Finish(budget) => finish(state, operator, budget.as_ref(), now),
        Act::Decline(budget) => decline(state, budget.as_ref(), now),
        Act::Reset(id) => {
            let mut budget = named(state, id)?.clone();
            budget.reset(now);
            Ok(changed(state, budget, Ending { end: HoldEnd::Released, said: None }, Limit::default(), now))
        }
        Act::Set { budget, tokens, micro_usd, alert, shut } => {
            let budget = named(state, budget)?;
            // Decided here too: it may have been shut or lowered since the gate looked.
            if operator.may_only_tighten && !budget.only_tightens(*tokens, *micro_usd, *alert) {
                return Err(OperatorError::Refused(format!(
                    "Refused: only the operator sets {} so.",
                    budget.id
                )));
            }
            Ok(set(state, budget, (*tokens, *micro_usd), *alert, *shut, now))
        }
        Act::AcknowledgeAlert(id) => acknowledge(state, *id),
        Act::Release => Ok(on_no_budget(release_all(state, now))),
        Act::Protect(protect) => Ok(on_no_budget(protect::act(state, protect, now)?)),
        Act::AcceptConfig { policy, settings } => {
            Ok(on_no_budget(protect::configured(state, policy, settings, now)))
        }
        Act::Acknowledge(id) => circuits::acknowledge(state, id.as_ref(), operator.say.as_deref(), now),
        Act::ResetCircuit(id) => circuits::reset(state, id, now),
        Act::AllowOnce(id) => circuits::allow_once(state, id.as_ref(), operator.say.as_deref(), now),
        Act::SwitchCircuits { session, off } => circuits::switch(state, session, *off, now),
        Act::Exempt { session, tool, exempt } => circuits::exempt(state, session, tool, *exempt, now),
        Act::DeclineCircuit(id) => circuits::decline(state, id.as_ref(), now),
        Act::StartTask { .. } => tasks::start(state, operator, now),
        Act::EndTask(task) => tasks::end(state, operator, task, now),
    }
}

/// Stops what holds: the budget, or without a name whatever holds somebody. Under an id that a circuit holds by and no
/// budget does, the circuit is meant.
fn decline(state: &State, id: Option<&BudgetId>, now: Timestamp) -> Result<Outcome, OperatorError> {
    let by_circuit = match id {
        None => match holding(state, |_| true)? {
            Blocker::Circuit(circuit) => Some(circuit),
            Blocker::Budget(_) => None,
        },
        Some(id) => {
            let holds = |b: &Blocker| state.waiting().any(|h| h.blocker == *b);
            let circuit = id.to_string().parse().ok();
            circuit.filter(|c: &crate::circuit::CircuitId| {
                holds(&Blocker::Circuit(c.clone())) && !holds(&Blocker::Budget(id.clone()))
            })
        }
    };
    if let Some(circuit) = by_circuit {
        return circuits::decline(state, Some(&circuit), now);
    }
    let mut budget = named_or_holding(state, id)?.clone();
    budget.seal(Seal::Declined, now);
    Ok(changed(state, budget, Ending { end: HoldEnd::Declined, said: None }, Limit::default(), now))
}

fn named<'a>(state: &'a State, id: &BudgetId) -> Result<&'a Budget, OperatorError> {
    state.budgets.get(id).ok_or_else(|| OperatorError::NotFound(format!("budget {id}")))
}

fn named_or_holding<'a>(state: &'a State, id: Option<&BudgetId>) -> Result<&'a Budget, OperatorError> {
    if let Some(id) = id {
        return named(state, id);
    }
    match holding(state, |b| b.budget().is_some()) {
        Ok(Blocker::Budget(id)) => named(state, &id),
        Ok(Blocker::Circuit(_)) => Err(OperatorError::NobodyWaits),
        Err(OperatorError::NobodyWaits) => Err(held_by_circuit(state)),
        Err(e) => Err(e),
    }
}

/// Nobody waits for a budget; perhaps somebody does for a circuit.
fn held_by_circuit(state: &State) -> OperatorError {
    let circuit = state.waiting().find_map(|h| h.blocker.circuit());
    circuit.map_or(OperatorError::NobodyWaits, |id| OperatorError::HeldByCircuit(id.clone()))
}

/// The one of these that holds somebody.
pub(super) fn holding(state: &State, wanted: fn(&Blocker) -> bool) -> Result<Blocker, OperatorError> {
    let holding: BTreeSet<&Blocker> = state.waiting().map(|h| &h.blocker).filter(|b| wanted(b)).collect();
    let mut holding = holding.into_iter();
    match (holding.next(), holding.next()) {
        (None, _) => Err(OperatorError::NobodyWaits),
        (Some(one), None) => Ok(one.clone()),
        (Some(a), Some(b)) => {
            Err(OperatorError::Several([a, b].into_iter().chain(holding).cloned().collect()))
        }
    }
}

fn extend(
    state: &State,
    operator: &Operator,
    id: Option<&BudgetId>,
    amount: Amount,
    now: Timestamp,
) -> Result<Outcome, OperatorError> {
    let budget = named_or_holding(state, id)?;
    let added = match amount {
        Amount::Exact(limit) => limit,
        Amount::Percent(percent) => Limit {
            tokens: percent_of(budget.base.tokens, percent),
            micro_usd: percent_of(budget.base.micro_usd, percent),
        },
    };
    check_extension(budget, added)?;
    let mut budget = budget.clone();
    let grant = Grant { tokens: added.tokens, micro_usd: added.micro_usd, finish_up: false, at: now };
    budget.grant(&operator.request_id, grant, &state.policy);
    let said = operator.say.as_deref();
    Ok(changed(state, budget, Ending { end: HoldEnd::Extended, said }, added, now))
}

/// The same act under the same id, done before: what is true now is said again.
fn done_before(state: &State, target: &str) -> Outcome {
    let circuit = target.strip_prefix(CIRCUIT).and_then(|id| state.circuit(&id.parse().ok()?));
    let budget = target.parse().ok().and_then(|id: BudgetId| state.budgets.get(&id));
    let done = match (budget, circuit) {
        (Some(budget), _) => done(state, budget.clone(), 0),
        (None, Some(circuit)) => done_to_circuit(circuit.clone(), 0),
        (None, None) => done_to_all(0),
    };
    Outcome { done, events: Vec::new(), added: Limit::default() }
}

fn check_extension(budget: &Budget, added: Limit) -> Result<(), OperatorError> {
    if added == Limit::default() {
        return Err(OperatorError::NothingGiven);
    }
    let budget_id = || budget.id.clone();
    if added.tokens > 0 && budget.max.tokens == 0 {
        return Err(OperatorError::NoLimit { budget: budget_id(), unit: "tokens" });
    }
    if added.micro_usd > 0 && budget.max.micro_usd == 0 {
        return Err(OperatorError::NoLimit { budget: budget_id(), unit: "dollars" });
    }
    let max = MAX_EXTENSION_TOKENS.max(budget.base.tokens);
    if added.tokens > max {
        return Err(OperatorError::TooMuch { budget: budget_id(), max, unit: "tokens" });
    }
    let max = MAX_EXTENSION_MICRO_USD.max(budget.base.micro_usd);
    if added.micro_usd > max {
        return Err(OperatorError::TooMuch { budget: budget_id(), max, unit: "micro-dollars" });
    }
    Ok(())
}

/// What is over the limit, and then the greater of 5 % and the context to be cached anew + 20,000 tokens.
fn finish(
    state: &State,
    operator: &Operator,
    id: Option<&BudgetId>,
    now: Timestamp,
) -> Result<Outcome, OperatorError> {
    let budget = named_or_holding(state, id)?;
    if budget.grants.values().any(|g| g.finish_up) {
        return Err(OperatorError::AlreadyFinishing(budget.id.clone()));
    }
    if budget.max == Limit::default() {
        return Err(OperatorError::NoLimit { budget: budget.id.clone(), unit: "tokens" });
    }
    let anew = Usage { cache_write_5m: context_under(state, budget), ..Usage::default() };
    let context = state.policy.weights.weigh(anew).div_ceil(crate::usage::MICRO);
    let missing = budget.missing(&state.policy);
    let need = percent_of(budget.base.tokens, 5).max(context.saturating_add(FINISH_UP_TOKENS));
    let dollars = percent_of(budget.base.micro_usd, 5).max(at_its_average(budget, need)).max(1);
    let added = Limit {
        tokens: if budget.max.tokens == 0 { 0 } else { missing.tokens.saturating_add(need) },
        micro_usd: if budget.max.micro_usd == 0 { 0 } else { missing.micro_usd.saturating_add(dollars) },
    };
    let mut budget = budget.clone();
    let grant = Grant { tokens: added.tokens, micro_usd: added.micro_usd, finish_up: true, at: now };
    budget.grant(&operator.request_id, grant, &state.policy);
    let said = operator.say.as_deref();
    Ok(changed(state, budget, Ending { end: HoldEnd::FinishUp, said }, added, now))
}

/// What so many tokens cost as those did that the budget has counted, in micro-dollars; 0 where it has counted none.
fn at_its_average(budget: &Budget, tokens: u64) -> u64 {
    let micro_tokens = u128::from(tokens) * u128::from(crate::usage::MICRO);
    let cost = micro_tokens.saturating_mul(u128::from(budget.used.micro_usd));
    let cost = cost.checked_div(u128::from(budget.used.micro_tokens)).unwrap_or(0);
    u64::try_from(cost).unwrap_or(u64::MAX)
}

fn set(
    state: &State,
    budget: &Budget,
    limits: (Option<u64>, Option<u64>),
    threshold: Option<Ratio>,
    shut: bool,
    now: Timestamp,
) -> Outcome {
    let was = budget.status;
    let mut budget = budget.clone();
    if let Some(share) = threshold {
        budget.set_alert_threshold(share, &state.policy, now);
    }
    if limits != (None, None) {
        budget.set_limits(limits.0, limits.1, &state.policy, now);
    }
    // A budget that is shut for good is not opened a little by shutting it.
    if shut && budget.status != Status::Exhausted {
        budget.seal(Seal::Shut, now);
    }
    let pauses = budget.status.is_shut() && !was.is_shut();
    if pauses && !shut {
        budget.pauses = budget.pauses.saturating_add(1);
    }
    let crossed = match (was, budget.status) {
        _ if pauses => Some(AlertType::BudgetExhausted),
        (Status::Active, Status::Warning) => Some(AlertType::WarningThreshold),
        _ => None,
    };
    let raised = crossed.map(|kind| Event::Alert(alert(AlertId(state.next_alert), &budget, kind, now)));
    let ending = Ending { end: HoldEnd::Released, said: None };
    let mut outcome = changed(state, budget, ending, Limit::default(), now);
    outcome.events.extend(raised);
    outcome
}

fn acknowledge(state: &State, id: Option<AlertId>) -> Result<Outcome, OperatorError> {
    if let Some(id) = id.filter(|id| !state.alerts.contains_key(id)) {
        return Err(OperatorError::NotFound(format!("alert {}", id.0)));
    }
    let events = vec![Event::AlertAcknowledged { alert: id }];
    Ok(Outcome { done: done_to_all(0), events, added: Limit::default() })
}

fn on_no_budget(events: Vec<Event>) -> Outcome {
    Outcome { done: done_to_all(ended_in(&events)), events, added: Limit::default() }
}

fn done_to_all(released: usize) -> Done {
    Done { budget: None, circuit: None, missing: Limit::default(), released, context_tokens: 0 }
}

/// What an act on a circuit came to.
pub(super) fn done_to_circuit(circuit: Circuit, released: usize) -> Done {
    Done { circuit: Some(Box::new(circuit)), ..done_to_all(released) }
}

/// How holds end that nothing stops any more, and what the operator says to their models.
#[derive(Clone, Copy)]
pub(super) struct Ending<'a> {
    pub(super) end: HoldEnd,
    pub(super) said: Option<&'a str>,
}

/// How many holds ended.
pub(super) fn ended_in(events: &[Event]) -> usize {
    events.iter().filter(|e| matches!(e, Event::Hold(h) if h.end.is_some())).count()
}

/// A budget is now so, and its holds are decided anew.
pub(super) fn changed(
    state: &State,
    budget: Budget,
    ending: Ending<'_>,
    added: Limit,
    now: Timestamp,
) -> Outcome {
    let overlay = Changed { budgets: [(budget.id.clone(), &budget)].into(), ..Changed::default() };
    let holds = reconsider(state, &overlay, ending.end, ending.said, now);
    let released = ended_in(&holds);
    let mut events = vec![Event::Budget(budget.clone())];
    events.extend(holds);
    Outcome { done: done(state, budget, released), events, added }
}

pub(super) fn done(state: &State, budget: Budget, released: usize) -> Done {
    let missing = if budget.status.is_shut() { budget.missing(&state.policy) } else { Limit::default() };
    let context_tokens = context_under(state, &budget);
    Done { budget: Some(Box::new(budget)), circuit: None, missing, released, context_tokens }
}

fn percent_of(amount: u64, percent: u32) -> u64 {
    u64::try_from(u128::from(amount) * u128::from(percent) / 100).unwrap_or(u64::MAX)
}
