//! Holds: when they begin, and every way in which they end.

use std::collections::BTreeMap;

use crate::State;
use crate::budget::{Budget, Seal};
use crate::command::Hook;
use crate::decide::{Decision, Reply};
use crate::event::Event;
use crate::hold::{Hold, HoldEnd, answer_before_ms};
use crate::ids::{AgentKey, BudgetId, HoldId};
use crate::state::tightest;
use crate::table::{Cell, HookEvent};
use crate::time::Timestamp;
use crate::verdict::{Because, ModelText, Verdict, Why};

/// The client's own limit for a hook whose registration names none, in seconds.
const CLIENT_DEFAULT_TIMEOUT_S: u32 = 600;

/// A hold for a hook under `budget`; none where its time is over before it begins.
pub(super) fn begin(state: &State, hook: &Hook, budget: &Budget, now: Timestamp) -> Option<Hold> {
    let policy = &state.policy;
    let patience_ms = if hook.attended {
        policy.hold_s
    } else if hook.ci {
        0
    } else {
        policy.hold_s.min(policy.hold_unattended_s)
    }
    .saturating_mul(1_000);
    let before_ms = answer_before_ms(hook.timeout_s.unwrap_or(CLIENT_DEFAULT_TIMEOUT_S));
    let ms = patience_ms.min(before_ms);
    let agent = state.agents.get(&(hook.session.clone(), hook.agent.clone()));
    (ms > 0).then(|| Hold {
        id: HoldId(state.next_hold),
        session: hook.session.clone(),
        agent: hook.agent.clone(),
        budget: budget.id.clone(),
        event: hook.event,
        tool: hook.tool.clone(),
        started: now,
        deadline: now.plus_ms(ms),
        attended: hook.attended,
        context_tokens: agent.map_or(0, |a| a.context_tokens),
        end: None,
        ended_at: None,
    })
}

fn ended(hold: &Hold, end: HoldEnd, now: Timestamp) -> Event {
    Event::Hold(Hold { end: Some(end), ended_at: Some(now), ..hold.clone() })
}

/// A held hook is gone: interrupted, closed or killed.
pub(super) fn lost(state: &State, id: HoldId, now: Timestamp) -> Decision {
    let events = match state.holds.get(&id) {
        Some(hold) if hold.end.is_none() => vec![ended(hold, HoldEnd::ClientGone, now)],
        _ => Vec::new(),
    };
    Decision { reply: Reply::None, events }
}

/// A held hook asks again after it lost its daemon. One that was given up as gone waits on, under its old start.
pub(super) fn resumed(state: &State, id: HoldId, now: Timestamp) -> Decision {
    let Some(hold) = state.holds.get(&id) else {
        return Decision { reply: Reply::UnknownHold, events: Vec::new() };
    };
    let shut = state.tightest_of(&above(state, hold)).filter(|_| state.policy.enforces());
    // It still waits, ended with a no, or ended with a yes that holds: so it is told. A yes from before something was shut
    // again is none any more.
    let stands = match hold.end {
        None | Some(HoldEnd::Declined | HoldEnd::RanOut) => true,
        Some(HoldEnd::Extended | HoldEnd::FinishUp | HoldEnd::Released) => shut.is_none(),
        Some(HoldEnd::ClientGone) => false,
    };
    if stands {
        return Decision { reply: Reply::Hold(Box::new(hold.clone())), events: Vec::new() };
    }
    let mut hold = hold.clone();
    match shut {
        Some(budget) if budget.seal.is_none_or(|s| s == Seal::Shut) => {
            hold.budget = budget.id.clone();
            (hold.end, hold.ended_at) = (None, None);
        }
        Some(budget) => {
            let end = if budget.seal == Some(Seal::RanOut) { HoldEnd::RanOut } else { HoldEnd::Declined };
            (hold.end, hold.ended_at) = (Some(end), Some(now));
        }
        None => (hold.end, hold.ended_at) = (Some(HoldEnd::Extended), Some(now)),
    }
    Decision { reply: Reply::Hold(Box::new(hold.clone())), events: vec![Event::Hold(hold)] }
}

/// Holds whose time is over end, and their budgets are exhausted. Where nothing is enforced any more, all end.
pub(super) fn tick(state: &State, now: Timestamp) -> Decision {
    if !state.policy.enforces() {
        return Decision { reply: Reply::None, events: release_all(state, now) };
    }
    let mut events = Vec::new();
    let mut sealed = std::collections::BTreeSet::new();
    for hold in state.waiting().filter(|h| h.deadline <= now) {
        if sealed.insert(&hold.budget)
            && let Some(budget) = state.budgets.get(&hold.budget)
            && budget.seal != Some(Seal::Declined)
        {
            let mut budget = budget.clone();
            budget.seal(Seal::RanOut, now);
            events.push(Event::Budget(budget));
        }
        events.push(ended(hold, HoldEnd::RanOut, now));
    }
    Decision { reply: Reply::None, events }
}

