//! The clients on this machine: their versions, and the events that they know. All of them read the same settings, so the
//! oldest decides.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bursar_protocol::hook_input::Event;

use super::super::output::Failure;

type Version = (u32, u32, u32);

/// The first version whose hooks run a program with arguments, as ours are registered: measured, 2.1.138 runs none. It
/// knows every event.
const MINIMUM: Version = (2, 1, 139);

/// The first version that passes over events it does not know; earlier ones drop the whole settings file.
const TOLERANT: Version = (2, 1, 101);

/// The oldest version tested whose sessions came out exact without telemetry: up to 2.1.299 the answers of subagents stand
/// in part, and before 2.1.280 the clients' own totals are not to be relied on.
const EXACT: Version = (2, 1, 310);

/// The events that every client with hooks knows.
const OLDEST: [Event; 9] = [
    Event::SessionStart,
    Event::UserPromptSubmit,
    Event::PreToolUse,
    Event::PostToolUse,
    Event::SubagentStop,
    Event::PreCompact,
    Event::Notification,
    Event::Stop,
    Event::SessionEnd,
];

/// How long `claude --version` may take, for all of them.
const PATIENCE: Duration = Duration::from_secs(10);

/// The most programs that are asked.
const MAX_CLIENTS: usize = 16;

/// A client that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Client {
    program: PathBuf,
    version: Version,
}

/// The clients that were found, none of them twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Clients(Vec<Client>);

impl Clients {
    /// Asks every `claude` on the path and in the places where its installers put it.
    pub(super) fn find() -> Self {
        let until = Instant::now() + PATIENCE;
        let asked: Vec<_> = programs().into_iter().filter_map(|p| ask(&p).map(|child| (p, child))).collect();
        let said = |(program, child)| {
            let version = parse(&answer(child, until)?)?;
            Some(Client { program, version })
        };
        Self(asked.into_iter().filter_map(said).collect())
    }

    fn oldest(&self) -> Option<&Client> {
        self.0.iter().min_by_key(|client| client.version)
    }

    /// Refuses where one of them would run none of the hooks, so that its sessions would be neither counted nor held.
    pub(super) fn refuse_old(&self) -> Result<(), Failure> {
        let Some(old) = self.oldest().filter(|client| client.version < MINIMUM) else { return Ok(()) };
        let message = format!(
            "Refused: Claude Code {} ({}) is older than {}, the first that runs Bursar's hooks.",
            text(old.version),
            old.program.display(),
            text(MINIMUM)
        );
        let way_on = "Update it (`claude update`) or remove it; --old-clients installs all the same, and its sessions are then neither counted nor held.";
        Err(Failure::refused("client", &message, way_on))
    }

    /// The events to register: those that the oldest knows, where it would drop all of them over one that it does not.
    pub(super) fn events(&self) -> Vec<Event> {
        match self.oldest() {
            Some(client) if client.version < TOLERANT => OLDEST.to_vec(),
            _ => Event::ALL.to_vec(),
        }
    }

    /// Whether all are that version or a later one; none where none was found.
    pub(super) fn are_at_least(&self, version: Version) -> Option<bool> {
        self.oldest().map(|oldest| oldest.version >= version)
    }

    pub(super) fn names(&self) -> Vec<&'static str> {
        self.events().into_iter().map(Event::name).collect()
    }

    /// The oldest one's version.
    pub(super) fn text(&self) -> Option<String> {
        self.oldest().map(|client| text(client.version))
    }

    /// Programs and versions.
    pub(super) fn json(&self) -> Vec<serde_json::Value> {
        let one = |client: &Client| serde_json::json!({ "program": client.program, "version": text(client.version) });
        self.0.iter().map(one).collect()
    }

    /// What was found, a line each.
    pub(super) fn sentences(&self) -> Vec<String> {
        if self.0.is_empty() {
            return vec![
                "No `claude` was found on the path or where its installers put it; all events are hooked."
                    .to_owned(),
            ];
        }
        self.0.iter().map(Client::sentence).collect()
    }
}

impl Client {
    fn sentence(&self) -> String {
        let what = match self.version {
            version if version < MINIMUM => "too old: its sessions are neither counted nor held",
            version if version < EXACT => {
                "hooked; it writes less than 2.1.310 and later do, so that without telemetry totals are lower bounds"
            }
            _ => "hooked",
        };
        format!("Claude Code {} ({}): {what}.", text(self.version), self.program.display())
    }
}

fn text((a, b, c): Version) -> String {
    format!("{a}.{b}.{c}")
}

/// Every program that may be a client, each file once.
fn programs() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let home = super::super::env("HOME").map(PathBuf::from);
    candidates(&path, home.as_deref())
}

