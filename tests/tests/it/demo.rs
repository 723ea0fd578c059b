//! `bursar demo`: it tells its story, by itself or with a person, and leaves nothing behind, however it ends.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use bursar_tests::daemon::built_binaries;
use bursar_tests::process::{Finished, Running, is_alive};
use bursar_tests::terminal::Terminal;
use bursar_tests::wait;
use bursar_tests::world::World;
use rustix::process::Signal;

use crate::common::bare;

/// Half a minute of story on a quiet machine.
const STORY: Duration = Duration::from_secs(120);

/// Until the agent is held: a third of the story.
const CHAPTER: Duration = Duration::from_secs(60);

/// Until the daemon has ended and the folder is gone.
const TIDY: Duration = Duration::from_secs(15);

fn program() -> PathBuf {
    built_binaries().join("bursar")
}

fn demo(world: &World, args: &[&str]) -> Command {
    let mut command = world.command(program());
    command.arg("demo").args(args);
    command
}

/// The figure or name between two texts.
#[track_caller]
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let rest = text.split_once(before).unwrap_or_else(|| panic!("no {before:?} in:\n{text}")).1;
    rest.split_once(after).unwrap_or_else(|| panic!("no {after:?} in:\n{rest}")).0
}

/// The demo's folder and its daemon's process, as it says.
#[track_caller]
fn house(told: &str) -> (PathBuf, u32) {
    let folder = between(told, "BURSAR_HOME=", " ").into();
    let pid = between(told, "A daemon serves (process ", ")").parse().expect("a process");
    (folder, pid)
}

#[track_caller]
fn assert_nothing_is_left(folder: &Path, daemon: u32) {
    assert!(!folder.exists(), "{} is still there", folder.display());
    assert!(!is_alive(daemon), "the daemon is still there");
    let name = folder.display().to_string();
    let mut left = Vec::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let of = |file| fs::read(process.path().join(file)).unwrap_or_default();
        let said = [of("cmdline"), of("environ")].concat();
        if String::from_utf8_lossy(&said).contains(&name) {
            left.push(process.path());
        }
    }
    assert!(left.is_empty(), "processes of the demo: {left:?}");
}

#[track_caller]
fn assert_in_order(told: &str, lines: &[&str]) {
    let mut rest = told;
    for line in lines {
        rest = rest
            .split_once(line)
            .unwrap_or_else(|| panic!("{line:?} is missing, or too late, in:\n{told}"))
            .1;
    }
}

#[test]
fn by_itself_it_tells_its_story_and_leaves_nothing_behind() {
    let world = bare();
    fs::set_permissions(world.home(), fs::Permissions::from_mode(0o500))
        .expect("a home that is not to be written");
    // What stands in the environment of whoever starts it is nothing to it: an agent's shell neither.
    let mut command = demo(&world, &["--auto"]);
    command.envs([
        ("CLAUDECODE", "1"),
        ("CI", "1"),
        ("TOKEN_BUDGET_SESSION_DEFAULT", "5"),
        ("BURSAR_MODE", "no"),
    ]);
    let Finished { code, stdout, stderr, took, .. } = Running::run(command, "the demo", STORY);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
    assert!(took > Duration::from_secs(15), "nobody can read that in {took:?}");
    assert_in_order(
        &stdout,
        &[
            "1. A daemon serves",
            "Session budget: 0 / 20,000 tokens (0%)",
            "answer 3   Bash: npm test          ████████████░░░░  15,200 of 20,000 tokens",
            "the model is told: Budget: 17,300 of 20,000 tokens used. Go on as planned;",
            "21,300 of 20,000 tokens",
            "3. Held: its budget is used up",
            "21.3k / 20k",
            " extend +10k\n",
            "still 21,300 tokens",
            "session:demo is active: 21,300 of 30,000 tokens used, 1 agent released.",
            "ms after the command was started",
            "24,300 of 30,000 tokens",
            "5. Held: its circuit is open",
            "5 identical calls of Bash in a row",
            "circuit acknowledge --say \"look at the log first\"",
            "still 24,300 tokens",
            "the model is told: The operator says: look at the log first",
            "Its circuit is closed again.",
            "26,800 of 30,000 tokens",
            "Session demo (checkout-api), ended",
            "bursar install",
            "Nothing is left of it",
        ],
    );
    for returned in stdout.split("The hook returned ").skip(1) {
        let ms: u64 = returned.split(' ').next().and_then(|ms| ms.parse().ok()).expect("milliseconds");
        assert!(ms < 2_000, "{ms} ms");
    }
    assert!(!stdout.contains('\x1b') && !stdout.contains('!'), "{stdout}");
    let is_typed = |line: &&str| line.contains("BURSAR_HOME=");
    let wide: Vec<_> = stdout.lines().filter(|l| l.chars().count() > 80 && !is_typed(l)).collect();
    assert!(wide.is_empty(), "{wide:#?}");
    let (folder, daemon) = house(&stdout);
    assert_nothing_is_left(&folder, daemon);
    assert_eq!(fs::read_dir(world.home()).expect("the home").count(), 0, "the home is as it was");
}

