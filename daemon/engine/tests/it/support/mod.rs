//! What the tests are made of: a world with a clock of its own, and builders for what happens in it.

pub(crate) mod calls;
pub(crate) mod model;
pub(crate) mod random;

use bursar_engine::alert::{Alert, AlertType};
use bursar_engine::budget::{Budget, Status};
use bursar_engine::command::{Act, Amount, Command, Hook, Operator, Usage as UsageRead};
use bursar_engine::decide::{Done, Reply};
use bursar_engine::error::OperatorError;
use bursar_engine::hold::{Hold, HoldEnd};
use bursar_engine::ids::{AgentKey, BudgetId, HoldId, SessionId};
use bursar_engine::policy::{Limit, Policy};
use bursar_engine::row::Sighting;
use bursar_engine::table::{Cell, HookEvent};
use bursar_engine::time::Timestamp;
use bursar_engine::usage::{Totals, Usage};
use bursar_engine::verdict::Verdict;
use bursar_engine::{Decision, Event, State, decide};

/// When every test begins: 2026-11-24T16:00:00Z.
pub(crate) const START: Timestamp = Timestamp(1_795_536_000_000);

/// The session and the model that a test means if it names none.
pub(crate) const S: &str = "s1";
pub(crate) const MODEL: &str = "claude-opus-5-5";

/// A state, its clock, and all that happened.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) now: Timestamp,
    pub(crate) events: Vec<Event>,
    made: u64,
}

impl World {
    pub(crate) fn new(policy: Policy) -> Self {
        policy.check().unwrap();
        Self { state: State::new(policy), now: START, events: Vec::new(), made: 0 }
    }

    /// A world where one session with this limit in tokens was met.
    pub(crate) fn with_session(tokens: u64) -> Self {
        let mut world = Self::new(Policy { session: tokens_only(tokens), ..Policy::default() });
        world.hook(hook(HookEvent::SessionStart));
        world
    }

    /// The one way through.
    pub(crate) fn send(&mut self, command: &Command) -> Decision {
        let decision = decide(&self.state, command, self.now);
        for event in &decision.events {
            self.state.evolve(event);
        }
        self.events.extend(decision.events.iter().cloned());
        decision
    }

    pub(crate) fn hook(&mut self, hook: Hook) -> Verdict {
        match self.send(&Command::Hook(hook)).reply {
            Reply::Verdict(verdict) => verdict,
            other => panic!("a hook was answered {other:?}"),
        }
    }

    /// The cell of a hook of the main agent.
    pub(crate) fn cell(&mut self, event: HookEvent) -> Cell {
        self.hook(hook(event)).cell
    }

    /// A hook that must be held; its hold.
    pub(crate) fn held(&mut self, hook: Hook) -> HoldId {
        let verdict = self.hook(hook);
        assert_eq!(verdict.cell, Cell::Hold, "{verdict:?}");
        verdict.hold.unwrap()
    }

    pub(crate) fn read(&mut self, rows: Vec<Sighting>) -> Decision {
        self.send(&Command::Usage(UsageRead { file: None, rows, known: Vec::new(), claim: None }))
    }

    /// A request of the main agent, new and dated now, that takes so many tokens.
    pub(crate) fn spend(&mut self, tokens: u64) {
        self.spend_in(S, None, tokens);
    }

    pub(crate) fn spend_in(&mut self, session: &str, agent: Option<&str>, tokens: u64) {
        self.made += 1;
        let id = format!("spent-{}", self.made);
        let row = Sighting { session: sid(session), agent: key(agent), at: self.now, ..row(&id, tokens) };
        self.read(vec![row]);
    }

    /// A request that costs so many micro-dollars and no tokens.
    pub(crate) fn pay(&mut self, micro_usd: u64) {
        self.made += 1;
        let row = Sighting { micro_usd, at: self.now, ..row(&format!("paid-{}", self.made), 0) };
        self.read(vec![row]);
    }

    /// An act under a request id of its own.
    pub(crate) fn act(&mut self, act: Act) -> Result<Done, OperatorError> {
        self.made += 1;
        self.act_as(&format!("act-{}", self.made), act)
    }

    pub(crate) fn act_as(&mut self, request_id: &str, act: Act) -> Result<Done, OperatorError> {
        match self.send(&Command::Operator(operator(request_id, act))).reply {
            Reply::Operator(done) => done,
            other => panic!("an act was answered {other:?}"),
        }
    }