/// Decides anew every hold that one of the `changed` budgets, as they are now, stands above (4.2). `end` is how they
/// end where nothing above them is shut any more; a decline ends them all.
pub(super) fn reconsider(
    state: &State,
    changed: &BTreeMap<BudgetId, Budget>,
    end: HoldEnd,
    now: Timestamp,
) -> Vec<Event> {
    let mut events = Vec::new();
    for hold in state.waiting() {
        let above = above(state, hold);
        let Some(touched) = above.iter().find(|id| changed.contains_key(*id)) else { continue };
        if end == HoldEnd::Declined {
            // The answer names the budget that was declined, though another may have been the tighter.
            events.push(ended(&Hold { budget: touched.clone(), ..hold.clone() }, end, now));
            continue;
        }
        let as_is = |id| changed.get(id).or_else(|| state.budgets.get(id));
        match tightest(above.iter().filter_map(as_is)) {
            None => events.push(ended(hold, end, now)),
            Some(other) if other.id != hold.budget => {
                events.push(Event::Hold(Hold { budget: other.id.clone(), ..hold.clone() }));
            }
            Some(_) => {}
        }
    }
    events
}

/// The budgets above a hold; its own stays one, whatever task the session's clients name by now.
fn above(state: &State, hold: &Hold) -> Vec<BudgetId> {
    let mut ids = state.above(&hold.session, &hold.agent);
    if !ids.contains(&hold.budget) {
        ids.push(hold.budget.clone());
    }
    ids
}

/// Lets everything that waits go.
pub(super) fn release_all(state: &State, now: Timestamp) -> Vec<Event> {
    state.waiting().map(|hold| ended(hold, HoldEnd::Released, now)).collect()
}

/// The verdict of a hold that has ended, from the state after its end.
pub fn released(state: &State, hold: &Hold) -> Verdict {
    let budget = state.budgets.get(&hold.budget);
    let goes_on = hold.end.is_some_and(HoldEnd::goes_on);
    if goes_on {
        let finishing = budget.filter(|b| b.finishing && hold.event.carries_text());
        let text = finishing.map(|b| ModelText::FinishUp { about: because(b, Why::Warning) });
        return Verdict { text, ..Verdict::ALLOW };
    }
    let why = match hold.end {
        Some(HoldEnd::Declined) => Why::Declined,
        Some(HoldEnd::RanOut) => Why::RanOut,
        _ => Why::Paused,
    };
    Verdict { cell: instead_of_hold(hold.event), because: budget.map(|b| because(b, why)), ..Verdict::ALLOW }
}

/// What is answered where a hold is not to be had, or ended without a yes.
pub(super) fn instead_of_hold(event: HookEvent) -> Cell {
    if event == HookEvent::OtherPrompt { Cell::Refuse } else { Cell::Stop }
}

/// A budget's figures for a text.
pub(super) fn because(budget: &Budget, why: Why) -> Because {
    Because {
        budget: budget.id.clone(),
        tokens_used: budget.tokens_used(),
        max_tokens: budget.max.tokens,
        micro_usd_used: budget.used.micro_usd,
        max_micro_usd: budget.max.micro_usd,
        by_cost: budget.by_cost(),
        why,
    }
}

/// The reason that a shut budget's own state gives.
pub(super) fn why_shut(budget: &Budget) -> Why {
    match budget.seal {
        Some(Seal::Declined) => Why::Declined,
        Some(Seal::RanOut) => Why::RanOut,
        None if budget.status == crate::budget::Status::Exhausted => Why::Exhausted,
        Some(Seal::Shut) | None => Why::Paused,
    }
}

/// The greatest context of the agents that `budget` stands above: what going on sends again.
pub(super) fn context_under(state: &State, budget: &Budget) -> u64 {
    let held = state.waiting().filter(|h| h.budget == budget.id).map(|h| h.context_tokens).max();
    held.unwrap_or_else(|| {
        state
            .sessions_under(&budget.id)
            .iter()
            .flat_map(|s| state.agents_of(s))
            .filter(|a| match &budget.id {
                BudgetId::Agent(id) => a.key == AgentKey::Sub(id.clone()),
                _ => true,
            })
            .map(|a| a.context_tokens)
            .max()
            .unwrap_or(0)
    })
}
