//! No daemon and nothing shut: everything goes on, and leaves a line in the spool (HOOK 2, last column).

use std::os::unix::net::{UnixListener, UnixStream};

use bursar_protocol::answer::AWAY_AT_START;
use bursar_protocol::hook_input::Event;
use serde_json::json;

use crate::world::{Hook, Said, World, payload};

#[test]
fn without_a_daemon_every_event_goes_on_and_a_start_says_so() {
    for event in Event::ALL {
        let world = World::new();
        let told = format!(r#"{{"systemMessage":"{AWAY_AT_START}"}}"#);
        let wanted = if event == Event::SessionStart { Said::new(0, &told, "") } else { Said::nothing() };
        assert_eq!(world.run(payload(event.name())), wanted, "{event:?}");
        let spool = world.spool();
        assert_eq!(spool.len(), 1);
        assert_eq!(spool[0]["event"], event.name());
        assert_eq!((&spool[0]["session_id"], &spool[0]["why"]), (&json!("s1"), &json!("no_daemon")));
        assert!(spool[0]["at_ms"].as_u64().unwrap() > 1_600_000_000_000, "milliseconds since 1970");
    }
}

#[test]
fn callers_in_the_seeds_shape_are_told_nothing() {
    for event in Event::ALL {
        let world = World::new();
        let mut command = world.command();
        command.arg(event.name());
        let said = Hook::start(command, r#"{"sessionId":"s1","tool":"Bash"}"#).end();
        assert_eq!(said, Said::nothing(), "{event:?}");
        assert_eq!(world.spool()[0]["event"], event.name());
    }
}

#[test]
fn a_socket_that_a_dead_daemon_left_is_no_daemon_also_while_one_is_starting() {
    for world in [World::serving(), World::new()] {
        drop(UnixListener::bind(world.socket()).unwrap());
        // A child that another test is just starting has the listener open until it becomes its program.
        while UnixStream::connect(world.socket()).is_ok() {
            std::thread::yield_now();
        }
        assert_eq!(world.run(payload("PreToolUse")), Said::nothing());
        assert_eq!(world.spool()[0]["why"], "no_daemon");
    }
}

#[test]
fn what_stands_where_the_socket_should_be_is_no_daemon() {
    let world = World::new();
    std::fs::write(world.socket(), "not a socket").unwrap();
    assert_eq!(world.run(payload("PreToolUse")), Said::nothing());
    assert_eq!(world.spool().len(), 1);
}

#[test]
fn paths_that_cannot_be_lead_to_no_error() {
    let world = World::new();
    let long = world.path(&"s".repeat(300));
    std::fs::write(world.path("file"), "").unwrap();
    for (socket, state) in [
        (long.as_path(), world.path("nowhere")),
        ("".as_ref(), "".into()),
        ("relative.sock".as_ref(), "relative".into()),
        (world.state().as_path(), world.path("file")),
    ] {
        let mut command = world.command();
        command.current_dir(world.path("")).arg("--socket").arg(socket).arg("--state").arg(state);
        assert_eq!(Hook::start(command, payload("PreToolUse")).end(), Said::nothing(), "{socket:?}");
    }
}

#[test]
fn arguments_of_a_newer_release_are_passed_over() {
    let world = World::new();
    let mut command = world.command();
    command.args(["--colour", "never", "--x=1", "-v", "--"]);
    assert_eq!(Hook::start(command, payload("Stop")).end(), Said::nothing());
    assert_eq!(world.spool()[0]["event"], "Stop");
}
