//! The demo's house: a throw-away folder, a daemon in it, and commands that know nothing else.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bursar_protocol::endpoint;
use bursar_protocol::message::{Query, ToDaemon};
use bursar_protocol::paths::Paths;
use rustix::process::{Pid, Signal, kill_process};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::DemoError;
use super::ears::Ears;
use crate::view::StatusView;

/// What a session of the demo may use, in tokens.
pub(super) const LIMIT: u64 = 20_000;

/// The demo's settings. Those that are the defaults anyway are said too, so that none of a machine's own goes unnoticed.
const SETTINGS: [(&str, &str); 6] = [
    ("TOKEN_BUDGET_SESSION_DEFAULT", "20000"),
    ("CIRCUIT_BREAKER_PROFILE", "strict"),
    ("CIRCUIT_BREAKER_COOLDOWN", "0"),
    ("TOKEN_BUDGET_ON_PAUSE", "hold"),
    ("BURSAR_MODE", "enforce"),
    ("BURSAR_PORT", "0"),
];

/// A socket's path must fit below it, and a command that names it on a line.
const LONGEST_FOLDER_BYTES: usize = 40;

/// How many names are tried for the folder.
const NAMES: u32 = 100;

const SERVES_WITHIN: Duration = Duration::from_secs(15);
const ENDS_WITHIN: Duration = Duration::from_secs(5);
const COMMAND_WITHIN: Duration = Duration::from_secs(10);
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(5);

/// How often the folder's removal is tried: something may be written into it at that moment.
const REMOVALS: u32 = 20;

/// The folder, and the daemon while it runs. Both go when it is dropped.
#[derive(Debug)]
pub(super) struct House {
    root: PathBuf,
    paths: Paths,
    program: PathBuf,
    daemon: Option<Child>,
    is_cleared: bool,
}

impl House {
    /// Makes the folder. Whoever runs the demo may approve in it: there is no passphrase.
    pub(super) fn build() -> Result<Self, DemoError> {
        let program = std::env::current_exe()
            .and_then(|program| program.canonicalize())
            .map_err(DemoError::io("cannot find this program"))?;
        let hook_client = program.with_file_name("bursar-hook");
        if !hook_client.is_file() {
            return Err(DemoError::NoHookClient(hook_client));
        }
        let root = make_folder()?;
        let home = root.to_string_lossy().into_owned();
        let paths = Paths::from_env(|name| (name == "BURSAR_HOME").then(|| home.clone()))
            .map_err(|e| DemoError::NoAnswer(e.to_string()))?;
        let house = Self { root, paths, program, daemon: None, is_cleared: false };
        house.settle().map_err(DemoError::io("cannot write into the demo's folder"))?;
        Ok(house)
    }

    fn settle(&self) -> std::io::Result<()> {
        fs::create_dir(self.project())?;
        let operator = json!({ "level": "unprotected", "since": jiff::Timestamp::now().to_string() });
        let file = self.paths.state.join("operator.json");
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
        file.write_all(operator.to_string().as_bytes())
    }

    /// Starts this very program as a daemon, and gives its process once it serves.
    pub(super) fn start_daemon(&mut self, ears: &mut Ears) -> Result<u32, DemoError> {
        let cannot = || DemoError::io("cannot start the demo's daemon");
        let log = self.root.join("daemon.log");
        let out = File::create(&log).map_err(cannot())?;
        let child = self
            .bursar(&["daemon"])
            .envs(SETTINGS)
            .stdout(out.try_clone().map_err(cannot())?)
            .stderr(out)
            .spawn()
            .map_err(cannot())?;
        let pid = child.id();
        let daemon = self.daemon.insert(child);
        let until = Instant::now() + SERVES_WITHIN;
        while !fs::read_to_string(self.paths.ready()).is_ok_and(|text| text.trim() == pid.to_string()) {
            let has_ended = !matches!(daemon.try_wait(), Ok(None));
            if has_ended || Instant::now() > until {
                return Err(DemoError::DidNotStart(last_words(&log)));
            }
            ears.pause(POLL)?;
        }
        self.see_that_the_settings_hold()?;
        Ok(pid)
    }

    /// The whole machine's file stands above the environment.
    fn see_that_the_settings_hold(&self) -> Result<(), DemoError> {
        let status: StatusView = self.query(Query::Status)?;
        let ours = |name: &str| SETTINGS.iter().find(|(ours, _)| *ours == name).map(|(_, value)| *value);
        let other = status
            .settings
            .into_iter()
            .find(|s| s.source != "environment" && ours(&s.name).is_some_and(|value| value != s.value));
        other.map_or(Ok(()), |s| {
            Err(DemoError::SetElsewhere { setting: s.name, value: s.value, file: s.source })
        })
    }

    /// The folder that all of it happens in.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Where the pretend agent works; its name is the project's.
    pub(super) fn project(&self) -> PathBuf {
        self.root.join("checkout-api")
    }

    /// Where the pretend client keeps its transcript.
    pub(super) fn transcript(&self, session: &str) -> PathBuf {
        self.root.join(format!("{session}.jsonl"))
    }

    /// A command of this very program, with an environment from scratch: what an agent's shell or a person's says is not
    /// passed on. In a group of its own, so that Ctrl-C reaches the demo alone, which ends them in order.
    pub(super) fn bursar(&self, args: &[&str]) -> Command {
        self.alone(&self.program, args)
    }

