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

/// How the keys of requests begin that a hook's payload told of.
pub const PAYLOAD: &str = "payload:";

/// A request as a sensor saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// `message.id`, unique across all sessions. None for usage in a hook's payload: the state then makes one.
    pub message_id: Option<String>,
    /// The API's request id, where the line has one; not that of a side question's copy, which is another request's.
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
    /// The line was written before the answer's end (`stop_reason` is null): its output is known in part.
    #[serde(default)]
    pub partial: bool,
    /// The cost is an estimate: the model's price is not known.
    #[serde(default)]
    pub estimated: bool,
}

/// What one sensor says a request took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The model.
    pub model: String,
    /// The tokens.
    pub usage: Usage,
    /// The cost in micro-dollars.
    pub micro_usd: u64,
    /// The cost is an estimate.
    pub estimated: bool,
}

/// What telemetry told of a request, and what its lines did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Telemetry.
    pub reported: Part,
    /// The line that stands; none: no line has come.
    pub line: Option<Part>,
}

impl Told {
    /// What stands for the request. One that dominates the other stands whole; where neither does, the greater of each
    /// kind: no sensor takes away what the other showed. The client's own figure of the cost goes before an estimate.
    pub fn stands(&self) -> Part {
        let told = &self.reported;
        let Some(line) = &self.line else { return told.clone() };
        let micro_usd = if line.estimated { told.micro_usd } else { told.micro_usd.max(line.micro_usd) };
        Part {
            model: line.model.clone(),
            usage: line.usage.greatest(told.usage),
            micro_usd,
            estimated: line.estimated && told.estimated,
        }
    }
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
    /// What telemetry told of it, if it did.
    #[serde(default)]
    pub told: Option<Box<Told>>,
}

impl Row {
    /// A row that nothing is known of yet, and that no budget was charged for.
    pub fn new(key: String, session: SessionId, agent: AgentKey, at: Timestamp) -> Self {
        Self {
            message_id: key,
            request_id: None,
            session,
            agent,
            model: String::new(),
            usage: Usage::default(),
            micro_usd: 0,
            at,
            charged: Vec::new(),
            estimated: false,
            told: None,
        }
    }

    /// What its lines say; none where none has come.
    pub fn line(&self) -> Option<Part> {
        match &self.told {
            Some(told) => told.line.clone(),
            None => Some(Part {
                model: self.model.clone(),
                usage: self.usage,
                micro_usd: self.micro_usd,
                estimated: self.estimated,
            }),
        }
    }

    /// What telemetry says of it.
    pub fn reported(&self) -> Option<&Part> {
        self.told.as_ref().map(|told| &told.reported)
    }

    /// The row with these for its sensors' words; what stands of them are its figures.
    #[must_use]
    pub fn of_parts(mut self, line: Option<Part>, reported: Option<Part>) -> Self {
        self.told = reported.map(|reported| Box::new(Told { reported, line: line.clone() }));
        let stands = self.told.as_ref().map(|told| told.stands()).or(line);
        if let Some(Part { model, usage, micro_usd, estimated }) = stands {
            (self.model, self.usage, self.micro_usd, self.estimated) = (model, usage, micro_usd, estimated);
        }
        self
    }
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
    /// Their keys by request id.
    requests: BTreeMap<String, String>,
    order: VecDeque<String>,
}

impl Recent {
    /// The row of that message, if it is still remembered.
    pub fn get(&self, message_id: &str) -> Option<&Row> {
        self.rows.get(message_id)
    }

    /// The row of that request, if it is still remembered.
    pub fn of_request(&self, request_id: &str) -> Option<&Row> {
        self.rows.get(self.requests.get(request_id)?)
    }

    /// Remembers a row; a known one keeps its place.
    pub fn put(&mut self, row: Row) {
        let key = row.message_id.clone();
        if let Some(request) = &row.request_id {
            self.requests.insert(request.clone(), key.clone());
        }
        if let Some(old) = self.rows.insert(key.clone(), row) {
            self.forget_request(&old);
            return;
        }
        self.order.push_back(key);
        if self.order.len() > RECENT_ROWS
            && let Some(oldest) = self.order.pop_front().and_then(|oldest| self.rows.remove(&oldest))
        {
            self.forget_request(&oldest);
        }
    }

    /// A row that was kept under one key is kept under another.
    pub fn rename(&mut self, from: &str, to: &str) {
        let Some(row) = self.rows.remove(from) else { return };
        self.order.iter_mut().filter(|key| *key == from).for_each(|key| to.clone_into(key));
        if let Some(request) = &row.request_id {
            self.requests.insert(request.clone(), to.to_owned());
        }
        self.rows.insert(to.to_owned(), Row { message_id: to.to_owned(), ..row });
    }

    /// Forgets which row a request is, if that is `old` and its row says otherwise now.
    fn forget_request(&mut self, old: &Row) {
        let Some(request) = &old.request_id else { return };
        let is = self.rows.get(&old.message_id).is_some_and(|row| row.request_id.as_ref() == Some(request));
        if !is && self.requests.get(request) == Some(&old.message_id) {
            self.requests.remove(request);
        }
    }
}
