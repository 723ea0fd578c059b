//! The one way through: (state, command, now) to a reply and facts. Changes nothing.

mod books;
mod calls;
mod family;
mod found;
mod holds;
mod hook;
mod keep;
mod operator;
mod operator_circuits;
mod operator_tasks;
mod past;
mod protect;
mod reports;
mod settle;
mod texts;
mod usage;

use crate::State;
use crate::budget::Budget;
use crate::circuit::Circuit;
use crate::command::Command;
use crate::error::OperatorError;
use crate::event::Event;
use crate::hold::{Blocker, Hold};
use crate::policy::Limit;
use crate::time::Timestamp;
use crate::verdict::Verdict;

pub use holds::released;

/// What a command comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The answer.
    pub reply: Reply,
    /// What happened, to be applied in order.
    pub events: Vec<Event>,
}

/// The answer to a command.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// Nothing is answered.
    None,
    /// A hook's verdict.
    Verdict(Verdict),
    /// A resumed hold: it goes on, or it ended so.
    Hold(Box<Hold>),
    /// A hold that nobody knows.
    UnknownHold,
    /// An operator's act.
    Operator(Result<Done, OperatorError>),
}

/// What an operator's act came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// The budget as it is now; none for acts on alerts or on everything.
    pub budget: Option<Box<Budget>>,
    /// The circuit as it is now, where the act was on one.
    pub circuit: Option<Box<Circuit>>,
    /// What is still missing before the budget is open: zero where it is.
    pub missing: Limit,
    /// How many hooks were released.
    pub released: usize,
    /// What going on costs once: the greatest context that is sent again, in tokens.
    pub context_tokens: u64,
}

impl Done {
    /// What the act was on.
    pub(crate) fn blocker(&self) -> Option<Blocker> {
        let budget = self.budget.as_ref().map(|b| Blocker::Budget(b.id.clone()));
        budget.or_else(|| self.circuit.as_ref().map(|c| Blocker::Circuit(c.id.clone())))
    }
}

/// Decides a command. The caller applies the events with [`State::evolve`], in order, before the next command.
pub fn decide(state: &State, command: &Command, now: Timestamp) -> Decision {
    match command {
        Command::Hook(hook) => hook::decide(state, hook, now),
        Command::Meet(hook) => Decision { reply: Reply::None, events: hook::meet(state, hook, now) },
        Command::Past(hooks) => past::decide(state, hooks),
        Command::Found(found) => found::decide(state, found, now),
        Command::Doubted { session, version } => found::doubted(state, session, version, now),
        Command::Usage(usage) => usage::decide(state, usage, now),
        Command::Reports(reports) => reports::decide(state, reports, now),
        Command::HoldLost(id) => holds::lost(state, *id, now),
        Command::HoldResumed(id) => holds::resumed(state, *id, now),
        Command::Operator(operator) => operator::decide(state, operator, now),
        Command::Tick => {
            let mut decision = holds::tick(state, now);
            if state.awaited.values().any(|awaited| awaited.until() <= now) {
                decision.events.extend(reports::overdue(state, now));
            }
            decision
        }
        Command::ClientGone(session) => keep::client_gone(state, session, now),
        Command::RollUp { sessions, before } => keep::roll_up(sessions, *before),
        Command::Forget { before } => keep::forget(state, *before),
        Command::Configured { policy, settings } => {
            Decision { reply: Reply::None, events: protect::configured(state, policy, settings, now) }
        }
    }
}
