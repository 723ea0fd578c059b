//! Sessions that run no hooks (`--bare`, `--safe-mode`, other settings) are found by their transcripts, counted, and shown as
//! what they are; those that hooks tell of never are.

use std::time::Duration;

use bursar_tests::api::{Script, ScriptedApi, Turn};
use bursar_tests::client::Headless;
use bursar_tests::daemon::Bursar;
use bursar_tests::reply::Tokens;
use bursar_tests::settings::Settings;
use bursar_tests::terminal::Terminal;
use bursar_tests::wait;
use serde_json::Value;

use crate::common::{SOON, bare, thousand, usage};

/// The alerts about sessions without hooks.
fn told(bursar: &Bursar<'_>) -> Vec<String> {
    let list: Value = bursar.json(&["alerts", "list", "--all"]);
    let alerts = list["alerts"].as_array().expect("alerts").iter();
    let of_these = alerts.filter(|alert| alert["alert_type"] == "unhooked_session");
    of_these.map(|alert| alert["message"].as_str().expect("a sentence").to_owned()).collect()
}

#[test]
fn sessions_that_run_no_hooks_are_found_counted_and_told_of_once() {
    for flag in ["--bare", "--safe-mode"] {
        let world = bare();
        let bursar = Bursar::up(&world, &[]);
        let script = Script::main([Turn::bash("echo one", usage(1)), Turn::says("Done.", usage(2))]);
        let api = ScriptedApi::start(script);
        let outcome = Headless::new(&world, &api, "do it").arg(flag).run();
        let id = outcome.result.session_id;
        wait::until_true("the session", SOON, || bursar.sessions(true).iter().any(|s| s.session_id == id));
        let shown =
            wait::until("its end", SOON, || Some(bursar.session(&id)).filter(|shown| shown.state == "ended"));
        assert!(!shown.hooked && shown.lower_bound, "{flag}: {shown:?}");
        assert_eq!(shown.usage, Tokens::from(api.log().usage()), "{flag}");
        let alerts = told(&bursar);
        assert_eq!(alerts.len(), 1, "{flag}: {alerts:?}");
        assert!(alerts[0].contains(&id[..8]) && alerts[0].contains("cannot be held"), "{alerts:?}");
    }
}

#[test]
fn one_that_goes_on_is_shown_live_counts_in_its_budget_and_is_hooked_by_its_first_hook() {
    let world = bare();
    let bursar = Bursar::new(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "2000")]);
    // Installed into settings that this client does not read.
    bursar.done(&[
        "install",
        "--settings",
        &world.root().join("other.json").display().to_string(),
        "--unprotected",
    ]);
    let mut bursar = bursar;
    bursar.start();
    // The client looks at its settings now and then, so the work takes a few seconds.
    let work = (0..6).map(|_| Turn::bash("sleep 1", thousand()));
    let turns = ["One.", "Two."].map(|text| Turn::says(text, thousand())).into_iter().chain(work);
    let api = ScriptedApi::start(Script::main(turns.chain([Turn::says("Three.", thousand())])));
    let terminal = Terminal::start(&world, &api, &[]);
    terminal.type_line("first");
    terminal.wait_for("One.", SOON);
    let shown = wait::until("an unhooked session", SOON, || {
        let id = bursar.sessions(false).first()?.session_id.clone();
        Some(bursar.session(&id)).filter(|s| !s.hooked)
    });
    assert_eq!(shown.state, "live");
    assert!(bursar.done(&["sessions"]).stdout.contains("unhooked"));
    terminal.type_line("second");
    terminal.wait_for("Two.", SOON);
    let budget = format!("session:{}", shown.session_id);
    wait::until_true("both answers in its budget", SOON, || {
        bursar.budget(&budget).is_some_and(|b| b.tokens_used == 2_000)
    });
    let list: Value = bursar.json(&["alerts", "list"]);
    assert!(list.to_string().contains("runs without hooks and cannot be held"), "{list}");
    bursar.done(&["budget", "extend", &budget, "--tokens", "100000", "--reason", "a test"]);
    // From now on its settings name the hooks.
    bursar.done(&["install", "--scope", "user", "--unprotected"]);
    terminal.type_line("third");
    terminal.wait_for("Three.", SOON);
    wait::until_true("its hooks", SOON, || bursar.session(&shown.session_id).hooked);
    assert_eq!(told(&bursar).len(), 1);
}

#[test]
fn hooked_sessions_and_history_are_never_taken_for_such() {
    let world = bare();
    // Before anything was installed, and before a daemon looked.
    let api =
        ScriptedApi::start(Script::main(["One.", "Two.", "Three."].map(|text| Turn::says(text, usage(1)))));
    Headless::new(&world, &api, "history").run();
    let mut bursar = Bursar::up(&world, &[]);
    let hooked = Headless::new(&world, &api, "do it").run().result.session_id;
    bursar.stop();
    bursar.start();
    let settings = Settings::read(&world.settings());
    assert!(settings.json()["hooks"].is_object());
    // Longer than it takes to find one.
    std::thread::sleep(Duration::from_secs(9));
    let ids: Vec<String> = bursar.sessions(true).into_iter().map(|s| s.session_id).collect();
    assert!(bursar.session(&hooked).hooked);
    assert_eq!(ids, [hooked]);
    assert_eq!(told(&bursar), [] as [String; 0]);
}
