//! What commands answer: exit codes, errors, lists; and what malformed hooks meet.

use bursar_tests::api::{Script, ScriptedApi, Turn};
use bursar_tests::client::Headless;
use bursar_tests::daemon::Bursar;
use bursar_tests::wait;
use serde_json::{Value, json};

use crate::common::{SOON, bare, thousand, tokens};

/// Every command that lists, with the field that holds its rows.
const LISTS: [(&[&str], &str); 8] = [
    (&["sessions"], "sessions"),
    (&["sessions", "--all"], "sessions"),
    (&["budget", "list"], "budgets"),
    (&["alerts", "list"], "alerts"),
    (&["alerts", "list", "--all"], "alerts"),
    (&["hooks"], "verdicts"),
    (&["waiting"], "holds"),
    (&["waiting", "--all"], "holds"),
];

/// Each list's rows, checked for its shape.
#[track_caller]
fn rows(bursar: &Bursar<'_>) -> Vec<usize> {
    LISTS
        .iter()
        .map(|(args, field)| {
            let answer: Value = bursar.json(args);
            let object = answer.as_object().expect("an object");
            let keys: Vec<&str> = object.keys().map(String::as_str).collect();
            let mut wanted = [*field, "total"];
            wanted.sort_unstable();
            assert_eq!(keys, wanted, "{args:?}");
            let rows = answer[field].as_array().expect("rows").len();
            assert_eq!(answer["total"], json!(rows), "{args:?}");
            rows
        })
        .collect()
}

#[test]
fn every_list_says_its_rows_and_their_number() {
    let world = bare();
    let bursar = Bursar::up(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "10000")]);
    assert_eq!(rows(&bursar), [0; 8]);
    let api = ScriptedApi::start(
        Script::main([
            Turn::agent("count the sheep", false, thousand()),
            Turn::bash("true", tokens(9000)),
            Turn::says("Done.", thousand()),
        ])
        .subagent("count the sheep", [Turn::says("Three sheep.", thousand())]),
    );
    let run = Headless::new(&world, &api, "do it").start();
    let hold = bursar.wait_for_hold();
    // One session, its budget and the subagent's, the pause (which jumped over the warning), one hold.
    let held = rows(&bursar);
    assert_eq!((&held[..5], &held[6..]), ([1, 1, 2, 1, 1].as_slice(), [1, 1].as_slice()));
    bursar.done(&["alerts", "acknowledge"]);
    bursar.extend(&hold.budget_id, 100_000);
    run.outcome();
    bursar.how_it_ended(hold.hold_id);
    let over = rows(&bursar);
    assert_eq!((&over[..5], &over[6..]), ([0, 1, 2, 0, 1].as_slice(), [0, 1].as_slice()));
    let limited: Value = bursar.json(&["hooks", "--limit", "3"]);
    assert_eq!((limited["total"].as_u64(), over[5] > 3), (Some(3), true));
}

#[test]
fn exit_codes_say_done_refused_wrong_use_or_away() {
    let world = bare();
    let mut bursar = Bursar::up(&world, &[]);
    let session: &[&str] = &["sessions", "show", "nobody"];
    let table: [(u8, &[&[&str]]); 3] = [
        (
            0,
            &[
                &["status"],
                &["sessions"],
                &["budget", "list"],
                &["waiting"],
                &["hooks"],
                &["--version"],
                &["--help"],
            ],
        ),
        (
            1,
            &[
                session,
                &["budget", "show", "nobody"],
                &["budget", "extend", "nobody", "--tokens", "5", "--reason", "none"],
                &["extend", "+100k"],
                &["finish"],
                &["stop"],
                &["alerts", "acknowledge", "77"],
            ],
        ),
        (
            2,
            &[
                &["frobnicate"],
                &["budget"],
                &["budget", "show"],
                &["extend"],
                &["extend", "a lot"],
                &["extend", "+0x10"],
                &["extend", "-5"],
                &["budget", "set", "nobody"],
                &["hooks", "--limit", "many"],
            ],
        ),
    ];
    for (code, commands) in table {
        for args in commands {
            let finished = bursar.run(args);
            assert_eq!(finished.code, Some(i32::from(code)), "{args:?}: {finished:?}");
            assert_eq!(finished.stderr.is_empty(), code == 0, "{args:?}: {finished:?}");
        }
    }
    bursar.stop();
    let away: [&[&str]; 8] = [
        &["status"],
        &["sessions"],
        session,
        &["budget", "list"],
        &["alerts", "list"],
        &["hooks"],
        &["waiting"],
        &["extend", "+100k"],
    ];
    for args in away {
        let finished = bursar.run(args);
        assert_eq!(finished.code, Some(3), "{args:?}: {finished:?}");
        assert!(
            finished.stderr.starts_with("Bursar is not running.\nStart it with "),
            "{args:?}: {finished:?}"
        );
    }
}

