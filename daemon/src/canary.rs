//! A canary for the client's next version. Metering rests on what clients were measured to do: a batch's message stands in
//! the transcript with its usage a moment after its hook, and each batch of calls ends with a hook. Where that does not hold
//! any more, people hear of it, and the session's total says that it may be short.

use std::collections::{HashMap, VecDeque};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bursar_engine::command::{Command, Hook};
use bursar_engine::ids::{AgentKey, SessionId};
use bursar_engine::table::{Cell, HookEvent};
use bursar_engine::time::Timestamp;
use memchr::memmem;

use crate::process;
use crate::serve::Service;

/// How long after its batch's hook a message may take to stand in the transcript, in milliseconds: a hundred times what
/// was measured.
const WRITTEN_WITHIN_MS: u64 = 10_000;

/// How often that is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// The most batches that are waited for, and agents whose turns are followed; of more some are not looked at.
const MAX_DUE: usize = 1_024;
const MAX_TURNS: usize = 4_096;

/// Where in a transcript the client's version is looked for.
const TAIL_BYTES: u64 = 64 * 1024;

/// A batch whose message is to stand in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    session: SessionId,
    agent: AgentKey,
    main: PathBuf,
    file: PathBuf,
    calls: Vec<String>,
    at: Timestamp,
}

/// What an agent's turn has shown.
#[derive(Debug, Clone, Copy, Default)]
struct Turn {
    /// Calls that ended.
    calls: bool,
    /// Something of it was not let through: what follows is not what a client does by itself.
    stopped: bool,
}

#[derive(Debug, Default)]
struct Inner {
    due: VecDeque<Due>,
    turns: HashMap<(SessionId, AgentKey), Turn>,
}

/// What is expected of the clients.
#[derive(Debug, Default)]
pub struct Canary(Mutex<Inner>);

impl Canary {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A hook was answered so. `files`: the session's transcript and its agent's, where they can be read; `calls`: the ids
    /// of a batch. Whether the turn that ends with it had calls and no batch.
    pub fn note(
        &self,
        hook: &Hook,
        files: Option<(&Path, &Path)>,
        calls: impl FnOnce() -> Vec<String>,
        cell: Cell,
        now: Timestamp,
    ) -> bool {
        // Callers of the seed's kind have no batches.
        if hook.seed_shape {
            return false;
        }
        let inner = &mut *self.lock();
        let key = (hook.session.clone(), hook.agent.clone());
        match hook.event {
            HookEvent::PostToolUse | HookEvent::PostToolUseFailure => {
                if inner.turns.len() < MAX_TURNS || inner.turns.contains_key(&key) {
                    let turn = inner.turns.entry(key).or_default();
                    turn.calls = true;
                    turn.stopped |= cell != Cell::Allow;
                }
            }
            HookEvent::PostToolBatch => {
                inner.turns.remove(&key);
                if let Some((main, file)) = files.filter(|_| inner.due.len() < MAX_DUE) {
                    let calls = calls();
                    if !calls.is_empty() {
                        let (session, agent) = key;
                        let at = now.plus_ms(WRITTEN_WITHIN_MS);
                        let (main, file) = (main.to_owned(), file.to_owned());
                        inner.due.push_back(Due { session, agent, main, file, calls, at });
                    }
                }
            }
            // A turn ends, or another begins.
            HookEvent::Stop | HookEvent::SubagentStop => {
                let turn = inner.turns.remove(&key);
                return turn.is_some_and(|turn| turn.calls && !turn.stopped) && cell == Cell::Allow;
            }
            HookEvent::HumanPrompt | HookEvent::OtherPrompt | HookEvent::SessionEnd => {
                inner.turns.remove(&key);
            }
            HookEvent::PreToolUse => {
                if cell != Cell::Allow
                    && let Some(turn) = inner.turns.get_mut(&key)
                {
                    turn.stopped = true;
                }
            }
            HookEvent::SessionStart
            | HookEvent::SubagentStart
            | HookEvent::PreCompact
            | HookEvent::PostCompact
            | HookEvent::Notification => {}
        }
        false
    }

    /// The batches whose message should stand in its file by now.
    fn due(&self, now: Timestamp) -> Vec<Due> {
        let mut inner = self.lock();
        let until = inner.due.iter().position(|due| due.at > now).unwrap_or(inner.due.len());
        inner.due.drain(..until).collect()
    }
}

/// Looks after what is due, until the daemon ends.
pub async fn run(service: Arc<Service>) {
    loop {
        tokio::time::sleep(EVERY).await;
        for due in service.canary.due(service.host.clock().now()) {
            look(&service, &due).await;
        }
    }
}

