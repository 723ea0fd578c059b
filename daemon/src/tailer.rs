//! Keeps the ledger up with the transcripts: reads after hooks, waits on a batch for its own message, and sweeps what
//! is live.

use std::collections::{HashMap, VecDeque};
use std::num::NonZero;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bursar_engine::State;
use bursar_engine::command::Usage;
use bursar_engine::ids::{AgentKey, SessionId};
use bursar_engine::session::Session;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::host::Host;
use crate::transcript::{self, ReadError};

/// How often a file is looked at while a batch waits for its message.
const POLL: Duration = Duration::from_millis(5);

/// How long a batch waits at most (HOOK 4).
const BATCH_WAIT: Duration = Duration::from_millis(400);

/// How long a session is read closely after a hook: the client buffers its transcript for about 100 ms.
const CLOSE_READING: Duration = Duration::from_millis(2_500);

/// The steps of close reading.
const CLOSE_STEP: Duration = Duration::from_millis(150);

/// Every so many close steps, all live sessions are read.
const STEPS_PER_SWEEP: u32 = 20;

/// How long after its last hook a session is still swept, in milliseconds.
const SWEEP_AFTER_LAST_HOOK_MS: u64 = 3_600_000;

/// Tool calls remembered for each file.
const REMEMBERED_CALLS: usize = 512;

/// How many steps of reading one file takes at once, 16 MiB each: others wait meanwhile. The rest comes with the next.
const STEPS_AT_ONCE: u32 = 32;

/// How many files are read at a time at the start: more take memory, and little time off.
const READERS_AT_START: usize = 4;

/// Files whose calls are remembered.
const REMEMBERED_FILES: usize = 4_096;

/// What the tailer knows of one file beyond the state's progress.
#[derive(Debug, Default)]
struct Tail {
    calls: VecDeque<String>,
    looked_back: bool,
}

/// The reader of transcripts.
#[derive(Debug)]
pub struct Tailer {
    host: Arc<Host>,
    tails: Mutex<HashMap<PathBuf, Arc<tokio::sync::Mutex<Tail>>>>,
    close: Mutex<HashMap<SessionId, Instant>>,
}

impl Tailer {
    /// A tailer for a host.
    pub fn new(host: Arc<Host>) -> Self {
        Self { host, tails: Mutex::new(HashMap::new()), close: Mutex::new(HashMap::new()) }
    }

    /// A hook fired: lines will follow.
    pub fn expect(&self, session: &SessionId) {
        let until = Instant::now() + CLOSE_READING;
        self.close.lock().unwrap_or_else(PoisonError::into_inner).insert(session.clone(), until);
    }

    /// Reads what is new of a session: its transcript and its subagents'.
    pub async fn read_session(&self, session: &SessionId, transcript: &Path) {
        self.read_quietly(session, &AgentKey::Main, transcript).await;
        for (agent, path) in transcript::subagent_files(transcript) {
            self.read_quietly(session, &agent, &path).await;
        }
    }

    /// Reads a session's files as far as they are written; whether its transcript could be.
    pub async fn read_whole(&self, session: &SessionId, transcript: &Path) -> bool {
        self.read_session(session, transcript).await;
        let tail = self.tail(transcript);
        let mut tail = tail.lock().await;
        loop {
            match self.read(&mut tail, session, &AgentKey::Main, transcript).await {
                Ok(true) => {}
                Ok(false) | Err(ReadError::Missing { .. }) => return true,
                Err(_) => return false,
            }
        }
    }

    async fn read_quietly(&self, session: &SessionId, agent: &AgentKey, path: &Path) {
        let tail = self.tail(path);
        let mut tail = tail.lock().await;
        if let Err(e) = self.read(&mut tail, session, agent, path).await {
            tracing::debug!(?path, error = ?e.to_string(), "transcript not read");
        }
    }

