//! The real client's telemetry: every request that the API answered arrives, those that no transcript shows too.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use bursar::clock::Clock;
use bursar::http::token::{self, Token};
use bursar::http::{Ingest, app, server};
use bursar::otlp::ApiRequest;
use bursar::telemetry::Telemetry;
use bursar::telemetry::client_env::{Wire, entries};
use bursar_engine::time::Timestamp;
use bursar_engine::usage::Usage as Counted;
use bursar_tests::api::{Gate, Kind, RequestLog, Script, ScriptedApi, Turn};
use bursar_tests::client::Headless;
use bursar_tests::daemon::Bursar;
use bursar_tests::settings::Settings;
use bursar_tests::wait;
use bursar_tests::world::World;
use serde_json::{Map, Value};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::common::{SOON, assert_counted, bare, usage};

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port()
}

/// Has the clients of a world send their telemetry to a port.
#[track_caller]
pub(crate) fn turn_on(world: &World, port: u16, token: &Token, wire: Wire) {
    let env: Map<String, Value> =
        entries(port, token, wire).into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    Settings::read(&world.settings()).set("env", env.into()).write(&world.settings());
}

/// The daemon's own server of telemetry in this process, so that each request can be looked at.
struct Sink {
    telemetry: Arc<Telemetry>,
    token: Token,
    port: u16,
    _runtime: Runtime,
}

impl Sink {
    fn start() -> Self {
        let state = TempDir::with_prefix("bt-").expect("a folder");
        Self::start_in(0, &state)
    }

    /// At a port, with the token of a folder.
    fn start_in(port: u16, state: &TempDir) -> Self {
        let token = Token::open(state.path()).expect("a token");
        let telemetry = Arc::new(Telemetry::default());
        let runtime = Runtime::new().expect("a runtime");
        let _inside = runtime.enter();
        let listener = server::bind(port).expect("a listener");
        let port = listener.local_addr().expect("its address").port();
        let ingest = Ingest::new(token.clone(), Arc::clone(&telemetry), Clock::start(Timestamp(0)));
        let (tasks, cancel) = (TaskTracker::new(), CancellationToken::new());
        runtime.spawn(server::serve(listener, app(port, ingest), 64, tasks, cancel));
        Self { telemetry, token, port, _runtime: runtime }
    }

    /// All that came, once there are as many as the API answered.
    #[track_caller]
    fn requests(&self, log: &RequestLog) -> Vec<ApiRequest> {
        let says = || self.telemetry.view(Some("here".to_owned())).says;
        wait::until_true(&format!("{} requests ({})", log.count(), says()), SOON, || {
            self.telemetry.view(None).requests >= log.count() as u64
        });
        let view = self.telemetry.view(None);
        assert_eq!((view.malformed, view.refused, view.missing, view.dropped), (0, 0, 0, 0), "{}", says());
        self.telemetry.drain()
    }
}

/// What came is what the API answered: request by request, kind by kind.
#[track_caller]
fn assert_all_there(requests: &[ApiRequest], log: &RequestLog) {
    let counted = |r: &ApiRequest| (r.request_id.clone().unwrap_or_default(), (r.model.clone(), r.usage));
    let came: BTreeMap<_, _> = requests.iter().map(counted).collect();
    assert_eq!(came.len(), requests.len(), "each once");
    let answered = log.entries().into_iter().map(|entry| {
        let u = entry.usage;
        let usage = Counted {
            input: u.input,
            output: u.output,
            cache_write_5m: u.cache_write_5m,
            cache_write_1h: u.cache_write_1h,
            cache_read: u.cache_read,
        };
        (entry.request_id, (entry.model, usage))
    });
    assert_eq!(came, answered.collect(), "what came (left) against what the API answered");
}

fn micros(dollars: f64) -> u64 {
    format!("{:.0}", dollars * 1e6).parse().unwrap_or_default()
}

