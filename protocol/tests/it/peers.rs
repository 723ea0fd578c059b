//! The blocking end against peers that are scripted: another version, half frames, silence.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use bursar_protocol::endpoint::{self, Connection, common_version};
use bursar_protocol::frame::HEADER_BYTES;
use bursar_protocol::message::{FromDaemon, HookFrame, Query, ToDaemon};
use bursar_protocol::{MAX_FRAME_BYTES, MIN_VERSION, ProtocolError, VERSION, codec};
use tempfile::TempDir;

/// Long enough for any machine; only what never answers is waited for this long.
const LONG: Duration = Duration::from_secs(20);

/// A short wait that has to run out.
const SHORT: Duration = Duration::from_millis(80);

/// A socket on which one connection is accepted and given to `script`, with the frames that it read.
struct Peer {
    path: PathBuf,
    frames: Receiver<Vec<u8>>,
    _dir: TempDir,
}

impl Peer {
    fn new(script: impl FnOnce(&mut UnixStream, &dyn Fn(Vec<u8>)) + Send + 'static) -> Self {
        let dir = TempDir::with_prefix("bp-").unwrap();
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let (tell, frames) = channel();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            script(&mut stream, &|frame| tell.send(frame).unwrap());
        });
        Self { path, frames, _dir: dir }
    }

    /// A peer that answers each frame with the next of these bytes, then hangs up.
    fn answering(answers: Vec<Vec<u8>>) -> Self {
        Self::new(move |stream, tell| {
            for answer in answers {
                tell(read_frame(stream));
                stream.write_all(&answer).unwrap();
            }
        })
    }

    /// A peer that sends these pieces one by one, with pauses, and then keeps still until it is left.
    fn sending(pieces: Vec<Vec<u8>>) -> Self {
        Self::new(move |stream, tell| {
            tell(read_frame(stream));
            for piece in pieces {
                stream.write_all(&piece).unwrap();
                thread::sleep(Duration::from_millis(5));
            }
            let _ = stream.read(&mut [0]);
        })
    }

    fn open(&self) -> Connection {
        Connection::open(&self.path, &codec::frame(&STATUS).unwrap(), Instant::now() + LONG).unwrap()
    }
}

type Wanted = fn(&ProtocolError) -> bool;

const STATUS: ToDaemon = ToDaemon::Query(Query::Status);

fn read_frame(stream: &mut UnixStream) -> Vec<u8> {
    let mut frame = vec![0; HEADER_BYTES];
    stream.read_exact(&mut frame).unwrap();
    let length = u32::from_le_bytes(*frame[4..].first_chunk().unwrap());
    frame.resize(HEADER_BYTES + length as usize, 0);
    stream.read_exact(&mut frame[HEADER_BYTES..]).unwrap();
    frame
}

fn frame(message: &FromDaemon) -> Vec<u8> {
    codec::frame(message).unwrap()
}

fn is(error: &ProtocolError, kind: ErrorKind) -> bool {
    matches!(error, ProtocolError::Io(e) if e.kind() == kind)
}

#[test]
fn the_newest_version_that_both_speak_is_chosen() {
    for (min, max, wanted) in [
        (VERSION, VERSION, Some(VERSION)),
        (MIN_VERSION, VERSION, Some(VERSION)),
        (VERSION, u8::MAX, Some(VERSION)),
        (0, u8::MAX, Some(VERSION)),
        (0, MIN_VERSION, Some(MIN_VERSION)),
        (0, MIN_VERSION - 1, None),
        (VERSION + 1, VERSION + 2, None),
        (VERSION + 1, u8::MAX, None),
        (u8::MAX, 0, None),
    ] {
        assert_eq!(common_version(min, max), wanted, "{min} to {max}");
    }
}

#[test]
fn told_that_its_version_is_not_spoken_a_caller_sends_again_on_the_same_connection() {
    let older = FromDaemon::Unsupported { min: 0, max: MIN_VERSION };
    let peer = Peer::answering(vec![frame(&older), frame(&FromDaemon::Held { hold_id: 3 })]);
    let resume = ToDaemon::Resume { hold_id: 3 };
    let (_, answer) = endpoint::exchange(&peer.path, &resume, Instant::now() + LONG).unwrap();
    assert_eq!(answer, FromDaemon::Held { hold_id: 3 });
    assert_eq!(peer.frames.recv().unwrap(), codec::frame(&resume).unwrap());
    assert_eq!(peer.frames.recv().unwrap(), codec::frame_as(MIN_VERSION, &resume).unwrap());
}

#[test]
fn without_a_common_version_the_error_says_which_are_spoken() {
    let newer = FromDaemon::Unsupported { min: VERSION + 1, max: VERSION + 2 };
    let peer = Peer::answering(vec![frame(&newer)]);
    let error = endpoint::exchange(&peer.path, &STATUS, Instant::now() + LONG).unwrap_err();
    let found = VERSION + 2;
    let wanted =
        matches!(error, ProtocolError::Version { found: f, min: MIN_VERSION, max: VERSION } if f == found);
    assert!(wanted, "{error}");
}

#[test]
fn a_peer_that_says_it_twice_is_not_asked_for_ever() {
    let older = frame(&FromDaemon::Unsupported { min: MIN_VERSION, max: MIN_VERSION });
    let peer = Peer::answering(vec![older.clone(), older]);
    let (_, answer) = endpoint::exchange(&peer.path, &STATUS, Instant::now() + LONG).unwrap();
    assert!(matches!(answer, FromDaemon::Unsupported { .. }));
}

