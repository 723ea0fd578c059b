//! A hook of somebody else: it writes down what it is told, and can wait or answer as a test asks.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::settings::{EVENTS, Settings};

/// Waits while `wait-EVENT` is there, then says what `refuse-EVENT` or `answer-EVENT` holds, so that a test can change both at any time.
const PROGRAM: &str = r#"#!/bin/sh
here=${0%/*}
payload=$(cat)
printf '%s\n' "$payload" >>"$here/events.jsonl"
while [ -e "$here/wait-$1" ]; do sleep 0.05; done
if [ -e "$here/refuse-$1" ]; then cat "$here/refuse-$1" >&2; exit 2; fi
if [ -e "$here/answer-$1" ]; then cat "$here/answer-$1"; fi
"#;

/// A recording hook in a folder of its own.
#[derive(Debug)]
pub struct Recorder {
    folder: PathBuf,
}

impl Recorder {
    /// Writes the hook's program into a new folder below `parent`.
    pub fn new(parent: &Path, name: &str) -> Self {
        let folder = parent.join(name);
        fs::create_dir_all(&folder).expect("a folder for the recorder");
        let recorder = Self { folder };
        fs::write(recorder.program(), PROGRAM).expect("the recorder's program");
        fs::set_permissions(recorder.program(), fs::Permissions::from_mode(0o755))
            .expect("the recorder can run");
        recorder
    }

    /// Its program; takes the event's name as its argument.
    pub fn program(&self) -> PathBuf {
        self.folder.join("record.sh")
    }

    /// Registers it for every event.
    #[must_use]
    pub fn register(&self, settings: Settings) -> Settings {
        EVENTS.iter().fold(settings, |settings, event| settings.hook(event, &self.program(), &[event], 600))
    }

    /// From now on it answers `event` with this.
    pub fn answer(&self, event: &str, answer: &Value) {
        fs::write(self.folder.join(format!("answer-{event}")), answer.to_string())
            .expect("the recorder's answer");
    }

    /// From now on it refuses `event` (exit 2) with these words.
    pub fn refuse(&self, event: &str, words: &str) {
        fs::write(self.folder.join(format!("refuse-{event}")), words).expect("the recorder's refusal");
    }

    /// From now on it keeps `event` waiting.
    pub fn hold(&self, event: &str) {
        fs::write(self.folder.join(format!("wait-{event}")), "").expect("the recorder's wait file");
    }

    /// Ends the wait.
    pub fn release(&self, event: &str) {
        // Not held is just as well.
        let _ = fs::remove_file(self.folder.join(format!("wait-{event}")));
    }

    /// Everything that it was told, in order.
    pub fn events(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.join("events.jsonl")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// What it was told of one event.
    pub fn events_of(&self, event: &str) -> Vec<Value> {
        self.events().into_iter().filter(|told| told["hook_event_name"] == event).collect()
    }
}
