//! OTLP logs as far as Claude Code's requests go, in both encodings. Bodies are walked record by record, and what is not
//! counted is skipped where it stands: no list of them is ever built, so a body of millions of empty records costs its
//! own bytes and no more.

mod event;
mod json;
mod protobuf;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bursar_engine::ids::SessionId;
use bursar_engine::time::Timestamp;

pub use event::{ApiRequest, MAX_MICRO_USD_PER_REQUEST};
pub use json::read as read_json;
pub use protobuf::read as read_protobuf;

/// The most records of one batch; the client sends 512 at most.
pub const MAX_RECORDS: u64 = 20_000;

/// A body that is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OtlpError {
    /// Not what it says it is.
    #[error("the body is no export of logs: {0}")]
    Malformed(String),
    /// More records than any client sends.
    #[error("more than {MAX_RECORDS} log records in one batch: send smaller ones")]
    TooMany,
}

/// The place of an event in its process's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// `event.sequence`.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
}

/// What a batch holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Its requests, in its order.
    pub requests: Vec<ApiRequest>,
    /// The places of all its events, of whatever kind: what is missing between them did not arrive.
    pub marks: BTreeMap<SessionId, Vec<Mark>>,
    /// Log records, of whatever kind.
    pub records: u64,
    /// Records of requests that cannot be used.
    pub malformed: u64,
}

impl Batch {
    /// Counts a record before it is looked at.
    fn admit(&mut self) -> Result<(), OtlpError> {
        self.records += 1;
        if self.records > MAX_RECORDS { Err(OtlpError::TooMany) } else { Ok(()) }
    }

    /// Adds a record; none: it does not read.
    fn add(&mut self, draft: Option<event::Draft<'_>>, now: Timestamp) {
        let Some(draft) = draft else {
            self.malformed += 1;
            return;
        };
        if let Some((session, mark)) = draft.mark(now) {
            self.marks.entry(session).or_default().push(mark);
        }
        if draft.is_request() {
            match draft.request(now) {
                Some(request) => self.requests.push(request),
                None => self.malformed += 1,
            }
        }
    }
}
