//! The operator: a passphrase that is typed at a terminal, and what it keeps from whom. Bursar's own programs without a
//! client: what is a client's part here is played by a shell.

use std::fs;
use std::path::PathBuf;

use bursar_tests::api::{Script, ScriptedApi, Turn};
use bursar_tests::daemon::Bursar;
use bursar_tests::process::Running;
use bursar_tests::reply::{ActRecord, Audit};
use bursar_tests::terminal::Terminal;
use bursar_tests::wait;
use bursar_tests::world::World;

use crate::common::{SOON, bare, payload, thousand};

const PASSPHRASE: &str = "correct horse";
const ID: &str = "session:s1";
const EXTEND: &str = "bursar extend session:s1 +100k";

/// A daemon whose passphrase was set in this terminal.
#[track_caller]
fn protected<'a>(world: &'a World, config: &[(&str, &str)]) -> (Bursar<'a>, Terminal<'a>) {
    let mut bursar = Bursar::new(world, config);
    bursar.install_with(&[]);
    bursar.start();
    let terminal = Terminal::shell(&bursar, "own");
    terminal.says("bursar operator set", "New operator passphrase");
    terminal.type_line(PASSPHRASE);
    terminal.wait_for("The same again:", SOON);
    terminal.type_line(PASSPHRASE);
    terminal.wait_for("The passphrase is set.", SOON);
    assert!(!terminal.screen().contains(PASSPHRASE), "{}", terminal.screen());
    assert_eq!(bursar.status().operator, "passphrase");
    (bursar, terminal)
}

/// A session whose budget is shut: by anybody, since that is open to all.
#[track_caller]
fn shut_session(bursar: &Bursar<'_>) {
    bursar.hook("SessionStart", &payload("s1", "SessionStart"));
    bursar.done(&["budget", "set", ID, "--shut"]);
}

#[track_caller]
fn status_of(bursar: &Bursar<'_>) -> String {
    bursar.budget(ID).expect("the budget").status
}

#[track_caller]
fn audit(bursar: &Bursar<'_>) -> Vec<ActRecord> {
    bursar.json::<Audit>(&["audit", "--limit", "100"]).acts
}

#[track_caller]
fn unlock(terminal: &Terminal<'_>, command: &str, done: &str) {
    terminal.says(command, "Operator passphrase:");
    terminal.type_line(PASSPHRASE);
    terminal.wait_for(done, SOON);
}

