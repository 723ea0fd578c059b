//! The books of one command: each request once, in every budget above it.

use std::collections::BTreeMap;

use crate::State;
use crate::alert::{Alert, AlertType, MAX_UNKNOWN_MODEL_ALERTS};
use crate::budget::{Budget, Counted, Crossing};
use crate::decide::holds::{Changed, reconsider};
use crate::decide::hook::{alert, new_agent};
use crate::decide::settle::{Missing, Settling};
use crate::event::Event;
use crate::hold::HoldEnd;
use crate::ids::{AgentKey, AlertId, BudgetId, SessionId};
use crate::reported::{Awaited, reported_key};
use crate::row::{Charge, Part, Row};
use crate::run::BACKGROUND;
use crate::session::{Agent, Session};
use crate::time::Timestamp;
use crate::usage::Totals;

/// The books of one command: copies of what it touches, so that several rows add up.
pub(super) struct Books<'a> {
    pub(super) state: &'a State,
    pub(super) now: Timestamp,
    pub(super) sessions: BTreeMap<SessionId, Session>,
    agents: BTreeMap<(SessionId, AgentKey), Agent>,
    budgets: BTreeMap<BudgetId, Budget>,
    changes: BTreeMap<BudgetId, (Counted, Counted)>,
    totals: BTreeMap<(SessionId, AgentKey, String), Totals>,
    rows: BTreeMap<String, Row>,
    order: Vec<String>,
    pub(super) settling: Settling,
    unknown: BTreeMap<String, SessionId>,
    /// Keys that became others.
    joined: Vec<(String, String)>,
    /// What is awaited from now on; none: no longer.
    pub(super) awaited: BTreeMap<String, Option<Awaited>>,
}

