//! Tasks that a person begins and ends (DESIGN 1): who may, what limit they have, and whom they hold.

use bursar_engine::budget::Status;
use bursar_engine::command::{Act, Command, Operator};
use bursar_engine::decide::{Done, Reply};
use bursar_engine::error::OperatorError;
use bursar_engine::hold::HoldEnd;
use bursar_engine::table::{Cell, HookEvent};

use crate::support::{World, bid, hook, operator, sid};

const TASK: &str = "task:checkout";

fn start(task_type: Option<&str>, tokens: Option<u64>) -> Act {
    Act::StartTask {
        task: "checkout".to_owned(),
        session: sid("s1"),
        task_type: task_type.map(str::to_owned),
        tokens,
        description: Some("pay by card".to_owned()),
    }
}

fn end() -> Act {
    Act::EndTask("checkout".to_owned())
}

/// An agent's act: it may only tighten.
fn tightening(world: &mut World, id: &str, act: Act) -> Result<Done, OperatorError> {
    tightens(world, Operator { by_agent: true, ..operator(id, act) })
}

/// An act of somebody who may only tighten.
fn tightens(world: &mut World, operator: Operator) -> Result<Done, OperatorError> {
    let operator = Operator { may_only_tighten: true, ..operator };
    match world.send(&Command::Operator(operator)).reply {
        Reply::Operator(done) => done,
        other => panic!("{other:?}"),
    }
}

#[test]
fn its_limit_is_the_one_named_or_its_types_or_the_usual_one() {
    for (task_type, tokens, limit) in [
        (None, None, 100_000),
        (Some("review"), None, 30_000),
        (Some("review"), Some(7), 7),
        (Some("unheard-of"), None, 100_000),
        (None, Some(0), 0),
    ] {
        let mut world = World::with_session(500_000);
        let done = world.act(start(task_type, tokens)).unwrap();
        let budget = done.budget.unwrap();
        assert_eq!((budget.id.clone(), budget.max.tokens), (bid(TASK), limit));
        assert_eq!(budget.task_description.as_deref(), Some("pay by card"));
    }
}

#[test]
fn what_its_sessions_spend_from_then_on_counts_in_it() {
    let mut world = World::with_session(500_000);
    world.spend(1_000);
    world.act(start(None, Some(2_000))).unwrap();
    world.wait_ms(1);
    world.spend(1_500);
    assert_eq!(world.stands(TASK), (1_500, 2_000, Status::Active));
    world.spend(500);
    assert_eq!(world.status(TASK), Status::Paused);
    let hold = world.held(hook(HookEvent::PreToolUse));
    assert_eq!(world.hold(hold).blocker.to_string(), TASK);
    // Its end lets go whom it held; its total stays.
    let done = world.act(end()).unwrap();
    assert_eq!((done.released, world.end_of(hold)), (1, Some(HoldEnd::Released)));
    assert_eq!(world.cell(HookEvent::PreToolUse), Cell::Allow);
    world.spend(10);
    assert_eq!(world.stands(TASK).0, 2_000);
    // Begun again it goes on where it was.
    world.act(start(None, None)).unwrap();
    assert_eq!(world.cell(HookEvent::PreToolUse), Cell::Hold);
}

#[test]
fn whoever_waits_under_something_else_too_goes_on_waiting_at_its_end() {
    let mut world = World::with_session(1_000);
    world.act(start(None, Some(500))).unwrap();
    world.wait_ms(1);
    world.spend(1_000);
    let hold = world.held(hook(HookEvent::PreToolUse));
    world.act(end()).unwrap();
    assert_eq!((world.end_of(hold), world.hold(hold).blocker.to_string()), (None, "session:s1".to_owned()));
}

#[test]
fn anybody_may_begin_one_or_lower_its_limit_and_only_the_operator_raises_it() {
    let mut world = World::with_session(500_000);
    tightening(&mut world, "r1", start(None, Some(1_000))).unwrap();
    let lowered = tightening(&mut world, "r2", start(None, Some(900))).unwrap();
    assert_eq!(lowered.budget.unwrap().max.tokens, 900);
    for loose in [901, 5_000, 0] {
        let refused = tightening(&mut world, &format!("loose-{loose}"), start(None, Some(loose)));
        assert!(matches!(refused, Err(OperatorError::Refused(_))), "{loose}: {refused:?}");
    }
    world.wait_ms(1);
    world.spend(900);
    let refused = tightening(&mut world, "r3", start(None, Some(800)));
    assert!(matches!(refused, Err(OperatorError::Refused(_))), "a limit set anew lifts a seal");
    assert_eq!(world.act(start(None, Some(5_000))).unwrap().budget.unwrap().status, Status::Active);
}

