//! The real client, a shell, or any other program in a real terminal: tmux with a socket of its own.

use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::api::ScriptedApi;
use crate::client::{binary, client_environment};
use crate::daemon::Bursar;
use crate::process::{Running, is_alive, kill_group};
use crate::wait;
use crate::world::World;

const TMUX_LIMIT: Duration = Duration::from_secs(10);
const START_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);
const CLIENT: &str = "client";
const SIZE: (u16, u16) = (160, 50);

/// A client, a shell, or any other program in a terminal of its own; ended when dropped.
#[derive(Debug)]
pub struct Terminal<'a> {
    world: &'a World,
    name: &'static str,
    pane_pid: u32,
}

impl<'a> Terminal<'a> {
    /// Starts the client with the world's settings and waits until it takes input.
    #[track_caller]
    pub fn start(world: &'a World, api: &ScriptedApi, args: &[&str]) -> Self {
        settle_home(world);
        let environment = client_environment(api).map(|(key, value)| (key.to_owned(), value));
        let mut command = vec![binary().display().to_string()];
        command.extend(["--settings".to_owned(), world.settings().display().to_string()]);
        command.extend(args.iter().map(|&arg| arg.to_owned()));
        let terminal = Self::open(world, CLIENT, SIZE, &environment, &command);
        terminal.wait_for("❯", START_LIMIT);
        terminal
    }

    /// A person's shell in a terminal that has this name, `bursar` among its commands.
    #[track_caller]
    pub fn shell(bursar: &Bursar<'a>, name: &'static str) -> Self {
        let mut environment = bursar.environment();
        environment.push(("PS1".to_owned(), "> ".to_owned()));
        let terminal = Self::open(bursar.world(), name, SIZE, &environment, &["/bin/sh".to_owned()]);
        terminal.wait_for(">", START_LIMIT);
        terminal
    }

    /// Any program in a terminal of so many columns and rows.
    #[track_caller]
    pub fn program(world: &'a World, size: (u16, u16), program: &[String]) -> Self {
        Self::open(world, "program", size, &[], program)
    }

    #[track_caller]
    fn open(
        world: &'a World,
        name: &'static str,
        (columns, rows): (u16, u16),
        environment: &[(String, String)],
        program: &[String],
    ) -> Self {
        let mut command = vec!["env".to_owned(), "-i".to_owned()];
        for (key, value) in world.environment() {
            command.push(format!("{}={}", key.display(), value.display()));
        }
        command.extend(environment.iter().map(|(key, value)| format!("{key}={value}")));
        command.push("TERM=xterm-256color".to_owned());
        command.extend(program.iter().cloned());
        let project = world.project().display().to_string();
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let mut start =
            vec!["new-session", "-d", "-s", name, "-x", &columns, "-y", &rows, "-c", &project, "--"];
        start.extend(command.iter().map(String::as_str));
        tmux(world, name, &start);
        let pid = tmux(world, name, &["list-panes", "-t", name, "-F", "#{pane_pid}"]);
        let pane_pid = pid.trim().parse().expect("tmux names the pane's process");
        Self { world, name, pane_pid }
    }

    /// Runs a command on an empty screen, and waits until it says this.
    #[track_caller]
    pub fn says(&self, command: &str, text: &str) {
        tmux(self.world, self.name, &["send-keys", "-t", self.name, "-R"]);
        self.type_line(command);
        self.wait_for(text, START_LIMIT);
    }

    /// Closes it as a person closes a window: the client is told, and ends by itself.
    #[track_caller]
    pub fn close(self) {
        tmux(self.world, self.name, &["kill-server"]);
        wait::until_true("the client's end", TMUX_LIMIT, || !is_alive(self.pane_pid));
    }

    /// What stands on the screen.
    pub fn screen(&self) -> String {
        tmux(self.world, self.name, &["capture-pane", "-p", "-J", "-t", self.name])
    }

    /// Types a line and sends it off.
    pub fn type_line(&self, text: &str) {
        tmux(self.world, self.name, &["send-keys", "-t", self.name, "-l", "--", text]);
        // The client takes a burst of keys for a paste; a paste's line end would not send it.
        sleep(Duration::from_millis(300));
        self.press("Enter");
    }

    /// Presses one key by tmux's name for it (`Escape`, `Enter`, `C-c`).
    pub fn press(&self, key: &str) {
        tmux(self.world, self.name, &["send-keys", "-t", self.name, key]);
    }

    /// Waits until `text` stands on the screen.
    #[track_caller]
    pub fn wait_for(&self, text: &str, limit: Duration) {
        self.wait_screen(&format!("{text:?} on the screen"), limit, |screen| screen.contains(text));
    }

    /// Waits until the screen is as `wanted` says.
    #[track_caller]
    pub fn wait_screen(&self, what: &str, limit: Duration, mut wanted: impl FnMut(&str) -> bool) {
        let since = Instant::now();
        loop {
            let screen = self.screen();
            if wanted(&screen) {
                return;
            }
            assert!(since.elapsed() < limit, "{what} did not come within {limit:?}; the screen:\n{screen}");
            sleep(POLL);
        }
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        let _ = Running::run(tmux_command(self.world, self.name, &["kill-server"]), "tmux", TMUX_LIMIT);
        kill_group(self.pane_pid);
    }
}

/// Answers the questions that the client asks at its first start.
fn settle_home(world: &World) {
    // The client resolves links before it looks a folder up.
    let project = fs::canonicalize(world.project()).expect("the project's folder");
    let state = json!({
        "hasCompletedOnboarding": true,
        "theme": "dark",
        "customApiKeyResponses": { "approved": ["ant-fake-0000", "sk-ant-fake-0000"], "rejected": [] },
        "projects": { project.display().to_string(): { "hasTrustDialogAccepted": true } },
    });
    fs::write(world.home().join(".claude.json"), state.to_string()).expect("the client's state file");
}

fn tmux_command(world: &World, name: &str, args: &[&str]) -> Command {
    let mut command = world.command("tmux");
    // No configuration of whoever runs the tests, and a server of our own.
    command
        .env("TERM", "xterm-256color")
        .args(["-f", "/dev/null", "-S"])
        .arg(world.root().join(format!("tmux-{name}")))
        .args(args);
    command
}

#[track_caller]
fn tmux(world: &World, name: &str, args: &[&str]) -> String {
    let done = Running::run(tmux_command(world, name, args), "tmux (is it installed?)", TMUX_LIMIT);
    assert_eq!(done.code, Some(0), "tmux {args:?}: {}", done.stderr);
    done.stdout
}
