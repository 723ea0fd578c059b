//! Both decoders: what they read, that they read alike, and that nothing makes them panic.

mod writer;

use bursar_engine::time::Timestamp;
use bursar_engine::usage::Usage;
use proptest::prelude::*;

use writer::{Any, Record, as_json, as_protobuf, bytes};

use super::{ApiRequest, Batch, MAX_RECORDS, OtlpError, read_json, read_protobuf};

const NOW: Timestamp = Timestamp(1_800_000_000_000);

/// A request with all that the client tells, some of it otherwise.
fn request(otherwise: &[(&str, Option<Any>)]) -> Record {
    let text = |t: &str| Any::Text(t.to_owned());
    let usual = [
        ("session.id", text("s1")),
        ("event.name", text("api_request")),
        ("event.sequence", Any::Int(35)),
        ("prompt.id", text("p1")),
        ("model", text("claude-opus-5-5")),
        ("input_tokens", Any::Int(101)),
        ("output_tokens", Any::Int(11)),
        ("cache_read_tokens", Any::Int(5)),
        ("cache_creation_tokens", Any::Int(900)),
        ("cache_creation_5m_tokens", Any::Int(200)),
        ("cache_creation_1h_tokens", Any::Int(700)),
        ("cost_usd", Any::Double(0.007_824)),
        ("cost_usd_micros", Any::Int(7_824)),
        ("request_id", text("req_1")),
        ("query_source", text("repl_main_thread")),
    ];
    let mut attributes: Vec<(String, Any)> = usual.map(|(k, v)| (k.to_owned(), v)).into();
    for (key, value) in otherwise {
        attributes.retain(|(k, _)| k != key);
        attributes.extend(value.clone().map(|v| ((*key).to_owned(), v)));
    }
    Record { nanos: 1_795_470_305_083_000_000, body: Some(text("claude_code.api_request")), attributes }
}

/// Reads records in both encodings, which must read alike.
#[track_caller]
fn read(records: &[Record]) -> Batch {
    let json = read_json(&as_json(records), NOW).expect("an export");
    assert_eq!(read_protobuf(&as_protobuf(records), NOW).as_ref(), Ok(&json));
    json
}

#[track_caller]
fn one(otherwise: &[(&str, Option<Any>)]) -> Option<ApiRequest> {
    let batch = read(&[request(otherwise)]);
    assert_eq!(batch.requests.len() as u64 + batch.malformed, 1);
    batch.requests.into_iter().next()
}

#[expect(clippy::unnecessary_wraps, reason = "an attribute that is there")]
fn text(text: &str) -> Option<Any> {
    Some(Any::Text(text.to_owned()))
}

#[test]
fn a_request_is_read_whole() {
    let read = one(&[("agent_id", text("a7")), ("parent_agent_id", text("main"))]).expect("a request");
    let usage = Usage { input: 101, output: 11, cache_write_5m: 200, cache_write_1h: 700, cache_read: 5 };
    assert_eq!(
        (read.usage, read.cost_usd_micros, read.at),
        (usage, Some(7_824), Timestamp(1_795_470_305_083))
    );
    assert_eq!(
        (read.session_id.as_str(), read.model.as_str(), read.sequence),
        ("s1", "claude-opus-5-5", Some(35))
    );
    assert_eq!((read.request_id.as_deref(), read.prompt_id.as_deref()), (Some("req_1"), Some("p1")));
    assert_eq!(
        (read.agent_id.as_str(), read.parent_agent_id.map(String::from)),
        ("a7", Some("main".to_owned()))
    );
    assert_eq!(read.query_source.as_deref(), Some("repl_main_thread"));
}

#[test]
fn what_writes_lines_is_told_from_what_does_not() {
    for (source, writes) in [
        ("sdk", true),
        ("agent:builtin:x", true),
        ("repl_main_thread", true),
        ("compact", false),
        ("agents", false),
    ] {
        let read = one(&[("query_source", text(source))]).expect("a request");
        assert_eq!(read.is_of_a_transcript(), writes, "{source}");
    }
    assert!(!one(&[("query_source", None)]).expect("a request").is_of_a_transcript());
}

