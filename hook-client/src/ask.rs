//! Asking the daemon under one deadline, and standing still where it says so.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use bursar_protocol::answer::Answer;
use bursar_protocol::endpoint::{self, Connection, common_version};
use bursar_protocol::message::{FromDaemon, ToDaemon};
use bursar_protocol::{ProtocolError, codec, paths};
use rustix::io::Errno;
use rustix::process::{Pid, getppid, test_kill_process};

use crate::args::Args;
use crate::facts;

/// Connect, send and answer together (HOOK 4).
const DEADLINE: Duration = Duration::from_millis(250);

/// The same where the daemon may be starting, and for a batch, which waits for its own message.
const LONG_DEADLINE: Duration = Duration::from_secs(1);

/// A silence that means that the daemon is dead: it beats every 500 ms.
const SILENCE: Duration = Duration::from_secs(2);

/// How long a held hook looks for a daemon that went away.
const LOOK_FOR: Duration = Duration::from_secs(30);

/// The first and the longest pause between two looks.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Away {
    /// No socket, or nobody behind it.
    NoDaemon,
    /// No whole answer in time, or one that is none.
    NoAnswer,
    /// The daemon went away while it held this hook, and did not come back.
    LostWhileHeld,
}

/// Asks the daemon what this hook is told.
pub(crate) fn ask(args: &Args, payload: &[u8]) -> Result<Answer, Away> {
    let socket = args.socket().ok_or(Away::NoDaemon)?;
    let hook = facts::frame(args, payload);
    let is_batch = is_batch(args, &hook.payload);
    let message = ToDaemon::Hook(hook);
    let frame = codec::frame(&message).map_err(|_| Away::NoAnswer)?;
    // Only now: the deadline is the daemon's, and cutting a huge payload is our own time.
    let mut limit = Limit::from_now(is_batch, args);
    let (mut connection, answer) = match exchange(&socket, &frame, &mut limit) {
        // It ended before it answered. A service manager's socket outlives it: its successor is asked, once.
        Err(ProtocolError::Io(e)) if is_hung_up(&e) => exchange(&socket, &frame, &mut limit),
        first => first,
    }
    .map_err(|e| match e {
        ProtocolError::Io(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            Away::NoDaemon
        }
        _ => Away::NoAnswer,
    })?;
    let answer = match answer {
        FromDaemon::Unsupported { min, max } => {
            again_in(&mut connection, &message, min, max, limit.deadline).map_err(|_| Away::NoAnswer)?
        }
        answer => answer,
    };
    match answer {
        FromDaemon::Answer { exit, stdout, stderr } => Ok(Answer { exit, stdout, stderr }),
        FromDaemon::Held { hold_id } => stand_still(&socket, connection, hold_id),
        FromDaemon::Beat | FromDaemon::Unsupported { .. } | FromDaemon::Reply { .. } => Err(Away::NoAnswer),
    }
}

/// Until when there may be an answer.
struct Limit<'a> {
    began: Instant,
    deadline: Instant,
    last: Instant,
    args: &'a Args,
}

impl<'a> Limit<'a> {
    fn from_now(is_batch: bool, args: &'a Args) -> Self {
        let began = Instant::now();
        let last = began + LONG_DEADLINE;
        Self { began, deadline: if is_batch { last } else { began + DEADLINE }, last, args }
    }

    /// Whether there is more time after all. It matters whether a daemon is about to serve only once the deadline
    /// passed: no system call for it on the good path.
    fn is_extended(&mut self) -> bool {
        let extended = self.deadline < self.last && is_starting(self.args, self.began.elapsed());
        if extended {
            self.deadline = self.last;
        }
        extended
    }
}

/// Sends a frame, and gives the connection with its first answer.
fn exchange(
    socket: &Path,
    frame: &[u8],
    limit: &mut Limit<'_>,
) -> Result<(Connection, FromDaemon), ProtocolError> {
    let mut connection = loop {
        match Connection::open(socket, frame, limit.deadline) {
            Err(ProtocolError::Io(e)) if is_late(&e) && limit.is_extended() => {}
            opened => break opened?,
        }
    };
    loop {
        match connection.receive(limit.deadline) {
            Err(ProtocolError::Io(e)) if is_late(&e) && limit.is_extended() => {}
            answer => return Ok((connection, answer?)),
        }
    }
}