fn candidates(path: &OsString, home: Option<&Path>) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = std::env::split_paths(path).map(|dir| dir.join("claude")).collect();
    if let Some(home) = home {
        let places = [
            // Its own installer, in both generations.
            ".local/bin/claude",
            ".claude/local/claude",
            // Package managers of Node and their prefixes.
            ".npm-global/bin/claude",
            ".bun/bin/claude",
            ".volta/bin/claude",
        ];
        all.extend(places.map(|place| home.join(place)));
        all.extend(in_each(&home.join(".nvm/versions/node"), "", "bin/claude"));
        // Editors keep old versions of an extension beside the newest, which alone they run.
        for editor in [".vscode", ".vscode-server", ".cursor"] {
            let extensions = home.join(editor).join("extensions");
            let newest = in_each(&extensions, "anthropic.claude-code-", "resources/native-binary/claude");
            all.extend(newest.into_iter().max_by_key(|program| extension_version(program)));
        }
    }
    all.extend(["/usr/local/bin/claude", "/opt/homebrew/bin/claude"].map(PathBuf::from));
    let mut found: Vec<PathBuf> = Vec::new();
    let mut real = Vec::new();
    for program in all.into_iter().filter(|p| p.is_absolute()) {
        // Links to one file are one client.
        let Ok(file) = program.canonicalize() else { continue };
        if found.len() < MAX_CLIENTS && file.is_file() && !real.contains(&file) {
            real.push(file);
            found.push(program);
        }
    }
    found
}

/// `DIR/NAME*/REST` for each that is there.
fn in_each(dir: &Path, name: &str, rest: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(name));
    named.map(|entry| entry.path().join(rest)).filter(|program| program.is_file()).collect()
}

/// `…/anthropic.claude-code-2.1.330-linux-x64/…`
fn extension_version(program: &Path) -> Option<Version> {
    let folder = program.components().find_map(|part| {
        part.as_os_str().to_string_lossy().strip_prefix("anthropic.claude-code-").map(str::to_owned)
    })?;
    parse(folder.split('-').next()?)
}

fn ask(program: &Path) -> Option<Child> {
    Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()
}

fn answer(mut child: Child, until: Instant) -> Option<String> {
    while child.try_wait().ok()?.is_none() {
        if Instant::now() > until {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    String::from_utf8(child.wait_with_output().ok()?.stdout).ok()
}

/// `2.1.330 (Claude Code)`.
fn parse(text: &str) -> Option<Version> {
    let mut parts = text.split_whitespace().next()?.split('.').map(|p| p.parse().ok());
    Some((parts.next()??, parts.next()??, parts.next()??))
}

#[cfg(test)]
mod tests {
    use super::{Client, Clients, Version, candidates, parse};
    use std::os::unix::fs::symlink;

    fn of(versions: &[Version]) -> Clients {
        let client = |version: &Version| Client { program: "/c".into(), version: *version };
        Clients(versions.iter().map(client).collect())
    }

    #[test]
    fn the_oldest_client_decides() {
        assert_eq!(parse("2.1.330 (Claude Code)\n"), Some((2, 1, 330)));
        assert_eq!(parse("claude"), None);
        assert!(!of(&[(2, 1, 330), (2, 1, 100)]).names().contains(&"PostToolBatch"));
        for new in [of(&[(2, 1, 101)]), of(&[])] {
            assert!(new.names().contains(&"PostToolBatch"));
        }
        assert!(of(&[(2, 1, 330), (2, 1, 138)]).refuse_old().is_err());
        for fine in [of(&[(2, 1, 139), (2, 1, 330)]), of(&[])] {
            assert!(fine.refuse_old().is_ok());
        }
    }

    #[test]
    fn every_client_is_found_once() -> std::io::Result<()> {
        let dir = tempfile::tempdir()?;
        let home = dir.path().canonicalize()?;
        let extension = |v: &str| {
            format!(".vscode/extensions/anthropic.claude-code-{v}-linux-x64/resources/native-binary")
        };
        for place in
            [".local/bin", "on/path", ".nvm/versions/node/v20/bin", &extension("2.1.9"), &extension("2.1.10")]
        {
            std::fs::create_dir_all(home.join(place))?;
            std::fs::write(home.join(place).join("claude"), "")?;
        }
        std::fs::create_dir_all(home.join("links"))?;
        symlink(home.join(".local/bin/claude"), home.join("links/claude"))?;
        let path = std::env::join_paths([home.join("links"), home.join("on/path")])
            .map_err(std::io::Error::other)?;
        let found = candidates(&path, Some(&home));
        let here: Vec<_> = found.iter().filter_map(|p| p.strip_prefix(&home).ok()).collect();
        let newest = format!("{}/claude", extension("2.1.10"));
        let wanted = ["links/claude", "on/path/claude", ".nvm/versions/node/v20/bin/claude", &newest];
        assert_eq!(here, wanted.map(std::path::Path::new));
        Ok(())
    }
}
