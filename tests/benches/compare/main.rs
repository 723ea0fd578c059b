//! Bursar, ccusage and the client itself, side by side on recorded sessions: `make compare` writes the table of
//! `docs/counting.md`.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints, and ends where something is missing"
)]

#[allow(dead_code, reason = "the other bench uses the rest")]
#[path = "../bars/served.rs"]
mod served;

use std::fs;
use std::io::Write as _;
use std::ops::AddAssign;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use served::Served;
use tempfile::TempDir;

fn binaries() -> PathBuf {
    std::env::var_os("BURSAR_BENCH_BIN")
        .map(PathBuf::from)
        .expect("run `make compare`, which builds what is measured")
}

/// Tokens, and dollars at list prices.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    input: u64,
    output: u64,
    cache_write: u64,
    cache_read: u64,
    micro_usd: u64,
}

impl Count {
    fn of(value: &Value, names: [&str; 4], usd: &str) -> Self {
        let [input, output, cache_write, cache_read] = names.map(|name| value[name].as_u64().unwrap());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few cents")]
        let micro_usd = (value[usd].as_f64().unwrap_or(0.0) * 1e6).round() as u64;
        Self { input, output, cache_write, cache_read, micro_usd }
    }

    /// As the client writes it, in its results and in its transcripts.
    fn by_the_client(models: &Value) -> Self {
        let kinds = ["inputTokens", "outputTokens", "cacheCreationInputTokens", "cacheReadInputTokens"];
        let mut sum = Self::default();
        models.as_object().unwrap().values().for_each(|model| sum += Self::of(model, kinds, "costUSD"));
        sum
    }

    fn minus(self, other: Self) -> Self {
        Self {
            input: self.input - other.input,
            output: self.output - other.output,
            cache_write: self.cache_write - other.cache_write,
            cache_read: self.cache_read - other.cache_read,
            micro_usd: self.micro_usd - other.micro_usd,
        }
    }
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.input += other.input;
        self.output += other.output;
        self.cache_write += other.cache_write;
        self.cache_read += other.cache_read;
        self.micro_usd += other.micro_usd;
    }
}

/// One process of the client: its session, how it began, and the file of its session as it was at its end.
struct Run {
    session: String,
    source: &'static str,
    file: Vec<u8>,
    subagents: Option<PathBuf>,
}

/// What one recording holds.
struct Recording {
    name: &'static str,
    runs: Vec<Run>,
    client: Count,
}

fn recordings() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../daemon/tests/data/recordings")
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// A session that one process began and ended.
fn single(name: &'static str) -> Recording {
    let dir = recordings().join(name);
    let result = read_json(&dir.join("client-result.json"));
    let run = Run {
        session: result["session_id"].as_str().unwrap().to_owned(),
        source: "startup",
        file: fs::read(dir.join("transcript.jsonl")).unwrap(),
        subagents: Some(dir.join("subagents")).filter(|folder| folder.exists()),
    };
    Recording { name, runs: vec![run], client: Count::by_the_client(&result["modelUsage"]) }
}

/// A session that is compacted, cleared, forked and resumed: three sessions of four processes.
fn entangled() -> Recording {
    let name = "compact-clear-fork-resume";
    let dir = recordings().join(name);
    let file = |id: &str| fs::read(dir.join(format!("sessions/{id}.jsonl"))).unwrap();
    let [parent, cleared, fork] = [
        "e05ec7e7-0718-4067-840f-505d97594b53",
        "5885e5ea-0b17-4aa8-8ba5-12e50eb278a4",
        "c9314e6c-4af9-4fb8-893d-dbb8dfc6eb78",
    ];
    let whole = file(parent);
    let line = |line: &&[u8]| line.windows(12).any(|w| w == b"\"cost-state\"");
    let first = whole.split_inclusive(|byte| *byte == b'\n').position(|l| line(&l)).unwrap();
    let first: usize = whole.split_inclusive(|byte| *byte == b'\n').take(first + 1).map(<[u8]>::len).sum();
    let claim = |bytes: &[u8]| {
        let said: Vec<Value> = bytes
            .split(|byte| *byte == b'\n')
            .filter(line)
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect();
        Count::by_the_client(&said.last().unwrap()["modelUsage"])
    };
    let results = read_json(&dir.join("client-results.json"));
    // A fork's client counts on from its parent's figure.
    let mut client = Count::by_the_client(&results["fork"]["modelUsage"]).minus(claim(&whole[..first]));
    client += Count::by_the_client(&results["resume"]["modelUsage"]);
    client += claim(&file(cleared));
    let run =
        |session: &str, source, file| Run { session: session.to_owned(), source, file, subagents: None };
    let runs = vec![
        run(parent, "startup", whole[..first].to_vec()),
        run(cleared, "clear", file(cleared)),
        run(fork, "fork", file(fork)),
        run(parent, "resume", whole),
    ];
    Recording { name, runs, client }
}

