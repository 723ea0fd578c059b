//! What several modules need.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use bursar_tests::api::{Kind, RequestLog, Usage};
use bursar_tests::client::{ClientResult, ModelUsage};
use bursar_tests::daemon::Bursar;
use bursar_tests::recorder::Recorder;
use bursar_tests::reply::Tokens;
use bursar_tests::settings::Settings;
use bursar_tests::wait;
use bursar_tests::world::World;
use serde_json::json;

/// For what comes by itself, on a slow machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A request's usage that no other request of a test has, with something of each kind.
pub(crate) fn usage(n: u64) -> Usage {
    Usage::plain(10 + n, 100 + 3 * n).cached(1000 * n, 50 + 7 * n, 20 + n)
}

/// A request's usage that takes 1,000 tokens from a budget.
pub(crate) fn thousand() -> Usage {
    Usage::plain(100, 200).cached(5000, 600, 100)
}

/// A request's usage that takes so many tokens from a budget, nothing of it cached.
pub(crate) fn tokens(n: u64) -> Usage {
    Usage::plain(n / 2, n - n / 2)
}

/// The client and the API agree to the token, kind by kind and model by model.
#[track_caller]
pub(crate) fn assert_same_totals(result: &ClientResult, log: &RequestLog) {
    let sent: BTreeMap<String, ModelUsage> =
        log.usage_by_model().into_iter().map(|(model, usage)| (model, usage.into())).collect();
    assert_eq!(result.model_usage, sent, "the client's own totals (left) against what the API sent (right)");
}

/// Bursar, the client and the API agree to the token: the whole session, each model, each agent.
#[track_caller]
pub(crate) fn assert_counted(bursar: &Bursar<'_>, result: &ClientResult, log: &RequestLog) {
    assert_same_totals(result, log);
    let shown = bursar.session(&result.session_id);
    assert_eq!(shown.usage, Tokens::from(log.usage()), "the whole session (left) against what the API sent");

    let models = shown.models.iter().map(|share| (share.model.clone(), share.usage)).collect();
    let oracle: BTreeMap<String, Tokens> =
        result.model_usage.iter().map(|(model, usage)| (model.clone(), (*usage).into())).collect();
    assert_eq!(oracle, models, "the client's own totals (left) against Bursar's, by model");

    let entries = log.entries();
    let mut sent: Vec<(Tokens, u64)> = Vec::new();
    let mut kinds: Vec<&Kind> = Vec::new();
    for entry in &entries {
        if !kinds.contains(&&entry.kind) {
            kinds.push(&entry.kind);
            sent.push((log.usage_of(&entry.kind).into(), log.count_of(&entry.kind) as u64));
        }
    }
    let mut agents: Vec<(Tokens, u64)> =
        shown.agents.iter().map(|share| (share.usage, share.requests)).collect();
    sent.sort_unstable_by_key(|(usage, _)| usage.output_tokens);
    agents.sort_unstable_by_key(|(usage, _)| usage.output_tokens);
    assert_eq!(agents, sent, "Bursar's totals (left) against what the API sent, by agent");
    let main = shown.agents.iter().find(|share| share.agent == "main").map(|share| share.usage);
    assert_eq!(main, Some(log.usage_of(&Kind::Main).into()), "the main agent's share");
}

/// What a client writes to its hook for a call of a tool.
pub(crate) fn payload(session: &str, event: &str) -> Vec<u8> {
    json!({ "session_id": session, "hook_event_name": event, "tool_name": "Bash", "tool_input": {} })
        .to_string()
        .into_bytes()
}

/// A world with settings that register nothing.
pub(crate) fn bare() -> World {
    let world = World::new();
    Settings::new().write(&world.settings());
    world
}

/// A world whose settings register one recording hook for every event.
pub(crate) fn recorded() -> (World, Recorder) {
    let world = World::new();
    let recorder = Recorder::new(world.root(), "recorder");
    recorder.register(Settings::new()).write(&world.settings());
    (world, recorder)
}

/// A shell command that runs until the test ends it.
pub(crate) struct SlowCall {
    runs: PathBuf,
    goes: PathBuf,
}

impl SlowCall {
    pub(crate) fn new(world: &World) -> Self {
        Self { runs: world.root().join("slow-runs"), goes: world.root().join("slow-ends") }
    }

    pub(crate) fn command(&self) -> String {
        let (runs, goes) = (self.runs.display(), self.goes.display());
        format!("touch {runs}; until [ -e {goes} ]; do sleep 0.05; done")
    }

    #[track_caller]
    pub(crate) fn wait_until_it_runs(&self) {
        wait::until_true("the slow call's start", SOON, || self.runs.exists());
    }

    pub(crate) fn end(&self) {
        fs::write(&self.goes, "").expect("the slow call's end");
    }
}
