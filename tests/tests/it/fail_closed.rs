//! `install --fail-closed`: nothing goes on without the daemon, and the way out is said first.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use bursar_tests::api::{Script, ScriptedApi, Turn};
use bursar_tests::client::Headless;
use bursar_tests::daemon::Bursar;

use crate::common::{bare, payload, thousand};

#[test]
fn fail_closed_says_the_way_out_first_and_stops_what_meets_no_daemon() {
    let world = bare();
    let mut bursar = Bursar::new(&world, &[]);
    let said = bursar.install_with(&["--unprotected", "--fail-closed"]).stdout;
    let (out, done) = (said.find("`bursar uninstall`"), said.find("Claude Code asks Bursar now"));
    assert!(out.is_some() && out < done, "{said}");
    assert!(said.contains(&format!("\"hooks\" in {}", world.settings().display())), "{said}");
    let text = || fs::read_to_string(world.settings()).expect("settings");
    assert_eq!(text().matches("\"onFailure\": \"block\"").count(), 3, "{}", text());
    for (event, word) in
        [("PreToolUse", "\"continue\":false"), ("UserPromptSubmit", "\"decision\":\"block\"")]
    {
        let answer = bursar.hook(event, &payload("s1", event));
        assert_eq!(answer.code, Some(0), "{event}: {answer:?}");
        assert!(answer.stdout.contains(word) && answer.stdout.contains("fail-closed"), "{event}: {answer:?}");
        assert!(answer.stdout.contains("`bursar daemon --detach`"), "{event}: {answer:?}");
    }
    bursar.start();
    assert_eq!(bursar.hook("PreToolUse", &payload("s1", "PreToolUse")).stdout, "");
    assert_eq!(bursar.status().failed_open, 0);
    bursar.kill();
    bursar.install();
    assert!(!text().contains("onFailure") && !text().contains("--fail-closed"), "{}", text());
    assert_eq!(bursar.hook("PreToolUse", &payload("s1", "PreToolUse")).stdout, "");
}

#[test]
fn a_client_that_is_fail_closed_sends_nothing_without_the_daemon() {
    let world = bare();
    let mut bursar = Bursar::new(&world, &[]);
    bursar.install_with(&["--unprotected", "--fail-closed"]);
    let api = ScriptedApi::start(Script::main([
        Turn::bash("true", thousand()),
        Turn::says("All done.", thousand()),
    ]));
    let refused = Headless::new(&world, &api, "do it").streaming().run();
    assert!(
        refused.process.stdout.contains("this installation is fail-closed"),
        "{}",
        refused.process.stdout
    );
    assert_eq!(api.log().count(), 0);
    // Its hook gone altogether, the client blocks by itself.
    let hook = world.bursar_home().join("bin/bursar-hook");
    let aside = world.root().join("aside");
    fs::rename(&hook, &aside).expect("the hook client, moved away");
    Headless::new(&world, &api, "do it").streaming().run();
    assert_eq!(api.log().count(), 0);
    fs::rename(&aside, &hook).expect("the hook client, back again");
    bursar.start();
    assert_eq!(Headless::new(&world, &api, "do it").run().result.result, "All done.");
}

#[test]
fn an_old_client_is_not_told_to_block() {
    let world = bare();
    let before = fs::read(world.settings()).expect("settings");
    let claude = world.bin().join("claude");
    fs::remove_file(&claude).expect("the link to the client");
    fs::write(&claude, "#!/bin/sh\necho '2.1.294 (Claude Code)'\n").expect("an old client");
    fs::set_permissions(&claude, fs::Permissions::from_mode(0o755)).expect("it can run");
    let bursar = Bursar::new(&world, &[]);
    let settings = world.settings().display().to_string();
    let refused = bursar.run(&["install", "--settings", &settings, "--fail-closed"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("needs Claude Code 2.1.295 or later"), "{refused:?}");
    assert_eq!(fs::read(world.settings()).expect("settings"), before);
}
