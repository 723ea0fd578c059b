//! The daemon's life: lock, load, catch up, serve, end. What it builds, in order, is what it takes down in reverse.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bursar_engine::command::Command;
use bursar_engine::ids::HoldId;
use bursar_engine::time::Timestamp;
use bursar_protocol::paths::Paths;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bus::Bus;
use crate::canary::{self, Canary};
use crate::clock::Clock;
use crate::config::{Config, InForce};
use crate::detach::{self, DetachError};
use crate::folder::{FolderError, private_folder};
use crate::guard::Guard;
use crate::host::Host;
use crate::http::Http;
use crate::ipc::listener::{self, ListenError};
use crate::manager::{Manager, ManagerError};
use crate::markers::{self, Markers};
use crate::past::Past;
use crate::serve::{QUERIES_AT_ONCE, Service, VerdictLog};
use crate::spool;
use crate::statuses::Statuses;
use crate::store::{Store, StoreError, Writer};
use crate::tailer::Tailer;
use crate::telemetry::Telemetry;
use crate::{discovery, guardrails, handover, journal, keeper};

/// How long held hooks may take to come back after a restart: the client tries for 30 s.
const HOLDS_COME_BACK: Duration = Duration::from_secs(35);

/// How often the spool is looked at.
const SPOOL_EVERY: Duration = Duration::from_secs(30);

/// How long open connections may take to end.
const DRAIN: Duration = Duration::from_secs(2);

/// How often the lock is tried before another daemon is taken to hold it, and the pause between.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Why the daemon did not start, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Another daemon has this state folder.
    #[error("a daemon already serves {state}; `bursar status` shows it")]
    AlreadyRunning {
        /// The state folder.
        state: PathBuf,
    },
    /// A folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The socket.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The service manager.
    #[error(transparent)]
    Manager(#[from] ManagerError),
    /// A daemon that was to make way for the service manager's.
    #[error(transparent)]
    MakesNoWay(#[from] DetachError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Anything else about files.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What happened.
        source: std::io::Error,
    },
}

impl AppError {
    /// The exit code: 75 (try again later) for a daemon that is there already, 78 (configuration) for folders, else 70.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::AlreadyRunning { .. } | Self::Listen(ListenError::Taken(_)) => 75,
            Self::Folder(FolderError::NotPrivate { .. }) | Self::Manager(_) => 78,
            Self::Folder(FolderError::Io { .. })
            | Self::Listen(ListenError::Io { .. })
            | Self::MakesNoWay(_)
            | Self::Store(_)
            | Self::Io { .. } => 70,
        }
    }
}

fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> AppError {
    let what = what.into();
    move |source| AppError::Io { what, source }
}

/// Runs the daemon until it is told to end.
///
/// # Errors
/// [`AppError`], which says what to do.
pub fn run(paths: Paths, config: Config) -> Result<(), AppError> {
    // Before there is a second thread: it changes the environment.
    let manager = Manager::of_this_process(&paths.socket)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(io("cannot start the runtime"))?;
    runtime.block_on(serve(paths, config, manager))
}

/// Each connection takes a descriptor: as many as this process may have.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(e) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(error = %e, "the limit of open files stays as it is");
    }
}

/// What is in memory, a passphrase for an instant, is not for a file.
fn leave_no_core() {
    if let Err(e) = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }) {
        tracing::warn!(error = %e, "a crash may leave a core file");
    }
}

