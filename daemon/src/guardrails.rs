//! The view for the seed's other hooks (DESIGN 6.7): `guardrails-<session>.json` in a folder that was asked for. Only
//! its keys `budget` and `circuit` are ours; nothing of ours ever reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bursar_engine::circuit::CircuitId;
use bursar_engine::ids::{AgentKey, BudgetId, SessionId};
use bursar_engine::records::CircuitState;
use bursar_engine::{Event, State};
use rustix::fs::OFlags;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use crate::bus::{Feed, Heard};
use crate::host::Host;
use crate::views;

/// A longer file is none of the seed's.
const MAX_BYTES: u64 = 1024 * 1024;

/// Keeps the files of live sessions up until the bus is gone. A subscriber like any other.
pub async fn run(mut feed: Feed, host: Arc<Host>, folder: PathBuf) {
    while let Some(heard) = feed.next().await {
        let sessions: BTreeSet<SessionId> = match heard {
            Heard::Facts(events) => events.iter().filter_map(session_of).cloned().collect(),
            Heard::Missed => host.look(|state| {
                state.sessions.values().filter(|s| s.ended.is_none()).map(|s| s.id.clone()).collect()
            }),
        };
        for session in sessions {
            let view = host.look(|state| view(state, &session));
            let path = folder.join(format!("guardrails-{session}.json"));
            if let Err(e) = tokio::task::block_in_place(|| update(&path, &view)) {
                tracing::warn!(path = %path.display(), error = %e, "the view for other hooks was left as it is");
            }
        }
    }
}

/// The session whose view an event changes: its own budget's, or its main agent's circuit's.
fn session_of(event: &Event) -> Option<&SessionId> {
    match event {
        Event::Budget(budget) => match &budget.id {
            BudgetId::Session(id) => Some(id),
            _ => None,
        },
        Event::Circuit(circuit) if circuit.agent == AgentKey::Main => Some(&circuit.session),
        _ => None,
    }
}

/// What is set, by key.
fn view(state: &State, session: &SessionId) -> Vec<(&'static str, Value)> {
    let budget = state.budgets.get(&BudgetId::Session(state.purse(session).clone())).map(|b| {
        let b = views::budget(state, b, &BTreeSet::new());
        json!({ "budget_id": b.budget_id, "tokens_used": b.tokens_used, "max_tokens": b.max_tokens,
            "status": b.status, "utilization": b.utilization })
    });
    let circuit = state.circuit(&CircuitId::Session(session.clone())).map(|c| {
        let c = CircuitState::of(c, &state.policy.circuits);
        json!({ "circuit_id": c.circuit_id, "state": c.state, "iteration_count": c.iteration_count,
            "max_iterations": c.max_iterations })
    });
    budget.map(|b| ("budget", b)).into_iter().chain(circuit.map(|c| ("circuit", c))).collect()
}

/// Sets our keys in a file and leaves every other as it is written. What is no file of our own with a JSON object in it
/// is left alone, a link too.
fn update(path: &Path, view: &[(&str, Value)]) -> io::Result<()> {
    let (mut fields, mode) = match read(path) {
        Ok(found) => found,
        Err(e) if e.kind() == ErrorKind::NotFound => (BTreeMap::new(), 0o600),
        Err(e) => return Err(e),
    };
    for (key, value) in view {
        fields.insert((*key).to_owned(), to_raw_value(value)?);
    }
    replace(path, &serde_json::to_vec(&fields)?, mode)
}

fn read(path: &Path) -> io::Result<(BTreeMap<String, Box<RawValue>>, u32)> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() || meta.uid() != rustix::process::getuid().as_raw() || meta.len() > MAX_BYTES {
        return Err(io::Error::other("it is not a small file of this user"));
    }
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text)?;
    Ok((serde_json::from_str(&text)?, meta.mode() & 0o777))
}

fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let part = path.with_extension(format!("{}.part", std::process::id()));
    // One that a daemon left when it died.
    let _ = fs::remove_file(&part);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
        file.write_all(bytes)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        fs::rename(&part, path)
    })();
    written.inspect_err(|_| drop(fs::remove_file(&part)))
}

#[cfg(test)]
mod tests {
    use super::{Value, json, update};
    use std::fs;

    #[test]
    fn only_our_keys_are_set_and_links_are_left_alone() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("guardrails-s1.json");
        let ours = [("budget", json!({ "status": "paused" }))];
        update(&path, &ours)?;
        assert_eq!(serde_json::from_slice::<Value>(&fs::read(&path)?)?, json!({ "budget": ours[0].1 }));
        let theirs = r#"{"gates": [ {"id":1} ], "timestamp": 1.50, "ttl_seconds":300, "budget": 3}"#;
        fs::write(&path, theirs)?;
        update(&path, &ours)?;
        let text = fs::read_to_string(&path)?;
        for kept in [r#"[ {"id":1} ]"#, "1.50", "300"] {
            assert!(text.contains(kept), "{text}");
        }
        assert_eq!(serde_json::from_str::<Value>(&text)?["budget"], ours[0].1);
        for unfit in ["not json", "[]"] {
            fs::write(&path, unfit)?;
            assert!(update(&path, &ours).is_err());
            assert_eq!(fs::read_to_string(&path)?, unfit);
        }
        let target = dir.path().join("precious");
        fs::write(&target, "{}")?;
        fs::remove_file(&path)?;
        std::os::unix::fs::symlink(&target, &path)?;
        assert!(update(&path, &ours).is_err());
        assert_eq!(fs::read_to_string(&target)?, "{}");
        Ok(())
    }
}
