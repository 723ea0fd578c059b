//! A throw-away world: an empty home, a project, settings, and a place for a daemon.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Condvar, Mutex, PoisonError};

use tempfile::TempDir;

use crate::client;

/// Clients at once: each takes 120 MB and most of a core, and timing matters.
const SLOTS: usize = 2;

static TAKEN: Mutex<usize> = Mutex::new(0);
static FREED: Condvar = Condvar::new();

/// The right to run; given back when dropped.
#[derive(Debug)]
struct Slot;

impl Slot {
    fn take() -> Self {
        let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken =
            FREED.wait_while(taken, |taken| *taken >= SLOTS).unwrap_or_else(PoisonError::into_inner);
        *taken += 1;
        Self
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        FREED.notify_one();
    }
}

/// The folders of one test; gone when dropped. Make it first, so that it is dropped last.
#[derive(Debug)]
pub struct World {
    dir: TempDir,
    _slot: Slot,
}

impl World {
    /// An empty world. Waits while two others are in use.
    pub fn new() -> Self {
        let slot = Slot::take();
        // A short name: a Unix socket's path must fit into it.
        let dir = TempDir::with_prefix("bt-").expect("a temporary folder");
        let world = Self { dir, _slot: slot };
        for folder in [world.home(), world.project(), world.bin(), world.temporary(), world.bursar_home()] {
            fs::create_dir_all(&folder).expect("a folder of the test's world");
        }
        symlink(client::binary(), world.bin().join("claude")).expect("a link to the client");
        world
    }

    /// The whole world's folder.
    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    /// `HOME` of everything in it.
    pub fn home(&self) -> PathBuf {
        self.root().join("home")
    }

    /// Where sessions run.
    pub fn project(&self) -> PathBuf {
        self.root().join("project")
    }

    /// `BURSAR_HOME`.
    pub fn bursar_home(&self) -> PathBuf {
        self.root().join("b")
    }

    /// The settings that clients are started with.
    pub fn settings(&self) -> PathBuf {
        self.root().join("settings.json")
    }

    /// Stands first in `PATH`; `claude` is the client under test.
    pub fn bin(&self) -> PathBuf {
        self.root().join("bin")
    }

    fn temporary(&self) -> PathBuf {
        self.root().join("tmp")
    }

    /// A command with an environment from scratch: nothing of whoever runs the tests leaks in.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.env_clear().envs(self.environment()).current_dir(self.project());
        command
    }

    /// The environment that every process of the world starts from.
    pub fn environment(&self) -> Vec<(OsString, OsString)> {
        let mut path = self.bin().into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into()));
        [
            ("PATH", path),
            ("HOME", self.home().into_os_string()),
            ("TMPDIR", self.temporary().into_os_string()),
            ("CLAUDE_CODE_TMPDIR", self.temporary().into_os_string()),
            ("LANG", "C.UTF-8".into()),
            ("SHELL", "/bin/sh".into()),
            // Two worlds at once would both want the usual port.
            ("BURSAR_PORT", "0".into()),
        ]
        .map(|(key, value)| (key.into(), value))
        .into()
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}
