//! The clients' telemetry in the `env` object of Claude Code's settings: turned on, unless the user has some of their own.

use std::path::Path;

use serde_json::json;

use super::fields::{Ordered, raw};
use crate::http::token::{Token, TokenError};
use crate::telemetry::client_env::{NAMES, Wire, entries};

/// The field of the settings.
const FIELD: &str = "env";

/// Where an administrator's settings stand.
const MANAGED: [&str; 2] = [
    "/etc/claude-code/managed-settings.json",
    "/Library/Application Support/ClaudeCode/managed-settings.json",
];

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_LOGS_HEADERS";

/// The variables that send a client's telemetry here.
#[derive(Debug)]
pub(super) struct Telemetry([(&'static str, String); 6]);

impl Telemetry {
    /// Those for the daemon of this state; its token is made where there is none yet.
    ///
    /// # Errors
    /// [`TokenError`].
    pub(super) fn open(port: u16, state: &Path) -> Result<Self, TokenError> {
        Ok(Self(entries(port, &Token::open(state)?, Wire::Protobuf)))
    }

    /// The same with a placeholder for the token, to be shown.
    pub(super) fn shown(port: u16) -> Self {
        Self(entries(port, &Token::hidden(), Wire::Protobuf))
    }

    /// Puts them in; `fields` are those of others, without telemetry of their own.
    pub(super) fn put_in(&self, fields: &mut Ordered) {
        let mut env: Ordered =
            fields.get(FIELD).and_then(|env| serde_json::from_str(env.get()).ok()).unwrap_or_default();
        for (name, value) in &self.0 {
            env.set(name, raw(&json!(value).to_string()));
        }
        fields.set(FIELD, raw(&text(&env)));
    }
}

fn text(env: &Ordered) -> String {
    let lines: Vec<String> =
        env.0.iter().map(|(name, value)| format!("    {}: {}", json!(name), value.get())).collect();
    format!("{{\n{}\n  }}", lines.join(",\n"))
}

fn env_of(fields: &Ordered) -> Option<Ordered> {
    serde_json::from_str(fields.get(FIELD)?.get()).ok()
}

/// Ours send to loopback, with a token as we make them.
fn is_ours(env: &Ordered) -> bool {
    let endpoint = env.text(ENDPOINT).unwrap_or_default();
    let port = endpoint.strip_prefix("http://127.0.0.1:").and_then(|rest| rest.strip_suffix("/v1/logs"));
    let header = env.text(HEADERS).unwrap_or_default();
    let token = header.strip_prefix("authorization=Bearer ").unwrap_or_default();
    port.is_some_and(|port| port.parse::<u16>().is_ok()) && Token::has_the_form_of_one(token)
}

/// Whether ours stands there.
pub(super) fn stands_in(fields: &Ordered) -> bool {
    env_of(fields).is_some_and(|env| is_ours(&env))
}

/// Whether somebody else's stands there; `fields` are those of others.
pub(super) fn is_theirs(fields: &Ordered) -> bool {
    env_of(fields).is_some_and(|env| env.0.iter().any(|(name, _)| speaks_of_telemetry(name)))
}

fn speaks_of_telemetry(name: &str) -> bool {
    name == NAMES[0] || name.starts_with("OTEL_")
}

/// Takes ours out; an `env` that it leaves empty goes too.
pub(super) fn take_out(fields: &mut Ordered) {
    let Some(mut env) = env_of(fields).filter(is_ours) else { return };
    for name in NAMES {
        env.remove(name);
    }
    if env.0.is_empty() {
        fields.remove(FIELD);
    } else {
        fields.set(FIELD, raw(&text(&env)));
    }
}

/// Where this user has telemetry of their own beside the file that is written: in the environment, or in other settings.
pub(super) fn theirs_elsewhere(others: &[std::path::PathBuf]) -> Option<String> {
    let is_set = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        let name = name.to_str().filter(|name| speaks_of_telemetry(name))?.to_owned();
        (!value.is_empty()).then(|| format!("the environment ({name})"))
    };
    std::env::vars_os().find_map(is_set).or_else(|| {
        let managed = MANAGED.iter().map(std::path::PathBuf::from);
        let mut files = others.iter().cloned().chain(managed);
        let has = |file: &std::path::PathBuf| {
            let text = std::fs::read_to_string(file).ok()?;
            let mut fields: Ordered = serde_json::from_str(&text).ok()?;
            take_out(&mut fields);
            is_theirs(&fields).then_some(())
        };
        files.find(|file| has(file).is_some()).map(|file| file.display().to_string())
    })
}

/// How an OpenTelemetry collector of the user's sends it here too.
pub(super) fn as_a_second_target(port: u16, state: &Path) -> String {
    format!(
        "To have it counted here too, add an exporter to your OpenTelemetry collector:\n  exporters:\n    otlphttp/bursar:\n      logs_endpoint: http://127.0.0.1:{port}/v1/logs\n      headers:\n        authorization: \"Bearer <what stands in {}>\"\n  and name otlphttp/bursar among the exporters of its logs pipeline.",
        crate::http::token::path(state).display()
    )
}

#[cfg(test)]
mod tests {
    use super::super::settings::{Entry, SettingsText};
    use super::{NAMES, Telemetry};
    use serde_json::{Value, json};

    fn value(text: &str) -> Value {
        serde_json::from_str(text).expect("JSON")
    }

    #[test]
    fn it_comes_beside_what_others_set_and_goes_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let with = || Entry { telemetry: Telemetry::open(28_772, dir.path()).ok(), ..Entry::default() };
        for before in ["{}", "{\n  \"env\": {\n    \"A\": \"1\"\n  },\n  \"model\": \"x\"\n}\n"] {
            let parsed = SettingsText::parse(before).expect("settings");
            let once = parsed.with(&with(), &[]);
            let env = &value(&once)["env"];
            assert!(NAMES.iter().all(|name| env[*name].is_string()), "{once}");
            assert_eq!(env["A"], value(before)["env"]["A"]);
            let again = SettingsText::parse(&once).expect("settings");
            assert_eq!(again.with(&with(), &[]), once, "twice is once");
            assert!(again.has(&Entry::default()) && !again.has_telemetry(&Entry::default()));
            assert_eq!(value(&again.without(&Entry::default())), value(before));
            assert_eq!(
                value(&again.with(&Entry::default(), &[]))["env"],
                value(before)["env"],
                "told not to"
            );
        }
    }

    #[test]
    fn somebody_elses_is_seen_and_left_alone() {
        for env in [
            json!({"CLAUDE_CODE_ENABLE_TELEMETRY": "1"}),
            json!({"OTEL_METRICS_EXPORTER": "prometheus"}),
            json!({"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://127.0.0.1:4318/v1/logs", "OTEL_EXPORTER_OTLP_LOGS_HEADERS": "authorization=Bearer mine"}),
        ] {
            let text = json!({ "env": env }).to_string();
            let parsed = SettingsText::parse(&text).expect("settings");
            assert!(parsed.has_telemetry(&Entry::default()), "{text}");
            assert_eq!(parsed.without(&Entry::default()), text);
        }
        let other = SettingsText::parse(r#"{"env": {"A": "1"}}"#).expect("settings");
        assert!(!other.has_telemetry(&Entry::default()));
    }
}
