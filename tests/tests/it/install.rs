//! What `install` writes and `uninstall` takes back.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bursar_tests::api::{Script, ScriptedApi, Turn};
use bursar_tests::client::Headless;
use bursar_tests::daemon::Bursar;
use bursar_tests::settings::{EVENTS, Settings};
use bursar_tests::terminal::Terminal;
use bursar_tests::world::World;
use serde_json::json;

use crate::common::{SOON, assert_counted, bare, recorded, thousand, usage};

/// Settings as people write them: their own spacing, order, hooks of others, things we know nothing of.
const ODD: &str = "{\"zeta\": {\"b\":1,   \"a\":[ 2,3 ]},\n\n  \"hooks\":\t{ \"Stop\": [],
    \"PreToolUse\": [ {\"matcher\":\"Bash\", \"hooks\":[{\"type\":\"command\",\"command\":\"true\"}]} ] },
      \"model\": \"opus\"   }";

/// A folder's files and their contents.
fn everything(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(everything(&path));
        } else {
            found.push((path.clone(), fs::read(&path).expect("a file")));
        }
    }
    found.sort();
    found
}

#[test]
fn what_is_written_is_what_the_client_needs() {
    let (world, _theirs) = recorded();
    let bursar = Bursar::new(&world, &[]);
    bursar.install();
    let settings = Settings::read(&world.settings());
    let home = world.bursar_home();
    for event in EVENTS {
        let hooks = settings.hooks_of(event);
        assert_eq!(hooks.len(), 2, "{event}: theirs and ours");
        let ours = &hooks[1];
        let hold_capable = ["PreToolUse", "PostToolBatch", "UserPromptSubmit"].contains(&event);
        let timeout = match event {
            "SessionEnd" => 1,
            _ if hold_capable => 86_460,
            _ => 2,
        };
        let args = json!([
            "--socket",
            home.join("run/bursar.sock"),
            "--state",
            home,
            "--timeout",
            timeout.to_string()
        ]);
        assert_eq!(ours["type"], "command");
        assert_eq!(ours["command"], json!(home.join("bin/bursar-hook")), "{event}");
        assert_eq!(ours["args"], args, "{event}");
        assert_eq!(ours["timeout"], timeout, "{event}");
        let spinner = ours.get("statusMessage").and_then(serde_json::Value::as_str);
        let wanted = hold_capable.then_some("Bursar: if this stays, run `bursar waiting`");
        assert_eq!(spinner, wanted, "{event}");
        assert!(hooks[0]["command"].as_str().is_some_and(|command| command.ends_with("record.sh")));
    }
    let copy = fs::metadata(home.join("bin/bursar-hook")).expect("the hook client's copy");
    assert_eq!(copy.permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(&home).expect("the state folder").permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_shorter_hold_is_registered_with_a_shorter_timeout() {
    let world = bare();
    let bursar = Bursar::new(&world, &[("TOKEN_BUDGET_HOLD_SECONDS", "600")]);
    bursar.install();
    let hook = &Settings::read(&world.settings()).hooks_of("PreToolUse")[0];
    assert_eq!((&hook["timeout"], &hook["args"][5]), (&json!(660), &json!("660")));
}

#[test]
fn twice_is_once_and_uninstalling_gives_the_very_bytes_back() {
    for before in [ODD, "{}", "", "{\n  \"model\": \"opus\"\n}\n"] {
        let world = World::new();
        let file = world.settings();
        fs::write(&file, before).expect("settings");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("their mode");
        let bursar = Bursar::new(&world, &[]);
        bursar.install();
        let once = fs::read(&file).expect("settings");
        bursar.install();
        assert_eq!(fs::read(&file).expect("settings"), once, "a second installation changed the file");
        let backup = world.root().join("settings.json.bursar-backup");
        assert_eq!(fs::read_to_string(backup).expect("a backup"), before);
        bursar.uninstall();
        assert_eq!(fs::read_to_string(&file).expect("settings"), before);
        assert_eq!(fs::metadata(&file).expect("settings").permissions().mode() & 0o777, 0o640);
        assert!(!world.bursar_home().join("bin/bursar-hook").exists(), "the hook client was left behind");
        bursar.uninstall();
        assert_eq!(fs::read_to_string(&file).expect("settings"), before);
    }
}

#[test]
fn a_settings_file_that_was_not_there_is_gone_again() {
    let world = World::new();
    let bursar = Bursar::new(&world, &[]);
    bursar.install();
    assert!(world.settings().exists());
    bursar.uninstall();
    assert!(!world.settings().exists());
}

#[test]
fn what_others_wrote_meanwhile_stays_when_we_go() {
    let world = World::new();
    fs::write(world.settings(), ODD).expect("settings");
    let bursar = Bursar::new(&world, &[]);
    bursar.install();
    Settings::read(&world.settings())
        .hook("Stop", Path::new("/bin/true"), &["later"], 5)
        .set("later", json!(true))
        .write(&world.settings());
    bursar.uninstall();
    let left = Settings::read(&world.settings());
    assert_eq!(left.hooks_of("Stop").len(), 1);
    assert_eq!(left.hooks_of("PreToolUse").len(), 1);
    assert_eq!(
        (&left.json()["later"], &left.json()["zeta"]),
        (&json!(true), &json!({ "b": 1, "a": [2, 3] }))
    );
    let text = fs::read_to_string(world.settings()).expect("settings");
    assert!(!text.contains("bursar"), "{text}");
}

#[test]
fn a_dry_run_says_what_it_would_write_and_changes_nothing() {
    let world = World::new();
    fs::write(world.settings(), ODD).expect("settings");
    let before = everything(world.root());
    let bursar = Bursar::new(&world, &[]);
    let said = bursar.install_with(&["--unprotected", "--dry-run"]).stdout;
    assert!(said.contains("bursar-hook") && said.contains("PostToolBatch"), "{said}");
    let after = everything(world.root());
    // The client that was asked for its version may leave files of its own.
    let ours = |files: Vec<(PathBuf, Vec<u8>)>| -> Vec<_> {
        files.into_iter().filter(|(path, _)| !path.starts_with(world.home())).collect()
    };
    assert_eq!(ours(after), ours(before));
}

#[test]
fn a_client_that_is_too_old_is_refused_and_by_force_gets_only_the_events_that_it_knows() {
    let world = bare();
    let claude = world.bin().join("claude");
    fs::remove_file(&claude).expect("the link to the client");
    fs::write(&claude, "#!/bin/sh\necho '2.1.50 (Claude Code)'\n").expect("an old client");
    fs::set_permissions(&claude, fs::Permissions::from_mode(0o755)).expect("it can run");
    let bursar = Bursar::new(&world, &[]);
    let settings = world.settings().display().to_string();
    let refused = bursar.run(&["install", "--settings", &settings, "--unprotected"]);
    assert_eq!(refused.code, Some(1));
    for words in ["2.1.50", "bin/claude", "2.1.139", "--old-clients"] {
        assert!(refused.stderr.contains(words), "{words}: {}", refused.stderr);
    }
    assert_eq!(Settings::read(&world.settings()).hooks_of("PreToolUse").len(), 0, "nothing was written");
    let said = bursar.install_with(&["--unprotected", "--old-clients"]).stdout;
    assert!(said.contains("2.1.50"), "{said}");
    let settings = Settings::read(&world.settings());
    let events: Vec<_> = settings.json()["hooks"].as_object().expect("hooks").keys().cloned().collect();
    let known = [
        "Notification",
        "PostToolUse",
        "PreCompact",
        "PreToolUse",
        "SessionEnd",
        "SessionStart",
        "Stop",
        "SubagentStop",
        "UserPromptSubmit",
    ];
    let mut events = events;
    events.sort();
    assert_eq!(events, known);
}

#[test]
fn what_is_no_settings_file_is_left_as_it_is() {
    for broken in ["{\"hooks\": 3}", "[]", "{ not json"] {
        let world = World::new();
        fs::write(world.settings(), broken).expect("settings");
        let bursar = Bursar::new(&world, &[]);
        let settings = world.settings().display().to_string();
        let refused = bursar.run(&["install", "--settings", &settings, "--unprotected"]);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stderr.contains("it was left as it is"), "{refused:?}");
        assert_eq!(fs::read_to_string(world.settings()).expect("settings"), broken);
    }
}

#[test]
fn each_scope_hooks_the_sessions_that_it_names() {
    for scope in ["user", "project", "local"] {
        let world = bare();
        let mut bursar = Bursar::new(&world, &[]);
        bursar.done(&["install", "--scope", scope, "--unprotected"]);
        bursar.start();
        let api = ScriptedApi::start(Script::main([
            Turn::bash("echo one", usage(1)),
            Turn::says("Done.", usage(2)),
        ]));
        let outcome = Headless::new(&world, &api, "do it").run();
        assert_eq!(bursar.sessions(true).len(), 1, "{scope}: the session is not known");
        assert_counted(&bursar, &outcome.result, api.log());
        bursar.done(&["uninstall", "--scope", scope]);
        Headless::new(&world, &api, "again").run();
        assert_eq!(bursar.sessions(true).len(), 1, "{scope}: a session is still hooked");
    }
}

#[test]
fn a_session_that_was_open_before_the_installation_is_hooked() {
    let world = bare();
    let mut bursar = Bursar::new(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "1000")]);
    bursar.start();
    // The client looks at its settings now and then, so the work takes a few seconds.
    let work = (0..6).map(|_| Turn::bash("sleep 1", thousand()));
    let turns = [Turn::says("Unhooked.", thousand())].into_iter().chain(work);
    let api = ScriptedApi::start(Script::main(turns.chain([Turn::says("All done.", thousand())])));
    let terminal = Terminal::start(&world, &api, &[]);
    terminal.type_line("do it");
    terminal.wait_for("Unhooked.", SOON);
    bursar.done(&["install", "--scope", "user", "--unprotected"]);
    terminal.type_line("go on");
    let hold = bursar.wait_for_hold();
    let used = bursar.budget(&hold.budget_id).expect("the budget").tokens_used;
    assert_eq!(used, 1000, "what came before its first hook is history");
    bursar.extend(&hold.budget_id, 100_000);
    terminal.wait_for("All done.", SOON);
}

