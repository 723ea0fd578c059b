//! A hook's way through the daemon: parse, read what its verdict needs, decide, word.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bursar_engine::command::{Command, Hook, Usage};
use bursar_engine::decide::Reply;
use bursar_engine::ids::{AgentKey, HoldId, SessionId};
use bursar_engine::row::Sighting;
use bursar_engine::run::Begins;
use bursar_engine::table::{Cell, HookEvent};
use bursar_engine::verdict::{ModelText, Verdict};
use bursar_protocol::answer::{self, Answer};
use bursar_protocol::hook_input::{Event, HookInput};
use bursar_protocol::message::{FromDaemon, HookFrame};

use crate::canary;
use crate::clock::Clock;
use crate::host::Host;
use crate::ipc::convert;
use crate::payload;
use crate::peer::{self, Peer};
use crate::process;
use crate::project;
use crate::serve::Service;
use crate::transcript;
use crate::view::VerdictView;

/// A longer payload is parsed beside the threads that serve.
const LONG_PAYLOAD_BYTES: usize = 32 * 1024;

/// How long a run's beginning waits for what stands in its transcript; its client gives up after 250 ms.
const CATCHES_UP: Duration = Duration::from_millis(160);

/// What a hook's connection does next.
#[derive(Debug)]
pub enum Outcome {
    /// Sends this.
    Answer(FromDaemon),
    /// Keeps the hook waiting.
    Held(Held),
}

/// A held hook, with what its answer will need.
#[derive(Debug)]
pub struct Held {
    /// The hold.
    pub id: HoldId,
    event: Event,
    seed_shape: bool,
}

/// Answers a hook. Malformed input is allowed and counted: a hook never makes an agent wait on a mistake of ours.
pub async fn answer(service: &Arc<Service>, peer: Peer, frame: &HookFrame) -> Outcome {
    let began = Instant::now();
    Host::add(&service.host.counters.hooks, 1);
    let parse = || {
        let input = HookInput::parse(&frame.payload, frame.event.as_deref()).map_err(|e| e.to_string())?;
        let hook = convert::hook(frame, &input, Clock::wall()).map_err(|e| e.to_string())?;
        Ok::<_, String>((hook, input))
    };
    // The prints of a long payload take some milliseconds, for which other hooks are not to wait.
    let is_long = frame.payload.len() > LONG_PAYLOAD_BYTES;
    let parsed = if is_long { tokio::task::block_in_place(parse) } else { parse() };
    let (mut hook, input) = match parsed {
        Ok(parsed) => parsed,
        Err(why) => {
            Host::add(&service.host.counters.malformed, 1);
            log_malformed(service, &why, began);
            return Outcome::Answer(printed(Answer::default()));
        }
    };
    let known = service.host.look(|state| state.sessions.get(&hook.session).map(|s| s.client_pid));
    if known != Some(hook.client_pid) {
        // Whoever descends from a client may not approve, so a hook cannot name just anybody as its client.
        hook.client_pid = hook.client_pid.filter(|pid| peer::is_client_of(peer, *pid));
    }
    if known.is_none() {
        let started = frame.project_dir.clone().or_else(|| input.cwd.clone());
        hook.parent = parent(&service.host, &hook);
        hook.project = started.and_then(|dir| project::name(Path::new(&dir)));
    }
    if hook.begins.is_some() {
        hook.caught_up = before_a_run(service, &hook).await;
    }
    service
        .past
        .know(&service.host, &hook, || Some(agents_file(&transcript_of(&service.host, &hook)?, &hook.agent)))
        .await;
    let verdict = decide(service, &hook, &input).await;
    expect(service, &hook, &input, verdict.cell).await;
    log(service, &hook, &verdict, began);
    if verdict.cell == Cell::Hold
        && let Some(id) = verdict.hold
    {
        return Outcome::Held(Held { id, event: input.event, seed_shape: input.seed_shape });
    }
    Outcome::Answer(worded(input.event, input.seed_shape, &verdict))
}

