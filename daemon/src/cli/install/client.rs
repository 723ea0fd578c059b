//! The client's version, and the events that it knows. Before 2.1.101 a client dropped its whole settings file over one
//! event that it did not know.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bursar_protocol::hook_input::Event;

/// The first version that passes over events it does not know.
const TOLERANT: (u32, u32, u32) = (2, 1, 101);

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

/// How long `claude --version` may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The client's version, where one was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClientVersion(Option<(u32, u32, u32)>);

impl ClientVersion {
    /// Asks the `claude` on the path.
    pub(super) fn find() -> Self {
        Self(ask().and_then(|text| parse(&text)))
    }

    /// The events to register.
    pub(super) fn events(self) -> Vec<Event> {
        match self.0 {
            Some(version) if version < TOLERANT => OLDEST.to_vec(),
            _ => Event::ALL.to_vec(),
        }
    }

    /// Whether it is that version or a later one; none where none was found.
    pub(super) fn is_at_least(self, version: (u32, u32, u32)) -> Option<bool> {
        self.0.map(|found| found >= version)
    }

    pub(super) fn names(self) -> Vec<&'static str> {
        self.events().into_iter().map(Event::name).collect()
    }

    pub(super) fn text(self) -> Option<String> {
        self.0.map(|(a, b, c)| format!("{a}.{b}.{c}"))
    }

    /// One line about what was found.
    pub(super) fn sentence(self) -> String {
        match (self.0, self.text()) {
            (Some(version), Some(text)) if version < TOLERANT => format!(
                "Claude Code {text} is old: only the events that it knows are hooked, and a limit may be passed by one answer more."
            ),
            (_, Some(text)) => format!("Claude Code {text} was found; all events are hooked."),
            (_, None) => "No `claude` was found on the path; all events are hooked.".to_owned(),
        }
    }
}

fn ask() -> Option<String> {
    let mut child = Command::new("claude")
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let until = Instant::now() + PATIENCE;
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
fn parse(text: &str) -> Option<(u32, u32, u32)> {
    let mut parts = text.split_whitespace().next()?.split('.').map(|p| p.parse().ok());
    Some((parts.next()??, parts.next()??, parts.next()??))
}

#[cfg(test)]
mod tests {
    use super::{ClientVersion, parse};

    #[test]
    fn an_old_client_gets_only_what_it_knows() {
        assert_eq!(parse("2.1.330 (Claude Code)\n"), Some((2, 1, 330)));
        assert_eq!(parse("claude"), None);
        let names = |v| ClientVersion(v).names();
        assert!(!names(Some((2, 1, 100))).contains(&"PostToolBatch"));
        assert!(names(Some((2, 1, 101))).contains(&"PostToolBatch"));
        assert!(names(None).contains(&"PostToolBatch"));
    }
}
