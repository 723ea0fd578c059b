//! Holds: when they begin, and every way in which they end.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::State;
use crate::budget::{Budget, Seal};
use crate::circuit::{Circuit, CircuitId};
use crate::command::Hook;
use crate::decide::{Decision, Reply};
use crate::event::Event;
use crate::hold::{Blocker, Hold, HoldEnd, answer_before_ms};
use crate::ids::{AgentKey, BudgetId, HoldId};
use crate::shut::{Shut, figures};
use crate::table::{Cell, HookEvent};
use crate::time::Timestamp;
use crate::verdict::{ModelText, Verdict, Why};

/// The client's own limit for a hook whose registration names none, in seconds.
const CLIENT_DEFAULT_TIMEOUT_S: u32 = 600;

/// A hold for a hook under something shut; none where its time is over before it begins.
pub(super) fn begin(state: &State, hook: &Hook, shut: Shut<'_>, now: Timestamp) -> Option<Hold> {
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
        blocker: shut.blocker(),
        event: hook.event,
        tool: hook.tool.clone(),
        started: now,
        deadline: now.plus_ms(ms),
        attended: hook.attended,
        context_tokens: agent.map_or(0, |a| a.context_tokens),
        seed_shape: hook.seed_shape,
        said: None,
        end: None,
        ended_at: None,
    })
}

pub(super) fn ended(hold: &Hold, end: HoldEnd, now: Timestamp) -> Event {
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
    let shut = shut_above(state, hold, &Changed::default()).filter(|_| state.policy.enforces());
    // It still waits, ended with a no, or ended with a yes that holds: so it is told. A yes from before something was shut
    // again is none any more.
    let stands = match hold.end {
        None | Some(HoldEnd::Declined | HoldEnd::RanOut) => true,
        Some(HoldEnd::Extended | HoldEnd::FinishUp | HoldEnd::Acknowledged | HoldEnd::Released) => {
            shut.is_none()
        }
        Some(HoldEnd::ClientGone) => false,
    };
    if stands {
        return Decision { reply: Reply::Hold(Box::new(hold.clone())), events: Vec::new() };
    }
    let mut hold = hold.clone();
    match shut {
        Some(shut) if shut.seal().is_none_or(|s| s == Seal::Shut) => {
            hold.blocker = shut.blocker();
            (hold.end, hold.ended_at) = (None, None);
        }
        Some(shut) => {
            let end = if shut.seal() == Some(Seal::RanOut) { HoldEnd::RanOut } else { HoldEnd::Declined };
            (hold.end, hold.ended_at) = (Some(end), Some(now));
        }
        None => (hold.end, hold.ended_at) = (Some(HoldEnd::Extended), Some(now)),
    }
    Decision { reply: Reply::Hold(Box::new(hold.clone())), events: vec![Event::Hold(hold)] }
}

/// Holds whose time is over end, and what held them is shut for good. Where nothing that is shut is enforced any more,
/// they go on.
pub(super) fn tick(state: &State, now: Timestamp) -> Decision {
    if !state.policy.enforces() {
        return Decision { reply: Reply::None, events: release_all(state, now) };
    }
    let mut events = Vec::new();
    let mut sealed = std::collections::BTreeSet::new();
    for hold in state.waiting() {
        if shut_above(state, hold, &Changed::default()).is_none() {
            events.push(ended(hold, HoldEnd::Released, now));
        } else if hold.deadline <= now {
            if sealed.insert(&hold.blocker) {
                events.extend(ran_out(state, &hold.blocker, now));
            }
            events.push(ended(hold, HoldEnd::RanOut, now));
        }
    }
    Decision { reply: Reply::None, events }
}

/// What held somebody until the time was over is shut for good.
pub(super) fn ran_out(state: &State, blocker: &Blocker, now: Timestamp) -> Option<Event> {
    match blocker {
        Blocker::Budget(id) => {
            let mut budget = state.budgets.get(id).filter(|b| b.seal != Some(Seal::Declined))?.clone();
            budget.seal(Seal::RanOut, now);
            Some(Event::Budget(budget))
        }
        Blocker::Circuit(id) => {
            let mut circuit = state.circuit(id).filter(|c| c.seal != Some(Seal::Declined))?.clone();
            circuit.seal(Seal::RanOut, now);
            Some(Event::Circuit(Arc::new(circuit)))
        }
    }
}

/// Budgets and circuits as they are after an act, over those of the state.
#[derive(Default)]
pub(super) struct Changed<'a> {
    /// Budgets.
    pub(super) budgets: BTreeMap<BudgetId, &'a Budget>,
    /// Circuits.
    pub(super) circuits: BTreeMap<CircuitId, &'a Circuit>,
}

