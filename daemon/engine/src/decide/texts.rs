//! What the model is told where nothing is shut: how things stand, and a warning once.

use std::iter;

use crate::State;
use crate::budget::{Budget, Status};
use crate::circuit::{Circuit, CircuitId};
use crate::command::Hook;
use crate::decide::calls::Counted;
use crate::event::Event;
use crate::ids::BudgetId;
use crate::policy::{Mode, OnPause, StatusInPrompt};
use crate::records::BreakerState;
use crate::shut::figures;
use crate::table::HookEvent;
use crate::verdict::{Because, CircuitStands, ModelText, Verdict, Why};

/// Nothing is shut: the model may have to hear how things stand, and of a warning.
pub(super) fn open(
    state: &State,
    hook: &Hook,
    above: &[&Budget],
    counted: &Counted,
    events: &mut Vec<Event>,
) -> Verdict {
    if !hook.event.carries_text() {
        return Verdict::ALLOW;
    }
    let warning = warning(state, hook, above, events);
    // Who only observes says nothing to the model.
    if state.policy.mode == Mode::Observe {
        return Verdict { because: warning.map(|(because, _)| because), ..Verdict::ALLOW };
    }
    let mut texts: Vec<ModelText> = status(state, hook, counted.circuit.as_deref()).into_iter().collect();
    let (because, text) = warning.unzip();
    texts.extend(text);
    texts.extend(counted.warning.clone().map(ModelText::Loop));
    Verdict { because, texts, ..Verdict::ALLOW }
}

/// How budget and circuit stand, with a prompt (6.10).
fn status(state: &State, hook: &Hook, circuit: Option<&Circuit>) -> Option<ModelText> {
    if !matches!(hook.event, HookEvent::HumanPrompt | HookEvent::OtherPrompt) {
        return None;
    }
    let policy = &state.policy;
    let session = BudgetId::Session(state.purse(&hook.session).clone());
    let budget = state.budgets.get(&session).filter(|_| policy.enabled);
    // What this very prompt cleared is told as it was.
    let before = state.circuit(&CircuitId::of(&hook.session, &hook.agent));
    let counted = before.or(circuit);
    let stands = policy.circuits.enabled.then(|| CircuitStands {
        state: counted.map_or(BreakerState::Closed, |c| c.state),
        iterations: counted.map_or(0, |c| c.window.iterations),
        limit: counted.map_or(policy.circuits.max_iterations(), |c| c.limit(&policy.circuits)),
    });
    let is_quiet = budget.is_none_or(|b| b.status == Status::Active)
        && stands.is_none_or(|s| s.state == BreakerState::Closed);
    let wanted = match policy.status_in_prompt {
        StatusInPrompt::Always => true,
        StatusInPrompt::Warning => !is_quiet,
        StatusInPrompt::Never => false,
    };
    let budget = budget.map(|b| figures(b, Why::Warning));
    (wanted && (budget.is_some() || stands.is_some()))
        .then_some(ModelText::Status { budget, circuit: stands })
}

/// A warning that this agent has not heard, each once for each crossing.
fn warning(
    state: &State,
    hook: &Hook,
    above: &[&Budget],
    events: &mut Vec<Event>,
) -> Option<(Because, ModelText)> {
    if !state.policy.enabled {
        return None;
    }
    let mut warn = above.iter().copied().filter(|b| b.status == Status::Warning);
    // Mostly none does, and nothing else is looked up then.
    let first = warn.next()?;
    let agent = state.agents.get(&(hook.session.clone(), hook.agent.clone()))?;
    let is_news = |b: &&Budget| b.crossings > agent.heard.get(&b.id).copied().unwrap_or(0);
    let budget = iter::once(first).chain(warn).filter(is_news).max_by_key(|b| b.utilization())?;
    let mut agent = agent.clone();
    agent.heard.insert(budget.id.clone(), budget.crossings);
    events.push(Event::Agent(agent));
    let ends = budget.finishing || state.policy.on_pause != OnPause::Hold;
    let about = figures(budget, Why::Warning);
    Some((Because::Budget(about.clone()), ModelText::Warning { about, ends }))
}
