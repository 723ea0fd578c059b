//! What each fuzz target does with its bytes, and what must hold whatever they are. Plain functions, so that
//! `cargo test` replays the corpora without a fuzzer (`tests/tests/fuzz_replay.rs`).

use std::path::Path;

use bursar::otlp::{self, Batch, MAX_MICRO_USD_PER_REQUEST, MAX_RECORDS};
use bursar::transcript::{self, Line};
use bursar_engine::ids::{AgentKey, SessionId, is_name};
use bursar_engine::time::Timestamp;
use bursar_protocol::cut::MAX_PAYLOAD_BYTES;
use bursar_protocol::frame::{HEADER_BYTES, Header};
use bursar_protocol::hook_input::{HookInput, ToolCall, valid_id};
use bursar_protocol::marker::{self, Marker};
use bursar_protocol::message::{Cut, FromDaemon, ToDaemon};
use bursar_protocol::status_line::StatusLine;
use bursar_protocol::{MAX_FRAME_BYTES, MIN_VERSION, VERSION, codec};

/// A target: what it does with its bytes.
pub type Target = fn(&[u8]);

/// Every target by the name of its corpus.
pub const TARGETS: [(&str, Target); 9] = [
    ("frame", frame),
    ("message", message),
    ("hook_input", hook_input),
    ("cut", cut),
    ("marker", marker),
    ("transcript_line", transcript_line),
    ("otlp_json", otlp_json),
    ("otlp_protobuf", otlp_protobuf),
    ("status_line", status_line),
];

/// A frame as a peer sends it: the header's limits hold, and a body of another length is not taken for it.
pub fn frame(data: &[u8]) {
    let Some((bytes, rest)) = data.split_first_chunk::<HEADER_BYTES>() else { return };
    let Ok(header) = Header::decode(*bytes) else { return };
    assert!(header.length <= MAX_FRAME_BYTES && (MIN_VERSION..=VERSION).contains(&header.version));
    assert_eq!(Header::encode(header.version, header.length as usize).ok(), Some(*bytes));
    if let Some(body) = rest.get(..header.length as usize) {
        message(body);
    }
}

/// A frame's message: what decodes is written as the same bytes again.
pub fn message(data: &[u8]) {
    if let Ok(message) = codec::message::<ToDaemon>(data) {
        assert_eq!(codec::frame(&message).expect("it came in a frame")[HEADER_BYTES..], *data);
        if let ToDaemon::Hook(hook) = &message {
            hook_input(&hook.payload);
        }
    }
    if let Ok(message) = codec::message::<FromDaemon>(data) {
        assert_eq!(codec::frame(&message).expect("it came in a frame")[HEADER_BYTES..], *data);
    }
}

/// What a client tells its status line program: what is taken from it is in its range and fits a frame.
pub fn status_line(data: &[u8]) {
    let Some(said) = std::str::from_utf8(data).ok().and_then(StatusLine::parse) else { return };
    assert!(valid_id(&said.session_id) && said.micro_usd.is_none_or(|n| n <= 1_000_000_000_000_000));
    let windows = [said.five_hour, said.seven_day];
    assert!(windows.iter().flatten().all(|window| window.used_millionths <= 10_000_000));
    assert!(codec::frame(&ToDaemon::StatusLine(said)).is_ok());
}

/// A hook's standard input: what is taken from it is checked, and the event on the command line counts only where the
/// payload names none.
pub fn hook_input(data: &[u8]) {
    let named = HookInput::parse(data, None);
    let told = HookInput::parse(data, Some("PostToolBatch"));
    for input in [&named, &told].into_iter().flatten() {
        assert!(valid_id(&input.session_id));
        assert!(input.agent_id.as_deref().is_none_or(valid_id));
        assert!(input.tool_use_id.as_deref().is_none_or(valid_id));
    }
    match (named, told) {
        (Ok(named), Ok(told)) => {
            assert!(!named.seed_shape);
            assert_eq!((named.event, named.session_id), (told.event, told.session_id));
        }
        (Err(_), Ok(told)) => assert!(told.seed_shape),
        (Ok(_), Err(_)) => panic!("an argument makes a payload unreadable"),
        (Err(_), Err(_)) => {}
    }
}

