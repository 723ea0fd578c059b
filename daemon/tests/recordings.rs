//! Sessions recorded from the real client: what the reader and the rules make of them equals the client's own account.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bursar::prices::Prices;
use bursar::transcript;
use bursar_engine::State;
use bursar_engine::command::{Command, Usage};
use bursar_engine::ids::AgentKey;
use bursar_engine::policy::Policy;
use bursar_engine::table::HookEvent;
use bursar_engine::time::Timestamp;
use serde_json::Value;
use support::{apply, hook, session};

const NOW: u64 = 2_000_000_000_000;

/// A recording laid out as the client does, below a folder that goes with it.
struct Recording {
    _dir: tempfile::TempDir,
    transcript: PathBuf,
    result: Value,
}

impl Recording {
    fn open(name: &str) -> Self {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/recordings").join(name);
        let result: Value =
            serde_json::from_slice(&fs::read(data.join("client-result.json")).unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let id = result["session_id"].as_str().unwrap();
        let transcript = dir.path().join(format!("{id}.jsonl"));
        fs::copy(data.join("transcript.jsonl"), &transcript).unwrap();
        if let Ok(files) = fs::read_dir(data.join("subagents")) {
            let subagents = dir.path().join(id).join("subagents");
            fs::create_dir_all(&subagents).unwrap();
            for file in files.map(Result::unwrap) {
                fs::copy(file.path(), subagents.join(file.file_name())).unwrap();
            }
        }
        Self { _dir: dir, transcript, result }
    }

    fn id(&self) -> &str {
        self.result["session_id"].as_str().unwrap()
    }

    /// Reads all its files from wherever they were read to.
    fn read(&self, state: &mut State) {
        let session = session(self.id());
        let mut files = vec![(AgentKey::Main, self.transcript.clone())];
        files.extend(transcript::subagent_files(&self.transcript));
        for (agent, path) in files {
            loop {
                let progress = state.files.get(&path.to_string_lossy().into_owned()).cloned();
                let read = transcript::read_new(
                    &path,
                    &session,
                    &agent,
                    progress.as_ref(),
                    &Prices::built_in(),
                    Timestamp(NOW),
                )
                .unwrap();
                let Some(read) = read else { break };
                let usage = Usage { file: Some(read.progress), rows: read.rows, known: Vec::new() };
                apply(state, &Command::Usage(usage), NOW);
            }
        }
    }
}

/// A state that has met the session before its first line was written.
fn met(recording: &Recording) -> State {
    let mut state = State::new(Policy::default());
    apply(&mut state, &Command::Hook(hook(recording.id(), HookEvent::SessionStart, 1)), 1);
    state
}

fn by_model(state: &State, id: &str) -> BTreeMap<String, [u64; 4]> {
    let mut sums: BTreeMap<String, [u64; 4]> = BTreeMap::new();
    for (_, model, totals) in state.totals_of(&session(id)) {
        let u = totals.usage;
        let sum = sums.entry(model.to_owned()).or_default();
        for (sum, n) in sum.iter_mut().zip([u.input, u.output, u.cache_read, u.cache_write()]) {
            *sum += n;
        }
    }
    sums
}

fn by_the_client(result: &Value) -> BTreeMap<String, [u64; 4]> {
    let kinds = ["inputTokens", "outputTokens", "cacheReadInputTokens", "cacheCreationInputTokens"];
    let models = result["modelUsage"].as_object().unwrap().iter();
    models.map(|(model, usage)| (model.clone(), kinds.map(|kind| usage[kind].as_u64().unwrap()))).collect()
}

#[test]
fn totals_equal_the_clients_own_and_reading_again_adds_nothing() {
    for name in [
        "background-subagent",
        "failures-and-foreground-subagent",
        "identical-calls",
        "streamed-parallel-tools",
    ] {
        let recording = Recording::open(name);
        let mut state = met(&recording);
        recording.read(&mut state);
        assert_eq!(by_model(&state, recording.id()), by_the_client(&recording.result), "{name}");
        // From the beginning, as a daemon without its store would.
        state.files.clear();
        recording.read(&mut state);
        assert_eq!(by_model(&state, recording.id()), by_the_client(&recording.result), "{name}, read twice");
    }
}

#[test]
fn a_file_cut_anywhere_and_then_whole_counts_the_same() {
    let recording = Recording::open("streamed-parallel-tools");
    let text = fs::read(&recording.transcript).unwrap();
    for cut in (0..text.len()).step_by(997) {
        let mut state = met(&recording);
        fs::write(&recording.transcript, &text[..cut]).unwrap();
        recording.read(&mut state);
        fs::write(&recording.transcript, &text).unwrap();
        recording.read(&mut state);
        assert_eq!(by_model(&state, recording.id()), by_the_client(&recording.result), "cut at {cut}");
    }
}
