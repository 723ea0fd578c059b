//! How long rows are kept (7.2): by the request for the horizon, then summed up by the hour, then not at all.

use std::path::Path;

use bursar_engine::ids::{AgentKey, BudgetId, SessionId};
use bursar_engine::time::Timestamp;
use bursar_engine::usage::Totals;
use rusqlite::{Connection, Transaction, params};

use super::write::{int, put};
use super::{Reader, StoreError, load};

/// The pages that one tidying gives back to the disk at the most: 4 KiB each.
const PAGES_GIVEN_BACK: u32 = 25_000;

/// Sums a session's older rows up by the hour and forgets their keys. A second time there is nothing to sum.
pub(super) fn roll_up(
    tx: &Transaction<'_>,
    session: &SessionId,
    before: Timestamp,
) -> Result<(), StoreError> {
    let range = params![session.as_str(), int(before.0)];
    put(
        tx,
        "INSERT INTO history SELECT at_ms / 3600000 * 3600000, session, agent, model, sum(input), sum(output), \
         sum(cache_write_5m), sum(cache_write_1h), sum(cache_read), sum(micro_usd), count(*), sum(estimated) \
         FROM rows WHERE session = ?1 AND at_ms < ?2 GROUP BY 1, 3, 4 \
         ON CONFLICT DO UPDATE SET input = input + excluded.input, output = output + excluded.output, \
         cache_write_5m = cache_write_5m + excluded.cache_write_5m, \
         cache_write_1h = cache_write_1h + excluded.cache_write_1h, cache_read = cache_read + excluded.cache_read, \
         micro_usd = micro_usd + excluded.micro_usd, requests = requests + excluded.requests, \
         estimated = estimated + excluded.estimated",
        range,
    )?;
    put(tx, "DELETE FROM rows WHERE session = ?1 AND at_ms < ?2", range)?;
    put(tx, "INSERT OR REPLACE INTO rolled_up VALUES (?1, ?2)", range)
}

/// Removes a session and all that is only its own.
pub(super) fn forget(tx: &Transaction<'_>, session: &SessionId) -> Result<(), StoreError> {
    for sql in [
        "DELETE FROM grants WHERE budget IN (SELECT 'agent:' || agent FROM agents WHERE session = ?1)",
        "DELETE FROM grants WHERE budget = 'session:' || ?1",
        "DELETE FROM budgets WHERE kind = 'agent' AND name IN (SELECT agent FROM agents WHERE session = ?1)",
        "DELETE FROM budgets WHERE kind = 'session' AND name = ?1",
        "DELETE FROM circuits WHERE session = ?1",
        "DELETE FROM agents WHERE session = ?1",
        "DELETE FROM rows WHERE session = ?1",
        "DELETE FROM totals WHERE session = ?1",
        "DELETE FROM files WHERE session = ?1",
        "DELETE FROM holds WHERE session = ?1",
        "DELETE FROM rolled_up WHERE session = ?1",
        "DELETE FROM sessions WHERE id = ?1",
    ] {
        put(tx, sql, params![session.as_str()])?;
    }
    Ok(())
}

/// Removes a task's budget and its grants.
pub(super) fn forget_task(tx: &Transaction<'_>, id: &BudgetId) -> Result<(), StoreError> {
    put(tx, "DELETE FROM budgets WHERE id = ?1", params![id.to_string()])?;
    put(tx, "DELETE FROM grants WHERE budget = ?1", params![id.to_string()])
}

/// Removes the sums of hours before the end of the retention.
pub(super) fn end_history(tx: &Transaction<'_>, before: Timestamp) -> Result<(), StoreError> {
    put(tx, "DELETE FROM history WHERE hour_ms < ?1", params![int(before.0)])
}

/// Gives free pages back to the disk.
///
/// # Errors
/// [`StoreError`].
pub fn give_back(path: &Path) -> Result<(), StoreError> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.execute_batch(&format!("PRAGMA incremental_vacuum({PAGES_GIVEN_BACK})"))?;
    Ok(())
}

/// What an agent spent on a model in one hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hour {
    /// Its first instant.
    pub hour: Timestamp,
    /// The agent.
    pub agent: AgentKey,
    /// The model.
    pub model: String,
    /// The sums.
    pub totals: Totals,
}

impl Reader {
    /// The sums by the hour of a session, oldest first: what its older rows became.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn history(&self, session: &SessionId) -> Result<Vec<Hour>, StoreError> {
        let mut statement = self.connection.prepare(
            "SELECT hour_ms, agent, model, input, output, cache_write_5m, cache_write_1h, cache_read, micro_usd, \
             requests, estimated FROM history WHERE session = ?1 ORDER BY hour_ms, agent, model",
        )?;
        let mut rows = statement.query(params![session.as_str()])?;
        let mut hours = Vec::new();
        while let Some(r) = rows.next()? {
            let agent = AgentKey::try_from(r.get::<_, String>(1)?);
            hours.push(Hour {
                hour: Timestamp(r.get(0)?),
                agent: agent.map_err(|e| StoreError::Record { table: "history", why: e.to_string() })?,
                model: r.get(2)?,
                totals: load::totals(r)?,
            });
        }
        Ok(hours)
    }

    /// At most `limit` sessions that have rows from before `before`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn sessions_with_rows_before(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<SessionId>, StoreError> {
        let mut statement = self
            .connection
            .prepare("SELECT session FROM rows GROUP BY session HAVING min(at_ms) < ?1 LIMIT ?2")?;
        let mut rows = statement.query(params![int(before.0), int(limit as u64)])?;
        let mut sessions = Vec::new();
        while let Some(row) = rows.next()? {
            let id = SessionId::new(row.get::<_, String>(0)?);
            sessions.push(id.map_err(|e| StoreError::Record { table: "rows", why: e.to_string() })?);
        }
        Ok(sessions)
    }
}
