//! The socket's listener: bound by the holder of the state folder's lock, private to this user.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use interprocess::ConnectWaitMode;
use interprocess::local_socket::tokio::Listener;
use interprocess::local_socket::tokio::prelude::*;
use interprocess::local_socket::{ConnectOptions, GenericFilePath, ListenerOptions};
use interprocess::os::unix::local_socket::ListenerOptionsExt as _;
use interprocess::os::unix::uds_local_socket;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::since_boot_ms;
use crate::ipc::connection;
use crate::peer::Peer;
use crate::serve::Service;

/// How long a listener with a full backlog is given to show that it is there.
const PROBE: Duration = Duration::from_millis(100);

/// A socket that cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody listens there already, and it is no daemon of this state folder.
    #[error(
        "another process listens on {0}: a service manager (`systemctl --user start bursar` starts its daemon) or the daemon of another state folder; or set BURSAR_SOCKET"
    )]
    Taken(PathBuf),
    /// Anything else.
    #[error("cannot listen on {path}: {source}")]
    Io {
        /// The socket.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
}

/// The socket's file, where this daemon made it.
#[derive(Debug)]
pub struct SocketFile(Option<(PathBuf, u64, u64)>);

impl SocketFile {
    /// Removes it, unless another one has taken its place or a service manager keeps it.
    pub fn remove(self) {
        if let Some((path, device, inode)) = self.0
            && fs::symlink_metadata(&path).is_ok_and(|file| (file.dev(), file.ino()) == (device, inode))
        {
            let _ = fs::remove_file(path);
        }
    }
}

/// Takes the socket that a service manager passed, else binds one: the caller holds the lock.
///
/// # Errors
/// [`ListenError`].
pub fn open(passed: Option<UnixListener>, path: &Path) -> Result<(Listener, SocketFile), ListenError> {
    let io = |source| ListenError::Io { path: path.to_owned(), source };
    let Some(passed) = passed else { return bind(path) };
    let listener = uds_local_socket::tokio::Listener::try_from(OwnedFd::from(passed)).map_err(io)?;
    Ok((listener.into(), SocketFile(None)))
}

/// Binds the socket, over a stale one of a daemon that died, never over one that somebody listens on.
fn bind(path: &Path) -> Result<(Listener, SocketFile), ListenError> {
    let io = |source| ListenError::Io { path: path.to_owned(), source };
    if is_listened_on(path) {
        return Err(ListenError::Taken(path.to_owned()));
    }
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(io(e)),
        _ => {}
    }
    let name = path.to_fs_name::<GenericFilePath>().map_err(io)?;
    let listener =
        ListenerOptions::new().name(name).reclaim_name(false).mode(0o600).create_tokio().map_err(io)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(io)?;
    let file = fs::symlink_metadata(path).map_err(io)?;
    Ok((listener, SocketFile(Some((path.to_owned(), file.dev(), file.ino())))))
}

/// Whether somebody listens on a socket. A service manager that does starts its daemon upon this.
pub fn is_listened_on(path: &Path) -> bool {
    let Ok(name) = path.to_fs_name::<GenericFilePath>() else { return false };
    let connected =
        ConnectOptions::new().name(name).wait_mode(ConnectWaitMode::Timeout(PROBE)).connect_sync();
    // Whose backlog is full is there too.
    connected
        .map_or_else(|e| matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut), |_| true)
}

/// Accepts until cancelled.
pub async fn serve(listener: Listener, service: Arc<Service>, tasks: TaskTracker, cancel: CancellationToken) {
    let uid = rustix::process::getuid().as_raw();
    loop {
        let accepted = tokio::select! {
            biased;
            // Who calls from now on is the next daemon's.
            () = cancel.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(stream) => {
                let creds = stream.peer_creds();
                let peer = Peer {
                    uid: creds
                        .as_ref()
                        .ok()
                        .and_then(interprocess::local_socket::PeerCreds::euid)
                        .unwrap_or(u32::MAX),
                    pid: creds.ok().and_then(|c| c.pid()).and_then(|p| u32::try_from(p).ok()),
                    accepted_ms: since_boot_ms(),
                };
                if peer.uid != uid {
                    tracing::warn!(uid = peer.uid, "a connection of another user was closed");
                    continue;
                }
                tasks.spawn(connection::serve(stream, peer, Arc::clone(&service), cancel.clone()));
            }
            Err(e) => {
                // Out of file descriptors, most likely: let some close.
                tracing::warn!(error = %e, "could not accept a connection");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}
