//! The one owner of hot state. Every command comes through here, in one order.
//!
//! The lock is std's, short, and never held across an await or I/O: a decision takes a microsecond, and handing the
//! events to the writer under it is what makes the order on the disk the order of the decisions.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bursar_engine::circuit::Circuit;
use bursar_engine::command::Command;
use bursar_engine::decide::{Reply, decide, released};
use bursar_engine::event::OperatorRecord;
use bursar_engine::hold::Hold;
use bursar_engine::ids::{HoldId, SessionId};
use bursar_engine::session::Session;
use bursar_engine::table::Cell;
use bursar_engine::time::Timestamp;
use bursar_engine::verdict::Verdict;
use bursar_engine::{Event, State};
use tokio::sync::{Notify, oneshot};

use crate::clock::{Clock, since_boot_ms};
use crate::markers::{self, Markers};
use crate::prices::Prices;
use crate::process;
use crate::store::{Batch, Reader, StoreError, Writer};

/// How long a hook's verdict waits for the disk: its client gives up after 250 ms (HOOK 4).
pub(crate) const HOOK_PATIENCE: Duration = Duration::from_millis(120);

/// How long after a session's end its client's process is still taken for one.
const ENDED_LATELY_MS: u64 = 86_400_000;

/// A client starts before its session's first hook; clocks may differ by so much.
const A_MOMENT_MS: u64 = 2_000;