#[track_caller]
fn every_request_arrives(wire: Wire, packing: &str) {
    let world = bare();
    let sink = Sink::start();
    turn_on(&world, sink.port, &sink.token, wire);
    let api = ScriptedApi::start(
        Script::main([
            Turn::agent("count the sheep", false, usage(1)).with_input("model", serde_json::json!("haiku")),
            Turn::bash("echo two", usage(2)).and_bash("exit 1"),
            Turn::says("First.", usage(3)),
            Turn::says("Second.", usage(4)),
        ])
        .subagent(
            "count the sheep",
            [Turn::bash("echo baa", usage(5)), Turn::says("Three sheep.", usage(6))],
        ),
    );
    let client = |prompt| Headless::new(&world, &api, prompt).env("OTEL_EXPORTER_OTLP_COMPRESSION", packing);
    let first = client("do it").run();
    let id = &first.result.session_id;
    let compacted = client("/compact").resume(id).run();
    assert_eq!(api.log().count_of(&Kind::Compact), 1);
    let last = client("go on").resume(&compacted.result.session_id).run();

    let requests = sink.requests(api.log());
    assert_all_there(&requests, api.log());
    assert!(requests.iter().all(|r| r.session_id.as_str() == id && r.prompt_id.is_some()), "{requests:#?}");
    // The client's own total is what its telemetry adds up to.
    let told = requests.iter().filter_map(|r| r.cost_usd_micros).sum::<u64>();
    assert_eq!(told, micros(last.result.total_cost_usd));
    let background: Vec<_> = requests.iter().filter(|r| !r.is_of_a_transcript()).collect();
    assert_eq!(background.len(), 1, "{background:#?}");
    assert_eq!(background[0].query_source.as_deref(), Some("compact"));
    let of_agents: Vec<_> = requests.iter().filter(|r| r.agent_id.sub().is_some()).collect();
    assert_eq!(of_agents.len(), 2, "{requests:#?}");
    assert!(of_agents.iter().all(|r| r.query_source.as_deref().is_some_and(|s| s.starts_with("agent:"))));
}

#[test]
fn every_request_arrives_as_protobuf() {
    every_request_arrives(Wire::Protobuf, "none");
}

#[test]
fn every_request_arrives_as_json_in_gzip() {
    every_request_arrives(Wire::Json, "gzip");
}

#[test]
fn the_daemon_takes_telemetry_with_its_token_and_says_so() {
    let world = bare();
    let port = free_port();
    let bursar = Bursar::up(&world, &[("BURSAR_PORT", &port.to_string())]);
    let token = Token::read(&world.bursar_home()).expect("the daemon's token");
    turn_on_beside_the_hooks(&world, port, &token);
    let api =
        ScriptedApi::start(Script::main([Turn::bash("echo one", usage(1)), Turn::says("Done.", usage(2))]));
    let outcome = Headless::new(&world, &api, "do it").run();
    assert_counted(&bursar, &outcome.result, api.log());
    let status = wait::until("both requests", SOON, || {
        Some(bursar.status()).filter(|status| status.telemetry.requests == 2)
    });
    let telemetry = status.telemetry;
    assert_eq!((telemetry.malformed, telemetry.refused, telemetry.missing), (0, 0, 0), "{telemetry:?}");
    assert!(
        telemetry.events > 2 && telemetry.address == Some(format!("http://127.0.0.1:{port}")),
        "{telemetry:?}"
    );
    assert_eq!(status.degraded, Vec::<String>::new());
    let shown = bursar.run(&["status"]).stdout;
    assert!(shown.contains(&format!("Telemetry: {}.", telemetry.says)), "{shown}");
    // The token stands in one file, and in nothing that is shown.
    let json = bursar.run(&["status", "--json"]).stdout + &bursar.run(&["config", "show", "--json"]).stdout;
    for text in [bursar.daemon_log(), shown, json] {
        assert!(!text.contains(token.reveal()), "{text}");
    }
}

#[track_caller]
fn turn_on_beside_the_hooks(world: &World, port: u16, token: &Token) {
    turn_on(world, port, token, Wire::Protobuf);
    assert!(!Settings::read(&world.settings()).hooks_of("PreToolUse").is_empty());
}

