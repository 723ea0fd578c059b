//! Writing facts: absolute values, so that writing one twice is writing it once.

use std::collections::HashMap;

use bursar_engine::Event;
use bursar_engine::budget::Budget;
use bursar_engine::circuit::CircuitId;
use bursar_engine::event::OperatorRecord;
use bursar_engine::row::Row;
use bursar_engine::usage::Usage;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use serde::Serialize;

use super::{Store, StoreError, keep, kept};

/// How many events the outbox keeps, and how many alerts and ended holds.
const KEPT_RECORDS: u64 = 100_000;

impl Store {
    /// Writes facts in one commit, in order. `durable`: they are on the disk when this returns; else they survive the
    /// process, and the power once a later durable commit or checkpoint follows.
    ///
    /// # Errors
    /// [`StoreError`]; nothing of them is written then.
    pub fn commit<'a>(
        &mut self,
        events: impl IntoIterator<Item = &'a Event>,
        durable: bool,
    ) -> Result<(), StoreError> {
        let level = if durable { "FULL" } else { "NORMAL" };
        self.connection.pragma_update(None, "synchronous", level)?;
        let transaction = self.connection.transaction()?;
        let events: Vec<&Event> = events.into_iter().collect();
        // Every call changes its circuit: of one commit only the last value matters.
        let last: HashMap<&CircuitId, usize> =
            events.iter().enumerate().filter_map(|(i, e)| Some((circuit(e)?, i))).collect();
        for (i, event) in events.iter().enumerate() {
            if circuit(event).is_none_or(|id| last.get(id) == Some(&i)) {
                write(&transaction, event)?;
                to_outbox(&transaction, event)?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// Copies the whole log back into the file, at the end.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }
}

fn circuit(event: &Event) -> Option<&CircuitId> {
    if let Event::Circuit(circuit) = event { Some(&circuit.id) } else { None }
}

fn write(tx: &Transaction<'_>, event: &Event) -> Result<(), StoreError> {
    match event {
        Event::Session(s) => put(
            tx,
            "INSERT OR REPLACE INTO sessions VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                s.id.as_str(),
                int(s.first_seen.0),
                int(s.last_seen.0),
                s.ended.map(|t| int(t.0)),
                json(s)?
            ],
        ),
        Event::Agent(a) => put(
            tx,
            "INSERT OR REPLACE INTO agents VALUES (?1, ?2, ?3)",
            params![a.session.as_str(), a.key.as_str(), json(a)?],
        ),
        Event::Budget(b) => budget(tx, b),
        Event::Circuit(c) => put(
            tx,
            "INSERT OR REPLACE INTO circuits VALUES (?1, ?2, ?3, ?4)",
            params![c.id.to_string(), c.session.as_str(), c.state.name(), json(c)?],
        ),
        Event::Row(r) => row(tx, r),
        Event::Joined { from, to } => {
            put(tx, "UPDATE OR REPLACE rows SET message_id = ?2 WHERE message_id = ?1", params![from, to])
        }
        Event::Awaited(a) => {
            put(tx, "INSERT OR REPLACE INTO awaited VALUES (?1, ?2)", params![a.report.request_id, json(a)?])
        }
        Event::NotAwaited { request_id } => {
            put(tx, "DELETE FROM awaited WHERE request_id = ?1", params![request_id])
        }
        Event::Totals { session, agent, model, totals } => {
            let Usage { input, output, cache_write_5m, cache_write_1h, cache_read } = totals.usage;
            put(
                tx,
                "INSERT OR REPLACE INTO totals VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                params![
                    session.as_str(),
                    agent.as_str(),
                    model,
                    int(input),
                    int(output),
                    int(cache_write_5m),
                    int(cache_write_1h),
                    int(cache_read),
                    int(totals.micro_usd),
                    int(totals.requests),
                    int(totals.estimated)
                ],
            )
        }
        Event::Runs(r) => {
            put(tx, "INSERT OR REPLACE INTO runs VALUES (?1, ?2)", params![r.session.as_str(), json(r)?])
        }
        Event::File(f) => put(
            tx,
            "INSERT OR REPLACE INTO files VALUES (?1, ?2, ?3)",
            params![f.path, f.session.as_str(), json(f)?],
        ),
        Event::Hold(h) => {
            put(
                tx,
                "INSERT OR REPLACE INTO holds VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    int(h.id.0),
                    h.session.as_str(),
                    h.blocker.to_string(),
                    h.end.map(|e| json(&e)).transpose()?,
                    json(h)?
                ],
            )?;
            let sql = "DELETE FROM holds WHERE id <= ?1 AND ended IS NOT NULL";
            drop_old(tx, sql, h.id.0)
        }
        Event::Alert(a) => {
            put(
                tx,
                "INSERT OR REPLACE INTO alerts VALUES (?1, ?2, ?3)",
                params![int(a.alert_id.0), a.acknowledged, json(a)?],
            )?;
            drop_old(tx, "DELETE FROM alerts WHERE id <= ?1", a.alert_id.0)
        }
        Event::AlertAcknowledged { alert } => put(
            tx,
            "UPDATE alerts SET acknowledged = 1, body = json_set(body, '$.acknowledged', json('true')) \
             WHERE acknowledged = 0 AND (?1 IS NULL OR id = ?1)",
            params![alert.map(|a| int(a.0))],
        ),
        Event::Operator(record) => audit(tx, record),
        Event::RolledUp { session, before } => keep::roll_up(tx, session, *before),
        Event::Forgotten(session) => keep::forget(tx, session),
        Event::TaskForgotten(id) => keep::forget_task(tx, id),
        Event::HistoryEnded { before } => keep::end_history(tx, *before),
        Event::Protection(protection) => kept::keep(tx, kept::PROTECTION, protection),
        Event::Configured { settings, .. } => kept::keep(tx, kept::SETTINGS, settings),
    }
}

