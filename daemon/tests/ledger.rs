//! The ledger over recorded sessions: settled by their clients' own words, the same in whatever order files are read,
//! and equal to a recount in another language.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stderr, reason = "a test")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Process;

use bursar::otlp::read_json;
use bursar::prices::Prices;
use bursar::telemetry::reports;
use bursar::transcript;
use bursar_engine::State;
use bursar_engine::command::{Command, Hook, Reports, Usage};
use bursar_engine::ids::{AgentKey, SessionId};
use bursar_engine::policy::Policy;
use bursar_engine::reported::Report;
use bursar_engine::run::Begins;
use bursar_engine::table::HookEvent;
use bursar_engine::time::Timestamp;
use proptest::prelude::*;
use serde_json::Value;
use support::{apply, hook, session};

const PARENT: &str = "e05ec7e7-0718-4067-840f-505d97594b53";
const CLEARED: &str = "5885e5ea-0b17-4aa8-8ba5-12e50eb278a4";
const FORK: &str = "c9314e6c-4af9-4fb8-893d-dbb8dfc6eb78";

/// Input, output, cache reads, cache writes; by model; by session.
type Ledger = BTreeMap<String, BTreeMap<String, [u64; 4]>>;

fn recordings() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/recordings")
}

fn recorded(id: &str) -> PathBuf {
    recordings().join(format!("compact-clear-fork-resume/sessions/{id}.jsonl"))
}

/// A moment of 2026-11-23, 21:45 and so many milliseconds: when the sessions were recorded.
fn at(ms: u64) -> u64 {
    1_795_470_300_000 + ms
}

/// A session whose file grows as its client wrote it.
struct Growing {
    session: SessionId,
    agent: AgentKey,
    bytes: Vec<u8>,
    path: PathBuf,
}

impl Growing {
    fn new(dir: &Path, source: &Path, id: &str, agent: AgentKey) -> Self {
        let path = dir.join(place(id, &agent));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        Self { session: session(id), agent, bytes: unique(source, id).into_bytes(), path }
    }

    /// Reads the file as it was when it had so many bytes.
    fn read(&self, state: &mut State, length: usize, now: u64) {
        fs::write(&self.path, &self.bytes[..length.min(self.bytes.len())]).unwrap();
        read_all(state, &self.path, &self.session, &self.agent, now);
    }

    fn read_whole(&self, state: &mut State, now: u64) {
        self.read(state, self.bytes.len(), now);
    }
}

fn read_all(state: &mut State, path: &Path, id: &SessionId, agent: &AgentKey, now: u64) {
    loop {
        let progress = state.files.get(&path.to_string_lossy().into_owned()).cloned();
        let read =
            transcript::read_new(path, id, agent, progress.as_ref(), &Prices::built_in(), Timestamp(now))
                .unwrap();
        let Some(read) = read else { break };
        let usage =
            Usage { file: Some(read.progress), rows: read.rows, known: Vec::new(), claim: read.claim };
        apply(state, &Command::Usage(usage), now);
    }
}

fn ledger(state: &State) -> Ledger {
    let mut ledger = Ledger::new();
    for ((session, _, model), totals) in &state.totals {
        let u = totals.usage;
        let sums = ledger.entry(session.to_string()).or_default().entry(model.clone()).or_default();
        for (sum, n) in sums.iter_mut().zip([u.input, u.output, u.cache_read, u.cache_write()]) {
            *sum += n;
        }
    }
    ledger
}

fn begins(id: &str, how: Begins, client: u32, now: u64) -> Command {
    Command::Hook(Hook {
        begins: Some(how),
        client_pid: Some(client),
        ..hook(id, HookEvent::SessionStart, now)
    })
}

fn ends(id: &str, now: u64) -> Command {
    Command::Hook(hook(id, HookEvent::SessionEnd, now))
}

