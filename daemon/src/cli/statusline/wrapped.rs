//! The status line that stood in the settings before ours. It is run as Claude Code ran it, by `/bin/sh -c` with the same
//! JSON, when that has changed, or as often as it asked for itself. Ours is drawn each second, and Claude Code ends one
//! that takes longer; so theirs runs beside it, and what it printed last is shown until it is done.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, Signal};
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

/// How long is waited for it: all together stays well below a second.
const PATIENCE: Duration = Duration::from_millis(600);

/// It is ended after so long.
const MAX_RUN: Duration = Duration::from_secs(30);

/// The most of what it prints that is shown.
const MAX_OUTPUT_BYTES: usize = 64 * 1024;

/// A wrapped status line that runs, or has run.
#[derive(Debug)]
pub(super) struct Wrapped {
    files: Files,
    child: Option<Child>,
    began: Instant,
}

/// Where it is kept what one session's status line prints.
#[derive(Debug)]
struct Files {
    folder: PathBuf,
    name: String,
}

impl Files {
    fn of(state: &Path, session: &str, command: &str) -> Self {
        let name = format!("{:016x}", xxh3_64(format!("{session}\0{command}").as_bytes()));
        Self { folder: state.join("statusline"), name }
    }

    fn path(&self, kind: &str) -> PathBuf {
        self.folder.join(format!("{}.{kind}", self.name))
    }

    fn read(&self, kind: &str) -> String {
        fs::read_to_string(self.path(kind)).unwrap_or_default()
    }

    fn write(&self, kind: &str, bytes: &[u8]) -> io::Result<File> {
        let mut options = OpenOptions::new();
        let mut file =
            options.read(true).write(true).create(true).truncate(true).mode(0o600).open(self.path(kind))?;
        file.write_all(bytes)?;
        Ok(file)
    }

    fn age(&self, kind: &str) -> Option<Duration> {
        let written = fs::metadata(self.path(kind)).and_then(|meta| meta.modified()).ok()?;
        Some(SystemTime::now().duration_since(written).unwrap_or_default())
    }

    /// What it printed becomes what is shown.
    fn done(&self) {
        let _ = fs::rename(self.path("part"), self.path("out"));
        let _ = fs::remove_file(self.path("pid"));
    }
}

impl Wrapped {
    /// Runs the former status line of a session, if that is due; none where there was no command.
    pub(super) fn begin(state: &Path, session: &str, was: &Value, input: &[u8]) -> Option<Self> {
        let command = was.get("command").and_then(Value::as_str).filter(|c| !c.trim().is_empty())?;
        let files = Files::of(state, session, command);
        let mut wrapped = Self { files, child: None, began: Instant::now() };
        let _ = DirBuilder::new().recursive(true).mode(0o700).create(&wrapped.files.folder);
        let key = format!("{:016x}", xxh3_64(stable(input).as_bytes()));
        if wrapped.is_running() || !wrapped.is_due(&key, was.get("refreshInterval").and_then(Value::as_f64)) {
            return Some(wrapped);
        }
        // Where nothing can be kept it is left out: a status line is not worth an error each second.
        wrapped.child = wrapped.run(command, input).ok();
        if wrapped.child.is_some() {
            let _ = wrapped.files.write("key", key.as_bytes());
        }
        Some(wrapped)
    }

    /// Whether an earlier one still runs; one that hangs is ended.
    fn is_running(&self) -> bool {
        let text = self.files.read("pid");
        let Some(pid) = text.parse().ok().and_then(Pid::from_raw) else { return false };
        let lives = rustix::process::getpgid(Some(pid)).is_ok_and(|group| group == pid);
        if lives && self.files.age("pid").is_some_and(|age| age > MAX_RUN) {
            let _ = rustix::process::kill_process_group(pid, Signal::KILL);
            self.files.done();
            return false;
        }
        if !lives {
            self.files.done();
        }
        lives
    }

    fn is_due(&self, key: &str, every: Option<f64>) -> bool {
        let Some(age) = self.files.age("out") else { return true };
        let again = every.is_some_and(|seconds| age.as_secs_f64() >= seconds.max(1.0));
        again || self.files.read("key") != key
    }