async fn serve(paths: Paths, config: Config, mut manager: Manager) -> Result<(), AppError> {
    raise_descriptor_limit();
    leave_no_core();
    for folder in [paths.state.clone(), paths.paused(), paths.spool()] {
        private_folder(&folder)?;
    }
    if let Some(run) = paths.socket.parent() {
        private_folder(run)?;
    }
    if manager.keeps_us {
        detach::make_way(&paths)?;
    }
    let _lock = lock(&paths)?;
    // A dead daemon's file would promise answers within the shorter deadline.
    let _ = fs::remove_file(paths.ready());
    let store = Store::open(&paths.database())?;
    let reader = store.reader()?;
    let kept = store.settings()?;
    let in_force = InForce::new(config, kept.as_ref());
    let retention_days = in_force.config.retention_days;
    let state = store.load(in_force.config.policy.clone())?;
    let high_water = state.sessions.values().map(|s| s.last_seen).max().unwrap_or(Timestamp(0));
    let resumable: Vec<HoldId> = state.waiting().map(|h| h.id).collect();
    let markers = Markers::new(paths.state.clone());
    let standing: Vec<_> = state.sessions.keys().map(|s| (s.clone(), markers::wanted(&state, s))).collect();
    markers.restore(&standing).map_err(io("cannot restore the markers of paused sessions"))?;
    let bus = Bus::default();
    let journal = bus.subscribe();
    let view = in_force.config.guardrails_view.clone().map(|folder| (bus.subscribe(), folder));
    let writer = Writer::spawn(store, bus);
    let clock = Clock::start(high_water);
    let host = Arc::new(Host::new(state, in_force.config.prices.clone(), clock, writer, reader, markers));
    record_settings(&host, &in_force, kept.as_ref()).await;
    handover::take(&host, &paths.state).await;
    // What is not enforced any more holds nobody.
    host.tell(&Command::Tick).await;
    let tailer = Arc::new(Tailer::new(Arc::clone(&host)));
    tailer.catch_up().await;

    let cancel = CancellationToken::new();
    let tasks = TaskTracker::new();
    let telemetry = Arc::new(Telemetry::counted_by(Arc::clone(&host)));
    let http = Http::open(in_force.config.port, &paths.state, Arc::clone(&telemetry), clock);
    let service = Arc::new(Service {
        host: Arc::clone(&host),
        tailer: Arc::clone(&tailer),
        paths: paths.clone(),
        settings: Mutex::new(in_force),
        guard: Guard::default(),
        queries: tokio::sync::Semaphore::new(QUERIES_AT_ONCE),
        since: clock.now().to_string(),
        verdicts: VerdictLog::default(),
        telemetry: Arc::clone(&telemetry),
        canary: Canary::default(),
        past: Past::default(),
        statuses: Statuses::default(),
        http: http.standing(),
    });
    let (bound, socket_file) = listener::open(manager.socket.take(), &paths.socket)?;
    // From then on somebody may want to end it.
    let mut the_end = TheEnd::listen().map_err(io("cannot listen for signals"))?;
    let ready = Ready::write(paths.ready(), manager.keeps_us).map_err(io("cannot write the ready file"))?;
    tracing::info!(socket = %paths.socket.display(), "serving");
    let accepting = tokio::spawn(listener::serve(bound, Arc::clone(&service), tasks.clone(), cancel.clone()));
    let http = tokio::spawn(http.run(tasks.clone(), cancel.clone()));
    let finding = discovery::run(Arc::clone(&host), Arc::clone(&tailer), clients_home(), paths.hook_client());
    let finding = tokio::spawn(finding);
    let sweeping = tokio::spawn(tailer.run());
    let ticking = tokio::spawn(tick(Arc::clone(&host)));
    let spooling = tokio::spawn(take_spool(Arc::clone(&host), paths.spool()));
    tokio::spawn(journal::run(journal, Arc::clone(&service)));
    tokio::spawn(canary::run(Arc::clone(&service)));
    if let Some((feed, folder)) = view {
        tokio::spawn(guardrails::run(feed, Arc::clone(&host), folder));
    }
    let tidying = tokio::spawn(keeper::tidy(Arc::clone(&host), paths.database(), retention_days));
    let watching = tokio::spawn(keeper::watch_clients(Arc::clone(&host)));
    tokio::spawn(give_up_holds(Arc::clone(&host), resumable));
    let manager = Arc::new(manager);
    manager.tell("READY=1");
    tokio::spawn(Arc::clone(&manager).watch(Arc::clone(&host), accepting.abort_handle()));

    the_end.wait().await;
    tracing::info!("ending");
    manager.tell("STOPPING=1");
    drop(ready);
    telemetry.end();
    cancel.cancel();
    for task in [accepting, http, finding, sweeping, ticking, spooling, tidying, watching] {
        task.abort();
    }
    tasks.close();
    // Whoever is still talking has had its time; held hooks come back to the next daemon.
    let _ = tokio::time::timeout(DRAIN, tasks.wait()).await;
    // The socket's file goes only while nobody else can have bound it: the lock is still held.
    socket_file.remove();
    tokio::task::block_in_place(|| host.writer().close());
    Ok(())
}

