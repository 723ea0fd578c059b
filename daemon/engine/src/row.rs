//! The ledger's rows: one for each request.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::ids::{AgentKey, BudgetId, SessionId};
use crate::time::Timestamp;
use crate::usage::Usage;

/// The most rows that one command carries (DESIGN 2).
pub const MAX_ROWS_PER_COMMAND: usize = 256;

/// How many rows the state remembers; older ones are asked of the store. More than the writer's queue can hold, so
/// that what is forgotten here is always written there.
pub const RECENT_ROWS: usize = 32_768;

/// A request as a sensor saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// `message.id`, unique across all sessions. None for usage in a hook's payload: the state then makes one.
    pub message_id: Option<String>,
    /// The API's request id, where the line has one.
    pub request_id: Option<String>,
    /// Who owns the request: the line's `requestSessionId`, else its `sessionId`, else the file's session.
    pub session: SessionId,
    /// Which agent of that session sent it.
    pub agent: AgentKey,
    /// The model's name, at most 128 characters.
    pub model: String,
    /// The tokens, checked by [`Usage::is_plausible`].
    pub usage: Usage,
    /// The cost in micro-dollars.
    pub micro_usd: u64,
    /// When the line was written.
    pub at: Timestamp,
    /// The cost is an estimate: the model's price is not known.
    #[serde(default)]
    pub estimated: bool,
}

/// A counted request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The key.
    pub message_id: String,
    /// The other key, where there is one.
    pub request_id: Option<String>,
    /// Who owns it.
    pub session: SessionId,
    /// Which agent.
    pub agent: AgentKey,
    /// The model.
    pub model: String,
    /// The tokens.
    pub usage: Usage,
    /// The cost in micro-dollars.
    pub micro_usd: u64,
    /// The time of its first line.
    pub at: Timestamp,
    /// The budgets it was counted in, with the generation then: a correction touches only those.
    pub charged: Vec<Charge>,
    /// The cost is an estimate.
    #[serde(default)]
    pub estimated: bool,
}

/// One budget that a row was counted in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// The budget.
    pub budget: BudgetId,
    /// Its reset generation at that time.
    pub generation: u32,
}

/// How far a transcript file has been read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileProgress {
    /// The session whose transcript, or whose subagent's, it is.
    pub session: SessionId,
    /// The agent that writes it.
    pub agent: AgentKey,
    /// The absolute path.
    pub path: String,
    /// The offset behind the last whole line read, in bytes.
    pub offset: u64,
    /// The file's inode number and device.
    pub inode: u64,
    /// The device.
    pub device: u64,
    /// The xxh3-64 of the up to 4 KiB before the offset: tells a rewritten file.
    pub tail_hash: u64,
    /// Lines that could not be used: too long, hostile numbers, not JSON.
    pub bad_lines: u64,
    /// When it was read so far: a line behind the offset was written later, whatever its clock says.
    #[serde(default)]
    pub read_at: Timestamp,
    /// The offset stands inside a line that is over the limit; what follows up to its end is passed over.
    #[serde(default)]
    pub in_long_line: bool,
}

/// The rows most lately counted, first in first out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recent {
    rows: BTreeMap<String, Row>,
    order: VecDeque<String>,
}

impl Recent {
    /// The row of that message, if it is still remembered.
    pub fn get(&self, message_id: &str) -> Option<&Row> {
        self.rows.get(message_id)
    }

    /// Remembers a row; a known one keeps its place.
    pub fn put(&mut self, row: Row) {
        let key = row.message_id.clone();
        if self.rows.insert(key.clone(), row).is_none() {
            self.order.push_back(key);
            if self.order.len() > RECENT_ROWS
                && let Some(oldest) = self.order.pop_front()
            {
                self.rows.remove(&oldest);
            }
        }
    }
}
