//! No daemon, and a marker says what is shut (HOOK 2, the column before the last; DESIGN 6.6).

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use bursar_protocol::answer::{self, AWAY_AND_FAIL_CLOSED, AWAY_AND_SHUT};
use bursar_protocol::hook_input::Event;
use bursar_protocol::marker::{self, Marker};

use crate::scripted::{self, Daemon};
use crate::world::{Hook, Said, World, payload, payload_of_agent};

/// The place of a session's marker, in a folder that is there.
fn place(world: &World, session: &str) -> PathBuf {
    let path = marker::path(&world.state(), session);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    path
}

fn shut(session: bool, agents: &[&str]) -> World {
    let world = World::new();
    let marker = Marker { session, agents: agents.iter().map(|a| (*a).to_owned()).collect() };
    fs::write(place(&world, "s1"), marker.to_text()).unwrap();
    world
}

/// The turn ends; a call that was asked about does not run either.
fn stopped_by(event: Event, why: &str) -> Said {
    let answer = answer::answer(event, false, answer::Say::Stop(why));
    Said::new(0, &answer.stdout, "")
}

fn stopped() -> Said {
    stopped_by(Event::PreToolUse, AWAY_AND_SHUT)
}

/// What a session that is shut is told, by event.
fn told(event: Event) -> Said {
    told_because(event, AWAY_AND_SHUT)
}