#[test]
fn with_compaction_clear_fork_and_resume_totals_equal_the_clients_own() {
    let dir = tempfile::tempdir().unwrap();
    let open = |id: &str| Growing::new(dir.path(), &recorded(id), id, AgentKey::Main);
    let (parent, cleared, fork) = (open(PARENT), open(CLEARED), open(FORK));
    let mut state = State::new(Policy::default());

    apply(&mut state, &begins(PARENT, Begins::Startup, 7, at(4_000)), at(4_000));
    // The whole of its first run: up to the client's own word, and that.
    let marker = br#""type":"cost-state""#;
    let said = parent.bytes.windows(marker.len()).position(|w| w == marker).unwrap();
    let first_run = said + parent.bytes[said..].iter().position(|b| *b == b'\n').unwrap() + 1;
    let lines = parent.bytes[..said].iter().rposition(|b| *b == b'\n').unwrap() + 1;
    parent.read(&mut state, lines, at(25_000));
    assert_eq!(ledger(&state)[PARENT]["claude-opus-5-5"][0], 1_018, "what its lines show");
    apply(&mut state, &ends(PARENT, at(25_100)), at(25_100));
    parent.read(&mut state, first_run, at(25_200));
    assert_eq!(ledger(&state)[PARENT]["claude-opus-5-5"], [4_024, 424, 7_500, 3_880]);

    apply(&mut state, &begins(CLEARED, Begins::Clear, 7, at(25_300)), at(25_300));
    cleared.read_whole(&mut state, at(36_000));
    apply(&mut state, &ends(CLEARED, at(36_000)), at(36_000));

    apply(&mut state, &begins(FORK, Begins::Fork, 8, at(36_900)), at(36_900));
    fork.read_whole(&mut state, at(37_300));
    apply(&mut state, &ends(FORK, at(37_300)), at(37_300));

    apply(&mut state, &begins(PARENT, Begins::Resume, 9, at(37_400)), at(37_400));
    parent.read_whole(&mut state, at(38_000));
    apply(&mut state, &ends(PARENT, at(38_000)), at(38_000));

    let results: Value = serde_json::from_slice(
        &fs::read(recordings().join("compact-clear-fork-resume/client-results.json")).unwrap(),
    )
    .unwrap();
    let by_the_client = |run: &str| {
        let usage = &results[run]["modelUsage"]["claude-opus-5-5"];
        ["inputTokens", "outputTokens", "cacheReadInputTokens", "cacheCreationInputTokens"]
            .map(|kind| usage[kind].as_u64().unwrap())
    };
    let ledger = ledger(&state);
    assert_eq!(ledger[PARENT]["claude-opus-5-5"], by_the_client("resume"));
    assert_eq!(ledger[CLEARED]["claude-opus-5-5"], [508, 58, 300, 970]);
    // The fork's client counts on from its parent's 4,024; its own are the rest.
    let own: Vec<u64> = by_the_client("fork")
        .iter()
        .zip([4_024, 424, 7_500, 3_880])
        .map(|(all, before)| all - before)
        .collect();
    assert_eq!(ledger[FORK]["claude-opus-5-5"].to_vec(), own);
    assert_eq!(own[0], 609);
    // And to the micro-dollar, for what the client says it cost.
    let cost = |id: &str| -> u64 { state.totals_of(&session(id)).map(|(_, _, t)| t.micro_usd).sum() };
    assert_eq!([PARENT, CLEARED, FORK].map(cost), [62_584, 11_012, 62_052 - 57_116]);
    for id in [PARENT, CLEARED, FORK] {
        let runs = &state.runs[&session(id)];
        let (accounted, said) = runs.coverage().unwrap();
        assert_eq!((runs.is_lower_bound(), accounted), (false, said), "{id}");
    }
}

/// A recording's text. The scripted API of the older ones gave each the same message ids, which the real one never does.
fn unique(source: &Path, id: &str) -> String {
    fs::read_to_string(source).unwrap().replace("msg_00", &format!("msg_{}", &id[..6]))
}

/// Where the client writes an agent's transcript, below its project's folder.
fn place(id: &str, agent: &AgentKey) -> String {
    agent.sub().map_or(format!("{id}.jsonl"), |agent| format!("{id}/subagents/agent-{agent}.jsonl"))
}

