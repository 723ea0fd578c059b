//! A decision over a kept-open socket against Redis's `INCR` over its Unix socket, by the same load.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use bursar_protocol::codec;
use bursar_protocol::frame::{HEADER_BYTES, Header};
use bursar_protocol::message::{HookFrame, ToDaemon};
use tempfile::TempDir;

use super::served::{Served, payload};
use super::{Spans, micros};

const ALONE: usize = 20_000;
const CONNECTIONS: usize = 50;
const EACH: usize = 1_000;

pub(crate) fn run() {
    let (daemon, redis) = (Served::start(), Redis::start());
    let socket = daemon.socket();
    for (connections, each) in [(1, ALONE), (CONNECTIONS, EACH)] {
        // Twice each, in turns: the second round is warm.
        for round in 0..2 {
            let (ours, our_rate) = load(&socket, connections, each, decision, hook_frame);
            let (theirs, their_rate) = load(&redis.socket(), connections, each, incr, |_| INCR.to_vec());
            if round == 0 {
                continue;
            }
            println!(
                "decision, {connections} connection(s): p50 {:.1} µs, p99 {:.1} µs, {our_rate:.0} a second; Redis INCR: p50 {:.1} µs, p99 {:.1} µs, {their_rate:.0} a second; p50 ratio {:.2} (bar 1 alone), rate ratio {:.2} (bar 1 at {CONNECTIONS})",
                micros(ours.p50()),
                micros(ours.p99()),
                micros(theirs.p50()),
                micros(theirs.p99()),
                micros(ours.p50()) / micros(theirs.p50()),
                our_rate / their_rate,
            );
        }
    }
}

const INCR: &[u8] = b"*2\r\n$4\r\nINCR\r\n$5\r\nbench\r\n";

type Ask = fn(&mut UnixStream, &[u8]);

/// The load of `connections` at once, each of which asks the same `each` times.
fn load(
    socket: &Path,
    connections: usize,
    each: usize,
    ask: Ask,
    request: fn(usize) -> Vec<u8>,
) -> (Spans, f64) {
    let began = Instant::now();
    let spans = scope(|scope| {
        let workers: Vec<_> = (0..connections)
            .map(|n| {
                scope.spawn(move || {
                    let mut stream = UnixStream::connect(socket).unwrap();
                    let request = request(n);
                    let once = |_| {
                        let began = Instant::now();
                        ask(&mut stream, &request);
                        began.elapsed()
                    };
                    (0..each).map(once).collect::<Vec<_>>()
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let rate = (connections * each) as f64 / began.elapsed().as_secs_f64();
    (Spans::new(spans), rate)
}

fn hook_frame(n: usize) -> Vec<u8> {
    let payload = payload(&format!("decision-bench-{n}"));
    codec::frame(&ToDaemon::Hook(HookFrame { attended: true, payload, ..HookFrame::default() })).unwrap()
}

fn decision(stream: &mut UnixStream, frame: &[u8]) {
    stream.write_all(frame).unwrap();
    let mut header = [0; HEADER_BYTES];
    stream.read_exact(&mut header).unwrap();
    let mut body = vec![0; Header::decode(header).unwrap().length as usize];
    stream.read_exact(&mut body).unwrap();
}

fn incr(stream: &mut UnixStream, request: &[u8]) {
    stream.write_all(request).unwrap();
    let mut answer = [0; 64];
    assert!(stream.read(&mut answer).unwrap() > 3);
}

/// A Redis of our own, ended when dropped.
struct Redis {
    process: Child,
    dir: TempDir,
}

impl Redis {
    fn start() -> Self {
        let dir = TempDir::with_prefix("br-").unwrap();
        let process = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--dir"])
            .arg(dir.path())
            .arg("--unixsocket")
            .arg(dir.path().join("redis.sock"))
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let redis = Self { process, dir };
        for _ in 0..500 {
            if UnixStream::connect(redis.socket()).is_ok() {
                return redis;
            }
            sleep(Duration::from_millis(10));
        }
        panic!("redis-server did not start");
    }

    fn socket(&self) -> std::path::PathBuf {
        self.dir.path().join("redis.sock")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
