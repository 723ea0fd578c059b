//! Sensor 3: what the clients' telemetry tells of, on its way to the ledger.
//!
//! [`Telemetry::take`] is all that the HTTP side calls, and a batch is acknowledged only after it returned `Ok`: its
//! requests are written then. Where they could not be, the client sends the batch again. The same request may come twice,
//! late, or out of order: joining, in the rules, is what makes one row of it. Without a ledger behind it requests wait in a
//! bounded buffer for [`Telemetry::drain`].

pub mod client_env;
mod report;
mod sequence;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bursar_engine::ids::SessionId;
use serde::{Deserialize, Serialize};

use crate::host::Host;
use crate::otlp::{ApiRequest, Batch};
pub use report::reports;
use sequence::Stream;

/// Sessions whose streams are remembered; those not heard of for longest go first.
const MAX_SESSIONS: usize = 4_096;

/// Requests of one session, and of all, that wait to be joined; the oldest go first.
const MAX_WAITING_OF_SESSION: usize = 1_024;
const MAX_WAITING: usize = 16_384;

/// A batch that is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TakeError {
    /// The daemon ends; the next one takes it.
    #[error("the daemon ends")]
    Ending,
    /// It could not be written.
    #[error("it could not be written")]
    Unwritten,
}

/// How telemetry stands, for `bursar status`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TelemetryView {
    /// Where it is taken; none: nowhere.
    pub address: Option<String>,
    /// Events received since the start, of whatever kind.
    pub events: u64,
    /// Requests among them.
    pub requests: u64,
    /// Requests that could not be used.
    pub malformed: u64,
    /// Batches that could not be used.
    pub refused: u64,
    /// Events that are missing between those that came.
    pub missing: u64,
    /// Batches of metrics, which are passed over.
    pub metrics: u64,
    /// Requests that were given up before they were joined.
    pub dropped: u64,
    /// All that in a sentence.
    pub says: String,
}

#[derive(Debug, Default)]
struct Kept {
    stream: Stream,
    waiting: VecDeque<ApiRequest>,
    /// The batch that it was last heard of in.
    heard: u64,
}

#[derive(Debug, Default)]
struct Inner {
    sessions: BTreeMap<SessionId, Kept>,
    waiting: usize,
    batches: u64,
    /// Missing in streams that are no longer remembered.
    missing: u64,
}

/// The sink of telemetry.
#[derive(Debug, Default)]
pub struct Telemetry {
    ledger: Option<Arc<Host>>,
    inner: Mutex<Inner>,
    is_ending: AtomicBool,
    events: AtomicU64,
    requests: AtomicU64,
    malformed: AtomicU64,
    refused: AtomicU64,
    metrics: AtomicU64,
    dropped: AtomicU64,
}

fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

impl Telemetry {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A sink whose requests are counted in a host's ledger.
    pub fn counted_by(host: Arc<Host>) -> Self {
        Self { ledger: Some(host), ..Self::default() }
    }

    /// Takes a batch; once this has returned `Ok` its sender forgets it.
    ///
    /// # Errors
    /// [`TakeError`]: nothing of it was taken, and it is to be sent again.
    pub async fn take(&self, mut batch: Batch) -> Result<(), TakeError> {
        if self.is_ending.load(Ordering::Acquire) {
            return Err(TakeError::Ending);
        }
        let requests = batch.requests.len() as u64;
        if let Some(host) = &self.ledger {
            let reports = reports(&host.prices(), host.clock().now(), std::mem::take(&mut batch.requests));
            host.report(reports).await.map_err(|_| TakeError::Unwritten)?;
        }
        add(&self.events, batch.records);
        add(&self.requests, requests);
        add(&self.malformed, batch.malformed);
        add(&self.dropped, self.lock().keep(batch));
        Ok(())
    }

    /// Takes no batch from now on.
    pub fn end(&self) {
        self.is_ending.store(true, Ordering::Release);
    }

    /// Counts a batch that could not be used.
    pub fn refused(&self) {
        add(&self.refused, 1);
    }