#[test]
fn the_parts_of_an_answer_are_put_together() {
    let part = |last, part: &str| frame(&FromDaemon::Reply { status: 200, last, part: part.to_owned() });
    let long = "x".repeat(100_000);
    let peer =
        Peer::sending(vec![[part(false, r#"{"a":""#), part(false, &long)].concat(), part(true, "\"}")]);
    let (status, json) = endpoint::ask(&peer.path, &STATUS, LONG).unwrap();
    assert_eq!((status, json.len()), (200, long.len() + 8));
}

#[test]
fn an_answer_of_exactly_the_limit_is_taken_and_what_follows_it_too() {
    let of =
        |length: usize| FromDaemon::Answer { exit: 0, stdout: "x".repeat(length), stderr: String::new() };
    let overhead = frame(&of(0)).len() - HEADER_BYTES;
    let longest = of(MAX_FRAME_BYTES as usize - overhead);
    let peer = Peer::sending(vec![frame(&longest), frame(&FromDaemon::Beat)]);
    let mut connection = peer.open();
    assert!(connection.receive(Instant::now() + LONG).unwrap() == longest);
    assert_eq!(connection.receive(Instant::now() + LONG).unwrap(), FromDaemon::Beat);
}

#[test]
fn what_comes_in_pieces_or_together_is_taken_message_by_message() {
    let (held, beat) = (frame(&FromDaemon::Held { hold_id: 8 }), frame(&FromDaemon::Beat));
    let both = [held.clone(), beat.clone()].concat();
    let singly: Vec<Vec<u8>> = both.iter().map(|byte| vec![*byte]).collect();
    for pieces in [vec![both.clone()], singly, vec![both[..10].to_vec(), both[10..].to_vec()]] {
        let peer = Peer::sending(pieces);
        let mut connection = peer.open();
        let mut next = || connection.receive(Instant::now() + LONG).unwrap();
        assert_eq!((next(), next()), (FromDaemon::Held { hold_id: 8 }, FromDaemon::Beat));
    }
}

#[test]
fn a_half_message_at_the_deadline_is_whole_at_the_next() {
    let whole = frame(&FromDaemon::Held { hold_id: 8 });
    let rest = whole[11..].to_vec();
    let (go, wait) = channel::<()>();
    let peer = Peer::new(move |stream, tell| {
        tell(read_frame(stream));
        stream.write_all(&whole[..11]).unwrap();
        wait.recv().unwrap();
        stream.write_all(&rest).unwrap();
        let _ = stream.read(&mut [0]);
    });
    let mut connection = peer.open();
    let early = connection.receive(Instant::now() + SHORT).unwrap_err();
    assert!(is(&early, ErrorKind::TimedOut), "{early}");
    go.send(()).unwrap();
    assert_eq!(connection.receive(Instant::now() + LONG).unwrap(), FromDaemon::Held { hold_id: 8 });
}

#[test]
fn a_peer_that_hangs_up_or_talks_nonsense_is_an_error_at_once() {
    let oversize = [b"BSR".as_slice(), &[VERSION], &u32::MAX.to_le_bytes()].concat();
    let over = [b"BSR".as_slice(), &[VERSION], &(MAX_FRAME_BYTES + 1).to_le_bytes()].concat();
    let unknown = [b"BSR".as_slice(), &[VERSION], &4u32.to_le_bytes(), &99u32.to_le_bytes()].concat();
    let cases: [(&str, Vec<u8>, Wanted); 6] = [
        ("nothing", Vec::new(), |e| is(e, ErrorKind::UnexpectedEof)),
        ("half a header", b"BSR\x01".to_vec(), |e| is(e, ErrorKind::UnexpectedEof)),
        ("another protocol", b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), |e| {
            matches!(e, ProtocolError::Magic { .. })
        }),
        ("four gigabytes", oversize, |e| matches!(e, ProtocolError::TooLong { .. })),
        ("a byte too much", over, |e| matches!(e, ProtocolError::TooLong { .. })),
        ("an unknown message", unknown, |e| matches!(e, ProtocolError::Malformed(_))),
    ];
    for (what, bytes, wanted) in cases {
        let peer = Peer::answering(vec![bytes]);
        let error = peer.open().receive(Instant::now() + LONG).unwrap_err();
        assert!(wanted(&error), "{what}: {error}");
    }
}

#[test]
fn a_peer_that_never_reads_does_not_keep_the_sender() {
    let (done, wait) = channel::<()>();
    let peer = Peer::new(move |_, _| _ = wait.recv());
    let payload = vec![b'x'; 230 * 1024];
    let hook = ToDaemon::Hook(HookFrame { payload, ..HookFrame::default() });
    let big = codec::frame(&hook).unwrap();
    let mut connection = peer.open();
    let until = Instant::now() + LONG;
    let error = (0..64).find_map(|_| connection.send(&big, Instant::now() + SHORT).err()).unwrap();
    assert!(is(&error, ErrorKind::TimedOut) && Instant::now() < until, "{error}");
    drop(done);
}

#[test]
fn a_socket_that_is_missing_or_left_over_is_refused_at_once() {
    let dir = TempDir::with_prefix("bp-").unwrap();
    let path = dir.path().join("s");
    let open = || Connection::open(&path, b"frame", Instant::now() + LONG).unwrap_err();
    assert!(is(&open(), ErrorKind::NotFound));
    drop(UnixListener::bind(&path).unwrap());
    assert!(is(&open(), ErrorKind::ConnectionRefused));
}
