//! The pretend session as Claude Code keeps it: its transcript, line by line, and what its hooks read.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use bursar_protocol::hook_input::Event;
use serde_json::{Value, json};
use uuid::Uuid;

use super::script::{Call, MODEL, Usage};

/// Short, so that tables stay narrow; a real one is a UUID.
pub(super) const ID: &str = "demo";

/// Its budget's id.
pub(super) fn budget() -> String {
    format!("session:{ID}")
}

/// Its main agent's circuit's id.
pub(super) fn circuit() -> String {
    format!("session:{ID}")
}

/// The version of Claude Code whose lines these are.
const VERSION: &str = "2.1.330";

/// The session's file and where it stands.
#[derive(Debug)]
pub(super) struct Session {
    file: File,
    path: PathBuf,
    project: PathBuf,
    prompt_id: String,
    last_line: Option<String>,
    messages: u32,
}

impl Session {
    /// A new transcript.
    pub(super) fn begin(path: PathBuf, project: &Path) -> std::io::Result<Self> {
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path)?;
        let project = project.to_owned();
        Ok(Self { file, path, project, prompt_id: Uuid::now_v7().to_string(), last_line: None, messages: 0 })
    }

    /// What a hook of `event` reads, with what that event adds.
    pub(super) fn payload(&self, event: Event, adds: Value) -> Value {
        let mut payload = json!({
            "session_id": ID,
            "transcript_path": self.path,
            "cwd": self.project,
            "prompt_id": self.prompt_id,
            "permission_mode": "default",
            "hook_event_name": event.name(),
        });
        if let (Some(fields), Value::Object(adds)) = (payload.as_object_mut(), adds) {
            fields.extend(adds);
        }
        payload
    }

    /// The person's prompt.
    pub(super) fn prompt(&mut self, text: &str) -> std::io::Result<()> {
        let message = json!({ "role": "user", "content": text });
        self.line(json!({ "type": "user", "promptId": self.prompt_id, "message": message }))
    }

    /// The id of the call that the next answer makes.
    pub(super) fn next_call(&self) -> String {
        format!("toolu_demo_{:04}", self.messages + 1)
    }

    /// An answer: one line for each block of it, and the request's usage on every one.
    pub(super) fn answer(&mut self, says: &str, call: Option<&Call>, usage: Usage) -> std::io::Result<()> {
        let call_id = self.next_call();
        self.messages += 1;
        let mut blocks = vec![json!({ "type": "text", "text": says })];
        if let Some(call) = call {
            let name = call.tool;
            blocks.push(json!({ "type": "tool_use", "id": call_id, "name": name, "input": input(call) }));
        }
        let stop_reason = if call.is_some() { "tool_use" } else { "end_turn" };
        for block in blocks {
            let message = json!({
                "id": format!("msg_demo_{:04}", self.messages),
                "type": "message",
                "role": "assistant",
                "model": MODEL,
                "content": [block],
                "stop_reason": stop_reason,
                "usage": {
                    "input_tokens": usage.input,
                    "output_tokens": usage.output,
                    "cache_creation_input_tokens": usage.cache_write,
                    "cache_read_input_tokens": usage.cache_read,
                },
            });
            let request_id = format!("req_demo_{:04}", self.messages);
            self.line(json!({ "type": "assistant", "requestId": request_id, "message": message }))?;
        }
        Ok(())
    }

    /// A call's result.
    pub(super) fn result(&mut self, call_id: &str, call: &Call) -> std::io::Result<()> {
        let block = json!({
            "type": "tool_result",
            "tool_use_id": call_id,
            "content": call.result,
            "is_error": call.fails,
        });
        self.line(json!({ "type": "user", "message": { "role": "user", "content": [block] } }))
    }

    fn line(&mut self, mut line: Value) -> std::io::Result<()> {
        let uuid = Uuid::now_v7().to_string();
        let common = json!({
            "parentUuid": self.last_line.replace(uuid.clone()),
            "isSidechain": false,
            "uuid": uuid,
            "timestamp": format!("{:.3}", jiff::Timestamp::now()),
            "cwd": self.project,
            "sessionId": ID,
            "version": VERSION,
        });
        if let (Some(fields), Value::Object(common)) = (line.as_object_mut(), common) {
            fields.extend(common);
        }
        // In one piece: whoever reads meanwhile finds whole lines.
        self.file.write_all(format!("{line}\n").as_bytes())
    }
}

/// A call's arguments.
pub(super) fn input(call: &Call) -> Value {
    call.input
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Value::from(*value)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
