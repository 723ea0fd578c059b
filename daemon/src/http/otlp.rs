//! `/v1/logs` and `/v1/metrics`: where Claude Code sends its telemetry, with the token of telemetry only.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONNECTION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::Refusal;
use super::body::{self, Packing};
use super::token::Token;
use crate::clock::Clock;
use crate::otlp::{self, Batch, OtlpError};
use crate::telemetry::Telemetry;

/// Bodies in memory at once: each may be unpacked to 16 MiB.
const AT_ONCE: usize = 8;

/// How long a batch waits for its turn before its sender is asked to come again.
const TURN_WAIT: Duration = Duration::from_secs(2);

/// What the routes of telemetry need.
#[derive(Debug)]
pub struct Ingest {
    token: Token,
    telemetry: Arc<Telemetry>,
    clock: Clock,
    turns: Semaphore,
}

impl Ingest {
    /// Takes batches for `telemetry` from whoever shows `token`.
    pub fn new(token: Token, telemetry: Arc<Telemetry>, clock: Clock) -> Self {
        Self { token, telemetry, clock, turns: Semaphore::new(AT_ONCE) }
    }

    async fn turn(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        match tokio::time::timeout(TURN_WAIT, self.turns.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => Err(Refusal::again("too many batches at once")),
        }
    }
}

/// The routes of telemetry. There is none for traces: who sends them hears 404, and not that they were of use.
pub(super) fn routes(ingest: Ingest) -> Router {
    let ingest = Arc::new(ingest);
    Router::new()
        .route("/v1/logs", post(logs))
        .route("/v1/metrics", post(metrics))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&ingest), with_token))
        .with_state(ingest)
}

async fn with_token(State(ingest): State<Arc<Ingest>>, request: Request, next: Next) -> Response {
    let mut response = if ingest.token.is_shown(request.headers()) {
        next.run(request).await
    } else {
        let mut refused =
            Refusal::new(401, "unauthorized", "this takes the token of telemetry").into_response();
        refused.headers_mut().insert("www-authenticate", HeaderValue::from_static("Bearer"));
        refused
    };
    // A batch each half second needs no connection that is kept; one that we closed as the next batch was sent on it would
    // lose that batch.
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Protobuf,
    Json,
}

impl Encoding {
    fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let value = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let kind = value.split(';').next().unwrap_or_default().trim();
        match kind.to_ascii_lowercase().as_str() {
            "application/x-protobuf" | "application/protobuf" => Ok(Self::Protobuf),
            "application/json" => Ok(Self::Json),
            _ => Err(Refusal::new(415, "unsupported", "telemetry comes as http/protobuf or http/json")),
        }
    }

    /// "All taken", in the encoding of the request: an export's answer without a field set.
    fn done(self) -> Response {
        let (kind, body) = match self {
            Self::Protobuf => ("application/x-protobuf", Body::empty()),
            Self::Json => ("application/json", Body::from("{}")),
        };
        ([(CONTENT_TYPE, kind)], body).into_response()
    }
}

impl From<OtlpError> for Refusal {
    fn from(e: OtlpError) -> Self {
        match e {
            OtlpError::Malformed(_) => Self::new(400, "invalid", &e.to_string()),
            OtlpError::TooMany => Self::new(413, "too_large", &e.to_string()),
        }
    }
}

/// Takes a batch. It is acknowledged when it is safe, and not before: a client that hears anything else sends it again.
async fn logs(State(ingest): State<Arc<Ingest>>, request: Request) -> Result<Response, Refusal> {
    let taken = take(&ingest, request).await;
    if taken.as_ref().is_err_and(|refused| refused.status() != 503) {
        ingest.telemetry.refused();
    }
    taken
}

async fn take(ingest: &Ingest, request: Request) -> Result<Response, Refusal> {
    let encoding = Encoding::of(request.headers())?;
    let packing = Packing::of(request.headers())?;
    let _turn = ingest.turn().await?;
    let body = body::read(request).await?;
    let now = ingest.clock.now();
    // Sixteen megabytes are work for a thread of their own.
    let read = tokio::task::spawn_blocking(move || -> Result<Batch, Refusal> {
        let body = body::unpack(body, packing)?;
        Ok(match encoding {
            Encoding::Protobuf => otlp::read_protobuf(&body, now)?,
            Encoding::Json => otlp::read_json(&body, now)?,
        })
    });
    // Read again, it would come to the same.
    let batch = read.await.map_err(|_| Refusal::new(400, "invalid", "the batch could not be read"))??;
    ingest.telemetry.take(batch).await.map_err(|e| Refusal::again(&e.to_string()))?;
    Ok(encoding.done())
}

/// Metrics say nothing that the logs don't say better: they are counted and passed over, so that a client which sends both
/// has no errors to write down.
async fn metrics(State(ingest): State<Arc<Ingest>>, request: Request) -> Result<Response, Refusal> {
    let encoding = Encoding::of(request.headers())?;
    let _turn = ingest.turn().await?;
    let _: Bytes = body::read(request).await?;
    ingest.telemetry.metrics();
    Ok(encoding.done())
}
