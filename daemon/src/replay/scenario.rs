//! A file of scenarios: one a line, each the calls of a session, with what is expected of the breaker.

use std::collections::BTreeMap;

use bursar_engine::policy::{CircuitPolicy, Profile};
use bursar_engine::time::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Happening, Made, Replay, Seen, What};

/// A scenario.
#[derive(Debug, Deserialize)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// Its calls.
    pub calls: Vec<Call>,
    /// Settings that are not the default ones.
    #[serde(default)]
    pub config: Config,
    /// What is expected: `trip` or `no_trip`.
    pub expect: Option<String>,
    /// The latest call at which a circuit must be open.
    pub at_call: Option<u64>,
    /// A warning before any trip: `must`, `ok` or `must_not`.
    pub warn: Option<String>,
    /// The latest call at which a half-open circuit must be open again.
    pub reopen_at_call: Option<u64>,
    /// After which call a half-open circuit is closed.
    pub closes_after_call: Option<u64>,
}

/// Settings of a scenario.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Config {
    enabled: Option<bool>,
    profile: Option<Profile>,
    identical_limit: Option<u64>,
    max_iterations: Option<u64>,
    rapid_fire_threshold: Option<u64>,
    rapid_fire_window: Option<u64>,
    cooldown: Option<u64>,
}

/// A call of a scenario, or an event whose name begins with `_`.
#[derive(Debug, Deserialize)]
pub struct Call {
    tool: String,
    #[serde(default)]
    input: Option<Box<RawValue>>,
    /// Neither this nor an output: nothing came of it.
    ok: Option<bool>,
    output: Option<String>,
    /// Seconds since the beginning.
    #[serde(default)]
    t: f64,
    agent: Option<String>,
    /// Calls of one message have the same.
    batch: Option<u64>,
    #[serde(default)]
    denied: bool,
    id: Option<String>,
    #[serde(default)]
    user_prompt_before: bool,
    #[serde(default)]
    half_open_before: bool,
}

/// When a scenario begins: any time will do.
const BEGINS_MS: u64 = 1_800_000_000_000;

/// How the client begins the result of a call that a person refused.
const DENIED: &str = "The user doesn't want to proceed with this tool use.";

impl Scenario {
    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(line: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(line)
    }

    /// The breaker's settings that it asks for, over these.
    pub fn policy(&self, base: &CircuitPolicy) -> CircuitPolicy {
        let config = &self.config;
        CircuitPolicy {
            enabled: config.enabled.unwrap_or(base.enabled),
            profile: config.profile.unwrap_or(base.profile),
            duplicate_threshold: config.identical_limit.unwrap_or(base.duplicate_threshold),
            max_iterations: config.max_iterations.or(base.max_iterations),
            rapid_fire_threshold: config.rapid_fire_threshold.or(base.rapid_fire_threshold),
            rapid_fire_window_s: config.rapid_fire_window.unwrap_or(base.rapid_fire_window_s),
            cooldown_s: config.cooldown.unwrap_or(base.cooldown_s),
        }
    }

    /// How what came of it differs from what it expects; none where it does not.
    pub fn differs(&self, seen: &Seen) -> Option<&'static str> {
        let in_time = |at: Option<u64>, latest: Option<u64>| {
            at.is_some_and(|at| latest.is_none_or(|latest| at <= latest))
        };
        let before = |at: u64| seen.tripped_at.is_none_or(|tripped| at < tripped);
        let warned = seen.warned.iter().any(|(at, _)| before(*at));
        let checks = [
            (self.expect.as_deref() == Some("no_trip") && seen.tripped_at.is_some(), "must not trip"),
            (
                self.expect.as_deref() == Some("trip") && !in_time(seen.tripped_at, self.at_call),
                "must trip in time",
            ),
            (self.warn.as_deref() == Some("must") && !warned, "must warn before it trips"),
            (self.warn.as_deref() == Some("must_not") && warned, "must not warn"),
            (
                self.reopen_at_call.is_some() && !in_time(seen.reopened_at, self.reopen_at_call),
                "must open again in time",
            ),
            (
                self.closes_after_call.is_some() && seen.closed_at != self.closes_after_call,
                "must close after that call",
            ),
        ];
        checks.into_iter().find_map(|(differs, what)| differs.then_some(what))
    }

    /// What the breaker makes of it.
    pub fn replay(&self, base: &CircuitPolicy) -> Seen {
        let mut replay = Replay::new(self.policy(base));
        // The calls of each agent's message that is not over.
        let mut open: BTreeMap<Option<&str>, Vec<(Made, Box<RawValue>)>> = BTreeMap::new();
        for (n, call) in self.calls.iter().enumerate() {
            let at = Timestamp(BEGINS_MS + milliseconds(call.t));
            let agent = call.agent.as_deref().filter(|agent| *agent != "main");
            let mut tell = |agent: Option<&str>, what| {
                replay.tell(&Happening { at, agent: agent.map(str::to_owned), what });
            };
            if call.user_prompt_before {
                tell(None, What::Prompt { human: true });
            }
            if call.half_open_before {
                tell(None, What::Acknowledged);
            }
            let (made, response) = match call.told(n) {
                Told::Call { made, response } => (made, response),
                Told::Event(what) => {
                    tell(agent, what);
                    continue;
                }
            };
            tell(agent, What::Begins(made.clone()));
            if call.ok.is_none() && call.output.is_none() && !call.denied {
                continue;
            }
            if !call.denied {
                let ok = call.ok.unwrap_or(true);
                tell(agent, What::Ends { made: made.clone(), ok, response: response.clone() });
            }
            let calls = open.entry(agent).or_default();
            calls.push((made, response));
            // The next call of this agent says whether the message goes on.
            let next = self.calls.iter().skip(n + 1).find(|next| next.agent == call.agent);
            if !next.is_some_and(|next| next.batch.is_some() && next.batch == call.batch) {
                tell(agent, What::Message(std::mem::take(calls)));
            }
        }
        replay.seen().clone()
    }
}

enum Told {
    Event(What),
    Call { made: Made, response: Box<RawValue> },
}

impl Call {
    fn told(&self, n: usize) -> Told {
        match self.tool.as_str() {
            "_compact" => {
                let input = self.input.as_deref().map_or("", RawValue::get);
                Told::Event(What::Compacts { by_itself: !input.contains("\"manual\"") })
            }
            "_stop_blocked" => Told::Event(What::StopBlocked),
            other if other.starts_with('_') => Told::Event(What::Said),
            tool => {
                let output = self.output.as_deref().unwrap_or_default();
                let response = text(output);
                // The client has its own words for a refusal, whoever's it was.
                let says_so = bursar_engine::print::is_refusal(Some(response.get()));
                let response =
                    if self.denied && !says_so { text(&format!("{DENIED} {output}")) } else { response };
                let id = self.id.clone().unwrap_or_else(|| format!("call-{n}"));
                let input = self.input.clone().unwrap_or_else(|| RawValue::NULL.to_owned());
                let made = Made { id, tool: tool.to_owned(), input };
                Told::Call { made, response }
            }
        }
    }
}

/// A text as JSON.
fn text(text: &str) -> Box<RawValue> {
    serde_json::value::to_raw_value(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "of a time in seconds, not below zero"
)]
fn milliseconds(seconds: f64) -> u64 {
    (seconds.max(0.0) * 1_000.0).round() as u64
}
