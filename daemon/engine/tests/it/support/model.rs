//! The books kept a second time, in the plainest way: all rows are remembered, every sum is made anew.

use std::collections::{BTreeMap, BTreeSet};

use bursar_engine::State;
use bursar_engine::command::{Act, Command, Hook};
use bursar_engine::row::Sighting;
use bursar_engine::table::HookEvent;
use bursar_engine::time::Timestamp;
use bursar_engine::usage::{Usage, Weights};

/// Session, agent, model.
type Spender = (String, String, String);

#[derive(Debug, Clone)]
struct Line {
    session: String,
    agent: String,
    model: String,
    usage: Usage,
    micro_usd: u64,
    /// The budgets it counts in, and which count of each.
    counts_in: Vec<(String, u32)>,
}

#[derive(Debug, Clone)]
struct Began {
    at: Timestamp,
    resets: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Model {
    weights: Weights,
    first_seen: BTreeMap<String, Timestamp>,
    task: BTreeMap<String, Option<String>>,
    agents: Vec<(String, String)>,
    budgets: BTreeMap<String, Began>,
    lines: BTreeMap<String, Line>,
    nameless: u64,
    /// The ids of resets that were done: each is done once.
    resets: BTreeSet<String>,
}

impl Model {
    pub(crate) fn new(weights: Weights) -> Self {
        Self { weights, ..Self::default() }
    }

    pub(crate) fn take(&mut self, command: &Command, now: Timestamp) {
        match command {
            Command::Hook(hook) | Command::Meet(hook) => self.meet(hook, now),
            Command::Usage(usage) => usage.rows.iter().for_each(|seen| self.see(seen)),
            Command::Operator(operator) => {
                if let (Act::Reset(id), None) = (&operator.act, &operator.refused)
                    && let Some(began) = self.budgets.get_mut(&id.to_string())
                    && self.resets.insert(operator.request_id.clone())
                {
                    *began = Began { at: now, resets: began.resets + 1 };
                }
            }
            // Random histories have none: reports have properties of their own, and so have sessions without hooks.
            Command::Reports(_)
            | Command::Past(_)
            | Command::Found(_)
            | Command::Doubted { .. }
            | Command::HoldLost(_)
            | Command::HoldResumed(_)
            | Command::Tick
            | Command::ClientGone(_)
            | Command::RollUp { .. }
            | Command::Forget { .. }
            | Command::Configured { .. } => {}
        }
    }

    fn begin(&mut self, id: String, at: Timestamp) {
        self.budgets.entry(id).or_insert(Began { at, resets: 0 });
    }

    fn meet(&mut self, hook: &Hook, now: Timestamp) {
        let began = now.min(hook.wall);
        let session = hook.session.to_string();
        self.first_seen.entry(session.clone()).or_insert(began);
        self.task.insert(session.clone(), hook.task.clone());
        self.begin(format!("session:{session}"), began);
        if let Some(task) = &hook.task {
            self.begin(format!("task:{task}"), began);
        }
        let ends_a_compaction =
            hook.event == HookEvent::SubagentStop && hook.agent_type.as_deref() == Some("");
        if !ends_a_compaction {
            self.meet_agent(&session, hook.agent.as_str(), began);
        }
    }

    fn meet_agent(&mut self, session: &str, agent: &str, began: Timestamp) {
        let named = (session.to_owned(), agent.to_owned());
        if self.agents.contains(&named) {
            return;
        }
        self.agents.push(named);
        if agent != "main" {
            self.begin(format!("agent:{agent}"), began);
        }
    }

