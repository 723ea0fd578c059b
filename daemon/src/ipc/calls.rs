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
        Event::PreToolUse => one(input, None),
        Event::PostToolUse => {
            one(input, Some(Outcome { ok: true, print: print::outcome(true, text(input.tool_response)) }))
        }
        Event::PostToolUseFailure => {
            // As JSON, so that an error reads the same wherever it is told of.
            let error = input.error.as_ref().map(|e| serde_json::Value::from(e.as_str()).to_string());
            let print = print::outcome(false, error.as_deref());
            one(input, Some(Outcome { ok: false, print }))
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

fn one(input: &HookInput<'_>, outcome: Option<Outcome>) -> Vec<Call> {
    let Some(tool) = &input.tool_name else { return Vec::new() };
    vec![Call {
        id: input.tool_use_id.as_deref().map(print::id),
        tool: tool_name(tool),
        print: print::call(tool, text(input.tool_input)),
        outcome,
    }]
}

fn in_batch(call: &ToolCall<'_>) -> Call {
    let response = text(call.tool_response);
    let ok = !response.is_some_and(|text| text.trim_start_matches(['"', ' ']).starts_with(REFUSED_CALL));
    Call {
        id: Some(call.tool_use_id.as_str()).filter(|id| !id.is_empty()).map(print::id),
        tool: tool_name(&call.tool_name),
        print: print::call(&call.tool_name, text(call.tool_input)),
        outcome: Some(Outcome { ok, print: print::outcome(ok, response) }),
    }
}

fn text(raw: Option<&RawValue>) -> Option<&str> {
    raw.map(RawValue::get)
}
