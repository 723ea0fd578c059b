//! The socket's listener: bound by the holder of the state folder's lock, private to this user.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
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
pub enum ListenError {
    /// A folder is not ours alone.
    #[error(
        "{path} must be a folder of this user that is closed to others: `chmod 700` it, or choose another one"
    )]
    NotPrivate {
        /// The folder.
        path: PathBuf,
    },
    /// Anything else.
    #[error("cannot listen on {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
}

/// Makes a folder with mode 0700 whatever the umask, or checks that an existing one is ours alone.
///
/// # Errors
/// [`ListenError`].
pub fn private_folder(path: &Path) -> Result<(), ListenError> {
    let io = |source| ListenError::Io { path: path.to_owned(), source };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(io)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(io),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            let meta = fs::symlink_metadata(path).map_err(io)?;
            let ours = meta.is_dir() && meta.uid() == rustix::process::getuid().as_raw();
            let closed_to_others = meta.mode().trailing_zeros() >= 6;
            if ours && closed_to_others {
                return Ok(());
            }
            // Made for us a moment ago, under a usual umask: nothing in it can have been seen.
            if ours && fs::read_dir(path).map_err(io)?.next().is_none() {
                return fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(io);
            }
            Err(ListenError::NotPrivate { path: path.to_owned() })
        }
        Err(e) => Err(io(e)),
    }
}

/// Binds the socket, over a stale one of a daemon that died: the caller holds the lock.
///
/// # Errors
/// [`ListenError`].
pub fn bind(path: &Path) -> Result<Listener, ListenError> {
    let io = |source| ListenError::Io { path: path.to_owned(), source };
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
