//! Applying facts. Total, without a rule in it.

use std::sync::Arc;

use crate::alert::{Alert, AlertType, MAX_ALERTS};
use crate::circuit::CircuitId;
use crate::event::Event;
use crate::ids::{AgentKey, BudgetId, SessionId};
use crate::policy::Policy;
use crate::state::{MAX_ENDED_HOLDS, State};

impl State {
    /// Applies one fact; a second time changes nothing.
    pub fn evolve(&mut self, event: &Event) {
        match event {
            Event::Session(session) => drop(self.sessions.insert(session.id.clone(), session.clone())),
            Event::Agent(agent) => {
                self.agents.insert((agent.session.clone(), agent.key.clone()), agent.clone());
            }
            Event::Budget(budget) => drop(self.budgets.insert(budget.id.clone(), budget.clone())),
            Event::Circuit(circuit) => drop(self.circuits.insert(circuit.id.clone(), Arc::clone(circuit))),
            Event::Row(row) => self.recent.put(row.clone()),
            Event::Joined { from, to } => self.recent.rename(from, to),
            Event::Awaited(awaited) => {
                self.awaited.insert(awaited.report.request_id.clone(), (**awaited).clone());
            }
            Event::NotAwaited { request_id } => drop(self.awaited.remove(request_id)),
            Event::Totals { session, agent, model, totals } => {
                self.totals.insert((session.clone(), agent.clone(), model.clone()), *totals);
            }
            Event::Runs(runs) => drop(self.runs.insert(runs.session.clone(), (**runs).clone())),
            Event::File(file) => drop(self.files.insert(file.path.clone(), file.clone())),
            Event::Hold(hold) => {
                self.next_hold = self.next_hold.max(hold.id.0.saturating_add(1));
                self.holds.insert(hold.id, hold.clone());
                self.forget_ended_holds();
            }
            Event::Alert(alert) => {
                self.next_alert = self.next_alert.max(alert.alert_id.0.saturating_add(1));
                self.alerts.insert(alert.alert_id, alert.clone());
                while self.alerts.len() > MAX_ALERTS {
                    // A flood of others does not hide that the passphrase is about to be void.
                    let keeps = |a: &Alert| a.alert_type == AlertType::PassphraseReset && !a.acknowledged;
                    let oldest = self.alerts.values().find(|a| !keeps(a)).or(self.alerts.values().next());
                    let Some(id) = oldest.map(|a| a.alert_id) else { break };
                    self.alerts.remove(&id);
                }
            }
            Event::AlertAcknowledged { alert } => {
                for known in self.alerts.values_mut().filter(|a| alert.is_none_or(|id| id == a.alert_id)) {
                    known.acknowledged = true;
                }
            }
            Event::RolledUp { session, before } => drop(self.rolled_up.insert(session.clone(), *before)),
            Event::Forgotten(session) => self.forget(session),
            Event::TaskForgotten(id) => drop(self.budgets.remove(id)),
            Event::Operator(record) if record.refused.is_none() => {
                self.acts.put(&record.act, &record.request_id, &record.target);
            }
            Event::Operator(_) | Event::HistoryEnded { .. } => {}
            Event::Protection(protection) => self.protection = protection.clone(),
            Event::Configured { policy, .. } => self.policy = Policy::clone(policy),
        }
    }

    fn forget(&mut self, session: &SessionId) {
        let agents: Vec<AgentKey> = self.agents_of(session).map(|a| a.key.clone()).collect();
        for key in agents {
            if let Some(id) = key.sub() {
                self.budgets.remove(&BudgetId::Agent(id.to_owned()));
            }
            self.circuits.remove(&CircuitId::of(session, &key));
            self.agents.remove(&(session.clone(), key));
        }
        self.budgets.remove(&BudgetId::Session(session.clone()));
        self.sessions.remove(session);
        self.rolled_up.remove(session);
        self.runs.remove(session);
        self.totals.retain(|(owner, _, _), _| owner != session);
        self.files.retain(|_, file| file.session != *session);
        self.holds.retain(|_, hold| hold.session != *session);
    }

    fn forget_ended_holds(&mut self) {
        while self.holds.values().filter(|h| h.end.is_some()).count() > MAX_ENDED_HOLDS {
            let oldest = self.holds.values().find(|h| h.end.is_some()).map(|h| h.id);
            oldest.map(|id| self.holds.remove(&id));
        }
    }
}
