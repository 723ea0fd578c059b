//! Copying the write-ahead log back into the file, on a thread and a connection of its own: a commit never does it, so
//! nobody who waits for the disk waits for that.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

/// The log is copied back once it is longer than this.
const LOG_BYTES: u64 = 8 * 1024 * 1024;

/// How often the log's length is looked at: once in so many commits.
const COMMITS_PER_LOOK: u32 = 32;

/// The thread's handle; it ends with it.
#[derive(Debug)]
pub(super) struct Checkpoints {
    log: PathBuf,
    commits: u32,
    wake: SyncSender<()>,
}

impl Checkpoints {
    /// Starts the thread for a database.
    pub(super) fn spawn(database: PathBuf) -> Self {
        let log = super::log_of(&database);
        let (wake, woken) = mpsc::sync_channel(1);
        let started = std::thread::Builder::new().name("checkpoint".to_owned()).spawn(move || {
            while woken.recv().is_ok() {
                if let Err(e) = copy_back(&database) {
                    tracing::warn!(error = %e, "the log was not copied back; it is tried again");
                }
            }
        });
        if let Err(e) = started {
            tracing::error!(error = %e, "the log will not be copied back until the end");
        }
        Self { log, commits: 0, wake }
    }

    /// After a commit: wakes the thread if the log has grown long.
    pub(super) fn look(&mut self) {
        self.commits += 1;
        if self.commits < COMMITS_PER_LOOK {
            return;
        }
        self.commits = 0;
        if fs::metadata(&self.log).is_ok_and(|m| m.len() > LOG_BYTES) {
            match self.wake.try_send(()) {
                // It is at it, or there is none.
                Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
            }
        }
    }
}

/// Passive: takes no lock that a commit would wait for. Once all is copied, the next commit begins the log anew.
fn copy_back(database: &Path) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags)?;
    connection.busy_timeout(Duration::from_secs(1))?;
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}
