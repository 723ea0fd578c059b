//! The real daemon and its commands, with a home of its own.

mod service;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde::de::DeserializeOwned;

use crate::process::{Finished, Running, kill_group};
use crate::reply::{Alerts, Budget, Budgets, Hold, SessionShow, Sessions, Status, Verdicts, Waiting};
use crate::settings::Settings;
use crate::wait;
use crate::world::World;

const READY_LIMIT: Duration = Duration::from_secs(15);
const COMMAND_LIMIT: Duration = Duration::from_secs(20);
/// Two releases of a hold, a transcript's lag, and a slow machine.
const SOON: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

/// Where the programs under test are: `BURSAR_TEST_BIN_DIR`, else where Cargo put them beside this test.
pub fn built_binaries() -> PathBuf {
    std::env::var_os("BURSAR_TEST_BIN_DIR").map_or_else(
        || {
            let test = std::env::current_exe().expect("a test knows its own path");
            // <target>/debug/deps/it-…
            test.ancestors().nth(2).map(Path::to_path_buf).unwrap_or_default()
        },
        PathBuf::from,
    )
}

/// Bursar in a test's world: its commands, and its daemon while one runs.
#[derive(Debug)]
pub struct Bursar<'a> {
    world: &'a World,
    binaries: PathBuf,
    config: Vec<(String, String)>,
    daemon: Option<Running>,
    /// One may run in the background, which is nobody's child.
    detached: bool,
}

impl Drop for Bursar<'_> {
    fn drop(&mut self) {
        if self.detached
            && let Ok(text) = fs::read_to_string(self.world.bursar_home().join("ready"))
            && let Ok(pid) = text.trim().parse()
        {
            kill_group(pid);
        }
    }
}

impl<'a> Bursar<'a> {
    /// Bursar without a daemon, configured by these environment variables.
    #[track_caller]
    pub fn new(world: &'a World, config: &[(&str, &str)]) -> Self {
        let binaries = built_binaries();
        for name in ["bursar", "bursar-hook"] {
            let path = binaries.join(name);
            assert!(
                path.is_file(),
                "{} is not built: run `cargo build` first, or name a folder in BURSAR_TEST_BIN_DIR",
                path.display()
            );
        }
        let config = config.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        Self { world, binaries, config, daemon: None, detached: false }
    }

    /// Bursar installed into the world's settings, its daemon running.
    #[track_caller]
    pub fn up(world: &'a World, config: &[(&str, &str)]) -> Self {
        let mut bursar = Self::new(world, config);
        bursar.install();
        bursar.start();
        bursar
    }

    /// Registers the hooks in the world's settings; anything may approve more.
    #[track_caller]
    pub fn install(&self) {
        self.install_with(&["--unprotected"]);
    }

    /// Registers the hooks in the world's settings, with these arguments.
    #[track_caller]
    pub fn install_with(&self, args: &[&str]) -> Finished {
        let settings = self.world.settings().display().to_string();
        self.done(&[&["install", "--settings", &settings], args].concat())
    }

    /// Takes the hooks out of the world's settings.
    #[track_caller]
    pub fn uninstall(&self) -> Finished {
        let settings = self.world.settings().display().to_string();
        self.done(&["uninstall", "--settings", &settings])
    }

    /// The program of a command, by its absolute path.
    pub fn program(&self) -> PathBuf {
        self.binaries.join("bursar")
    }

    /// Starts the daemon and waits until it serves.
    #[track_caller]
    pub fn start(&mut self) {
        let mut command = self.command(&["daemon"]);
        command.env("BURSAR_LOG", "info");
        self.start_as(|| Running::start(command, "the daemon"));
    }

    /// Starts a daemon in some way and waits until it serves.
    #[track_caller]
    fn start_as(&mut self, start: impl FnOnce() -> Running) {
        let ready = self.world.bursar_home().join("ready");
        // A killed daemon leaves its file; what counts is the new one's.
        let old = fs::metadata(&ready).and_then(|file| file.modified()).ok();
        let mut daemon = start();
        let is_new = || fs::metadata(&ready).and_then(|file| file.modified()).is_ok_and(|at| Some(at) != old);
        wait::until_true("the daemon's ready file", READY_LIMIT, || {
            assert!(
                daemon.is_running(),
                "the daemon ended at its start: {}{}",
                daemon.stdout(),
                daemon.stderr()
            );
            is_new()
        });
        self.daemon = Some(daemon);
    }

