//! What a limit would have done to a session that is over: its requests, counted by the ledger's own rules.

use bursar_engine::budget::Status;
use bursar_engine::command::{Command, Usage};
use bursar_engine::ids::{AgentKey, BudgetId, SessionId};
use bursar_engine::policy::{CircuitPolicy, Limit, Mode, OnPause, Policy};
use bursar_engine::row::{FileProgress, Sighting};
use bursar_engine::time::Timestamp;
use bursar_engine::{State, decide};
use serde_json::json;

use super::hook;
use crate::prices::Prices;
use crate::transcript::{Line, parse};

/// What a session spent, and where the limit would have held it. Calls are counted from 1; 0: before the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// Whole tokens in the budget's unit.
    pub tokens: u64,
    /// Micro-dollars at list prices.
    pub micro_usd: u64,
    /// At which call the budget would have warned.
    pub warned_at: Option<u64>,
    /// Where it would have held the session, and what was spent then.
    pub paused: Option<Paused>,
}

/// Where a session would have been held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paused {
    /// At which call.
    pub at_call: u64,
    /// When.
    pub at: Timestamp,
    /// Whole tokens spent then.
    pub tokens: u64,
    /// Micro-dollars spent then.
    pub micro_usd: u64,
}

/// A session's budget, in a state of its own.
#[derive(Debug)]
pub struct Purse<'a> {
    state: State,
    prices: &'a Prices,
    session: SessionId,
    begun: bool,
    /// Its file begins with another session's requests.
    is_copy: bool,
    last: Timestamp,
    spent: Spent,
}

impl<'a> Purse<'a> {
    /// A budget of `session` with this limit, reckoned as these settings say.
    pub fn new(policy: &Policy, limit: Limit, prices: &'a Prices, session: SessionId) -> Self {
        let policy = Policy {
            enabled: true,
            mode: Mode::Enforce,
            on_pause: OnPause::Deny,
            session: limit,
            circuits: CircuitPolicy { enabled: false, ..policy.circuits },
            ..policy.clone()
        };
        Self {
            state: State::new(policy),
            prices,
            session,
            begun: false,
            is_copy: false,
            last: Timestamp::default(),
            spent: Spent::default(),
        }
    }

    /// What it came to.
    pub fn spent(&self) -> Spent {
        self.spent
    }

    /// Counts a line of the file of `agent`, read after `calls` calls. Copies of another session's requests, as a fork's
    /// file begins with them, are not this one's.
    pub fn line(&mut self, line: &[u8], agent: Option<&str>, calls: u64) {
        let agent = agent.map_or(AgentKey::Main, |id| AgentKey::Sub(id.to_owned()));
        match parse(line, &self.session, &agent, self.last) {
            Line::Usage { seen, terms, .. } if seen.session == self.session => {
                let cost = self.prices.cost(&seen.model, seen.usage, terms, seen.at);
                let (micro_usd, estimated) = (cost.micro_usd, cost.estimated);
                self.begin(seen.at);
                // What is written is dated in the order in which it stands there.
                self.last = self.last.max(seen.at);
                let seen = Sighting { at: self.last, micro_usd, estimated, ..*seen };
                self.count(agent, vec![seen], None, calls);
            }
            Line::Usage { .. } => self.is_copy = true,
            // A copy's client counts from its parent's total on, which is not known here.
            Line::Claim { session, totals } if session == self.session && !self.is_copy => {
                self.begin(self.last);
                self.count(agent, Vec::new(), Some(totals), calls);
            }
            Line::Claim { .. } | Line::Other | Line::Bad => {}
        }
    }

    fn begin(&mut self, at: Timestamp) {
        if self.begun {
            return;
        }
        self.begun = true;
        if let Some(hook) =
            hook(self.session.as_str(), "SessionStart", None, at, json!({"source": "startup"}))
        {
            self.tell(&Command::Hook(hook), at);
        }
    }

    fn count(
        &mut self,
        agent: AgentKey,
        rows: Vec<Sighting>,
        claim: Option<bursar_engine::run::ByModel>,
        calls: u64,
    ) {
        let file = FileProgress {
            session: self.session.clone(),
            agent,
            path: String::new(),
            offset: 0,
            inode: 0,
            device: 0,
            tail_hash: 0,
            bad_lines: 0,
            read_at: self.last,
            in_long_line: false,
        };
        // Rows that the state has forgotten would be asked of a store; a replay has none, and no session is so long.
        let at = self.last;
        self.tell(&Command::Usage(Usage { file: Some(file), rows, known: Vec::new(), claim }), at);
        let Some(budget) = self.state.budgets.get(&BudgetId::Session(self.session.clone())) else { return };
        let (tokens, micro_usd) = (budget.tokens_used(), budget.used.micro_usd);
        (self.spent.tokens, self.spent.micro_usd) = (tokens, micro_usd);
        if budget.status != Status::Active && self.spent.warned_at.is_none() {
            self.spent.warned_at = Some(calls);
        }
        if budget.status.is_shut() && self.spent.paused.is_none() {
            self.spent.paused = Some(Paused { at_call: calls, at, tokens, micro_usd });
        }
    }

    fn tell(&mut self, command: &Command, at: Timestamp) {
        let decision = decide(&self.state, command, at);
        decision.events.iter().for_each(|event| self.state.evolve(event));
    }
}
