//! The host's side of the ledger: what the sensors tell goes in with the rows that the state has forgotten, and what was
//! counted comes out again.

use std::sync::{Arc, MutexGuard, PoisonError};

use bursar_engine::command::{Command, Reports, Usage};
use bursar_engine::ids::{AgentKey, SessionId};
use bursar_engine::reported::{Report, reported_key};
use bursar_engine::row::{FileProgress, MAX_ROWS_PER_COMMAND, Row, Sighting};

use crate::host::{HOOK_PATIENCE, Host, HostError};
use crate::near;
use crate::store::{Reader, StoreError};

impl Host {
    /// How far a file has been read.
    pub fn progress(&self, path: &str) -> Option<FileProgress> {
        self.look(|state| state.files.get(path).cloned())
    }

    /// Counts what a transcript's reader, or a payload, told; rows that the state has forgotten come from the store.
    ///
    /// # Errors
    /// [`HostError`] where a pause that it set off could not be written.
    pub async fn count(&self, mut usage: Usage) -> Result<(), HostError> {
        let forgotten = self.look(|state| {
            let ids = usage.rows.iter().filter_map(|r| r.message_id.as_deref());
            let mut forgotten = state.forgotten(ids);
            // Telemetry alone may have told of them, under keys of its own.
            let is_told = |seen: &&Sighting| {
                state.runs.get(&seen.session).is_some_and(|runs| runs.sensed.reported_only.rows > 0)
            };
            let told = usage.rows.iter().filter(is_told).filter_map(|seen| seen.request_id.as_deref());
            let told = told.filter(|request| state.recent.of_request(request).is_none());
            forgotten.extend(told.map(reported_key));
            forgotten
        });
        if !forgotten.is_empty() {
            usage.known = self.read(|reader| reader.rows(&forgotten)).map_err(Arc::new)?;
        }
        self.submit_within(&Command::Usage(usage), Some(HOOK_PATIENCE)).await.1
    }

    /// Counts what telemetry told, and answers once it is written: its sender forgets it then.
    ///
    /// # Errors
    /// [`HostError`]: it is to be sent again.
    pub async fn report(&self, reports: Vec<Report>) -> Result<(), HostError> {
        for reports in reports.chunks(MAX_ROWS_PER_COMMAND) {
            let forgotten: Vec<String> = self.look(|state| {
                let ids = reports.iter().map(|report| &report.request_id);
                ids.filter(|id| state.recent.of_request(id).is_none()).cloned().collect()
            });
            let known = if forgotten.is_empty() {
                Vec::new()
            } else {
                self.read(|reader| reader.rows_of_requests(&forgotten)).map_err(Arc::new)?
            };
            self.submit(&Command::Reports(Reports { reports: reports.to_vec(), known })).await.1?;
        }
        Ok(())
    }

    /// The newest rows of a session, oldest first, as they are written.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn rows_of(&self, session: &SessionId, newest: u32) -> Result<Vec<Row>, StoreError> {
        self.read(|reader| reader.rows_of_session(session, newest))
    }

    /// Whether the answer that comes next could reach a limit: then the batch waits for its own message (4.1).
    pub fn is_near(&self, session: &SessionId, agent: &AgentKey) -> bool {
        let (prices, now) = (self.prices(), self.clock().now());
        self.look(|state| near::is_near(state, &prices, session, agent, now))
    }

    fn read<T>(&self, read: impl FnOnce(&MutexGuard<'_, Reader>) -> T) -> T {
        tokio::task::block_in_place(|| read(&self.reader.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}
