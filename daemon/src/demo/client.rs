//! The process that stands in for Claude Code: it runs hooks as the client does, and nothing else. A process of its own,
//! because the daemon lets nobody approve who descends from a client, and the demo's commands must not.

use std::io::{BufRead as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use bursar_protocol::paths::Paths;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::DemoError;

/// How often a running hook is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// How long a hook may take to end once it is told to.
const END: Duration = Duration::from_secs(1);

/// One hook that is to be run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ask {
    /// The time limit, in seconds, that `install` writes for its event.
    pub(super) timeout_s: u64,
    /// What it reads.
    pub(super) payload: Value,
}

/// What a hook said.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Answered {
    /// Its exit code; none where it was ended at its time limit.
    pub(super) exit: Option<i32>,
    /// Its standard output.
    pub(super) stdout: String,
    /// Its standard error.
    pub(super) stderr: String,
}

/// Runs the hooks that standard input asks for, one a line, and prints what each said, until the input ends. A hook that
/// is held then is told to end, as the client does at its own end.
///
/// # Errors
/// [`DemoError::Io`] where no hook can be started.
pub fn play(paths: &Paths, hook_client: &Path) -> Result<(), DemoError> {
    let (said, asks) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(ask) = line.map_err(drop).and_then(|line| serde_json::from_str(&line).map_err(drop))
            else {
                break;
            };
            if said.send(ask).is_err() {
                break;
            }
        }
    });
    while let Ok(ask) = asks.recv() {
        let hook = start(paths, hook_client, &ask).map_err(DemoError::io("cannot run the hook client"))?;
        let Some(answered) = wait(hook, &asks, Duration::from_secs(ask.timeout_s)) else { break };
        let line = serde_json::to_string(&answered).unwrap_or_default();
        let mut out = std::io::stdout().lock();
        if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
            break;
        }
    }
    Ok(())
}

fn start(paths: &Paths, hook_client: &Path, ask: &Ask) -> std::io::Result<Child> {
    let text = |name: &str| ask.payload.get(name).and_then(Value::as_str).unwrap_or_default();
    let mut hook = Command::new(hook_client)
        .arg("--socket")
        .arg(&paths.socket)
        .arg("--state")
        .arg(&paths.state)
        .args(["--timeout", &ask.timeout_s.to_string()])
        .env_clear()
        .env("CLAUDE_PROJECT_DIR", text("cwd"))
        .env("CLAUDE_CODE_SESSION_ID", text("session_id"))
        .env("CLAUDE_PID", std::process::id().to_string())
        .env("CLAUDE_CODE_SESSION_ATTENDED", "1")
        .current_dir(text("cwd"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    if let Some(mut input) = hook.stdin.take() {
        // A hook that ended at once says why by its exit code.
        let _ = input.write_all(ask.payload.to_string().as_bytes());
    }
    Ok(hook)
}

/// What the hook says; nothing where the client itself is to end.
fn wait(mut hook: Child, asks: &Receiver<Ask>, limit: Duration) -> Option<Answered> {
    let since = Instant::now();
    loop {
        match hook.try_wait() {
            Ok(Some(status)) => {
                return Some(Answered {
                    exit: status.code(),
                    stdout: all_of(hook.stdout.take()),
                    stderr: all_of(hook.stderr.take()),
                });
            }
            Ok(None) if since.elapsed() < limit => {}
            Ok(None) | Err(_) => {
                end(hook);
                return Some(Answered::default());
            }
        }
        if matches!(asks.recv_timeout(LOOK), Err(RecvTimeoutError::Disconnected)) {
            end(hook);
            return None;
        }
    }
}

fn end(mut hook: Child) {
    // It may have ended by itself meanwhile; it is not reaped yet, so its number is still its own.
    let _ = kill_process(Pid::from_child(&hook), Signal::TERM);
    let until = Instant::now() + END;
    while matches!(hook.try_wait(), Ok(None)) {
        if Instant::now() > until {
            let _ = hook.kill();
            let _ = hook.wait();
            return;
        }
        std::thread::sleep(LOOK);
    }
}

/// All that stands in a pipe whose writer has ended.
fn all_of(pipe: Option<impl std::io::Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        let _ = pipe.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