    /// Counts a batch of metrics.
    pub fn metrics(&self) {
        add(&self.metrics, 1);
    }

    /// Takes out what waits to be joined: session by session, each in the order of its arrival.
    pub fn drain(&self) -> Vec<ApiRequest> {
        let mut inner = self.lock();
        inner.waiting = 0;
        inner.sessions.values_mut().flat_map(|kept| std::mem::take(&mut kept.waiting)).collect()
    }

    /// Of a session's stream the highest number that arrived, and how many are missing; none: nothing arrived.
    pub fn stream(&self, session: &SessionId) -> Option<(u64, u64)> {
        let inner = self.lock();
        let stream = &inner.sessions.get(session)?.stream;
        Some((stream.highest()?, stream.missing()))
    }

    /// How many events are missing, by session, where any are.
    pub fn gaps(&self) -> BTreeMap<SessionId, u64> {
        let inner = self.lock();
        let missing = inner.sessions.iter().map(|(id, kept)| (id.clone(), kept.stream.missing()));
        missing.filter(|(_, missing)| *missing > 0).collect()
    }

    /// How many events of one session are missing, if any are.
    pub fn gap(&self, session: &SessionId) -> Option<u64> {
        Some(self.lock().sessions.get(session)?.stream.missing()).filter(|missing| *missing > 0)
    }

    /// How it stands, where it is taken at `address`.
    pub fn view(&self, address: Option<String>) -> TelemetryView {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut view = TelemetryView {
            address,
            events: count(&self.events),
            requests: count(&self.requests),
            malformed: count(&self.malformed),
            refused: count(&self.refused),
            missing: self.lock().missing(),
            metrics: count(&self.metrics),
            dropped: count(&self.dropped),
            says: String::new(),
        };
        view.says = view.sentence();
        view
    }
}

impl TelemetryView {
    fn sentence(&self) -> String {
        let Some(address) = &self.address else { return "not taken".to_owned() };
        let also = [(self.malformed, "malformed"), (self.refused, "refused"), (self.missing, "missing")];
        let mut says = vec![format!("{} events received at {address}", self.events)];
        says.extend(also.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")));
        says.join(", ")
    }
}

impl Inner {
    /// Keeps a batch, and says how many requests had to go for it.
    fn keep(&mut self, batch: Batch) -> u64 {
        self.batches += 1;
        for (session, marks) in batch.marks {
            let stream = &mut self.of(session).stream;
            for mark in marks {
                stream.note(mark);
            }
        }
        let mut dropped = 0;
        for request in batch.requests {
            let waiting = &mut self.of(request.session_id.clone()).waiting;
            waiting.push_back(request);
            if waiting.len() > MAX_WAITING_OF_SESSION {
                waiting.pop_front();
                dropped += 1;
            } else {
                self.waiting += 1;
            }
        }
        while self.sessions.len() > MAX_SESSIONS {
            dropped += self.forget_the_quietest(|_| true);
        }
        while self.waiting > MAX_WAITING {
            dropped += self.forget_the_quietest(|kept| !kept.waiting.is_empty());
        }
        dropped
    }

    fn of(&mut self, session: SessionId) -> &mut Kept {
        let kept = self.sessions.entry(session).or_default();
        kept.heard = self.batches;
        kept
    }

    fn forget_the_quietest(&mut self, among: impl Fn(&Kept) -> bool) -> u64 {
        let quietest =
            self.sessions.iter().filter(|(_, kept)| among(kept)).min_by_key(|(_, kept)| kept.heard);
        let Some(session) = quietest.map(|(session, _)| session.clone()) else { return 0 };
        let Some(kept) = self.sessions.remove(&session) else { return 0 };
        self.missing = self.missing.saturating_add(kept.stream.missing());
        self.waiting -= kept.waiting.len();
        kept.waiting.len() as u64
    }

    fn missing(&self) -> u64 {
        self.sessions.values().map(|kept| kept.stream.missing()).fold(self.missing, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests;
