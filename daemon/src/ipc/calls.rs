//! The calls that a hook tells of: prints, made from the cut payload before anything is decided (HOOK 4).

use bursar_engine::command::{Call, Outcome};
use bursar_engine::print;
use bursar_protocol::hook_input::{Event, HookInput, ToolCall};
use serde_json::value::RawValue;

use super::convert::tool_name;

/// The most calls of one batch that are counted.
const MAX_CALLS: usize = 1_000;

/// How the client begins the result of a call that it refused to make.
const REFUSED_CALL: &str = "<tool_use_error>";

/// The calls of a hook's payload.
pub fn of(input: &HookInput<'_>) -> Vec<Call> {
    match input.event {
        Event::PreToolUse => one(input, |_| None),
        Event::PostToolUse => one(input, |tool| Some(Outcome::new(tool, true, text(input.tool_response)))),
        Event::PostToolUseFailure => {
            // As JSON, so that an error reads the same wherever it is told of.
            let error = input.error.as_ref().map(|e| serde_json::Value::from(e.as_str()).to_string());
            one(input, |tool| Some(Outcome::new(tool, false, error.as_deref())))
        }
        Event::PostToolBatch => input.tool_calls.iter().take(MAX_CALLS).map(in_batch).collect(),
        Event::SessionStart
        | Event::SessionEnd
        | Event::UserPromptSubmit
        | Event::SubagentStart
        | Event::SubagentStop
        | Event::Stop
        | Event::PreCompact
        | Event::PostCompact
        | Event::Notification => Vec::new(),
    }
}

fn one(input: &HookInput<'_>, outcome: impl FnOnce(&str) -> Option<Outcome>) -> Vec<Call> {
    let Some(tool) = &input.tool_name else { return Vec::new() };
    let call = Call::new(input.tool_use_id.as_deref(), tool, tool_name(tool), text(input.tool_input));
    vec![Call { outcome: outcome(tool), ..call }]
}

fn in_batch(call: &ToolCall<'_>) -> Call {
    let (tool, response) = (call.tool_name.as_str(), text(call.tool_response));
    let is_error = response.is_some_and(|text| text.trim_start_matches(['"', ' ']).starts_with(REFUSED_CALL));
    let ok = !is_error && !print::is_refusal(response);
    let id = Some(call.tool_use_id.as_str()).filter(|id| !id.is_empty());
    let made = Call::new(id, tool, tool_name(tool), text(call.tool_input));
    Call { outcome: Some(Outcome::new(tool, ok, response)), ..made }
}

fn text(raw: Option<&RawValue>) -> Option<&str> {
    raw.map(RawValue::get)
}
