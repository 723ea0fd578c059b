//! An agent can set any variable of a hook: none of them is a path or a switch (DESIGN 6.2).

use std::fs;
use std::path::Path;

use bursar_protocol::marker;

use crate::scripted::{Daemon, STOP, answer, stop};
use crate::world::{Hook, Said, World, payload};

/// Every variable that names a place of ours somewhere, pointing into another world.
fn lead_astray(command: &mut std::process::Command, other: &World) {
    command
        .env("HOME", other.path(""))
        .env("BURSAR_HOME", other.state())
        .env("BURSAR_SOCKET", other.socket());
    for name in ["XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "CLAUDE_PROJECT_DIR", "TMPDIR"] {
        command.env(name, other.path(""));
    }
    command.env("BURSAR_MODE", "observe").env("TOKEN_BUDGET_ENABLED", "false").env("BURSAR_TIMEOUT", "0");
    command.env("TOKEN_BUDGET_ON_PAUSE", "deny").current_dir(other.path(""));
}

#[test]
fn the_socket_is_the_one_of_the_arguments() {
    let (world, other) = (World::new(), World::new());
    let _daemon = Daemon::answering(&world.socket(), stop());
    let decoy = Daemon::answering(&other.socket(), answer(0, "", ""));
    let mut command = world.command();
    lead_astray(&mut command, &other);
    assert_eq!(Hook::start(command, payload("PreToolUse")).end(), Said::new(0, STOP, ""));
    assert!(decoy.heard_no_more());
}

#[test]
fn the_state_folder_is_the_one_of_the_arguments() {
    let (world, other) = (World::new(), World::new());
    let path = marker::path(&other.state(), "s1");
    fs::create_dir(path.parent().unwrap()).unwrap();
    fs::write(path, "bursar-marker 1\nsession\n").unwrap();
    let mut command = world.command();
    lead_astray(&mut command, &other);
    assert_eq!(Hook::start(command, payload("PreToolUse")).end(), Said::nothing());
    assert_eq!((world.spool().len(), other.spool().len()), (1, 0));
}

#[test]
fn without_arguments_the_socket_is_not_the_environments_either() {
    let (world, other) = (World::new(), World::new());
    let places =
        ["s.sock", "bursar/bursar.sock", "state/run/bursar.sock", ".local/state/bursar/run/bursar.sock"];
    let decoys = places.map(|place| {
        fs::create_dir_all(other.path(place).parent().unwrap()).unwrap();
        Daemon::answering(&other.path(place), stop())
    });
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_bursar-hook"));
    command.env_clear().arg("--state").arg(world.state());
    lead_astray(&mut command, &other);
    // Malformed, so that a daemon which this user may really run counts it and does nothing else.
    assert_eq!(Hook::start(command, "[]").end(), Said::nothing());
    assert!(decoys.iter().all(Daemon::heard_no_more));
}

#[test]
fn the_variables_that_are_read_are_facts_and_stand_in_one_file() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in fs::read_dir(src).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let reads = text.matches("env::").count() - text.matches("env::args_os").count();
        let wanted = usize::from(path.ends_with("facts.rs"));
        assert_eq!(reads, wanted, "{}", path.display());
    }
    let facts = include_str!("../../src/facts.rs");
    let names: Vec<&str> = facts.split("var(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let wanted = [
        "CLAUDE_CODE_SESSION_ATTENDED",
        "CI",
        "CLAUDE_PROJECT_DIR",
        "CLAUDE_PID",
        "BURSAR_TASK_ID",
        "BURSAR_TASK_TYPE",
        "BURSAR_AGENT",
    ];
    assert_eq!(names, wanted);
}