#[test]
fn without_a_terminal_every_write_is_refused_says_what_next_and_is_recorded() {
    let world = bare();
    let (bursar, _terminal) = protected(&world, &[]);
    shut_session(&bursar);
    let settings = world.settings().display().to_string();
    let writes: [(&str, &[&str]); 12] = [
        ("extend", &["extend", "s1", "+100k"]),
        ("finish", &["finish", "s1"]),
        ("decline", &["stop", "s1"]),
        ("extend", &["budget", "extend", ID, "--tokens", "100k", "--reason", "please"]),
        ("reset", &["budget", "reset", ID]),
        ("set", &["budget", "set", ID, "--tokens", "900k"]),
        ("acknowledge_alert", &["alerts", "acknowledge"]),
        ("accept_config", &["config", "accept"]),
        ("set_passphrase", &["operator", "set"]),
        ("reset_passphrase", &["operator", "reset"]),
        ("unlock", &["operator", "unlock"]),
        ("unprotect", &["install", "--settings", &settings, "--unprotected"]),
    ];
    for (act, write) in writes {
        let refused = bursar.run(write);
        assert_eq!(refused.code, Some(1), "{write:?}: {refused:?}");
        assert!(refused.stderr.starts_with("Refused: only the operator may "), "{write:?}: {refused:?}");
        assert!(refused.stderr.contains("terminal"), "{write:?}: {refused:?}");
        let newest = audit(&bursar).into_iter().next().expect("a record");
        assert_eq!((newest.act.as_str(), newest.refused.is_some()), (act, true), "{write:?}: {newest:?}");
    }
    assert_eq!(status_of(&bursar), "paused");
    assert_eq!(bursar.status().operator, "passphrase");
    let refused = bursar.run(&["extend", "s1", "+100k", "--json"]);
    assert!(refused.stderr.contains(r#""error":"locked""#), "{refused:?}");
}

#[test]
fn at_a_terminal_the_passphrase_is_asked_for_and_unlocks_this_one_alone() {
    let world = bare();
    let (bursar, own) = protected(&world, &[]);
    shut_session(&bursar);
    unlock(&own, EXTEND, "session:s1 is active");
    own.says("bursar budget set s1 --shut", "is paused");
    own.says(EXTEND, "session:s1 is active");
    assert!(!own.screen().contains("Operator passphrase"), "asked again: {}", own.screen());
    let done: Vec<_> = audit(&bursar).into_iter().filter(|a| a.refused.is_none()).collect();
    let acts: Vec<&str> = done.iter().rev().map(|a| a.act.as_str()).collect();
    assert_eq!(acts, ["set_passphrase", "set", "unlock", "extend", "set", "extend"]);
    assert!(done[0].who.contains(" at pts/"), "{:?}", done[0]);
    assert_eq!(done[0].target, ID);

    // Another terminal, one that has none, and one that nobody looks at are not unlocked by that.
    own.says("bursar budget set s1 --shut", "is paused");
    let other = Terminal::shell(&bursar, "other");
    other.says(EXTEND, "Operator passphrase:");
    other.press("C-c");
    other.wait_for("Nothing was done.", SOON);
    // What is typed is seen again.
    other.says("true visible", "true visible");
    own.says(&format!("setsid -w {EXTEND}"), "Refused: only the operator may raise a limit.");
    own.says(&format!("{EXTEND} &"), "Refused: it runs in the background");
    assert_eq!(status_of(&bursar), "paused");
    own.says("bursar operator lock", "This terminal is locked.");
    own.says(EXTEND, "Operator passphrase:");
    own.press("C-c");
    own.wait_for("Nothing was done.", SOON);
    unlock(&own, EXTEND, "session:s1 is active");
}

#[test]
fn an_unlock_does_not_outlive_the_daemon_and_the_passphrase_does() {
    let world = bare();
    let (mut bursar, own) = protected(&world, &[]);
    shut_session(&bursar);
    unlock(&own, "bursar operator unlock", "This terminal is unlocked for 5 minutes.");
    bursar.kill();
    bursar.start();
    unlock(&own, EXTEND, "session:s1 is active");
}

#[test]
fn a_wrong_passphrase_says_so_and_how_long_the_next_try_takes() {
    let world = bare();
    let (bursar, own) = protected(&world, &[]);
    shut_session(&bursar);
    own.says(&format!("{EXTEND}; echo exit $?"), "Operator passphrase:");
    own.type_line("battery staple");
    own.wait_for("That is not the passphrase. The next try takes 2 s.", SOON);
    own.wait_for("exit 1", SOON);
    assert_eq!(status_of(&bursar), "paused");
    unlock(&own, EXTEND, "session:s1 is active");
    let refused = audit(&bursar).into_iter().filter(|a| a.act == "unlock").filter_map(|a| a.refused);
    assert!(refused.into_iter().any(|why| why.starts_with("That is not the passphrase.")));
    // Nothing of what was typed is kept anywhere.
    let files = fs::read_dir(world.bursar_home()).expect("the state").filter_map(Result::ok);
    for file in files.map(|entry| entry.path()).filter(|path| path.is_file()) {
        let bytes = fs::read(&file).expect("a file");
        for typed in [PASSPHRASE, "battery staple"] {
            let found = bytes.windows(typed.len()).any(|part| part == typed.as_bytes());
            assert!(!found, "{} has the passphrase", file.display());
        }
    }
    assert!(!bursar.daemon_log().contains("battery"), "{}", bursar.daemon_log());
}

/// A script that plays the client: it runs its hook, and then what an agent would run in its shell.
fn client(bursar: &Bursar<'_>, then: &str) -> PathBuf {
    let root = bursar.world().root();
    let settings = fs::read_to_string(bursar.world().settings()).expect("the settings");
    let settings: serde_json::Value = serde_json::from_str(&settings).expect("settings");
    let hook = &settings["hooks"]["PreToolUse"][0]["hooks"][0];
    let mut words = vec![hook["command"].as_str().unwrap_or_default()];
    words.extend(hook["args"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_str));
    let input = root.join("client-input");
    fs::write(&input, payload("s2", "PreToolUse")).expect("a hook's input");
    let script = root.join("client.sh");
    let text = format!(
        "export CLAUDE_PID=$$ CLAUDECODE=1\n{} <{}\nunset CLAUDE_PID CLAUDECODE\n{then}\n",
        words.join(" "),
        input.display()
    );
    fs::write(&script, text).expect("a script");
    script
}

#[test]
fn what_descends_from_a_served_client_is_refused_at_an_unlocked_terminal_too() {
    let world = bare();
    let (bursar, own) = protected(&world, &[]);
    shut_session(&bursar);
    unlock(&own, "bursar operator unlock", "This terminal is unlocked");
    let subshell = client(&bursar, &format!("(unset CLAUDECODE; {EXTEND}; echo exit $?); true"));
    own.says(&format!("sh {}", subshell.display()), "exit 1");
    let screen = own.screen();
    assert!(screen.contains("descends from a Claude Code session that is served here"), "{screen}");
    assert!(screen.contains("Run it in a terminal of your own."), "{screen}");
    // Its parent gone, it descends from nobody; the terminal is its client's all the same.
    let out = world.root().join("orphan");
    let script = client(&bursar, &format!("sh -c '(sleep 1; {EXTEND} >{} 2>&1) &'; sleep 4", out.display()));
    own.says(&format!("sh {}", script.display()), ">");
    let said = wait::until("what the orphan was told", SOON, || {
        fs::read_to_string(&out).ok().filter(|text| text.contains("Refused"))
    });
    assert!(said.contains("an agent has this terminal to itself"), "{said}");
    assert_eq!(status_of(&bursar), "paused");
    // An agent's own word about its shell is enough, and it is told what next.
    own.says(&format!("CLAUDECODE=1 {EXTEND}"), "Run it in a terminal of your own.");
    assert_eq!(status_of(&bursar), "paused");
}

#[test]
fn the_clients_own_shell_is_told_where_to_go() {
    let world = bare();
    let (bursar, own) = protected(&world, &[]);
    let api = ScriptedApi::start(Script::main([Turn::says("All done.", thousand())]));
    let client = Terminal::start(&world, &api, &[]);
    client.type_line("do it");
    client.wait_for("All done.", SOON);
    let id = bursar.wait_for_status("active").budget_id;
    let home = world.bursar_home().display().to_string();
    client.press("!");
    client.type_line(&format!("BURSAR_HOME={home} {} extend {id} +100k", bursar.program().display()));
    client.wait_for("Refused:", SOON);
    client.wait_for("terminal of your own", SOON);
    let limit = || bursar.budget(&id).expect("the budget").max_tokens;
    assert_eq!(limit(), 500_000);
    unlock(&own, &format!("bursar extend {id} +100k"), "is active");
    assert_eq!(limit(), 600_000);
}

#[test]
fn a_file_that_is_edited_loosens_nothing() {
    let world = bare();
    let (mut bursar, _own) = protected(&world, &[]);
    shut_session(&bursar);
    let file = world.bursar_home().join("operator.json");
    fs::write(&file, r#"{"level":"unprotected"}"#).expect("a file");
    assert_eq!(bursar.run(&["extend", "s1", "+100k"]).code, Some(1));
    bursar.kill();
    bursar.start();
    assert_eq!(bursar.status().operator, "passphrase");
    assert_eq!(bursar.run(&["extend", "s1", "+100k"]).code, Some(1));
    assert!(!file.exists(), "the file was left");
    let records = audit(&bursar);
    let attempt = records.iter().find(|a| a.act == "unprotect").expect("a record of it");
    assert!(
        attempt.refused.as_ref().is_some_and(|why| why.contains("operator.json is ignored")),
        "{attempt:?}"
    );
}

#[test]
fn looser_settings_wait_for_the_operator() {
    let world = bare();
    let (mut bursar, own) = protected(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "1000")]);
    shut_session(&bursar);
    bursar.stop();
    bursar.configure(&[("TOKEN_BUDGET_SESSION_DEFAULT", "900000"), ("BURSAR_MODE", "observe")]);
    bursar.start();
    let limit = |bursar: &Bursar<'_>, session: &str| {
        bursar.hook("SessionStart", &payload(session, "SessionStart"));
        bursar.budget(&format!("session:{session}")).expect("the budget").max_tokens
    };
    assert_eq!(limit(&bursar, "s3"), 1000);
    assert_eq!(bursar.status().mode, "enforce");
    let shown = bursar.done(&["config", "show"]).stdout;
    let line = "TOKEN_BUDGET_SESSION_DEFAULT = 1000 is kept: stricter than 900000 (environment); `bursar config accept` takes 900000.";
    assert!(shown.contains(line), "{shown}");
    assert!(bursar.done(&["status"]).stdout.contains(line));
    assert_eq!(bursar.run(&["config", "accept"]).code, Some(1));
    // Somebody is held by what the settings would not enforce any more.
    let held = Running::start(hook_command(&bursar, "PreToolUse", "s1"), "a held hook");
    bursar.wait_for_hold();
    let markers = || fs::read_dir(world.bursar_home().join("paused")).map_or(0, Iterator::count);
    assert_eq!(markers(), 1);
    unlock(
        &own,
        "bursar config accept",
        "In force now: BURSAR_MODE = observe, TOKEN_BUDGET_SESSION_DEFAULT = 900000.",
    );
    let answer = held.wait_from_now(SOON);
    assert_eq!((answer.code, answer.stdout.as_str()), (Some(0), ""), "{answer:?}");
    assert_eq!((bursar.status().mode.as_str(), markers()), ("observe", 0));
    assert_eq!(limit(&bursar, "s4"), 900_000);
    assert_eq!(audit(&bursar)[0].act, "accept_config");
    // It is what the daemon last ran with now; tighter settings are taken as they come.
    bursar.kill();
    bursar.start();
    assert_eq!(limit(&bursar, "s5"), 900_000);
    bursar.stop();
    bursar.configure(&[("TOKEN_BUDGET_SESSION_DEFAULT", "500")]);
    bursar.start();
    assert_eq!((limit(&bursar, "s6"), bursar.status().mode.as_str()), (500, "enforce"));
    assert!(!bursar.done(&["config", "show"]).stdout.contains("is kept"));
}