/// Cutting. A `~` stands for 4 KiB of text, so that small inputs reach the limits.
pub fn cut(data: &[u8]) {
    let payload = grown(data);
    let (how, bytes) = bursar_protocol::cut::cut(&payload);
    assert!(bytes.len() <= MAX_PAYLOAD_BYTES);
    assert_eq!(how == Cut::None, *bytes == *payload);
    assert!(bursar_protocol::cut::cut(&payload).1 == bytes, "the same comes out");
    if how == Cut::Malformed {
        return;
    }
    assert!(*bursar_protocol::cut::cut(&bytes).1 == *bytes, "twice is once");
    let Ok(before) = HookInput::parse(&payload, None) else { return };
    let after = HookInput::parse(&bytes, None).expect("what could be read can be read");
    assert_eq!((before.event, before.session_id), (after.event, after.session_id));
    assert_eq!((before.agent_id, before.tool_name), (after.agent_id, after.tool_name));
    assert_eq!(before.tool_use_id, after.tool_use_id);
    assert!(before.task_notification || !after.task_notification);
    if !before.tool_calls.is_empty() {
        let names = |calls: &[ToolCall<'_>]| -> Vec<_> {
            calls.iter().map(|call| (call.tool_name.clone(), call.tool_use_id.clone())).collect()
        };
        assert_eq!(names(&before.tool_calls), names(&after.tool_calls));
    }
}

/// The greatest length of a payload that is made of an input, in bytes.
const MAX_GROWN_BYTES: usize = 4 * 1024 * 1024;

fn grown(data: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    for byte in data {
        match byte {
            b'~' => payload.resize(payload.len() + 4_096, b'x'),
            other => payload.push(*other),
        }
        if payload.len() > MAX_GROWN_BYTES {
            break;
        }
    }
    payload
}

/// A marker's file: whatever stands in it, somebody is shut, and writing it again opens nothing.
pub fn marker(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let read = Marker::from_text(&text);
    assert!(!read.is_empty());
    let again = Marker::from_text(&read.to_text());
    assert!(again.session || !read.session);
    assert!(read.agents.iter().filter(|agent| valid_id(agent)).all(|agent| again.names(Some(agent))));
    let path = marker::path(Path::new("/state"), &text);
    assert_eq!(path.parent(), Some(Path::new("/state/paused")));
}

/// A line of a transcript: what is counted is what a request can have used, under names that can be kept.
pub fn transcript_line(data: &[u8]) {
    let session = SessionId::new("s1").expect("a name");
    let Line::Usage { seen, calls, .. } = transcript::parse(data, &session, &AgentKey::Main, Timestamp(7))
    else {
        return;
    };
    assert!(seen.usage.is_plausible());
    assert!(is_name(seen.session.as_str()));
    assert!(
        seen.message_id.is_some_and(|id| (1..=208).contains(&id.len()) && !id.contains(char::is_control))
    );
    assert!((1..=128).contains(&seen.model.len()) && seen.model.bytes().all(|b| b.is_ascii_graphic()));
    assert!(seen.request_id.is_none_or(|id| id.chars().count() <= 128));
    assert!(calls.len() <= 256 && calls.iter().all(|id| id.chars().count() <= 128));
}

/// A batch of telemetry as JSON.
pub fn otlp_json(data: &[u8]) {
    otlp::read_json(data, NOW).iter().for_each(batch);
}

/// A batch of telemetry as protobuf.
pub fn otlp_protobuf(data: &[u8]) {
    otlp::read_protobuf(data, NOW).iter().for_each(batch);
}

const NOW: Timestamp = Timestamp(1_800_000_000_000);

/// Whatever was sent, what is taken from it is checked, and there is no more of it than records.
fn batch(batch: &Batch) {
    assert!(batch.records <= MAX_RECORDS);
    assert!(batch.requests.len() as u64 + batch.malformed <= batch.records);
    for request in &batch.requests {
        assert!(request.usage.is_plausible());
        assert!(request.cost_usd_micros.is_none_or(|n| n <= MAX_MICRO_USD_PER_REQUEST));
        assert!([&request.request_id, &request.prompt_id].into_iter().flatten().all(|id| is_name(id)));
        assert!(request.at.0 <= NOW.0 + 86_400_000);
    }
}
