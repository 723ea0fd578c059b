//! A throw-away installation, and the hook client run in it.

use std::fs;
use std::io::{Read, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Longer than any hook takes here; only a hook that hangs is waited for this long.
const LONG: Duration = Duration::from_secs(60);

/// A state folder, and room for a socket.
pub(crate) struct World {
    dir: TempDir,
}

impl World {
    /// A world in which a daemon may be about to serve: it has a second to answer, however busy this machine is.
    pub(crate) fn new() -> Self {
        let dir = TempDir::with_prefix("bh-").unwrap();
        fs::create_dir(dir.path().join("state")).unwrap();
        Self { dir }
    }

    /// A world whose daemon serves: it has a quarter of a second.
    pub(crate) fn serving() -> Self {
        let world = Self::new();
        fs::write(world.state().join("ready"), "").unwrap();
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("s.sock")
    }

    /// The lines of the spool.
    pub(crate) fn spool(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.state().join("spool/failed-open.jsonl")).unwrap_or_default();
        assert!(text.is_empty() || text.ends_with('\n'), "whole lines: {text}");
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The client as `install` registers it, with an empty environment.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bursar-hook"));
        command.env_clear().arg("--socket").arg(self.socket()).arg("--state").arg(self.state());
        command.args(["--timeout", "60"]);
        command
    }

    /// Runs the client to its end.
    #[track_caller]
    pub(crate) fn run(&self, payload: impl Into<Vec<u8>>) -> Said {
        Hook::start(self.command(), payload).end()
    }
}

/// What a hook left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    pub(crate) fn new(code: i32, stdout: &str, stderr: &str) -> Self {
        Self { code: Some(code), signal: None, stdout: stdout.to_owned(), stderr: stderr.to_owned() }
    }

    /// Exit 0 and not a byte.
    pub(crate) fn nothing() -> Self {
        Self::new(0, "", "")
    }
}

/// A running client; killed when dropped.
pub(crate) struct Hook {
    child: Child,
    started: Instant,
    output: Option<[JoinHandle<String>; 2]>,
}

impl Hook {
    pub(crate) fn start(mut command: Command, payload: impl Into<Vec<u8>>) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let payload = payload.into();
        // A client that ended without reading all is not what is tested here.
        thread::spawn(move || _ = stdin.write_all(&payload));
        let output = [text_of(child.stdout.take().unwrap()), text_of(child.stderr.take().unwrap())];
        Self { child, started: Instant::now(), output: Some(output) }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(crate) fn terminate(&self) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn end(mut self) -> Said {
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None => assert!(self.started.elapsed() < LONG, "the hook hangs"),
            }
            sleep(Duration::from_millis(2));
        };
        let [stdout, stderr] = self.output.take().unwrap().map(|text| text.join().unwrap());
        Said { code: status.code(), signal: status.signal(), stdout, stderr }
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text_of(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).unwrap();
        text
    })
}

/// What the client writes for an event of the main agent.
pub(crate) fn payload(event: &str) -> String {
    json!({ "session_id": "s1", "hook_event_name": event, "tool_name": "Bash" }).to_string()
}

/// The same inside a subagent.
pub(crate) fn payload_of_agent(event: &str, agent: &str) -> String {
    json!({ "session_id": "s1", "hook_event_name": event, "agent_id": agent, "agent_type": "Explore" })
        .to_string()
}