    /// Ends the daemon as `kill -9` does.
    pub fn kill(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.end(Signal::KILL, COMMAND_LIMIT);
        }
    }

    /// Ends the daemon as a service manager does.
    pub fn stop(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.end(Signal::TERM, COMMAND_LIMIT);
        }
    }

    /// Puts a daemon in the background in the place of the one that serves, as `make up` does.
    #[track_caller]
    pub fn detach_and_replace(&mut self) {
        let old = self.daemon.take();
        // Whoever started a daemon must wait for its end, or its process is never gone.
        let waiter = old.map(|old| spawn(move || old.wait_from_now(COMMAND_LIMIT)));
        self.detached = true;
        self.done(&["daemon", "--detach", "--replace"]);
        if let Some(waiter) = waiter {
            waiter.join().expect("the old daemon's end");
        }
    }

    /// Freezes the daemon: it has its socket and does not answer.
    pub fn freeze(&self) {
        self.daemon.iter().for_each(Running::freeze);
    }

    /// Ends the freeze.
    pub fn thaw(&self) {
        self.daemon.iter().for_each(|daemon| daemon.signal(Signal::CONT));
    }

    /// Puts other files in the place of the programs, as a new build does: the old ones are gone.
    pub fn replace_binaries(&mut self) {
        let is_free = |place: &PathBuf| !place.exists();
        let mut places = (1..).map(|n| self.world.root().join(format!("build-{n}")));
        let place = places.find(is_free).unwrap_or_default();
        fs::create_dir_all(&place).expect("a folder for the new build");
        for name in ["bursar", "bursar-hook"] {
            fs::copy(self.binaries.join(name), place.join(name)).expect("a copy of the program");
        }
        self.binaries = place;
    }

    /// What the daemon has said so far.
    pub fn daemon_log(&self) -> String {
        self.daemon.as_ref().map(|daemon| daemon.stdout() + &daemon.stderr()).unwrap_or_default()
    }

    /// Runs a command to its end, whatever that is.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> Finished {
        Running::run(self.command(args), "bursar", COMMAND_LIMIT)
    }

    /// Runs the hook that the settings register for `event`, as the client would, with this on its standard input.
    #[track_caller]
    pub fn hook(&self, event: &str, payload: &[u8]) -> Finished {
        self.hook_with(event, &[], payload)
    }

    /// The same as callers of the seed's shape do it: the event is the argument, the payload names none.
    #[track_caller]
    pub fn seed_hook(&self, event: &str, payload: &[u8]) -> Finished {
        self.hook_with("PreToolUse", &[event], payload)
    }

    /// The same with a time limit of the caller's own, in seconds.
    #[track_caller]
    pub fn seed_hook_within(&self, event: &str, seconds: u32, payload: &[u8]) -> Finished {
        self.hook_with("PreToolUse", &[event, "--timeout", &seconds.to_string()], payload)
    }

    #[track_caller]
    fn hook_with(&self, event: &str, more: &[&str], payload: &[u8]) -> Finished {
        let hooks = Settings::read(&self.world.settings()).hooks_of(event);
        let ours =
            hooks.iter().find(|hook| hook["command"].as_str().is_some_and(|c| c.ends_with("bursar-hook")));
        let hook = ours.expect("a hook of ours");
        let input = self.world.root().join("payload");
        fs::write(&input, payload).expect("a hook's input");
        let mut command = self.world.command("/bin/sh");
        command.args(["-c", "input=$1; shift; exec \"$@\" <\"$input\"", "sh"]).arg(&input);
        command.arg(hook["command"].as_str().unwrap_or_default());
        command.args(hook["args"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_str));
        command.args(more);
        Running::run(command, "the hook", COMMAND_LIMIT)
    }

    /// Runs a command that must succeed.
    #[track_caller]
    pub fn done(&self, args: &[&str]) -> Finished {
        let finished = self.run(args);
        assert_eq!(finished.code, Some(0), "bursar {args:?}: {finished:?}\ndaemon: {}", self.daemon_log());
        finished
    }

    /// Runs a command with `--json` and reads its answer.
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self, args: &[&str]) -> T {
        let mut args = args.to_vec();
        args.push("--json");
        let finished = self.done(&args);
        match serde_json::from_str(&finished.stdout) {
            Ok(answer) => answer,
            Err(error) => {
                panic!("bursar {args:?} answered what tests cannot read ({error}): {}", finished.stdout)
            }
        }
    }

    /// What the daemon says of itself.
    #[track_caller]
    pub fn status(&self) -> Status {
        self.json(&["status"])
    }

    /// Who stands still.
    #[track_caller]
    pub fn holds(&self) -> Vec<Hold> {
        self.json::<Waiting>(&["waiting"]).holds
    }

    /// Waits until exactly one agent stands still.
    #[track_caller]
    pub fn wait_for_hold(&self) -> Hold {
        let since = Instant::now();
        loop {
            if let Some(hold) = self.holds().into_iter().next() {
                return hold;
            }
            assert!(since.elapsed() < SOON, "nobody is held; the last verdicts:\n{}", self.verdicts_text());
            sleep(POLL);
        }
    }

    /// Waits until nobody stands still.
    #[track_caller]
    pub fn wait_for_no_hold(&self) {
        wait::until_true("nobody held any more", SOON, || self.holds().is_empty());
    }

    /// Waits until a hold has ended, and says how.
    #[track_caller]
    pub fn how_it_ended(&self, hold_id: u64) -> String {
        wait::until("the end of a hold", SOON, || {
            let holds = self.json::<Waiting>(&["waiting", "--all"]).holds;
            let hold = holds.into_iter().find(|hold| hold.hold_id == hold_id);
            hold.map(|hold| hold.state).filter(|state| state != "waiting")
        })
    }

    /// All that is known of a session.
    #[track_caller]
    pub fn session(&self, id: &str) -> SessionShow {
        self.json(&["sessions", "show", id])
    }

    /// The sessions; with `ended` those that ended too.
    #[track_caller]
    pub fn sessions(&self, ended: bool) -> Vec<SessionShow> {
        let args: &[&str] = if ended { &["sessions", "--all"] } else { &["sessions"] };
        self.json::<Sessions>(args).sessions
    }

    /// A budget, if there is one of this id.
    #[track_caller]
    pub fn budget(&self, id: &str) -> Option<Budget> {
        self.json::<Budgets>(&["budget", "list"]).budgets.into_iter().find(|budget| budget.budget_id == id)
    }

    /// Waits until one budget has this status, without asking for its session: that alone would make it read.
    #[track_caller]
    pub fn wait_for_status(&self, status: &str) -> Budget {
        wait::until(&format!("a budget that is {status}"), SOON, || {
            let budgets = self.json::<Budgets>(&["budget", "list"]).budgets;
            budgets.into_iter().find(|budget| budget.status == status)
        })
    }

    /// Grants tokens.
    #[track_caller]
    pub fn extend(&self, budget_id: &str, tokens: u64) {
        let tokens = tokens.to_string();
        self.done(&[
            "budget",
            "extend",
            budget_id,
            "--tokens",
            &tokens,
            "--reason",
            "the work is worth it",
            "--json",
        ]);
    }

    /// Refuses to grant anything.
    #[track_caller]
    pub fn decline(&self, budget_id: &str) {
        self.done(&["budget", "decline", budget_id, "--reason", "enough"]);
    }

    /// All alerts.
    #[track_caller]
    pub fn alerts(&self) -> Alerts {
        self.json(&["alerts", "list"])
    }

    fn verdicts_text(&self) -> String {
        let finished = self.run(&["hooks"]);
        finished.stdout + &finished.stderr
    }

    /// The last verdicts.
    #[track_caller]
    pub fn verdicts(&self) -> Verdicts {
        self.json(&["hooks"])
    }

    /// The world that it serves.
    pub fn world(&self) -> &'a World {
        self.world
    }

    /// What its commands find in their environment, besides the world's.
    pub fn environment(&self) -> Vec<(String, String)> {
        let home = self.world.bursar_home().display().to_string();
        let mut path = self.binaries.display().to_string();
        if let Some((_, world)) = self.world.environment().into_iter().find(|(key, _)| key == "PATH") {
            path = format!("{path}:{}", world.display());
        }
        let own = [("BURSAR_HOME".to_owned(), home), ("PATH".to_owned(), path)];
        own.into_iter().chain(self.config.iter().cloned()).collect()
    }

    /// Other settings, for the next start and the next command.
    pub fn configure(&mut self, config: &[(&str, &str)]) {
        self.config = config.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    }

    fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = self.world.command(self.binaries.join("bursar"));
        command.env("BURSAR_HOME", self.world.bursar_home()).envs(self.config.iter().cloned()).args(args);
        command
    }
}
