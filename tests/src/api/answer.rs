//! A turn as the Messages API sends it: whole, or as server-sent events with pauses.

use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::http::EventStream;
use super::script::{Block, Pacing, Turn};

/// A client takes a stream for dead after a while of silence; real ones send pings.
const PING_EVERY: Duration = Duration::from_millis(500);
/// A gate that nobody opens is a mistake in a test.
const GATE_LIMIT: Duration = Duration::from_secs(120);

/// A turn with the ids it is sent under.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) turn: &'a Turn,
    pub(crate) message_id: String,
    pub(crate) model: String,
}

impl Answer<'_> {
    /// The message in one piece.
    pub(crate) fn whole(&self) -> Value {
        let content: Vec<Value> = self
            .turn
            .blocks
            .iter()
            .enumerate()
            .map(|(index, block)| self.block(index, block, true))
            .collect();
        let mut message = self.opening(self.turn.usage.output);
        message["content"] = Value::Array(content);
        message["stop_reason"] = json!(self.turn.stop_reason());
        message
    }

    /// Waits for the turn's gate where nothing can be sent meanwhile.
    pub(crate) fn wait_at_gate(&self) {
        if let Some(gate) = &self.turn.gate {
            gate.wait(GATE_LIMIT);
        }
    }

    /// The message as a stream of events.
    pub(crate) fn stream(&self, mut events: EventStream<'_>, pacing: Pacing) -> io::Result<()> {
        // The first report of output is a small number, as with the real thing; the last one counts.
        events.send(&json!({ "type": "message_start", "message": self.opening(1) }))?;
        events.send(&json!({ "type": "ping" }))?;
        self.stream_gate(&mut events)?;
        sleep(pacing.before_first);
        for (index, block) in self.turn.blocks.iter().enumerate() {
            if index > 0 {
                sleep(pacing.between);
            }
            self.stream_block(&mut events, index, block)?;
        }
        sleep(pacing.after_last);
        events.send(&json!({
            "type": "message_delta",
            "delta": { "stop_reason": self.turn.stop_reason(), "stop_sequence": null },
            "usage": self.turn.usage_json(self.turn.usage.output),
        }))?;
        events.send(&json!({ "type": "message_stop" }))?;
        events.finish()
    }

    fn stream_gate(&self, events: &mut EventStream<'_>) -> io::Result<()> {
        let Some(gate) = &self.turn.gate else { return Ok(()) };
        let since = Instant::now();
        while since.elapsed() < GATE_LIMIT && !gate.wait(PING_EVERY) {
            events.send(&json!({ "type": "ping" }))?;
        }
        Ok(())
    }

    fn stream_block(&self, events: &mut EventStream<'_>, index: usize, block: &Block) -> io::Result<()> {
        let start = self.block(index, block, false);
        events.send(&json!({ "type": "content_block_start", "index": index, "content_block": start }))?;
        for piece in pieces(block) {
            let delta = match block {
                Block::Text(_) => json!({ "type": "text_delta", "text": piece }),
                Block::ToolUse { .. } => json!({ "type": "input_json_delta", "partial_json": piece }),
            };
            events.send(&json!({ "type": "content_block_delta", "index": index, "delta": delta }))?;
        }
        events.send(&json!({ "type": "content_block_stop", "index": index }))
    }

    fn opening(&self, output: u64) -> Value {
        json!({
            "id": self.message_id,
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": [],
            "stop_reason": null,
            "stop_sequence": null,
            "usage": self.turn.usage_json(output),
        })
    }

    fn block(&self, index: usize, block: &Block, whole: bool) -> Value {
        match block {
            Block::Text(text) => json!({ "type": "text", "text": if whole { text } else { "" } }),
            Block::ToolUse { name, input } => {
                let id = format!("{}_{index}", self.message_id.replacen("msg", "toolu", 1));
                let input = if whole { input.clone() } else { json!({}) };
                json!({ "type": "tool_use", "id": id, "name": name, "input": input })
            }
        }
    }
}

/// A block's content in two pieces, cut between characters: a client must put them together.
fn pieces(block: &Block) -> Vec<String> {
    let content = match block {
        Block::Text(text) => text.clone(),
        Block::ToolUse { input, .. } => input.to_string(),
    };
    let half = content.char_indices().nth(content.chars().count() / 2).map_or(0, |(at, _)| at);
    let (head, tail) = content.split_at(half);
    [head, tail].into_iter().filter(|piece| !piece.is_empty()).map(str::to_owned).collect()
}