fn main() {
    // Cargo's test harness asks every bench to list itself.
    if std::env::args().any(|arg| arg == "--list") {
        return;
    }
    let ccusage = std::env::var_os("BURSAR_BENCH_CCUSAGE").map(PathBuf::from).expect("run `make compare`");
    let names = [
        "streamed-parallel-tools",
        "failures-and-foreground-subagent",
        "background-subagent",
        "identical-calls",
    ];
    println!("| recording | counted by | input | output | cache writes | cache reads | USD |");
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: |");
    for recording in names.map(single).into_iter().chain([entangled()]) {
        let ours = by_bursar(&recording.runs);
        let peers = by_ccusage(&ccusage, &recording.runs);
        row(recording.name, "Claude Code itself", recording.client);
        row("", "Bursar", ours);
        row("", "ccusage", peers);
    }
}

fn row(name: &str, by: &str, count: Count) {
    let Count { input, output, cache_write, cache_read, micro_usd } = count;
    println!(
        "| {name} | {by} | {input} | {output} | {cache_write} | {cache_read} | {:.6} |",
        micro_usd as f64 / 1e6
    );
}

/// Writes a run's files as they were at its end, below the folder of its project; the session's own.
fn lay_out(run: &Run, folder: &Path, dated: fn(&[u8]) -> Vec<u8>) -> PathBuf {
    let path = folder.join(format!("{}.jsonl", run.session));
    let known = fs::metadata(&path).map_or(0, |file| usize::try_from(file.len()).unwrap());
    let mut file = fs::OpenOptions::new().create(true).append(true).open(&path).unwrap();
    file.write_all(&dated(&run.file)[known..]).unwrap();
    if let Some(subagents) = &run.subagents {
        let there = folder.join(&run.session).join("subagents");
        fs::create_dir_all(&there).unwrap();
        for file in fs::read_dir(subagents).unwrap().map(Result::unwrap) {
            fs::write(there.join(file.file_name()), dated(&fs::read(file.path()).unwrap())).unwrap();
        }
    }
    path
}

/// The daemon dates what is of the future now, when it reads it: the recorded session goes on before its eyes.
fn now(file: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(file).unwrap();
    let key = "\"timestamp\":\"";
    let mut parts = text.split(key);
    let mut out = parts.next().unwrap().to_owned();
    for part in parts {
        out.push_str(key);
        out.push('9');
        out.push_str(&part[1..]);
    }
    out.into_bytes()
}

/// The real daemon, told by its real hook client what the recorded one would have told.
fn by_bursar(runs: &[Run]) -> Count {
    let project = TempDir::with_prefix("bc-").unwrap();
    let daemon = Served::start();
    for run in runs {
        let path = project.path().join(format!("{}.jsonl", run.session));
        hook(&daemon, &run.session, &path, &json!({"hook_event_name": "SessionStart", "source": run.source}));
        lay_out(run, project.path(), now);
        for event in ["Stop", "SessionEnd"] {
            hook(&daemon, &run.session, &path, &json!({"hook_event_name": event, "reason": "other"}));
        }
    }
    let out = Command::new(binaries().join("bursar"))
        .args(["sessions", "--all", "--json"])
        .env("BURSAR_HOME", daemon.state())
        .output()
        .unwrap();
    let list: Value = serde_json::from_slice(&out.stdout).unwrap();
    let mut sum = Count::default();
    for session in list["sessions"].as_array().unwrap() {
        let kinds =
            ["input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"];
        let tokens = Count::of(&session["usage"], kinds, "none");
        sum += Count { micro_usd: session["cost_micro_usd"].as_u64().unwrap(), ..tokens };
    }
    sum
}

fn hook(daemon: &Served, session: &str, transcript: &Path, more: &Value) {
    let mut payload = json!({"session_id": session, "transcript_path": transcript, "cwd": "/home/dev/shop"});
    payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    daemon.hook(payload.to_string().as_bytes());
}

fn by_ccusage(ccusage: &Path, runs: &[Run]) -> Count {
    let config = TempDir::with_prefix("bc-").unwrap();
    let folder = config.path().join("projects/-p");
    fs::create_dir_all(&folder).unwrap();
    for run in runs {
        lay_out(run, &folder, <[u8]>::to_vec);
    }
    let out = Command::new(ccusage)
        .args(["claude", "session", "--json", "--offline"])
        .env("CLAUDE_CONFIG_DIR", config.path())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let said: Value = serde_json::from_slice(&out.stdout).unwrap();
    let kinds = ["inputTokens", "outputTokens", "cacheCreationTokens", "cacheReadTokens"];
    Count::of(&said["totals"], kinds, "totalCost")
}
