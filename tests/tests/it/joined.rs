//! What telemetry tells is joined with the lines: exact within a second of each turn's end, after a compaction too; and
//! where the stream is cut the coverage says so, until the session's end settles it.

use std::time::{Duration, Instant};

use bursar::http::token::Token;
use bursar::telemetry::client_env::Wire;
use bursar_tests::api::{Script, ScriptedApi, Turn, Usage};
use bursar_tests::client::Headless;
use bursar_tests::daemon::Bursar;
use bursar_tests::reply::Tokens;
use bursar_tests::terminal::Terminal;
use bursar_tests::wait;
use serde_json::{Value, json};

use crate::common::{SOON, assert_counted, bare, usage};
use crate::telemetry::{free_port, turn_on};

/// Waits until the only session's total is what the API has sent, and says how long that took.
#[track_caller]
fn exact_after(bursar: &Bursar<'_>, api: &ScriptedApi) -> Duration {
    let since = Instant::now();
    wait::until_true("an exact total", SOON, || {
        bursar.sessions(true).first().is_some_and(|s| s.usage == Tokens::from(api.log().usage()))
    });
    since.elapsed()
}

#[test]
fn totals_are_exact_within_a_second_of_each_turns_end_right_after_a_compaction_too() {
    let world = bare();
    let port = free_port();
    let bursar = Bursar::up(&world, &[("BURSAR_PORT", &port.to_string())]);
    turn_on(&world, port, &Token::read(&world.bursar_home()).expect("a token"), Wire::Protobuf);
    let api = ScriptedApi::start(
        Script::main([
            Turn::bash("echo one", usage(1)),
            Turn::says("The first answer.", usage(2)),
            Turn::says("The second answer.", usage(3)),
        ])
        .compact_usage(Usage::plain(907, 93)),
    );
    let terminal = Terminal::start(&world, &api, &[]);
    terminal.type_line("go on");
    terminal.wait_for("The first answer.", SOON);
    let mut took = vec![exact_after(&bursar, &api)];
    terminal.type_line("/compact");
    terminal.wait_for("ompacted", SOON);
    took.push(exact_after(&bursar, &api));
    terminal.type_line("and more");
    terminal.wait_for("The second answer.", SOON);
    took.push(exact_after(&bursar, &api));
    // Clients send every half second; on a machine that is busy with other tests it may take a little longer.
    assert!(took.iter().all(|took| *took < Duration::from_secs(3)), "{took:?}");
    let id = bursar.sessions(true)[0].session_id.clone();
    let shown = wait::until("all of it told by telemetry", SOON, || {
        Some(bursar.session(&id)).filter(|shown| shown.coverage == Some(1.0))
    });
    assert!(!shown.lower_bound && !shown.runs[0].settled);
    assert_eq!(shown.sources.telemetry, shown.usage);
    assert_eq!(shown.sources.telemetry_only, Tokens::from(Usage::plain(907, 93)));
    assert_eq!(shown.cost_micro_usd, told_cost(&bursar, &id));
    terminal.close();
    // Its end has nothing to add.
    let shown = wait::until("the settlement", SOON, || {
        Some(bursar.session(&id)).filter(|shown| shown.runs[0].settled)
    });
    assert_eq!((shown.usage, shown.coverage), (Tokens::from(api.log().usage()), Some(1.0)));
    assert_eq!(shown.sources.settlement, Tokens::default());
}

/// The sum over the rows of the ledger, each of which says where it comes from.
#[track_caller]
fn told_cost(bursar: &Bursar<'_>, id: &str) -> u64 {
    let ledger: Value = bursar.json(&["ledger", "explain", id]);
    let rows = ledger["rows"].as_array().expect("rows");
    assert!(
        rows.iter().all(|row| ["both", "telemetry"].contains(&row["source"].as_str().expect("a source")))
    );
    assert_eq!(ledger["missing"], json!([]));
    rows.iter().filter_map(|row| row["cost_micro_usd"].as_u64()).sum()
}

#[test]
fn a_stream_that_is_cut_in_the_middle_shows_in_the_coverage_and_the_end_settles_it() {
    let world = bare();
    let port = free_port();
    let mut bursar = Bursar::up(&world, &[("BURSAR_PORT", &port.to_string())]);
    turn_on(&world, port, &Token::read(&world.bursar_home()).expect("a token"), Wire::Json);
    let api = ScriptedApi::start(
        Script::main([Turn::says("The first answer.", usage(1)), Turn::says("The second answer.", usage(2))])
            .compact_usage(Usage::plain(907, 93)),
    );
    let terminal = Terminal::start(&world, &api, &[]);
    terminal.type_line("go on");
    terminal.wait_for("The first answer.", SOON);
    let id = bursar.sessions(false).first().expect("the session").session_id.clone();
    wait::until_true("the first turn", SOON, || bursar.session(&id).coverage == Some(1.0));
    // Nobody takes it any more.
    bursar.stop();
    bursar.configure(&[("BURSAR_PORT", "0")]);
    bursar.start();
    terminal.type_line("/compact");
    terminal.wait_for("ompacted", SOON);
    terminal.type_line("and more");
    terminal.wait_for("The second answer.", SOON);
    let shown = wait::until("the second turn by its line", SOON, || {
        Some(bursar.session(&id)).filter(|shown| shown.usage == Tokens::from(usage(1) + usage(2)))
    });
    assert!(shown.coverage.is_some_and(|share| share < 1.0), "{shown:?}");
    terminal.close();
    let shown = wait::until("the settlement", SOON, || {
        Some(bursar.session(&id)).filter(|shown| shown.runs[0].settled)
    });
    assert_eq!((shown.usage, shown.coverage), (Tokens::from(api.log().usage()), Some(1.0)));
    assert_eq!(shown.sources.settlement, Tokens::from(Usage::plain(907, 93)));
}

#[test]
fn subagents_that_telemetry_tells_of_are_counted_each_for_itself() {
    let world = bare();
    let port = free_port();
    let bursar = Bursar::up(&world, &[("BURSAR_PORT", &port.to_string())]);
    turn_on(&world, port, &Token::read(&world.bursar_home()).expect("a token"), Wire::Protobuf);
    let api = ScriptedApi::start(
        Script::main([
            Turn::agent("count the sheep", false, usage(1)).with_input("model", json!("haiku")),
            Turn::says("All done.", usage(2)),
        ])
        .subagent(
            "count the sheep",
            [Turn::bash("echo baa", usage(3)), Turn::says("Three sheep.", usage(4))],
        ),
    );
    let outcome = Headless::new(&world, &api, "do it").run();
    assert_counted(&bursar, &outcome.result, api.log());
    let shown = wait::until("both sensors", SOON, || {
        Some(bursar.session(&outcome.result.session_id))
            .filter(|shown| shown.sources.telemetry == shown.usage)
    });
    assert_eq!((shown.sources.telemetry_only, shown.sources.transcript), (Tokens::default(), shown.usage));
}
