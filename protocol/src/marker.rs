//! The marker of a session that is shut: what the hook client reads when the daemon is away, so that killing the
//! daemon is no extension. One private file for each live session, named after a hash of its id.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const FIRST_LINE: &str = "bursar-marker 1";

/// How a marker names the main agent where its circuit is open and the others go on.
const MAIN: &str = "main";

/// What is shut in one session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marker {
    /// Everybody in the session.
    pub session: bool,
    /// These agents alone: subagents by their ids, the main agent as `main`.
    pub agents: BTreeSet<String>,
}

impl Marker {
    /// Whether nothing is shut: such a marker is not written.
    pub fn is_empty(&self) -> bool {
        !self.session && self.agents.is_empty()
    }

    /// Whether an agent of the session meets a shut door; `None` is the main agent.
    pub fn names(&self, agent: Option<&str>) -> bool {
        self.session || self.agents.contains(agent.unwrap_or(MAIN))
    }

    /// The file's text.
    pub fn to_text(&self) -> String {
        let mut text = format!("{FIRST_LINE}\n");
        if self.session {
            text.push_str("session\n");
        }
        for agent in &self.agents {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "agent {agent}");
        }
        text
    }

    /// Reads a file's text. What cannot be read shuts the whole session: the file is there, and only an operator
    /// removes it.
    pub fn from_text(text: &str) -> Self {
        let mut lines = text.lines();
        let known = lines.next() == Some(FIRST_LINE);
        let mut marker = Self::default();
        for line in lines {
            match line.split_once(' ') {
                Some(("agent", agent)) => drop(marker.agents.insert(agent.to_owned())),
                _ => marker.session = true,
            }
        }
        marker.session |= !known || marker.is_empty();
        marker
    }
}

/// The marker's path for a session.
pub fn path(state: &Path, session_id: &str) -> PathBuf {
    state.join("paused").join(format!("{:032x}", xxhash_rust::xxh3::xxh3_128(session_id.as_bytes())))
}
