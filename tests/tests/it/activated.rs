//! A service manager keeps the socket: hooks that call between two daemons wait in it for the next one.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::Duration;

use bursar_tests::daemon::Bursar;
use bursar_tests::process::{Finished, Running};
use bursar_tests::world::World;
use serde_json::json;

use crate::common::{SOON, bare};

/// How long systemd waits before it starts the daemon again (`RestartSec=`).
const RESTART: Duration = Duration::from_millis(200);

/// Hooks at once.
const MANY: usize = 20;

fn payload(event: &str, session: &str) -> Vec<u8> {
    json!({ "session_id": session, "hook_event_name": event, "tool_name": "Bash" }).to_string().into_bytes()
}

/// The socket as a service manager binds it.
#[track_caller]
fn kept_socket(bursar: &Bursar<'_>) -> UnixListener {
    make_folder(&bursar.socket());
    let _ = fs::remove_file(bursar.socket());
    UnixListener::bind(bursar.socket()).expect("a socket")
}

#[track_caller]
fn make_folder(socket: &Path) {
    let folder = socket.parent().expect("a folder");
    fs::create_dir_all(folder).expect("a folder for the socket");
    for private in folder.ancestors().take(2) {
        fs::set_permissions(private, fs::Permissions::from_mode(0o700)).expect("a private folder");
    }
}

/// Fires many hooks at once.
#[track_caller]
fn fire(bursar: &Bursar<'_>) -> Vec<Running> {
    (0..MANY).map(|n| bursar.start_hook(&payload("PreToolUse", &format!("s{n}")))).collect()
}

#[track_caller]
fn assert_answered(bursar: &Bursar<'_>, hooks: Vec<Running>) {
    for hook in hooks {
        let said = hook.wait_from_now(SOON);
        assert_eq!((said.code, said.stdout.as_str(), said.stderr.as_str()), (Some(0), "", ""));
    }
    assert_eq!(bursar.spool(), "", "a hook was let through");
}

/// systemd's own tool for this, which binds the socket and becomes the daemon at the first call. `None`, and a word about
/// it, where there is none.
#[track_caller]
fn socket_activate(bursar: &Bursar<'_>, world: &World) -> Option<Running> {
    const TOOL: &str = "systemd-socket-activate";
    let path = std::env::var_os("PATH").unwrap_or_default();
    if !std::env::split_paths(&path).any(|folder| folder.join(TOOL).is_file()) {
        eprintln!("not tested: there is no {TOOL} (Debian: apt-get install systemd)");
        return None;
    }
    make_folder(&bursar.socket());
    let socket = bursar.socket().display().to_string();
    let program = bursar.program().display().to_string();
    let home = format!("--setenv=BURSAR_HOME={}", world.bursar_home().display());
    let command = bursar
        .command_of(TOOL, &["-l", &socket, &home, "--setenv=TOKEN_BUDGET_ON_PAUSE", &program, "daemon"]);
    let tool = Running::start(command, TOOL);
    bursar_tests::wait::until_true("the tool's socket", SOON, || bursar.socket().exists());
    Some(tool)
}

#[test]
fn hooks_that_call_before_the_daemon_is_there_are_all_answered() {
    let world = bare();
    let bursar = Bursar::new(&world, &[]);
    let Some(tool) = socket_activate(&bursar, &world) else { return };
    // No `ready` file: they have a second.
    let hooks = fire(&bursar);
    assert_answered(&bursar, hooks);
    let status = bursar.status();
    assert_eq!((status.hooks, status.failed_open, status.malformed), (MANY as u64, 0, 0));
    assert_eq!(bursar.sessions(false).len(), MANY);
    assert_eq!(status.pid, tool.pid(), "the tool became the daemon");
}

#[test]
fn a_session_that_is_paused_is_answered_by_the_daemon_that_it_wakes() {
    let world = bare();
    let mut bursar = Bursar::new(&world, &[("TOKEN_BUDGET_ON_PAUSE", "deny")]);
    bursar.start();
    let call = || bursar_hook(&bursar, "PreToolUse");
    assert_eq!(call().code, Some(0));
    bursar.done(&["budget", "set", "session:s", "--shut"]);
    bursar.stop();
    let by_the_marker = bursar_hook(&bursar, "PreToolUse");
    assert!(by_the_marker.stdout.contains("\"continue\":false"), "{by_the_marker:?}");
    let Some(_tool) = socket_activate(&bursar, &world) else { return };
    let by_the_daemon = bursar_hook(&bursar, "PreToolUse");
    assert_eq!((by_the_daemon.code, by_the_daemon.stdout.as_str()), (Some(2), ""), "{by_the_daemon:?}");
    assert!(by_the_daemon.stderr.contains("refused until a person approves"), "{by_the_daemon:?}");
    assert_eq!((bursar.spool().as_str(), bursar.status().hooks), ("", 1));
}