    pub(crate) fn extend(&mut self, budget: &str, tokens: u64) -> Done {
        self.act(extend(budget, tokens)).unwrap()
    }

    pub(crate) fn tick(&mut self) {
        self.send(&Command::Tick);
    }

    pub(crate) fn wait_ms(&mut self, ms: u64) {
        self.now = self.now.plus_ms(ms);
    }

    pub(crate) fn budget(&self, id: &str) -> &Budget {
        self.state.budgets.get(&bid(id)).unwrap_or_else(|| panic!("there is no {id}"))
    }

    /// Tokens used, limit, status: as HOOK.md writes them.
    pub(crate) fn stands(&self, id: &str) -> (u64, u64, Status) {
        let budget = self.budget(id);
        (budget.tokens_used(), budget.max.tokens, budget.status)
    }

    pub(crate) fn status(&self, id: &str) -> Status {
        self.budget(id).status
    }

    pub(crate) fn hold(&self, id: HoldId) -> &Hold {
        &self.state.holds[&id]
    }

    pub(crate) fn end_of(&self, id: HoldId) -> Option<HoldEnd> {
        self.hold(id).end
    }

    /// What was raised about a budget, in order.
    pub(crate) fn alerts_of(&self, id: &str) -> Vec<AlertType> {
        let about = bid(id);
        self.alerts().filter(|a| a.budget_id == about).map(|a| a.alert_type).collect()
    }

    pub(crate) fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.events.iter().filter_map(|e| if let Event::Alert(alert) = e { Some(alert) } else { None })
    }

    /// The totals of an agent of the usual session on the usual model.
    pub(crate) fn totals(&self, agent: Option<&str>) -> Totals {
        self.state.totals.get(&(sid(S), key(agent), MODEL.to_owned())).copied().unwrap_or_default()
    }
}

pub(crate) fn tokens_only(tokens: u64) -> Limit {
    Limit { tokens, micro_usd: 0 }
}

pub(crate) fn sid(id: &str) -> SessionId {
    SessionId::new(id).unwrap()
}

pub(crate) fn bid(id: &str) -> BudgetId {
    id.parse().unwrap()
}

pub(crate) fn key(agent: Option<&str>) -> AgentKey {
    AgentKey::new(agent).unwrap()
}

/// A hook of the usual session's main agent: attended, with a time limit that no hold of a test meets by itself, and
/// with a clock that was never set back.
pub(crate) fn hook(event: HookEvent) -> Hook {
    Hook {
        event,
        wall: Timestamp(u64::MAX),
        session: sid(S),
        agent: AgentKey::Main,
        agent_type: None,
        timeout_s: Some(86_460),
        attended: true,
        ci: false,
        cwd: None,
        project: None,
        transcript: None,
        client_pid: None,
        task: None,
        task_type: None,
        shown_as: None,
        tool: None,
        parent: None,
        begins: None,
        caught_up: true,
        calls: Vec::new(),
        by_hand: false,
        stop_blocked: false,
        seed_shape: false,
    }
}

/// A hook of a subagent of the usual session.
pub(crate) fn sub_hook(event: HookEvent, agent: &str) -> Hook {
    Hook { agent: key(Some(agent)), agent_type: Some("Explore".to_owned()), ..hook(event) }
}

/// A request of the usual session's main agent at the start: its tokens are input.
pub(crate) fn row(message_id: &str, tokens: u64) -> Sighting {
    Sighting {
        message_id: Some(message_id.to_owned()),
        request_id: None,
        session: sid(S),
        agent: AgentKey::Main,
        model: MODEL.to_owned(),
        usage: Usage { input: tokens, ..Usage::default() },
        micro_usd: 0,
        at: START,
        estimated: false,
        partial: false,
    }
}

pub(crate) fn operator(request_id: &str, act: Act) -> Operator {
    Operator {
        request_id: request_id.to_owned(),
        who: "ada@host".to_owned(),
        reason: "it is worth it".to_owned(),
        say: None,
        may_only_tighten: false,
        by_agent: false,
        refused: None,
        act,
    }
}

pub(crate) fn extend(budget: &str, tokens: u64) -> Act {
    Act::Extend { budget: Some(bid(budget)), amount: Amount::Exact(tokens_only(tokens)) }
}
