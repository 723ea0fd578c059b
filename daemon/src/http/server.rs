//! The loop that serves HTTP. Our own: axum's gives no access to hyper's header time-out, and hyper drops that without a
//! word where no timer is set.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, getrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a request's head may take, and how long a connection may wait for its next request.
pub const HEAD_WAIT: Duration = Duration::from_secs(5);

/// The most bytes of a head.
const MAX_HEAD_BYTES: usize = 32 * 1024;

/// The most connections at once; more wait in the backlog.
const MAX_CONNECTIONS: usize = 512;

/// How long to wait where no connection can be accepted: out of file descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Takes a port of loopback, and of nothing else.
///
/// # Errors
/// What the system says; `AddrInUse` where somebody has it.
pub fn bind(port: u16) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// As many connections as leave hooks most of what this process may open.
pub fn most_connections() -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(files / 4).unwrap_or(usize::MAX).clamp(4, MAX_CONNECTIONS)
}

/// Accepts until cancelled. Requests under way are answered.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    most: usize,
    tasks: TaskTracker,
    cancel: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(most));
    loop {
        let accepted = tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, place)) => {
                tasks.spawn(connection(stream, app.clone(), place, cancel.clone()));
            }
            Err(e) => {
                tracing::warn!(error = %e, "could not accept an HTTP connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// A connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

async fn connection(stream: TcpStream, app: Router, place: OwnedSemaphorePermit, cancel: CancellationToken) {
    let _place = place;
    // Answers are short: none waits for another's acknowledgement.
    let _ = stream.set_nodelay(true);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    let mut served = std::pin::pin!(served);
    let done = tokio::select! {
        done = served.as_mut() => done,
        () = cancel.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(e) = done {
        tracing::debug!(error = %e, "an HTTP connection was closed");
    }
}
