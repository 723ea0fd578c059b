//! One connection: frames in, frames out. A half or hostile frame closes this connection and nothing else.

use std::sync::Arc;
use std::time::Duration;

use bursar_engine::ids::HoldId;
use bursar_protocol::frame::{HEADER_BYTES, Header};
use bursar_protocol::message::{FromDaemon, ToDaemon};
use bursar_protocol::{MIN_VERSION, ProtocolError, VERSION, codec};
use interprocess::local_socket::tokio::Stream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio_util::sync::CancellationToken;

use crate::ipc::commands;
use crate::ipc::hooks::{self, Outcome};
use crate::ipc::status_line;
use crate::peer::Peer;
use crate::serve::Service;

/// A connection on which nothing is asked for so long is closed: descriptors are few.
const IDLE: Duration = Duration::from_secs(10);

/// A frame must be whole this long after its first byte.
const FRAME_WAIT: Duration = Duration::from_secs(1);

/// How often a held hook hears that the daemon lives (HOOK 4).
const BEAT: Duration = Duration::from_millis(500);

/// How long a lost hold may take to come back on another connection before it counts as gone.
const COMES_BACK: Duration = Duration::from_millis(600);

/// The most bytes of JSON in one part of a reply.
const PART_BYTES: usize = 128 * 1024;

/// What is read at once: most hooks' frames are shorter.
const READ_BYTES: usize = 2 * 1024;

/// A connection, of which a whole frame is read in one call.
type Buffered = BufReader<Stream>;

/// Serves a connection to its end.
pub async fn serve(stream: Stream, peer: Peer, service: Arc<Service>, cancel: CancellationToken) {
    let mut stream = Buffered::with_capacity(READ_BYTES, stream);
    loop {
        let read = tokio::select! {
            biased;
            // First: what has arrived is answered also by a daemon that ends.
            read = read_message(&mut stream) => read,
            () = cancel.cancelled() => return,
        };
        let done = match read {
            Ok(Some((version, message))) => {
                respond(&mut stream, version, message, peer, &service, &cancel).await
            }
            Ok(None) => return,
            Err(ProtocolError::Version { .. }) => {
                let answer = FromDaemon::Unsupported { min: MIN_VERSION, max: VERSION };
                send(&mut stream, MIN_VERSION, &answer).await
            }
            Err(e) => Err(e),
        };
        if let Err(e) = done {
            tracing::debug!(error = %e, "connection closed");
            return;
        }
    }
}

async fn read_message(stream: &mut Buffered) -> Result<Option<(u8, ToDaemon)>, ProtocolError> {
    let mut header = [0; HEADER_BYTES];
    let Ok(first) = tokio::time::timeout(IDLE, stream.read(&mut header[..1])).await else { return Ok(None) };
    if first? == 0 {
        return Ok(None);
    }
    let rest = async {
        stream.read_exact(&mut header[1..]).await?;
        let (version, length) = match Header::decode(header) {
            Ok(header) => (Ok(header.version), header.length),
            // The message of another version is passed over, so that the caller can send again.
            Err(e @ ProtocolError::Version { .. }) => {
                (Err(e), u32::from_le_bytes([header[4], header[5], header[6], header[7]]))
            }
            Err(e) => return Err(e),
        };
        let mut body = vec![0; length as usize];
        stream.read_exact(&mut body).await?;
        Ok((version?, body))
    };
    let Ok(frame) = tokio::time::timeout(FRAME_WAIT, rest).await else {
        return Err(ProtocolError::Io(std::io::ErrorKind::TimedOut.into()));
    };
    let (version, body) = frame?;
    Ok(Some((version, codec::message(&body)?)))
}

async fn respond(
    stream: &mut Buffered,
    version: u8,
    message: ToDaemon,
    peer: Peer,
    service: &Arc<Service>,
    cancel: &CancellationToken,
) -> Result<(), ProtocolError> {
    match message {
        ToDaemon::Hook(frame) => match hooks::answer(service, peer, &frame).await {
            Outcome::Answer(answer) => send(stream, version, &answer).await,
            Outcome::Held(held) => hold(stream, version, held, service, cancel).await,
        },
        ToDaemon::Resume { hold_id } => match hooks::resume(service, HoldId(hold_id)).await {
            Outcome::Answer(answer) => send(stream, version, &answer).await,
            Outcome::Held(held) => hold(stream, version, held, service, cancel).await,
        },
        ToDaemon::Operator(frame) => {
            let (status, json) = commands::operate(service, peer, frame).await;
            reply(stream, version, status, &json).await
        }
        ToDaemon::StatusLine(said) => {
            let (status, json) = status_line::show(service, &said);
            reply(stream, version, status, &json).await
        }
        ToDaemon::Query(query) => {
            let (status, json) = commands::query(service, &query).await;
            reply(stream, version, status, &json).await
        }
    }
}

/// Keeps a hook waiting: beats until a person decides, its time is over, or it goes away.
async fn hold(
    stream: &mut Buffered,
    version: u8,
    held: hooks::Held,
    service: &Arc<Service>,
    cancel: &CancellationToken,
) -> Result<(), ProtocolError> {
    let id = held.id;
    let mut verdict = service.host.wait_for(id);
    let told = send(stream, version, &FromDaemon::Held { hold_id: id.0 }).await;
    let mut beat = tokio::time::interval(BEAT);
    let mut byte = [0; 1];
    let gone = loop {
        // It may have gone away before it heard that it is held.
        if let Err(e) = told {
            break e;
        }
        tokio::select! {
            biased;
            verdict = &mut verdict => match verdict {
                Ok(verdict) => return send(stream, version, &hooks::released(&held, &verdict)).await,
                // The hold was taken up on another connection.
                Err(_) => return Ok(()),
            },
            // The daemon ends: the hold stays, and the hook takes it up with the next one.
            () = cancel.cancelled() => return Ok(()),
            _ = beat.tick() => if let Err(e) = send(stream, version, &FromDaemon::Beat).await { break e },
            read = stream.read(&mut byte) => match read {
                Ok(0) => break ProtocolError::Io(std::io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(e) => break e.into(),
            },
        }
    };
    drop(verdict);
    hooks::gone_unless_back(service, id, COMES_BACK);
    Err(gone)
}

async fn send(stream: &mut Buffered, version: u8, message: &FromDaemon) -> Result<(), ProtocolError> {
    let frame = codec::frame_as(version, message)?;
    stream.write_all(&frame).await?;
    Ok(())
}

async fn reply(stream: &mut Buffered, version: u8, status: u16, json: &str) -> Result<(), ProtocolError> {
    let mut rest = json;
    loop {
        let mut end = rest.len().min(PART_BYTES);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (part, after) = rest.split_at(end);
        let last = after.is_empty();
        send(stream, version, &FromDaemon::Reply { status, last, part: part.to_owned() }).await?;
        if last {
            return Ok(());
        }
        rest = after;
    }
}
