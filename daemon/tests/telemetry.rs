//! The recorded batches of a real client: a compaction, a `/clear`, a fork and a resume.

use std::collections::BTreeMap;
use std::path::Path;

use bursar::otlp::{ApiRequest, read_json};
use bursar::telemetry::Telemetry;
use bursar_engine::ids::AgentKey;
use bursar_engine::time::Timestamp;
use bursar_engine::usage::Usage;
use serde_json::Value;

type Done = Result<(), Box<dyn std::error::Error>>;

const NOW: Timestamp = Timestamp(1_795_500_000_000);

fn recorded(file: &str) -> std::io::Result<String> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/recordings/compact-clear-fork-resume");
    std::fs::read_to_string(data.join(file))
}

/// The sums of requests as the client's results name them.
fn sums<'a>(requests: impl Iterator<Item = &'a ApiRequest>) -> (Usage, u64) {
    requests.fold((Usage::default(), 0), |(usage, cost), r| {
        (usage.plus(r.usage), cost + r.cost_usd_micros.unwrap_or(0))
    })
}

fn result(results: &Value, run: &str) -> (Usage, u64) {
    let model = &results[run]["modelUsage"]["claude-opus-5-5"];
    let n = |key: &str| model[key].as_u64().unwrap_or_default();
    let usage = Usage {
        input: n("inputTokens"),
        output: n("outputTokens"),
        cache_write_5m: n("cacheCreationEphemeral5mInputTokens"),
        cache_write_1h: n("cacheCreationEphemeral1hInputTokens"),
        cache_read: n("cacheReadInputTokens"),
    };
    let dollars = results[run]["total_cost_usd"].as_f64().unwrap_or_default();
    (usage, format!("{:.0}", dollars * 1e6).parse().unwrap_or_default())
}

#[tokio::test]
async fn the_recording_holds_exactly_the_requests_that_the_client_reckons_with() -> Done {
    let telemetry = Telemetry::default();
    for line in recorded("otlp.jsonl")?.lines() {
        let line: Value = serde_json::from_str(line)?;
        if line["path"] == "/v1/logs" {
            let batch = read_json(line["body"].to_string().as_bytes(), NOW)?;
            assert_eq!(batch.malformed, 0);
            telemetry.take(batch).await?;
        }
    }
    let view = telemetry.view(None);
    assert_eq!((view.events, view.requests, view.malformed, view.missing), (138, 9, 0, 0));
    let requests = telemetry.drain();
    let results: Value = serde_json::from_str(&recorded("client-results.json")?)?;
    let session = |run: &str| results[run]["session_id"].as_str().unwrap_or_default().to_owned();
    let (resumed, fork) = (session("resume"), session("fork"));
    let of = |id: &str| requests.iter().filter(|r| r.session_id.as_str() == id).collect::<Vec<_>>();

    // The resumed session's result is the whole session's.
    assert_eq!(sums(of(&resumed).into_iter()), result(&results, "resume"));
    // The fork's is what it took over from its parent, all but the parent's last run, and its own.
    let (last, before) = of(&resumed).split_last().map(|(l, b)| (*l, b.to_vec())).ok_or("no requests")?;
    assert_eq!(last.query_source.as_deref(), Some("sdk"));
    assert_eq!(sums(before.into_iter().chain(of(&fork))), result(&results, "fork"));

    let mut sources: BTreeMap<_, u32> = BTreeMap::new();
    for r in &requests {
        *sources.entry(r.query_source.clone().unwrap_or_default()).or_default() += 1;
        assert!(r.agent_id == AgentKey::Main && r.request_id.is_some() && r.prompt_id.is_some(), "{r:?}");
        assert!((1_795_470_299_000..1_795_470_400_000).contains(&r.at.0), "{r:?}");
    }
    let expected = [("compact", 1), ("repl_main_thread", 6), ("sdk", 2)].map(|(s, n)| (s.to_owned(), n));
    assert_eq!(sources, expected.into());
    let ids: std::collections::BTreeSet<_> = requests.iter().map(|r| &r.request_id).collect();
    assert_eq!(ids.len(), requests.len(), "each request once");
    Ok(())
}