impl<'a> Books<'a> {
    pub(super) fn new(state: &'a State, now: Timestamp) -> Self {
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
            settling: Settling::default(),
            unknown: BTreeMap::new(),
            joined: Vec::new(),
            awaited: BTreeMap::new(),
        }
    }

    /// The row of a message, as these books have it.
    pub(super) fn row(&self, key: &str, known: &[Row]) -> Option<Row> {
        self.rows.get(key).or_else(|| self.state.row(key, known)).cloned()
    }

    /// The row of a request, as these books have it.
    pub(super) fn row_of_request(&self, request_id: &str, known: &[Row]) -> Option<Row> {
        let is = |row: &&Row| row.request_id.as_deref() == Some(request_id);
        let here = self.rows.values().find(is);
        let before = || self.state.recent.of_request(request_id).or_else(|| known.iter().find(is));
        // What these books have of a row goes before what was known of it.
        here.or_else(|| before().filter(|row| !self.rows.contains_key(&row.message_id))).cloned()
    }

    /// The row of a request that telemetry alone has told of up to now, as these books have it.
    pub(super) fn reported_row(&self, request_id: &str, known: &[Row]) -> Option<Row> {
        let key = reported_key(request_id);
        if self.joined.iter().any(|(from, _)| *from == key) {
            return None;
        }
        self.row(&key, known)
    }

    /// A request not seen before, unless its key may have been forgotten with its session's older rows.
    pub(super) fn add(&mut self, row: Row, is_turn: bool) {
        if self.state.rolled_up.get(&row.session).is_some_and(|before| row.at < *before) {
            return;
        }
        self.meet(&row);
        let mut row = row;
        let above = if self.state.policy.enabled { self.above(&row.session, &row.agent) } else { Vec::new() };
        for id in above {
            // Rows dated before a budget began are history to it (3.2).
            let Some(budget) = self.budget(&id).filter(|b| row.at >= b.started_at) else { continue };
            row.charged.push(Charge { generation: budget.epoch.generation, budget: id.clone() });
            let plus = self.counted(&row);
            self.change(&id, Counted::default(), plus);
        }
        self.note_unknown(&row);
        self.sum(&row, Totals::plus);
        if is_turn {
            self.note_context(&row);
        }
        self.settling.counted(self.state, None, &row, self.now);
        self.put(row);
    }

    /// A row becomes another under the same key, in its totals and in the budgets that it was counted in.
    pub(super) fn replace(&mut self, old: &Row, row: Row, is_turn: bool) {
        if row == *old {
            return;
        }
        self.note_unknown(&row);
        self.sum(old, Totals::minus);
        self.sum(&row, Totals::plus);
        let (minus, plus) = (self.counted(old), self.counted(&row));
        for charge in &old.charged {
            let current =
                self.budget(&charge.budget).is_some_and(|b| b.epoch.generation == charge.generation);
            if current {
                self.change(&charge.budget, minus, plus);
            }
        }
        if is_turn {
            self.note_context(&row);
        }
        self.settling.counted(self.state, Some(old), &row, self.now);
        self.put(row);
    }

    /// A row that was kept under one key is kept under another.
    pub(super) fn rename(&mut self, row: Row, key: &str) -> Row {
        self.joined.push((row.message_id.clone(), key.to_owned()));
        self.rows.remove(&row.message_id);
        self.order.retain(|known| *known != row.message_id);
        Row { message_id: key.to_owned(), ..row }
    }

    /// What the clients' own totals show beyond their lines becomes rows, or changes those that it became before.
    pub(super) fn settle(&mut self) {
        for missing in self.settling.missing(self.now) {
            let Missing { model, spent, .. } = &missing;
            // It is no request whose context the next one sends again.
            match &missing.old {
                None => {
                    let part = Part {
                        model: model.clone(),
                        usage: spent.usage,
                        micro_usd: spent.micro_usd,
                        estimated: false,
                    };
                    let row = Row::new(missing.key(), missing.session.clone(), AgentKey::Main, missing.at);
                    self.add(row.of_parts(Some(part), None), false);
                }
                Some(old) => {
                    let row = Row { usage: spent.usage, micro_usd: spent.micro_usd, ..old.clone() };
                    self.replace(old, row, false);
                }
            }
            if let Some(row) = self.rows.get(&missing.key()).cloned() {
                self.settling.keep(&missing, row);
            }
        }
    }

    /// A copy draws on the budget of the session that it is a copy of, from then on (4.11).
    pub(super) fn draws_on(&mut self, copy: SessionId, parent: &SessionId) {
        let known = self.sessions.get(&copy).or_else(|| self.state.sessions.get(&copy));
        if let Some(session) = known.filter(|_| self.state.sessions.contains_key(parent)) {
            let draws_on = Some(self.state.purse(parent).clone());
            let session = Session { draws_on, ..session.clone() };
            self.sessions.insert(copy, session);
        }
    }

    fn above(&self, session: &SessionId, agent: &AgentKey) -> Vec<BudgetId> {
        let mut ids = self.state.above(session, agent);
        if let Some(purse) = self.sessions.get(session).and_then(|s| s.draws_on.as_ref()) {
            let own = BudgetId::Session(session.clone());
            ids.iter_mut().filter(|id| **id == own).for_each(|id| *id = BudgetId::Session(purse.clone()));
        }
        ids
    }

    /// A subagent that only its transcript tells of; its budget begins with it.
    fn meet(&mut self, seen: &Row) {
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
                | Event::Runs(_)
                | Event::Joined { .. }
                | Event::Awaited(_)
                | Event::NotAwaited { .. }
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

    fn counted(&self, row: &Row) -> Counted {
        let micro_tokens = self.state.policy.weights.weigh(row.usage);
        Counted { micro_tokens, micro_usd: row.micro_usd, estimated: row.estimated.into() }
    }

    /// A model without a price is told of once, as long as the alert is remembered.
    fn note_unknown(&mut self, row: &Row) {
        if !row.estimated || row.charged.is_empty() {
            return;
        }
        let told = self.state.alerts.values().filter_map(|a| a.model.as_ref());
        let mut all = told.chain(self.unknown.keys());
        if !all.any(|m| *m == row.model)
            && self.state.alerts.values().filter(|a| a.model.is_some()).count() + self.unknown.len()
                < MAX_UNKNOWN_MODEL_ALERTS
        {
            self.unknown.insert(row.model.clone(), row.session.clone());
        }
    }

    fn sum(&mut self, row: &Row, op: fn(Totals, Totals) -> Totals) {
        let one = Totals {
            usage: row.usage,
            micro_usd: row.micro_usd,
            // What a client spent beside its lines is some requests, nobody knows how many.
            requests: u64::from(!row.message_id.starts_with(BACKGROUND)),
            estimated: row.estimated.into(),
        };
        let totals = self.totals_of(&row.session, &row.agent, &row.model);
        *totals = op(*totals, one);
    }

    fn totals_of(&mut self, session: &SessionId, agent: &AgentKey, model: &str) -> &mut Totals {
        let key = (session.clone(), agent.clone(), model.to_owned());
        let state = self.state;
        self.totals.entry(key).or_insert_with_key(|key| state.totals.get(key).copied().unwrap_or_default())
    }

    fn note_context(&mut self, seen: &Row) {
        let key = (seen.session.clone(), seen.agent.clone());
        let Some(agent) = self.agents.get(&key).or_else(|| self.state.agents.get(&key)) else { return };
        if seen.at >= agent.context_at {
            let mut agent = agent.clone();
            (agent.context_tokens, agent.context_at) = (seen.usage.context(), seen.at);
            self.agents.insert(key, agent);
        }
    }

    fn put(&mut self, row: Row) {
        let id = row.message_id.clone();
        if self.rows.insert(id.clone(), row).is_none() {
            self.order.push(id);
        }
    }

    /// The facts, each once, and what the budgets' totals set off. Budgets move once for all rows of a command, so
    /// that a read that catches up is one jump.
    pub(super) fn close(mut self) -> Vec<Event> {
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
        for (session, alarm) in std::mem::take(&mut self.settling.alarms) {
            let number = AlertId(self.state.next_alert + alerts.len() as u64);
            alerts.push(Event::Alert(Alert::of_alarm(number, session, alarm, self.now)));
        }
        let released = self.released();
        let mut events: Vec<Event> = self.sessions.into_values().map(Event::Session).collect();
        events.extend(self.agents.into_values().map(Event::Agent));
        events.extend(self.budgets.into_values().map(Event::Budget));
        events.extend(self.joined.into_iter().map(|(from, to)| Event::Joined { from, to }));
        let rows = &mut self.rows;
        events.extend(self.order.iter().filter_map(|id| rows.remove(id)).map(Event::Row));
        events.extend(self.totals.into_iter().map(|((session, agent, model), totals)| Event::Totals {
            session,
            agent,
            model,
            totals,
        }));
        let awaited = |(request_id, awaited): (String, Option<Awaited>)| match awaited {
            Some(awaited) => Event::Awaited(Box::new(awaited)),
            None => Event::NotAwaited { request_id },
        };
        events.extend(self.awaited.into_iter().map(awaited));
        let runs = self.settling.into_changed(self.state);
        events.extend(runs.into_iter().map(|runs| Event::Runs(Box::new(runs))));
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