/// The last command that it prints, as a person would copy it.
#[track_caller]
fn printed_command(screen: &str) -> String {
    let from = screen.rfind("BURSAR_HOME=").unwrap_or_else(|| panic!("no command on the screen:\n{screen}"));
    let command = screen[from..].split("\n\n").next().unwrap_or_default();
    command.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_person_answers_it_from_a_second_terminal() {
    let world = bare();
    let mut command = vec!["env".to_owned(), "-u".to_owned(), "HOME".to_owned()];
    let show = format!("'{}' demo; echo ended with $?; sleep 60", program().display());
    command.extend(["sh".to_owned(), "-c".to_owned(), show]);
    let terminal = Terminal::program(&world, (80, 120), &command);
    let waits = |times: usize| {
        terminal
            .wait_screen("the demo that waits", CHAPTER, |s| s.matches("Waiting for you.").count() == times);
        terminal.screen()
    };
    let answer = |command: &str| {
        let mut shell = world.command("/bin/sh");
        shell.args(["-c", command]);
        let done = Running::run(shell, "the second terminal", TIDY);
        assert_eq!(done.code, Some(0), "{command}: {done:?}");
    };
    let first = printed_command(&waits(1));
    assert!(first.ends_with("extend +10k"), "{first}");
    answer(&first);
    let screen = waits(2);
    let second = printed_command(&screen);
    assert!(second.ends_with("circuit acknowledge --say \"look at the log first\""), "{second}");
    answer(&second);
    terminal.wait_for("ended with 0", CHAPTER);
    let screen = terminal.screen();
    assert_in_order(
        &screen,
        &[
            "(Ctrl-C ends the demo.)",
            "ms after the daemon had your answer",
            "Held: its circuit is open",
            "The operator says: look at the log first",
            "Its circuit is closed again.",
            "Nothing is left of it",
        ],
    );
    let (folder, daemon) = house(&screen);
    assert_nothing_is_left(&folder, daemon);
}

#[test]
fn ended_before_its_time_it_leaves_nothing_behind_either() {
    for signal in [Signal::INT, Signal::TERM] {
        let world = bare();
        let mut command = demo(&world, &[]);
        command.env_remove("HOME");
        let running = Running::start(command, "the demo");
        wait::until_true("the held agent", CHAPTER, || running.stdout().contains("Waiting for you."));
        let (folder, daemon) = house(&running.stdout());
        assert!(folder.is_dir() && is_alive(daemon));
        let asked = Instant::now();
        let Finished { code, stdout, stderr, .. } = running.end(signal, TIDY);
        assert!(asked.elapsed() < TIDY);
        assert_eq!(
            (code, stderr.as_str()),
            (Some(128 + signal.as_raw()), "Ended before its time.\n"),
            "{stdout}"
        );
        assert!(stdout.contains("Nothing is left of it"), "{stdout}");
        assert_nothing_is_left(&folder, daemon);
    }
}

#[test]
fn without_the_hook_client_it_says_what_to_build() {
    let world = bare();
    let alone = world.bin().join("bursar");
    fs::copy(program(), &alone).expect("a copy of the program");
    let mut command = world.command(&alone);
    command.arg("demo");
    let done = Running::run(command, "the demo", TIDY);
    assert_eq!((done.code, done.stdout.as_str()), (Some(1), ""));
    assert!(done.stderr.contains("cargo build -p bursar-hook"), "{done:?}");
    let json = Running::run(demo(&world, &["--json"]), "the demo", TIDY);
    assert_eq!((json.code, json.stdout.as_str()), (Some(2), ""));
}
