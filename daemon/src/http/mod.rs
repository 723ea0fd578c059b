//! HTTP on loopback. Every route stands behind [`Gate`]; what a caller may do there is each route's own matter.

mod body;
mod gate;
mod otlp;
pub mod server;
pub mod token;

use std::fmt;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::telemetry::Telemetry;
use token::{Token, TokenError};

pub use body::{BODY_WAIT, MAX_BODY_BYTES, MAX_UNPACKED_BYTES};
pub use gate::{Gate, NotHere};
pub use otlp::Ingest;

/// How often a port that somebody has is tried again.
const TRY_EVERY: Duration = Duration::from_secs(30);

/// A request that is not done: `{error, message, details}`.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    error: &'static str,
    message: String,
    details: Value,
}

impl Refusal {
    /// A refusal: its status, a word for programs, a sentence for people.
    pub fn new(status: u16, error: &'static str, message: &str) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, error, message: message.to_owned(), details: json!({}) }
    }

    /// "Not now, send it again."
    pub fn again(why: &str) -> Self {
        Self::new(503, "unavailable", &format!("{why}: send it again"))
    }

    /// The same with its context.
    #[must_use]
    pub fn with(mut self, details: Value) -> Self {
        self.details = details;
        self
    }

    fn status(&self) -> u16 {
        self.status.as_u16()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.error, "message": self.message, "details": self.details });
        let mut response =
            (self.status, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, 1.into());
        }
        response
    }
}

/// All that is served at a port. Whoever adds routes merges them here, before the gate.
pub fn app(port: u16, ingest: Ingest) -> Router {
    let routes = otlp::routes(ingest)
        .fallback(|| async { Refusal::new(404, "not_found", "there is no such route") })
        .method_not_allowed_fallback(|| async {
            Refusal::new(405, "method_not_allowed", "this route does not take that method")
        })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES));
    Gate::of_loopback(port).before(routes)
}

/// Why HTTP is not served.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Somebody has the port.
    #[error(
        "HTTP is not served: another process has port {0}, the daemon of another home perhaps; it is tried again every 30 s; or set BURSAR_PORT to a free one, or to 0"
    )]
    Taken(u16),
    /// Anything else about the port.
    #[error("HTTP is not served: cannot listen on port {port}: {source}")]
    Io {
        /// The port.
        port: u16,
        /// What happened.
        source: std::io::Error,
    },
    /// The token.
    #[error("HTTP is not served: {0}")]
    Token(#[from] TokenError),
}

/// How HTTP stands, for `bursar status`.
#[derive(Debug, Default)]
pub struct Standing(Mutex<Stands>);

#[derive(Debug, Default)]
enum Stands {
    #[default]
    Off,
    On(SocketAddr),
    Down(String),
}

impl Standing {
    fn set(&self, stands: Stands) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = stands;
    }

    /// What is wrong, if anything.
    pub fn problem(&self) -> Option<String> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Stands::Down(why) => Some(why.clone()),
            Stands::Off | Stands::On(_) => None,
        }
    }

    /// Where it is served, if it is.
    pub fn address(&self) -> Option<String> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Stands::On(address) => Some(format!("http://{address}")),
            Stands::Off | Stands::Down(_) => None,
        }
    }
}

/// HTTP as it is to be served; the daemon goes on without it.
pub struct Http {
    port: u16,
    state: std::path::PathBuf,
    telemetry: Arc<Telemetry>,
    clock: Clock,
    standing: Arc<Standing>,
    try_every: Duration,
    open: Option<(TcpListener, Router)>,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("port", &self.port).finish_non_exhaustive()
    }
}

impl Http {
    /// Takes the port, if it can be had now; 0: HTTP is off.
    pub fn open(port: u16, state: &Path, telemetry: Arc<Telemetry>, clock: Clock) -> Self {
        let standing = Arc::default();
        let mut http = Self {
            port,
            state: state.to_owned(),
            telemetry,
            clock,
            standing,
            try_every: TRY_EVERY,
            open: None,
        };
        http.try_open();
        http
    }

    /// How it stands.
    pub fn standing(&self) -> Arc<Standing> {
        Arc::clone(&self.standing)
    }

    fn try_open(&mut self) {
        if self.port == 0 {
            return;
        }
        match self.opened() {
            Ok((listener, app, address)) => {
                tracing::info!(%address, "serving HTTP");
                self.standing.set(Stands::On(address));
                self.open = Some((listener, app));
            }
            Err(e) => {
                let why = e.to_string();
                // Once, not every 30 s.
                if self.standing.problem().as_ref() != Some(&why) {
                    tracing::warn!("{why}");
                }
                self.standing.set(Stands::Down(why));
            }
        }
    }

    fn opened(&self) -> Result<(TcpListener, Router, SocketAddr), HttpError> {
        let port = self.port;
        let listener = server::bind(port).map_err(|source| match source.kind() {
            ErrorKind::AddrInUse => HttpError::Taken(port),
            _ => HttpError::Io { port, source },
        })?;
        let address = listener.local_addr().map_err(|source| HttpError::Io { port, source })?;
        let token = Token::open(&self.state)?;
        let ingest = Ingest::new(token, Arc::clone(&self.telemetry), self.clock);
        Ok((listener, app(port, ingest), address))
    }

    /// Serves until cancelled; a port that somebody has is tried again.
    pub async fn run(mut self, tasks: TaskTracker, cancel: CancellationToken) {
        if self.port == 0 {
            return;
        }
        loop {
            if let Some((listener, app)) = self.open.take() {
                return server::serve(listener, app, server::most_connections(), tasks, cancel).await;
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(self.try_every) => self.try_open(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Arc, CancellationToken, Clock, Duration, Http, TaskTracker, Telemetry, server};
    use bursar_engine::time::Timestamp;

    type Done = Result<(), Box<dyn std::error::Error>>;

    fn open(port: u16, state: &std::path::Path) -> Http {
        let mut http = Http::open(port, state, Arc::new(Telemetry::default()), Clock::start(Timestamp(0)));
        http.try_every = Duration::from_millis(20);
        http
    }

    #[tokio::test]
    async fn a_port_that_is_given_back_is_taken() -> Done {
        let state = tempfile::tempdir()?;
        let other = server::bind(0)?;
        let port = other.local_addr()?.port();
        let http = open(port, state.path());
        let standing = http.standing();
        assert!(standing.problem().is_some_and(|why| why.contains(&port.to_string())));
        assert_eq!(standing.address(), None);
        let cancel = CancellationToken::new();
        let running = tokio::spawn(http.run(TaskTracker::new(), cancel.clone()));
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(standing.problem().is_some(), "somebody still has it");
        drop(other);
        for _ in 0..500 {
            if standing.address().is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(
            (standing.address(), standing.problem()),
            (Some(format!("http://127.0.0.1:{port}")), None)
        );
        cancel.cancel();
        running.await?;
        Ok(())
    }

    #[tokio::test]
    async fn without_a_port_or_a_token_nothing_is_served() -> Done {
        let state = tempfile::tempdir()?;
        let off = open(0, state.path());
        assert_eq!((off.standing().address(), off.standing().problem()), (None, None));
        off.run(TaskTracker::new(), CancellationToken::new()).await;
        assert!(!state.path().join("telemetry-token").exists(), "what is off makes no token");
        std::fs::write(state.path().join("telemetry-token"), "mine")?;
        let other = server::bind(0)?;
        let port = other.local_addr()?.port();
        drop(other);
        let refused = open(port, state.path()).standing().problem();
        assert!(refused.is_some_and(|why| why.contains("telemetry-token")));
        Ok(())
    }
}
