//! The first read of 100 MB of transcripts: the daemon's start-up, which reads and stores before it serves, against
//! ccusage, which reads and adds up. Both end with the same totals.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::binaries;
use super::served::{Served, payload};

const SESSIONS: usize = 100;

/// With these a session's file takes a megabyte; lines are as long, and of the kinds, that real sessions have on average.
const MESSAGES: usize = 90;
const THOUGHT: usize = 1_000;
const RESULT: usize = 7_000;

const ROUNDS: usize = 7;

/// What one process took from its start to its end, or to `ready`.
#[derive(Debug, Clone, Copy)]
struct Took {
    span: Duration,
    kib: u64,
}

pub(crate) fn run() {
    let Some(ccusage) = std::env::var_os("BURSAR_BENCH_CCUSAGE").map(PathBuf::from) else {
        println!("first read: no ccusage to measure against (`make bench` fetches it)");
        return;
    };
    let config = TempDir::with_prefix("bc-").unwrap();
    let folder = config.path().join("projects/-home-dev-shop");
    fs::create_dir_all(&folder).unwrap();
    // The sessions are met before they have lines, so that what is measured is reading alone.
    let daemon = Served::start();
    let paths: Vec<PathBuf> = (0..SESSIONS).map(|n| folder.join(format!("{}.jsonl", session(n)))).collect();
    for (n, path) in paths.iter().enumerate() {
        meet(&daemon, n, path);
    }
    let daemon = daemon.stop();
    let bytes: u64 = paths.iter().enumerate().map(|(n, path)| write(n, path)).sum();
    let megabytes = bytes as f64 / 1e6;

    let (mut ours, mut idle, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let home = daemon.stopped_copy();
        let (took, served) = start(home);
        let tokens = output_tokens(&served);
        // What is read already is not read again: the rest of a start.
        let (rest, _) = start(served.stop().stopped_copy());
        let (said, peer) = peer(&ccusage, config.path());
        assert_eq!(tokens, said, "both count the same");
        // The first finds cold caches.
        if round > 0 {
            ours.push(took);
            idle.push(rest);
            theirs.push(peer);
        }
    }
    let (ours, idle, theirs) = (median(ours), median(idle), median(theirs));
    let read = ours.span.saturating_sub(idle.span);
    println!(
        "first read of {megabytes:.0} MB: {:.0} ms and {:.1} MiB above idle ({:.0} ms and {:.1} MiB of a start); ccusage: {:.0} ms and {:.1} MiB; ratio of time {:.2} (bar 0.33), of memory {:.2}; above idle at most 16 MiB",
        millis(read),
        mib(ours.kib.saturating_sub(idle.kib)),
        millis(idle.span),
        mib(idle.kib),
        millis(theirs.span),
        mib(theirs.kib),
        millis(read) / millis(theirs.span),
        ours.kib as f64 / theirs.kib as f64,
    );
}

fn session(n: usize) -> String {
    format!("00000000-0000-4000-8000-{n:012}")
}

