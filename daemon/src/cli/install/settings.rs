//! Claude Code's settings as text: entries of others stay as they were written, in their order.

use std::path::PathBuf;

use bursar_protocol::hook_input::Event;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::fields::{Ordered, indented, raw};
use super::telemetry::Telemetry;
use super::{fail_closed, statusline, telemetry};

/// The spinner's text while a hook runs; fixed at registration and cut at 80 columns.
const STATUS_MESSAGE: &str = "Bursar: if this stays, run `bursar waiting`";

/// What the settings are to name.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// The hook client's fixed place.
    pub(super) hook_client: PathBuf,
    /// The daemon's socket.
    pub(super) socket: PathBuf,
    /// The state folder.
    pub(super) state: PathBuf,
    /// How long a hold may last, in seconds.
    pub(super) hold_s: u64,
    /// Nothing goes on without the daemon.
    pub(super) fail_closed: bool,
    /// The program whose `statusline` is to be shown; none: it is left out.
    pub(super) status_line: Option<PathBuf>,
    /// The clients' telemetry; none: it is left out.
    pub(super) telemetry: Option<Telemetry>,
}

impl Entry {
    /// The hook's time limit in seconds (HOOK 4).
    fn timeout_s(&self, event: Event) -> u64 {
        match event {
            Event::PreToolUse | Event::PostToolBatch | Event::UserPromptSubmit => self.hold_s + 60,
            Event::SessionEnd => 1,
            Event::SessionStart
            | Event::PostToolUse
            | Event::PostToolUseFailure
            | Event::SubagentStart
            | Event::SubagentStop
            | Event::Stop
            | Event::PreCompact
            | Event::PostCompact
            | Event::Notification => 2,
        }
    }

    /// Our group of hooks for an event.
    fn group(&self, event: Event) -> Value {
        let timeout = self.timeout_s(event);
        let mut hook = json!({
            "type": "command",
            "command": self.hook_client,
            "args": ["--socket", self.socket, "--state", self.state, "--timeout", timeout.to_string()],
            "timeout": timeout,
        });
        if self.fail_closed {
            hook["args"].as_array_mut().into_iter().for_each(|args| args.push(json!("--fail-closed")));
            if fail_closed::blocks(event) {
                hook["onFailure"] = json!("block");
            }
        }
        if timeout > 2 {
            hook["statusMessage"] = json!(STATUS_MESSAGE);
        }
        let is_tool = matches!(event, Event::PreToolUse | Event::PostToolUse | Event::PostToolUseFailure);
        if is_tool { json!({ "matcher": "*", "hooks": [hook] }) } else { json!({ "hooks": [hook] }) }
    }

    fn is_ours(&self, hook: &Value) -> bool {
        hook.get("command").and_then(Value::as_str) == self.hook_client.to_str()
    }
}

/// A settings file, taken apart as far as hooks go.
/// Events and their groups of hooks.
type Groups = Vec<(String, Vec<Box<RawValue>>)>;

#[derive(Debug)]
pub(super) struct SettingsText {
    original: String,
    fields: Ordered,
    /// Events and their groups, where there is a `hooks` object.
    hooks: Option<Groups>,
}

