//! A `cost-state` line: what the client says of itself when a process ends, and at `/clear`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bursar_engine::ids::SessionId;
use bursar_engine::run::{ByModel, MAX_MODELS, Spent};
use bursar_engine::usage::Usage;
use serde::Deserialize;

use super::parse::{Line, model_name};

/// The most tokens of one kind that a session can have: more is a hostile or broken number.
const MAX_TOKENS: u64 = 1_000_000_000_000;

/// The most that a session can have cost, in dollars.
const MAX_USD: f64 = 1e9;

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, rename = "sessionId")]
    session_id: Option<Cow<'a, str>>,
    #[serde(rename = "modelUsage")]
    model_usage: BTreeMap<String, RawSpent>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawSpent {
    #[serde(default)]
    input_tokens: u64,
    #[serde(default)]
    output_tokens: u64,
    #[serde(default)]
    cache_read_input_tokens: u64,
    #[serde(default)]
    cache_creation_input_tokens: u64,
    #[serde(default, rename = "cacheCreationEphemeral1hInputTokens")]
    hour_tokens: u64,
    #[serde(default, rename = "costUSD")]
    cost_usd: f64,
}

/// Reads such a line; none where it is another one. Numbers that no session has make it a bad one.
pub(super) fn parse(line: &[u8], session: &SessionId) -> Option<Line> {
    let raw: Raw<'_> = serde_json::from_slice(line).ok()?;
    if raw.kind != "cost-state" {
        return None;
    }
    let session = raw.session_id.and_then(|id| SessionId::new(id).ok()).unwrap_or_else(|| session.clone());
    let totals: Option<ByModel> =
        raw.model_usage.iter().take(MAX_MODELS).map(|(m, s)| Some((model_name(m), spent(s)?))).collect();
    Some(totals.map_or(Line::Bad, |totals| Line::Claim { session, totals }))
}

fn spent(raw: &RawSpent) -> Option<Spent> {
    let hour = raw.hour_tokens.min(raw.cache_creation_input_tokens);
    let usage = Usage {
        input: raw.input_tokens,
        output: raw.output_tokens,
        cache_write_5m: raw.cache_creation_input_tokens - hour,
        cache_write_1h: hour,
        cache_read: raw.cache_read_input_tokens,
    };
    let kinds = [usage.input, usage.output, usage.cache_write(), usage.cache_read];
    let plausible = kinds.iter().all(|n| *n <= MAX_TOKENS) && (0.0..=MAX_USD).contains(&raw.cost_usd);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
    plausible.then(|| Spent { usage, micro_usd: (raw.cost_usd * 1e6).round() as u64 })
}

#[cfg(test)]
mod tests {
    use super::{Line, SessionId, parse};

    fn read(line: &str) -> Option<Line> {
        parse(line.as_bytes(), &SessionId::new("file").expect("a name"))
    }

    #[test]
    fn reads_the_clients_own_totals() {
        let line = r#"{"type":"cost-state","sessionId":"s1","totalCostUSD":0.011012,"modelUsage":{"m":{"inputTokens":508,
            "outputTokens":58,"cacheReadInputTokens":300,"cacheCreationInputTokens":970,
            "cacheCreationEphemeral1hInputTokens":900,"costUSD":0.011012000000000001,"new":{}}}}"#;
        let Some(Line::Claim { session, totals }) = read(line) else { panic!("{line}") };
        let spent = totals["m"];
        assert_eq!((session.as_str(), spent.micro_usd), ("s1", 11_012));
        let usage = spent.usage;
        assert_eq!((usage.input, usage.output, usage.cache_read), (508, 58, 300));
        assert_eq!((usage.cache_write_5m, usage.cache_write_1h), (70, 900));
    }

    #[test]
    fn what_is_none_is_passed_over_and_hostile_numbers_make_a_bad_line() {
        for other in [r#"{"type":"user","x":"cost-state","modelUsage":{}}"#, "{", r#"{"type":"cost-state"}"#]
        {
            assert_eq!(read(other), None, "{other}");
        }
        for hostile in [r#""inputTokens":9999999999999"#, r#""costUSD":-1"#, r#""costUSD":1e30"#] {
            let line = format!(r#"{{"type":"cost-state","modelUsage":{{"m":{{{hostile}}}}}}}"#);
            assert_eq!(read(&line), Some(Line::Bad), "{hostile}");
        }
    }
}
