//! One line of a transcript. Many types of lines exist and more will come: what is not known is passed over.

use std::borrow::Cow;
use std::sync::LazyLock;

use crate::prices::Terms;
use bursar_engine::ids::{AgentKey, SessionId};
use bursar_engine::row::Sighting;
use bursar_engine::run::ByModel;
use bursar_engine::time::Timestamp;
use bursar_engine::usage::Usage;
use memchr::memmem::Finder;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{calls, claim};

/// The most bytes of a model's name.
const MAX_MODEL_BYTES: usize = 128;

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A request's usage, and the calls that stand in it.
    Usage {
        /// The request.
        seen: Box<Sighting>,
        /// The ids of its tool calls.
        calls: Vec<String>,
        /// What its price depends on beside its tokens; the sighting's cost is left at 0.
        terms: Terms,
    },
    /// What the client says that it has counted on the session.
    Claim {
        /// The session that it speaks of.
        session: SessionId,
        /// Its totals by model.
        totals: ByModel,
    },
    /// Nothing to count.
    Other,
    /// An assistant's line that cannot be used: not JSON, or with numbers that no request has.
    Bad,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "C: Deserialize<'de>"))]
struct Raw<'a, C> {
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    timestamp: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "requestId")]
    request_id: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "requestSessionId")]
    request_session_id: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "sessionId")]
    session_id: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "isSidechain")]
    is_sidechain: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<Message<'a, C>>,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "C: Deserialize<'de>"))]
struct Message<'a, C> {
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    model: Option<Cow<'a, str>>,
    #[serde(borrow)]
    usage: Option<RawUsage<'a>>,
    content: Option<C>,
    /// Null before the answer's end.
    #[serde(default, rename = "stop_reason", deserialize_with = "is_null")]
    is_partial: bool,
}

fn is_null<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    Option::<IgnoredAny>::deserialize(from).map(|reason| reason.is_none())
}

#[derive(Deserialize)]
struct RawUsage<'a> {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation: Option<CacheCreation>,
    #[serde(borrow)]
    speed: Option<&'a RawValue>,
    #[serde(borrow)]
    inference_geo: Option<&'a RawValue>,
    #[serde(borrow)]
    server_tool_use: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct CacheCreation {
    ephemeral_1h_input_tokens: Option<u64>,
}

/// What is looked for in each line before it is parsed.
static COST_STATE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"cost-state\""));
static ASSISTANT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"assistant\""));
static MESSAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"message\""));

/// Reads a line of the file of `agent` in `session`; `now` dates a line that has no date of its own.
pub fn parse(line: &[u8], session: &SessionId, agent: &AgentKey, now: Timestamp) -> Line {
    if COST_STATE.find(line).is_some()
        && let Some(claim) = claim::parse(line, session)
    {
        return claim;
    }
    // Most of a transcript is results and snapshots: pass over them without parsing.
    if ASSISTANT.find(line).is_none() || MESSAGE.find(line).is_none() {
        return Line::Other;
    }
    match serde_json::from_slice::<Raw<'_, calls::Usual>>(line) {
        Ok(raw) => said(raw, session, agent, now),
        // With content that no client writes it still counts.
        Err(_) => match serde_json::from_slice::<Raw<'_, calls::Any>>(line) {
            Ok(raw) => said(raw, session, agent, now),
            Err(_) => Line::Bad,
        },
    }
}

/// What a line says that is JSON.
fn said<C: Into<Vec<String>>>(
    raw: Raw<'_, C>,
    session: &SessionId,
    agent: &AgentKey,
    now: Timestamp,
) -> Line {
    if raw.kind.as_deref() != Some("assistant") {
        return Line::Other;
    }
    let Some(message) = raw.message else { return Line::Bad };
    let Some(usage) = message.usage else { return Line::Other };
    let model = model_name(message.model.as_deref().unwrap_or("unknown"));
    if model == "<synthetic>" {
        return Line::Other;
    }
    let Some(message_id) = message_key(message.id.as_deref(), raw.request_id.as_deref()) else {
        return Line::Bad;
    };
    let terms = Terms::read(usage.speed, usage.inference_geo, usage.server_tool_use);
    let Some(usage) = usage_of(&usage) else { return Line::Bad };
    // In the main agent's file such a line is a side question's copy: its request is the side question's own.
    let is_copy = *agent == AgentKey::Main && raw.is_sidechain.is_some_and(|side| side.get() == "true");
    let owner = raw.request_session_id.or(raw.session_id).and_then(|id| SessionId::new(id).ok());
    let seen = Sighting {
        message_id: Some(message_id),
        request_id: raw.request_id.filter(|_| !is_copy).map(|id| id.chars().take(128).collect()),
        session: owner.unwrap_or_else(|| session.clone()),
        agent: agent.clone(),
        model,
        usage,
        micro_usd: 0,
        at: raw.timestamp.and_then(|t| timestamp(&t)).unwrap_or(now),
        estimated: false,
        partial: message.is_partial,
    };
    Line::Usage { seen: Box::new(seen), calls: message.content.map(Into::into).unwrap_or_default(), terms }
}