#[test]
fn anybody_ends_what_anybody_began_and_only_the_operator_what_an_operator_began_or_what_is_shut() {
    let mut world = World::with_session(500_000);
    tightening(&mut world, "r1", start(None, Some(1_000))).unwrap();
    tightening(&mut world, "r2", end()).unwrap();
    tightening(&mut world, "r3", start(None, None)).unwrap();
    world.wait_ms(1);
    world.spend(1_000);
    let refused = tightening(&mut world, "r4", end());
    assert!(matches!(&refused, Err(OperatorError::Refused(why)) if why.contains("is shut")), "{refused:?}");
    // Begun at a terminal that is not unlocked, it is a person's all the same.
    let mut world = World::with_session(500_000);
    tightens(&mut world, operator("r5", start(None, Some(1_000)))).unwrap();
    let refused = tightening(&mut world, "r6", end());
    assert!(matches!(&refused, Err(OperatorError::Refused(why)) if why.contains("an operator began")));
    let mut world = World::with_session(500_000);
    world.act(start(None, Some(1_000))).unwrap();
    let refused = tightening(&mut world, "r5", end());
    assert!(matches!(&refused, Err(OperatorError::Refused(why)) if why.contains("an operator began")));
    world.act(end()).unwrap();
    assert!(world.state.sessions[&sid("s1")].tasks.is_empty());
}

#[test]
fn a_new_task_gets_no_looser_limit_than_the_usual_one_from_whoever_may_only_tighten() {
    for loose in [Some(0), Some(100_001)] {
        let mut world = World::with_session(500_000);
        let refused = tightening(&mut world, "r1", start(None, loose));
        assert!(matches!(refused, Err(OperatorError::Refused(_))), "{loose:?}: {refused:?}");
        assert!(!world.state.budgets.contains_key(&bid(TASK)));
        world.act(start(None, loose)).unwrap();
    }
}

#[test]
fn a_session_draws_on_so_many_tasks_and_no_more() {
    let mut world = World::with_session(500_000);
    let named = |n: u32| Act::StartTask {
        task: format!("t{n}"),
        session: sid("s1"),
        task_type: None,
        tokens: None,
        description: None,
    };
    for n in 0..16 {
        world.act(named(n)).unwrap();
    }
    assert!(matches!(world.act(named(16)), Err(OperatorError::Refused(_))));
    world.act(named(3)).unwrap();
    world.act(Act::EndTask("t3".to_owned())).unwrap();
    world.act(named(16)).unwrap();
}

#[test]
fn one_id_is_for_one_task() {
    let mut world = World::with_session(500_000);
    world.act_as("r1", start(None, None)).unwrap();
    let again = world.act_as("r1", start(None, None)).unwrap();
    assert_eq!(again.budget.unwrap().id, bid(TASK));
    let Act::StartTask { session, .. } = start(None, None) else { panic!() };
    let other = Act::StartTask {
        task: "other".to_owned(),
        session,
        task_type: None,
        tokens: None,
        description: None,
    };
    assert_eq!(world.act_as("r1", other), Err(OperatorError::OtherTarget(TASK.to_owned())));
}

#[test]
fn what_an_operator_joins_is_the_operators_to_end() {
    let mut world = World::with_session(500_000);
    tightening(&mut world, "r1", start(None, Some(1_000))).unwrap();
    world.act(start(None, None)).unwrap();
    assert!(matches!(tightening(&mut world, "r2", end()), Err(OperatorError::Refused(_))));
}

#[test]
fn a_limit_that_was_lowered_meanwhile_is_not_raised_by_whoever_may_only_tighten() {
    let mut world = World::with_session(500_000);
    let set = |tokens| Act::Set {
        budget: bid("session:s1"),
        tokens: Some(tokens),
        micro_usd: None,
        alert: None,
        shut: false,
    };
    // The gate saw 500,000 when it let 400,000 through.
    world.act(set(1_000)).unwrap();
    assert!(matches!(tightening(&mut world, "r1", set(400_000)), Err(OperatorError::Refused(_))));
    assert_eq!(world.stands("session:s1").1, 1_000);
}

#[test]
fn what_nobody_knows_is_not_found() {
    let mut world = World::with_session(500_000);
    assert!(matches!(world.act(end()), Err(OperatorError::NotFound(_))));
    let Act::StartTask { task, task_type, tokens, description, .. } = start(None, None) else { panic!() };
    let elsewhere = Act::StartTask { task, session: sid("s9"), task_type, tokens, description };
    assert!(matches!(world.act(elsewhere), Err(OperatorError::NotFound(_))));
}
