//! A human's acts.

use std::collections::{BTreeMap, BTreeSet};

use crate::State;
use crate::alert::AlertType;
use crate::budget::{Budget, Grant, MAX_EXTENSION_MICRO_USD, MAX_EXTENSION_TOKENS, Seal, Status};
use crate::command::{Act, Amount, Operator};
use crate::decide::holds::{context_under, reconsider, release_all};
use crate::decide::hook::alert;
use crate::decide::{Decision, Done, Reply, protect};
use crate::error::OperatorError;
use crate::event::{Event, OperatorRecord};
use crate::hold::HoldEnd;
use crate::ids::{AlertId, BudgetId};
use crate::policy::Limit;
use crate::ratio::Ratio;
use crate::time::Timestamp;
use crate::usage::Usage;

/// What finishing is granted beyond the context that is cached anew, in tokens (4.5).
pub(super) const FINISH_UP_TOKENS: u64 = 20_000;

pub(super) fn decide(state: &State, operator: &Operator, now: Timestamp) -> Decision {
    let mut again = false;
    let outcome = match (&operator.refused, state.acts.target(operator.act.name(), &operator.request_id)) {
        (Some(why), _) => Err(OperatorError::Refused(why.clone())),
        (None, Some(target)) => {
            again = true;
            Ok(done_before(state, target))
        }
        (None, None) => act(state, operator, now),
    };
    let (reply, mut events, added, target) = match outcome {
        Ok(Outcome { done, events, added }) => {
            let target = done.budget.as_ref().map_or_else(String::new, |b| b.id.to_string());
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
            refused: reply.as_ref().err().map(ToString::to_string),
        }));
    }
    Decision { reply: Reply::Operator(reply), events }
}

struct Outcome {
    done: Done,
    events: Vec<Event>,
    added: Limit,
}

fn act(state: &State, operator: &Operator, now: Timestamp) -> Result<Outcome, OperatorError> {
    match &operator.act {
        Act::Extend { budget, amount } => extend(state, operator, budget.as_ref(), *amount, now),
        Act::Finish(budget) => finish(state, operator, budget.as_ref(), now),
        Act::Decline(budget) => {
            let mut budget = named_or_holding(state, budget.as_ref())?.clone();
            budget.seal(Seal::Declined, now);
            Ok(changed(state, budget, HoldEnd::Declined, Limit::default(), now))
        }
        Act::Reset(id) => {
            let mut budget = named(state, id)?.clone();
            budget.reset(now);
            Ok(changed(state, budget, HoldEnd::Released, Limit::default(), now))
        }
        Act::Set { budget, tokens, micro_usd, alert, shut } => {
            let budget = named(state, budget)?;
            // Decided here and not at the gate: it may have been shut since the gate looked.
            if operator.may_only_tighten && budget.status.is_shut() {
                return Err(OperatorError::Refused(format!("Refused: {} is shut by now.", budget.id)));
            }
            Ok(set(state, budget, (*tokens, *micro_usd), *alert, *shut, now))
        }
        Act::AcknowledgeAlert(id) => acknowledge(state, *id),
        Act::Release => Ok(on_no_budget(release_all(state, now))),
        Act::Protect(protect) => Ok(on_no_budget(protect::act(state, protect, now)?)),
        Act::AcceptConfig { policy, settings } => {
            Ok(on_no_budget(protect::configured(state, policy, settings, now)))
        }
    }
}

fn named<'a>(state: &'a State, id: &BudgetId) -> Result<&'a Budget, OperatorError> {
    state.budgets.get(id).ok_or_else(|| OperatorError::NotFound(format!("budget {id}")))
}

fn named_or_holding<'a>(state: &'a State, id: Option<&BudgetId>) -> Result<&'a Budget, OperatorError> {
    if let Some(id) = id {
        return named(state, id);
    }
    let holding: BTreeSet<&BudgetId> = state.waiting().map(|h| &h.budget).collect();
    let mut holding = holding.into_iter();
    match (holding.next(), holding.next()) {
        (None, _) => Err(OperatorError::NobodyWaits),
        (Some(id), None) => named(state, id),
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
    Ok(changed(state, budget, HoldEnd::Extended, added, now))
}

/// The same act under the same id, done before: what is true now is said again.
fn done_before(state: &State, target: &str) -> Outcome {
    let budget = target.parse().ok().and_then(|id: BudgetId| state.budgets.get(&id));
    let done = budget.map_or_else(|| without_budget(0), |budget| done(state, budget.clone(), 0));
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
    let added = Limit {
        tokens: if budget.max.tokens == 0 { 0 } else { missing.tokens.saturating_add(need) },
        micro_usd: if budget.max.micro_usd == 0 {
            0
        } else {
            missing.micro_usd.saturating_add(percent_of(budget.base.micro_usd, 5).max(1))
        },
    };
    let mut budget = budget.clone();
    let grant = Grant { tokens: added.tokens, micro_usd: added.micro_usd, finish_up: true, at: now };
    budget.grant(&operator.request_id, grant, &state.policy);
    Ok(changed(state, budget, HoldEnd::FinishUp, added, now))
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
    let mut outcome = changed(state, budget, HoldEnd::Released, Limit::default(), now);
    outcome.events.extend(raised);
    outcome
}

fn acknowledge(state: &State, id: Option<AlertId>) -> Result<Outcome, OperatorError> {
    if let Some(id) = id.filter(|id| !state.alerts.contains_key(id)) {
        return Err(OperatorError::NotFound(format!("alert {}", id.0)));
    }
    let events = vec![Event::AlertAcknowledged { alert: id }];
    Ok(Outcome { done: without_budget(0), events, added: Limit::default() })
}

fn on_no_budget(events: Vec<Event>) -> Outcome {
    let released = events.iter().filter(|e| matches!(e, Event::Hold(h) if h.end.is_some())).count();
    Outcome { done: without_budget(released), events, added: Limit::default() }
}

fn without_budget(released: usize) -> Done {
    Done { budget: None, missing: Limit::default(), released, context_tokens: 0 }
}

/// A budget is now so, and its holds are decided anew.
fn changed(state: &State, budget: Budget, end: HoldEnd, added: Limit, now: Timestamp) -> Outcome {
    let holds = reconsider(state, &BTreeMap::from([(budget.id.clone(), budget.clone())]), end, now);
    let released = holds.iter().filter(|e| matches!(e, Event::Hold(h) if h.end.is_some())).count();
    let mut events = vec![Event::Budget(budget.clone())];
    events.extend(holds);
    Outcome { done: done(state, budget, released), events, added }
}

fn done(state: &State, budget: Budget, released: usize) -> Done {
    let missing = if budget.status.is_shut() { budget.missing(&state.policy) } else { Limit::default() };
    let context_tokens = context_under(state, &budget);
    Done { budget: Some(Box::new(budget)), missing, released, context_tokens }
}

fn percent_of(amount: u64, percent: u32) -> u64 {
    u64::try_from(u128::from(amount) * u128::from(percent) / 100).unwrap_or(u64::MAX)
}
