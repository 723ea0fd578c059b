//! The tables, and how an older file becomes a newer one.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use super::StoreError;

/// `BRSR`, so that the file says whose it is.
const APPLICATION_ID: i64 = 0x4252_5352;

/// A file up to this size is checked whole before anybody is served.
const CHECKED_AT_START_BYTES: u64 = 64 * 1024 * 1024;

/// One step for each version: step `n` makes version `n + 1` of version `n`.
const STEPS: [&str; 3] = [VERSION_1, VERSION_2, VERSION_3];

const VERSION_1: &str = "
CREATE TABLE sessions (id TEXT PRIMARY KEY, first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL, ended INTEGER,
  body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE agents (session TEXT NOT NULL, agent TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (session, agent))
  WITHOUT ROWID;
-- All six kinds of budgets; the epoch is the reset generation and the window.
CREATE TABLE budgets (id TEXT PRIMARY KEY, kind TEXT NOT NULL
    CHECK (kind IN ('session', 'agent', 'task', 'project', 'host', 'fleet')),
  name TEXT NOT NULL, generation INTEGER NOT NULL, epoch_window TEXT NOT NULL, status TEXT NOT NULL,
  body TEXT NOT NULL) WITHOUT ROWID;
-- Grants of every generation, by the request that made them: the budget's body has those of its own.
CREATE TABLE grants (budget TEXT NOT NULL, generation INTEGER NOT NULL, epoch_window TEXT NOT NULL,
  request_id TEXT NOT NULL, tokens INTEGER NOT NULL, micro_usd INTEGER NOT NULL, finish_up INTEGER NOT NULL,
  at_ms INTEGER NOT NULL, PRIMARY KEY (budget, generation, epoch_window, request_id)) WITHOUT ROWID;
CREATE TABLE rows (message_id TEXT PRIMARY KEY, request_id TEXT, session TEXT NOT NULL, agent TEXT NOT NULL,
  model TEXT NOT NULL, input INTEGER NOT NULL, output INTEGER NOT NULL, cache_write_5m INTEGER NOT NULL,
  cache_write_1h INTEGER NOT NULL, cache_read INTEGER NOT NULL, micro_usd INTEGER NOT NULL, at_ms INTEGER NOT NULL,
  charged TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX rows_by_session ON rows (session, at_ms);
CREATE TABLE totals (session TEXT NOT NULL, agent TEXT NOT NULL, model TEXT NOT NULL, input INTEGER NOT NULL,
  output INTEGER NOT NULL, cache_write_5m INTEGER NOT NULL, cache_write_1h INTEGER NOT NULL,
  cache_read INTEGER NOT NULL, micro_usd INTEGER NOT NULL, requests INTEGER NOT NULL,
  PRIMARY KEY (session, agent, model)) WITHOUT ROWID;
-- What rows older than the horizon became, and up to when each session's did.
CREATE TABLE history (hour_ms INTEGER NOT NULL, session TEXT NOT NULL, agent TEXT NOT NULL, model TEXT NOT NULL,
  input INTEGER NOT NULL, output INTEGER NOT NULL, cache_write_5m INTEGER NOT NULL, cache_write_1h INTEGER NOT NULL,
  cache_read INTEGER NOT NULL, micro_usd INTEGER NOT NULL, requests INTEGER NOT NULL,
  PRIMARY KEY (hour_ms, session, agent, model)) WITHOUT ROWID;
CREATE TABLE rolled_up (session TEXT PRIMARY KEY, before_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE files (path TEXT PRIMARY KEY, session TEXT NOT NULL, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE holds (id INTEGER PRIMARY KEY, session TEXT NOT NULL, budget TEXT NOT NULL, ended TEXT,
  body TEXT NOT NULL);
CREATE INDEX holds_that_wait ON holds (id) WHERE ended IS NULL;
CREATE TABLE alerts (id INTEGER PRIMARY KEY, acknowledged INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE events (seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE audit (seq INTEGER PRIMARY KEY AUTOINCREMENT, record TEXT NOT NULL, chain BLOB NOT NULL);
";

/// Circuits, and holds are by a budget or by a circuit; and what there is one of: the protection, and the settings that
/// the daemon last ran with.
const VERSION_2: &str = "
CREATE TABLE circuits (id TEXT PRIMARY KEY, session TEXT NOT NULL, state TEXT NOT NULL, body TEXT NOT NULL) WITHOUT ROWID;
UPDATE holds SET body = json_set(json_remove(body, '$.budget'), '$.blocker', json_object('budget', body ->> '$.budget'),
  '$.seed_shape', json('false'));
ALTER TABLE holds RENAME COLUMN budget TO blocker;
CREATE TABLE kept (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
";

/// Runs of clients, what their telemetry tells; and which costs are estimates. Before this nothing had a cost: what was counted by then is marked.
const VERSION_3: &str = "
CREATE TABLE runs (session TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE awaited (request_id TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX rows_by_request ON rows (request_id) WHERE request_id IS NOT NULL;
ALTER TABLE rows ADD COLUMN estimated INTEGER NOT NULL DEFAULT 1;
ALTER TABLE rows ADD COLUMN told TEXT;
ALTER TABLE totals ADD COLUMN estimated INTEGER NOT NULL DEFAULT 0;
ALTER TABLE history ADD COLUMN estimated INTEGER NOT NULL DEFAULT 0;
UPDATE totals SET estimated = requests;
UPDATE history SET estimated = requests;
UPDATE budgets SET body = json_set(body, '$.used.estimated', 1) WHERE body ->> '$.used.micro_tokens' > 0;
";

/// The newest schema known here.
pub(super) const KNOWN: i64 = 3;

/// Sets the connection up and migrates the file.
pub(super) fn prepare(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let damaged = |e: rusqlite::Error| match e.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            StoreError::Damaged { path: path.to_owned(), why: e.to_string() }
        }
        _ => StoreError::Sqlite(e),
    };
    connection.busy_timeout(Duration::from_secs(5))?;
    let application: i64 =
        connection.query_row("PRAGMA application_id", [], |r| r.get(0)).map_err(damaged)?;
    let version: i64 = connection.query_row("PRAGMA user_version", [], |r| r.get(0)).map_err(damaged)?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_master", [], |r| r.get(0)).map_err(damaged)?;
    if application != APPLICATION_ID && (application != 0 || tables > 0) {
        return Err(StoreError::Foreign { path: path.to_owned() });
    }
    if version > KNOWN {
        return Err(StoreError::Newer { path: path.to_owned(), found: version, known: KNOWN });
    }
    // Only a file without tables takes it; then freed pages can be given back to the disk.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(damaged)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(damaged)?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    // The log is copied back beside the writer, never by a commit that somebody waits for.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    if (1..KNOWN).contains(&version) {
        back_up(connection, path, version)?;
    }
    let from = usize::try_from(version).unwrap_or(0);
    for (next, sql) in (1_i64..).zip(STEPS).skip(from) {
        let transaction = connection.unchecked_transaction()?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", next)?;
        transaction.commit()?;
    }
    // A large file would keep hooks waiting: it is checked while the daemon serves.
    if super::size_bytes(path) > CHECKED_AT_START_BYTES {
        return Ok(());
    }
    match what_is_damaged(connection).map_err(damaged)? {
        None => Ok(()),
        Some(why) => Err(StoreError::Damaged { path: path.to_owned(), why }),
    }
}

/// Keeps the file as the older release wrote it, once: whoever goes back to that release finds it.
fn back_up(connection: &Connection, path: &Path, version: i64) -> Result<(), StoreError> {
    let mut kept = path.as_os_str().to_owned();
    kept.push(format!(".v{version}"));
    let kept = Path::new(&kept);
    if kept.exists() {
        return Ok(());
    }
    let io = |source| StoreError::Io { path: kept.to_owned(), source };
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(kept).map_err(io)?;
    let copied = connection.execute("VACUUM INTO ?1", [kept.to_string_lossy()]);
    copied.inspect_err(|_| drop(fs::remove_file(kept)))?;
    Ok(())
}

/// What is wrong with the file's structure, if anything.
pub(super) fn what_is_damaged(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let word: String = connection.query_row("PRAGMA quick_check(1)", [], |r| r.get(0))?;
    Ok((word != "ok").then_some(word))
}

#[cfg(test)]
mod tests {
    use super::{APPLICATION_ID, KNOWN, VERSION_1};
    use crate::store::Store;
    use bursar_engine::hold::HoldEnd;
    use bursar_engine::ids::AlertId;
    use bursar_engine::policy::Policy;
    use bursar_engine::protection::Protection;
    use rusqlite::Connection;
    use std::os::unix::fs::PermissionsExt as _;

    /// As the daemon of version 1 wrote them.
    const OLD_RECORDS: &str = r#"
INSERT INTO rolled_up VALUES ('s1', 7);
INSERT INTO totals VALUES ('s1', 'main', 'm', 1500, 500, 0, 0, 0, 0, 3);
INSERT INTO history VALUES (0, 's1', 'main', 'm', 5, 5, 0, 0, 0, 0, 2);
INSERT INTO rows VALUES ('m1', NULL, 's1', 'main', 'm', 1500, 500, 0, 0, 0, 0, 5,
  '[{"budget":"session:s1","generation":0}]');
INSERT INTO budgets VALUES ('session:s1', 'session', 's1', 0, '"none"', 'paused', '{"id":"session:s1","epoch":
  {"generation":0,"window":"none"},"base":{"tokens":2000,"micro_usd":0},"grants":{},"max":{"tokens":2000,"micro_usd":0},
  "used":{"micro_tokens":2000000000,"micro_usd":0},"alert_threshold":0.8,"alert_base":{"micro_tokens":0,"micro_usd":0},
  "status":"paused","seal":null,"finishing":false,"crossings":1,"pauses":1,"started_at":1,"last_updated":5,
  "agent":"main","task_description":null}');
INSERT INTO holds VALUES (1, 's1', 'session:s1', '"extended"', '{"id":1,"session":"s1","agent":"main","budget":"session:s1",
  "event":"PostToolBatch","tool":null,"started":2,"deadline":9,"attended":true,"context_tokens":7,"end":"extended",
  "ended_at":3}');
INSERT INTO holds VALUES (2, 's1', 'session:s1', NULL, '{"id":2,"session":"s1","agent":"main","budget":"session:s1",
  "event":"PreToolUse","tool":"Bash","started":4,"deadline":9,"attended":true,"context_tokens":7,"end":null,
  "ended_at":null}');
INSERT INTO alerts VALUES (1, 0, '{"alert_id":1,"budget_id":"session:s1","alert_type":"budget_exhausted","utilization":1.0,
  "tokens_used":2000,"max_tokens":2000,"micro_usd_used":0,"max_micro_usd":0,"timestamp":4,"acknowledged":false,
  "agent":"main"}');
INSERT INTO audit (record, chain) VALUES ('{"request_id":"r1","at":3,"who":"uid 0","reason":"a test","act":"extend",
  "target":"session:s1","tokens":1000,"micro_usd":0,"refused":null}', x'00');
"#;

    #[test]
    fn a_file_of_the_first_version_becomes_one_of_this() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bursar.db");
        let old = Connection::open(&path).unwrap();
        old.execute_batch(VERSION_1).unwrap();
        old.execute_batch(OLD_RECORDS).unwrap();
        old.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        old.pragma_update(None, "user_version", 1).unwrap();
        drop(old);
        for _ in 0..2 {
            let store = Store::open(&path).unwrap();
            let state = store.load(Policy::default()).unwrap();
            assert_eq!((state.rolled_up.len(), &state.protection), (1, &Protection::Locked));
            assert_eq!(store.settings().unwrap(), None);
            let budget = "session:s1".parse().unwrap();
            let held: Vec<_> = state.holds.values().map(|h| (h.id.0, h.blocker.budget(), h.end)).collect();
            assert_eq!(held, [(1, Some(&budget), Some(HoldEnd::Extended)), (2, Some(&budget), None)]);
            assert!(state.budgets[&budget].status.is_shut() && !state.budgets[&budget].anybody_ends);
            assert_eq!(state.alerts[&AlertId(1)].trip, None);
            assert_eq!(state.acts.target("extend", "r1"), Some("session:s1"));
            // Nothing had a cost then: all of it is marked.
            let totals: Vec<_> =
                state.totals.values().map(|t| (t.usage.input, t.requests, t.estimated)).collect();
            assert_eq!((totals, state.budgets[&budget].used.estimated), (vec![(1_500, 3, 3)], 1));
            let reader = store.reader().unwrap();
            assert!(reader.rows(&["m1".to_owned()]).unwrap()[0].estimated);
            let history = reader.history(&"s1".to_owned().try_into().unwrap()).unwrap();
            assert_eq!((history[0].totals.requests, history[0].totals.estimated), (2, 2));
        }
        // The file as it was stays beside it.
        let kept = Connection::open(dir.path().join("bursar.db.v1")).unwrap();
        let old: i64 = kept.query_row("PRAGMA user_version", [], |r| r.get(0)).unwrap();
        assert_eq!(old, 1);
        let mode = std::fs::metadata(dir.path().join("bursar.db.v1")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let version: i64 =
            Connection::open(&path).unwrap().query_row("PRAGMA user_version", [], |r| r.get(0)).unwrap();
        assert_eq!(version, KNOWN);
    }
}