#[test]
fn a_receiver_that_is_away_or_refuses_does_the_client_no_harm() {
    let world = bare();
    let port = free_port();
    let mut bursar = Bursar::up(&world, &[("BURSAR_PORT", &port.to_string())]);
    let elsewhere = TempDir::with_prefix("bt-").expect("a folder");
    let wrong = Token::open(elsewhere.path()).expect("a token");
    let script = || Script::main([Turn::bash("echo one", usage(1)), Turn::says("Done.", usage(2))]);
    let run = || {
        let api = ScriptedApi::start(script());
        let outcome = Headless::new(&world, &api, "do it").run();
        assert_eq!((outcome.reason(), outcome.process.stderr.as_str()), ("completed", ""));
        (api, outcome)
    };
    // A token of another home.
    turn_on_beside_the_hooks(&world, port, &wrong);
    let (api, refused) = run();
    assert_counted(&bursar, &refused.result, api.log());
    assert_eq!(bursar.status().telemetry.events, 0);
    // Nobody at all.
    turn_on_beside_the_hooks(&world, port, &Token::read(&world.bursar_home()).expect("a token"));
    bursar.stop();
    let (_api, away) = run();
    assert!(away.process.took < SOON, "{:?}", away.process.took);
    assert!(token::path(&world.bursar_home()).is_file(), "the token outlives the daemon");
}

/// Answers every batch with "not now" until told to end, and says how many there were.
fn refuse_for_now(listener: &TcpListener, end: &AtomicBool) -> u32 {
    listener.set_nonblocking(true).expect("a listener");
    let mut refused = 0;
    while !end.load(Ordering::Relaxed) {
        let Ok((mut stream, _)) = listener.accept() else {
            sleep(Duration::from_millis(10));
            continue;
        };
        stream.set_nonblocking(false).expect("a stream");
        let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
        let mut all = [0; 16 * 1024];
        while stream.read(&mut all).is_ok_and(|n| n > 0) {}
        let answer = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        refused += u32::from(stream.write_all(answer.as_bytes()).is_ok());
    }
    refused
}

#[test]
fn a_batch_that_was_not_taken_is_sent_again() {
    let world = bare();
    let busy = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = busy.local_addr().expect("its address").port();
    let home = TempDir::with_prefix("bt-").expect("a folder");
    turn_on(&world, port, &Token::open(home.path()).expect("a token"), Wire::Protobuf);
    let gate = Gate::new();
    let api = ScriptedApi::start(Script::main([
        Turn::bash("echo one", usage(1)),
        Turn::bash("echo two", usage(2)).behind(&gate),
        Turn::says("Done.", usage(3)),
    ]));
    let end = Arc::new(AtomicBool::new(false));
    let server = std::thread::spawn({
        let end = Arc::clone(&end);
        // The port goes with it.
        move || refuse_for_now(&busy, &end)
    });
    let run = Headless::new(&world, &api, "do it").start();
    api.log().wait_for(&Kind::Main, 2, SOON);
    // Three exports at the least.
    sleep(Duration::from_millis(1_500));
    end.store(true, Ordering::Relaxed);
    let refused = server.join().expect("the busy server");
    assert!(refused > 0, "batches came");
    let sink = Sink::start_in(port, &home);
    wait::until_true("the first request, sent again", SOON, || sink.telemetry.view(None).requests > 0);
    gate.open();
    assert_eq!(run.outcome().reason(), "completed");
    assert_all_there(&sink.requests(api.log()), api.log());
}

#[test]
fn a_port_that_somebody_has_keeps_no_daemon_from_serving() {
    let world = bare();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its address").port().to_string();
    let mut bursar = Bursar::up(&world, &[("BURSAR_PORT", &port)]);
    let status = bursar.status();
    assert!(status.degraded.iter().any(|why| why.contains(&port)), "{:?}", status.degraded);
    assert!(bursar.run(&["status"]).stdout.contains("degraded: HTTP is not served"));
    bursar.stop();
    // Off is not degraded.
    bursar.configure(&[("BURSAR_PORT", "0")]);
    bursar.start();
    let status = bursar.status();
    assert_eq!((status.degraded, status.telemetry.address), (Vec::new(), None));
    bursar.stop();
    drop(taken);
    bursar.configure(&[("BURSAR_PORT", &port)]);
    bursar.start();
    assert!(bursar.status().telemetry.address.is_some_and(|address| address.ends_with(&port)));
}
