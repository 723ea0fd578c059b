//! A daemon that does what its script says.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle, sleep};
use std::time::Duration;

use bursar_protocol::codec;
use bursar_protocol::frame::HEADER_BYTES;
use bursar_protocol::message::{FromDaemon, HookFrame, ToDaemon};

const POLL: Duration = Duration::from_millis(2);

/// How long a test waits for a message that must come.
const LONG: Duration = Duration::from_secs(40);

/// A listener whose connections are each given to the script, with their number from zero. Gone when dropped.
pub(crate) struct Daemon {
    stop: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
    messages: Receiver<(u8, ToDaemon)>,
}

impl Daemon {
    pub(crate) fn serve(socket: &Path, script: impl Fn(usize, &mut Peer) + Send + Sync + 'static) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (tell, messages) = channel();
        let stopped = Arc::clone(&stop);
        let socket = socket.to_owned();
        let accepting = thread::spawn(move || {
            let script: Script = Arc::new(script);
            accept(&listener, &stopped, tell, &script);
            std::fs::remove_file(socket).unwrap();
        });
        Self { stop, accepting: Some(accepting), messages }
    }

    /// A daemon that answers every hook with this.
    pub(crate) fn answering(socket: &Path, answer: FromDaemon) -> Self {
        Self::serve(socket, move |_, peer| {
            peer.read();
            peer.send(&answer);
        })
    }

    /// The next message that came, with its version.
    #[track_caller]
    pub(crate) fn next(&self) -> (u8, ToDaemon) {
        self.messages.recv_timeout(LONG).expect("a message")
    }

    /// The next message, which is a hook.
    #[track_caller]
    pub(crate) fn next_hook(&self) -> HookFrame {
        match self.next().1 {
            ToDaemon::Hook(hook) => hook,
            other @ (ToDaemon::Resume { .. }
            | ToDaemon::Operator(_)
            | ToDaemon::Query(_)
            | ToDaemon::StatusLine(_)) => {
                panic!("not a hook: {other:?}")
            }
        }
    }

    /// Whether no message is left that nobody asked for.
    pub(crate) fn heard_no_more(&self) -> bool {
        self.messages.try_recv().is_err()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

type Script = Arc<dyn Fn(usize, &mut Peer) + Send + Sync>;

fn accept(listener: &UnixListener, stop: &AtomicBool, tell: Sender<(u8, ToDaemon)>, script: &Script) {
    let tell = Arc::new(Mutex::new(tell));
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).unwrap();
                let (tell, script) = (Arc::clone(&tell), Arc::clone(script));
                thread::spawn(move || script(number, &mut Peer { stream, tell }));
                number += 1;
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => sleep(POLL),
            Err(e) => panic!("accept: {e}"),
        }
    }
}

/// The daemon's end of a connection. Sending to a client that left is no error.
pub(crate) struct Peer {
    stream: UnixStream,
    tell: Arc<Mutex<Sender<(u8, ToDaemon)>>>,
}

impl Peer {
    /// Reads a message and tells the test.
    pub(crate) fn read(&mut self) -> ToDaemon {
        let mut header = [0; HEADER_BYTES];
        self.stream.read_exact(&mut header).unwrap();
        let mut body = vec![0; u32::from_le_bytes(*header[4..].first_chunk().unwrap()) as usize];
        self.stream.read_exact(&mut body).unwrap();
        let message: ToDaemon = codec::message(&body).unwrap();
        // The test may be over.
        let _ = self.tell.lock().unwrap().send((header[3], message.clone()));
        message
    }

    pub(crate) fn send(&mut self, message: &FromDaemon) {
        self.send_bytes(&codec::frame(message).unwrap());
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Says nothing more until the client hangs up.
    pub(crate) fn keep_still(&mut self) {
        while matches!(self.stream.read(&mut [0; 64]), Ok(n) if n > 0) {}
    }

    /// Keeps a hook waiting, with beats, while `wait` says so.
    pub(crate) fn beat_while(&mut self, wait: impl Fn() -> bool) {
        while wait() {
            self.send(&FromDaemon::Beat);
            sleep(Duration::from_millis(50));
        }
    }
}

pub(crate) fn answer(exit: u8, stdout: &str, stderr: &str) -> FromDaemon {
    FromDaemon::Answer { exit, stdout: stdout.to_owned(), stderr: stderr.to_owned() }
}

/// A stop that only the daemon says.
pub(crate) const STOP: &str = r#"{"continue":false,"stopReason":"The daemon says so."}"#;

pub(crate) fn stop() -> FromDaemon {
    answer(0, STOP, "")
}
