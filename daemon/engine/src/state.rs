//! All that the rules remember.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::acts::Acts;
use crate::alert::Alert;
use crate::budget::Budget;
use crate::circuit::{Circuit, CircuitId};
use crate::hold::Hold;
use crate::ids::{AgentKey, AlertId, BudgetId, HoldId, SessionId};
use crate::policy::Policy;
use crate::protection::Protection;
use crate::reported::Awaited;
use crate::row::{FileProgress, Recent, Row};
use crate::runs::Runs;
use crate::session::{Agent, Session};
use crate::time::Timestamp;
use crate::usage::Totals;

/// The hot state. Everything but the recent rows is loaded at start-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// What was configured.
    pub policy: Policy,
    /// Who may raise a limit.
    pub protection: Protection,
    /// Sessions.
    pub sessions: BTreeMap<SessionId, Session>,
    /// Agents.
    pub agents: BTreeMap<(SessionId, AgentKey), Agent>,
    /// Budgets.
    pub budgets: BTreeMap<BudgetId, Budget>,
    /// What was spent, by session, agent and model. Also of sessions that only a fork's copies name.
    pub totals: BTreeMap<(SessionId, AgentKey, String), Totals>,
    /// Sessions whose rows before that time are only sums by the hour any more (7.2).
    pub rolled_up: BTreeMap<SessionId, Timestamp>,
    /// Runs of clients, by session.
    pub runs: BTreeMap<SessionId, Runs>,
    /// Requests that telemetry told of and whose line has not come, by request id.
    pub awaited: BTreeMap<String, Awaited>,
    /// Transcript files.
    pub files: BTreeMap<String, FileProgress>,
    /// Circuits of agents that called something.
    pub circuits: BTreeMap<CircuitId, Arc<Circuit>>,
    /// Holds that wait, and those that ended lately.
    pub holds: BTreeMap<HoldId, Hold>,
    /// Alerts, the newest [`crate::alert::MAX_ALERTS`].
    pub alerts: BTreeMap<AlertId, Alert>,
    /// Acts done most lately.
    pub acts: Acts,
    /// The next hold's id.
    pub next_hold: u64,
    /// The next alert's id.
    pub next_alert: u64,
    /// Rows most lately counted: a cache of the store's.
    pub recent: Recent,
}

/// How many ended holds the state keeps for those who ask again; older ones are in the store.
pub const MAX_ENDED_HOLDS: usize = 1_000;

