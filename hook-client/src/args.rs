//! The command line, as `install` writes it. Unknown arguments are passed over: an older client under newer settings.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use bursar_protocol::paths::Paths;

/// What the settings say.
#[derive(Debug)]
pub(crate) struct Args {
    /// The event, for callers whose payload names none.
    pub(crate) event: Option<String>,
    /// The hook's time limit in seconds.
    pub(crate) timeout_s: Option<u32>,
    /// Without the daemon nothing goes on.
    pub(crate) fail_closed: bool,
    socket: Option<PathBuf>,
    state: Option<PathBuf>,
}

impl Args {
    /// Reads `[EVENT] [--socket PATH] [--state DIR] [--timeout SECONDS] [--fail-closed]`.
    pub(crate) fn from_command_line(args: impl Iterator<Item = OsString>) -> Self {
        let mut parsed = Self { event: None, timeout_s: None, fail_closed: false, socket: None, state: None };
        let mut args = args.skip(1);
        while let Some(arg) = args.next() {
            match arg.to_str() {
                Some("--socket") => parsed.socket = args.next().map(PathBuf::from),
                Some("--state") => parsed.state = args.next().map(PathBuf::from),
                Some("--timeout") => {
                    parsed.timeout_s = args.next().and_then(|n| n.to_str()?.parse().ok());
                }
                Some("--fail-closed") => parsed.fail_closed = true,
                Some(other) if !other.starts_with('-') && parsed.event.is_none() => {
                    parsed.event = Some(other.to_owned());
                }
                _ => {}
            }
        }
        parsed
    }

    /// The daemon's socket.
    pub(crate) fn socket(&self) -> Option<PathBuf> {
        self.socket.clone().or_else(|| Some(default_paths()?.socket))
    }

    /// The state folder.
    pub(crate) fn state(&self) -> Option<PathBuf> {
        self.state.clone().or_else(|| Some(default_paths()?.state))
    }
}

/// The places for this user by the password database; its own environment would be an agent's to set.
fn default_paths() -> Option<Paths> {
    let uid = rustix::process::getuid().as_raw();
    let database = std::fs::read_to_string("/etc/passwd").ok()?;
    let home = home_of(&database, uid)?;
    Some(Paths::for_hook_without_arguments(Path::new(&home), uid))
}

/// The home folder of a user: `name:password:uid:gid:gecos:home:shell`.
fn home_of(database: &str, uid: u32) -> Option<String> {
    database.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let matches = fields.get(2)?.parse::<u32>().ok()? == uid;
        fields.get(5).filter(|home| matches && home.starts_with('/')).map(|home| (*home).to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::{Args, home_of};

    #[test]
    fn reads_what_install_writes_and_passes_over_the_rest() {
        let line = [
            "hook",
            "--new",
            "PreToolUse",
            "--socket",
            "/s",
            "--state",
            "/d",
            "--timeout",
            "60",
            "--fail-closed",
            "--x",
            "y",
        ];
        let args = Args::from_command_line(line.into_iter().map(Into::into));
        assert_eq!(args.event.as_deref(), Some("PreToolUse"));
        assert_eq!((args.timeout_s, args.fail_closed), (Some(60), true));
        assert_eq!(args.socket().and_then(|p| p.to_str().map(str::to_owned)).as_deref(), Some("/s"));
        assert_eq!(args.state().and_then(|p| p.to_str().map(str::to_owned)).as_deref(), Some("/d"));
    }

    #[test]
    fn finds_a_users_home() {
        let database = "root:x:0:0:root:/root:/bin/sh\nbad line\ndev:x:1000:1000::/home/dev:/bin/sh\n";
        assert_eq!(home_of(database, 1000).as_deref(), Some("/home/dev"));
        assert_eq!(home_of(database, 1001), None);
    }
}
