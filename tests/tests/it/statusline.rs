//! The status line in a real terminal: it shows the budget beside the line that stood there before, says within a second
//! that a session is held, and tells what the client has counted that no line shows.

use std::fs;
use std::time::Duration;

use bursar_tests::api::{Script, ScriptedApi, Turn, Usage};
use bursar_tests::daemon::Bursar;
use bursar_tests::settings::Settings;
use bursar_tests::terminal::Terminal;
use bursar_tests::wait;
use serde_json::{Value, json};

use crate::common::{SOON, bare, thousand, usage};
use crate::telemetry::free_port;

/// A second's redrawing, and some more for a busy machine.
const REDRAWN: Duration = Duration::from_secs(5);

#[test]
fn a_hold_shows_beside_the_line_that_stood_there_and_goes_with_it() {
    let world = bare();
    // What the client tells it comes through whole, and its own colours too.
    let theirs = r#"printf '\033[35mmine\033[0m '; sed 's/.*"display_name":"\([^"]*\)".*/<\1>/'"#;
    Settings::read(&world.settings())
        .set("statusLine", json!({"type": "command", "command": theirs, "padding": 1}))
        .write(&world.settings());
    let bursar = Bursar::up(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "2000")]);
    let api = ScriptedApi::start(Script::main([
        Turn::bash("true", thousand()),
        Turn::bash("echo two", thousand()),
        Turn::says("All done.", thousand()),
    ]));
    let terminal = Terminal::start(&world, &api, &[]);
    terminal.wait_for("mine <", SOON);
    terminal.wait_for("bursar 0/2k 0%", SOON);
    terminal.type_line("do it");
    let hold = bursar.wait_for_hold();
    terminal.wait_for("HELD 2k/2k · bursar extend +100k", REDRAWN);
    assert!(terminal.screen().contains("mine <"), "{}", terminal.screen());
    bursar.done(&["extend", "+100k"]);
    terminal.wait_for("All done.", SOON);
    terminal.wait_for("bursar 3k/102k", REDRAWN);
    assert!(!terminal.screen().contains("HELD"), "{}", terminal.screen());
    assert_eq!(bursar.how_it_ended(hold.hold_id), "extended");
    bursar.uninstall();
    let line = Settings::read(&world.settings()).json()["statusLine"].clone();
    assert_eq!(line, json!({"type": "command", "command": theirs, "padding": 1}));
}

#[test]
fn a_daemon_that_is_away_takes_nothing_from_the_line_that_stood_there() {
    let world = bare();
    Settings::read(&world.settings())
        .set("statusLine", json!({"type": "command", "command": "echo still here"}))
        .write(&world.settings());
    let mut bursar = Bursar::up(&world, &[]);
    bursar.stop();
    let api = ScriptedApi::start(Script::main([Turn::says("Done.", usage(1))]));
    let terminal = Terminal::start(&world, &api, &[]);
    terminal.wait_for("still here", SOON);
    terminal.wait_for("bursar is away: nothing is counted or held", SOON);
    bursar.start();
    terminal.type_line("do it");
    terminal.wait_for("Done.", SOON);
    // Its start was not seen.
    terminal.wait_for("bursar ≥192/500k", SOON);
}

#[test]
fn what_the_client_counts_that_no_line_shows_is_said_and_settled_at_the_end() {
    let world = bare();
    let bursar = Bursar::up(&world, &[]);
    let api = ScriptedApi::start(
        Script::main([Turn::says("The first answer.", usage(1))]).compact_usage(Usage::plain(90_700, 9_300)),
    );
    let terminal = Terminal::start(&world, &api, &[]);
    terminal.type_line("go on");
    terminal.wait_for("The first answer.", SOON);
    let id = wait::until("the session", SOON, || Some(bursar.sessions(false).first()?.session_id.clone()));
    let shown = wait::until("what the client says", SOON, || {
        Some(bursar.session(&id)).filter(|shown| shown.coverage == Some(1.0))
    });
    assert!(!shown.lower_bound);
    terminal.type_line("/compact");
    terminal.wait_for("ompacted", SOON);
    let short = wait::until("a lower bound", SOON, || Some(bursar.session(&id)).filter(|s| s.lower_bound));
    assert!(short.coverage.is_some_and(|share| share < 0.9), "{short:?}");
    terminal.wait_for("bursar ≥", SOON);
    let ledger: Value = bursar.json(&["ledger", "explain", &id]);
    assert!(ledger["missing"][0].as_str().expect("a sentence").contains("status line says $"), "{ledger}");
    terminal.close();
    let settled = wait::until("the settlement", SOON, || {
        Some(bursar.session(&id)).filter(|shown| shown.runs[0].settled)
    });
    assert_eq!((settled.lower_bound, settled.coverage), (false, Some(1.0)));
}

#[test]
fn telemetry_that_install_turned_on_counts_a_compaction_at_once() {
    let world = bare();
    let port = free_port();
    let bursar = Bursar::up(&world, &[("BURSAR_PORT", &port.to_string())]);
    let api = ScriptedApi::start(
        Script::main([Turn::says("The first answer.", usage(1))]).compact_usage(Usage::plain(907, 93)),
    );
    let terminal = Terminal::start(&world, &api, &[]);
    terminal.type_line("go on");
    terminal.wait_for("The first answer.", SOON);
    terminal.type_line("/compact");
    terminal.wait_for("ompacted", SOON);
    wait::until_true("an exact total", SOON, || {
        bursar.sessions(true).first().is_some_and(|s| s.usage == api.log().usage().into())
    });
    let id = bursar.sessions(true)[0].session_id.clone();
    let shown = bursar.session(&id);
    assert!(!shown.lower_bound && !shown.runs[0].settled, "{shown:?}");
}

#[test]
fn install_leaves_what_it_is_told_to_and_telemetry_of_ones_own() {
    let env = |world: &bursar_tests::world::World| Settings::read(&world.settings()).json()["env"].clone();
    let world = bare();
    let bursar = Bursar::new(&world, &[("BURSAR_PORT", "28999")]);
    let shown = bursar.install_with(&["--unprotected", "--dry-run"]).stdout;
    assert!(shown.contains("authorization=Bearer …") && shown.contains("statusline --socket"), "{shown}");
    bursar.install_with(&["--unprotected", "--no-statusline", "--no-telemetry"]);
    let settings = Settings::read(&world.settings());
    assert_eq!((&settings.json()["statusLine"], env(&world)), (&Value::Null, Value::Null));
    let said = bursar.install_with(&["--unprotected"]).stdout;
    assert!(said.contains("127.0.0.1:28999"), "{said}");
    let here = env(&world);
    assert_eq!(here["OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"], "http://127.0.0.1:28999/v1/logs");
    let token = fs::read_to_string(world.bursar_home().join("telemetry-token")).expect("a token");
    assert_eq!(here["OTEL_EXPORTER_OTLP_LOGS_HEADERS"], format!("authorization=Bearer {token}"));
    bursar.uninstall();
    assert_eq!(env(&world), Value::Null);

    let mine = json!({"CLAUDE_CODE_ENABLE_TELEMETRY": "1", "OTEL_LOGS_EXPORTER": "console"});
    Settings::read(&world.settings()).set("env", mine.clone()).write(&world.settings());
    let said = bursar.install_with(&["--unprotected"]).stdout;
    assert!(said.contains("Telemetry of your own") && said.contains("otlphttp/bursar"), "{said}");
    assert!(!said.contains(&token), "{said}");
    assert_eq!(env(&world), mine);
}