impl Changed<'_> {
    /// What of this stands above a hold.
    fn touches(&self, above: &[BudgetId], circuit: &CircuitId) -> Option<Blocker> {
        let budget = above.iter().find(|id| self.budgets.contains_key(*id)).cloned().map(Blocker::Budget);
        budget.or_else(|| self.circuits.contains_key(circuit).then(|| Blocker::Circuit(circuit.clone())))
    }
}

/// Decides anew every hold that something `changed` stands above (4.2). `end` is how they end where nothing above them
/// is shut any more; a decline ends them all. `said` goes to the models that go on.
pub(super) fn reconsider(
    state: &State,
    changed: &Changed<'_>,
    end: HoldEnd,
    said: Option<&str>,
    now: Timestamp,
) -> Vec<Event> {
    let mut events = Vec::new();
    for hold in state.waiting() {
        let (above, circuit) = above(state, hold);
        let Some(touched) = changed.touches(&above, &circuit) else { continue };
        if end == HoldEnd::Declined {
            // The answer names what was declined, though something else may have been the tighter.
            events.push(ended(&Hold { blocker: touched, ..hold.clone() }, end, now));
            continue;
        }
        match shut_above(state, hold, changed) {
            None => {
                let said = said.map(str::to_owned);
                events.push(ended(&Hold { said, ..hold.clone() }, end, now));
            }
            Some(other) if other.blocker() != hold.blocker => {
                events.push(Event::Hold(Hold { blocker: other.blocker(), ..hold.clone() }));
            }
            Some(_) => {}
        }
    }
    events
}

/// The budgets and the circuit above a hold; its own budget stays one, whatever task the session's clients name by now.
fn above(state: &State, hold: &Hold) -> (Vec<BudgetId>, CircuitId) {
    let mut ids = state.above(&hold.session, &hold.agent);
    if let Blocker::Budget(own) = &hold.blocker
        && !ids.contains(own)
    {
        ids.push(own.clone());
    }
    (ids, CircuitId::of(&hold.session, &hold.agent))
}

fn shut_above<'a>(state: &'a State, hold: &Hold, changed: &Changed<'a>) -> Option<Shut<'a>> {
    let (above, circuit) = above(state, hold);
    let budget = |id| changed.budgets.get(id).copied().or_else(|| state.budgets.get(id));
    let budgets = above.iter().filter(|_| state.policy.enabled).filter_map(budget);
    let circuit = changed.circuits.get(&circuit).copied().or_else(|| state.circuit(&circuit));
    Shut::tightest(budgets, circuit.filter(|_| state.policy.circuits.trips()))
}

/// Lets everything that waits go.
pub(super) fn release_all(state: &State, now: Timestamp) -> Vec<Event> {
    state.waiting().map(|hold| ended(hold, HoldEnd::Released, now)).collect()
}

/// The verdict of a hold that has ended, from the state after its end.
pub fn released(state: &State, hold: &Hold) -> Verdict {
    let (budget, circuit) = match &hold.blocker {
        Blocker::Budget(id) => (state.budgets.get(id), None),
        Blocker::Circuit(id) => (None, state.circuit(id)),
    };
    let goes_on = hold.end.is_some_and(HoldEnd::goes_on);
    if goes_on {
        let mut texts = Vec::new();
        if hold.event.carries_text() {
            let finishing = budget.filter(|b| b.finishing);
            texts.extend(finishing.map(|b| ModelText::FinishUp { about: figures(b, Why::Warning) }));
            texts.extend(hold.said.clone().map(ModelText::Said));
        }
        return Verdict { texts, ..Verdict::ALLOW };
    }
    let why = match hold.end {
        Some(HoldEnd::Declined) => Why::Declined,
        Some(HoldEnd::RanOut) => Why::RanOut,
        _ => Why::Paused,
    };
    let shut = budget.map(Shut::Budget).or(circuit.map(Shut::Circuit));
    Verdict { cell: instead_of_hold(hold.event), because: shut.map(|s| s.because_of(why)), ..Verdict::ALLOW }
}

/// What is answered where a hold is not to be had, or ended without a yes.
pub(super) fn instead_of_hold(event: HookEvent) -> Cell {
    if event == HookEvent::OtherPrompt { Cell::Refuse } else { Cell::Stop }
}

/// The greatest context of the agents that `budget` stands above: what going on sends again.
pub(super) fn context_under(state: &State, budget: &Budget) -> u64 {
    let held =
        state.waiting().filter(|h| h.blocker.budget() == Some(&budget.id)).map(|h| h.context_tokens).max();
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
