//! Opening a transcript. Its path comes from a hook's payload, so it may name anything: only a regular file of our own
//! user with a transcript's name is read, never through a link.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use bursar_engine::ids::{AgentKey, SessionId};
use rustix::fs::OFlags;

/// Why a transcript is not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is not there, or not yet.
    #[error("{path} is not there")]
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// It is not what a transcript is.
    #[error("{path} is not read: {why}")]
    NotATranscript {
        /// The path.
        path: PathBuf,
        /// What it is instead.
        why: &'static str,
    },
    /// Anything else.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The path.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
}

/// A file over this length that takes up hardly any room on the disk was made to keep readers busy.
const SPARSE_FROM_BYTES: u64 = 64 * 1024 * 1024;

/// An open transcript and what identifies it.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) length: u64,
    pub(super) inode: u64,
    pub(super) device: u64,
}

/// Opens the transcript of a session, or of a subagent of it.
pub(super) fn open(path: &Path, session: &SessionId, agent: &AgentKey) -> Result<Opened, ReadError> {
    let not = |why| ReadError::NotATranscript { path: path.to_owned(), why };
    let io = |source: io::Error| match source.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => ReadError::Missing { path: path.to_owned() },
        _ => ReadError::Io { path: path.to_owned(), source },
    };
    if !path.is_absolute() {
        return Err(not("its path is not absolute"));
    }
    let expected = match agent {
        AgentKey::Main => format!("{session}.jsonl"),
        AgentKey::Sub(id) => format!("agent-{id}.jsonl"),
    };
    if path.file_name().and_then(|n| n.to_str()) != Some(expected.as_str()) {
        return Err(not("it is not named after its session or agent"));
    }
    // Not through a link, and without waiting for a FIFO's writer.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let file = opened.map_err(|e| {
        if e.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) {
            not("it is a link")
        } else {
            io(e)
        }
    })?;
    let meta = file.metadata().map_err(io)?;
    if !meta.is_file() {
        return Err(not("it is not a regular file"));
    }
    if meta.len() > SPARSE_FROM_BYTES && meta.blocks().saturating_mul(512) < meta.len() / 64 {
        return Err(not("it has holes, as no transcript has"));
    }
    if meta.uid() != rustix::process::getuid().as_raw() {
        return Err(not("it belongs to another user"));
    }
    Ok(Opened { length: meta.len(), inode: meta.ino(), device: meta.dev(), file })
}
