//! What clients' telemetry tells of requests (DESIGN 3, sensor 3).

use serde::{Deserialize, Serialize};

use crate::ids::{AgentKey, SessionId};
use crate::row::Part;
use crate::time::Timestamp;

/// How long a request is awaited in its transcript before it counts without a line, in milliseconds.
pub const AWAITED_MS: u64 = 30_000;

/// The most requests that are awaited; of more the oldest count at once.
pub const MAX_AWAITED: usize = 10_000;

/// The key of a request of which no line has come.
pub fn reported_key(request_id: &str) -> String {
    format!("telemetry:{request_id}")
}

/// A request as telemetry told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The API's request id.
    pub request_id: String,
    /// The session.
    pub session: SessionId,
    /// Which agent of it.
    pub agent: AgentKey,
    /// When it ended, by the client's clock.
    pub at: Timestamp,
    /// Model, tokens, and the client's own figure of the cost.
    pub part: Part,
    /// It is of a source that also writes lines; compactions, titles and the like do not.
    pub writes_lines: bool,
}

/// A request whose line has not come yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Awaited {
    /// What was told.
    pub report: Report,
    /// When it came.
    pub since: Timestamp,
}

impl Awaited {
    /// When it counts without a line.
    pub fn until(&self) -> Timestamp {
        self.since.plus_ms(AWAITED_MS)
    }
}
