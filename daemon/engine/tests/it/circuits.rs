//! The circuit breaker (DESIGN 5; the seed's T06): what trips, what the states do, and whom it stops.

use bursar_engine::command::Act;
use bursar_engine::detect::Detector;
use bursar_engine::error::OperatorError;
use bursar_engine::hold::HoldEnd;
use bursar_engine::policy::{CircuitPolicy, Policy, Profile};
use bursar_engine::records::{BreakerState::*, CircuitState};
use bursar_engine::table::{Cell, HookEvent};

use crate::support::calls::{Circuits, call, ended, looped, strict};
use crate::support::hook;

fn limits(change: impl FnOnce(&mut CircuitPolicy)) -> Policy {
    let mut policy = strict(0);
    change(&mut policy.circuits);
    policy
}

/// Calls until the circuit opens: how many.
fn opens_after(life: &mut Circuits, what: impl Fn(usize) -> String, most: usize) -> Option<usize> {
    (1..=most).find(|n| {
        let (cell, _) = life.call(&what(*n));
        assert_eq!(cell, Cell::Allow, "the call that trips is let through: {n}");
        life.state() == Open
    })
}

#[test]
fn each_call_counts_once_whichever_hooks_tell_of_it() {
    let mut life = Circuits::new(strict(0));
    for n in 1..=3 {
        life.call(&format!("call {n}"));
        assert_eq!(life.circuit().window.iterations, n);
    }
    // One that only its batch tells of, as one that failed before any hook.
    let invalid = vec![ended(Some("invalid"), "nonsense", false, "<tool_use_error>")];
    life.world.hook(life.hook(HookEvent::PostToolBatch, invalid));
    assert_eq!(life.circuit().window.iterations, 4);
    // Callers without ids tell of a call's end; its beginning is not counted as well.
    life.world.hook(life.hook(HookEvent::PreToolUse, vec![call(None, "x")]));
    life.world.hook(life.hook(HookEvent::PostToolUse, vec![ended(None, "x", true, "y")]));
    assert_eq!(life.circuit().window.iterations, 5);
    assert!(life.circuit().window.pending.is_empty());
}

#[test]
fn so_many_identical_calls_in_a_row_trip_it() {
    for (threshold, trips_at) in [(5, Some(5)), (2, Some(2)), (1, Some(2)), (3, Some(3)), (0, None)] {
        let mut life = Circuits::new(limits(|c| c.duplicate_threshold = threshold));
        let opened = opens_after(&mut life, |_| "ls".to_owned(), 19);
        assert_eq!(opened, trips_at, "threshold {threshold}");
        if let Some(trip) = &life.circuit().trip {
            assert_eq!(Some(trip.count), trips_at.map(|n| n as u64));
            assert_eq!(trip.detector, Detector::IdenticalCalls);
            assert_eq!(trip.to_string(), format!("{} identical calls of Bash in a row", trip.count));
        }
    }
}

#[test]
fn a_different_call_ends_the_run() {
    let mut life = Circuits::new(limits(|c| c.max_iterations = Some(0)));
    // Four and another one, over and over.
    let other = |n: usize| if n.is_multiple_of(5) { format!("other {n}") } else { "ls".to_owned() };
    assert_eq!(opens_after(&mut life, other, 60), None);
    assert_eq!(life.circuit().window.run, 1);
}

#[test]
fn so_many_calls_trip_it_and_an_acknowledgement_sets_the_next_limit() {
    let mut life = Circuits::new(limits(|c| c.max_iterations = Some(10)));
    assert_eq!(opens_after(&mut life, |n| format!("call {n}"), 30), Some(10));
    assert_eq!(life.circuit().trip.as_ref().unwrap().detector, Detector::IterationLimit);
    assert_eq!(CircuitState::of(life.circuit(), &life.world.state.policy.circuits).max_iterations, 10);
    life.acknowledge();
    assert_eq!(CircuitState::of(life.circuit(), &life.world.state.policy.circuits).max_iterations, 20);
    assert_eq!(opens_after(&mut life, |n| format!("later {n}"), 30), Some(10), "at the 20th");
    life.world.act(Act::ResetCircuit(life.circuit_id())).unwrap();
    assert_eq!(opens_after(&mut life, |n| format!("anew {n}"), 30), Some(10));
}

