//! What an agent did before the daemon came, or while it was away: read from the end of its transcript at its first hook
//! here, so that a loop that is under way is known from its beginning.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bursar_engine::circuit::CircuitId;
use bursar_engine::command::{Command, Hook, MAX_PAST};
use bursar_engine::ids::{AgentKey, SessionId};
use bursar_engine::table::HookEvent;
use bursar_engine::time::Timestamp;
use tokio::sync::OnceCell;

use crate::host::Host;
use crate::replay::Happening;
use crate::replay::transcript::Reader;
use crate::transcript::{ReadError, last_lines};

/// So much of a transcript's end is read, in bytes: some dozens of calls with what they answered, in some milliseconds.
const TAIL_BYTES: u64 = 2 * 1024 * 1024;

/// Of so many agents is remembered that they are known; then it begins anew.
const MAX_KNOWN: usize = 20_000;

type Known = HashMap<(SessionId, AgentKey), Arc<OnceCell<()>>>;

/// The agents whose past is known, or is being read.
#[derive(Debug, Default)]
pub struct Past(Mutex<Known>);

impl Past {
    /// Makes an agent's past known before its first hook is decided. `file` is where its transcript is, if it has one.
    pub async fn know(&self, host: &Host, hook: &Hook, file: impl FnOnce() -> Option<PathBuf>) {
        if !is_of_a_call(hook.event) || hook.seed_shape {
            return;
        }
        // Other hooks of the agent wait: they are to be counted after its past. Those of other agents do not.
        self.of(hook).get_or_init(|| read_once(host, hook, file)).await;
    }

    fn of(&self, hook: &Hook) -> Arc<OnceCell<()>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        Arc::clone(known.entry((hook.session.clone(), hook.agent.clone())).or_default())
    }
}

async fn read_once(host: &Host, hook: &Hook, file: impl FnOnce() -> Option<PathBuf>) {
    let Some(file) = file() else { return };
    let after = host.look(|state| {
        let circuit = state.circuit(&CircuitId::of(&hook.session, &hook.agent));
        circuit.map_or(Timestamp::default(), |circuit| circuit.last_updated)
    });
    let hooks = tokio::task::block_in_place(|| read(&file, hook, after)).unwrap_or_default();
    if !hooks.is_empty() {
        host.tell(&Command::Past(hooks)).await;
    }
}

fn is_of_a_call(event: HookEvent) -> bool {
    matches!(
        event,
        HookEvent::PreToolUse
            | HookEvent::PostToolUse
            | HookEvent::PostToolUseFailure
            | HookEvent::PostToolBatch
    )
}

/// What stands at the end of a transcript and is dated later than `after`, but for the calls that this hook tells of.
fn read(file: &Path, hook: &Hook, after: Timestamp) -> Result<Vec<Hook>, ReadError> {
    let bytes = last_lines(file, &hook.session, &hook.agent, TAIL_BYTES)?;
    let agent = hook.agent.sub();
    let (mut reader, mut happened) = (Reader::default(), Vec::new());
    for line in bytes.split(|b| *b == b'\n') {
        reader.line(&String::from_utf8_lossy(line), agent, &mut |happening| happened.push(happening));
    }
    // A call that begins while none is under way is of the next message. Else the last one is not over: its own hook says
    // when it is.
    if hook.event == HookEvent::PreToolUse && !reader.has_open_calls() {
        reader.end(&mut |happening| happened.push(happening));
    }
    let is_news = |happening: &&Happening| happening.at > after && happening.agent.as_deref() == agent;
    // Agents can write to their transcripts: nothing in them happens later than now.
    let told = |happening: &Happening| {
        let past = happening.hook(hook.session.as_str())?;
        Some(Hook { wall: past.wall.min(hook.wall), ..past })
    };
    let hooks = happened.iter().filter(is_news).filter_map(told);
    let mut hooks: Vec<Hook> = hooks.filter_map(|past| without_calls_of(past, hook)).collect();
    hooks.drain(..hooks.len().saturating_sub(MAX_PAST));
    Ok(hooks)
}

