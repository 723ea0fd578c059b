//! The service manager that may have started this daemon: the socket that it keeps for us, and what it wants to hear.
//!
//! systemd binds the socket once and passes it to each daemon that it starts, so hooks that call between two of them
//! wait in its backlog. launchd passes nothing here; it only starts the daemon again. Without their variables nothing in
//! this file does anything.

use std::env;
use std::ffi::OsString;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use listenfd::ListenFd;
use tokio::task::AbortHandle;

use crate::host::Host;

/// The label of the launchd agent (`systemd/bursar.daemon.plist`).
const LAUNCHD_LABEL: &str = "bursar.daemon";

/// What a service manager tells its services, and theirs alone.
const VARIABLES: [&str; 6] =
    ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"];

/// A socket was passed that cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ManagerError {
    /// None, or several.
    #[error(
        "the service manager passed {0:?} sockets, and one is expected: see ListenStream= in bursar.socket"
    )]
    Count(String),
    /// It is of another kind.
    #[error("the socket that the service manager passed is no listening Unix stream socket: {0}")]
    Kind(std::io::Error),
    /// It stands elsewhere.
    #[error(
        "the service manager passed the socket {passed}, but hooks call {wanted}: set ListenStream= or BURSAR_SOCKET so that they agree (`make service` does)"
    )]
    Elsewhere {
        /// Where it stands.
        passed: PathBuf,
        /// Where it must stand.
        wanted: PathBuf,
    },
}

/// The manager of this process, as its variables describe it.
#[derive(Debug, Default)]
pub struct Manager {
    /// The socket that it keeps, already listening.
    pub socket: Option<UnixListener>,
    /// Whether it starts the daemon again when it ends.
    pub keeps_us: bool,
    notify: Option<OsString>,
    watchdog: Option<Duration>,
}

impl Manager {
    /// Reads the variables, and takes those of the passed socket out of the environment: call it before any thread
    /// starts. The socket must be the one at `path`.
    ///
    /// # Errors
    /// [`ManagerError`], which says what to set.
    pub fn of_this_process(path: &Path) -> Result<Self, ManagerError> {
        let socket = passed_socket(path)?;
        let is_launchds =
            cfg!(target_os = "macos") && var("XPC_SERVICE_NAME").as_deref() == Some(LAUNCHD_LABEL);
        Ok(Self {
            keeps_us: socket.is_some() || is_launchds,
            socket,
            notify: env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty()),
            watchdog: watchdog(var),
        })
    }

    /// Says something in the words of `sd_notify(3)`.
    pub fn tell(&self, what: &str) {
        let Some(path) = &self.notify else { return };
        let sent = UnixDatagram::unbound().and_then(|socket| {
            // A manager that hangs is no reason to hang too.
            socket.set_nonblocking(true)?;
            socket.send_to(what.as_bytes(), path)
        });
        if let Err(e) = sent {
            tracing::warn!(error = %e, "the service manager could not be told {what}");
        }
    }

    /// Tells the manager that decisions are still made, at half the interval that it asks for; for ever. A stuck lock, a
    /// stuck runtime and an end of accepting all silence it, and the manager starts the next daemon.
    pub async fn watch(self: Arc<Self>, host: Arc<Host>, accepting: AbortHandle) {
        let Some(interval) = self.watchdog else { return };
        while !accepting.is_finished() {
            host.look(|_| ());
            self.tell("WATCHDOG=1");
            tokio::time::sleep(interval / 2).await;
        }
    }
}

/// Sees that a child does not take itself for the service.
pub fn not_for_children(command: &mut Command) -> &mut Command {
    VARIABLES.iter().fold(command, |command, name| command.env_remove(name))
}

fn passed_socket(path: &Path) -> Result<Option<UnixListener>, ManagerError> {
    let Some(count) = var("LISTEN_FDS") else { return Ok(None) };
    let is_ours = is_this_process(var("LISTEN_PID").as_deref());
    if is_ours && count != "1" {
        return Err(ManagerError::Count(count));
    }
    // Also where it is meant for somebody else: this takes the variables out of the environment.
    let mut passed = ListenFd::from_env();
    if !is_ours {
        return Ok(None);
    }
    let socket = passed.take_unix_listener(0).map_err(ManagerError::Kind)?;
    let socket = socket.ok_or(ManagerError::Count(count))?;
    check(&socket, path)?;
    Ok(Some(socket))
}

