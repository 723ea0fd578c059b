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

/// How long an old daemon may take to end, and a new one to serve.
const PATIENCE: Duration = Duration::from_secs(20);

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
    /// Where it writes what it has to say.
    pub log: PathBuf,
    /// The process that it replaced.
    pub replaced: Option<u32>,
}

/// Starts this very program as a daemon in the background, and returns once it serves.
///
/// # Errors
/// [`DetachError`], which says what to do.
pub fn detach(paths: &Paths, replace: bool) -> Result<Detached, DetachError> {
    private_folder(&paths.state)?;
    let replaced = serving(paths);
    match replaced {
        Some(pid) if !replace => return Err(DetachError::AlreadyServes(pid)),
        Some(pid) => end(paths, pid)?,
        None => {}
    }
    let log = paths.state.join("daemon.log");
    let out = OpenOptions::new().create(true).append(true).mode(0o600).open(&log)?;
    let child = Command::new(std::env::current_exe()?)
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
        return Ok(Detached { pid, log, replaced });
    }
    let text = fs::read_to_string(&log).unwrap_or_default();
    let mut tail: Vec<&str> = text.lines().rev().take(5).collect();
    tail.reverse();
    Err(DetachError::DidNotStart { tail: tail.join("\n"), log })
}

/// The daemon that serves here, if one does: it holds the lock, and its `ready` file names it. Without the lock the
/// file is a dead daemon's, and its number may be anybody's by now.
fn serving(paths: &Paths) -> Option<u32> {
    if !is_locked(paths) {
        return None;
    }
    u32::try_from(ready(paths)?.as_raw_nonzero().get()).ok()
}

fn is_locked(paths: &Paths) -> bool {
    let lock = OpenOptions::new().write(true).open(paths.lock());
    lock.is_ok_and(|lock| {
        flock(&lock, FlockOperation::NonBlockingLockExclusive) == Err(rustix::io::Errno::WOULDBLOCK)
    })
}

/// The process that says that it serves.
fn ready(paths: &Paths) -> Option<Pid> {
    fs::read_to_string(paths.ready()).ok()?.trim().parse().ok().and_then(Pid::from_raw)
}

fn end(paths: &Paths, pid: u32) -> Result<(), DetachError> {
    let Some(process) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
    // It may have ended by itself meanwhile.
    let _ = kill_process(process, Signal::TERM);
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

fn wait_until_it_serves(paths: &Paths, mut child: Child) -> bool {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if ready(paths) == Pid::from_child(&child).into() {
            return true;
        }
        if !matches!(child.try_wait(), Ok(None)) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}