#[test]
fn numbers_come_as_numbers_and_as_text() {
    for (value, output) in [
        (Any::Int(12), 12),
        (Any::Text("12".to_owned()), 12),
        (Any::Double(12.0), 12),
        (Any::Int(0), 0),
        (Any::Int(1_000_000_000), 1_000_000_000),
    ] {
        let read = one(&[("output_tokens", Some(value.clone()))]);
        assert_eq!(read.map(|r| r.usage.output), Some(output), "{value:?}");
    }
    let bad = [
        Any::Int(-1),
        Any::Int(1_000_000_001),
        Any::Int(i64::MIN),
        Any::Int(i64::MAX),
        Any::Double(0.5),
        Any::Double(-1.0),
        Any::Double(1e308),
        Any::Text(String::new()),
        Any::Text("-1".to_owned()),
        Any::Text("1.5".to_owned()),
        Any::Text("1e3".to_owned()),
        Any::Text("+1".to_owned()),
        Any::Text("99999999999999999999".to_owned()),
        Any::Bool(true),
        Any::List(vec![1]),
    ];
    for value in bad {
        for key in ["input_tokens", "cache_read_tokens", "cache_creation_tokens", "event.sequence"] {
            // A number that is no count of tokens may be a place.
            if key == "event.sequence" && matches!(value, Any::Int(1_000_000_001 | i64::MAX)) {
                continue;
            }
            assert_eq!(one(&[(key, Some(value.clone()))]), None, "{key} {value:?}");
        }
    }
}

#[test]
fn what_is_missing_is_nothing_or_makes_it_none() {
    let gone = |keys: &[&str]| one(&keys.iter().map(|k| (*k, None)).collect::<Vec<_>>());
    let optional =
        ["request_id", "prompt.id", "event.sequence", "query_source", "cost_usd", "cost_usd_micros"];
    let bare = gone(&[&optional[..], &["model", "cache_read_tokens"]].concat()).expect("a request");
    assert_eq!((bare.request_id, bare.sequence, bare.cost_usd_micros), (None, None, None));
    assert_eq!((bare.model.as_str(), bare.usage.cache_read), ("unknown", 0));
    assert_eq!(gone(&["session.id"]), None);
    assert_eq!(gone(&["input_tokens", "output_tokens"]), None);
    assert!(gone(&["output_tokens"]).is_some());
}

#[test]
fn the_parts_of_a_cache_write_only_divide_it() {
    let parts = |total: Option<i64>, five: Option<i64>, hour: Option<i64>| {
        let keys = ["cache_creation_tokens", "cache_creation_5m_tokens", "cache_creation_1h_tokens"];
        let values = [total, five, hour].map(|n| n.map(Any::Int));
        let otherwise: Vec<_> = keys.into_iter().zip(values).collect();
        one(&otherwise).map(|r| (r.usage.cache_write_5m, r.usage.cache_write_1h))
    };
    assert_eq!(parts(Some(10), None, None), Some((10, 0)));
    assert_eq!(parts(Some(10), Some(3), Some(99)), Some((0, 10)));
    assert_eq!(parts(Some(10), Some(3), Some(4)), Some((6, 4)));
    assert_eq!(parts(None, Some(3), Some(4)), Some((3, 4)));
    assert_eq!(parts(None, None, None), Some((0, 0)));
}

#[test]
fn the_cost_is_the_clients_own_in_whole_micro_dollars() {
    let cost = |micros: Option<Any>, dollars: Option<Any>| {
        one(&[("cost_usd_micros", micros), ("cost_usd", dollars)]).map(|r| r.cost_usd_micros)
    };
    assert_eq!(cost(Some(Any::Int(7)), Some(Any::Double(1.0))), Some(Some(7)));
    assert_eq!(cost(None, Some(Any::Double(0.062_051_999_999_999_996))), Some(Some(62_052)));
    assert_eq!(cost(None, text("0.25")), Some(Some(250_000)));
    for bad in [Any::Double(-0.1), Any::Double(1e9), Any::Text("NaN".to_owned()), Any::Text("inf".to_owned())]
    {
        assert_eq!(cost(None, Some(bad.clone())), None, "{bad:?}");
    }
    assert_eq!(cost(Some(Any::Int(10_000_000_001)), None), None);
}

