//! Where socket, state and configuration stand (the daemon and the commands; the hook client is told by its
//! arguments and never reads these variables).

use std::path::{Path, PathBuf};

/// The longest socket path that every platform's `sockaddr_un` takes, in bytes, with room to spare.
pub const MAX_SOCKET_PATH_BYTES: usize = 100;

/// The files and folders of one installation, absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// The daemon's socket.
    pub socket: PathBuf,
    /// The state folder, 0700.
    pub state: PathBuf,
    /// The user's configuration file; it need not exist.
    pub config: PathBuf,
}

/// A path that cannot serve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Neither `BURSAR_HOME` nor a home folder is known.
    #[error("no home folder: set HOME or BURSAR_HOME")]
    NoHome,
    /// A relative path was given.
    #[error("{name} must be an absolute path, not {value:?}")]
    Relative {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// The socket's path is longer than sockets allow.
    #[error(
        "the socket path {path} has {length} bytes, over the limit of {MAX_SOCKET_PATH_BYTES}: set BURSAR_SOCKET to a shorter one"
    )]
    SocketTooLong {
        /// The path.
        path: String,
        /// Its length in bytes.
        length: usize,
    },
}

impl Paths {
    /// Reads the variables that `get` knows (`BURSAR_SOCKET`, `BURSAR_HOME`, `XDG_RUNTIME_DIR`, `XDG_STATE_HOME`,
    /// `XDG_CONFIG_HOME`, `HOME`); empty ones count as unset.
    ///
    /// # Errors
    /// [`PathError`], which says what to set.
    pub fn from_env(get: impl Fn(&str) -> Option<String>) -> Result<Self, PathError> {
        let var = |name: &'static str| match get(name).filter(|v| !v.is_empty()) {
            Some(value) if Path::new(&value).is_absolute() => Ok(Some(PathBuf::from(value))),
            Some(value) => Err(PathError::Relative { name, value }),
            None => Ok(None),
        };
        let home = var("HOME")?;
        let bursar_home = var("BURSAR_HOME")?;
        let in_home = |tail: &str| home.as_ref().map(|h| h.join(tail)).ok_or(PathError::NoHome);
        let state = match (&bursar_home, var("XDG_STATE_HOME")?) {
            (Some(dir), _) => dir.clone(),
            (None, Some(xdg)) => xdg.join("bursar"),
            (None, None) => in_home(STATE_IN_HOME)?,
        };
        let config = match (&bursar_home, var("XDG_CONFIG_HOME")?) {
            (Some(dir), _) => dir.join("config.toml"),
            (None, Some(xdg)) => xdg.join("bursar/config.toml"),
            (None, None) => in_home(".config/bursar/config.toml")?,
        };
        let socket = match (var("BURSAR_SOCKET")?, &bursar_home, var("XDG_RUNTIME_DIR")?) {
            (Some(path), _, _) => path,
            (None, None, Some(run)) => run.join("bursar/bursar.sock"),
            (None, _, _) => state.join("run/bursar.sock"),
        };
        let length = socket.as_os_str().len();
        if length > MAX_SOCKET_PATH_BYTES {
            return Err(PathError::SocketTooLong { path: socket.display().to_string(), length });
        }
        Ok(Self { socket, state, config })
    }

    /// Where the hook client finds them without arguments: for a home folder from the password database.
    pub fn for_hook_without_arguments(home: &Path, uid: u32) -> Self {
        let state = home.join(STATE_IN_HOME);
        let run = PathBuf::from(format!("/run/user/{uid}/bursar/bursar.sock"));
        let socket = if run.exists() { run } else { state.join("run/bursar.sock") };
        Self { socket, state, config: home.join(".config/bursar/config.toml") }
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.state.join("bursar.db")
    }

    /// There while a daemon serves.
    pub fn ready(&self) -> PathBuf {
        ready(&self.state)
    }

    /// Locked by the daemon that serves.
    pub fn lock(&self) -> PathBuf {
        self.state.join("lock")
    }

    /// The folder of the markers.
    pub fn paused(&self) -> PathBuf {
        self.state.join("paused")
    }

    /// The folder of lines about hooks that were let through without a daemon.
    pub fn spool(&self) -> PathBuf {
        spool(&self.state)
    }

    /// The copy of the hook client that settings name.
    pub fn hook_client(&self) -> PathBuf {
        self.state.join("bin/bursar-hook")
    }
}

/// `ready` in a state folder.
pub fn ready(state: &Path) -> PathBuf {
    state.join("ready")
}

/// The spool folder in a state folder.
pub fn spool(state: &Path) -> PathBuf {
    state.join("spool")
}

#[cfg(target_os = "macos")]
const STATE_IN_HOME: &str = "Library/Application Support/bursar";
#[cfg(not(target_os = "macos"))]
const STATE_IN_HOME: &str = ".local/state/bursar";