/// Notes what the client is to do next, and whether it did what it should have.
async fn expect(service: &Service, hook: &Hook, input: &HookInput<'_>, cell: Cell) {
    let host = &service.host;
    let is_of_interest = !matches!(hook.event, HookEvent::PreToolUse) || cell != Cell::Allow;
    if !is_of_interest {
        return;
    }
    let main = match hook.event {
        HookEvent::PostToolBatch | HookEvent::Stop | HookEvent::SubagentStop => transcript_of(host, hook),
        _ => None,
    };
    let file = main.as_deref().map(|main| agents_file(main, &hook.agent));
    let calls = || input.tool_calls.iter().map(|call| call.tool_use_id.clone()).collect();
    let files = main.as_deref().zip(file.as_deref());
    let is_doubtful = service.canary.note(hook, files, calls, cell, host.clock().now());
    if let Some(main) = main.filter(|_| is_doubtful) {
        canary::doubt(service, &hook.session, &main).await;
    }
}

/// The session whose client this one's descends from.
fn parent(host: &Host, hook: &Hook) -> Option<SessionId> {
    let served = host.served();
    let above = peer::ancestors(hook.client_pid?).skip(1).find_map(|pid| served.get(&pid).cloned());
    above.filter(|parent| *parent != hook.session)
}

/// What a run's beginning must find known: that an earlier client is gone, and all that stood in the transcript. Whether
/// it does.
async fn before_a_run(service: &Arc<Service>, hook: &Hook) -> bool {
    let host = &service.host;
    let earlier: Vec<u32> = host.look(|state| {
        let runs = state.runs.get(&hook.session).map_or(&[][..], |runs| &runs.runs);
        runs.iter().filter(|run| run.ended.is_none()).filter_map(|run| run.client_pid).collect()
    });
    // One of them that lives would lose its word with the others.
    if !earlier.is_empty() && earlier.into_iter().all(process::is_gone) {
        host.tell(&Command::ClientGone(hook.session.clone())).await;
    }
    let Some(transcript) = transcript_of(host, hook) else { return true };
    // The session must be known before its file is read; its run begins after that.
    host.tell(&Command::Meet(Hook { begins: None, ..hook.clone() })).await;
    let forks = hook.begins == Some(Begins::Fork);
    let reading = async {
        // What its parent's client had counted: whose copy it is, only lines will tell.
        for (session, other) in service.tailer.swept().into_iter().filter(|_| forks) {
            if other.parent() == transcript.parent() {
                service.tailer.read_session(&session, &other).await;
            }
        }
        service.tailer.read_whole(&hook.session, &transcript).await
    };
    tokio::time::timeout(CATCHES_UP, reading).await.unwrap_or(false)
}

async fn decide(service: &Arc<Service>, hook: &Hook, input: &HookInput<'_>) -> Verdict {
    let host = &service.host;
    let transcript = transcript_of(host, hook);
    if reads_first(hook.event) {
        // The session must be known before what it spent can be counted in its budget.
        host.tell(&Command::Meet(hook.clone())).await;
        match (&transcript, hook.event) {
            (Some(main), HookEvent::PostToolBatch) => {
                let calls: Vec<String> = input.tool_calls.iter().map(|c| c.tool_use_id.clone()).collect();
                let file = agents_file(main, &hook.agent);
                service.tailer.await_batch(&hook.session, &hook.agent, &file, &calls).await;
            }
            (Some(main), _) => service.tailer.read_session(&hook.session, main).await,
            (None, _) => {}
        }
    }
    if transcript.is_none()
        && let Some(seen) = payload::usage(input, hook, &host.prices(), host.clock().now())
    {
        host.tell(&Command::Meet(hook.clone())).await;
        // Dated after its session was met: a budget that begins a millisecond later would take it for history.
        let seen = Sighting { at: host.clock().now().max(hook.wall), ..seen };
        let usage = Usage { file: None, rows: vec![seen], known: Vec::new(), claim: None };
        if let Err(e) = host.count(usage).await {
            tracing::error!(error = %e, "usage from a payload is not safe yet");
        }
    }
    let reply = host.tell(&Command::Hook(hook.clone())).await;
    if transcript.is_some() {
        service.tailer.expect(&hook.session);
    }
    let Reply::Verdict(verdict) = reply else { return Verdict::ALLOW };
    // It may have joined something that was shut already.
    if verdict.cell != Cell::Allow
        && let Err(e) = host.mark(std::slice::from_ref(&hook.session))
    {
        tracing::error!(error = %e, "marker not written");
    }
    verdict
}

