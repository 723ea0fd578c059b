//! The real client in a real terminal: tmux with a socket of its own.

use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::api::ScriptedApi;
use crate::client::{binary, client_environment};
use crate::process::{Running, is_alive, kill_group};
use crate::wait;
use crate::world::World;

const TMUX_LIMIT: Duration = Duration::from_secs(10);
const START_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);
const NAME: &str = "client";

/// A client in a terminal of its own; ended when dropped.
#[derive(Debug)]
pub struct Terminal<'a> {
    world: &'a World,
    pane_pid: u32,
}

impl<'a> Terminal<'a> {
    /// Starts the client with the world's settings and waits until it takes input.
    #[track_caller]
    pub fn start(world: &'a World, api: &ScriptedApi, args: &[&str]) -> Self {
        settle_home(world);
        let mut command = vec!["env".to_owned(), "-i".to_owned()];
        for (key, value) in world.environment() {
            command.push(format!("{}={}", key.display(), value.display()));
        }
        command.extend(client_environment(api).map(|(key, value)| format!("{key}={value}")));
        command.push("TERM=xterm-256color".to_owned());
        command.push(binary().display().to_string());
        command.extend(["--settings".to_owned(), world.settings().display().to_string()]);
        command.extend(args.iter().map(|&arg| arg.to_owned()));
        let project = world.project().display().to_string();
        let mut start = vec!["new-session", "-d", "-s", NAME, "-x", "160", "-y", "50", "-c", &project, "--"];
        start.extend(command.iter().map(String::as_str));
        tmux(world, &start);
        let pid = tmux(world, &["list-panes", "-t", NAME, "-F", "#{pane_pid}"]);
        let pane_pid = pid.trim().parse().expect("tmux names the pane's process");
        let terminal = Self { world, pane_pid };
        terminal.wait_for("❯", START_LIMIT);
        terminal
    }

    /// Closes it as a person closes a window: the client is told, and ends by itself.
    #[track_caller]
    pub fn close(self) {
        tmux(self.world, &["kill-server"]);
        wait::until_true("the client's end", TMUX_LIMIT, || !is_alive(self.pane_pid));
    }

    /// What stands on the screen.
    pub fn screen(&self) -> String {
        tmux(self.world, &["capture-pane", "-p", "-t", NAME])
    }

    /// Types a line and sends it off.
    pub fn type_line(&self, text: &str) {
        tmux(self.world, &["send-keys", "-t", NAME, "-l", "--", text]);
        // The client takes a burst of keys for a paste; a paste's line end would not send it.
        sleep(Duration::from_millis(300));
        self.press("Enter");
    }

    /// Presses one key by tmux's name for it (`Escape`, `Enter`, `C-c`).
    pub fn press(&self, key: &str) {
        tmux(self.world, &["send-keys", "-t", NAME, key]);
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
        let _ = Running::run(tmux_command(self.world, &["kill-server"]), "tmux", TMUX_LIMIT);
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

fn tmux_command(world: &World, args: &[&str]) -> Command {
    let mut command = world.command("tmux");
    // No configuration of whoever runs the tests, and a server of our own.
    command
        .env("TERM", "xterm-256color")
        .args(["-f", "/dev/null", "-S"])
        .arg(world.root().join("tmux"))
        .args(args);
    command
}

#[track_caller]
fn tmux(world: &World, args: &[&str]) -> String {
    let done = Running::run(tmux_command(world, args), "tmux (is it installed?)", TMUX_LIMIT);
    assert_eq!(done.code, Some(0), "tmux {args:?}: {}", done.stderr);
    done.stdout
}
