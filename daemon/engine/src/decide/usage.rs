//! Counting: each request once, in every budget above it.

use std::collections::BTreeMap;

use crate::State;
use crate::alert::{Alert, AlertType, MAX_UNKNOWN_MODEL_ALERTS};
use crate::budget::{Budget, Counted, Crossing};
use crate::command::Usage as Command;
use crate::decide::holds::{Changed, reconsider};
use crate::decide::hook::{alert, new_agent};
use crate::decide::{Decision, Reply};
use crate::event::Event;
use crate::hold::HoldEnd;
use crate::ids::{AgentKey, AlertId, BudgetId, SessionId};
use crate::row::{Charge, Row, Sighting};
use crate::session::{Agent, Session};
use crate::time::Timestamp;
use crate::usage::{Totals, Usage};

/// How the keys of requests begin that a hook's payload told of.
const PAYLOAD: &str = "payload:";

pub(super) fn decide(state: &State, command: &Command, now: Timestamp) -> Decision {
    let mut books = Books::new(state, now);
    for sighting in &command.rows {
        books.count(sighting, command);
    }
    let mut events = books.close();
    events.extend(command.file.clone().map(Event::File));
    Decision { reply: Reply::None, events }
}

/// The books of one command: copies of what it touches, so that several rows add up.
struct Books<'a> {
    state: &'a State,
    now: Timestamp,
    sessions: BTreeMap<SessionId, Session>,
    agents: BTreeMap<(SessionId, AgentKey), Agent>,
    budgets: BTreeMap<BudgetId, Budget>,
    changes: BTreeMap<BudgetId, (Counted, Counted)>,
    totals: BTreeMap<(SessionId, AgentKey, String), Totals>,
    rows: BTreeMap<String, Row>,
    order: Vec<String>,
    unknown: BTreeMap<String, SessionId>,
}

impl<'a> Books<'a> {
    fn new(state: &'a State, now: Timestamp) -> Self {
        Self {
            state,
            now,
            sessions: BTreeMap::new(),
            agents: BTreeMap::new(),
            budgets: BTreeMap::new(),
            changes: BTreeMap::new(),
            totals: BTreeMap::new(),
            rows: BTreeMap::new(),
            order: Vec::new(),
            unknown: BTreeMap::new(),
        }
    }

    fn count(&mut self, seen: &Sighting, from: &Command) {
        let message_id = match &seen.message_id {
            Some(id) => id.clone(),
            None => self.payload_id(&seen.session),
        };
        let old = self.rows.get(&message_id).or_else(|| self.state.row(&message_id, &from.known)).cloned();
        match old {
            None => self.add(message_id, seen),
            // Only its owner's own transcript may lower what was counted; anybody else's word can only add.
            Some(old) if !is_the_owners(&old, from) && !adds(&old, seen) => {}
            Some(old) => self.correct(old, seen),
        }
    }

    /// A request not seen before, unless its key may have been forgotten with its session's older rows.
    fn add(&mut self, message_id: String, seen: &Sighting) {
        if self.state.rolled_up.get(&seen.session).is_some_and(|before| seen.at < *before) {
            return;
        }
        self.meet(seen);
        let mut charged = Vec::new();
        let above =
            if self.state.policy.enabled { self.state.above(&seen.session, &seen.agent) } else { Vec::new() };
        for id in above {
            // Rows dated before a budget began are history to it (3.2).
            let Some(budget) = self.budget(&id).filter(|b| seen.at >= b.started_at) else { continue };
            charged.push(Charge { generation: budget.epoch.generation, budget: id.clone() });
            let plus = self.counted(seen.usage, seen.micro_usd, seen.estimated);
            self.change(&id, Counted::default(), plus);
        }
        if seen.estimated && !charged.is_empty() {
            self.note_unknown(seen);
        }
        let totals = self.totals_of(&seen.session, &seen.agent, &seen.model);
        totals.usage = totals.usage.plus(seen.usage);
        totals.micro_usd = totals.micro_usd.saturating_add(seen.micro_usd);
        totals.requests = totals.requests.saturating_add(1);
        totals.estimated = totals.estimated.saturating_add(seen.estimated.into());
        self.note_context(seen);
        self.put(Row {
            message_id,
            request_id: seen.request_id.clone(),
            session: seen.session.clone(),
            agent: seen.agent.clone(),
            model: seen.model.clone(),
            usage: seen.usage,
            micro_usd: seen.micro_usd,
            at: seen.at,
            charged,
            estimated: seen.estimated,
        });
    }