/// Every session of the recordings with its files.
fn all_files() -> Vec<(String, AgentKey, PathBuf)> {
    let mut all: Vec<_> =
        [PARENT, CLEARED, FORK].iter().map(|id| ((*id).to_owned(), AgentKey::Main, recorded(id))).collect();
    for name in ["background-subagent", "failures-and-foreground-subagent", "streamed-parallel-tools"] {
        let dir = recordings().join(name);
        let result: Value =
            serde_json::from_slice(&fs::read(dir.join("client-result.json")).unwrap()).unwrap();
        let id = result["session_id"].as_str().unwrap();
        all.push((id.to_owned(), AgentKey::Main, dir.join("transcript.jsonl")));
        for file in fs::read_dir(dir.join("subagents")).into_iter().flatten().map(Result::unwrap) {
            let name = file.file_name().into_string().unwrap();
            let agent = name.strip_prefix("agent-").unwrap().strip_suffix(".jsonl").unwrap();
            all.push((id.to_owned(), AgentKey::new(Some(agent)).unwrap(), file.path()));
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Files of two sessions that grow by any steps in any order.
    #[test]
    fn any_interleaving_of_two_sessions_gives_the_same_ledger(
        pair in (0..6_usize, 0..6_usize),
        steps in proptest::collection::vec((any::<prop::sample::Index>(), 1..30_000_usize), 0..12),
    ) {
        let all = all_files();
        let mut ids: Vec<&String> = all.iter().map(|(id, _, _)| id).collect();
        ids.dedup();
        let chosen = [ids[pair.0], ids[pair.1]];
        let dir = tempfile::tempdir().unwrap();
        let files: Vec<Growing> = all
            .iter()
            .filter(|(id, _, _)| chosen.contains(&id))
            .map(|(id, agent, path)| Growing::new(dir.path(), path, id, agent.clone()))
            .collect();
        let met = || {
            let mut state = State::new(Policy::default());
            for id in chosen {
                apply(&mut state, &Command::Hook(hook(id, HookEvent::SessionStart, 1)), 1);
            }
            state
        };
        let mut straight = met();
        for file in &files {
            file.read_whole(&mut straight, at(60_000));
        }
        let mut mixed = met();
        let mut lengths = vec![0; files.len()];
        for (which, more) in steps {
            let which = which.index(files.len());
            lengths[which] += more;
            files[which].read(&mut mixed, lengths[which], at(60_000));
        }
        for file in files.iter().rev() {
            file.read_whole(&mut mixed, at(60_000));
        }
        prop_assert_eq!(ledger(&straight), ledger(&mixed));
        let used = |state: &State| state.budgets.values().map(|b| (b.id.to_string(), b.tokens_used())).collect::<Vec<_>>();
        prop_assert_eq!(used(&straight), used(&mixed));
    }
}

/// The batches that the recorded clients sent.
fn batches() -> Vec<Vec<Report>> {
    let text = fs::read_to_string(recordings().join("compact-clear-fork-resume/otlp.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let logs = lines.filter(|line| line["path"] == "/v1/logs");
    let (prices, now) = (Prices::built_in(), Timestamp(at(60_000)));
    let read = |line: Value| {
        let batch = read_json(line["body"].to_string().as_bytes(), now).unwrap();
        reports(&prices, now, batch.requests)
    };
    logs.map(read).filter(|reports| !reports.is_empty()).collect()
}

/// What comes next: more of a session's file, a batch, or half a minute.
#[derive(Debug, Clone)]
enum Next {
    File(usize, usize),
    Batch(prop::sample::Index),
    Long,
}

fn next() -> impl Strategy<Value = Next> {
    prop_oneof![
        4 => (0..3_usize, 1..30_000_usize).prop_map(|(which, more)| Next::File(which, more)),
        4 => any::<prop::sample::Index>().prop_map(Next::Batch),
        1 => Just(Next::Long),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Batches twice, late, out of order, before their lines; without a word of the clients at the end. All of it comes
    /// to what the clients themselves say, to the token and the micro-dollar.
    #[test]
    fn with_telemetry_totals_are_the_clients_own_in_any_order(steps in proptest::collection::vec(next(), 0..30)) {
        let dir = tempfile::tempdir().unwrap();
        let ids = [PARENT, CLEARED, FORK];
        let files = ids.map(|id| Growing::new(dir.path(), &recorded(id), id, AgentKey::Main));
        let batches = batches();
        let mut state = State::new(Policy::default());
        for id in ids {
            apply(&mut state, &Command::Hook(hook(id, HookEvent::SessionStart, 1)), 1);
        }
        let (mut lengths, mut now) = ([0; 3], at(60_000));
        let told = |state: &mut State, batch: &Vec<Report>, now: u64| {
            apply(state, &Command::Reports(Reports { reports: batch.clone(), known: Vec::new() }), now);
        };
        for step in steps {
            match step {
                Next::File(which, more) => {
                    lengths[which] += more;
                    files[which].read(&mut state, lengths[which], now);
                }
                Next::Batch(batch) => told(&mut state, batch.get(&batches), now),
                Next::Long => {
                    now += 31_000;
                    apply(&mut state, &Command::Tick, now);
                }
            }
        }
        for batch in batches.iter().rev() {
            told(&mut state, batch, now);
        }
        for file in &files {
            file.read_whole(&mut state, now);
        }
        prop_assert!(state.awaited.is_empty(), "each has its line");
        let ledger = ledger(&state);
        prop_assert_eq!(ledger[PARENT]["claude-opus-5-5"], [4_734, 494, 10_000, 3_971]);
        prop_assert_eq!(ledger[CLEARED]["claude-opus-5-5"], [508, 58, 300, 970]);
        prop_assert_eq!(ledger[FORK]["claude-opus-5-5"], [4_633 - 4_024, 493 - 424, 9_900 - 7_500, 3_960 - 3_880]);
        let sum = |id: &str| state.totals_of(&session(id)).fold((0, 0), |(cost, n), (_, _, t)| (cost + t.micro_usd, n + t.requests));
        prop_assert_eq!(ids.map(sum), [(62_584, 7), (11_012, 1), (62_052 - 57_116, 1)]);
        let used = state.budgets.values().map(|b| (b.id.to_string(), b.tokens_used())).collect::<BTreeMap<_, _>>();
        prop_assert_eq!(used[&format!("session:{PARENT}")], 4_734 + 494 + 3_971);
    }
}

fn recount(files: &[PathBuf]) -> Ledger {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recount.mjs");
    let out = Process::new("node").arg(script).args(files).output().expect("node counts too");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

/// What the daemon makes of these files; none of their sessions had a hook here.
fn counted(files: &[(SessionId, AgentKey, PathBuf)]) -> Ledger {
    let mut state = State::new(Policy::default());
    let now = u64::try_from(i64::MAX).unwrap() / 2;
    for (id, agent, path) in files {
        read_all(&mut state, path, id, agent, now);
    }
    let mut ledger = ledger(&state);
    for models in ledger.values_mut() {
        models.retain(|_, kinds| *kinds != [0; 4]);
    }
    ledger
}

fn without_zeros(mut ledger: Ledger) -> Ledger {
    for models in ledger.values_mut() {
        models.retain(|_, kinds| *kinds != [0; 4]);
    }
    ledger
}

#[test]
fn the_recordings_count_as_a_recount_in_another_language_does() {
    let dir = tempfile::tempdir().unwrap();
    let laid_out = |(id, agent, path): (String, AgentKey, PathBuf)| {
        let there = dir.path().join(place(&id, &agent));
        fs::create_dir_all(there.parent().unwrap()).unwrap();
        fs::write(&there, unique(&path, &id)).unwrap();
        (session(&id), agent, there)
    };
    let files: Vec<_> = all_files().into_iter().map(laid_out).collect();
    let paths: Vec<PathBuf> = files.iter().map(|(_, _, path)| path.clone()).collect();
    let ours = counted(&files);
    assert_eq!(ours.len(), 6);
    assert_eq!(ours, without_zeros(recount(&paths)));
}

/// Other people's sessions stay where they are.
#[test]
fn other_peoples_sessions_count_as_a_recount_in_another_language_does() {
    let Some(corpus) = support::corpus() else {
        eprintln!("no corpus is here: nothing to count");
        return;
    };
    let unpacked = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for folder in fs::read_dir(&corpus).unwrap().map(|f| f.unwrap().path()).filter(|p| p.is_dir()) {
        for path in fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let Some(id) = name.strip_suffix(".jsonl.gz") else { continue };
            let plain = unpacked.path().join(format!("{id}.jsonl"));
            let out = Process::new("gzip").arg("-dc").arg(&path).output().unwrap();
            assert!(out.status.success());
            fs::write(&plain, out.stdout).unwrap();
            files.push((session(id), AgentKey::Main, plain));
        }
    }
    files.sort_by(|a, b| a.2.cmp(&b.2));
    let paths: Vec<PathBuf> = files.iter().map(|(_, _, path)| path.clone()).collect();
    let ours = counted(&files);
    assert!(ours.len() > 40, "{} sessions", ours.len());
    assert_eq!(ours, without_zeros(recount(&paths)));
}
