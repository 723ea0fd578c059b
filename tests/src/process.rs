//! Processes of a test: each in its own group, with a time limit, ended by id and never by name.

use std::fmt;
use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, Signal, WaitOptions, kill_process, kill_process_group, test_kill_process, waitpid,
};
use tempfile::TempDir;

/// What a finished process left behind.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// All that it printed.
    pub stdout: String,
    /// All that it complained.
    pub stderr: String,
    /// From start to end.
    pub took: Duration,
}

/// A process of ours, with all that it started in the same group; ended when dropped.
pub struct Running {
    what: String,
    child: Child,
    started: Instant,
    // Files, not pipes: a grandchild that keeps a pipe open would keep the test waiting.
    output: TempDir,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("what", &self.what)
            .field("pid", &self.child.id())
            .finish_non_exhaustive()
    }
}

impl Running {
    /// Starts `command` with closed standard input.
    #[track_caller]
    pub fn start(command: Command, what: &str) -> Self {
        Self::start_with(command, what, Stdio::null())
    }

    /// Starts `command` with this as its standard input.
    #[track_caller]
    pub fn start_with(mut command: Command, what: &str, input: Stdio) -> Self {
        let output = TempDir::with_prefix("bt-out-").expect("a temporary folder");
        let file = |name| File::create(output.path().join(name)).expect("a file for a process's output");
        command.stdin(input).stdout(file("stdout")).stderr(file("stderr")).process_group(0);
        let child = match command.spawn() {
            Ok(child) => child,
            Err(error) => panic!("{what}: cannot start {}: {error}", command.get_program().display()),
        };
        Self { what: what.to_owned(), child, started: Instant::now(), output }
    }

    /// Starts `command` and waits for its end.
    #[track_caller]
    pub fn run(command: Command, what: &str, limit: Duration) -> Finished {
        Self::start(command, what).wait(limit)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What it has printed so far.
    pub fn stdout(&self) -> String {
        read(self.output.path().join("stdout"))
    }

    /// What it has complained so far.
    pub fn stderr(&self) -> String {
        read(self.output.path().join("stderr"))
    }

    /// Sends a signal to the process alone.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = pid_of(self.child.id()) {
            // It may have ended by itself meanwhile.
            let _ = kill_process(pid, signal);
        }
    }

    /// Stops it where it stands. Some of its threads may go on for a moment after the signal: that is waited for.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
        if let Some(pid) = pid_of(self.child.id()) {
            let _ = waitpid(Some(pid), WaitOptions::UNTRACED);
        }
    }

    /// Sends a signal and waits for the end, `limit` from now.
    #[track_caller]
    pub fn end(self, signal: Signal, limit: Duration) -> Finished {
        self.signal(signal);
        self.wait_from_now(limit)
    }

    /// Waits for its end, however long it has run already.
    #[track_caller]
    pub fn wait_from_now(self, limit: Duration) -> Finished {
        let limit = self.started.elapsed() + limit;
        self.wait(limit)
    }

    /// Waits for its end; ends the test, and the process, `limit` after its start.
    #[track_caller]
    pub fn wait(mut self, limit: Duration) -> Finished {
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if self.started.elapsed() < limit => sleep(Duration::from_millis(10)),
                Ok(None) => panic!(
                    "{}: still running after {limit:?}\nstdout: {}\nstderr: {}",
                    self.what,
                    self.stdout(),
                    self.stderr()
                ),
                Err(error) => panic!("{}: cannot wait for it: {error}", self.what),
            }
        };
        self.finished(status)
    }

    fn finished(&self, status: ExitStatus) -> Finished {
        Finished {
            code: status.code(),
            signal: status.signal(),
            stdout: self.stdout(),
            stderr: self.stderr(),
            took: self.started.elapsed(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The group outlives its leader while a child of it runs, and its id is not used again until then.
        kill_group(self.child.id());
        let _ = self.child.wait();
    }
}

/// Ends a process group of ours.
pub(crate) fn kill_group(leader: u32) {
    if let Some(pid) = pid_of(leader) {
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

/// Whether a process is there.
pub fn is_alive(pid: u32) -> bool {
    pid_of(pid).is_some_and(|pid| test_kill_process(pid).is_ok())
}

fn pid_of(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

fn read(path: PathBuf) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
