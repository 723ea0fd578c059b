//! A daemon on a store of its own, ended when dropped.

use std::path::PathBuf;
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
        let process = Command::new(super::binaries().join("bursar"))
            .arg("daemon")
            .env_clear()
            .env("BURSAR_HOME", home.path())
            .env("BURSAR_PORT", "0")
            .env("BURSAR_LOG", "warn")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let served = Self { process, home };
        for _ in 0..500 {
            if served.state().join("ready").exists() {
                return served;
            }
            sleep(Duration::from_millis(10));
        }
        panic!("the daemon did not start");
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.home.path().to_owned()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.home.path().join("run/bursar.sock")
    }
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
