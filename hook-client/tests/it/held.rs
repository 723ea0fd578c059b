//! A hook that is kept waiting (DESIGN 4.2 to 4.4).

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use bursar_protocol::answer::{AWAY_AND_SHUT, Say, answer as worded};
use bursar_protocol::hook_input::Event;
use bursar_protocol::marker::{self, Marker};
use bursar_protocol::message::{FromDaemon, ToDaemon};

use crate::scripted::{Daemon, Peer, STOP, answer, stop};
use crate::world::{Hook, Said, World, payload};

const HELD: FromDaemon = FromDaemon::Held { hold_id: 42 };

const RESUME: ToDaemon = ToDaemon::Resume { hold_id: 42 };

/// Longer than any deadline but the silence's.
const A_WHILE: Duration = Duration::from_millis(1_500);

fn hold(peer: &mut Peer) {
    peer.read();
    peer.send(&HELD);
}

#[test]
fn a_held_hook_waits_as_long_as_it_hears_beats() {
    let world = World::new();
    let go = Arc::new(AtomicBool::new(false));
    let gone = Arc::clone(&go);
    let _daemon = Daemon::serve(&world.socket(), move |_, peer| {
        hold(peer);
        peer.beat_while(|| !gone.load(Ordering::Relaxed));
        peer.send(&answer(0, "", "go on"));
    });
    let mut hook = Hook::start(world.command(), payload("PreToolUse"));
    sleep(A_WHILE * 2);
    assert!(hook.is_running(), "beats keep it beyond every deadline");
    go.store(true, Ordering::Relaxed);
    assert_eq!(hook.end(), Said::new(0, "", "go on"));
    assert!(world.spool().is_empty());
}

#[test]
fn a_hook_that_hears_nothing_or_lost_its_daemon_takes_its_hold_up_again() {
    type Script = fn(&mut Peer);
    let lost: [(&str, Script); 4] = [
        ("silence", |peer| peer.keep_still()),
        ("end of file", |_| {}),
        ("half a beat", |peer| peer.send_bytes(b"BSR\x01\x04")),
        ("nonsense", |peer| peer.send_bytes(b"HTTP/1.1 200 OK\r\n\r\n")),
    ];
    for (what, lose) in lost {
        let world = World::new();
        let daemon = Daemon::serve(&world.socket(), move |number, peer| {
            hold(peer);
            if number == 0 {
                return lose(peer);
            }
            peer.send(&FromDaemon::Beat);
            peer.send(&stop());
        });
        assert_eq!(world.run(payload("PreToolUse")), Said::new(0, STOP, ""), "{what}");
        daemon.next_hook();
        assert_eq!(daemon.next().1, RESUME, "{what}");
        assert!(daemon.heard_no_more(), "{what}: the hook itself is not sent again");
    }
}

#[test]
fn a_daemon_that_was_replaced_finds_its_held_hooks_again() {
    let world = World::new();
    let older = Daemon::serve(&world.socket(), |_, peer| hold(peer));
    let hook = Hook::start(world.command(), payload("PostToolBatch"));
    older.next_hook();
    drop(older);
    sleep(A_WHILE);
    let newer = Daemon::answering(&world.socket(), stop());
    assert_eq!(hook.end(), Said::new(0, STOP, ""));
    assert_eq!(newer.next().1, RESUME);
}

#[test]
fn a_daemon_that_takes_a_hold_up_and_hangs_up_is_asked_again_after_a_pause() {
    let world = World::new();
    let times = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&times);
    let _daemon = Daemon::serve(&world.socket(), move |number, peer| {
        seen.lock().unwrap().push(Instant::now());
        hold(peer);
        if number == 5 {
            peer.send(&stop());
        }
    });
    assert_eq!(world.run(payload("PreToolUse")), Said::new(0, STOP, ""));
    let times = times.lock().unwrap();
    assert_eq!(times.len(), 6);
    assert!(times.windows(2).all(|t| t[1] - t[0] >= Duration::from_millis(40)), "{times:?}");
}

#[test]
fn a_daemon_that_takes_nothing_up_is_asked_less_and_less_often() {
    let world = World::new();
    let times = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&times);
    let _daemon = Daemon::serve(&world.socket(), move |number, peer| {
        seen.lock().unwrap().push(Instant::now());
        match number {
            0 => hold(peer),
            5 => peer.send(&stop()),
            _ => drop(peer.read()),
        }
    });
    assert_eq!(world.run(payload("PreToolUse")), Said::new(0, STOP, ""));
    let times = times.lock().unwrap();
    let pauses: Vec<_> = times.windows(2).map(|t| (t[1] - t[0]).as_millis()).collect();
    assert_eq!(pauses.len(), 5);
    let at_least = [40, 90, 190, 390, 790];
    assert!(pauses.iter().zip(at_least).all(|(pause, least)| *pause >= least), "{pauses:?}");
}

#[test]
fn esc_and_a_closed_terminal_end_a_held_hook_at_once() {
    let world = World::new();
    let hung_up = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&hung_up);
    let daemon = Daemon::serve(&world.socket(), move |_, peer| {
        hold(peer);
        peer.keep_still();
        count.fetch_add(1, Ordering::Relaxed);
    });
    let hook = Hook::start(world.command(), payload("PreToolUse"));
    daemon.next_hook();
    hook.terminate();
    let said = hook.end();
    assert_eq!((said.signal, said.stdout.as_str()), (Some(15), ""));
    let since = Instant::now();
    while hung_up.load(Ordering::Relaxed) == 0 {
        assert!(since.elapsed() < Duration::from_secs(10), "the daemon learns of it");
        sleep(Duration::from_millis(5));
    }
}

/// The only test that waits for the half minute to pass.
#[test]
fn a_daemon_that_never_comes_back_leaves_what_the_marker_says() {
    let (marked, unmarked) = (World::new(), World::new());
    let path = marker::path(&marked.state(), "s1");
    fs::create_dir(path.parent().unwrap()).unwrap();
    fs::write(path, Marker { session: true, ..Marker::default() }.to_text()).unwrap();
    let started = Instant::now();
    let [shut, open] = [&marked, &unmarked].map(|world| {
        let daemon = Daemon::serve(&world.socket(), |_, peer| hold(peer));
        let hook = Hook::start(world.command(), payload("PreToolUse"));
        daemon.next_hook();
        hook
    });
    let stop = worded(Event::PreToolUse, false, Say::Stop(AWAY_AND_SHUT)).stdout;
    assert_eq!(shut.end(), Said::new(0, &stop, ""));
    assert_eq!(open.end(), Said::nothing());
    assert!(started.elapsed() >= Duration::from_secs(28), "it looks for half a minute");
    assert!(marked.spool().is_empty(), "nothing was let through");
    assert_eq!(unmarked.spool()[0]["why"], "lost_while_held");
}
