//! A daemon that answers: what it says is printed as it is.

use std::io::pipe;
use std::process::Stdio;

use bursar_protocol::message::{Cut, FromDaemon, HookFrame, ToDaemon};
use bursar_protocol::{MIN_VERSION, VERSION};

use crate::scripted::{Daemon, STOP, answer, stop};
use crate::world::{Hook, Said, World, payload};

#[test]
fn an_answer_is_printed_as_it_is_and_its_code_is_the_exit_code() {
    for (exit, stdout, stderr) in [
        (0, "", ""),
        (0, STOP, ""),
        (2, "", "Budget: 9 of 9 tokens used; this call is refused until a person approves more."),
        (7, "{\"a\":\"ä\"}\nand more\n", "both"),
        (255, "", ""),
    ] {
        let world = World::new();
        let _daemon = Daemon::answering(&world.socket(), answer(exit, stdout, stderr));
        assert_eq!(world.run(payload("PreToolUse")), Said::new(i32::from(exit), stdout, stderr));
        assert!(world.spool().is_empty(), "an answered hook is counted by the daemon");
    }
}

#[test]
fn the_daemon_hears_the_payload_and_the_facts() {
    let world = World::new();
    let daemon = Daemon::answering(&world.socket(), answer(0, "", ""));
    let mut command = world.command();
    command.arg("Stop").env("CLAUDE_PROJECT_DIR", "/home/dev/shop").env("CLAUDE_PID", "4711");
    command
        .env("BURSAR_TASK_ID", "checkout")
        .env("BURSAR_TASK_TYPE", "implement")
        .env("BURSAR_AGENT", "builder");
    command.env("CLAUDE_CODE_SESSION_ATTENDED", "0").env("CI", "true");
    assert_eq!(Hook::start(command, payload("Stop")).end(), Said::nothing());
    let whole = HookFrame {
        event: Some("Stop".to_owned()),
        timeout_s: Some(60),
        attended: false,
        ci: true,
        project_dir: Some("/home/dev/shop".to_owned()),
        client_pid: Some(4711),
        task_id: Some("checkout".to_owned()),
        task_type: Some("implement".to_owned()),
        agent: Some("builder".to_owned()),
        cut: Cut::None,
        payload: payload("Stop").into_bytes(),
    };
    assert_eq!(daemon.next(), (VERSION, ToDaemon::Hook(whole)));
    world.run(payload("Stop"));
    let bare = HookFrame {
        timeout_s: Some(60),
        attended: true,
        payload: payload("Stop").into_bytes(),
        ..HookFrame::default()
    };
    assert_eq!(daemon.next_hook(), bare);
}

#[test]
fn facts_that_are_none_are_left_out() {
    let world = World::new();
    let daemon = Daemon::answering(&world.socket(), answer(0, "", ""));
    for (name, value) in [
        ("CLAUDE_PID", "not a number".to_owned()),
        ("CLAUDE_PID", "-1".to_owned()),
        ("CI", String::new()),
        ("BURSAR_TASK_ID", "x".repeat(1_025)),
        ("CLAUDE_PROJECT_DIR", String::new()),
        ("CLAUDE_CODE_SESSION_ATTENDED", "1".to_owned()),
    ] {
        let mut command = world.command();
        command.env(name, value);
        Hook::start(command, payload("Stop")).end();
        let hook = daemon.next_hook();
        assert!(hook.attended && !hook.ci && hook.client_pid.is_none(), "{name}");
        assert!(hook.task_id.is_none() && hook.project_dir.is_none(), "{name}");
    }
}

#[test]
fn an_older_daemon_is_spoken_to_in_its_version() {
    let world = World::new();
    let daemon = Daemon::serve(&world.socket(), |_, peer| {
        peer.read();
        peer.send(&FromDaemon::Unsupported { min: 0, max: MIN_VERSION });
        peer.read();
        peer.send(&stop());
    });
    assert_eq!(world.run(payload("PreToolUse")), Said::new(0, STOP, ""));
    let (first, second) = (daemon.next(), daemon.next());
    assert_eq!((first.0, second.0), (VERSION, MIN_VERSION));
    assert_eq!(first.1, second.1, "the same hook");
}

#[test]
fn a_daemon_without_a_common_version_is_none() {
    let world = World::new();
    let newer = FromDaemon::Unsupported { min: VERSION + 1, max: VERSION + 2 };
    let daemon = Daemon::answering(&world.socket(), newer);
    assert_eq!(world.run(payload("PreToolUse")), Said::nothing());
    assert_eq!(world.spool()[0]["why"], "no_answer");
    daemon.next();
    assert!(daemon.heard_no_more());
}

#[test]
fn an_answer_to_something_else_lets_the_hook_through() {
    for message in [FromDaemon::Beat, FromDaemon::Reply { status: 200, last: true, part: "{}".to_owned() }] {
        let world = World::new();
        let _daemon = Daemon::answering(&world.socket(), message);
        assert_eq!(world.run(payload("PreToolUse")), Said::nothing());
        assert_eq!(world.spool()[0]["why"], "no_answer");
    }
}

#[test]
fn a_client_that_closed_its_end_still_gets_the_exit_code() {
    let world = World::new();
    let long = "x".repeat(100_000);
    let _daemon = Daemon::answering(&world.socket(), answer(2, &long, &long));
    let closed = || {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        Stdio::from(writer)
    };
    let mut child = world.command().stdin(Stdio::null()).stdout(closed()).stderr(closed()).spawn().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(2));
}