    /// A further line of a request: the one with the greatest output wins, whole; on a tie the later one. Owner and
    /// date stay those of the first line; copies in forks and side questions are lines like any other.
    fn correct(&mut self, old: Row, seen: &Sighting) {
        let same = old.usage == seen.usage && old.model == seen.model;
        if same || seen.usage.output < old.usage.output || is_blank_copy(&old, seen) {
            return;
        }
        if seen.estimated && !old.charged.is_empty() {
            self.note_unknown(seen);
        }
        let before = self.totals_of(&old.session, &old.agent, &old.model);
        before.usage = before.usage.minus(old.usage);
        before.micro_usd = before.micro_usd.saturating_sub(old.micro_usd);
        before.requests = before.requests.saturating_sub(1);
        before.estimated = before.estimated.saturating_sub(old.estimated.into());
        let after = self.totals_of(&old.session, &old.agent, &seen.model);
        after.usage = after.usage.plus(seen.usage);
        after.micro_usd = after.micro_usd.saturating_add(seen.micro_usd);
        after.requests = after.requests.saturating_add(1);
        after.estimated = after.estimated.saturating_add(seen.estimated.into());
        let minus = self.counted(old.usage, old.micro_usd, old.estimated);
        let plus = self.counted(seen.usage, seen.micro_usd, seen.estimated);
        for charge in &old.charged {
            let current =
                self.budget(&charge.budget).is_some_and(|b| b.epoch.generation == charge.generation);
            if current {
                self.change(&charge.budget, minus, plus);
            }
        }
        self.note_context(seen);
        let mut row = old;
        row.request_id = row.request_id.or_else(|| seen.request_id.clone());
        (row.model, row.usage, row.micro_usd) = (seen.model.clone(), seen.usage, seen.micro_usd);
        row.estimated = seen.estimated;
        self.put(row);
    }

    /// A subagent that only its transcript tells of; its budget begins with it.
    fn meet(&mut self, seen: &Sighting) {
        let key = (seen.session.clone(), seen.agent.clone());
        let known = self.state.agents.contains_key(&key) || self.agents.contains_key(&key);
        let Some(session) = self.state.sessions.get(&seen.session).filter(|_| !known) else { return };
        let began = seen.at.max(session.first_seen);
        for event in new_agent(self.state, key.0, key.1, None, began) {
            match event {
                Event::Agent(agent) => {
                    drop(self.agents.insert((agent.session.clone(), agent.key.clone()), agent));
                }
                Event::Budget(budget) => drop(self.budgets.insert(budget.id.clone(), budget)),
                Event::Session(_)
                | Event::Row(_)
                | Event::Totals { .. }
                | Event::File(_)
                | Event::Hold(_)
                | Event::Alert(_)
                | Event::AlertAcknowledged { .. }
                | Event::Operator(_)
                | Event::RolledUp { .. }
                | Event::Forgotten(_)
                | Event::TaskForgotten(_)
                | Event::HistoryEnded { .. }
                | Event::Circuit(_)
                | Event::Protection(_)
                | Event::Configured { .. } => {}
            }
        }
    }

    fn budget(&self, id: &BudgetId) -> Option<&Budget> {
        self.budgets.get(id).or_else(|| self.state.budgets.get(id))
    }

    fn change(&mut self, id: &BudgetId, minus: Counted, plus: Counted) {
        let sums = self.changes.entry(id.clone()).or_default();
        sums.0 = sums.0.plus(minus);
        sums.1 = sums.1.plus(plus);
    }

    fn counted(&self, usage: Usage, micro_usd: u64, estimated: bool) -> Counted {
        let micro_tokens = self.state.policy.weights.weigh(usage);
        Counted { micro_tokens, micro_usd, estimated: estimated.into() }
    }

    /// A model without a price is told of once, as long as the alert is remembered.
    fn note_unknown(&mut self, seen: &Sighting) {
        let told = self.state.alerts.values().filter_map(|a| a.model.as_ref());
        let mut all = told.chain(self.unknown.keys());
        if !all.any(|m| *m == seen.model)
            && self.state.alerts.values().filter(|a| a.model.is_some()).count() + self.unknown.len()
                < MAX_UNKNOWN_MODEL_ALERTS
        {
            self.unknown.insert(seen.model.clone(), seen.session.clone());
        }
    }

    fn totals_of(&mut self, session: &SessionId, agent: &AgentKey, model: &str) -> &mut Totals {
        let key = (session.clone(), agent.clone(), model.to_owned());
        let state = self.state;
        self.totals.entry(key).or_insert_with_key(|key| state.totals.get(key).copied().unwrap_or_default())
    }