#[track_caller]
fn bursar_hook(bursar: &Bursar<'_>, event: &str) -> Finished {
    bursar.start_hook(&payload(event, "s")).wait_from_now(SOON)
}

#[test]
fn hooks_wait_for_the_daemon_that_follows_a_killed_one() {
    let world = bare();
    let mut bursar = Bursar::new(&world, &[]);
    let socket = kept_socket(&bursar);
    bursar.start_on(&socket);
    for _ in 0..2 {
        bursar.kill();
        let hooks = fire(&bursar);
        sleep(RESTART);
        bursar.start_on(&socket);
        assert_answered(&bursar, hooks);
        let status = bursar.status();
        assert_eq!((status.hooks, status.failed_open), (MANY as u64, 0));
    }
}

#[test]
fn no_hook_of_working_sessions_is_let_through_while_daemons_come_and_go() {
    let world = bare();
    let mut bursar = Bursar::new(&world, &[]);
    let socket = kept_socket(&bursar);
    bursar.start_on(&socket);
    let (hooks, goes_on) = (Bursar::new(&world, &[]), AtomicBool::new(true));
    let answered: usize = scope(|threads| {
        let (hooks, goes_on) = (&hooks, &goes_on);
        let session = |name: &'static str| {
            move || {
                let mut answered = 0;
                while goes_on.load(Ordering::Relaxed) {
                    // A batch has its second also on a machine that is busy otherwise.
                    let hook = hooks.start_hook(&payload("PostToolBatch", name));
                    assert_eq!(hook.wait_from_now(SOON).code, Some(0));
                    answered += 1;
                }
                answered
            }
        };
        let sessions = ["a", "b", "c"].map(|name| threads.spawn(session(name)));
        for round in 0..8 {
            sleep(RESTART);
            if round % 2 == 0 {
                bursar.stop();
            } else {
                bursar.kill();
            }
            bursar.start_on(&socket);
        }
        goes_on.store(false, Ordering::Relaxed);
        sessions.into_iter().map(|session| session.join().expect("a session")).sum()
    });
    assert!(answered > 20, "{answered} hooks");
    assert_eq!((bursar.spool().as_str(), bursar.status().failed_open), ("", 0));
}

#[test]
fn the_socket_stays_when_the_daemon_ends() {
    let world = bare();
    let mut bursar = Bursar::new(&world, &[]);
    let socket = kept_socket(&bursar);
    bursar.start_on(&socket);
    assert_eq!(bursar.status().failed_open, 0);
    bursar.stop();
    assert!(!world.bursar_home().join("ready").exists());
    UnixStream::connect(bursar.socket()).expect("the manager's socket");
    drop(socket);
    // Without a manager the daemon binds its own over what is left, and takes it away at its end.
    bursar.start();
    bursar.stop();
    assert!(!bursar.socket().exists());
}

#[test]
fn a_socket_that_cannot_serve_is_refused_with_the_reason() {
    let world = bare();
    let bursar = Bursar::new(&world, &[]);
    let at = |name: &str| world.root().join(name);
    let elsewhere = UnixListener::bind(at("elsewhere")).expect("a socket");
    let datagram = UnixDatagram::bind(at("datagram")).expect("a socket");
    let connected = UnixStream::connect(at("elsewhere")).expect("a connection");
    let file = fs::File::create(at("file")).expect("a file");
    let copy =
        |socket: &dyn std::os::fd::AsFd| Stdio::from(socket.as_fd().try_clone_to_owned().expect("a copy"));
    for (count, passed, reason) in [
        ("1", copy(&elsewhere), "but hooks call"),
        ("2", copy(&elsewhere), "passed \"2\" sockets, and one is expected"),
        ("0", copy(&elsewhere), "passed \"0\" sockets"),
        ("-1", copy(&elsewhere), "passed \"-1\" sockets"),
        ("1", copy(&datagram), "no listening Unix stream socket"),
        ("1", copy(&connected), "no listening Unix stream socket"),
        ("1", copy(&file), "no listening Unix stream socket"),
    ] {
        let refused = Running::start_with(bursar.activated(count), "the daemon", passed).wait_from_now(SOON);
        assert_eq!(refused.code, Some(78), "{reason}: {refused:?}");
        assert!(refused.stderr.contains(reason), "{reason}: {}", refused.stderr);
    }
    assert!(!world.bursar_home().join("ready").exists());
}

