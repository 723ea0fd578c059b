//! The whole hook client, from its start to its exit, against a process that does nothing.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::served::{Served, payload};
use super::{Spans, binaries, micros};

const RUNS: usize = 600;

pub(crate) fn run() {
    let daemon = Served::start();
    let (state, socket) = (daemon.state(), daemon.socket());
    let (state, socket) = (state.to_str().unwrap(), socket.to_str().unwrap());
    let args = ["--socket", socket, "--state", state, "--timeout", "86460"];
    let (client, peer) = (binaries().join("bursar-hook"), binaries().join("do-nothing"));
    let payload = payload("hook-bench");
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for n in 0..RUNS + 20 {
        let (a, b) = (once(&client, &args, &payload), once(&peer, &[], &payload));
        // The first ones find cold caches.
        if n >= 20 {
            ours.push(a);
            theirs.push(b);
        }
    }
    let (ours, theirs) = (Spans::new(ours), Spans::new(theirs));
    println!(
        "hook client, start to exit: p50 {:.0} µs, p99 {:.0} µs; a process that does nothing: p50 {:.0} µs; ratio {:.2} (bar 1.5)",
        micros(ours.p50()),
        micros(ours.p99()),
        micros(theirs.p50()),
        micros(ours.p50()) / micros(theirs.p50()),
    );
}

fn once(program: &Path, args: &[&str], payload: &[u8]) -> Duration {
    let began = Instant::now();
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // One that does nothing may be gone before it could be told anything.
    let _ = child.stdin.take().unwrap().write_all(payload);
    assert!(child.wait().unwrap().success());
    began.elapsed()
}
