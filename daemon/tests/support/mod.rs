//! What several tests of the daemon's parts need.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::path::{Path, PathBuf};

use bursar_engine::command::{Command, Hook, Usage};
use bursar_engine::ids::{AgentKey, SessionId};
use bursar_engine::row::Sighting;
use bursar_engine::table::HookEvent;
use bursar_engine::time::Timestamp;
use bursar_engine::{Event, State, decide};

/// Other people's sessions, where they are: the folder that `BURSAR_CORPUS` names, else `../shared/corpus` beside the
/// checkout; none where there is none.
pub(crate) fn corpus() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    let folder = std::env::var_os("BURSAR_CORPUS").map_or(beside, PathBuf::from);
    folder.is_dir().then_some(folder)
}

/// A session's id.
pub(crate) fn session(id: &str) -> SessionId {
    SessionId::new(id).unwrap()
}

/// A hook of the main agent, attended, that names nothing else.
pub(crate) fn hook(id: &str, event: HookEvent, at: u64) -> Hook {
    Hook {
        event,
        wall: Timestamp(at),
        session: session(id),
        agent: AgentKey::Main,
        agent_type: None,
        timeout_s: Some(86_460),
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
        by_hand: false,
        stop_blocked: false,
        seed_shape: false,
    }
}

/// Usage of one request that counts `tokens`.
pub(crate) fn request(id: &str, message: &str, tokens: u64, at: u64) -> Command {
    let seen = Sighting {
        message_id: Some(message.to_owned()),
        request_id: None,
        session: session(id),
        agent: AgentKey::Main,
        model: "m".to_owned(),
        usage: bursar_engine::usage::Usage { output: tokens, ..bursar_engine::usage::Usage::default() },
        micro_usd: 0,
        at: Timestamp(at),
        estimated: false,
        partial: false,
    };
    Command::Usage(Usage { file: None, rows: vec![seen], known: Vec::new(), claim: None })
}

/// Decides a command and applies what happened.
pub(crate) fn apply(state: &mut State, command: &Command, at: u64) -> Vec<Event> {
    let events = decide(state, command, Timestamp(at)).events;
    for event in &events {
        state.evolve(event);
    }
    events
}

/// Everything of a state that a restart must bring back, as text that can be compared.
pub(crate) fn whole(state: &State) -> String {
    format!(
        "{:#?}",
        (
            (&state.sessions, &state.agents, &state.budgets, &state.totals, &state.rolled_up, &state.files),
            (&state.holds, &state.circuits, &state.alerts, state.next_hold, state.next_alert),
            // Debug output hides what is secret in it.
            serde_json::to_string(&state.protection).unwrap(),
        )
    )
}
