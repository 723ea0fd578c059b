//! Starting the daemon in the background, over an older one if asked, and saying when it serves.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bursar_protocol::paths::Paths;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};

use crate::folder::{FolderError, private_folder};
use crate::ipc::listener::is_listened_on;
use crate::manager::not_for_children;

/// How long an old daemon may take to end, and a new one to serve.
const PATIENCE: Duration = Duration::from_secs(20);

/// The second line of the `ready` file, where a service manager starts the daemon again whenever it ends.
pub(crate) const KEPT: &str = "kept by a service manager\n";

/// How often a service manager's socket is called while its daemon is waited for.
const WAKE_EVERY: Duration = Duration::from_secs(1);

/// Why no daemon serves in the background.
#[derive(Debug, thiserror::Error)]
pub enum DetachError {
    /// One does already.
    #[error("a daemon (process {0}) already serves here; --replace puts this one in its place")]
    AlreadyServes(u32),
    /// The old one does not end.
    #[error("the daemon that serves here (process {0}) does not end; stop it, then start this one")]
    DoesNotEnd(u32),
    /// The new one ended, or did not serve in time.
    #[error("the daemon did not start; its last words are in {log}:\n{tail}")]
    DidNotStart {
        /// Its log.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// A service manager's did not come (back).
    #[error(
        "a service manager has the socket {socket} and its daemon does not serve: `systemctl --user status bursar` says why"
    )]
    NotKept {
        /// The socket.
        socket: PathBuf,
    },
    /// A folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Anything else.
    #[error("cannot start the daemon in the background: {0}")]
    Io(#[from] std::io::Error),
}

/// A daemon in the background.
#[derive(Debug)]
pub struct Detached {
    /// Its process.
    pub pid: u32,
    /// Where it writes what it has to say; with a service manager, that knows.
    pub log: Option<PathBuf>,
    /// The process that it replaced.
    pub replaced: Option<u32>,
}

/// Starts this very program as a daemon in the background, and returns once it serves. Where a service manager has the
/// socket, its daemon is started (again) instead: two would take turns for ever.
///
/// # Errors
/// [`DetachError`], which says what to do.
pub fn detach(paths: &Paths, replace: bool) -> Result<Detached, DetachError> {
    private_folder(&paths.state)?;
    let old = serving(paths);
    match old {
        Some(old) if !replace => return Err(DetachError::AlreadyServes(old.pid)),
        Some(old) if old.is_kept => {
            terminate(old.pid);
            return wait_for_the_kept(paths, Some(old.pid));
        }
        Some(old) => end(paths, old.pid)?,
        None if is_listened_on(&paths.socket) => return wait_for_the_kept(paths, None),
        None => {}
    }
    let replaced = old.map(|old| old.pid);
    let log = paths.state.join("daemon.log");
    let out = OpenOptions::new().create(true).append(true).mode(0o600).open(&log)?;
    let child = not_for_children(&mut Command::new(std::env::current_exe()?))
        .arg("daemon")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(out)
        // A group of its own: what ends the terminal's job does not end the daemon.
        .process_group(0)
        .spawn()?;
    let pid = child.id();
    if wait_until_it_serves(paths, child) {
        return Ok(Detached { pid, log: Some(log), replaced });
    }
    let text = fs::read_to_string(&log).unwrap_or_default();
    let mut tail: Vec<&str> = text.lines().rev().take(5).collect();
    tail.reverse();
    Err(DetachError::DidNotStart { tail: tail.join("\n"), log })
}

/// Ends the daemon that serves here, if one does: the caller is the service manager's.
///
/// # Errors
/// [`DetachError::DoesNotEnd`].
pub(crate) fn make_way(paths: &Paths) -> Result<(), DetachError> {
    let Some(old) = serving(paths) else { return Ok(()) };
    tracing::info!(pid = old.pid, "the daemon that serves here makes way for the service manager's");
    end(paths, old.pid)
}

/// A daemon that serves.
#[derive(Debug, Clone, Copy)]
struct Serving {
    pid: u32,
    is_kept: bool,
}

/// The daemon that serves here, if one does: it holds the lock, and its `ready` file names it. Without the lock the
/// file is a dead daemon's, and its number may be anybody's by now.
fn serving(paths: &Paths) -> Option<Serving> {
    if is_locked(paths) { ready(paths) } else { None }
}

fn is_locked(paths: &Paths) -> bool {
    let lock = OpenOptions::new().write(true).open(paths.lock());
    lock.is_ok_and(|lock| {
        flock(&lock, FlockOperation::NonBlockingLockExclusive) == Err(rustix::io::Errno::WOULDBLOCK)
    })
}

/// The process that says that it serves.
fn ready(paths: &Paths) -> Option<Serving> {
    let text = fs::read_to_string(paths.ready()).ok()?;
    let (pid, rest) = text.split_once('\n')?;
    let pid: i32 = pid.parse().ok()?;
    Some(Serving { pid: u32::try_from(pid).ok().filter(|pid| *pid > 0)?, is_kept: rest == KEPT })
}

/// Asks a process to end; it may have by itself meanwhile.
fn terminate(pid: u32) {
    if let Some(process) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(process, Signal::TERM);
    }
}

fn end(paths: &Paths, pid: u32) -> Result<(), DetachError> {
    terminate(pid);
    let until = Instant::now() + PATIENCE;
    // Its lock tells, not its number: where nobody reaps it, that stays.
    while is_locked(paths) {
        if Instant::now() > until {
            return Err(DetachError::DoesNotEnd(pid));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Waits for the daemon that a service manager starts, in place of an older one.
fn wait_for_the_kept(paths: &Paths, replaced: Option<u32>) -> Result<Detached, DetachError> {
    let until = Instant::now() + PATIENCE;
    let mut woken = Instant::now();
    while Instant::now() < until {
        if let Some(now) = serving(paths).filter(|now| Some(now.pid) != replaced) {
            return Ok(Detached { pid: now.pid, log: None, replaced });
        }
        // A manager that does not start it again by itself does so when it is called for.
        if woken.elapsed() > WAKE_EVERY {
            is_listened_on(&paths.socket);
            woken = Instant::now();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    match replaced.filter(|old| serving(paths).is_some_and(|now| now.pid == *old)) {
        Some(old) => Err(DetachError::DoesNotEnd(old)),
        None => Err(DetachError::NotKept { socket: paths.socket.clone() }),
    }
}

fn wait_until_it_serves(paths: &Paths, mut child: Child) -> bool {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if ready(paths).is_some_and(|now| now.pid == child.id()) {
            return true;
        }
        if !matches!(child.try_wait(), Ok(None)) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}