async fn look(service: &Service, due: &Due) {
    let session = service.host.look(|state| state.sessions.get(&due.session).cloned());
    // A client that was killed writes nothing more.
    let lives = session.is_some_and(|s| s.ended.is_none() && !s.client_pid.is_some_and(process::is_gone));
    if lives && !service.tailer.has_any(&due.session, &due.agent, &due.file, &due.calls).await {
        doubt(service, &due.session, &due.main).await;
    }
}

/// A session's client does not tell what is expected of it.
pub async fn doubt(service: &Service, session: &SessionId, transcript: &Path) {
    let version =
        tokio::task::block_in_place(|| version(transcript)).unwrap_or_else(|| "(unknown)".to_owned());
    tracing::warn!(%session, version = ?version, "metering not confirmed");
    service.host.tell(&Command::Doubted { session: session.clone(), version }).await;
}

/// The version of the client that wrote last into a transcript.
fn version(transcript: &Path) -> Option<String> {
    let mut file = std::fs::File::open(transcript).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES))).ok()?;
    let mut tail = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut tail).ok()?;
    let key = br#""version":""#;
    let rest = &tail[memmem::rfind(&tail, key)? + key.len()..];
    let text: String = rest
        .iter()
        .take(32)
        .map(|b| char::from(*b))
        .take_while(|c| c.is_ascii_digit() || *c == '.')
        .collect();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::{AgentKey, Canary, Cell, Hook, HookEvent, SessionId, Timestamp, version};
    use std::path::Path;

    fn hook(event: HookEvent) -> Hook {
        Hook {
            event,
            wall: Timestamp(0),
            session: SessionId::new("s").expect("a name"),
            agent: AgentKey::Main,
            agent_type: None,
            timeout_s: None,
            attended: true,
            ci: false,
            cwd: None,
            project: None,
            transcript: None,
            client_pid: None,
            task: None,
            task_type: None,
            shown_as: None,
            tool: None,
            parent: None,
            begins: None,
            caught_up: true,
            calls: Vec::new(),
            seed_shape: false,
        }
    }

    /// Whether one of these hooks raises doubt.
    fn doubts(hooks: &[(HookEvent, Cell)]) -> bool {
        let canary = Canary::default();
        let note = |(event, cell): &(HookEvent, Cell)| {
            canary.note(&hook(*event), None, Vec::new, *cell, Timestamp(0))
        };
        hooks.iter().map(note).collect::<Vec<_>>().contains(&true)
    }

    #[test]
    fn calls_without_their_batch_raise_doubt_and_nothing_else_does() {
        use Cell::{Allow, Deny, Stop as Stopped};
        use HookEvent::{HumanPrompt, PostToolBatch, PostToolUse, PostToolUseFailure, PreToolUse, Stop};
        assert!(doubts(&[(PreToolUse, Allow), (PostToolUse, Allow), (Stop, Allow)]));
        assert!(doubts(&[(PreToolUse, Allow), (PostToolUseFailure, Allow), (Stop, Allow)]));
        for fine in [
            &[(PreToolUse, Allow), (PostToolUse, Allow), (PostToolBatch, Allow), (Stop, Allow)][..],
            // Refused by a person: the call never ran.
            &[(PreToolUse, Allow), (PostToolBatch, Allow), (Stop, Allow)],
            &[(PreToolUse, Allow), (Stop, Allow)],
            // Interrupted, and prompted anew.
            &[(PreToolUse, Allow), (PostToolUse, Allow), (HumanPrompt, Allow), (Stop, Allow)],
            // Stopped by us.
            &[(PreToolUse, Allow), (PostToolUse, Stopped), (Stop, Allow)],
            &[(PostToolUse, Allow), (PreToolUse, Deny), (Stop, Allow)],
        ] {
            assert!(!doubts(fine), "{fine:?}");
        }
    }

    #[test]
    fn a_batch_is_due_after_its_time_and_once() {
        let canary = Canary::default();
        let files = Some((Path::new("/t/s.jsonl"), Path::new("/t/s.jsonl")));
        let batch = hook(HookEvent::PostToolBatch);
        canary.note(&batch, files, || vec!["toolu_1".to_owned()], Cell::Hold, Timestamp(5));
        canary.note(&batch, files, Vec::new, Cell::Allow, Timestamp(6));
        assert_eq!(canary.due(Timestamp(10_004)), []);
        assert_eq!(canary.due(Timestamp(10_005)).len(), 1);
        assert_eq!(canary.due(Timestamp(90_000)), []);
    }

    #[test]
    fn the_version_is_the_last_that_stands_there() -> std::io::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("s.jsonl");
        std::fs::write(&path, "{\"version\":\"2.1.9\"}\n{\"version\":\"3.0.1; rm\"}\n")?;
        assert_eq!(version(&path).as_deref(), Some("3.0.1"));
        std::fs::write(&path, "{}")?;
        assert_eq!(version(&path), None);
        Ok(())
    }
}