/// What went wrong beneath a command.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// It was decided, but is not on the disk; it may be lost if the daemon dies now.
    #[error("not written to the store: {0}; make room or mend the disk, then do it again")]
    Store(#[from] Arc<StoreError>),
    /// The store's writer is gone.
    #[error("the store's writer has stopped; restart the daemon")]
    WriterGone,
    /// It takes longer than a hook waits; it is still being written.
    #[error("the store is slow: a decision was answered before it was written")]
    Slow,
    /// A marker could not be written or removed.
    #[error("the marker of a paused session could not be changed: {0}")]
    Marker(#[from] std::io::Error),
}

/// Counts since the start, for `bursar status`.
#[derive(Debug, Default)]
pub struct Counters {
    /// Hooks answered.
    pub hooks: AtomicU64,
    /// Hooks with malformed input.
    pub malformed: AtomicU64,
    /// Batches whose message did not stand in the transcript in time.
    pub transcript_late: AtomicU64,
    /// Hooks let through without a daemon.
    pub failed_open: AtomicU64,
}

/// Hot state, and the ways out of it.
#[derive(Debug)]
pub struct Host {
    state: Mutex<State>,
    clock: Clock,
    prices: Mutex<Arc<Prices>>,
    writer: Writer,
    pub(crate) reader: Mutex<Reader>,
    markers: Markers,
    waiters: Mutex<HashMap<HoldId, oneshot::Sender<Verdict>>>,
    /// A hold began: the next deadline may be nearer.
    pub deadlines: Notify,
    /// Counts since the start.
    pub counters: Counters,
}

impl Host {
    /// Takes over a loaded state.
    pub fn new(
        state: State,
        prices: Prices,
        clock: Clock,
        writer: Writer,
        reader: Reader,
        markers: Markers,
    ) -> Self {
        Self {
            state: Mutex::new(state),
            clock,
            prices: Mutex::new(Arc::new(prices)),
            writer,
            reader: Mutex::new(reader),
            markers,
            waiters: Mutex::new(HashMap::new()),
            deadlines: Notify::new(),
            counters: Counters::default(),
        }
    }

    /// The clock.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// What requests cost.
    pub fn prices(&self) -> Arc<Prices> {
        Arc::clone(&self.prices.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on requests cost this; what was counted keeps its cost.
    pub fn set_prices(&self, prices: Prices) {
        *self.prices.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(prices);
    }

    /// The store's writer.
    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Looks at the state. Keep it short: every hook waits meanwhile.
    pub fn look<T>(&self, at: impl FnOnce(&State) -> T) -> T {
        at(&self.lock())
    }

    /// A panic under the lock leaves half a decision behind. The process ends then: the store has the last whole one,
    /// held hooks look for the next daemon, and the markers stand.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|_| {
            tracing::error!("a decision panicked; the daemon ends, start it again");
            std::process::exit(70);
        })
    }

    /// Decides a command, and answers once what must be on the disk is there, markers stand, and held hooks have
    /// been let go.
    ///
    /// # Errors
    /// [`HostError`], with the reply: the decision stands in memory, but must not be called done.
    pub async fn submit(&self, command: &Command) -> (Reply, Result<(), HostError>) {
        self.submit_within(command, None).await
    }

    pub(crate) async fn submit_within(
        &self,
        command: &Command,
        patience: Option<Duration>,
    ) -> (Reply, Result<(), HostError>) {
        let decided = self.apply(command);
        let durable = match decided.committed {
            None => Ok(()),
            Some(done) => match tokio::time::timeout(patience.unwrap_or(Duration::MAX), done).await {
                Ok(Ok(result)) => result.map_err(HostError::from),
                Ok(Err(_)) => Err(HostError::WriterGone),
                Err(_) => Err(HostError::Slow),
            },
        };
        // Those who go on go first: a shared budget may have many markers, and one that is cleared late stops nobody while
        // this daemon serves.
        let (go_on, stop): (Vec<_>, Vec<_>) =
            decided.released.into_iter().partition(|(_, verdict)| verdict.cell == Cell::Allow);
        for (hold, verdict) in go_on {
            self.deliver(hold, verdict);
        }
        let marked = self.mark(&decided.marks).map_err(HostError::from);
        for (hold, verdict) in stop {
            self.deliver(hold, verdict);
        }
        if decided.hold_began {
            self.deadlines.notify_one();
        }
        let result = durable.and(marked);
        if let Err(e) = &result {
            tracing::error!(error = %e, "a decision is not safe yet");
        }
        (decided.reply, result)
    }

    /// As [`Host::submit`], for those who answer the same whether or not it is on the disk yet: a hook's verdict stands in
    /// memory, the writer keeps trying, and `bursar status` says so. On a full or slow disk it leaves before the hook
    /// gives up, and with that lets its call go ahead.
    pub async fn tell(&self, command: &Command) -> Reply {
        self.submit_within(command, Some(HOOK_PATIENCE)).await.0
    }

    /// Waits until everything decided so far is written; false where it could not be, and is tried again.
    pub async fn written(&self) -> bool {
        let (tx, rx) = oneshot::channel();
        self.writer.submit(Batch { events: Arc::new([]), durable: false, done: Some(tx) });
        matches!(rx.await, Ok(Ok(())))
    }

    fn apply(&self, command: &Command) -> Decided {
        let mut state = self.lock();
        let now = self.clock.now();
        let decision = decide(&state, command, now);
        let mut decided = Decided { reply: decision.reply, ..Decided::default() };
        // What telemetry told cannot be read again.
        let mut durable = matches!(command, Command::Reports(_));
        for event in &decision.events {
            match event {
                Event::Budget(budget) => {
                    let was_shut = state.budgets.get(&budget.id).is_some_and(|b| b.status.is_shut());
                    if was_shut != budget.status.is_shut() {
                        decided.marks.extend(state.sessions_under(&budget.id));
                    }
                }
                Event::Circuit(circuit) => {
                    let was_open = state.circuit(&circuit.id).is_some_and(Circuit::is_open);
                    if was_open != circuit.is_open() {
                        decided.marks.push(circuit.session.clone());
                    }
                }
                Event::Hold(hold) => decided.hold_began |= hold.end.is_none(),
                // Coming back, or drawing on another task, it may stand under something that is shut, or no longer.
                Event::Session(session) => {
                    let drew = |s: &Session| {
                        (s.ended.is_some(), s.env_task.clone(), s.tasks.clone(), s.draws_on.clone())
                    };
                    if state.sessions.get(&session.id).map(drew) != Some(drew(session)) {
                        decided.marks.push(session.id.clone());
                    }
                }
                Event::Agent(_)
                | Event::Row(_)
                | Event::Totals { .. }
                | Event::File(_)
                | Event::Runs(_)
                | Event::Joined { .. }
                | Event::Awaited(_)
                | Event::NotAwaited { .. }
                | Event::Alert(_)
                | Event::AlertAcknowledged { .. }
                | Event::Operator(_)
                | Event::RolledUp { .. }
                | Event::Forgotten(_)
                | Event::TaskForgotten(_)
                | Event::HistoryEnded { .. }
                | Event::Protection(_) => {}
                // Other thresholds or another mode: any session's marker may have to come or go.
                Event::Configured { .. } => decided.marks.extend(state.sessions.keys().cloned()),
            }
            durable |= event.is_durable();
            state.evolve(event);
        }
        for event in &decision.events {
            if let Event::Hold(hold) = event
                && hold.end.is_some()
            {
                decided.released.push((hold.id, released(&state, hold)));
            }
        }
        // Usage without a file cannot be read again: it is answered once it is written (7.1).
        let awaited = durable || matches!(command, Command::Usage(usage) if usage.file.is_none());
        if !decision.events.is_empty() {
            let (tx, rx) = oneshot::channel();
            decided.committed = awaited.then_some(rx);
            let done = awaited.then_some(tx);
            self.writer.submit(Batch { events: decision.events.into(), durable, done });
        }
        decided
    }

    /// Brings the markers of these sessions in line with the state.
    ///
    /// # Errors
    /// The first file that could not be written.
    pub fn mark(&self, sessions: &[SessionId]) -> std::io::Result<()> {
        if sessions.is_empty() {
            return Ok(());
        }
        tokio::task::block_in_place(|| {
            self.markers.sync(sessions, |s| self.look(|state| markers::wanted(state, s)))
        })
    }

    /// The markers.
    pub fn markers(&self) -> &Markers {
        &self.markers
    }

    /// Waits for a hold's end; one that has ended already is answered at once.
    pub fn wait_for(&self, hold: HoldId) -> oneshot::Receiver<Verdict> {
        let (tx, rx) = oneshot::channel();
        self.waiters().insert(hold, tx);
        let ended = self.look(|state| {
            state.holds.get(&hold).filter(|h| h.end.is_some()).map(|h: &Hold| released(state, h))
        });
        if let Some(verdict) = ended {
            self.deliver(hold, verdict);
        }
        rx
    }

    fn deliver(&self, hold: HoldId, verdict: Verdict) {
        if let Some(waiter) = self.waiters().remove(&hold) {
            // A client that went away meanwhile needs no answer.
            let _ = waiter.send(verdict);
        }
    }

    /// Whether a connection waits for that hold.
    pub fn is_waited_for(&self, hold: HoldId) -> bool {
        self.waiters().get(&hold).is_some_and(|w| !w.is_closed())
    }

    fn waiters(&self) -> MutexGuard<'_, HashMap<HoldId, oneshot::Sender<Verdict>>> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest acts of operators, as they stand in the audit.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn acts(&self, limit: u32) -> Result<Vec<OperatorRecord>, StoreError> {
        tokio::task::block_in_place(|| self.reader.lock().unwrap_or_else(PoisonError::into_inner).acts(limit))
    }

    /// The processes of the clients that are served.
    pub fn served_clients(&self) -> BTreeSet<u32> {
        self.served().into_keys().collect()
    }

    /// The sessions that are served, by their client's process; of several of one process the one met last.
    pub fn served(&self) -> BTreeMap<u32, SessionId> {
        let (now, now_ms) = (self.clock.now(), since_boot_ms());
        let sessions: Vec<_> = self.look(|state| {
            let lately = |s: &&Session| s.ended.is_none_or(|at| now.since(at) < ENDED_LATELY_MS);
            let known = state.sessions.values().filter(lately);
            known
                .filter_map(|s| Some((s.client_pid?, s.ended.is_some(), s.first_seen, s.id.clone())))
                .collect()
        });
        // A session's end is its client's word, or that of anything that speaks for it: while that very process lives, it
        // is one.
        let lives = |pid: u32, first_seen: Timestamp| {
            let started = process::started_ms(pid);
            started
                .is_some_and(|started| now_ms.saturating_sub(started) + A_MOMENT_MS >= now.since(first_seen))
        };
        let is_served = |(pid, ended, first_seen, _): &(u32, bool, Timestamp, SessionId)| {
            !ended || lives(*pid, *first_seen)
        };
        let mut served: Vec<_> = sessions.into_iter().filter(is_served).collect();
        served.sort_by_key(|(_, _, first_seen, _)| *first_seen);
        served.into_iter().map(|(pid, _, _, id)| (pid, id)).collect()
    }

    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }
}

struct Decided {
    reply: Reply,
    committed: Option<oneshot::Receiver<Result<(), Arc<StoreError>>>>,
    marks: Vec<SessionId>,
    released: Vec<(HoldId, Verdict)>,
    hold_began: bool,
}

impl Default for Decided {
    fn default() -> Self {
        Self {
            reply: Reply::None,
            committed: None,
            marks: Vec::new(),
            released: Vec::new(),
            hold_began: false,
        }
    }
}