/// Writes a session as a client does, each message on two lines and the result of its call on one; its bytes.
fn write(n: usize, path: &Path) -> u64 {
    let id = session(n);
    let mut out = BufWriter::new(fs::File::create(path).unwrap());
    let mut line = |value: &Value| writeln!(out, "{value}").unwrap();
    for m in 0..MESSAGES {
        let at = format!("2026-11-20T10:{:02}:{:02}.000Z", m / 60, m % 60);
        let blocks = [
            json!({"type": "text", "text": prose(THOUGHT, m)}),
            json!({"type": "tool_use", "id": format!("toolu_{n}_{m}"), "name": "Bash", "input": {"command": prose(THOUGHT, m + 1)}}),
        ];
        for block in blocks {
            line(&json!({
                "type": "assistant", "timestamp": at, "sessionId": id, "requestId": format!("req_{n}_{m}"), "cwd": "/home/dev/shop",
                "version": "2.1.330", "isSidechain": false, "uuid": format!("{m:08}-0000-4000-8000-{n:012}"),
                "message": {
                    "id": format!("msg_{n}_{m}"), "type": "message", "role": "assistant", "model": "claude-opus-5-5",
                    "content": [block], "stop_reason": "tool_use",
                    "usage": {
                        "input_tokens": 7, "output_tokens": 100 + m, "cache_creation_input_tokens": 900, "cache_read_input_tokens": 40_000,
                        "cache_creation": {"ephemeral_5m_input_tokens": 900, "ephemeral_1h_input_tokens": 0},
                        "server_tool_use": {"web_search_requests": 0}, "service_tier": "standard",
                    },
                },
            }));
        }
        line(&json!({
            "type": "user", "timestamp": at, "sessionId": id, "cwd": "/home/dev/shop",
            "message": {"role": "user", "content": [{"type": "tool_result", "tool_use_id": format!("toolu_{n}_{m}"), "content": prose(RESULT, m)}]},
        }));
    }
    out.flush().unwrap();
    fs::metadata(path).unwrap().len()
}

/// So much of what a shell might say.
fn prose(bytes: usize, seed: usize) -> String {
    let mut text = String::with_capacity(bytes + 80);
    while text.len() < bytes {
        let n = text.len() + seed;
        // Writing to a String cannot fail.
        let _ = write!(text, "test orders::total_{n} ... ok\n\tat \"src/orders.rs\":{n}\n");
    }
    text
}

/// A client's first hook of a session, by the real hook client.
fn meet(daemon: &Served, n: usize, path: &Path) {
    let mut begins: Value = serde_json::from_slice(&payload(&session(n))).unwrap();
    begins["hook_event_name"] = "SessionStart".into();
    begins["source"] = "startup".into();
    begins["transcript_path"] = path.to_string_lossy().into();
    daemon.hook(begins.to_string().as_bytes());
}

/// Starts a daemon on a store: what it took until it served.
fn start(home: TempDir) -> (Took, Served) {
    let began = Instant::now();
    let served = Served::on(home);
    let span = began.elapsed();
    (Took { span, kib: served.peak_kib() }, served)
}

/// What all sessions wrote, as the commands show it.
fn output_tokens(served: &Served) -> u64 {
    let out = Command::new(binaries().join("bursar"))
        .args(["sessions", "--all", "--json"])
        .env("BURSAR_HOME", served.state())
        .output()
        .unwrap();
    let list: Value = serde_json::from_slice(&out.stdout).unwrap();
    list["sessions"].as_array().unwrap().iter().map(|s| s["usage"]["output_tokens"].as_u64().unwrap()).sum()
}

/// Runs ccusage once: the output tokens that it counts, and what it took.
fn peer(ccusage: &Path, config: &Path) -> (u64, Took) {
    // Its own interpreter measures: a process that has ended has no other trace of its memory.
    let measure = "import json,resource,subprocess,sys,time\nb=time.perf_counter()\np=subprocess.run(sys.argv[1:],stdout=subprocess.PIPE)\ns=time.perf_counter()-b\nassert p.returncode==0\nprint(s,resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss,json.loads(p.stdout)['totals']['outputTokens'])";
    let out = Command::new("python3")
        .args(["-c", measure])
        .arg(ccusage)
        .args(["claude", "session", "--json", "--offline"])
        .env("CLAUDE_CONFIG_DIR", config)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let parts: Vec<&str> = text.split_whitespace().collect();
    let [seconds, kib, tokens] = parts[..] else { panic!("ccusage said {text:?}") };
    let took = Took { span: Duration::from_secs_f64(seconds.parse().unwrap()), kib: kib.parse().unwrap() };
    (tokens.parse().unwrap(), took)
}

fn median(mut all: Vec<Took>) -> Took {
    all.sort_by_key(|took| took.kib);
    let kib = all[all.len() / 2].kib;
    all.sort_by_key(|took| took.span);
    Took { span: all[all.len() / 2].span, kib }
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