fn check(socket: &UnixListener, wanted: &Path) -> Result<(), ManagerError> {
    // Apple's systems cannot tell.
    #[cfg(not(target_vendor = "apple"))]
    if !rustix::net::sockopt::socket_acceptconn(socket).map_err(|e| ManagerError::Kind(e.into()))? {
        return Err(ManagerError::Kind(std::io::Error::other("it does not listen")));
    }
    let address = socket.local_addr().map_err(ManagerError::Kind)?;
    let passed = address.as_pathname().unwrap_or(Path::new("without a path"));
    if passed == wanted || real(passed).is_some_and(|passed| Some(passed) == real(wanted)) {
        return Ok(());
    }
    Err(ManagerError::Elsewhere { passed: passed.to_owned(), wanted: wanted.to_owned() })
}

/// A path without links on its way.
fn real(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok()
}

fn watchdog(var: impl Fn(&str) -> Option<String>) -> Option<Duration> {
    let is_ours = var("WATCHDOG_PID").is_none_or(|pid| is_this_process(Some(&pid)));
    let micros = var("WATCHDOG_USEC")?.parse().ok()?;
    (is_ours && micros > 0).then(|| Duration::from_micros(micros))
}

fn is_this_process(pid: Option<&str>) -> bool {
    pid.and_then(|pid| pid.parse().ok()) == Some(std::process::id())
}

fn var(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{Manager, ManagerError, check, not_for_children, watchdog};
    use std::os::unix::net::{UnixDatagram, UnixListener};
    use std::process::Command;
    use std::time::Duration;

    #[test]
    fn a_passed_socket_must_be_the_one_that_hooks_call() -> std::io::Result<()> {
        let dir = tempfile::tempdir()?;
        let at = |name: &str| dir.path().join(name);
        let socket = UnixListener::bind(at("s"))?;
        std::os::unix::fs::symlink(dir.path(), at("link"))?;
        for same in ["s", "link/s"] {
            assert!(check(&socket, &at(same)).is_ok(), "{same}");
        }
        for other in ["t", "link/t", ""] {
            assert!(matches!(check(&socket, &at(other)), Err(ManagerError::Elsewhere { .. })), "{other}");
        }
        Ok(())
    }

    #[test]
    fn the_watchdog_is_for_the_process_that_it_names() {
        let me = std::process::id().to_string();
        let with = |pid: Option<&str>, micros: &str| {
            let (pid, micros) = (pid.map(str::to_owned), micros.to_owned());
            watchdog(move |name| if name == "WATCHDOG_PID" { pid.clone() } else { Some(micros.clone()) })
        };
        assert_eq!(with(Some(&me), "10000000"), Some(Duration::from_secs(10)));
        assert_eq!(with(None, "10000000"), Some(Duration::from_secs(10)));
        for (pid, micros) in
            [(Some("1"), "10000000"), (Some("me"), "1"), (None, "0"), (None, "-1"), (None, "soon")]
        {
            assert_eq!(with(pid, micros), None, "{pid:?} {micros}");
        }
    }

    #[test]
    fn what_it_is_told_arrives_and_nobody_listening_is_no_harm() -> std::io::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("notify");
        let manager = Manager { notify: Some(path.clone().into()), ..Manager::default() };
        manager.tell("READY=1");
        let socket = UnixDatagram::bind(path)?;
        manager.tell("READY=1");
        let mut heard = [0; 64];
        let length = socket.recv(&mut heard)?;
        assert_eq!(&heard[..length], b"READY=1");
        Manager::default().tell("READY=1");
        Ok(())
    }

    #[test]
    fn children_are_told_nothing() {
        let mut command = Command::new("true");
        let taken: Vec<_> = not_for_children(&mut command).get_envs().collect();
        assert!(taken.iter().any(|(name, value)| *name == "LISTEN_FDS" && value.is_none()));
        assert!(taken.iter().all(|(_, value)| value.is_none()));
    }
}