#[test]
fn names_are_checked_where_they_come_in() {
    let long = "x".repeat(129);
    for key in ["session.id", "request_id", "prompt.id", "agent_id", "parent_agent_id"] {
        for bad in ["", ".", "../x", "a b", "ü", "a\nb", &long] {
            assert_eq!(one(&[(key, text(bad))]), None, "{key} {bad:?}");
        }
        assert_eq!(one(&[(key, Some(Any::Int(3)))]), None, "{key}");
    }
    let cleaned = one(&[("model", text("m\u{1b}[31m\n")), ("query_source", text("agent:my own"))]);
    let cleaned = cleaned.expect("a request");
    assert_eq!((cleaned.model.as_str(), cleaned.query_source.as_deref()), ("m[31m", Some("agent:my-own")));
}

#[test]
fn any_of_its_names_makes_it_a_request_and_other_events_only_leave_their_place() {
    let named = |body: Option<&str>, name: Option<&str>| {
        let mut record = request(&[("event.name", name.and_then(text))]);
        record.body = body.and_then(text);
        let batch = read(&[record]);
        assert_eq!((batch.records, batch.malformed), (1, 0));
        assert_eq!(batch.marks.values().flatten().map(|m| m.sequence).collect::<Vec<_>>(), [35]);
        batch.requests.len()
    };
    assert_eq!(named(Some("claude_code.api_request"), None), 1);
    assert_eq!(named(None, Some("api_request")), 1);
    assert_eq!(named(None, Some("claude_code.api_request")), 1);
    assert_eq!(named(Some("claude_code.tool_result"), Some("tool_result")), 0);
    assert_eq!(named(Some("api_request"), Some("api_error")), 0);
    let nameless = Record { nanos: 1, body: Some(Any::Int(3)), attributes: Vec::new() };
    assert_eq!(read(&[nameless]), Batch { records: 1, ..Batch::default() });
}

#[test]
fn a_date_that_cannot_be_believed_is_the_present() {
    for nanos in [0, 1, u64::MAX, (NOW.0 + 2 * 86_400_000) * 1_000_000] {
        let batch = read(&[Record { nanos, ..request(&[]) }]);
        assert_eq!(batch.requests.first().map(|r| r.at), Some(NOW), "{nanos}");
    }
}

#[test]
fn bodies_that_are_no_export_are_refused() {
    let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    let deep_in_a_known_place = format!(r#"{{"resourceLogs":[{{"scopeLogs":{deep}}}]}}"#);
    for body in [
        "",
        "x",
        "[]",
        "3",
        "null",
        r#"{"resourceLogs":3}"#,
        r#"{"resourceLogs":[3]}"#,
        r#"{"resourceLogs":[{}"#,
        r#"{"resourceLogs":[{"scopeLogs":{}}]}"#,
        &deep,
        &deep_in_a_known_place,
    ] {
        assert!(matches!(read_json(body.as_bytes(), NOW), Err(OtlpError::Malformed(_))), "{body:.60}");
    }
    assert!(matches!(read_json(b"{\"a\":\"\xff\"}", NOW), Err(OtlpError::Malformed(_))));
    let cut = as_protobuf(&[request(&[])]);
    for body in
        [&cut[..cut.len() - 1], b"\x0a", b"\x0a\x05ab", b"\x0b\x0c", b"\x00\x01", &[0xff; 20], &[0x08; 11]]
    {
        assert!(matches!(read_protobuf(body, NOW), Err(OtlpError::Malformed(_))), "{body:.20?}");
    }
}

#[test]
fn a_record_that_does_not_read_spoils_no_other() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let fine = request(&[]).json();
    for bad in [
        "3",
        "null",
        "[]",
        r#"{"attributes":3}"#,
        r#"{"attributes":[3]}"#,
        r#"{"attributes":[{"key":3}]}"#,
        r#"{"attributes":[{"key":"\ud83d"}]}"#,
    ] {
        let body = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{bad},{fine}]}}]}}]}}"#);
        let batch = read_json(body.as_bytes(), NOW).expect("an export");
        assert_eq!((batch.records, batch.requests.len(), batch.malformed), (2, 1, 1), "{bad}");
    }
    // What is not looked at may be what it likes.
    for odd in [r#"{"stringValue":"\ud83d"}"#, r#"{"kvlistValue":{}}"#, "3", "null", &deep] {
        let record = format!(r#"{{"attributes":[{{"key":"prompt","value":{odd}}}],"x":{odd}}}"#);
        let body = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{record},{fine}]}}]}}]}}"#);
        let batch = read_json(body.as_bytes(), NOW).expect("an export");
        assert_eq!((batch.records, batch.requests.len(), batch.malformed), (2, 1, 0), "{odd:.60}");
    }
    let records = [bytes(2, b"\x0a"), bytes(2, &request(&[]).protobuf())].concat();
    let body = bytes(1, &bytes(2, &records));
    let batch = read_protobuf(&body, NOW).expect("an export");
    assert_eq!((batch.records, batch.requests.len(), batch.malformed), (2, 1, 1));
}

