//! The rules alone, in process: a hook before a tool, one session budget, nothing crossed.

use std::hint::black_box;
use std::time::Instant;

use bursar_engine::command::{Command, Hook};
use bursar_engine::ids::{AgentKey, SessionId};
use bursar_engine::policy::Policy;
use bursar_engine::table::HookEvent;
use bursar_engine::time::Timestamp;
use bursar_engine::{State, decide};

use super::{Spans, micros};

const SAMPLES: usize = 20_000;
const CALLS_PER_SAMPLE: u32 = 50;

pub(crate) fn run() {
    let mut state = State::new(Policy::default());
    let start = hook("s0", HookEvent::SessionStart);
    for n in 0..1_000 {
        let command =
            Command::Hook(Hook { session: SessionId::new(format!("s{n}")).unwrap(), ..start.clone() });
        decide(&state, &command, Timestamp(1)).events.iter().for_each(|event| state.evolve(event));
    }
    let command = Command::Hook(hook("s500", HookEvent::PreToolUse));
    let mut spans = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let began = Instant::now();
        for _ in 0..CALLS_PER_SAMPLE {
            black_box(decide(black_box(&state), black_box(&command), Timestamp(2)));
        }
        spans.push(began.elapsed() / CALLS_PER_SAMPLE);
    }
    let spans = Spans::new(spans);
    println!(
        "decide in process, 1,000 sessions known: p50 {:.2} µs, p99 {:.2} µs (bar 0.28 and 0.53, a Rust proxy's decision measured elsewhere)",
        micros(spans.p50()),
        micros(spans.p99()),
    );
}

pub(crate) fn hook(session: &str, event: HookEvent) -> Hook {
    Hook {
        event,
        wall: Timestamp(1),
        session: SessionId::new(session).unwrap(),
        agent: AgentKey::Main,
        agent_type: None,
        timeout_s: Some(86_460),
        attended: true,
        ci: false,
        cwd: Some("/home/dev/shop".to_owned()),
        project: None,
        transcript: Some("/home/dev/.claude/projects/-home-dev-shop/s.jsonl".to_owned()),
        client_pid: Some(4_242),
        task: None,
        task_type: None,
        shown_as: None,
        tool: Some("Bash".to_owned()),
        parent: None,
        begins: None,
        caught_up: true,
        calls: Vec::new(),
        by_hand: false,
        stop_blocked: false,
        seed_shape: false,
    }
}