fn hook_command(bursar: &Bursar<'_>, event: &str, session: &str) -> std::process::Command {
    let input = bursar.world().root().join("held-input");
    fs::write(&input, payload(session, event)).expect("a hook's input");
    let home = bursar.world().bursar_home();
    let mut command = bursar.world().command("/bin/sh");
    command.args(["-c", "exec \"$1\" --socket \"$2\" --state \"$3\" --timeout 60 <\"$4\"", "sh"]);
    command.arg(home.join("bin/bursar-hook")).arg(home.join("run/bursar.sock")).arg(&home).arg(&input);
    command
}

#[test]
fn a_first_installation_asks_for_the_passphrase_at_its_terminal() {
    let world = bare();
    let mut bursar = Bursar::new(&world, &[]);
    let own = Terminal::shell(&bursar, "own");
    let install = format!("bursar install --settings {}", world.settings().display());
    own.says(&install, "Operator passphrase, asked for when you approve more");
    own.press("Enter");
    own.wait_for("The same again:", SOON);
    own.press("Enter");
    own.wait_for("Locked: ", SOON);
    own.says(&install, "Operator passphrase, asked for when you approve more");
    own.type_line(PASSPHRASE);
    own.wait_for("The same again:", SOON);
    own.type_line(PASSPHRASE);
    own.wait_for("Protected: ", SOON);
    bursar.start();
    assert_eq!(bursar.status().operator, "passphrase");
    assert!(!world.bursar_home().join("operator.json").exists(), "the hand-over was left");
    shut_session(&bursar);
    // Installed again it does not ask; and taking the protection away takes the passphrase.
    own.says(&install, "Protected: ");
    unlock(&own, &format!("{install} --unprotected"), "Unprotected: anything that you run");
    bursar.done(&["extend", "s1", "+100k"]);
}