impl State {
    /// An empty state under a policy.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            protection: Protection::default(),
            sessions: BTreeMap::new(),
            agents: BTreeMap::new(),
            budgets: BTreeMap::new(),
            totals: BTreeMap::new(),
            rolled_up: BTreeMap::new(),
            runs: BTreeMap::new(),
            awaited: BTreeMap::new(),
            files: BTreeMap::new(),
            circuits: BTreeMap::new(),
            holds: BTreeMap::new(),
            alerts: BTreeMap::new(),
            acts: Acts::default(),
            next_hold: 1,
            next_alert: 1,
            recent: Recent::default(),
        }
    }

    /// The budgets that a request of this agent counts in, its own first (4.7). They need not exist yet.
    pub fn above(&self, session: &SessionId, agent: &AgentKey) -> Vec<BudgetId> {
        let known = self.sessions.get(session);
        Self::above_of(known, session, agent, known.and_then(|s| s.env_task.as_deref()))
    }

    /// As [`Self::above`], of a session as it is `known`, where the client's environment names this task now.
    pub(crate) fn above_of(
        known: Option<&Session>,
        session: &SessionId,
        agent: &AgentKey,
        task: Option<&str>,
    ) -> Vec<BudgetId> {
        let mut ids = Vec::with_capacity(3);
        if let AgentKey::Sub(id) = agent {
            ids.push(BudgetId::Agent(id.clone()));
        }
        ids.push(BudgetId::Session(known.map_or(session, Session::purse).clone()));
        let given = known.map(|s| &s.tasks);
        let named = task.filter(|t| given.is_none_or(|given| !given.contains(*t)));
        let tasks = given.into_iter().flatten().map(String::as_str).chain(named);
        ids.extend(tasks.map(|t| BudgetId::Task(t.to_owned())));
        ids
    }

    /// Whose session budget a session draws on: mostly its own (4.11).
    pub fn purse<'a>(&'a self, session: &'a SessionId) -> &'a SessionId {
        self.sessions.get(session).map_or(session, Session::purse)
    }

    /// An agent's circuit, once it has called something.
    pub fn circuit(&self, id: &CircuitId) -> Option<&Circuit> {
        self.circuits.get(id).map(Arc::as_ref)
    }

    /// Holds that still wait.
    pub fn waiting(&self) -> impl Iterator<Item = &Hold> {
        self.holds.values().filter(|h| h.end.is_none())
    }

    /// What is shut in a session: everybody, or these agents (for its marker, 6.6). An open circuit shuts its agent
    /// alone, `main` too.
    pub fn shut_in(&self, session: &SessionId) -> (bool, BTreeSet<String>) {
        let is_shut =
            |id: &BudgetId| self.policy.enabled && self.budgets.get(id).is_some_and(|b| b.status.is_shut());
        let everybody = match self.sessions.get(session) {
            Some(s) if s.ended.is_some() => is_shut(&BudgetId::Session(self.purse(session).clone())),
            _ => self.above(session, &AgentKey::Main).iter().any(is_shut),
        };
        let alone = |key: &AgentKey| {
            let circuit = self.circuit(&CircuitId::of(session, key));
            key.sub().is_some_and(|id| is_shut(&BudgetId::Agent(id.to_owned())))
                || (self.policy.circuits.trips() && circuit.is_some_and(Circuit::is_open))
        };
        let agents = self.agents_of(session).map(|a| &a.key).filter(|key| alone(key));
        (everybody, agents.map(|key| key.as_str().to_owned()).collect())
    }

    /// The agents of a session.
    pub fn agents_of(&self, session: &SessionId) -> impl Iterator<Item = &Agent> {
        let from = (session.clone(), AgentKey::Main);
        self.agents.range(from..).take_while(move |((s, _), _)| s == session).map(|(_, agent)| agent)
    }

    /// The totals of a session, by agent and model.
    pub fn totals_of(&self, session: &SessionId) -> impl Iterator<Item = (&AgentKey, &str, &Totals)> {
        let from = (session.clone(), AgentKey::Main, String::new());
        self.totals
            .range(from..)
            .take_while(move |((s, _, _), _)| s == session)
            .map(|((_, agent, model), totals)| (agent, model.as_str(), totals))
    }

    /// The sessions that a budget stands above; of a task's the live ones, since one that ended comes back by a hook.
    pub fn sessions_under(&self, budget: &BudgetId) -> Vec<SessionId> {
        match budget {
            BudgetId::Session(id) => {
                let draws = |s: &&Session| s.id == *id || s.draws_on.as_ref() == Some(id);
                self.sessions.values().filter(draws).map(|s| s.id.clone()).collect()
            }
            BudgetId::Agent(agent) => self
                .agents
                .values()
                .filter(|a| a.key.sub() == Some(agent))
                .map(|a| a.session.clone())
                .collect(),
            BudgetId::Task(name) => {
                let names = |s: &Session| s.tasks.contains(name) || s.env_task.as_ref() == Some(name);
                let draws = |s: &&Session| s.ended.is_none() && names(s);
                self.sessions.values().filter(draws).map(|s| s.id.clone()).collect()
            }
            BudgetId::Project(_) | BudgetId::Host(_) | BudgetId::Fleet(_) => Vec::new(),
        }
    }

    /// Which of these messages the state has no row of: the reader asks the store for them.
    pub fn forgotten<'a>(&self, message_ids: impl Iterator<Item = &'a str>) -> Vec<String> {
        message_ids.filter(|id| self.recent.get(id).is_none()).map(str::to_owned).collect()
    }

    /// The row of a message, from memory or from those that the command carries.
    pub fn row<'a>(&'a self, message_id: &str, known: &'a [Row]) -> Option<&'a Row> {
        self.recent.get(message_id).or_else(|| known.iter().find(|r| r.message_id == message_id))
    }

    /// The least tokens left until a budget above an agent pauses; none where none has a limit.
    pub fn least_left(&self, session: &SessionId, agent: &AgentKey) -> Option<u64> {
        let above = self.above(session, agent);
        above.iter().filter_map(|id| self.budgets.get(id)?.tokens_until_pause(&self.policy)).min()
    }

    /// The least micro-dollars left until a budget above an agent pauses; none where none has such a limit.
    pub fn least_micro_usd_left(&self, session: &SessionId, agent: &AgentKey) -> Option<u64> {
        let above = self.above(session, agent);
        above.iter().filter_map(|id| self.budgets.get(id)?.micro_usd_until_pause(&self.policy)).min()
    }

    /// When the next hold runs out, or the next request counts without its line.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let holds = self.waiting().map(|h| h.deadline).min();
        holds.into_iter().chain(self.awaited.values().map(Awaited::until)).min()
    }
}
