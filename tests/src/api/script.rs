//! What the model of a test says: turns of content blocks with exact usage, for the main agent and for subagents.

use std::collections::VecDeque;
use std::iter::Sum;
use std::ops::{Add, AddAssign};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

/// The tokens of one request, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Read fresh, neither from the cache nor into it.
    pub input: u64,
    /// Written by the model.
    pub output: u64,
    /// Read from the cache.
    pub cache_read: u64,
    /// Written to the cache for five minutes.
    pub cache_write_5m: u64,
    /// Written to the cache for an hour.
    pub cache_write_1h: u64,
}

impl Usage {
    /// Usage without anything cached.
    #[must_use]
    pub fn plain(input: u64, output: u64) -> Self {
        Self { input, output, ..Self::default() }
    }

    /// The same with tokens read from and written to the cache.
    #[must_use]
    pub fn cached(self, read: u64, write_5m: u64, write_1h: u64) -> Self {
        Self { cache_read: read, cache_write_5m: write_5m, cache_write_1h: write_1h, ..self }
    }

    /// All that was written to the cache.
    #[must_use]
    pub fn cache_write(&self) -> u64 {
        self.cache_write_5m + self.cache_write_1h
    }

    /// What it takes from a budget with the default weights: cache reads are free.
    #[must_use]
    pub fn weighed(&self) -> u64 {
        self.input + self.output + self.cache_write()
    }

    /// As the Messages API writes it, with `output` tokens so far.
    pub(crate) fn to_json(self, output: u64) -> Value {
        json!({
            "input_tokens": self.input,
            "cache_creation_input_tokens": self.cache_write(),
            "cache_read_input_tokens": self.cache_read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": self.cache_write_5m,
                "ephemeral_1h_input_tokens": self.cache_write_1h,
            },
            "output_tokens": output,
            "service_tier": "standard",
        })
    }
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            input: self.input + other.input,
            output: self.output + other.output,
            cache_read: self.cache_read + other.cache_read,
            cache_write_5m: self.cache_write_5m + other.cache_write_5m,
            cache_write_1h: self.cache_write_1h + other.cache_write_1h,
        }
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Usage {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

/// One block of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Block {
    /// Words.
    Text(String),
    /// A call of a tool.
    ToolUse {
        /// The tool, as the model names it (`Bash`, `Agent`, …).
        name: String,
        /// Its input.
        input: Value,
    },
}

/// A door that an answer waits behind until the test opens it.
#[derive(Debug, Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    /// A closed gate.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets everyone through, now and later.
    pub fn open(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// Waits until the gate is open, `limit` at most; says whether it is.
    pub(crate) fn wait(&self, limit: Duration) -> bool {
        let guard = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        *self.0.1.wait_timeout_while(guard, limit, |open| !*open).unwrap_or_else(PoisonError::into_inner).0
    }
}

/// One answer of the model.
#[derive(Debug, Clone)]
pub struct Turn {
    pub(crate) blocks: Vec<Block>,
    pub(crate) usage: Usage,
    pub(crate) gate: Option<Gate>,
    /// Further fields of its usage.
    pub(crate) more_usage: Vec<(String, Value)>,
}

impl Turn {
    /// An answer of words.
    #[must_use]
    pub fn says(text: &str, usage: Usage) -> Self {
        let blocks = vec![Block::Text(text.to_owned())];
        Self { blocks, usage, gate: None, more_usage: Vec::new() }
    }

    /// An answer that calls a tool.
    #[must_use]
    pub fn calls(name: &str, input: Value, usage: Usage) -> Self {
        let blocks = vec![Block::ToolUse { name: name.to_owned(), input }];
        Self { blocks, ..Self::says("", usage) }
    }

    /// An answer that runs a shell command.
    #[must_use]
    pub fn bash(command: &str, usage: Usage) -> Self {
        Self::calls("Bash", json!({ "command": command, "description": "run a command" }), usage)
    }

    /// An answer that starts a subagent; its prompt is `marker`, by which its requests are told apart.
    #[must_use]
    pub fn agent(marker: &str, background: bool, usage: Usage) -> Self {
        let input = json!({
            "description": "a part of the work",
            "prompt": marker,
            "subagent_type": "general-purpose",
            "run_in_background": background,
        });
        Self::calls("Agent", input, usage)
    }

    /// The same answer with one more call, run beside or after the others as the client sees fit.
    #[must_use]
    pub fn and_calls(mut self, name: &str, input: Value) -> Self {
        self.blocks.push(Block::ToolUse { name: name.to_owned(), input });
        self
    }