    fn note_context(&mut self, seen: &Sighting) {
        let key = (seen.session.clone(), seen.agent.clone());
        let Some(agent) = self.agents.get(&key).or_else(|| self.state.agents.get(&key)) else { return };
        if seen.at >= agent.context_at {
            let mut agent = agent.clone();
            (agent.context_tokens, agent.context_at) = (seen.usage.context(), seen.at);
            self.agents.insert(key, agent);
        }
    }

    /// The id of a request that has none: it came in a hook's payload.
    fn payload_id(&mut self, id: &SessionId) -> String {
        let session = self.sessions.get(id).or_else(|| self.state.sessions.get(id)).cloned();
        let Some(mut session) = session else { return format!("{PAYLOAD}{id}:?") };
        session.payload_rows = session.payload_rows.saturating_add(1);
        let message_id = format!("{PAYLOAD}{id}:{}", session.payload_rows);
        self.sessions.insert(id.clone(), session);
        message_id
    }

    fn put(&mut self, row: Row) {
        let id = row.message_id.clone();
        if self.rows.insert(id.clone(), row).is_none() {
            self.order.push(id);
        }
    }

    /// The facts, each once, and what the budgets' totals set off. Budgets move once for all rows of a command, so
    /// that a read that catches up is one jump.
    fn close(mut self) -> Vec<Event> {
        let mut alerts = Vec::new();
        for (id, (minus, plus)) in std::mem::take(&mut self.changes) {
            let Some(mut budget) = self.budget(&id).cloned() else { continue };
            let kind = match budget.recount(minus, plus, &self.state.policy, self.now) {
                Crossing::None => None,
                Crossing::Warning => Some(AlertType::WarningThreshold),
                Crossing::Paused => Some(AlertType::BudgetExhausted),
            };
            if let Some(kind) = kind {
                let number = AlertId(self.state.next_alert + alerts.len() as u64);
                alerts.push(Event::Alert(alert(number, &budget, kind, self.now)));
            }
            self.budgets.insert(id, budget);
        }
        for (model, session) in std::mem::take(&mut self.unknown) {
            let number = AlertId(self.state.next_alert + alerts.len() as u64);
            let (about, kind) = (BudgetId::Session(session), AlertType::UnknownModel);
            let agent = self.budget(&about).map_or_else(|| "main".to_owned(), |b| b.agent.clone());
            let told = Alert::without_figures(number, about, kind, agent, self.now);
            alerts.push(Event::Alert(Alert { model: Some(model), ..told }));
        }
        let released = self.released();
        let mut events: Vec<Event> = self.sessions.into_values().map(Event::Session).collect();
        events.extend(self.agents.into_values().map(Event::Agent));
        events.extend(self.budgets.into_values().map(Event::Budget));
        let rows = &mut self.rows;
        events.extend(self.order.iter().filter_map(|id| rows.remove(id)).map(Event::Row));
        events.extend(self.totals.into_iter().map(|((session, agent, model), totals)| Event::Totals {
            session,
            agent,
            model,
            totals,
        }));
        events.extend(released);
        events.extend(alerts);
        events
    }

    /// The ends of holds where a correction took a budget back below its limit (4.2).
    fn released(&self) -> Vec<Event> {
        let was_shut = |id| self.state.budgets.get(id).is_some_and(|b| b.status.is_shut());
        let opened = self.budgets.values().any(|b| !b.status.is_shut() && was_shut(&b.id));
        if !opened {
            return Vec::new();
        }
        let budgets = self.budgets.values().map(|b| (b.id.clone(), b)).collect();
        let changed = Changed { budgets, ..Changed::default() };
        reconsider(self.state, &changed, HoldEnd::Released, None, self.now)
    }
}

/// A fork's copy with its usage set to 0 never stands for the message.
fn is_blank_copy(old: &Row, seen: &Sighting) -> bool {
    seen.usage == Usage::default() && old.usage != Usage::default()
}

/// Whether a reading is of a transcript of the row's session. What came in a hook's payload has no transcript.
fn is_the_owners(old: &Row, from: &Command) -> bool {
    match &from.file {
        Some(file) => file.session == old.session,
        None => !old.message_id.starts_with(PAYLOAD),
    }
}

/// Whether neither a kind of token nor the cost falls.
fn adds(old: &Row, seen: &Sighting) -> bool {
    old.usage.minus(seen.usage) == Usage::default() && seen.micro_usd >= old.micro_usd
}