fn budget(tx: &Transaction<'_>, b: &Budget) -> Result<(), StoreError> {
    let (id, generation, window) = (b.id.to_string(), i64::from(b.epoch.generation), json(&b.epoch.window)?);
    put(
        tx,
        "INSERT OR REPLACE INTO budgets VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![id, b.id.kind(), b.id.name(), generation, window, b.status.name(), json(b)?],
    )?;
    for (request_id, g) in &b.grants {
        put(
            tx,
            "INSERT OR IGNORE INTO grants VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                id,
                generation,
                window,
                request_id,
                int(g.tokens),
                int(g.micro_usd),
                g.finish_up,
                int(g.at.0)
            ],
        )?;
    }
    Ok(())
}

fn row(tx: &Transaction<'_>, r: &Row) -> Result<(), StoreError> {
    let Usage { input, output, cache_write_5m, cache_write_1h, cache_read } = r.usage;
    put(
        tx,
        "INSERT OR REPLACE INTO rows VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
        params![
            r.message_id,
            r.request_id,
            r.session.as_str(),
            r.agent.as_str(),
            r.model,
            int(input),
            int(output),
            int(cache_write_5m),
            int(cache_write_1h),
            int(cache_read),
            int(r.micro_usd),
            int(r.at.0),
            json(&r.charged)?,
            r.estimated,
            r.told.as_ref().map(json).transpose()?
        ],
    )
}

/// Each record carries the hash of the one before it and itself, so that a changed one is found.
fn audit(tx: &Transaction<'_>, record: &OperatorRecord) -> Result<(), StoreError> {
    let last: Option<Vec<u8>> = tx
        .prepare_cached("SELECT chain FROM audit ORDER BY seq DESC LIMIT 1")?
        .query_row([], |r| r.get(0))
        .optional()?;
    let text = json(record)?;
    let chain = link(last.as_deref().unwrap_or_default(), &text);
    put(tx, "INSERT INTO audit (record, chain) VALUES (?1, ?2)", params![text, chain.as_slice()])
}

fn link(last: &[u8], record: &str) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(last).update(record.as_bytes());
    *hasher.finalize().as_bytes()
}

/// Whether the audit's chain is whole; the number of the first record that does not fit, if one does not. An intact
/// chain that is anchored nowhere else can still have been written anew as a whole.
///
/// # Errors
/// [`StoreError`].
pub(super) fn broken_link(connection: &Connection) -> Result<Option<i64>, StoreError> {
    let mut statement = connection.prepare("SELECT seq, record, chain FROM audit ORDER BY seq")?;
    let mut records = statement.query([])?;
    let mut last = Vec::new();
    while let Some(r) = records.next()? {
        let (seq, record, chain): (i64, String, Vec<u8>) = (r.get(0)?, r.get(1)?, r.get(2)?);
        if link(&last, &record).as_slice() != chain {
            return Ok(Some(seq));
        }
        last = chain;
    }
    Ok(None)
}

fn to_outbox(tx: &Transaction<'_>, event: &Event) -> Result<(), StoreError> {
    let kind = match event {
        Event::Budget(_) => "budget",
        Event::Hold(_) => "hold",
        Event::Alert(_) => "alert",
        Event::AlertAcknowledged { .. } => "alert_acknowledged",
        // Rows, totals and the like stand in their tables; subscribers read them there. Acts are the audit's.
        Event::Session(_)
        | Event::Agent(_)
        | Event::Row(_)
        | Event::Joined { .. }
        | Event::Awaited(_)
        | Event::NotAwaited { .. }
        | Event::Totals { .. }
        | Event::File(_)
        | Event::Runs(_)
        | Event::Operator(_)
        | Event::RolledUp { .. }
        | Event::Forgotten(_)
        | Event::TaskForgotten(_)
        | Event::HistoryEnded { .. }
        | Event::Circuit(_)
        | Event::Protection(_)
        | Event::Configured { .. } => {
            return Ok(());
        }
    };
    put(tx, "INSERT INTO events (kind, body) VALUES (?1, ?2)", params![kind, json(event)?])?;
    let seq = u64::try_from(tx.last_insert_rowid()).unwrap_or(0);
    drop_old(tx, "DELETE FROM events WHERE seq <= ?1", seq)
}

/// Now and then drops what is far behind the newest number.
fn drop_old(tx: &Transaction<'_>, sql: &str, newest: u64) -> Result<(), StoreError> {
    if newest.is_multiple_of(1_000) {
        put(tx, sql, params![int(newest.saturating_sub(KEPT_RECORDS))])?;
    }
    Ok(())
}

pub(super) fn put(tx: &Transaction<'_>, sql: &str, values: impl rusqlite::Params) -> Result<(), StoreError> {
    tx.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

pub(super) fn json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|e| StoreError::Record { table: "any", why: e.to_string() })
}

/// SQLite's integers have 63 bits; sums beyond that are as good as endless.
pub(super) fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
