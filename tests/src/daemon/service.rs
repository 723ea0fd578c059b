//! The daemon as a service manager starts it, and its hooks as the client does: many at once.

use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::Bursar;
use crate::process::Running;

/// What a manager does: the socket becomes descriptor 3, and the variables name the process that is to take it. The
/// shell's own number stays that of the daemon.
const PASS: &str = "exec env LISTEN_FDS=\"$1\" LISTEN_PID=$$ \"$2\" daemon 3<&0 </dev/null";

impl Bursar<'_> {
    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.world.bursar_home().join("run/bursar.sock")
    }

    /// A daemon's command, with `count` descriptors passed, of which the first is its standard input.
    pub fn activated(&self, count: &str) -> Command {
        let program = self.program().display().to_string();
        let mut command = self.command_of("/bin/sh", &["-c", PASS, "sh", count, &program]);
        command.env("BURSAR_LOG", "info");
        command
    }

    /// Starts the daemon on a socket that somebody else keeps, and waits until it serves.
    #[track_caller]
    pub fn start_on(&mut self, socket: &impl AsFd) {
        let command = self.activated("1");
        let socket = passed(socket);
        self.start_as(|| Running::start_with(command, "the daemon", socket));
    }

    /// Waits for the daemon's end, which somebody else asked for.
    #[track_caller]
    pub fn await_end(&mut self) -> Option<i32> {
        self.daemon.take().and_then(|daemon| daemon.wait_from_now(super::COMMAND_LIMIT).code)
    }

    /// A command with other programs than ours, in the daemon's environment.
    pub fn command_of(&self, program: &str, args: &[&str]) -> Command {
        let mut command = self.world.command(program);
        command.env("BURSAR_HOME", self.world.bursar_home()).envs(self.config.iter().cloned()).args(args);
        command
    }

    /// Starts the hook client as it is registered, with this on its standard input.
    #[track_caller]
    pub fn start_hook(&self, payload: &[u8]) -> Running {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let input = self.world.root().join(format!("payload-{number}"));
        fs::write(&input, payload).expect("a hook's input");
        let file = File::open(&input).expect("a hook's input");
        // It is there as long as it is open.
        fs::remove_file(&input).expect("a hook's input");
        let mut command = self.world.command(self.binaries.join("bursar-hook"));
        command.arg("--socket").arg(self.socket()).arg("--state").arg(self.world.bursar_home());
        command.args(["--timeout", "60"]);
        Running::start_with(command, "the hook", file.into())
    }

    /// The lines of hooks that were let through, as long as no daemon counted them.
    pub fn spool(&self) -> String {
        fs::read_to_string(self.world.bursar_home().join("spool/failed-open.jsonl")).unwrap_or_default()
    }
}

/// A copy of a descriptor, for a child.
#[track_caller]
pub(crate) fn passed(socket: &impl AsFd) -> Stdio {
    let copy: OwnedFd = socket.as_fd().try_clone_to_owned().expect("a copy of the socket");
    copy.into()
}