/// The deadline, or a backlog that stayed full until it.
fn is_late(e: &std::io::Error) -> bool {
    matches!(e.kind(), ErrorKind::TimedOut | ErrorKind::NotConnected | ErrorKind::WouldBlock)
}

fn is_hung_up(e: &std::io::Error) -> bool {
    matches!(e.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

fn again_in(
    connection: &mut Connection,
    message: &ToDaemon,
    min: u8,
    max: u8,
    deadline: Instant,
) -> Result<FromDaemon, ProtocolError> {
    let version =
        common_version(min, max).ok_or_else(|| ProtocolError::Malformed("no common version".to_owned()))?;
    connection.send(&codec::frame_as(version, message)?, deadline)?;
    connection.receive(deadline)
}

/// Whether a daemon is about to serve, or began to while this hook waited: its `ready` file is missing, younger than the
/// wait, or that of one that was killed.
fn is_starting(args: &Args, waited: Duration) -> bool {
    let Some(ready) = args.state().map(|state| paths::ready(&state)) else { return false };
    match fs::metadata(&ready).and_then(|file| file.modified()) {
        Ok(written) if written.elapsed().is_ok_and(|age| age <= waited) => true,
        Ok(_) => {
            let named = fs::read_to_string(&ready).ok().as_deref().and_then(named_process);
            named.is_some_and(|pid| test_kill_process(pid) == Err(Errno::SRCH))
        }
        Err(e) => e.kind() == ErrorKind::NotFound,
    }
}

fn named_process(ready: &str) -> Option<Pid> {
    Pid::from_raw(ready.lines().next()?.parse().ok().filter(|pid| *pid > 0)?)
}

/// Whether this is a batch, without parsing. A payload that only says so in a tool's text waits a little longer for a
/// dead daemon, nothing else.
fn is_batch(args: &Args, payload: &[u8]) -> bool {
    const NAME: &[u8] = b"\"PostToolBatch\"";
    args.event.as_deref() == Some("PostToolBatch") || payload.windows(NAME.len()).any(|w| w == NAME)
}

/// Waits for a person. The daemon may be replaced meanwhile: the next one takes the hold up.
fn stand_still(socket: &Path, mut connection: Connection, hold_id: u64) -> Result<Answer, Away> {
    let client = getppid();
    loop {
        match connection.receive(Instant::now() + SILENCE) {
            Ok(FromDaemon::Answer { exit, stdout, stderr }) => return Ok(Answer { exit, stdout, stderr }),
            // A killed client ends none of its hooks; one that waits for nobody would be held for a day.
            Ok(FromDaemon::Beat | FromDaemon::Held { .. }) if getppid() != client => {
                return Err(Away::LostWhileHeld);
            }
            Ok(FromDaemon::Beat | FromDaemon::Held { .. }) => {}
            Ok(FromDaemon::Unsupported { .. } | FromDaemon::Reply { .. }) | Err(_) => {
                connection = match look_for(socket, hold_id)? {
                    Found::Answer(answer) => return Ok(answer),
                    Found::Holding(connection) => connection,
                };
            }
        }
    }
}

enum Found {
    Answer(Answer),
    Holding(Connection),
}

fn look_for(socket: &Path, hold_id: u64) -> Result<Found, Away> {
    let until = Instant::now() + LOOK_FOR;
    let mut pause = PAUSES.0;
    while Instant::now() < until {
        // First: a daemon that takes the hold and hangs up at once must not be asked without a pause.
        std::thread::sleep(pause);
        pause = (pause * 2).min(PAUSES.1);
        let resume = ToDaemon::Resume { hold_id };
        match endpoint::exchange(socket, &resume, Instant::now() + SILENCE) {
            Ok((_, FromDaemon::Answer { exit, stdout, stderr })) => {
                return Ok(Found::Answer(Answer { exit, stdout, stderr }));
            }
            Ok((connection, FromDaemon::Held { .. })) => return Ok(Found::Holding(connection)),
            Ok((_, FromDaemon::Beat | FromDaemon::Unsupported { .. } | FromDaemon::Reply { .. }))
            | Err(_) => {}
        }
    }
    Err(Away::LostWhileHeld)
}
