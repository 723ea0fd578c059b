//! The transcript: the first sensor of tokens. Synchronous; the tailer decides when to read.

mod calls;
mod claim;
mod file;
mod parse;
mod read;

use std::fs;
use std::path::{Path, PathBuf};

use bursar_engine::ids::{AgentKey, SessionId};

pub use file::ReadError;
pub use parse::{Line, parse};
pub(crate) use parse::{model_name, timestamp};
pub use read::{Read, last_lines, read_new, recent_tool_use_ids};

/// Whether a session's transcript is there and may be read.
pub fn is_readable(path: &Path, session: &SessionId) -> bool {
    file::open(path, session, &AgentKey::Main).is_ok()
}

/// The most subagent files of one session that are looked at.
const MAX_SUBAGENT_FILES: usize = 10_000;

/// The subagents' files of a session, sorted: `<transcript without .jsonl>/subagents/agent-<id>.jsonl`.
pub fn subagent_files(transcript: &Path) -> Vec<(AgentKey, PathBuf)> {
    let Ok(entries) = fs::read_dir(transcript.with_extension("").join("subagents")) else {
        return Vec::new();
    };
    let mut files: Vec<(AgentKey, PathBuf)> = entries
        .filter_map(Result::ok)
        .take(MAX_SUBAGENT_FILES)
        .filter_map(|entry| {
            let path = entry.path();
            let id = path.file_name()?.to_str()?.strip_prefix("agent-")?.strip_suffix(".jsonl")?.to_owned();
            Some((AgentKey::new(Some(&id)).ok()?, path))
        })
        .collect();
    files.sort();
    files
}
