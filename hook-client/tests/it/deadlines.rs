//! A daemon that does not answer in time, or not with an answer (HOOK 4, DESIGN 6.3).

use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use bursar_protocol::{MAX_FRAME_BYTES, VERSION, codec};
use serde_json::json;

use crate::scripted::{Daemon, STOP, stop};
use crate::world::{Hook, Said, World, payload};

/// Between the two deadlines: too late for the shorter, well in time for the longer.
const BETWEEN: Duration = Duration::from_millis(500);

fn late(world: &World, after: Duration) -> Daemon {
    Daemon::serve(&world.socket(), move |_, peer| {
        peer.read();
        sleep(after);
        peer.send(&stop());
    })
}

#[test]
fn a_quarter_of_a_second_is_enough_where_a_daemon_serves() {
    let world = World::serving();
    let _daemon = late(&world, BETWEEN);
    for event in ["PreToolUse", "PostToolUse", "UserPromptSubmit", "Stop"] {
        assert_eq!(world.run(payload(event)), Said::nothing(), "{event}");
    }
    assert!(world.spool().iter().all(|line| line["why"] == "no_answer"));
    assert_eq!(world.spool().len(), 4);
}

#[test]
fn a_daemon_that_is_starting_has_a_second() {
    let world = World::new();
    let _daemon = late(&world, BETWEEN);
    assert_eq!(world.run(payload("PreToolUse")), Said::new(0, STOP, ""));
}

#[test]
fn a_daemon_that_was_killed_is_about_to_be_started_again() {
    let mut gone = std::process::Command::new("true").spawn().unwrap();
    gone.wait().unwrap();
    let me = std::process::id();
    for (ready, wanted) in [
        (format!("{}\n", gone.id()), Said::new(0, STOP, "")),
        (format!("{}\nkept by a service manager\n", gone.id()), Said::new(0, STOP, "")),
        (format!("{me}\n"), Said::nothing()),
        ("-1\n".to_owned(), Said::nothing()),
    ] {
        let world = World::new();
        std::fs::write(world.state().join("ready"), &ready).unwrap();
        let _daemon = late(&world, BETWEEN);
        assert_eq!(world.run(payload("PreToolUse")), wanted, "{ready:?}");
    }
}

#[test]
fn a_daemon_that_begins_to_serve_while_hooks_wait_has_a_second_for_them() {
    let world = World::new();
    let _daemon = late(&world, BETWEEN);
    let hook = Hook::start(world.command(), payload("PreToolUse"));
    sleep(Duration::from_millis(100));
    std::fs::write(world.state().join("ready"), format!("{}\n", std::process::id())).unwrap();
    assert_eq!(hook.end(), Said::new(0, STOP, ""));
}

#[test]
fn a_daemon_that_ends_before_it_answers_is_followed_by_the_next_on_its_socket() {
    for reads in [true, false] {
        let world = World::new();
        let daemon = Daemon::serve(&world.socket(), move |number, peer| {
            if number > 0 {
                peer.read();
                peer.send(&stop());
            } else if reads {
                peer.read();
            }
        });
        assert_eq!(world.run(payload("PreToolUse")), Said::new(0, STOP, ""), "{reads}");
        let sent: Vec<_> = (0..=usize::from(reads)).map(|_| daemon.next_hook()).collect();
        assert!(sent.iter().all(|hook| hook.payload == payload("PreToolUse").as_bytes()));
        assert!(world.spool().is_empty());
    }
}

#[test]
fn one_that_always_hangs_up_is_asked_twice_and_not_again() {
    let world = World::new();
    let daemon = Daemon::serve(&world.socket(), |_, peer| _ = peer.read());
    assert_eq!(world.run(payload("PreToolUse")), Said::nothing());
    assert_eq!((daemon.next_hook(), daemon.next_hook()).0.payload, payload("PreToolUse").as_bytes());
    assert!(daemon.heard_no_more());
    assert_eq!(world.spool()[0]["why"], "no_answer");
}

#[test]
fn a_batch_has_a_second() {
    let world = World::serving();
    let _daemon = late(&world, BETWEEN);
    assert_eq!(world.run(payload("PostToolBatch")), Said::new(0, STOP, ""));
    let seeds = json!({ "sessionId": "s1" }).to_string();
    let mut command = world.command();
    command.arg("PostToolBatch");
    assert_eq!(Hook::start(command, seeds).end(), Said::new(0, STOP, ""), "named on the command line");
    let big =
        json!({ "session_id": "s1", "hook_event_name": "PostToolBatch", "zeros": "0".repeat(3_000_000) });
    assert_eq!(world.run(big.to_string()), Said::new(0, STOP, ""), "and where it had to be cut");
}