    /// Reads until every call of a batch stands in its agent's file, if the limit is near: the client writes through
    /// a buffer, and the next request waits for this answer. Far from it, reads once.
    pub async fn await_batch(&self, session: &SessionId, agent: &AgentKey, path: &Path, calls: &[String]) {
        let tail = self.tail(path);
        let deadline = Instant::now() + BATCH_WAIT;
        loop {
            // Held for one reading only: other hooks of the session read the file too.
            let mut reading = tail.lock().await;
            match self.read(&mut reading, session, agent, path).await {
                // A missing file may be about to be made; anything else will not mend itself in time.
                Ok(_) | Err(ReadError::Missing { .. }) => {}
                Err(e) => {
                    tracing::warn!(?path, error = ?e.to_string(), "transcript not readable");
                    return;
                }
            }
            let all_there = calls.iter().all(|id| reading.calls.contains(id));
            drop(reading);
            if all_there || !self.host.is_near(session, agent) {
                return;
            }
            if Instant::now() + POLL > deadline {
                Host::add(&self.host.counters.transcript_late, 1);
                return;
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Whether one of these calls' messages stands in an agent's file, with its usage.
    pub async fn has_any(
        &self,
        session: &SessionId,
        agent: &AgentKey,
        path: &Path,
        calls: &[String],
    ) -> bool {
        let tail = self.tail(path);
        let mut tail = tail.lock().await;
        let read = self.read(&mut tail, session, agent, path).await;
        // What cannot be read at all says nothing of its client.
        read.is_err() || calls.iter().any(|id| tail.calls.contains(id))
    }

    fn tail(&self, path: &Path) -> Arc<tokio::sync::Mutex<Tail>> {
        let mut tails = self.tails.lock().unwrap_or_else(PoisonError::into_inner);
        if tails.len() >= REMEMBERED_FILES && !tails.contains_key(path) {
            // What is not being read now is looked up again when it is.
            tails.retain(|_, tail| Arc::strong_count(tail) > 1);
        }
        if let Some(tail) = tails.get(path) {
            return Arc::clone(tail);
        }
        Arc::clone(tails.entry(path.to_owned()).or_default())
    }

    /// Reads some steps on; whether there may be more.
    async fn read(
        &self,
        tail: &mut Tail,
        session: &SessionId,
        agent: &AgentKey,
        path: &Path,
    ) -> Result<bool, ReadError> {
        for _ in 0..STEPS_AT_ONCE {
            let progress = self.host.progress(&path.to_string_lossy());
            if let Some(progress) = progress.as_ref().filter(|_| !tail.looked_back) {
                let before = transcript::recent_tool_use_ids(path, session, agent, progress.offset);
                tail.remember(before.unwrap_or_default());
            }
            tail.looked_back = true;
            let (prices, now) = (self.host.prices(), self.host.clock().now());
            let read = tokio::task::block_in_place(|| {
                transcript::read_new(path, session, agent, progress.as_ref(), &prices, now)
            })?;
            let Some(read) = read else { return Ok(false) };
            tail.remember(read.tool_use_ids);
            let more = read.more;
            let usage =
                Usage { file: Some(read.progress), rows: read.rows, known: Vec::new(), claim: read.claim };
            if let Err(e) = self.host.count(usage).await {
                // Counted in memory; the writer tries again, and says so in the status.
                tracing::error!(error = %e, "usage not safe yet");
            }
            if !more {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads closely after hooks and sweeps what is live, until the daemon ends.
    pub async fn run(self: Arc<Self>) {
        let mut step = 0;
        loop {
            tokio::time::sleep(CLOSE_STEP).await;
            step += 1;
            let sessions = if step % STEPS_PER_SWEEP == 0 { self.swept() } else { self.closely_read() };
            for (session, transcript) in sessions {
                self.read_session(&session, &transcript).await;
            }
        }
    }

    fn closely_read(&self) -> Vec<(SessionId, PathBuf)> {
        let now = Instant::now();
        let mut close = self.close.lock().unwrap_or_else(PoisonError::into_inner);
        close.retain(|_, until| *until > now);
        let ids: Vec<SessionId> = close.keys().cloned().collect();
        drop(close);
        self.host.look(|state| {
            let path = |id: &SessionId| state.sessions.get(id)?.transcript.clone();
            ids.into_iter().filter_map(|id| path(&id).map(|p| (id, PathBuf::from(p)))).collect()
        })
    }

    /// The sessions that may still write: those lately hooked and not ended.
    pub fn swept(&self) -> Vec<(SessionId, PathBuf)> {
        let now = self.host.clock().now();
        self.host.look(|state| {
            let live = state.sessions.values().filter(|s| {
                s.ended.is_none_or(|at| now.since(at) < 10_000)
                    && now.since(s.last_seen) < SWEEP_AFTER_LAST_HOOK_MS
            });
            live.filter_map(|s| Some((s.id.clone(), PathBuf::from(s.transcript.as_ref()?)))).collect()
        })
    }

    /// At start-up: every known session is read before anybody is served. Those that ended too, if their transcript is
    /// not as it was left: they may have been resumed while no daemon served.
    pub async fn catch_up(self: &Arc<Self>) {
        let all: Vec<(SessionId, PathBuf)> = self.host.look(|state| {
            let transcript = |s: &Session| Some((s.id.clone(), PathBuf::from(s.transcript.as_ref()?)));
            let is_open = |s: &&Session| s.ended.is_none() || has_changed(state, s);
            state.sessions.values().filter(is_open).filter_map(transcript).collect()
        });
        // Parsing takes the time, and nobody waits for a core yet; in which order files are read makes no difference.
        let readers = std::thread::available_parallelism().map_or(1, NonZero::get).min(READERS_AT_START);
        let all = Arc::new(Mutex::new(all.into_iter()));
        let mut reading = JoinSet::new();
        for _ in 0..readers {
            let (tailer, all) = (Arc::clone(self), Arc::clone(&all));
            reading.spawn(async move {
                let next = || all.lock().unwrap_or_else(PoisonError::into_inner).next();
                while let Some((session, transcript)) = next() {
                    tailer.read_session(&session, &transcript).await;
                }
            });
        }
        reading.join_all().await;
    }
}

/// Whether an ended session's transcript is another or longer than it was left. Nobody is served yet, so that the state
/// may wait for the disk.
fn has_changed(state: &State, session: &Session) -> bool {
    let Some(path) = &session.transcript else { return false };
    let Ok(now) = std::fs::metadata(path) else { return false };
    state.files.get(path).is_none_or(|left| (left.offset, left.inode) != (now.len(), now.ino()))
}

impl Tail {
    fn remember(&mut self, ids: Vec<String>) {
        self.calls.extend(ids);
        while self.calls.len() > REMEMBERED_CALLS {
            self.calls.pop_front();
        }
    }
}
