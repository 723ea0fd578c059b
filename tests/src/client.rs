//! The real Claude Code client, headless.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;

use crate::api::{ScriptedApi, Usage};
use crate::process::{Finished, Running};
use crate::world::World;

/// The version that all of this was measured on; `client/fetch.sh` fetches the same.
const VERSION: &str = include_str!("../client/version");

/// An ordinary session takes two seconds.
const LIMIT: Duration = Duration::from_secs(90);

/// The client's program: `BURSAR_TEST_CLAUDE`, else where `client/fetch.sh` puts it.
#[track_caller]
pub fn binary() -> PathBuf {
    let named = std::env::var_os("BURSAR_TEST_CLAUDE").map(PathBuf::from);
    let binary = named.unwrap_or_else(|| cache().join(format!("claude-{}", VERSION.trim())).join("claude"));
    assert!(
        binary.is_file(),
        "the Claude Code client is missing at {}: run tests/client/fetch.sh, or name one in BURSAR_TEST_CLAUDE",
        binary.display()
    );
    binary
}

fn cache() -> PathBuf {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    std::env::var_os("BURSAR_TEST_CACHE").map_or_else(|| repository.join("target/client"), PathBuf::from)
}

/// What the client must find in its environment to talk to `api` and to nobody else.
pub(crate) fn client_environment(api: &ScriptedApi) -> [(&'static str, String); 6] {
    [
        ("ANTHROPIC_BASE_URL", api.base_url()),
        ("ANTHROPIC_API_KEY", "sk-ant-fake-0000".to_owned()),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1".to_owned()),
        ("DISABLE_TELEMETRY", "1".to_owned()),
        ("DISABLE_AUTOUPDATER", "1".to_owned()),
        ("DISABLE_ERROR_REPORTING", "1".to_owned()),
    ]
}

/// One headless run in the making.
#[derive(Debug)]
pub struct Headless {
    command: Command,
    format: &'static str,
}

impl Headless {
    /// `claude -p PROMPT` with the world's settings.
    pub fn new(world: &World, api: &ScriptedApi, prompt: &str) -> Self {
        let mut command = world.command(binary());
        command.envs(client_environment(api)).args(["-p", prompt, "--settings"]).arg(world.settings());
        Self { command, format: "json" }
    }

    /// Goes on with an earlier session.
    #[must_use]
    pub fn resume(mut self, session_id: &str) -> Self {
        self.command.args(["--resume", session_id]);
        self
    }

    /// A further argument.
    #[must_use]
    pub fn arg(mut self, arg: &str) -> Self {
        self.command.arg(arg);
        self
    }

    /// A further variable in its environment.
    #[must_use]
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.command.env(key, value);
        self
    }

    /// Prints every message and not only the result: hooks' words for the person are among them.
    #[must_use]
    pub fn streaming(mut self) -> Self {
        self.format = "stream-json";
        self.command.args(["--verbose", "--include-hook-events"]);
        self
    }

    /// Starts it and leaves it running.
    #[track_caller]
    pub fn start(mut self) -> HeadlessRun {
        self.command.args(["--output-format", self.format]);
        HeadlessRun(Running::start(self.command, "the client"))
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn run(self) -> Outcome {
        self.start().outcome()
    }
}

/// A headless client at work.
#[derive(Debug)]
pub struct HeadlessRun(Running);

impl HeadlessRun {
    /// Waits for its end.
    #[track_caller]
    pub fn outcome(self) -> Outcome {
        self.outcome_within(LIMIT)
    }

    /// Waits for its end, `limit` from its start at most.
    #[track_caller]
    pub fn outcome_within(self, limit: Duration) -> Outcome {
        Outcome::parse(self.0.wait(limit))
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.0.is_running()
    }

    /// What it has printed so far.
    pub fn stdout(&self) -> String {
        self.0.stdout()
    }

    /// The process itself, to signal it.
    pub fn process(&self) -> &Running {
        &self.0
    }
}

/// The tokens of one model, as the client itself reckons them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelUsage {
    /// Neither from the cache nor into it.
    pub input_tokens: u64,
    /// Written by the model.
    pub output_tokens: u64,
    /// Read from the cache.
    pub cache_read_input_tokens: u64,
    /// Written to the cache.
    pub cache_creation_input_tokens: u64,
}

impl From<Usage> for ModelUsage {
    fn from(usage: Usage) -> Self {
        Self {
            input_tokens: usage.input,
            output_tokens: usage.output,
            cache_read_input_tokens: usage.cache_read,
            cache_creation_input_tokens: usage.cache_write(),
        }
    }
}

/// The client's own account of a run: the oracle for counting.
#[derive(Debug, Clone, Deserialize)]
pub struct ClientResult {
    /// The session.
    pub session_id: String,
    /// What it spent by model, subagents included.
    #[serde(rename = "modelUsage", default, deserialize_with = "without_windows")]
    pub model_usage: BTreeMap<String, ModelUsage>,
    /// Why it ended: `completed`, `hook_stopped`, …
    pub terminal_reason: Option<String>,
    /// Whether it takes itself for failed.
    #[serde(default)]
    pub is_error: bool,
    /// Answers of the model.
    #[serde(default)]
    pub num_turns: u64,
    /// The last words.
    #[serde(default)]
    pub result: String,
    /// Its own figure of the cost.
    #[serde(default)]
    pub total_cost_usd: f64,
}

/// Older clients name the size of a model's window with it: `claude-opus-5[1m]`.
fn without_windows<'de, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<String, ModelUsage>, D::Error> {
    let named = BTreeMap::<String, ModelUsage>::deserialize(from)?;
    Ok(named.into_iter().map(|(name, usage)| (name.trim_end_matches("[1m]").to_owned(), usage)).collect())
}

/// The end of a headless run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The client's own account.
    pub result: ClientResult,
    /// All messages of a streaming run; else the result alone.
    pub messages: Vec<serde_json::Value>,
    /// The process.
    pub process: Finished,
}

impl Outcome {
    #[track_caller]
    fn parse(process: Finished) -> Self {
        let lines = process.stdout.lines().filter_map(|line| serde_json::from_str(line).ok());
        let messages: Vec<serde_json::Value> = lines.collect();
        let result = messages.iter().rev().find(|message| message["type"] == "result");
        let result = result.and_then(|message| ClientResult::deserialize(message).ok());
        let Some(result) = result else {
            panic!("the client ended without a result: {process:?}");
        };
        Self { result, messages, process }
    }

    /// Its `terminal_reason`, empty when it named none.
    pub fn reason(&self) -> &str {
        self.result.terminal_reason.as_deref().unwrap_or_default()
    }

    /// What hooks told the person with `systemMessage`; a streaming run only.
    pub fn system_messages(&self) -> Vec<String> {
        let answers = self.messages.iter().filter(|message| message["subtype"] == "hook_response");
        let answers = answers.filter_map(|message| serde_json::from_str(message["stdout"].as_str()?).ok());
        answers
            .filter_map(|answer: serde_json::Value| Some(answer["systemMessage"].as_str()?.to_owned()))
            .collect()
    }
}