/// The hook without the calls that `now` tells of itself; none where nothing is left of it.
fn without_calls_of(mut past: Hook, now: &Hook) -> Option<Hook> {
    let had_calls = !past.calls.is_empty();
    past.calls.retain(|call| call.id.is_none_or(|id| now.calls.iter().all(|of_now| of_now.id != Some(id))));
    (!had_calls || !past.calls.is_empty()).then_some(past)
}

#[cfg(test)]
mod tests {
    use super::{Timestamp, read};
    use crate::replay::{Happening, Made, What};
    use bursar_engine::table::HookEvent::{PostToolBatch, PostToolUse, PreToolUse};
    use serde_json::json;
    use serde_json::value::to_raw_value;

    fn made(id: &str) -> Made {
        let input = to_raw_value(&json!({"command": id})).expect("JSON");
        Made { id: id.to_owned(), tool: "Bash".to_owned(), input }
    }

    #[test]
    fn what_is_news_is_told_and_what_the_hook_tells_itself_is_not() -> Result<(), Box<dyn std::error::Error>>
    {
        let dir = tempfile::tempdir()?;
        let file = dir.path().join("s.jsonl");
        let call = |id: &str, second: u32| {
            let content = json!([{"type": "tool_use", "id": id, "name": "Bash", "input": {"command": id}}]);
            json!({"type": "assistant", "timestamp": format!("2026-11-26T10:00:{second:02}Z"),
                "message": {"id": format!("m-{id}"), "content": content}})
        };
        let result = |id: &str, second: u32| {
            let content = json!([{"type": "tool_result", "tool_use_id": id, "content": "ok"}]);
            json!({"type": "user", "timestamp": format!("2026-11-26T10:00:{second:02}Z"),
                "message": {"content": content}})
        };
        let lines = [call("c1", 1), result("c1", 2), call("c2", 3), result("c2", 4), call("c3", 5)];
        std::fs::write(&file, lines.map(|line| line.to_string() + "\n").concat())?;
        let now_at: jiff::Timestamp = "2026-11-26T10:00:04Z".parse()?;
        let now_at = Timestamp(u64::try_from(now_at.as_millisecond())?);
        let happening = Happening { at: now_at, agent: None, what: What::Begins(made("c3")) };
        let now = happening.hook("s").ok_or("a hook")?;
        // As if written by a clock that is ahead.
        let early = Happening { at: Timestamp(1), ..happening.clone() };
        let early = early.hook("s").ok_or("a hook")?;
        assert!(read(&file, &early, Timestamp(0))?.iter().all(|past| past.wall == Timestamp(1)));
        let events = |after| -> Result<Vec<_>, super::ReadError> {
            Ok(read(&file, &now, after)?.into_iter().map(|hook| hook.event).collect())
        };
        assert_eq!(
            events(Timestamp(0))?,
            [PreToolUse, PostToolUse, PostToolBatch, PreToolUse, PostToolUse, PostToolBatch]
        );
        let at: jiff::Timestamp = "2026-11-26T10:00:03Z".parse()?;
        let after = Timestamp(u64::try_from(at.as_millisecond())?);
        assert_eq!(events(after)?, [PostToolUse, PostToolBatch]);
        // Before the line of the call that begins is there, the message before it is over all the same.
        let next = Happening { at: Timestamp(1), agent: None, what: What::Begins(made("c4")) };
        let next = next.hook("s").ok_or("a hook")?;
        let lines = [call("c1", 1), result("c1", 2)];
        std::fs::write(&file, lines.map(|line| line.to_string() + "\n").concat())?;
        let told: Vec<_> = read(&file, &next, Timestamp(0))?.into_iter().map(|hook| hook.event).collect();
        assert_eq!(told, [PreToolUse, PostToolUse, PostToolBatch]);
        Ok(())
    }
}
