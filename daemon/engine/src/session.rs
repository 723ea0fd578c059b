//! Sessions and their agents.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::ids::{AgentKey, BudgetId, SessionId};
use crate::time::Timestamp;

/// One Claude Code conversation, as far as it was seen here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// The first hook here: its budget starts then (4.9).
    pub first_seen: Timestamp,
    /// The last hook, to within [`SEEN_STEP_MS`].
    pub last_seen: Timestamp,
    /// When its client said that it ended; a later hook clears it.
    pub ended: Option<Timestamp>,
    /// The folder where it started.
    pub cwd: Option<String>,
    /// The project's name: the folder of `CLAUDE_PROJECT_DIR`.
    pub project: Option<String>,
    /// Its transcript.
    pub transcript: Option<String>,
    /// The client's process.
    pub client_pid: Option<u32>,
    /// Whether a person is at the client.
    pub attended: bool,
    /// The name under which its spending is shown (`BURSAR_AGENT`).
    pub shown_as: Option<String>,
    /// The tasks it draws on because a person said so.
    pub tasks: BTreeSet<String>,
    /// The task it draws on while its client's environment names it (`BURSAR_TASK_ID`).
    pub env_task: Option<String>,
    /// The session whose budget it draws on, as a child or a copy of it (4.11); none: its own.
    #[serde(default)]
    pub draws_on: Option<SessionId>,
    /// The session that `/clear` ended for it.
    #[serde(default)]
    pub follows: Option<SessionId>,
    /// No hook of it has come: it was found by its transcript. It is counted, and cannot be held.
    #[serde(default)]
    pub unhooked: bool,
    /// Its client did not tell what was expected of it, so that its total may be short.
    #[serde(default)]
    pub unconfirmed: bool,
    /// Payload usage rows made so far: they have no id of their own.
    pub payload_rows: u64,
}

impl Session {
    /// Whose session budget it draws on: mostly its own (4.11).
    pub fn purse(&self) -> &SessionId {
        self.draws_on.as_ref().unwrap_or(&self.id)
    }
}

/// `last_seen` moves in steps of this many milliseconds, so that not every hook is a write.
pub const SEEN_STEP_MS: u64 = 5_000;

/// One agent of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// The session.
    pub session: SessionId,
    /// Which agent.
    pub key: AgentKey,
    /// A subagent's type.
    pub agent_type: Option<String>,
    /// When it was first seen.
    pub first_seen: Timestamp,
    /// The size of its context after its last request, in tokens; 0 while unknown.
    pub context_tokens: u64,
    /// The time of that request.
    pub context_at: Timestamp,
    /// For each budget, the last crossing of which this agent was told.
    pub heard: BTreeMap<BudgetId, u32>,
}