    fn alone(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(args)
            .env_clear()
            .env("BURSAR_HOME", &self.root)
            .current_dir(&self.root)
            .stdin(Stdio::null())
            .process_group(0);
        command
    }

    /// How a person calls this program for this folder: the beginning of a command.
    pub(super) fn as_typed(&self) -> String {
        let quoted = |path: &Path| quoted(&path.to_string_lossy());
        format!("BURSAR_HOME={} {}", quoted(&self.root), quoted(&self.program))
    }

    /// What a command of ours prints.
    pub(super) fn output(&self, args: &[&str]) -> Result<String, DemoError> {
        finish(self.bursar(args))
    }

    /// What a command as a person types it prints.
    pub(super) fn typed(&self, line: &str) -> Result<String, DemoError> {
        finish(self.alone(Path::new("/bin/sh"), &["-c", line]))
    }

    /// What the daemon answers.
    pub(super) fn query<T: DeserializeOwned>(&self, query: Query) -> Result<T, DemoError> {
        let no_answer = |why: String| DemoError::NoAnswer(why);
        let (status, json) = endpoint::ask(&self.paths.socket, &ToDaemon::Query(query), ANSWERS_WITHIN)
            .map_err(|e| no_answer(e.to_string()))?;
        if status != 200 {
            return Err(no_answer(json));
        }
        serde_json::from_str(&json).map_err(|e| no_answer(e.to_string()))
    }

    /// Ends the daemon and removes the folder; gives it back where something of it is left.
    pub(super) fn clear(&mut self) -> Option<PathBuf> {
        self.is_cleared = true;
        if let Some(daemon) = self.daemon.take() {
            end(daemon);
        }
        for _ in 0..REMOVALS {
            match fs::remove_dir_all(&self.root) {
                Ok(()) => return None,
                Err(e) if e.kind() == ErrorKind::NotFound => return None,
                Err(_) => std::thread::sleep(POLL),
            }
        }
        Some(self.root.clone())
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if !self.is_cleared {
            self.clear();
        }
    }
}

/// Makes the folder in the system's place for such, or in `/tmp` where that is no good.
fn make_folder() -> Result<PathBuf, DemoError> {
    let usual = std::env::temp_dir();
    let is_good = usual.is_absolute() && usual.as_os_str().len() <= LONGEST_FOLDER_BYTES;
    let mut last = None;
    for parent in [is_good.then_some(usual), Some("/tmp".into())].into_iter().flatten() {
        match make_folder_in(&parent) {
            Ok(folder) => return Ok(folder),
            Err(source) => last = Some(DemoError::NoFolder { folder: parent, source }),
        }
    }
    Err(last.unwrap_or_else(|| DemoError::NoAnswer("no folder".to_owned())))
}

fn make_folder_in(parent: &Path) -> std::io::Result<PathBuf> {
    let pid = std::process::id();
    for n in 1..=NAMES {
        let name = if n == 1 { format!("bursar-{pid}") } else { format!("bursar-{pid}-{n}") };
        let folder = parent.join(name);
        // Made, never taken over: what stands there already is somebody else's.
        match DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => {
                // Whatever the umask left of it.
                fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
                return Ok(folder);
            }
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// The end of a log.
fn last_words(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let mut lines: Vec<&str> = text.lines().rev().take(3).collect();
    lines.reverse();
    lines.join(" ")
}

/// As a shell takes it for one word.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if text.chars().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// Runs a command to its end, and gives all that it printed.
fn finish(mut command: Command) -> Result<String, DemoError> {
    let cannot = DemoError::io("cannot run a command of the demo");
    let mut child = match command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(e) => return Err(cannot(e)),
    };
    let until = Instant::now() + COMMAND_WITHIN;
    // What they print fits into a pipe.
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() > until {
            let _ = child.kill();
            let _ = child.wait();
            return Err(DemoError::TooLate("a command's answer"));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let output = child.wait_with_output().map_err(cannot)?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    if output.status.success() { Ok(said) } else { Err(DemoError::NoAnswer(said.trim_end().to_owned())) }
}

/// Asks a process to end, and ends it where it doesn't.
fn end(mut child: Child) {
    // Not reaped yet, so its number is still its own.
    let _ = kill_process(Pid::from_child(&child), Signal::TERM);
    let until = Instant::now() + ENDS_WITHIN;
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() > until {
            let _ = child.kill();
            break;
        }
        std::thread::sleep(POLL);
    }
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::{make_folder_in, quoted};
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_shell_takes_a_path_for_one_word() {
        assert_eq!(quoted("/tmp/bursar-1"), "/tmp/bursar-1");
        assert_eq!(quoted("/my dir/it's"), "'/my dir/it'\\''s'");
    }

    #[test]
    fn a_folder_that_is_there_is_never_taken_over() -> std::io::Result<()> {
        let dir = tempfile::tempdir()?;
        let first = make_folder_in(dir.path())?;
        assert_eq!(std::fs::metadata(&first)?.permissions().mode() & 0o777, 0o700);
        assert_ne!(make_folder_in(dir.path())?, first);
        assert!(make_folder_in(&dir.path().join("missing")).is_err());
        Ok(())
    }
}