impl SettingsText {
    /// Reads a file's text; an empty one counts as `{}`.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let body = if text.trim().is_empty() { "{}" } else { text };
        let fields: Ordered =
            serde_json::from_str(body).map_err(|e| format!("is not a JSON object ({e})"))?;
        let hooks = match fields.0.iter().find(|(name, _)| name == "hooks") {
            None => None,
            Some((_, raw)) => {
                let events: Ordered = serde_json::from_str(raw.get())
                    .map_err(|e| format!("has \"hooks\" that are no object ({e})"))?;
                let groups = |(event, raw): (String, Box<RawValue>)| {
                    let groups = serde_json::from_str(raw.get())
                        .map_err(|e| format!("has \"hooks\".\"{event}\" that is no list ({e})"))?;
                    Ok::<_, String>((event, groups))
                };
                Some(events.0.into_iter().map(groups).collect::<Result<_, _>>()?)
            }
        };
        Ok(Self { original: text.to_owned(), fields, hooks })
    }

    /// Whether an entry of ours stands in it.
    pub(super) fn has(&self, entry: &Entry) -> bool {
        let has_hook = self.hooks.iter().flatten().flat_map(|(_, groups)| groups).any(|group| {
            let value: Value = serde_json::from_str(group.get()).unwrap_or_default();
            hooks_of(&value).iter().any(|h| entry.is_ours(h))
        });
        has_hook || statusline::stands_in(&self.fields, &entry.state) || telemetry::stands_in(&self.fields)
    }

    /// Whether a status line of others stands in it that cannot be wrapped.
    pub(super) fn has_odd_status_line(&self, entry: &Entry) -> bool {
        statusline::is_odd(&self.others_fields(entry))
    }

    /// Whether telemetry of their own stands in it.
    pub(super) fn has_telemetry(&self, entry: &Entry) -> bool {
        telemetry::is_theirs(&self.others_fields(entry))
    }

    /// The fields without what we wrote earlier into those that are shared.
    fn others_fields(&self, entry: &Entry) -> Ordered {
        let mut fields = self.fields.clone();
        statusline::take_out(&mut fields, &entry.state);
        telemetry::take_out(&mut fields);
        fields
    }

    /// The text with our entries for these events, after those of others; what we wrote earlier is replaced.
    pub(super) fn with(&self, entry: &Entry, events: &[Event]) -> String {
        let mut hooks = self.others(entry);
        for event in events {
            let group = raw(&indented(&entry.group(*event), 6));
            match hooks.iter_mut().find(|(name, _)| name == event.name()) {
                Some((_, groups)) => groups.push(group),
                None => hooks.push((event.name().to_owned(), vec![group])),
            }
        }
        let mut fields = self.others_fields(entry);
        if let Some(program) = &entry.status_line {
            statusline::put_in(&mut fields, program, entry);
        }
        if let Some(telemetry) = &entry.telemetry {
            telemetry.put_in(&mut fields);
        }
        let text = self.render(&fields, Some(&hooks));
        // Written the same way before: leave even the bytes alone.
        if self.is_same(&text) { self.original.clone() } else { text }
    }

    /// The text without our entries; containers that they leave empty go too.
    pub(super) fn without(&self, entry: &Entry) -> String {
        if !self.has(entry) {
            return self.original.clone();
        }
        let hooks = self.others(entry);
        self.render(&self.others_fields(entry), (!hooks.is_empty()).then_some(&hooks))
    }

    fn is_same(&self, text: &str) -> bool {
        let value = |t: &str| serde_json::from_str::<Value>(t).ok();
        value(&self.original).is_some_and(|mine| Some(mine) == value(text))
    }

    /// The hooks of others, by event.
    fn others(&self, entry: &Entry) -> Groups {
        let mut kept = Vec::new();
        for (event, groups) in self.hooks.iter().flatten() {
            let theirs: Vec<Box<RawValue>> =
                groups.iter().filter_map(|group| without_ours(group, entry)).collect();
            if !theirs.is_empty() || groups.is_empty() {
                kept.push((event.clone(), theirs));
            }
        }
        kept
    }

    fn render(&self, fields: &Ordered, hooks: Option<&Groups>) -> String {
        let hooks_text = hooks.map(|events| {
            let groups = |groups: &Vec<Box<RawValue>>| {
                if groups.is_empty() {
                    return "[]".to_owned();
                }
                let lines: Vec<String> = groups.iter().map(|g| format!("      {}", g.get())).collect();
                format!("[\n{}\n    ]", lines.join(",\n"))
            };
            let lines: Vec<String> =
                events.iter().map(|(event, g)| format!("    {}: {}", json!(event), groups(g))).collect();
            format!("{{\n{}\n  }}", lines.join(",\n"))
        });
        let mut lines = Vec::new();
        for (name, value) in &fields.0 {
            match (name.as_str(), &hooks_text) {
                ("hooks", Some(text)) => lines.push(format!("  \"hooks\": {text}")),
                ("hooks", None) => {}
                _ => lines.push(format!("  {}: {}", json!(name), value.get())),
            }
        }
        if let Some(text) = hooks_text.filter(|_| self.hooks.is_none()) {
            lines.push(format!("  \"hooks\": {text}"));
        }
        if lines.is_empty() { "{}\n".to_owned() } else { format!("{{\n{}\n}}\n", lines.join(",\n")) }
    }
}

fn hooks_of(group: &Value) -> Vec<Value> {
    group.get("hooks").and_then(Value::as_array).cloned().unwrap_or_default()
}

