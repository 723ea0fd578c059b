//! An open circuit: whom it stops and how, beside budgets and in every mode, and what the model is told.

use bursar_engine::alert::AlertType;
use bursar_engine::budget::Seal;
use bursar_engine::command::{Act, Hook};
use bursar_engine::error::OperatorError;
use bursar_engine::hold::{Blocker, HoldEnd};
use bursar_engine::policy::{Mode, OnPause, Policy};
use bursar_engine::records::{BreakerState, BreakerState::*};
use bursar_engine::table::{Cell, HookEvent};
use bursar_engine::verdict::{ModelText, Why};

use crate::support::calls::{Circuits, call, ended, looped, strict};
use crate::support::{World, extend, hook, sub_hook, tokens_only};

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
fn a_call_without_an_id_that_waited_passes_uncounted_once_it_is_let_go_on() {
    let mut life = Circuits::new(strict(0));
    let post = || vec![ended(None, "ls", true, "x")];
    for _ in 0..5 {
        life.world.wait_ms(1_000);
        life.world.hook(life.hook(HookEvent::PostToolUse, post()));
    }
    assert_eq!(life.state(), Open);
    life.world.held(life.hook(HookEvent::PreToolUse, vec![call(None, "ls")]));
    life.acknowledge();
    life.world.hook(life.hook(HookEvent::PostToolUse, post()));
    assert_eq!(life.state(), HalfOpen);
    life.world.hook(life.hook(HookEvent::PostToolUse, post()));
    assert_eq!(life.state(), Open, "the next one is the same call again");
}

#[test]
fn a_trip_and_one_unattended_hold_too_many_raise_an_alert_each() {
    let policy = Policy { session: tokens_only(1_000), max_unattended_holds: 0, ..strict(0) };
    let mut life = Circuits::new(policy);
    for _ in 0..4 {
        life.call("ls");
    }
    life.world.spend(1_000);
    life.world.wait_ms(1_000);
    let fifth = vec![call(Some("fifth"), "ls")];
    life.world.hook(Hook { attended: false, ..life.hook(HookEvent::PreToolUse, fifth) });
    let raised: Vec<_> = life.world.alerts().map(|a| (a.alert_id.0, a.alert_type)).collect();
    let last = raised.len();
    assert_eq!(raised[last - 2].1, AlertType::CircuitTripped);
    assert_eq!(raised[last - 1].1, AlertType::TooManyUnattended);
    assert_eq!(life.world.state.alerts.len(), last, "none takes another's place: {raised:?}");
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