/// The events whose verdict must know all that was written up to now.
fn reads_first(event: HookEvent) -> bool {
    matches!(
        event,
        HookEvent::PostToolBatch
            | HookEvent::Stop
            | HookEvent::SubagentStop
            | HookEvent::SessionEnd
            | HookEvent::HumanPrompt
            | HookEvent::OtherPrompt
    )
}

/// The session's transcript, where one can be read: named by this hook or an earlier one, there, and a transcript.
fn transcript_of(host: &Host, hook: &Hook) -> Option<PathBuf> {
    let known = || host.look(|state| state.sessions.get(&hook.session)?.transcript.clone());
    let path = hook.transcript.clone().or_else(known).map(PathBuf::from)?;
    transcript::is_readable(&path, &hook.session).then_some(path)
}

fn agents_file(main: &Path, agent: &AgentKey) -> PathBuf {
    match agent {
        AgentKey::Main => main.to_owned(),
        AgentKey::Sub(id) => main.with_extension("").join("subagents").join(format!("agent-{id}.jsonl")),
    }
}

/// Takes a hold up again after its hook lost the daemon.
pub async fn resume(service: &Arc<Service>, id: HoldId) -> Outcome {
    match service.host.tell(&Command::HoldResumed(id)).await {
        Reply::Hold(hold) => {
            let event = Event::from_name(hold.event.name()).unwrap_or(Event::PreToolUse);
            let held = Held { id, event, seed_shape: hold.seed_shape };
            if hold.end.is_none() {
                return Outcome::Held(held);
            }
            let verdict = service.host.look(|state| bursar_engine::decide::released(state, &hold));
            Outcome::Answer(worded(event, hold.seed_shape, &verdict))
        }
        // Its state was wiped: the agent stays stopped.
        _ => Outcome::Answer(printed(answer::hold_unknown())),
    }
}

/// The answer of a hold that has ended.
pub fn released(held: &Held, verdict: &Verdict) -> FromDaemon {
    worded(held.event, held.seed_shape, verdict)
}

/// A hold's connection broke: unless the hook comes back, its client is gone.
pub fn gone_unless_back(service: &Arc<Service>, id: HoldId, after: Duration) {
    let service = Arc::clone(service);
    tokio::spawn(async move {
        tokio::time::sleep(after).await;
        if !service.host.is_waited_for(id) {
            service.host.tell(&Command::HoldLost(id)).await;
        }
    });
}

fn worded(event: Event, seed_shape: bool, verdict: &Verdict) -> FromDaemon {
    printed(convert::answer_of(event, seed_shape, verdict))
}

fn printed(answer: Answer) -> FromDaemon {
    FromDaemon::Answer { exit: answer.exit, stdout: answer.stdout, stderr: answer.stderr }
}

fn log(service: &Service, hook: &Hook, verdict: &Verdict, began: Instant) {
    service.verdicts.push(VerdictView {
        at: service.host.clock().now().to_string(),
        session_id: hook.session.to_string(),
        agent: hook.agent.to_string(),
        event: hook.event.name().to_owned(),
        tool: hook.tool.clone(),
        verdict: if warns(verdict) { "warn" } else { cell_name(verdict.cell) }.to_owned(),
        would: verdict.would.map(|c| cell_name(c).to_owned()),
        reason: convert::reason(verdict),
        micros: u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
    });
}

fn warns(verdict: &Verdict) -> bool {
    verdict.texts.iter().any(|text| matches!(text, ModelText::Warning { .. } | ModelText::Loop(_)))
}

fn log_malformed(service: &Service, why: &str, began: Instant) {
    service.verdicts.push(VerdictView {
        at: service.host.clock().now().to_string(),
        session_id: String::new(),
        agent: String::new(),
        event: String::new(),
        tool: None,
        verdict: "malformed".to_owned(),
        would: None,
        reason: Some(why.chars().filter(|c| !c.is_control()).take(200).collect()),
        micros: u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
    });
}

fn cell_name(cell: Cell) -> &'static str {
    match cell {
        Cell::Allow => "allow",
        Cell::Hold => "hold",
        Cell::Stop => "stop",
        Cell::Refuse => "refuse",
        Cell::Deny => "deny",
        Cell::Ask => "ask",
    }
}
