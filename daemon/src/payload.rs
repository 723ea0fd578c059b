//! Usage in a hook's payload, for callers without a transcript (DESIGN 3.4). Missing or malformed usage is no error.

use bursar_engine::command::Hook;
use bursar_engine::row::Sighting;
use bursar_engine::time::Timestamp;
use bursar_engine::usage::Usage;
use bursar_protocol::hook_input::{Event, HookInput};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::prices::{Prices, Terms};

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow)]
    usage: Option<RawUsage<'a>>,
    model: Option<String>,
}

#[derive(Deserialize)]
struct RawUsage<'a> {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    #[serde(borrow)]
    speed: Option<&'a RawValue>,
    #[serde(borrow)]
    inference_geo: Option<&'a RawValue>,
    #[serde(borrow)]
    server_tool_use: Option<&'a RawValue>,
}

/// The request that a PostToolUse's response tells of, if it does.
pub fn usage(input: &HookInput<'_>, hook: &Hook, prices: &Prices, now: Timestamp) -> Option<Sighting> {
    // A subagent's response repeats the usage of its last request, which its own file has.
    let of_subagent = matches!(input.tool_name.as_deref(), Some("Agent" | "Task"));
    if input.event != Event::PostToolUse || of_subagent {
        return None;
    }
    let response: Response<'_> = match serde_json::from_str(input.tool_response?.get()) {
        Ok(response) => response,
        Err(e) => {
            tracing::debug!(error = %e, "a response's usage does not read and was passed over");
            return None;
        }
    };
    let raw = response.usage?;
    let usage = Usage {
        input: raw.input_tokens.unwrap_or(0),
        output: raw.output_tokens.unwrap_or(0),
        cache_write_5m: raw.cache_creation_input_tokens.unwrap_or(0),
        cache_write_1h: 0,
        cache_read: raw.cache_read_input_tokens.unwrap_or(0),
    };
    if !usage.is_plausible() || usage == Usage::default() {
        tracing::debug!("implausible usage in a payload was passed over");
        return None;
    }
    let model = response.model.unwrap_or_else(|| "unknown".to_owned());
    let model: String = model.chars().filter(char::is_ascii_graphic).take(128).collect();
    let terms = Terms::read(raw.speed, raw.inference_geo, raw.server_tool_use);
    let cost = prices.cost(&model, usage, terms, now);
    Some(Sighting {
        // A call's id makes a repeated report count once.
        message_id: input.tool_use_id.as_ref().map(|id| format!("payload:{}:{id}", hook.session)),
        request_id: None,
        session: hook.session.clone(),
        agent: hook.agent.clone(),
        model,
        usage,
        micro_usd: cost.micro_usd,
        at: now,
        estimated: cost.estimated,
        partial: false,
    })
}

#[cfg(test)]
mod tests {
    use super::{Prices, usage};
    use bursar_engine::time::Timestamp;
    use bursar_protocol::hook_input::HookInput;
    use bursar_protocol::message::HookFrame;

    fn seen(response: &str) -> Option<(u64, u64)> {
        seen_of("Bash", response)
    }

    fn seen_of(tool: &str, response: &str) -> Option<(u64, u64)> {
        let payload =
            format!(r#"{{"sessionId":"s1","tool":"{tool}","arguments":{{}},"response":{response}}}"#);
        let input = HookInput::parse(payload.as_bytes(), Some("PostToolUse")).ok()?;
        let hook = crate::ipc::convert::hook(&HookFrame::default(), &input, Timestamp(1)).ok()?;
        usage(&input, &hook, &Prices::built_in(), Timestamp(1)).map(|s| (s.usage.input, s.usage.output))
    }

    #[test]
    fn reads_usage_where_there_is_some_and_passes_over_the_rest() {
        assert_eq!(seen(r#"{"usage":{"input_tokens":3,"output_tokens":4}}"#), Some((3, 4)));
        let nothing = r#"{"usage":{"input_tokens":3,"output_tokens":4,"cache_read_input_tokens":null}}"#;
        assert_eq!(seen(nothing), Some((3, 4)));
        for none in [
            r#"{"stdout":""}"#,
            r#""text""#,
            "null",
            r#"{"usage":null}"#,
            r#"{"usage":{"input_tokens":-3}}"#,
            r#"{"usage":{"input_tokens":1e30}}"#,
            r#"{"usage":{"output_tokens":99999999999999}}"#,
            r#"{"usage":{}}"#,
        ] {
            assert_eq!(seen(none), None, "{none}");
        }
        assert_eq!(seen_of("Agent", r#"{"usage":{"input_tokens":3,"output_tokens":4}}"#), None);
    }
}
