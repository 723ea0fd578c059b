//! The recording with telemetry: what the price table makes of each request equals the client's own `cost_usd_micros`.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bursar::prices::{Prices, Terms};
use bursar::transcript;
use bursar_engine::ids::{AgentKey, SessionId};
use bursar_engine::time::Timestamp;
use bursar_engine::usage::Usage;
use serde_json::Value;

const NOW: Timestamp = Timestamp(2_000_000_000_000);

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/recordings/compact-clear-fork-resume")
}

/// A request as the client's telemetry tells of it.
struct Request(BTreeMap<String, Value>);

impl Request {
    fn text(&self, key: &str) -> &str {
        self.0[key].as_str().unwrap()
    }

    fn number(&self, key: &str) -> u64 {
        self.0[key].as_u64().unwrap()
    }
}

fn requests() -> Vec<Request> {
    let text = fs::read_to_string(data().join("otlp.jsonl")).unwrap();
    let batches = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let logs = batches.flat_map(|b| list(&b["body"], "resourceLogs"));
    let records = logs.flat_map(|l| list(&l, "scopeLogs")).flat_map(|s| list(&s, "logRecords"));
    let calls = records.filter(|r| r["body"]["stringValue"] == "claude_code.api_request");
    let attribute = |a: Value| {
        let value = a["value"].as_object().unwrap().values().next().unwrap().clone();
        (a["key"].as_str().unwrap().to_owned(), value)
    };
    calls.map(|call| Request(list(&call, "attributes").into_iter().map(attribute).collect())).collect()
}

#[test]
fn each_request_costs_what_the_client_says() {
    let (prices, requests) = (Prices::built_in(), requests());
    assert_eq!(requests.len(), 9);
    for r in &requests {
        let usage = Usage {
            input: r.number("input_tokens"),
            output: r.number("output_tokens"),
            cache_read: r.number("cache_read_tokens"),
            cache_write_5m: r.number("cache_creation_5m_tokens"),
            cache_write_1h: r.number("cache_creation_1h_tokens"),
        };
        let cost = prices.cost(r.text("model"), usage, Terms::default(), NOW);
        let (micro_usd, id) = (r.number("cost_usd_micros"), r.text("request_id"));
        assert_eq!((cost.micro_usd, cost.estimated), (micro_usd, false), "{id}");
    }
}

#[test]
fn each_line_of_its_transcripts_costs_what_the_client_says_of_the_request() {
    let told: BTreeMap<String, u64> =
        requests().iter().map(|r| (r.text("request_id").to_owned(), r.number("cost_usd_micros"))).collect();
    let mut found: BTreeMap<String, u64> = BTreeMap::new();
    for file in fs::read_dir(data().join("sessions")).unwrap() {
        let path = file.unwrap().path();
        let session = SessionId::new(path.file_stem().unwrap().to_str().unwrap()).unwrap();
        let read = transcript::read_new(&path, &session, &AgentKey::Main, None, &Prices::built_in(), NOW);
        for row in read.unwrap().unwrap().rows {
            assert!(!row.estimated, "{row:?}");
            // A fork's copies may have their usage set to 0.
            let cost = found.entry(row.request_id.unwrap()).or_default();
            *cost = row.micro_usd.max(*cost);
        }
    }
    // A compaction has no line.
    assert_eq!(found.len(), told.len() - 1);
    for (request, micro_usd) in found {
        assert_eq!(Some(&micro_usd), told.get(&request), "{request}");
    }
}
