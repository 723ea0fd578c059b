//! The sink.

use bursar_engine::ids::{AgentKey, SessionId};
use bursar_engine::time::Timestamp;
use bursar_engine::usage::Usage;

use super::{MAX_SESSIONS, MAX_WAITING, MAX_WAITING_OF_SESSION, TakeError, Telemetry};
use crate::otlp::{ApiRequest, Batch, Mark};

fn session(n: usize) -> SessionId {
    SessionId::new(format!("s{n}")).expect("a name")
}

fn request(of: usize, output: usize) -> ApiRequest {
    ApiRequest {
        session_id: session(of),
        request_id: Some(format!("req_{of}_{output}")),
        prompt_id: None,
        sequence: None,
        model: "m".to_owned(),
        usage: Usage { output: output as u64, ..Usage::default() },
        cost_usd_micros: None,
        query_source: None,
        agent_id: AgentKey::Main,
        parent_agent_id: None,
        at: Timestamp(1),
    }
}

fn batch(requests: Vec<ApiRequest>, marks: &[(usize, u64)]) -> Batch {
    let mut batch = Batch { records: requests.len() as u64, requests, ..Batch::default() };
    for &(of, sequence) in marks {
        batch.marks.entry(session(of)).or_default().push(Mark { sequence, at: Timestamp(sequence) });
    }
    batch
}

#[tokio::test]
async fn what_is_taken_waits_to_be_joined_in_the_order_of_its_arrival() {
    let telemetry = Telemetry::default();
    let first = batch(vec![request(1, 1), request(2, 2), request(1, 3)], &[(1, 4), (1, 6)]);
    assert_eq!(telemetry.take(first).await, Ok(()));
    assert_eq!(telemetry.take(batch(vec![request(1, 4)], &[])).await, Ok(()));
    let outputs: Vec<_> = telemetry.drain().iter().map(|r| r.usage.output).collect();
    assert_eq!(outputs, [1, 3, 4, 2]);
    assert_eq!(telemetry.drain(), []);
    assert_eq!((telemetry.stream(&session(1)), telemetry.stream(&session(2))), (Some((6, 1)), None));
    let view = telemetry.view(Some("http://here".to_owned()));
    assert_eq!((view.events, view.requests, view.missing, view.dropped), (4, 4, 1, 0));
    assert!(view.says.starts_with("4 events received at http://here, 1 missing"), "{}", view.says);
    assert_eq!(telemetry.view(None).says, "not taken");
}

#[tokio::test]
async fn a_daemon_that_ends_takes_nothing_more() {
    let telemetry = Telemetry::default();
    telemetry.end();
    assert_eq!(telemetry.take(batch(vec![request(1, 1)], &[])).await, Err(TakeError::Ending));
    assert_eq!((telemetry.drain(), telemetry.view(None).events), (Vec::new(), 0));
}

#[tokio::test]
async fn nothing_grows_without_end() -> Result<(), TakeError> {
    let telemetry = Telemetry::default();
    let many = (0..MAX_WAITING_OF_SESSION + 5).map(|n| request(0, n)).collect();
    telemetry.take(batch(many, &[])).await?;
    assert_eq!(telemetry.view(None).dropped, 5);
    assert_eq!(telemetry.drain().first().map(|r| r.usage.output), Some(5));
    for of in 0..=MAX_WAITING / MAX_WAITING_OF_SESSION {
        let many = (0..MAX_WAITING_OF_SESSION).map(|n| request(of, n)).collect();
        telemetry.take(batch(many, &[(of, 1), (of, 3)])).await?;
    }
    let left = telemetry.drain();
    assert_eq!((left.len(), left.first().map(|r| r.session_id.clone())), (MAX_WAITING, Some(session(1))));
    for of in 0..MAX_SESSIONS + 7 {
        telemetry.take(batch(Vec::new(), &[(of, 1), (of, 3)])).await?;
    }
    let inner = telemetry.lock();
    assert_eq!(inner.sessions.len(), MAX_SESSIONS);
    assert!(inner.missing() >= MAX_SESSIONS as u64 + 7, "what is forgotten stays missing");
    Ok(())
}