#[test]
fn more_records_than_any_client_sends_are_refused_before_they_are_read() {
    let most = usize::try_from(MAX_RECORDS).expect("small");
    let json = |n: usize| {
        format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{}{{}}]}}]}}]}}"#, "{},".repeat(n - 1))
    };
    let protobuf = |n: usize| bytes(1, &bytes(2, &b"\x12\x00".repeat(n)));
    assert_eq!(read_json(json(most).as_bytes(), NOW).map(|b| b.records), Ok(MAX_RECORDS));
    assert_eq!(read_protobuf(&protobuf(most), NOW).map(|b| b.records), Ok(MAX_RECORDS));
    assert_eq!(read_json(json(most + 1).as_bytes(), NOW), Err(OtlpError::TooMany));
    assert_eq!(read_protobuf(&protobuf(most + 1), NOW), Err(OtlpError::TooMany));
}

fn any_value() -> impl Strategy<Value = Any> {
    prop_oneof![
        "[a-z0-9_.: ü\"\\\\-]{0,12}".prop_map(Any::Text),
        any::<i64>().prop_map(Any::Int),
        (0_i64..2_000_000_000).prop_map(Any::Int),
        (-1e6..1e12_f64).prop_map(|d| Any::Double(d.trunc())),
        any::<bool>().prop_map(Any::Bool),
        proptest::collection::vec(any::<i64>(), 0..3).prop_map(Any::List),
    ]
}

fn any_record() -> impl Strategy<Value = Record> {
    let keys: Vec<String> = request(&[]).attributes.into_iter().map(|(k, _)| k).collect();
    let key = prop_oneof![proptest::sample::select(keys), "[a-z._]{0,8}"];
    let odd = proptest::collection::vec((key, any_value()), 0..4);
    (odd, any::<u64>(), any::<bool>()).prop_map(|(odd, nanos, usual)| {
        let mut record = request(&[]);
        if !usual {
            record.attributes.clear();
        }
        // Behind the usual ones: of two with one name the last stands.
        record.attributes.extend(odd);
        Record { nanos, ..record }
    })
}

proptest! {
    #[test]
    fn both_encodings_of_the_same_records_read_alike(records in proptest::collection::vec(any_record(), 0..6)) {
        let batch = read(&records);
        prop_assert_eq!(batch.records, records.len() as u64);
        prop_assert!(batch.requests.iter().all(|r| r.usage.is_plausible()));
    }

    #[test]
    fn no_bytes_make_them_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = read_json(&bytes, NOW);
        let _ = read_protobuf(&bytes, NOW);
    }

    #[test]
    fn no_damage_makes_them_panic(
        record in any_record(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>(),
    ) {
        for (body, read) in [
            (as_json(std::slice::from_ref(&record)), read_json as fn(&[u8], Timestamp) -> _),
            (as_protobuf(std::slice::from_ref(&record)), read_protobuf),
        ] {
            let mut damaged = body.clone();
            damaged[at.index(body.len())] = byte;
            let _: Result<Batch, OtlpError> = read(&damaged, NOW);
            let _ = read(&body[..cut.index(body.len())], NOW);
        }
    }
}