    /// The same answer with one more shell command.
    #[must_use]
    pub fn and_bash(self, command: &str) -> Self {
        self.and_calls("Bash", json!({ "command": command, "description": "run another command" }))
    }

    /// The same answer with words before its calls.
    #[must_use]
    pub fn after_saying(mut self, text: &str) -> Self {
        self.blocks.insert(0, Block::Text(text.to_owned()));
        self
    }

    /// The same answer with one more field in the input of its last call.
    #[must_use]
    pub fn with_input(mut self, key: &str, value: Value) -> Self {
        if let Some(Block::ToolUse { input, .. }) = self.blocks.last_mut() {
            input[key] = value;
        }
        self
    }

    /// The same answer with one more field in its usage: `speed`, `server_tool_use`, …
    #[must_use]
    pub fn with_usage(mut self, key: &str, value: Value) -> Self {
        self.more_usage.push((key.to_owned(), value));
        self
    }

    /// Its usage as the Messages API writes it, with `output` tokens so far.
    pub(crate) fn usage_json(&self, output: u64) -> Value {
        let mut usage = self.usage.to_json(output);
        for (key, value) in &self.more_usage {
            usage[key] = value.clone();
        }
        usage
    }

    /// The same answer, given only once `gate` is open.
    #[must_use]
    pub fn behind(mut self, gate: &Gate) -> Self {
        self.gate = Some(gate.clone());
        self
    }

    pub(crate) fn stop_reason(&self) -> &'static str {
        let calls = self.blocks.iter().any(|block| matches!(block, Block::ToolUse { .. }));
        if calls { "tool_use" } else { "end_turn" }
    }
}

/// How fast answers come. Real models pause between blocks, and what a hook finds depends on it.
#[derive(Debug, Clone, Copy)]
pub struct Pacing {
    /// Before the first block.
    pub before_first: Duration,
    /// Between two blocks.
    pub between: Duration,
    /// After the last block, before the final usage.
    pub after_last: Duration,
}

impl Default for Pacing {
    fn default() -> Self {
        let pause = Duration::from_millis(40);
        Self { before_first: pause, between: pause, after_last: pause }
    }
}

/// Whose turns these are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Main,
    Subagent,
}

/// The turns of one agent, given in order.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) role: Role,
    /// Stands in the first thing that the agent was told; empty: whoever is left over.
    pub(crate) marker: String,
    pub(crate) turns: VecDeque<Turn>,
}

/// All that the model of a test will say.
#[derive(Debug, Clone)]
pub struct Script {
    pub(crate) parts: Vec<Part>,
    pub(crate) background: Usage,
    pub(crate) compact: Usage,
    pub(crate) pacing: Pacing,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            parts: Vec::new(),
            background: Usage::plain(3, 2),
            compact: Usage::plain(900, 90),
            pacing: Pacing::default(),
        }
    }
}

impl Script {
    /// A script of the main agent alone; it goes on over resumes.
    #[must_use]
    pub fn main(turns: impl IntoIterator<Item = Turn>) -> Self {
        Self::default().part(Role::Main, "", turns)
    }

    /// Adds the turns of a further session, told apart by `marker` in its first prompt.
    #[must_use]
    pub fn session(self, marker: &str, turns: impl IntoIterator<Item = Turn>) -> Self {
        self.part(Role::Main, marker, turns)
    }

    /// Adds the turns of the subagent whose prompt holds `marker`.
    #[must_use]
    pub fn subagent(self, marker: &str, turns: impl IntoIterator<Item = Turn>) -> Self {
        self.part(Role::Subagent, marker, turns)
    }

    /// Sets what each title, probe and other request without tools costs.
    #[must_use]
    pub fn background_usage(mut self, usage: Usage) -> Self {
        self.background = usage;
        self
    }

    /// Sets what a compaction costs.
    #[must_use]
    pub fn compact_usage(mut self, usage: Usage) -> Self {
        self.compact = usage;
        self
    }

    /// Sets how fast answers come.
    #[must_use]
    pub fn pacing(mut self, pacing: Pacing) -> Self {
        self.pacing = pacing;
        self
    }

    fn part(mut self, role: Role, marker: &str, turns: impl IntoIterator<Item = Turn>) -> Self {
        let turns = turns.into_iter().collect();
        self.parts.push(Part { role, marker: marker.to_owned(), turns });
        self
    }

    /// The part that speaks to an agent whose first prompt is `opening`: the longest marker found in it wins.
    pub(crate) fn part_for(&mut self, opening: &str) -> Option<&mut Part> {
        let fits = |part: &&mut Part| opening.contains(&part.marker);
        self.parts.iter_mut().filter(fits).max_by_key(|part| part.marker.len())
    }
}