#[test]
fn a_forgotten_passphrase_is_announced_and_holds_until_then() {
    let world = bare();
    let (bursar, own) = protected(&world, &[]);
    shut_session(&bursar);
    own.says("bursar operator reset", "The passphrase is void at 2");
    assert!(bursar.done(&["status"]).stdout.contains("was said to be forgotten"));
    let alerts = bursar.alerts().alerts;
    assert!(alerts.iter().any(|a| a.message.contains("`bursar operator unlock`")), "{alerts:?}");
    assert_eq!(bursar.run(&["extend", "s1", "+100k"]).code, Some(1));
    own.says("bursar operator set", "Old operator passphrase:");
    own.press("C-c");
    own.wait_for("Nothing was done.", SOON);
    unlock(&own, EXTEND, "session:s1 is active");
    assert!(!bursar.done(&["status"]).stdout.contains("forgotten"), "the reset was not cancelled");
}

#[test]
fn uninstalling_takes_neither_daemon_nor_passphrase() {
    let world = bare();
    let before = fs::read(world.settings()).expect("settings");
    let (mut bursar, _own) = protected(&world, &[]);
    shut_session(&bursar);
    let _held = Running::start(hook_command(&bursar, "PreToolUse", "s1"), "a held hook");
    bursar.wait_for_hold();
    let said = bursar.uninstall().stdout;
    assert!(said.contains("Who waits now goes on waiting, since only the operator lets them go"), "{said}");
    assert_eq!(fs::read(world.settings()).expect("settings"), before);
    bursar.install_with(&[]);
    bursar.kill();
    bursar.uninstall();
    assert_eq!(fs::read(world.settings()).expect("settings"), before);
    bursar.start();
    assert_eq!(bursar.status().operator, "passphrase", "the protection went with the hooks");
}
