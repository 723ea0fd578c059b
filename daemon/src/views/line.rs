//! What a client's status line shows of its session.

use std::collections::BTreeSet;

use bursar_engine::State;
use bursar_engine::budget::Budget;
use bursar_engine::circuit::CircuitId;
use bursar_engine::hold::Hold;
use bursar_engine::ids::{AgentKey, BudgetId, SessionId};
use bursar_engine::policy::Mode;
use bursar_engine::ratio::Ratio;
use bursar_engine::records::BreakerState;
use bursar_protocol::status_line::{PlanWindow, StatusLine};

use super::{Heard, budget, circuit, ledger};
use crate::view::line::{HeldView, LineView};

/// What is shown of a session, and how many tokens of the budget that is shown are used. The tightest budget is shown;
/// while somebody of the session is held, the one that holds.
pub fn line(state: &State, session: &SessionId, said: &StatusLine, heard: &Heard) -> LineView {
    let hold = state.waiting().find(|hold| hold.session == *session);
    let shown = match hold.map(|hold| (hold, hold.blocker.budget())) {
        Some((_, Some(id))) => state.budgets.get(id),
        _ => tightest(state, session),
    };
    let id = CircuitId::of(session, hold.map_or(&AgentKey::Main, |hold| &hold.agent));
    let breaker = state.circuit(&id).filter(|c| c.state != BreakerState::Closed);
    let runs = state.runs.get(session);
    // Lines of its files that could not be used are looked for where there is time.
    let is_short =
        state.sessions.get(session).is_some_and(|s| !ledger::missing(s, runs, 0, heard).is_empty());
    let purse = BudgetId::Session(state.purse(session).clone());
    let short = BTreeSet::from_iter(is_short.then_some(purse));
    LineView {
        session_id: session.to_string(),
        known: state.sessions.contains_key(session),
        mode: match (state.policy.enabled, state.policy.mode) {
            (false, _) => "disabled",
            (true, Mode::Enforce) => "enforce",
            (true, Mode::Observe) => "observe",
        }
        .to_owned(),
        budget: shown.map(|b| budget(state, b, &short)),
        lower_bound: shown.is_some_and(|b| short.contains(&b.id)),
        per_minute: None,
        seconds_left: None,
        circuit: breaker.map(|c| circuit(state, c)),
        held: hold.map(|hold| held(state, hold)),
        five_hour: said.five_hour.map(share),
        seven_day: said.seven_day.map(share),
    }
}

fn share(window: PlanWindow) -> Ratio {
    Ratio(window.used_millionths)
}

/// What is shut goes first, then what is fullest.
fn tightest<'a>(state: &'a State, session: &SessionId) -> Option<&'a Budget> {
    let above = state.above(session, &AgentKey::Main);
    let known = above.into_iter().filter_map(|id| state.budgets.get(&id));
    known.max_by_key(|b| (b.status.is_shut(), b.utilization().0))
}

/// Who is held, and the command that answers. With one blocker that holds anybody, it needs no id.
fn held(state: &State, hold: &Hold) -> HeldView {
    let is_alone = state.waiting().all(|other| other.blocker == hold.blocker);
    let id = |id: String| if is_alone { String::new() } else { format!(" {}", short(&id)) };
    let answer = match (hold.blocker.budget(), hold.blocker.circuit()) {
        (_, Some(circuit)) => format!("bursar circuit acknowledge{}", id(circuit.to_string())),
        (budget, None) => {
            format!("bursar extend{} +100k", id(budget.map(ToString::to_string).unwrap_or_default()))
        }
    };
    HeldView { agent: hold.agent.to_string(), by_circuit: hold.blocker.circuit().is_some(), answer }
}

/// As much of an id as a command takes for it, and a line has room for.
fn short(id: &str) -> String {
    match id.strip_prefix("session:") {
        Some(session) => session.chars().take(8).collect(),
        None => id.to_owned(),
    }
}
