//! The body of a request: whole, in time, and no larger than is agreed, unpacked too.

use std::io::Read as _;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest as _, Request};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use axum::http::{HeaderMap, HeaderValue};
use flate2::read::MultiGzDecoder;

use super::Refusal;

/// The most bytes of a body as it is sent.
pub const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;

/// The most bytes of a body that was unpacked.
pub const MAX_UNPACKED_BYTES: usize = 16 * 1024 * 1024;

/// How long a body may take from its head on.
pub const BODY_WAIT: Duration = Duration::from_secs(5);

fn too_large(most: usize) -> Refusal {
    Refusal::new(413, "too_large", &format!("a body may have {most} bytes at most: send smaller batches"))
}

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Plain,
    Gzip,
}

impl Packing {
    /// What the headers say, before anything is read.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        match headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
            None | Some(b"identity") => Ok(Self::Plain),
            Some(b"gzip" | b"x-gzip") => Ok(Self::Gzip),
            Some(_) => Err(Refusal::new(415, "unsupported", "a body may be packed with gzip, or not at all")),
        }
    }
}

/// Reads a body as it was sent.
pub(super) async fn read(request: Request) -> Result<Bytes, Refusal> {
    let length = request.headers().get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|n| n > MAX_BODY_BYTES as u64) {
        return Err(too_large(MAX_BODY_BYTES));
    }
    // The layer `DefaultBodyLimit` bounds what is read, whatever the head said.
    match tokio::time::timeout(BODY_WAIT, Bytes::from_request(request, &())).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(rejected)) if rejected.status().as_u16() == 413 => Err(too_large(MAX_BODY_BYTES)),
        Ok(Err(_)) => Err(Refusal::new(400, "invalid", "the body ended before its end")),
        Err(_) => Err(Refusal::new(408, "timeout", "the body took too long")),
    }
}

/// Unpacks a body, as far as it may.
pub(super) fn unpack(body: Bytes, packing: Packing) -> Result<Bytes, Refusal> {
    if packing == Packing::Plain {
        return Ok(body);
    }
    let mut unpacked = Vec::new();
    // One byte more than is allowed shows what is too large.
    let mut reader = MultiGzDecoder::new(&body[..]).take(MAX_UNPACKED_BYTES as u64 + 1);
    match reader.read_to_end(&mut unpacked) {
        Ok(n) if n > MAX_UNPACKED_BYTES => Err(too_large(MAX_UNPACKED_BYTES)),
        Ok(_) => Ok(unpacked.into()),
        Err(_) => Err(Refusal::new(400, "invalid", "the body is no gzip")),
    }
}