#[test]
fn the_strict_profile_stops_at_fifty_calls_and_a_prompt_of_a_human_clears_nothing() {
    let mut life = Circuits::new(strict(0));
    for n in 1..50 {
        life.call(&format!("call {n}"));
        life.world.hook(hook(HookEvent::HumanPrompt));
    }
    assert_eq!(life.state(), Closed);
    life.call("call 50");
    assert_eq!(life.state(), Open);
}

#[test]
fn so_many_calls_in_so_short_a_time_trip_it() {
    let quick = |step_ms: u64, most: usize| {
        let mut life = Circuits::new(strict(0));
        life.step_ms = step_ms;
        opens_after(&mut life, |n| format!("call {n}"), most)
    };
    assert_eq!(quick(500, 49), Some(20), "20 within 9.5 s");
    assert_eq!(quick(527, 49), None, "20 within 10.013 s");
    assert_eq!(quick(0, 49), Some(20));
    let mut life = Circuits::new(limits(|c| (c.rapid_fire_threshold, c.rapid_fire_window_s) = (Some(3), 60)));
    life.step_ms = 20_000;
    assert_eq!(opens_after(&mut life, |n| format!("call {n}"), 9), Some(3));
    assert_eq!(life.circuit().trip.as_ref().unwrap().to_string(), "3 calls in 60 seconds");
    // Acknowledged, the time begins anew.
    life.acknowledge();
    assert_eq!(opens_after(&mut life, |n| format!("later {n}"), 9), Some(3));
}

#[test]
fn under_the_evidence_profile_a_limit_that_was_set_is_meant() {
    let set = CircuitPolicy { max_iterations: Some(7), ..CircuitPolicy::default() };
    let mut life = Circuits::new(Policy { circuits: set, ..Policy::default() });
    assert_eq!(opens_after(&mut life, |n| format!("call {n}"), 30), Some(7));
    // So is one on calls in a short time.
    let set = CircuitPolicy { rapid_fire_threshold: Some(3), ..CircuitPolicy::default() };
    let mut life = Circuits::new(Policy { circuits: set, ..Policy::default() });
    assert_eq!(opens_after(&mut life, |n| format!("call {n}"), 30), Some(3));
    // What was set runs on over prompts, as under strict.
    let set = CircuitPolicy { max_iterations: Some(7), ..CircuitPolicy::default() };
    let mut life = Circuits::new(Policy { circuits: set, ..Policy::default() });
    life.call("ls");
    life.world.hook(hook(HookEvent::HumanPrompt));
    assert_eq!(life.circuit().window.iterations, 1);
    // Under evidence a human's prompt begins the count anew.
    let mut life = Circuits::new(Policy::default());
    life.call("ls");
    life.world.hook(hook(HookEvent::HumanPrompt));
    assert_eq!(life.circuit().window.iterations, 0);
}

#[test]
fn switched_off_nothing_is_counted_and_the_profile_off_records_only() {
    let mut life = Circuits::new(limits(|c| c.enabled = false));
    for _ in 0..60 {
        assert_eq!(life.call("ls").0, Cell::Allow);
    }
    assert!(life.world.state.circuits.is_empty());
    let mut life = Circuits::new(limits(|c| c.profile = Profile::Off));
    for _ in 0..60 {
        assert_eq!(life.call("ls").0, Cell::Allow);
    }
    assert_eq!((life.state(), life.circuit().window.iterations), (Closed, 60));
    // What was open when it was switched off stops nobody any more.
    let mut life = looped(strict(0));
    let hold = life.world.held(life.hook(HookEvent::PreToolUse, Vec::new()));
    life.world.state.policy.circuits.enabled = false;
    life.world.tick();
    assert_eq!(life.world.end_of(hold), Some(HoldEnd::Released));
    assert_eq!(life.world.hook(hook(HookEvent::PreToolUse)).cell, Cell::Allow);
    assert_eq!(life.world.state.shut_in(&crate::support::sid("s1")).1.len(), 0);
}