#[test]
fn a_daemon_that_serves_already_makes_way_for_the_service_managers() {
    let world = bare();
    let mut bursar = Bursar::new(&world, &[]);
    bursar.start();
    let old = bursar.status().pid;
    assert_eq!(bursar_hook(&bursar, "PreToolUse").code, Some(0));
    // As systemd does it: over what stands there.
    let socket = kept_socket(&bursar);
    let hooks = fire(&bursar);
    let mut kept = Bursar::new(&world, &[]);
    kept.start_on(&socket);
    assert_eq!(bursar.await_end(), Some(0));
    assert_answered(&kept, hooks);
    assert_ne!(kept.status().pid, old);
    assert!(kept.daemon_log().contains("makes way"), "{}", kept.daemon_log());
    assert_eq!(kept.sessions(false).len(), MANY + 1, "it knows what the old one knew");
}

#[test]
fn replacing_a_kept_daemon_is_the_managers_to_do() {
    let world = bare();
    let mut bursar = Bursar::new(&world, &[]);
    let socket = kept_socket(&bursar);
    bursar.start_on(&socket);
    let old = bursar.status().pid;
    let refused = bursar.run(&["daemon", "--detach"]);
    assert_eq!(refused.code, Some(75), "{refused:?}");
    let program = bursar.program().display().to_string();
    let replacing =
        Running::start(bursar.command_of(&program, &["daemon", "--detach", "--replace"]), "the replacement");
    assert_eq!(bursar.await_end(), Some(0));
    sleep(RESTART);
    bursar.start_on(&socket);
    let said = replacing.wait_from_now(SOON);
    let new = bursar.status().pid;
    assert_eq!(said.code, Some(0), "{said:?}");
    let begins =
        format!("Bursar serves (process {new}) in place of process {old}. A service manager keeps it");
    assert!(said.stdout.starts_with(&begins), "{}", said.stdout);
}

#[test]
fn nobody_takes_the_socket_away_from_a_manager() {
    let world = bare();
    let bursar = Bursar::new(&world, &[]);
    let socket = kept_socket(&bursar);
    let refused = bursar.run(&["daemon"]);
    assert_eq!(refused.code, Some(75), "{refused:?}");
    assert!(refused.stderr.contains("another process listens on"), "{}", refused.stderr);
    drop(socket);
    fs::remove_file(bursar.socket()).expect("the socket");
    // In the background it is the manager's daemon that is woken.
    let Some(tool) = socket_activate(&bursar, &world) else { return };
    let said = bursar.done(&["daemon", "--detach"]);
    let begins = format!("Bursar serves (process {}). A service manager keeps it", tool.pid());
    assert!(said.stdout.starts_with(&begins), "{}", said.stdout);
}

#[test]
fn the_manager_hears_that_it_serves_that_it_lives_and_that_it_ends() {
    let world = bare();
    let bursar = Bursar::new(&world, &[]);
    let path = world.root().join("notify");
    let heard = UnixDatagram::bind(&path).expect("a socket");
    heard.set_read_timeout(Some(SOON)).expect("a time limit");
    let next = || {
        let mut text = [0; 256];
        let length = heard.recv(&mut text).expect("a word from the daemon");
        String::from_utf8_lossy(&text[..length]).into_owned()
    };
    let program = bursar.program().display().to_string();
    let mut command = bursar.command_of(&program, &["daemon"]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000");
    let daemon = Running::start(command, "the daemon");
    assert_eq!(next(), "READY=1");
    assert!(world.bursar_home().join("ready").exists(), "it says so once it serves");
    for _ in 0..5 {
        assert_eq!(next(), "WATCHDOG=1");
    }
    daemon.signal(rustix::process::Signal::TERM);
    let last = std::iter::repeat_with(next).find(|said| said != "WATCHDOG=1");
    assert_eq!(last.as_deref(), Some("STOPPING=1"));
    assert_eq!(daemon.wait_from_now(SOON).code, Some(0));
}

#[test]
#[cfg(target_os = "linux")]
fn a_daemon_in_the_background_does_not_take_itself_for_the_service() {
    let world = bare();
    let mut bursar =
        Bursar::new(&world, &[("LISTEN_FDS", "1"), ("LISTEN_PID", "1"), ("NOTIFY_SOCKET", "/nowhere")]);
    bursar.detach_and_replace();
    let environ = fs::read(format!("/proc/{}/environ", bursar.status().pid)).expect("its environment");
    let text = String::from_utf8_lossy(&environ);
    assert!(!text.contains("LISTEN_") && !text.contains("NOTIFY_SOCKET"), "{text}");
    assert!(text.contains("BURSAR_HOME="), "{text}");
}
