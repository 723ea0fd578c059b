//! The circuit breaker (DESIGN 5; the seed's T06): what trips, what the states do, and whom it stops.

use bursar_engine::alert::AlertType;
use bursar_engine::budget::Seal;
use bursar_engine::command::{Act, Hook};
use bursar_engine::detect::Detector;
use bursar_engine::error::OperatorError;
use bursar_engine::hold::{Blocker, HoldEnd};
use bursar_engine::policy::{CircuitPolicy, Mode, OnPause, Policy, Profile};
use bursar_engine::records::{BreakerState, BreakerState::*, CircuitState};
use bursar_engine::table::{Cell, HookEvent};
use bursar_engine::verdict::{ModelText, Why};

use crate::support::calls::{Circuits, call, ended, strict};
use crate::support::{World, extend, hook, sub_hook, tokens_only};

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
fn the_evidence_profile_never_trips_but_a_limit_that_was_set_is_meant() {
    let mut life = Circuits::new(Policy::default());
    life.step_ms = 1;
    assert_eq!(opens_after(&mut life, |_| "ls".to_owned(), 1_200), None);
    let set = CircuitPolicy { max_iterations: Some(7), ..CircuitPolicy::default() };
    let mut life = Circuits::new(Policy { circuits: set, ..Policy::default() });
    assert_eq!(opens_after(&mut life, |n| format!("call {n}"), 30), Some(7));
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

fn looped(policy: Policy) -> Circuits {
    let mut life = Circuits::new(policy);
    for _ in 0..5 {
        life.begin("ls");
        life.finish("ls", true, "the same");
    }
    assert_eq!(life.state(), Open);
    life
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
        life.begin("seen before");
        life.finish("seen before", true, "x");
        // While it is open nothing that waits is counted; now it is half-open.
        life.acknowledge();
        life.begin("tried");
        life.finish("tried", true, "old news");
        life.world.act(Act::ResetCircuit(life.circuit_id())).unwrap();
        for _ in 0..5 {
            life.call("ls");
        }
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

#[test]
fn a_declined_circuit_stays_open_and_holds_nobody() {
    let mut life = looped(strict(0));
    let hold = life.world.held(life.hook(HookEvent::PreToolUse, vec![call(Some("next"), "next")]));
    life.world.act(Act::Decline(None)).unwrap();
    assert_eq!(life.world.end_of(hold), Some(HoldEnd::Declined));
    assert_eq!((life.state(), life.circuit().seal), (Open, Some(Seal::Declined)));
    let verdict = life.world.hook(life.hook(HookEvent::PreToolUse, vec![call(Some("more"), "more")]));
    assert_eq!((verdict.cell, verdict.because.map(|b| b.why())), (Cell::Stop, Some(Why::Declined)));
    // Named by the id that its budget has too.
    let mut life = looped(strict(0));
    life.world.held(life.hook(HookEvent::PreToolUse, vec![call(Some("next"), "next")]));
    let declined = life.world.act(Act::Decline(Some("session:s1".parse().unwrap()))).unwrap();
    assert!(declined.circuit.is_some() && declined.budget.is_none());
    life.acknowledge();
    assert_eq!((life.state(), life.circuit().seal), (HalfOpen, None));
}

#[test]
fn a_hold_that_runs_out_keeps_its_circuit_open_for_good() {
    let mut life = looped(strict(0));
    let hold = life.world.held(life.hook(HookEvent::PreToolUse, vec![call(Some("next"), "next")]));
    life.world.wait_ms(86_400_000);
    life.world.tick();
    assert_eq!(life.world.end_of(hold), Some(HoldEnd::RanOut));
    assert_eq!(life.circuit().seal, Some(Seal::RanOut));
    assert_eq!(life.world.cell(HookEvent::PreToolUse), Cell::Stop);
}

#[test]
fn an_open_circuit_stops_its_agent_alone() {
    let mut life = Circuits::new(strict(0)).of_agent("a1");
    for _ in 0..5 {
        life.call("ls");
    }
    assert_eq!(life.state(), Open);
    assert_eq!(life.world.cell(HookEvent::PreToolUse), Cell::Allow, "the main agent");
    assert_eq!(life.world.hook(sub_hook(HookEvent::PreToolUse, "a2")).cell, Cell::Allow);
    assert_eq!(life.world.hook(sub_hook(HookEvent::PreToolUse, "a1")).cell, Cell::Hold);
    let (everybody, alone) = life.world.state.shut_in(&crate::support::sid("s1"));
    assert!(!everybody && alone.len() == 1 && alone.contains("a1"), "{alone:?}");
    let mut life = looped(strict(0));
    assert_eq!(life.world.hook(sub_hook(HookEvent::PreToolUse, "a1")).cell, Cell::Allow);
    assert_eq!(life.world.cell(HookEvent::HumanPrompt), Cell::Refuse);
}

#[test]
fn what_an_open_circuit_means_is_the_tables() {
    for (on_pause, pre, post, batch) in [
        (OnPause::Hold, Cell::Hold, Cell::Allow, Cell::Hold),
        (OnPause::Stop, Cell::Stop, Cell::Stop, Cell::Stop),
        (OnPause::Deny, Cell::Deny, Cell::Deny, Cell::Allow),
        (OnPause::Ask, Cell::Ask, Cell::Allow, Cell::Allow),
    ] {
        let mut life = looped(Policy { on_pause, ..strict(0) });
        for (event, cell) in
            [(HookEvent::PreToolUse, pre), (HookEvent::PostToolUse, post), (HookEvent::PostToolBatch, batch)]
        {
            let mut life = life.clone();
            assert_eq!(life.world.cell(event), cell, "{event:?} under {on_pause:?}");
        }
        assert_eq!(life.world.cell(HookEvent::Stop), Cell::Stop);
    }
}

#[test]
fn observing_it_trips_and_stops_nobody() {
    let mut life = looped(Policy { mode: Mode::Observe, ..strict(0) });
    let verdict = life.world.hook(life.hook(HookEvent::PreToolUse, Vec::new()));
    assert_eq!((verdict.cell, verdict.would), (Cell::Allow, Some(Cell::Hold)));
    assert_eq!(life.world.alerts().map(|a| a.alert_type).collect::<Vec<_>>(), [AlertType::CircuitTripped]);
}

#[test]
fn without_budgets_circuits_hold_all_the_same() {
    let mut life = looped(Policy { enabled: false, ..strict(0) });
    let hold = life.world.held(life.hook(HookEvent::PreToolUse, Vec::new()));
    assert!(life.world.hold(hold).blocker.circuit().is_some());
}

#[test]
fn under_both_a_budget_and_a_circuit_an_agent_waits_for_both() {
    let mut life = looped(Policy { session: tokens_only(1_000), ..strict(0) });
    life.world.spend(1_000);
    let hold = life.world.held(life.hook(HookEvent::PreToolUse, vec![call(Some("next"), "next")]));
    assert!(life.world.hold(hold).blocker.budget().is_some(), "money first");
    life.world.act(extend("session:s1", 1_000)).unwrap();
    let by = Blocker::Circuit(life.circuit_id());
    assert_eq!((life.world.end_of(hold), &life.world.hold(hold).blocker), (None, &by));
    let more = life
        .world
        .act(Act::Extend { budget: None, amount: bursar_engine::command::Amount::Exact(tokens_only(5)) });
    assert_eq!(more, Err(OperatorError::HeldByCircuit(life.circuit_id())));
    life.acknowledge();
    assert_eq!(life.world.end_of(hold), Some(HoldEnd::Acknowledged));
}

#[test]
fn the_operators_words_reach_the_model_that_goes_on() {
    let mut life = looped(strict(0));
    let hold = life.world.held(life.hook(HookEvent::PreToolUse, vec![call(Some("next"), "next")]));
    let mut operator = crate::support::operator("r1", Act::Acknowledge(None));
    operator.say = Some("look at the log first".to_owned());
    life.world.send(&bursar_engine::command::Command::Operator(operator));
    let verdict = bursar_engine::decide::released(&life.world.state, life.world.hold(hold));
    assert_eq!(verdict.texts, [ModelText::Said("look at the log first".to_owned())]);
}

#[test]
fn a_prompt_tells_how_budget_and_circuit_stand() {
    let mut life = looped(strict(0));
    life.acknowledge();
    let verdict = life.world.hook(hook(HookEvent::HumanPrompt));
    let [ModelText::Status { budget: Some(budget), circuit: Some(stands) }] = verdict.texts.as_slice() else {
        panic!("{verdict:?}")
    };
    assert_eq!((budget.max_tokens, stands.iterations, stands.limit), (500_000, 5, 50));
    assert_eq!(stands.state, HalfOpen);
}

#[test]
fn a_caller_without_ids_meets_its_trip_at_the_calls_end() {
    let mut world = World::new(Policy { on_pause: OnPause::Deny, ..strict(0) });
    world.hook(hook(HookEvent::SessionStart));
    let post = |n: usize| Hook {
        seed_shape: true,
        calls: vec![ended(None, "ls", true, &format!("{n}"))],
        ..hook(HookEvent::PostToolUse)
    };
    for n in 1..5 {
        world.wait_ms(1_000);
        assert_eq!(world.hook(post(n)).cell, Cell::Allow);
    }
    assert_eq!(world.hook(post(5)).cell, Cell::Deny);
    let state: Vec<BreakerState> = world.state.circuits.values().map(|c| c.state).collect();
    assert_eq!(state, [Open]);
}
