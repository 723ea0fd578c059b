//! Keeps the house: sums old rows up, forgets what is past its retention, gives space back, and notices clients that
//! ended without a word.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bursar_engine::command::Command;
use bursar_engine::ids::SessionId;
use bursar_engine::time::Timestamp;

use crate::host::Host;
use crate::process;
use crate::store::{self, Reader, StoreError};

/// How often old rows are looked for, and the first time after a start.
const EVERY: Duration = Duration::from_secs(3_600);
const AT_FIRST: Duration = Duration::from_secs(60);

const DAY_MS: u64 = 86_400_000;

/// Requests are kept one by one for so many days (7.2).
const ROWS_DAYS: u64 = 30;

/// Over this size of the store they are kept for [`ROWS_DAYS_WHEN_LARGE`] only: the file stays bounded.
const LARGE_BYTES: u64 = 2 * 1024 * 1024 * 1024;
const ROWS_DAYS_WHEN_LARGE: u64 = 2;

/// Sessions whose rows are summed up in one commit: others wait for the disk meanwhile.
const SESSIONS_AT_ONCE: usize = 16;

/// How often the processes of clients are looked at, and how long after a session's last hook at the earliest: a
/// client in a namespace of its own is not to be seen from here.
const CLIENTS_EVERY: Duration = Duration::from_secs(5);
const CLIENT_QUIET_MS: u64 = 15_000;

/// Tidies the store now and then, until the daemon ends.
pub async fn tidy(host: Arc<Host>, database: PathBuf, retention_days: u32) {
    tokio::time::sleep(AT_FIRST).await;
    check(&database);
    loop {
        let now = host.clock().now();
        if let Err(e) = tidy_once(&host, &database, retention_days, now).await {
            tracing::warn!(error = %e, "the store was not tidied; it is tried again in an hour");
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// A large store is not checked at the start; what is wrong with it is said here.
fn check(database: &Path) {
    match tokio::task::block_in_place(|| Reader::open(database)?.what_is_damaged()) {
        Ok(None) => {}
        Ok(Some(why)) => tracing::error!(why, "the store is damaged: stop the daemon and move it away"),
        Err(e) => tracing::warn!(error = %e, "the store could not be checked"),
    }
}

/// One tidying, as of `now`.
///
/// # Errors
/// [`StoreError`] where the store cannot be asked; nothing is lost.
pub async fn tidy_once(
    host: &Host,
    database: &Path,
    retention_days: u32,
    now: Timestamp,
) -> Result<(), StoreError> {
    let days = if store::size_bytes(database) > LARGE_BYTES { ROWS_DAYS_WHEN_LARGE } else { ROWS_DAYS };
    let before = days_before(now, days);
    loop {
        let sessions = tokio::task::block_in_place(|| {
            Reader::open(database)?.sessions_with_rows_before(before, SESSIONS_AT_ONCE)
        })?;
        if sessions.is_empty() {
            break;
        }
        host.tell(&Command::RollUp { sessions, before }).await;
        if !host.written().await {
            return Ok(());
        }
    }
    host.tell(&Command::Forget { before: days_before(now, u64::from(retention_days)) }).await;
    if !host.written().await {
        return Ok(());
    }
    tokio::task::block_in_place(|| store::give_back(database))
}

fn days_before(now: Timestamp, days: u64) -> Timestamp {
    Timestamp(now.0.saturating_sub(days.saturating_mul(DAY_MS)))
}

/// Ends sessions whose client is gone: it was killed, or its terminal was closed.
pub async fn watch_clients(host: Arc<Host>) {
    loop {
        tokio::time::sleep(CLIENTS_EVERY).await;
        let now = host.clock().now();
        let quiet: Vec<(SessionId, u32)> = host.look(|state| {
            let live = state.sessions.values().filter(|s| s.ended.is_none());
            live.filter(|s| now.since(s.last_seen) > CLIENT_QUIET_MS)
                .filter_map(|s| Some((s.id.clone(), s.client_pid?)))
                .filter(|(id, _)| !state.waiting().any(|h| h.session == *id))
                .collect()
        });
        for (session, _) in quiet.into_iter().filter(|(_, pid)| process::is_gone(*pid)) {
            host.tell(&Command::ClientGone(session)).await;
        }
    }
}
