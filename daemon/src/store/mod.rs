//! The local store: SQLite in WAL mode. State tables are written in the same commit as the events that changed them;
//! events stay as a bounded outbox, and an operator's acts as a chain of records.
//!
//! **Architecture invariant.** Only this folder names the database's crate.

mod checkpoint;
mod keep;
mod kept;
mod load;
mod schema;
mod write;
mod writer;

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bursar_engine::row::Row;
use rusqlite::{Connection, OpenFlags};

pub use keep::{Hour, give_back};
pub use writer::{Batch, Writer};

/// What went wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Made by a later release.
    #[error(
        "{path} was written by a later release (schema {found}, this one knows {known}); install that release again"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema known here.
        known: i64,
    },
    /// A database of something else.
    #[error("{path} is not Bursar's; move it away, or set BURSAR_HOME to another folder")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Not readable as a database. Nothing was changed.
    #[error(
        "{path} is damaged ({why}); it was left as it is. Move it away to start anew: totals are read again from the transcripts, pauses and grants are lost"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the database says.
        why: String,
    },
    /// A record that does not read back.
    #[error("a record of {table} does not read back: {why}")]
    Record {
        /// The table.
        table: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// Anything else the database says.
    #[error("the store failed: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The file itself.
    #[error("cannot open {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: std::io::Error,
    },
}

/// The database, opened for writing.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    path: PathBuf,
}

/// The database, opened for reading beside the writer.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
}

impl Store {
    /// Opens the file, or makes it with mode 0600 whatever the umask, and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError`]; a file that cannot be used is left as it is.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let io = |source| StoreError::Io { path: path.to_owned(), source };
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).map_err(io)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(io)?;
        let connection = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        schema::prepare(&connection, path)?;
        Ok(Self { connection, path: path.to_owned() })
    }

    /// A second connection, for rows that the state has forgotten.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn reader(&self) -> Result<Reader, StoreError> {
        Reader::open(&self.path)
    }
}

impl Reader {
    /// Opens a database that a [`Store`] has prepared.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(Duration::from_secs(2))?;
        Ok(Self { connection })
    }

    /// The rows of these messages that the store has.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn rows(&self, message_ids: &[String]) -> Result<Vec<Row>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT message_id, request_id, session, agent, model, input, output, cache_write_5m, cache_write_1h, \
             cache_read, micro_usd, at_ms, charged, estimated FROM rows WHERE message_id = ?1",
        )?;
        let mut rows = Vec::new();
        for id in message_ids {
            let mut found = statement.query([id])?;
            if let Some(row) = found.next()? {
                rows.push(load::row(row)?);
            }
        }
        Ok(rows)
    }

    /// What is wrong with the file's structure, if anything; reads all of it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn what_is_damaged(&self) -> Result<Option<String>, StoreError> {
        Ok(schema::what_is_damaged(&self.connection)?)
    }

    /// The number of the first record of the audit that does not fit its chain, if one does not.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn broken_audit_link(&self) -> Result<Option<i64>, StoreError> {
        write::broken_link(&self.connection)
    }
}

/// The size of the database with its write-ahead log, in bytes; 0 where there is none.
pub fn size_bytes(path: &Path) -> u64 {
    let size = |path: &Path| fs::metadata(path).map_or(0, |m| m.len());
    size(path) + size(&log_of(path))
}

/// The write-ahead log of a database.
fn log_of(database: &Path) -> PathBuf {
    let mut log = database.as_os_str().to_owned();
    log.push("-wal");
    PathBuf::from(log)
}
