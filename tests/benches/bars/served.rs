//! A daemon on a store of its own, ended when dropped.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use tempfile::TempDir;

pub(crate) struct Served {
    process: Child,
    home: TempDir,
}

impl Served {
    pub(crate) fn start() -> Self {
        let home = TempDir::with_prefix("bb-").unwrap();
        Self { process: serve(home.path()), home }
    }

    /// The same on a copy of its store; this one has stopped.
    pub(crate) fn stopped_copy(&self) -> TempDir {
        let home = TempDir::with_prefix("bb-").unwrap();
        // With a store in it, a daemon takes no folder that others may enter.
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        for name in ["bursar.db", "bursar.db-wal"] {
            let from = self.home.path().join(name);
            if from.exists() {
                std::fs::copy(from, home.path().join(name)).unwrap();
            }
        }
        home
    }

    pub(crate) fn on(home: TempDir) -> Self {
        Self { process: serve(home.path()), home }
    }

    /// Ends it as a service manager does; its folder.
    pub(crate) fn stop(mut self) -> Self {
        rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.process),
            rustix::process::Signal::TERM,
        )
        .unwrap();
        self.process.wait().unwrap();
        self
    }

    /// The most memory that it had at a time, in KiB.
    pub(crate) fn peak_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches("kB").trim().parse().unwrap()
    }

    /// What a client tells, by the real hook client, which is allowed.
    pub(crate) fn hook(&self, payload: &[u8]) {
        let mut client = Command::new(super::binaries().join("bursar-hook"))
            .arg("--socket")
            .arg(self.socket())
            .arg("--state")
            .arg(self.state())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        client.stdin.take().unwrap().write_all(payload).unwrap();
        assert!(client.wait().unwrap().success());
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.home.path().to_owned()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.home.path().join("run/bursar.sock")
    }
}

/// Starts a daemon, and waits until it serves.
fn serve(home: &Path) -> Child {
    let mut process = Command::new(super::binaries().join("bursar"))
        .arg("daemon")
        .env_clear()
        .env("BURSAR_HOME", home)
        .env("BURSAR_PORT", "0")
        .env("BURSAR_LOG", "warn")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    for _ in 0..30_000 {
        if home.join("ready").exists() {
            return process;
        }
        sleep(Duration::from_millis(1));
    }
    let _ = process.kill();
    let _ = process.wait();
    panic!("the daemon did not start");
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a client sends before it runs a command, as long as it usually is.
pub(crate) fn payload(session: &str) -> Vec<u8> {
    serde_json::json!({
        "session_id": session,
        "transcript_path": format!("/home/dev/.claude/projects/-home-dev-shop/{session}.jsonl"),
        "cwd": "/home/dev/shop",
        "prompt_id": "5c1a5f1e-3f0e-4c39-9c9b-0d1d9f0e4a55",
        "permission_mode": "default",
        "hook_event_name": "PreToolUse",
        "tool_name": "Bash",
        "tool_input": { "command": "cargo test --workspace 2>&1 | tail -n 40", "description": "Run the tests" },
        "tool_use_id": "toolu_01ABCDEFGHJKMNPQRSTVWXYZ",
    })
    .to_string()
    .into_bytes()
}
