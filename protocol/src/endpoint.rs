//! The blocking end of a connection to the daemon, for the hook client and the commands.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use interprocess::ConnectWaitMode;
use interprocess::local_socket::prelude::*;
use interprocess::local_socket::{ConnectOptions, GenericFilePath, Stream};

use crate::frame::{HEADER_BYTES, Header};
use crate::message::{FromDaemon, ToDaemon};
use crate::{MIN_VERSION, ProtocolError, VERSION, codec};

/// How long to wait before a connection that a full backlog refused is tried again.
const AGAIN: Duration = Duration::from_millis(2);

/// Two frames of this size fit every platform's socket buffer, so that sending one cannot block.
const SMALL_FRAME_BYTES: usize = 4 * 1024;

/// How much is read at once: an answer is far smaller.
const CHUNK_BYTES: usize = 4 * 1024;

/// A connection to the daemon.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    /// What came and is not a whole message yet.
    received: Vec<u8>,
}

impl Connection {
    /// Connects and sends, whole, before `deadline`. A full backlog looks connected and fails at the first write, so
    /// the two belong together: it is tried again until the deadline.
    ///
    /// # Errors
    /// [`ProtocolError::Io`]; refused and missing sockets at once.
    pub fn open(path: &Path, frame: &[u8], deadline: Instant) -> Result<Self, ProtocolError> {
        loop {
            match Self::try_open(path, frame, deadline) {
                Ok(connection) => return Ok(connection),
                Err(e) if is_full(&e) && Instant::now() + AGAIN < deadline => std::thread::sleep(AGAIN),
                Err(e) => return Err(e.into()),
            }
        }
    }

    fn try_open(path: &Path, frame: &[u8], deadline: Instant) -> io::Result<Self> {
        let wait_mode = ConnectWaitMode::Timeout(remaining(deadline)?);
        let name = path.to_fs_name::<GenericFilePath>()?;
        let stream = ConnectOptions::new().name(name).wait_mode(wait_mode).connect_sync()?;
        let mut connection = Self { stream, received: Vec::new() };
        connection.write_all(frame, deadline)?;
        Ok(connection)
    }

    /// Sends another frame on this connection, whole, before `deadline`.
    ///
    /// # Errors
    /// [`ProtocolError::Io`].
    pub fn send(&mut self, frame: &[u8], deadline: Instant) -> Result<(), ProtocolError> {
        Ok(self.write_all(frame, deadline)?)
    }

    /// Receives one whole message before `deadline`. What came of a message until then is kept for the next call.
    ///
    /// # Errors
    /// [`ProtocolError`]; `TimedOut` at the deadline, `UnexpectedEof` where the daemon hung up.
    pub fn receive(&mut self, deadline: Instant) -> Result<FromDaemon, ProtocolError> {
        loop {
            if let Some(message) = self.take_message()? {
                return Ok(message);
            }
            self.read_some(deadline)?;
        }
    }

    fn take_message(&mut self) -> Result<Option<FromDaemon>, ProtocolError> {
        let Some(header) = self.received.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let end = HEADER_BYTES + Header::decode(*header)?.length as usize;
        let Some(body) = self.received.get(HEADER_BYTES..end) else { return Ok(None) };
        let message = codec::message(body)?;
        self.received.drain(..end);
        Ok(Some(message))
    }

    fn read_some(&mut self, deadline: Instant) -> io::Result<()> {
        let mut chunk = [0; CHUNK_BYTES];
        self.stream.set_recv_timeout(Some(remaining(deadline)?))?;
        match self.stream.read(&mut chunk) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                self.received.extend_from_slice(&chunk[..n]);
                Ok(())
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => Ok(()),
            Err(e) if e.kind() == ErrorKind::WouldBlock => Err(ErrorKind::TimedOut.into()),
            Err(e) => Err(e),
        }
    }

    fn write_all(&mut self, mut rest: &[u8], deadline: Instant) -> io::Result<()> {
        let can_block = rest.len() > SMALL_FRAME_BYTES;
        while !rest.is_empty() {
            if can_block {
                self.stream.set_send_timeout(Some(remaining(deadline)?))?;
            }
            match self.stream.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => rest = &rest[n..],
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Err(ErrorKind::TimedOut.into()),
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

fn remaining(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

fn is_full(e: &io::Error) -> bool {
    matches!(e.kind(), ErrorKind::NotConnected | ErrorKind::WouldBlock)
}

/// Sends a message, in an older version if the daemon asks for one, and gives the connection with its first answer.
///
/// # Errors
/// [`ProtocolError`].
pub fn exchange(
    path: &Path,
    message: &ToDaemon,
    deadline: Instant,
) -> Result<(Connection, FromDaemon), ProtocolError> {
    let mut connection = Connection::open(path, &codec::frame(message)?, deadline)?;
    let answer = connection.receive(deadline)?;
    let FromDaemon::Unsupported { min, max } = answer else { return Ok((connection, answer)) };
    let Some(version) = common_version(min, max) else {
        return Err(ProtocolError::Version { found: max, min: MIN_VERSION, max: VERSION });
    };
    connection.send(&codec::frame_as(version, message)?, deadline)?;
    let answer = connection.receive(deadline)?;
    Ok((connection, answer))
}

/// The newest version that both sides speak.
pub fn common_version(min: u8, max: u8) -> Option<u8> {
    let newest = max.min(VERSION);
    (newest >= min.max(MIN_VERSION)).then_some(newest)
}

/// Asks a question or does an act: the status and the JSON that the daemon answers.
///
/// # Errors
/// [`ProtocolError`]; `NotFound` and `ConnectionRefused` where no daemon serves.
pub fn ask(path: &Path, message: &ToDaemon, timeout: Duration) -> Result<(u16, String), ProtocolError> {
    let deadline = Instant::now() + timeout;
    let (mut connection, mut answer) = exchange(path, message, deadline)?;
    let mut json = String::new();
    loop {
        let FromDaemon::Reply { status, last, part } = answer else {
            return Err(ProtocolError::Malformed("an answer to something else".to_owned()));
        };
        json.push_str(&part);
        if last {
            return Ok((status, json));
        }
        answer = connection.receive(deadline)?;
    }
}
