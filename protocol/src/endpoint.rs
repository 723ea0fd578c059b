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

/// A connection to the daemon.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
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
        let left = remaining(deadline)?;
        let name = path.to_fs_name::<GenericFilePath>()?;
        let stream =
            ConnectOptions::new().name(name).wait_mode(ConnectWaitMode::Timeout(left)).connect_sync()?;
        // Most frames fit the socket's buffer, so that the time-out for sending never comes into play.
        if frame.len() > 32 * 1024 {
            stream.set_send_timeout(Some(left))?;
        }
        let mut connection = Self { stream };
        connection.stream.write_all(frame)?;
        Ok(connection)
    }

    /// Sends another frame on this connection.
    ///
    /// # Errors
    /// [`ProtocolError::Io`].
    pub fn send(&mut self, frame: &[u8]) -> Result<(), ProtocolError> {
        Ok(self.stream.write_all(frame)?)
    }

    /// Receives one whole message before `deadline`.
    ///
    /// # Errors
    /// [`ProtocolError`]; `TimedOut` at the deadline, `UnexpectedEof` where the daemon hung up.
    pub fn receive(&mut self, deadline: Instant) -> Result<FromDaemon, ProtocolError> {
        let mut header = [0; HEADER_BYTES];
        self.read_exact(&mut header, deadline)?;
        let length = Header::decode(header)?.length;
        let mut body = vec![0; length as usize];
        self.read_exact(&mut body, deadline)?;
        codec::message(&body)
    }

    fn read_exact(&mut self, mut buffer: &mut [u8], deadline: Instant) -> io::Result<()> {
        while !buffer.is_empty() {
            self.stream.set_recv_timeout(Some(remaining(deadline)?))?;
            match self.stream.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => buffer = &mut buffer[n..],
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
    connection.send(&codec::frame_as(version, message)?)?;
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