#[test]
fn a_silent_daemon_keeps_nobody() {
    for (world, event, at_least_ms) in [
        (World::serving(), "PreToolUse", 250),
        (World::new(), "PreToolUse", 1_000),
        (World::serving(), "PostToolBatch", 1_000),
        (World::new(), "PostToolBatch", 1_000),
    ] {
        let _daemon = Daemon::serve(&world.socket(), |_, peer| {
            peer.read();
            peer.keep_still();
        });
        let started = Instant::now();
        assert_eq!(world.run(payload(event)), Said::nothing(), "{event}");
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(at_least_ms), "{event}: it waits for the daemon: {took:?}");
        assert!(took < Duration::from_secs(10), "{event}: and not for long: {took:?}");
    }
}

#[test]
fn half_frames_and_nonsense_are_no_answer() {
    let whole = codec::frame(&stop()).unwrap();
    let header = |length: u32| [b"BSR".as_slice(), &[VERSION], &length.to_le_bytes()].concat();
    let mut left_over = whole.clone();
    left_over[4] += 1;
    left_over.push(0);
    for (what, bytes) in [
        ("nothing", Vec::new()),
        ("half a header", whole[..5].to_vec()),
        ("half a message", whole[..20].to_vec()),
        ("another protocol", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        ("four gigabytes", header(u32::MAX)),
        ("a byte over the limit", [header(MAX_FRAME_BYTES + 1), vec![0; 4_096]].concat()),
        ("an unknown message", [header(4), vec![0xFF; 4]].concat()),
        ("a byte left over", left_over),
        ("a newer frame", [b"BSR".as_slice(), &[VERSION + 1], &whole[4..]].concat()),
    ] {
        let world = World::new();
        let _daemon = Daemon::serve(&world.socket(), move |_, peer| {
            peer.read();
            peer.send_bytes(&bytes);
        });
        assert_eq!(world.run(payload("PreToolUse")), Said::nothing(), "{what}");
        assert_eq!(world.spool().len(), 1, "{what}");
    }
}

#[test]
fn an_answer_that_comes_byte_by_byte_is_an_answer() {
    let world = World::new();
    let _daemon = Daemon::serve(&world.socket(), |_, peer| {
        peer.read();
        for byte in codec::frame(&stop()).unwrap() {
            peer.send_bytes(&[byte]);
        }
    });
    assert_eq!(world.run(payload("PreToolUse")), Said::new(0, STOP, ""));
}

/// A listener that takes one connection into its backlog, which is there already.
#[cfg(target_os = "linux")]
fn full(world: &World) -> (UnixListener, UnixStream) {
    let listener = UnixListener::bind(world.socket()).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let first = UnixStream::connect(world.socket()).unwrap();
    (listener, first)
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_backlog_is_tried_again_until_there_is_room() {
    let world = World::new();
    let (listener, first) = full(&world);
    let serving = thread::spawn(move || {
        sleep(BETWEEN);
        drop(first);
        drop(listener.accept().unwrap());
        let (mut stream, _) = listener.accept().unwrap();
        std::io::Write::write_all(&mut stream, &codec::frame(&stop()).unwrap()).unwrap();
        stream
    });
    assert_eq!(world.run(payload("PreToolUse")), Said::new(0, STOP, ""));
    drop(serving.join().unwrap());
}

#[test]
#[cfg(target_os = "linux")]
fn a_backlog_that_stays_full_keeps_none_of_several() {
    for (world, at_least_ms) in [(World::serving(), 250), (World::new(), 1_000)] {
        let _full = full(&world);
        let started = Instant::now();
        let hooks: Vec<_> = (0..8).map(|_| Hook::start(world.command(), payload("PreToolUse"))).collect();
        for hook in hooks {
            assert_eq!(hook.end(), Said::nothing());
        }
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(at_least_ms) && took < Duration::from_secs(5), "{took:?}");
        assert_eq!(world.spool().len(), 8);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_backlog_that_stays_full_keeps_nobody_and_costs_little() {
    for (world, event) in
        [(World::serving(), "PreToolUse"), (World::new(), "PreToolUse"), (World::serving(), "PostToolBatch")]
    {
        let _full = full(&world);
        let hook = Hook::start(world.command(), payload(event));
        let ticks = cpu_ticks_at_end(hook.pid());
        assert_eq!(hook.end(), Said::nothing());
        assert_eq!(world.spool()[0]["why"], "no_answer");
        // Of a second that is 100 ticks long; trying again as fast as possible takes over 60.
        assert!(ticks < 40, "{event}: it sleeps between two tries: {ticks} ticks");
    }
}

/// The processor time of a process that nobody has waited for yet, once it ended.
#[cfg(target_os = "linux")]
fn cpu_ticks_at_end(pid: u32) -> u64 {
    loop {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        if fields[0] == "Z" {
            return fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        }
        sleep(Duration::from_millis(5));
    }
}
