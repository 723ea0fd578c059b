//! What is shut, budget or circuit, and which of several decides.

use crate::budget::{Budget, Seal, Status};
use crate::circuit::{Circuit, CircuitId};
use crate::hold::Blocker;
use crate::ids::{AgentKey, BudgetId, SessionId};
use crate::state::State;
use crate::verdict::{Because, BudgetFigures, CircuitFigures, Why};

/// Something that is shut.
#[derive(Debug, Clone, Copy)]
pub enum Shut<'a> {
    /// A budget, paused or exhausted.
    Budget(&'a Budget),
    /// A circuit, open.
    Circuit(&'a Circuit),
}

impl<'a> Shut<'a> {
    /// The tightest of these that are shut: what is final before what can be answered, a budget before a circuit, then
    /// the most used budget.
    pub(crate) fn tightest(
        budgets: impl Iterator<Item = &'a Budget>,
        circuit: Option<&'a Circuit>,
    ) -> Option<Self> {
        let budget = budgets.filter(|b| b.status.is_shut()).max_by_key(|b| (b.status, b.utilization()));
        let circuit = circuit.filter(|c| c.is_open());
        match (budget, circuit) {
            (Some(budget), Some(circuit)) if budget.status != Status::Exhausted && circuit.seal.is_some() => {
                Some(Self::Circuit(circuit))
            }
            (Some(budget), _) => Some(Self::Budget(budget)),
            (None, circuit) => circuit.map(Self::Circuit),
        }
    }

    /// Its id.
    pub fn blocker(self) -> Blocker {
        match self {
            Self::Budget(budget) => Blocker::Budget(budget.id.clone()),
            Self::Circuit(circuit) => Blocker::Circuit(circuit.id.clone()),
        }
    }

    /// Whether nobody is held any more: exhausted, or a circuit that was declined (HOOK 2).
    pub fn is_final(self) -> bool {
        match self {
            Self::Budget(budget) => budget.status == Status::Exhausted,
            Self::Circuit(circuit) => circuit.seal.is_some(),
        }
    }

    /// Why it stays shut, whatever else.
    pub fn seal(self) -> Option<Seal> {
        match self {
            Self::Budget(budget) => budget.seal,
            Self::Circuit(circuit) => circuit.seal,
        }
    }

    /// Its figures, with the reason that its own state gives.
    pub(crate) fn because(self) -> Because {
        let why = match (self.seal(), self) {
            (Some(Seal::Declined), _) => Why::Declined,
            (Some(Seal::RanOut), _) => Why::RanOut,
            (None, Self::Budget(budget)) if budget.status == Status::Exhausted => Why::Exhausted,
            (Some(Seal::Shut) | None, _) => Why::Paused,
        };
        self.because_of(why)
    }

    /// Its figures, with another reason.
    pub(crate) fn because_of(self, why: Why) -> Because {
        match self {
            Self::Budget(budget) => Because::Budget(figures(budget, why)),
            Self::Circuit(circuit) => Because::Circuit(CircuitFigures {
                circuit: circuit.id.clone(),
                trip: circuit.trip.clone(),
                why,
            }),
        }
    }
}

/// A budget's figures for a text.
pub(crate) fn figures(budget: &Budget, why: Why) -> BudgetFigures {
    BudgetFigures {
        budget: budget.id.clone(),
        tokens_used: budget.tokens_used(),
        max_tokens: budget.max.tokens,
        micro_usd_used: budget.used.micro_usd,
        max_micro_usd: budget.max.micro_usd,
        by_cost: budget.by_cost(),
        why,
        estimated: budget.used.estimated > 0,
    }
}

impl State {
    /// The tightest of what is shut above an agent.
    pub fn shut_above(&self, session: &SessionId, agent: &AgentKey) -> Option<Shut<'_>> {
        self.tightest_of(&self.above(session, agent), &CircuitId::of(session, agent))
    }

    /// The tightest of these that exist and are shut, as far as the configuration lets them stop anybody.
    pub fn tightest_of(&self, budgets: &[BudgetId], circuit: &CircuitId) -> Option<Shut<'_>> {
        self.tightest(budgets.iter().filter_map(|id| self.budgets.get(id)), self.circuit(circuit))
    }

    /// As [`Self::tightest_of`], with the circuit as it is now.
    pub(crate) fn tightest<'a>(
        &'a self,
        budgets: impl Iterator<Item = &'a Budget>,
        circuit: Option<&'a Circuit>,
    ) -> Option<Shut<'a>> {
        let budgets = budgets.filter(|_| self.policy.enabled);
        Shut::tightest(budgets, circuit.filter(|_| self.policy.circuits.trips()))
    }
}