/// `message.id`, unique across sessions; where a transport gives none, the request's id stands for it.
fn message_key(message: Option<&str>, request: Option<&str>) -> Option<String> {
    let usable = |id: &&str| !id.is_empty() && id.len() <= 200 && !id.chars().any(char::is_control);
    match message.filter(usable) {
        Some(id) => Some(id.to_owned()),
        None => request.filter(usable).map(|id| format!("request:{id}")),
    }
}

/// The tokens by kind. The total of what was written to the cache is the truth; its parts only divide it.
fn usage_of(raw: &RawUsage<'_>) -> Option<Usage> {
    let written = raw.cache_creation_input_tokens.unwrap_or(0);
    let hour =
        raw.cache_creation.as_ref().and_then(|c| c.ephemeral_1h_input_tokens).unwrap_or(0).min(written);
    let usage = Usage {
        input: raw.input_tokens.unwrap_or(0),
        output: raw.output_tokens.unwrap_or(0),
        cache_write_5m: written - hour,
        cache_write_1h: hour,
        cache_read: raw.cache_read_input_tokens.unwrap_or(0),
    };
    usage.is_plausible().then_some(usage)
}

pub(crate) fn model_name(model: &str) -> String {
    let name: String = model.chars().filter(char::is_ascii_graphic).take(MAX_MODEL_BYTES).collect();
    if name.is_empty() { "unknown".to_owned() } else { name }
}

pub(crate) fn timestamp(text: &str) -> Option<Timestamp> {
    let at: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(at.as_millisecond()).ok().map(Timestamp)
}

#[cfg(test)]
mod tests {
    use super::{AgentKey, Line, SessionId, Terms, Timestamp, Usage, parse};

    fn read(line: &str) -> Line {
        let session = SessionId::new("file-session").expect("a name");
        parse(line.as_bytes(), &session, &AgentKey::Main, Timestamp(7))
    }

    fn assistant(usage: &str) -> String {
        format!(
            r#"{{"type":"assistant","timestamp":"1970-01-01T00:00:01.500Z","requestId":"req_1","sessionId":"s1","message":{{"id":"msg_1","model":"m","usage":{usage},"content":[{{"type":"text","text":"x"}},{{"type":"tool_use","id":"toolu_1","name":"Bash","input":{{}}}}]}}}}"#
        )
    }

    fn usage(line: &str) -> Option<Usage> {
        match read(line) {
            Line::Usage { seen, .. } => Some(seen.usage),
            Line::Other | Line::Bad | Line::Claim { .. } => None,
        }
    }

    #[test]
    fn a_line_without_its_answers_end_is_known_in_part() {
        for (stop_reason, partial) in
            [("\"stop_reason\":null,", true), ("", false), ("\"stop_reason\":\"end_turn\",", false)]
        {
            let line = format!(
                r#"{{"type":"assistant","message":{{"id":"m",{stop_reason}"model":"x","usage":{{"output_tokens":1}}}}}}"#
            );
            let Line::Usage { seen, .. } = read(&line) else { panic!("{line}") };
            assert_eq!(seen.partial, partial, "{line}");
        }
    }

    #[test]
    fn reads_what_a_request_used_and_called() {
        let line = assistant(
            r#"{"input_tokens":1,"output_tokens":2,"cache_creation_input_tokens":10,"cache_read_input_tokens":4,"cache_creation":{"ephemeral_1h_input_tokens":7,"ephemeral_5m_input_tokens":1}}"#,
        );
        let Line::Usage { seen, calls, .. } = read(&line) else { panic!("{line}") };
        let whole = Usage { input: 1, output: 2, cache_write_5m: 3, cache_write_1h: 7, cache_read: 4 };
        assert_eq!(seen.usage, whole);
        assert_eq!((seen.at, seen.session.as_str()), (Timestamp(1_500), "s1"));
        assert_eq!(calls, ["toolu_1"]);
    }