#[test]
fn acknowledge_is_for_open_circuits_alone() {
    let mut life = Circuits::new(strict(0));
    let nobody = life.world.act(Act::Acknowledge(None));
    assert_eq!(nobody, Err(OperatorError::NobodyWaits));
    life.call("ls");
    let id = life.circuit_id();
    let closed = life.world.act(Act::Acknowledge(Some(id.clone())));
    assert_eq!(closed, Err(OperatorError::NotOpen(id)));
    let unknown = life.world.act(Act::Acknowledge(Some("agent:nobody".parse().unwrap())));
    assert!(matches!(unknown, Err(OperatorError::NotFound(_))), "{unknown:?}");
    let mut life = looped(strict(0));
    let done = life.world.act(Act::Acknowledge(None)).unwrap();
    assert_eq!(done.circuit.map(|c| c.state), Some(HalfOpen), "the only one that is open");
}

#[test]
fn half_open_closes_only_after_a_good_call_that_differs_and_tells_something_new() {
    let after = |what: &str, ok: bool, output: &str| {
        let mut life = looped(strict(0));
        life.acknowledge();
        life.begin(what);
        life.finish(what, ok, output);
        life.state()
    };
    assert_eq!(after("pwd", true, "/home"), Closed);
    assert_eq!(after("pwd", false, "no such thing"), HalfOpen, "a failure closes nothing");
    assert_eq!(after("ls", true, "something new"), Open, "the same call");
}

#[test]
fn a_call_that_only_its_batch_tells_of_closes_nothing() {
    let mut life = looped(strict(0));
    life.acknowledge();
    let untold = vec![ended(Some("untold"), "pwd", true, "all new")];
    life.world.hook(life.hook(HookEvent::PostToolBatch, untold));
    assert_eq!(life.state(), HalfOpen);
}

#[test]
fn an_outcome_that_was_seen_before_closes_nothing() {
    let mut life = Circuits::new(strict(0));
    life.begin("pwd");
    life.finish("pwd", true, "/home");
    for _ in 0..5 {
        life.call("ls");
    }
    life.acknowledge();
    life.begin("pwd");
    life.finish("pwd", true, "/home");
    assert_eq!(life.state(), HalfOpen);
    life.begin("pwd");
    life.finish("pwd", true, "/tmp");
    assert_eq!(life.state(), Closed);
}

#[test]
fn half_open_waits_for_the_cool_down_since_the_trip() {
    let mut life = looped(strict(60));
    life.acknowledge();
    life.call("too early");
    assert_eq!(life.state(), HalfOpen);
    life.world.wait_ms(60_000);
    life.call("late enough");
    assert_eq!(life.state(), Closed);
}

#[test]
fn half_open_opens_at_once_on_another_anomaly() {
    let mut life = looped(limits(|c| c.max_iterations = Some(8)));
    life.acknowledge();
    for n in 6..8 {
        life.begin(&format!("call {n}"));
        life.finish(&format!("call {n}"), false, "failed");
        assert_eq!(life.state(), HalfOpen);
    }
    life.begin("call 8");
    assert_eq!(
        (life.state(), life.circuit().trip.as_ref().unwrap().detector),
        (Open, Detector::IterationLimit)
    );
}

#[test]
fn a_result_from_before_the_trip_is_late_and_dropped() {
    let mut life = Circuits::new(strict(0));
    for _ in 0..4 {
        life.call("ls");
    }
    // Two at once: the other one is still running when the loop is acknowledged.
    let slow = vec![call(Some("slow"), "slow")];
    life.world.hook(life.hook(HookEvent::PreToolUse, slow));
    for _ in 0..5 {
        life.call("ls");
    }
    assert_eq!(life.state(), Open);
    life.acknowledge();
    let ended = vec![ended(Some("slow"), "slow", true, "all new")];
    life.world.hook(life.hook(HookEvent::PostToolUse, ended));
    assert_eq!(life.state(), HalfOpen);
}

#[test]
fn a_reset_closes_it_from_any_state_and_forgets_the_loop() {
    for state in [Closed, Open, HalfOpen] {
        let mut life = Circuits::new(strict(0));
        for _ in 0..if state == Closed { 4 } else { 5 } {
            life.call("ls");
        }
        if state == HalfOpen {
            life.acknowledge();
        }
        assert_eq!(life.state(), state);
        let done = life.world.act(Act::ResetCircuit(life.circuit_id())).unwrap();
        assert_eq!(done.circuit.as_deref(), Some(life.circuit()));
        assert_eq!((life.state(), life.circuit().trip.as_ref()), (Closed, None));
        assert_eq!(opens_after(&mut life, |_| "ls".to_owned(), 9), Some(5), "{state:?}");
    }
}
