//! Claude Code settings of a test.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

/// Every event that the client knows and a test may want to see.
pub const EVENTS: [&str; 13] = [
    "SessionStart",
    "SessionEnd",
    "UserPromptSubmit",
    "PreToolUse",
    "PostToolUse",
    "PostToolUseFailure",
    "PostToolBatch",
    "SubagentStart",
    "SubagentStop",
    "PreCompact",
    "PostCompact",
    "Stop",
    "Notification",
];

/// A settings file in the making.
#[derive(Debug, Clone)]
pub struct Settings(Value);

impl Default for Settings {
    fn default() -> Self {
        let allow = json!(["Bash", "Read", "Write", "Edit", "Glob", "Grep", "Agent", "Task"]);
        // The terminal's own default, auto mode, would ask a model about calls.
        Self(json!({ "permissions": { "allow": allow, "defaultMode": "default" } }))
    }
}

impl Settings {
    /// Settings that allow the tools that scripts use, and nothing else.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What stands in a settings file.
    #[track_caller]
    pub fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("a settings file");
        Self(serde_json::from_str(&text).expect("settings are JSON"))
    }

    /// Adds a hook in the exec form, behind those of the same event.
    #[must_use]
    pub fn hook(mut self, event: &str, program: &Path, args: &[&str], timeout_s: u64) -> Self {
        let hook = json!({ "type": "command", "command": program, "args": args, "timeout": timeout_s });
        let groups = &mut self.0["hooks"][event];
        if !groups.is_array() {
            *groups = json!([]);
        }
        if let Some(groups) = groups.as_array_mut() {
            groups.push(json!({ "hooks": [hook] }));
        }
        self
    }

    /// Sets one top-level key.
    #[must_use]
    pub fn set(mut self, key: &str, value: Value) -> Self {
        self.0[key] = value;
        self
    }

    /// The settings as JSON.
    pub fn json(&self) -> &Value {
        &self.0
    }

    /// The hooks of one event, flat.
    pub fn hooks_of(&self, event: &str) -> Vec<Map<String, Value>> {
        let groups = self.0["hooks"][event].as_array().cloned().unwrap_or_default();
        let hooks = groups.iter().filter_map(|group| group["hooks"].as_array()).flatten();
        hooks.filter_map(|hook| hook.as_object().cloned()).collect()
    }

    /// Gives every hook whose command ends in `program` another time limit, and says the same in its `--timeout`.
    #[must_use]
    pub fn with_timeout(mut self, program: &str, timeout_s: u64) -> Self {
        let events = self.0["hooks"].as_object_mut().map(|events| events.values_mut());
        let groups = events.into_iter().flatten().filter_map(Value::as_array_mut).flatten();
        let hooks = groups.filter_map(|group| group["hooks"].as_array_mut()).flatten();
        for hook in hooks {
            if hook["command"].as_str().is_some_and(|command| command.ends_with(program)) {
                hook["timeout"] = json!(timeout_s);
                replace_timeout(&mut hook["args"], timeout_s);
            }
        }
        self
    }

    /// Writes the file.
    #[track_caller]
    pub fn write(&self, path: &Path) {
        let text = serde_json::to_string_pretty(&self.0).expect("JSON can be written");
        fs::write(path, text).expect("the settings file can be written");
    }
}

fn replace_timeout(args: &mut Value, timeout_s: u64) {
    let Some(args) = args.as_array_mut() else { return };
    let at = args.iter().position(|arg| arg == "--timeout");
    if let Some(value) = at.and_then(|at| args.get_mut(at + 1)) {
        *value = json!(timeout_s.to_string());
    }
}