/// Where the clients of this user keep what is theirs.
fn clients_home() -> Option<PathBuf> {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    named("CLAUDE_CONFIG_DIR").or_else(|| Some(named("HOME")?.join(".claude")))
}

/// What the daemon serves with is what it is held to at its next start.
async fn record_settings(host: &Host, in_force: &InForce, kept: Option<&BTreeMap<String, String>>) {
    for setting in in_force.pending() {
        let asked = setting.pending.map(|p| p.value).unwrap_or_default();
        tracing::warn!(
            setting = setting.name,
            in_force = setting.value,
            asked,
            "the stricter value of the last run is kept; `bursar config accept` takes the other"
        );
    }
    let settings = in_force.values();
    if kept != Some(&settings) {
        let policy = Box::new(in_force.config.policy.clone());
        host.tell(&Command::Configured { policy, settings }).await;
    }
}

fn lock(paths: &Paths) -> Result<File, AppError> {
    let path = paths.lock();
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(io(format!("cannot open {}", path.display())))?;
    for _ in 0..LOCK_TRIES {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            // Somebody who only looks whether a daemon serves holds it for an instant.
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(LOCK_PAUSE),
            Err(e) => {
                return Err(AppError::Io {
                    what: format!("cannot lock {}", path.display()),
                    source: e.into(),
                });
            }
        }
    }
    Err(AppError::AlreadyRunning { state: paths.state.clone() })
}

/// The file that says that a daemon serves; it goes with it.
#[derive(Debug)]
struct Ready(PathBuf);

impl Ready {
    fn write(path: PathBuf, kept: bool) -> std::io::Result<Self> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        let kept = if kept { detach::KEPT } else { "" };
        // In one piece: who reads it must not find half of it.
        file.write_all(format!("{}\n{kept}", std::process::id()).as_bytes())?;
        Ok(Self(path))
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// The signals that end the daemon.
struct TheEnd([Signal; 3]);

impl TheEnd {
    fn listen() -> std::io::Result<Self> {
        let [terminate, interrupt, hangup] =
            [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
        Ok(Self([terminate?, interrupt?, hangup?]))
    }

    async fn wait(&mut self) {
        let [terminate, interrupt, hangup] = &mut self.0;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// Ends holds whose time is over, at their time.
async fn tick(host: Arc<Host>) {
    loop {
        let now = host.clock().now();
        let next = host.look(bursar_engine::State::next_deadline);
        // A suspended machine's timers stop with it, so no sleep is longer than a second.
        let wait = next.map_or(1_000, |at| at.since(now).min(1_000));
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(wait)) => {}
            () = host.deadlines.notified() => continue,
        }
        if host.look(|s| s.next_deadline().is_some_and(|at| at <= host.clock().now())) {
            host.tell(&Command::Tick).await;
        }
    }
}

/// Holds of before the restart whose hooks did not come back are given up.
async fn give_up_holds(host: Arc<Host>, holds: Vec<HoldId>) {
    tokio::time::sleep(HOLDS_COME_BACK).await;
    for hold in holds.into_iter().filter(|h| !host.is_waited_for(*h)) {
        host.tell(&Command::HoldLost(hold)).await;
    }
}

async fn take_spool(host: Arc<Host>, folder: PathBuf) {
    loop {
        match tokio::task::block_in_place(|| spool::take(&folder)) {
            Ok(taken) => host.counters.failed_open.store(taken.failed_open, Ordering::Relaxed),
            Err(e) => tracing::warn!(error = %e, "the spool could not be read"),
        }
        tokio::time::sleep(SPOOL_EVERY).await;
    }
}
