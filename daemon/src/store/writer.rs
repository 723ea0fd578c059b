//! The writer's thread: batches in the order of their decisions, many to one commit, nothing acknowledged that is not
//! written, nothing dropped.

use std::fmt;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bursar_engine::Event;
use tokio::sync::oneshot;

use super::checkpoint::Checkpoints;
use super::{Store, StoreError};
use crate::bus::Bus;

/// How long usage may wait for company before it is committed (DESIGN 7.1: within 50 ms).
const GATHER: Duration = Duration::from_millis(40);

/// How long the writer waits after a failed commit before it tries again.
const RETRY: Duration = Duration::from_millis(500);

/// The most events in one commit.
const MAX_EVENTS_PER_COMMIT: usize = 8_192;

/// Facts to write, in the order of submission.
#[derive(Debug)]
pub struct Batch {
    /// The facts of one decision.
    pub events: Arc<[Event]>,
    /// They must be on the disk, power loss or not, before the answer leaves.
    pub durable: bool,
    /// Told once they are written, or that they are not; whoever gives one waits, so the commit is not put off.
    pub done: Option<oneshot::Sender<Result<(), Arc<StoreError>>>>,
}

enum Message {
    Write(Batch),
    Close,
}

/// The handle of the writer's thread.
pub struct Writer {
    queue: Sender<Message>,
    health: Arc<Mutex<Option<String>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("health", &self.health).finish_non_exhaustive()
    }
}

impl Writer {
    /// Starts the thread; `bus` carries each batch on, after its commit.
    pub fn spawn(store: Store, bus: Bus) -> Self {
        let (queue, inbox) = mpsc::channel();
        let health = Arc::new(Mutex::new(None));
        let mut thread = Thread {
            checkpoints: Checkpoints::spawn(store.path.clone()),
            store,
            inbox,
            bus,
            health: Arc::clone(&health),
            backlog: Vec::new(),
            closing: false,
        };
        let thread = std::thread::Builder::new().name("store".to_owned()).spawn(move || thread.run());
        Self { queue, health, thread: Mutex::new(thread.ok()) }
    }

    /// Hands facts over; never blocks. If the thread is gone, whoever waits for `done` hears that it was dropped.
    pub fn submit(&self, batch: Batch) {
        let _ = self.queue.send(Message::Write(batch));
    }

    /// What is wrong with the store, if anything; it clears itself.
    pub fn health(&self) -> Option<String> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes what is left, copies the log back and ends the thread.
    pub fn close(&self) {
        let _ = self.queue.send(Message::Close);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the store's writer panicked");
        }
    }
}

struct Thread {
    store: Store,
    inbox: Receiver<Message>,
    bus: Bus,
    checkpoints: Checkpoints,
    health: Arc<Mutex<Option<String>>>,
    /// Taken from the queue and not yet written: kept in order over a failed commit.
    backlog: Vec<Batch>,
    closing: bool,
}

impl Thread {
    fn run(&mut self) {
        while !self.closing {
            self.gather();
            while !self.backlog.is_empty() {
                if self.commit() {
                    continue;
                }
                if self.closing {
                    tracing::error!(
                        batches = self.backlog.len(),
                        "ended with facts that could not be written"
                    );
                    return;
                }
                // What came meanwhile goes behind what is kept.
                let until = Instant::now() + RETRY;
                while !self.closing && self.receive_until(until) {}
            }
        }
        if let Err(e) = self.store.checkpoint() {
            tracing::warn!(error = %e, "the log was not copied back");
        }
    }

    /// Waits for something to write, and a little longer for company, unless somebody waits for the answer.
    fn gather(&mut self) {
        match self.inbox.recv() {
            Ok(message) => self.take(message),
            Err(_) => self.closing = true,
        }
        let until = Instant::now() + GATHER;
        while !self.closing && !self.is_urgent() && self.receive_until(until) {}
        while let Ok(message) = self.inbox.try_recv() {
            self.take(message);
        }
    }

    fn receive_until(&mut self, until: Instant) -> bool {
        match self.inbox.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(message) => {
                self.take(message);
                true
            }
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => {
                self.closing = true;
                false
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Write(batch) => self.backlog.push(batch),
            Message::Close => self.closing = true,
        }
    }

    fn is_urgent(&self) -> bool {
        self.backlog.last().is_some_and(|b| b.done.is_some())
            || self.backlog.iter().map(|b| b.events.len()).sum::<usize>() >= MAX_EVENTS_PER_COMMIT
    }

    /// One commit of what is kept; true if it was written.
    fn commit(&mut self) -> bool {
        let (mut count, mut events) = (0, 0);
        for batch in &self.backlog {
            if count > 0 && events + batch.events.len() > MAX_EVENTS_PER_COMMIT {
                break;
            }
            count += 1;
            events += batch.events.len();
        }
        let batches = &self.backlog[..count];
        let durable = batches.iter().any(|b| b.durable);
        match self.store.commit(batches.iter().flat_map(|b| b.events.iter()), durable) {
            Ok(()) => {
                for batch in self.backlog.drain(..count) {
                    if let Some(done) = batch.done {
                        let _ = done.send(Ok(()));
                    }
                    self.bus.publish(batch.events);
                }
                *self.health.lock().unwrap_or_else(PoisonError::into_inner) = None;
                self.checkpoints.look();
                true
            }
            Err(e) => {
                let e = Arc::new(e);
                tracing::error!(error = %e, "a commit failed; it is tried again");
                *self.health.lock().unwrap_or_else(PoisonError::into_inner) = Some(e.to_string());
                for done in self.backlog.iter_mut().filter_map(|b| b.done.take()) {
                    let _ = done.send(Err(Arc::clone(&e)));
                }
                false
            }
        }
    }
}
