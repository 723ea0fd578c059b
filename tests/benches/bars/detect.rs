//! The rules alone, in process, with every detector on: an agent's hooks around its calls, whose prints are made, after a
//! few calls and after many.

use std::hint::black_box;
use std::time::Instant;

use bursar_engine::circuit::CircuitId;
use bursar_engine::command::{Call, Command, Hook, Outcome};
use bursar_engine::policy::{CircuitPolicy, Policy};
use bursar_engine::table::HookEvent;
use bursar_engine::time::Timestamp;
use bursar_engine::{State, decide};

use super::decide::hook;
use super::{Spans, micros};

const SAMPLES: usize = 5_000;
const DECISIONS_PER_SAMPLE: u32 = 20;
const SESSION: &str = "s500";

pub(crate) fn run() {
    for calls in [50, 5_000] {
        let state = after(calls);
        let (before, after, batch) = (
            spans(&state, HookEvent::PreToolUse, calls),
            spans(&state, HookEvent::PostToolUse, calls),
            spans(&state, HookEvent::PostToolBatch, calls),
        );
        println!(
            "decide in process, every detector on, after {calls} calls: PreToolUse p50 {:.2} µs, PostToolUse {:.2} µs, PostToolBatch {:.2} µs (bar 2)",
            micros(before.p50()),
            micros(after.p50()),
            micros(batch.p50()),
        );
        println!(
            "  with its prints made from a call of {} bytes and an answer of {} bytes: PostToolUse p50 {:.2} µs",
            INPUT.len(),
            answer().len(),
            micros(with_prints(&state, calls).p50()),
        );
        let circuit = &state.circuits[&"session:s500".parse::<CircuitId>().unwrap()];
        let kept = serde_json::to_string(circuit).unwrap().len();
        println!("  an agent's circuit: {kept} bytes in the store");
    }
}

/// A call and what came of it: reads, searches, edits, failures and commands in turns, hardly one like another.
fn made(n: usize) -> Call {
    let (tool, input) = match n % 5 {
        0 => ("Read", format!(r#"{{"file_path":"f{}","offset":{n},"limit":40}}"#, n % 40)),
        1 => ("Grep", format!(r#"{{"pattern":"p{n}"}}"#)),
        2 => ("Edit", format!(r#"{{"file_path":"f{}","new_string":"{n}"}}"#, n % 40)),
        3 => ("Bash", format!(r#"{{"command":"make {n}"}}"#)),
        _ => ("Bash", format!(r#"{{"command":"test {}"}}"#, n % 40)),
    };
    let call = Call::new(Some(&format!("call-{n}")), tool, tool.to_owned(), Some(&input));
    let outcome = Outcome::new(tool, n % 5 != 4, Some(&format!("\"result {}\"", n % 90)));
    Call { outcome: Some(outcome), ..call }
}

fn told(event: HookEvent, call: &Call) -> Command {
    let outcome = call.outcome.clone().filter(|_| event != HookEvent::PreToolUse);
    let event = match (event, &call.outcome) {
        (HookEvent::PostToolUse, Some(outcome)) if !outcome.ok => HookEvent::PostToolUseFailure,
        (event, _) => event,
    };
    Command::Hook(Hook { calls: vec![Call { outcome, ..call.clone() }], ..hook(SESSION, event) })
}

/// A state in which an agent has made so many calls, a prompt every 900.
fn after(calls: usize) -> State {
    let mut state = State::new(Policy { circuits: CircuitPolicy::default(), ..Policy::default() });
    for n in 0..calls {
        let at = Timestamp(4_000 * n as u64 + 1);
        let mut tell = |command: &Command| {
            decide(&state, command, at).events.iter().for_each(|event| state.evolve(event));
        };
        if n % 900 == 0 {
            tell(&Command::Hook(hook(SESSION, HookEvent::HumanPrompt)));
        }
        for event in [HookEvent::PreToolUse, HookEvent::PostToolUse, HookEvent::PostToolBatch] {
            tell(&told(event, &made(n)));
        }
    }
    state
}

const INPUT: &str = r#"{"command":"cargo test -p shop --test orders 2>&1 | tail -20","description":"Run the tests of orders"}"#;

/// What a test run says, as the client sends it.
fn answer() -> String {
    let line =
        |n: usize| format!("test orders::case_{n} ... ok (0.{n:03} s, /tmp/run-8f3a{n:04x}/out.log)\\n");
    let lines: String = (0..20).map(line).collect();
    format!(r#"{{"stdout":"{lines}","stderr":"","interrupted":false,"isImage":false}}"#)
}

fn spans(state: &State, event: HookEvent, calls: usize) -> Spans {
    let mut state = state.clone();
    let (at, call) = (Timestamp(4_000 * calls as u64 + 1), made(calls));
    let earlier = [HookEvent::PreToolUse, HookEvent::PostToolUse].into_iter().take_while(|e| *e != event);
    for earlier in earlier {
        let events = decide(&state, &told(earlier, &call), at).events;
        for event in &events {
            state.evolve(event);
        }
    }
    let command = told(event, &call);
    sampled(|| {
        black_box(decide(black_box(&state), black_box(&command), at));
    })
}

/// A call's end, from the text that the client sends of it.
fn with_prints(state: &State, calls: usize) -> Spans {
    let (at, answer) = (Timestamp(4_000 * calls as u64 + 1), answer());
    sampled(|| {
        let call = Call::new(Some("call"), "Bash", "Bash".to_owned(), Some(black_box(INPUT)));
        let outcome = Outcome::new("Bash", true, Some(black_box(&answer)));
        let command = told(HookEvent::PostToolUse, &Call { outcome: Some(outcome), ..call });
        black_box(decide(black_box(state), &command, at));
    })
}

fn sampled(mut once: impl FnMut()) -> Spans {
    let mut spans = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let began = Instant::now();
        (0..DECISIONS_PER_SAMPLE).for_each(|_| once());
        spans.push(began.elapsed() / DECISIONS_PER_SAMPLE);
    }
    Spans::new(spans)
}