    fn see(&mut self, seen: &Sighting) {
        let message = match &seen.message_id {
            Some(id) => id.clone(),
            // A session that nobody knows has no numbers to give: its nameless requests are one.
            None if !self.first_seen.contains_key(seen.session.as_str()) => {
                format!("unknown {}", seen.session)
            }
            None => {
                self.nameless += 1;
                format!("nameless {}", self.nameless)
            }
        };
        let blank = seen.usage == Usage::default();
        if let Some(line) = self.lines.get_mut(&message) {
            // A payload is not the session's own transcript: it can only add.
            let falls = line.usage.minus(seen.usage) != Usage::default() || seen.micro_usd < line.micro_usd;
            if seen.message_id.is_none() && falls {
                return;
            }
            let repeats = line.usage == seen.usage && line.model == seen.model;
            if !repeats && !blank && seen.usage.output >= line.usage.output {
                line.model.clone_from(&seen.model);
                (line.usage, line.micro_usd) = (seen.usage, seen.micro_usd);
            } else if !repeats && blank && line.usage == Usage::default() {
                line.model.clone_from(&seen.model);
                line.micro_usd = seen.micro_usd;
            }
            return;
        }
        let (session, agent) = (seen.session.to_string(), seen.agent.to_string());
        if let Some(first) = self.first_seen.get(&session).copied() {
            self.meet_agent(&session, &agent, first.max(seen.at));
        }
        let task = self.task.get(&session).cloned().flatten();
        let above = [
            Some(format!("agent:{agent}")),
            Some(format!("session:{session}")),
            task.map(|t| format!("task:{t}")),
        ];
        let counts_in = above
            .into_iter()
            .flatten()
            .filter_map(|id| {
                self.budgets.get(&id).filter(|b| b.at <= seen.at).map(|b| (id.clone(), b.resets))
            })
            .collect();
        let (model, usage, micro_usd) = (seen.model.clone(), seen.usage, seen.micro_usd);
        self.lines.insert(message, Line { session, agent, model, usage, micro_usd, counts_in });
    }

    /// Millionths of a token and micro-dollars used, budget by budget.
    pub(crate) fn used(&self) -> BTreeMap<String, (u128, u128)> {
        let sums = |(id, began): (&String, &Began)| {
            let now = (id.clone(), began.resets);
            let counted = self.lines.values().filter(|l| l.counts_in.contains(&now));
            let sum = counted.fold((0, 0), |(tokens, usd), l| {
                (tokens + self.weigh(l.usage), usd + u128::from(l.micro_usd))
            });
            (id.clone(), sum)
        };
        self.budgets.iter().map(sums).collect()
    }

    fn weigh(&self, usage: Usage) -> u128 {
        let w = &self.weights;
        [
            (usage.input, w.input),
            (usage.output, w.output),
            (usage.cache_write_5m, w.cache_write),
            (usage.cache_write_1h, w.cache_write),
            (usage.cache_read, w.cache_read),
        ]
        .into_iter()
        .map(|(tokens, weight)| u128::from(tokens) * u128::from(weight))
        .sum()
    }

    /// Requests, tokens and micro-dollars of everybody who sent one.
    pub(crate) fn totals(&self) -> BTreeMap<Spender, (u64, Usage, u64)> {
        let mut totals: BTreeMap<Spender, (u64, Usage, u64)> = BTreeMap::new();
        for line in self.lines.values() {
            let spender = (line.session.clone(), line.agent.clone(), line.model.clone());
            let sum = totals.entry(spender).or_default();
            *sum = (sum.0 + 1, sum.1.plus(line.usage), sum.2 + line.micro_usd);
        }
        totals
    }
}

/// The same of a state.
pub(crate) fn used_in(state: &State) -> BTreeMap<String, (u128, u128)> {
    let used = |b: &bursar_engine::budget::Budget| {
        (b.id.to_string(), (u128::from(b.used.micro_tokens), u128::from(b.used.micro_usd)))
    };
    state.budgets.values().map(used).collect()
}

/// The same of a state, without those whose requests all turned out to be another model's.
pub(crate) fn totals_in(state: &State) -> BTreeMap<Spender, (u64, Usage, u64)> {
    let sent = state.totals.iter().filter(|(_, t)| t.requests > 0);
    sent.map(|((session, agent, model), t)| {
        ((session.to_string(), agent.to_string(), model.clone()), (t.requests, t.usage, t.micro_usd))
    })
    .collect()
}