#[test]
fn uninstalling_lets_go_what_is_held_and_takes_every_marker_away() {
    let world = bare();
    let before = fs::read(world.settings()).expect("settings");
    let bursar = Bursar::up(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "1000")]);
    let api = ScriptedApi::start(Script::main([
        Turn::bash("true", thousand()),
        Turn::says("All done.", thousand()),
    ]));
    let run = Headless::new(&world, &api, "do it").start();
    let hold = bursar.wait_for_hold();
    let markers = world.bursar_home().join("paused");
    assert_eq!(everything(&markers).len(), 1, "a held session has a marker");
    bursar.uninstall();
    assert_eq!(run.outcome().result.result, "All done.");
    assert_eq!(bursar.how_it_ended(hold.hold_id), "released");
    assert_eq!(everything(&markers), []);
    assert_eq!(fs::read(world.settings()).expect("settings"), before);
}

#[test]
fn uninstalling_works_without_a_daemon() {
    let world = bare();
    let before = fs::read(world.settings()).expect("settings");
    let mut bursar = Bursar::up(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "1000")]);
    let api =
        ScriptedApi::start(Script::main([Turn::says("Done.", thousand()), Turn::says("Free.", thousand())]));
    let paused = Headless::new(&world, &api, "do it").run();
    bursar.wait_for_status("paused");
    bursar.kill();
    bursar.uninstall();
    assert_eq!(everything(&world.bursar_home().join("paused")), []);
    assert_eq!(fs::read(world.settings()).expect("settings"), before);
    let free = Headless::new(&world, &api, "go on").resume(&paused.result.session_id).run();
    assert_eq!(free.result.result, "Free.");
}