fn told_because(event: Event, why: &str) -> Said {
    match event {
        Event::PreToolUse | Event::PostToolBatch | Event::Stop | Event::SubagentStop => {
            stopped_by(event, why)
        }
        Event::UserPromptSubmit => Said::new(0, &format!(r#"{{"decision":"block","reason":"{why}"}}"#), ""),
        Event::PreCompact => Said::new(2, "", why),
        Event::SessionStart => Said::new(0, &format!(r#"{{"systemMessage":"{why}"}}"#), ""),
        Event::SessionEnd
        | Event::PostToolUse
        | Event::PostToolUseFailure
        | Event::SubagentStart
        | Event::PostCompact
        | Event::Notification => Said::nothing(),
    }
}

#[test]
fn a_session_that_is_shut_stays_so_by_event() {
    for event in Event::ALL {
        let world = shut(true, &[]);
        assert_eq!(world.run(payload(event.name())), told(event), "{event:?}");
        let agents = payload_of_agent(event.name(), "a1");
        assert_eq!(world.run(agents), told(event), "{event:?} of a subagent");
        let let_through = matches!(told(event), Said { code: Some(0), ref stdout, .. } if !blocks(stdout));
        assert_eq!(world.spool().len(), if let_through { 2 } else { 0 }, "only what is let through is noted");
    }
}

#[test]
fn where_the_installation_is_fail_closed_every_session_is_shut() {
    for event in Event::ALL {
        let world = World::new();
        let run = |world: &World, payload: String| {
            let mut command = world.command();
            command.arg("--fail-closed");
            Hook::start(command, payload).end()
        };
        let told = told_because(event, AWAY_AND_FAIL_CLOSED);
        assert_eq!(run(&world, payload(event.name())), told, "{event:?}");
        assert_eq!(run(&world, payload_of_agent(event.name(), "a1")), told, "{event:?} of a subagent");
        // Where a marker stands, its reason is the one to act on.
        let world = shut(true, &[]);
        assert_eq!(run(&world, payload(event.name())), told_because(event, AWAY_AND_SHUT), "{event:?}");
        // What the daemon says counts.
        let world = World::new();
        let _daemon = Daemon::answering(&world.socket(), scripted::answer(0, "", ""));
        assert_eq!(run(&world, payload(event.name())), Said::nothing(), "{event:?} with a daemon");
    }
}

fn blocks(stdout: &str) -> bool {
    stdout.contains("continue") || stdout.contains("block")
}

#[test]
fn in_the_seeds_shape_every_block_is_exit_2() {
    for event in Event::ALL {
        let world = shut(true, &[]);
        let mut command = world.command();
        command.arg(event.name());
        let said = Hook::start(command, r#"{"sessionId":"s1"}"#).end();
        let ours = told(event);
        let wanted = if ours.code == Some(2) || blocks(&ours.stdout) {
            Said::new(2, "", AWAY_AND_SHUT)
        } else {
            Said::nothing()
        };
        assert_eq!(said, wanted, "{event:?}");
    }
}

#[test]
fn a_marker_of_agents_stops_them_and_nobody_else() {
    let world = shut(false, &["a1", "a2"]);
    for (agent, wanted) in [("a1", stopped()), ("a2", stopped()), ("a3", Said::nothing())] {
        assert_eq!(world.run(payload_of_agent("PreToolUse", agent)), wanted, "{agent}");
    }
    assert_eq!(world.run(payload("PreToolUse")), Said::nothing(), "the main agent");
    assert_eq!(world.run(payload("UserPromptSubmit")), Said::nothing());
}

#[test]
fn a_marker_is_one_sessions_alone() {
    let world = World::new();
    fs::write(place(&world, "s2"), "bursar-marker 1\nsession\n").unwrap();
    assert_eq!(world.run(payload("PreToolUse")), Said::nothing());
}

/// Puts something in a marker's place.
type Make = fn(&Path);

#[test]
fn a_marker_that_cannot_be_read_shuts_the_session() {
    let cases: [(&str, Make); 8] = [
        ("empty", |path| fs::write(path, "").unwrap()),
        ("no text", |path| fs::write(path, b"bursar-marker 1\nagent \xff\n").unwrap()),
        ("zeros", |path| fs::write(path, [0; 64]).unwrap()),
        ("a newer one", |path| fs::write(path, "bursar-marker 2\nagent a1\n").unwrap()),
        ("half of one", |path| fs::write(path, "bursar-marker 1\nagent a1\nses").unwrap()),
        ("a folder", |path| fs::create_dir(path).unwrap()),
        ("a link to nowhere", |path| symlink("/nowhere/at/all", path).unwrap()),
        ("a link to one that names others", |path| {
            let other = path.with_extension("other");
            fs::write(&other, "bursar-marker 1\nagent a9\n").unwrap();
            symlink(other, path).unwrap();
        }),
    ];
    for (what, make) in cases {
        let world = World::new();
        make(&place(&world, "s1"));
        assert_eq!(world.run(payload("PreToolUse")), stopped(), "{what}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_pipe_in_a_markers_place_is_not_waited_for() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    let world = World::new();
    mknodat(CWD, place(&world, "s1"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    assert_eq!(world.run(payload("PreToolUse")), stopped());
}

#[test]
fn a_daemon_that_serves_knows_better_than_a_marker() {
    let world = shut(true, &[]);
    let _daemon = Daemon::answering(&world.socket(), scripted::answer(0, "", ""));
    assert_eq!(world.run(payload("PreToolUse")), Said::nothing());
}

#[test]
fn a_daemon_that_does_not_answer_opens_nothing() {
    let world = shut(true, &[]);
    let _daemon = Daemon::serve(&world.socket(), |_, peer| {
        peer.read();
        peer.keep_still();
    });
    assert_eq!(world.run(payload("PreToolUse")), stopped());
    assert!(world.spool().is_empty());
}

#[test]
fn a_payload_that_had_to_be_cut_meets_the_marker_too() {
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let long = "x".repeat(300_000);
    for input in [deep.as_str(), &format!(r#""{long}\ud83d""#), &format!(r#"{{"{long}":1}}"#)] {
        let world = shut(true, &[]);
        let payload = format!(r#"{{"session_id":"s1","hook_event_name":"PreToolUse","tool_input":{input}}}"#);
        assert_eq!(world.run(payload), stopped());
    }
}
