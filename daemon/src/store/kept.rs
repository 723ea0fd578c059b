//! What is kept under one name each: the protection, and the settings that the daemon last ran with. And the audit, read
//! back.

use std::collections::BTreeMap;

use bursar_engine::event::OperatorRecord;
use bursar_engine::protection::Protection;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::write::{int, json, put};
use super::{Reader, Store, StoreError};

/// Names in the table.
pub(super) const PROTECTION: &str = "protection";
pub(super) const SETTINGS: &str = "settings";

pub(super) fn keep(tx: &Transaction<'_>, key: &str, value: &impl Serialize) -> Result<(), StoreError> {
    put(tx, "INSERT OR REPLACE INTO kept VALUES (?1, ?2)", params![key, json(value)?])
}

fn kept<T: DeserializeOwned>(connection: &Connection, key: &str) -> Result<Option<T>, StoreError> {
    let found: Option<String> = connection
        .prepare_cached("SELECT value FROM kept WHERE key = ?1")?
        .query_row([key], |r| r.get(0))
        .optional()?;
    let read = |text: String| {
        serde_json::from_str(&text).map_err(|e| StoreError::Record { table: "kept", why: e.to_string() })
    };
    found.map(read).transpose()
}

impl Store {
    /// The settings that the daemon last ran with, by name; none before its first run.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn settings(&self) -> Result<Option<BTreeMap<String, String>>, StoreError> {
        kept(&self.connection, SETTINGS)
    }

    /// How the installation is protected.
    pub(super) fn protection(&self) -> Result<Protection, StoreError> {
        Ok(kept(&self.connection, PROTECTION)?.unwrap_or_default())
    }
}

impl Reader {
    /// The newest `limit` acts of operators, done or refused, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn acts(&self, limit: u32) -> Result<Vec<OperatorRecord>, StoreError> {
        let mut statement =
            self.connection.prepare_cached("SELECT record FROM audit ORDER BY seq DESC LIMIT ?1")?;
        let mut rows = statement.query(params![int(u64::from(limit))])?;
        let mut acts = Vec::new();
        while let Some(row) = rows.next()? {
            let text: String = row.get(0)?;
            let act = serde_json::from_str(&text);
            acts.push(act.map_err(|e| StoreError::Record { table: "audit", why: e.to_string() })?);
        }
        Ok(acts)
    }
}