    #[test]
    fn the_parts_of_a_cache_write_only_divide_it() {
        let with = |parts: &str| {
            let text = format!(r#"{{"cache_creation_input_tokens":10,"cache_creation":{parts}}}"#);
            usage(&assistant(&text)).map(|u| (u.cache_write_5m, u.cache_write_1h))
        };
        assert_eq!(with("null"), Some((10, 0)));
        assert_eq!(with(r#"{"ephemeral_5m_input_tokens":3}"#), Some((10, 0)));
        assert_eq!(with(r#"{"ephemeral_1h_input_tokens":99}"#), Some((0, 10)));
    }

    #[test]
    fn what_the_price_depends_on_is_read_and_wrong_types_count_as_absent() {
        let terms = |more: &str| match read(&assistant(&format!(r#"{{"output_tokens":1,{more}}}"#))) {
            Line::Usage { terms, .. } => terms,
            other => panic!("{more}: {other:?}"),
        };
        let all = r#""speed":"fast","inference_geo":"us","server_tool_use":{"web_search_requests":3,"x":[]}"#;
        assert_eq!(terms(all), Terms { fast: true, us: true, web_searches: 3 });
        for none in [
            r#""speed":"standard","inference_geo":"","server_tool_use":{"web_search_requests":0}"#,
            r#""speed":"FAST","inference_geo":"US","server_tool_use":{}"#,
            r#""speed":null,"inference_geo":null,"server_tool_use":null"#,
            r#""speed":1,"inference_geo":["us"],"server_tool_use":{"web_search_requests":-1}"#,
            r#""speed":{},"inference_geo":true,"server_tool_use":"\ud83d""#,
        ] {
            assert_eq!(terms(none), Terms::default(), "{none}");
        }
    }

    #[test]
    fn hostile_numbers_make_a_bad_line() {
        for n in ["-1", "1.5", "1e30", "99999999999999999999", "1000000001", "\"12\"", "[]", "true"] {
            assert_eq!(read(&assistant(&format!(r#"{{"input_tokens":{n}}}"#))), Line::Bad, "{n}");
        }
        assert!(usage(&assistant(r#"{"input_tokens":1000000000}"#)).is_some());
    }

    #[test]
    fn other_lines_are_passed_over() {
        for line in [
            "",
            "not json",
            r#"{"type":"user","message":{"content":"the \"assistant\" said"}}"#,
            r#"{"type":"assistant","message":{"id":"m","model":"<synthetic>","usage":{"input_tokens":1}}}"#,
            r#"{"type":"assistant","message":{"id":"m","model":"x","content":"no usage"}}"#,
        ] {
            assert_eq!(read(line), Line::Other, "{line}");
        }
        for line in [r#"{"type":"assistant","message":{"id":"#, r#"{"type":"assistant","message":3}"#] {
            assert_eq!(read(line), Line::Bad, "{line}");
        }
    }

    #[test]
    fn what_a_message_holds_cannot_hide_what_it_cost() {
        let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
        for held in [r#"{"a":"\ud83d"}"#, r#"{"\ude00":1}"#, r#"{"a":1e999}"#, r#"{"a":1,"a":2}"#, &deep] {
            let content = format!(
                r#"[7,{{"type":"text","text":{held}}},{{"type":3}},{{"type":"tool_use","input":{held},"id":"toolu_1"}}]"#
            );
            let line = format!(
                r#"{{"type":"assistant","message":{{"id":"m","content":{content},"usage":{{"output_tokens":9}}}},"x":{held}}}"#
            );
            let Line::Usage { seen, calls, .. } = read(&line) else { panic!("{held:.40}") };
            assert_eq!((seen.usage.output, calls), (9, vec!["toolu_1".to_owned()]));
        }
    }

    #[test]
    fn a_copy_in_a_fork_belongs_to_whom_it_names() {
        let line = r#"{"type":"assistant","sessionId":"fork","requestSessionId":"parent","session_id":"wrong","message":{"id":"m","model":"x","usage":{"output_tokens":1}}}"#;
        let Line::Usage { seen, .. } = read(line) else { panic!() };
        assert_eq!((seen.session.as_str(), seen.at), ("parent", Timestamp(7)));
    }

    #[test]
    fn a_line_without_a_message_id_is_known_by_its_request() {
        let line =
            r#"{"type":"assistant","requestId":"req_9","message":{"model":"x","usage":{"output_tokens":1}}}"#;
        let Line::Usage { seen, .. } = read(line) else { panic!() };
        assert_eq!(seen.message_id.as_deref(), Some("request:req_9"));
        let neither = r#"{"type":"assistant","message":{"model":"x","usage":{"output_tokens":1}}}"#;
        assert_eq!(read(neither), Line::Bad);
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
            let mut line = br#"{"type":"assistant","message":"#.to_vec();
            line.extend(bytes);
            read(&String::from_utf8_lossy(&line));
        }
    }
}
