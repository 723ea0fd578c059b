//! The socket's listener: bound by the holder of the state folder's lock, private to this user.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use interprocess::local_socket::tokio::Listener;
use interprocess::local_socket::tokio::prelude::*;
use interprocess::local_socket::{GenericFilePath, ListenerOptions};
use interprocess::os::unix::local_socket::ListenerOptionsExt as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::ipc::connection;
use crate::peer::Peer;
use crate::serve::Service;

/// A socket that cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {path}: {source}")]
pub struct ListenError {
    /// The socket.
    path: PathBuf,
    /// What happened.
    source: io::Error,
}

/// Binds the socket, over a stale one of a daemon that died: the caller holds the lock.
///
/// # Errors
/// [`ListenError`].
pub fn bind(path: &Path) -> Result<Listener, ListenError> {
    let io = |source| ListenError { path: path.to_owned(), source };
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(io(e)),
        _ => {}
    }
    let name = path.to_fs_name::<GenericFilePath>().map_err(io)?;
    let listener =
        ListenerOptions::new().name(name).reclaim_name(false).mode(0o600).create_tokio().map_err(io)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(io)?;
    Ok(listener)
}

/// Accepts until cancelled.
pub async fn serve(listener: Listener, service: Arc<Service>, tasks: TaskTracker, cancel: CancellationToken) {
    let uid = rustix::process::getuid().as_raw();
    loop {
        let accepted = tokio::select! {
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
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        }
    }
}