#[test]
fn errors_are_json_on_standard_error_where_json_is_wanted() {
    let world = bare();
    let mut bursar = Bursar::up(&world, &[]);
    let error = |bursar: &Bursar<'_>, args: &[&str]| -> String {
        let finished = bursar.run(&[args, &["--json"]].concat());
        assert_eq!(finished.stdout, "", "{args:?}");
        let error: Value = serde_json::from_str(&finished.stderr).expect("an error in JSON");
        let keys: Vec<&str> = error.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(keys, ["details", "error", "message"], "{args:?}");
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{args:?}");
        error["error"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(error(&bursar, &["sessions", "show", "nobody"]), "not_found");
    assert_eq!(error(&bursar, &["budget", "show", "nobody"]), "not_found");
    bursar.stop();
    assert_eq!(error(&bursar, &["status"]), "daemon_away");
}

#[test]
fn with_several_that_wait_the_short_form_lists_them_and_does_nothing() {
    let world = bare();
    let bursar = Bursar::up(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "1000")]);
    let turns = |end: &str| [Turn::bash("true", thousand()), Turn::says(end, thousand())];
    let api = ScriptedApi::start(
        Script::default().session("the red one", turns("Red.")).session("the blue one", turns("Blue.")),
    );
    let red = Headless::new(&world, &api, "do the red one").start();
    let first = bursar.wait_for_hold();
    let blue = Headless::new(&world, &api, "do the blue one").start();
    wait::until_true("two that wait", SOON, || bursar.holds().len() == 2);
    let holds = bursar.holds();
    for args in [["extend", "+100k"].as_slice(), &["stop"], &["finish"]] {
        let several = bursar.run(args);
        assert_eq!(several.code, Some(2), "{several:?}");
        assert!(holds.iter().all(|hold| several.stderr.contains(&hold.budget_id)), "{several:?}");
    }
    assert_eq!(bursar.holds(), holds);
    // A beginning of its id is enough to name one, and `session:` may be left out.
    bursar.done(&["extend", &first.session_id[..8], "+100k"]);
    assert_eq!(red.outcome().result.result, "Red.");
    bursar.done(&["extend", "+25%"]);
    assert_eq!(bursar.holds().len(), 0);
    assert_eq!(blue.outcome().result.result, "Blue.");
}

#[test]
fn malformed_hooks_are_allowed_and_counted() {
    let world = bare();
    let mut bursar = Bursar::up(&world, &[]);
    let deep = "[".repeat(100_000);
    let long = format!("{{\"session_id\":\"{}\",\"hook_event_name\":\"Stop\"}}", "x".repeat(4_000_000));
    let malformed: [&[u8]; 9] = [
        b"",
        b"not json",
        b"null",
        b"[]",
        b"{}",
        b"{\"session_id\":\"../../etc/passwd\",\"hook_event_name\":\"Stop\"}",
        b"{\"session_id\":\"s1\",\"hook_event_name\":\"NoSuchEvent\"}",
        deep.as_bytes(),
        long.as_bytes(),
    ];
    let mut counted = 0;
    for payload in malformed {
        let shown = String::from_utf8_lossy(&payload[..payload.len().min(60)]).into_owned();
        let finished = bursar.hook("PreToolUse", payload);
        assert_eq!(
            (finished.code, finished.stdout.as_str(), finished.stderr.as_str()),
            (Some(0), "", ""),
            "{shown}"
        );
        counted += 1;
        assert_eq!(bursar.status().malformed, counted, "{shown}");
    }
    assert!(bursar.sessions(true).is_empty());
    assert!(bursar.verdicts().verdicts.iter().all(|verdict| verdict.verdict == "malformed"));
    bursar.stop();
    let finished = bursar.hook("PreToolUse", b"not json");
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(0), ""));
}

#[test]
fn an_option_may_stand_behind_the_amount() {
    let world = bare();
    let bursar = Bursar::up(&world, &[]);
    for args in [vec!["extend", "+1k", "--json"], vec!["extend", "nobody", "+1k", "--reason", "why not"]] {
        let finished = bursar.run(&args);
        assert_eq!(finished.code, Some(1), "{args:?} is understood, and has no object: {finished:?}");
    }
}