/// A group as it is, without our hook in it, or not at all.
fn without_ours(group: &RawValue, entry: &Entry) -> Option<Box<RawValue>> {
    let mut value: Value = serde_json::from_str(group.get()).unwrap_or_default();
    let hooks = hooks_of(&value);
    let theirs: Vec<Value> = hooks.iter().filter(|h| !entry.is_ours(h)).cloned().collect();
    if theirs.len() == hooks.len() {
        return Some(group.to_owned());
    }
    if theirs.is_empty() {
        return None;
    }
    value["hooks"] = Value::Array(theirs);
    Some(raw(&value.to_string()))
}

#[cfg(test)]
mod tests {
    use super::{Entry, Event, SettingsText, Value};

    const OTHERS: &str = r#"{
  "model": "opus",
  "hooks": {
    "PreToolUse": [ {"matcher":"Bash", "hooks":[{"type":"command","command":"lint"}]} ],
    "Stop": []
  },
  "zeta": {"b":1,  "a":2}
}"#;

    fn entry() -> Entry {
        Entry {
            hook_client: "/st/bin/bursar-hook".into(),
            socket: "/s".into(),
            state: "/st".into(),
            hold_s: 100,
            ..Entry::default()
        }
    }

    fn parse(text: &str) -> SettingsText {
        SettingsText::parse(text).unwrap()
    }

    #[test]
    fn others_stay_as_they_were_written() {
        let text = parse(OTHERS).with(&entry(), &Event::ALL);
        for kept in [
            r#"{"matcher":"Bash", "hooks":[{"type":"command","command":"lint"}]}"#,
            r#""zeta": {"b":1,  "a":2}"#,
        ] {
            assert!(text.contains(kept), "{text}");
        }
        assert!(
            text.find("\"model\"") < text.find("\"hooks\"") && text.find("\"hooks\"") < text.find("\"zeta\"")
        );
        let value: Value = serde_json::from_str(&text).unwrap();
        let pre = &value["hooks"]["PreToolUse"];
        assert_eq!(pre.as_array().map(Vec::len), Some(2));
        let ours = &pre[1]["hooks"][0];
        assert_eq!(ours["timeout"], 160);
        assert_eq!(ours["args"][5], "160");
        assert_eq!(value["hooks"]["SessionEnd"][0]["hooks"][0]["timeout"], 1);
        assert_eq!(value["hooks"]["Stop"][0]["hooks"][0]["timeout"], 2);
    }

    #[test]
    fn twice_is_once_and_without_is_before() {
        for before in [OTHERS, "{}", "", "{\"hooks\":{}}"] {
            let once = parse(before).with(&entry(), &Event::ALL);
            assert_eq!(parse(&once).with(&entry(), &Event::ALL), once);
            let back = parse(&once).without(&entry());
            let value = |t: &str| serde_json::from_str::<Value>(if t.is_empty() { "{}" } else { t }).unwrap();
            let mut expected = value(before);
            if before.contains("{}") && expected.get("hooks").is_some() {
                expected = value("{}");
            }
            let mut back = value(&back);
            // An event that others left empty goes with ours.
            if let Some(hooks) = expected.get_mut("hooks").and_then(Value::as_object_mut) {
                hooks.remove("Stop");
            }
            if let Some(hooks) = back.get_mut("hooks").and_then(Value::as_object_mut) {
                hooks.remove("Stop");
            }
            assert_eq!(back, expected, "{before}");
        }
    }

    #[test]
    fn fail_closed_comes_and_goes_with_its_flag() {
        let closed = Entry { fail_closed: true, ..entry() };
        let text = parse("{}").with(&closed, &Event::ALL);
        let value: Value = serde_json::from_str(&text).unwrap();
        for event in Event::ALL {
            let hook = &value["hooks"][event.name()][0]["hooks"][0];
            let blocks = ["PreToolUse", "PostToolBatch", "UserPromptSubmit"].contains(&event.name());
            assert_eq!(hook.get("onFailure").is_some_and(|v| v == "block"), blocks, "{}", event.name());
            assert_eq!(hook["args"][6], "--fail-closed", "{}", event.name());
        }
        let open = parse(&text).with(&entry(), &Event::ALL);
        assert!(!open.contains("onFailure") && !open.contains("--fail-closed"), "{open}");
    }

    #[test]
    fn what_is_no_settings_is_refused() {
        for text in ["[]", "{", "{\"hooks\": 3}", "{\"hooks\": {\"Stop\": {}}}", "nonsense"] {
            assert!(SettingsText::parse(text).is_err(), "{text}");
        }
    }
}