    fn run(&self, command: &str, input: &[u8]) -> io::Result<Child> {
        drop(self.files.write("in", input)?);
        let out = self.files.write("part", b"")?;
        let child = Command::new("/bin/sh")
            .arg("-c")
            .arg(command)
            .stdin(File::open(self.files.path("in"))?)
            .stdout(out)
            .stderr(Stdio::null())
            // Of its own, so that it goes on where this one is ended.
            .process_group(0)
            .spawn()?;
        drop(self.files.write("pid", child.id().to_string().as_bytes())?);
        Ok(child)
    }

    /// What it prints, else what it printed before.
    pub(super) fn output(mut self) -> Vec<u8> {
        while let Some(child) = &mut self.child {
            match child.try_wait() {
                Ok(None) if self.began.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(5)),
                Ok(None) => break,
                Ok(Some(_)) | Err(_) => {
                    self.files.done();
                    break;
                }
            }
        }
        let mut out = fs::read(self.files.path("out")).unwrap_or_default();
        out.truncate(MAX_OUTPUT_BYTES);
        out
    }
}

/// What the client wrote, without what differs each time that it writes.
fn stable(input: &[u8]) -> String {
    let Ok(mut value) = serde_json::from_slice::<Value>(input) else {
        return String::from_utf8_lossy(input).into_owned();
    };
    if let Some(cost) = value.get_mut("cost").and_then(Value::as_object_mut) {
        cost.remove("total_duration_ms");
    }
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::{Wrapped, stable};
    use serde_json::json;
    use std::path::Path;

    fn shown(state: &Path, command: &str, input: &str) -> String {
        let wrapped = Wrapped::begin(state, "s", &json!({"command": command}), input.as_bytes());
        String::from_utf8(wrapped.expect("a command").output()).expect("text")
    }

    #[test]
    fn it_gets_the_same_input_and_is_shown_as_it_prints() -> std::io::Result<()> {
        let dir = tempfile::tempdir()?;
        let said = shown(dir.path(), "printf '\\033[31ma\\033[0m\\n%s\\n' \"$(cat)\"", "{\"x\":1}");
        assert_eq!(said, "\u{1b}[31ma\u{1b}[0m\n{\"x\":1}\n");
        assert!(Wrapped::begin(dir.path(), "s", &json!({"command": " "}), b"").is_none());
        Ok(())
    }

    #[test]
    fn it_runs_when_what_the_client_says_has_changed() -> std::io::Result<()> {
        let dir = tempfile::tempdir()?;
        let command = format!("echo x >> '{0}/runs'; wc -l < '{0}/runs'", dir.path().display());
        let now = |ms: u64, cost: u64| {
            let input = json!({"cost": {"total_cost_usd": cost, "total_duration_ms": ms}});
            shown(dir.path(), &command, &input.to_string()).trim().to_owned()
        };
        assert_eq!([now(1, 1), now(2, 1), now(3, 1), now(4, 2)], ["1", "1", "1", "2"]);
        Ok(())
    }

    #[test]
    fn one_that_takes_long_is_shown_once_it_is_done() -> std::io::Result<()> {
        let dir = tempfile::tempdir()?;
        let command = "echo $$; sleep 1";
        assert_eq!(shown(dir.path(), "echo first", "a"), "first\n");
        let slow = shown(dir.path(), command, "a");
        assert_eq!(slow, "", "nothing of it is there yet");
        while shown(dir.path(), command, "a").is_empty() {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let done = shown(dir.path(), command, "a");
        assert_eq!(done, shown(dir.path(), command, "a"), "it ran once");
        Ok(())
    }

    #[test]
    fn what_the_client_wrote_is_compared_without_its_clock() {
        let text =
            |ms: u64| stable(json!({"a": 1, "cost": {"total_duration_ms": ms}}).to_string().as_bytes());
        assert_eq!(text(1), text(2));
        assert_eq!(stable(b"nonsense"), "nonsense");
    }
}
