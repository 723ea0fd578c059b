//! Declining, resetting, setting limits (DESIGN 4.5).

use bursar_engine::alert::AlertType::BudgetExhausted;
use bursar_engine::budget::Status::{self, Active, Exhausted, Paused, Warning};
use bursar_engine::command::{Act, Command, Operator};
use bursar_engine::decide::Reply;
use bursar_engine::error::OperatorError;
use bursar_engine::policy::Limit;
use bursar_engine::row::Sighting;
use bursar_engine::table::{Cell, HookEvent};
use bursar_engine::usage::Usage;
use bursar_engine::verdict::ModelText;

use crate::support::{START, World, bid, extend, hook, operator, row, tokens_only};

const ID: &str = "session:s1";

fn decline() -> Act {
    Act::Decline(Some(bid(ID)))
}

fn reset() -> Act {
    Act::Reset(bid(ID))
}

fn set_tokens(tokens: u64) -> Act {
    Act::Set { budget: bid(ID), tokens: Some(tokens), micro_usd: None, alert: None, shut: false }
}

fn shut() -> Act {
    Act::Set { budget: bid(ID), tokens: None, micro_usd: None, alert: None, shut: true }
}

#[test]
fn a_decline_stays_whatever_rows_arrive() {
    for used in [10, 900, 1_000, 1_500] {
        let mut world = World::with_session(1_000);
        let one = row("m1", used);
        world.read(vec![one.clone()]);
        world.act(decline()).unwrap();
        assert_eq!(world.status(ID), Exhausted, "at {used}");
        for tokens in [1, 500, 5_000] {
            world.spend(tokens);
            assert_eq!(world.status(ID), Exhausted, "at {used}, {tokens} more");
        }
        let nothing_left = Usage { output: 1, ..Usage::default() };
        world.read(vec![Sighting { usage: nothing_left, ..one }]);
        assert_eq!(world.stands(ID), (5_502, 1_000, Exhausted), "they count");
        world.wait_ms(1_000_000_000);
        world.tick();
        assert_eq!(world.cell(HookEvent::PreToolUse), Cell::Stop);
    }
}

#[test]
fn an_operators_act_lifts_a_decline() {
    for (act, status) in [
        (extend(ID, 10), Active),
        (Act::Finish(Some(bid(ID))), Active),
        (reset(), Active),
        (set_tokens(2_000), Active),
    ] {
        let mut world = World::with_session(1_000);
        world.spend(500);
        world.act(decline()).unwrap();
        world.act(act.clone()).unwrap();
        assert_eq!((world.status(ID), world.budget(ID).seal), (status, None), "{act:?}");
        assert_eq!(world.cell(HookEvent::PreToolUse), Cell::Allow, "{act:?}");
    }
}

#[test]
fn a_reset_begins_a_new_count_and_clears_what_was() {
    let mut world = World::with_session(1_000);
    world.spend(1_000);
    world.act_as("r1", extend(ID, 100)).unwrap();
    world.act(Act::Finish(Some(bid(ID)))).unwrap();
    world.act(decline()).unwrap();
    let totals = world.totals(None);
    world.wait_ms(60_000);
    let done = world.act(reset()).unwrap();
    assert_eq!((done.missing, done.budget.as_deref()), (Limit::default(), Some(world.budget(ID))));
    let budget = world.budget(ID);
    assert_eq!(world.stands(ID), (0, 1_000, Active));
    assert_eq!((budget.epoch.generation, budget.grants.len(), budget.finishing), (1, 0, false));
    assert_eq!(budget.started_at, START.plus_ms(60_000));
    assert_eq!(world.totals(None), totals, "what was spent stays spent");
    // The warning comes at the share of the whole limit again.
    world.spend(799);
    assert_eq!(world.status(ID), Active);
    world.spend(1);
    assert_eq!(world.status(ID), Warning);
}

#[test]
fn what_was_spent_before_a_reset_is_history() {
    let mut world = World::with_session(1_000);
    world.wait_ms(60_000);
    world.act(reset()).unwrap();
    world.read(vec![
        Sighting { at: START.plus_ms(59_999), ..row("late", 900) },
        Sighting { at: START.plus_ms(60_000), ..row("new", 30) },
    ]);
    assert_eq!(world.stands(ID), (30, 1_000, Active));
}

#[test]
fn a_limit_set_anew_sets_the_status_anew() {
    // Used, new limit, status.
    for (used, tokens, status) in [
        (1_000, 2_000, Active),
        (1_000, 1_250, Warning),
        (1_000, 1_000, Paused),
        (100, 200, Active),
        (100, 100, Paused),
        (100, 83, Exhausted),
        (1_000, 0, Active),
    ] {
        let mut world = World::with_session(1_000);
        world.spend(used);
        world.act(set_tokens(tokens)).unwrap();
        assert_eq!(world.stands(ID), (used, tokens, status));
        assert_eq!(world.budget(ID).base.tokens, tokens);
    }
}

#[test]
fn a_lower_limit_that_shuts_it_is_a_pause_with_an_alert() {
    let mut world = World::with_session(1_000);
    world.spend(100);
    world.act(set_tokens(100)).unwrap();
    assert_eq!(world.alerts_of(ID), [BudgetExhausted]);
    assert_eq!(world.budget(ID).pauses, 1);
    assert_eq!(world.cell(HookEvent::PreToolUse), Cell::Hold);
}

#[test]
fn a_limit_set_so_that_it_warns_is_told_to_the_model_and_one_that_opens_it_is_not() {
    let told = |tokens: u64| {
        let mut world = World::with_session(1_000);
        world.spend(700);
        world.act(set_tokens(tokens)).unwrap();
        let crossings = world.budget(ID).crossings;
        (
            crossings,
            world
                .hook(hook(HookEvent::PreToolUse))
                .texts
                .iter()
                .any(|t| matches!(t, ModelText::Warning { .. })),
        )
    };
    assert_eq!(told(875), (1, true));
    assert_eq!(told(876), (0, false));
    assert_eq!(told(2_000), (0, false));
}

#[test]
fn a_limit_that_shuts_nothing_is_no_pause_and_no_alert() {
    for (used, tokens) in [(100, 2_000), (100, 1_000), (1_500, 5_000), (1_500, 1_400)] {
        let mut world = World::with_session(1_000);
        world.spend(used);
        let (alerts, pauses) = (world.alerts_of(ID), world.budget(ID).pauses);
        world.act(set_tokens(tokens)).unwrap();
        assert_eq!((world.alerts_of(ID), world.budget(ID).pauses), (alerts, pauses), "{used} of {tokens}");
    }
}

#[test]
fn grants_stand_when_a_limit_is_set() {
    let mut world = World::with_session(1_000);
    world.extend(ID, 300);
    world.act(set_tokens(500)).unwrap();
    assert_eq!(world.budget(ID).max, tokens_only(800));
    // A limit in dollars is set beside it and leaves it as it is.
    let dollars = Act::Set { budget: bid(ID), tokens: None, micro_usd: Some(7), alert: None, shut: false };
    world.act(dollars).unwrap();
    assert_eq!(world.budget(ID).max, Limit { tokens: 800, micro_usd: 7 });
    world.act(set_tokens(0)).unwrap();
    assert_eq!(world.budget(ID).max, Limit { tokens: 0, micro_usd: 7 });
}

#[test]
fn a_budget_can_be_shut_at_once_and_says_so() {
    let mut world = World::with_session(1_000);
    world.spend(10);
    let done = world.act(shut()).unwrap();
    assert_eq!(world.stands(ID), (10, 1_000, Paused));
    assert_eq!((world.alerts_of(ID), world.budget(ID).pauses), (vec![BudgetExhausted], 1));
    assert_eq!(done.missing, Limit::default(), "nothing is missing: it was shut by hand");
    assert_eq!(world.cell(HookEvent::PreToolUse), Cell::Hold);
    world.spend(1);
    assert_eq!(world.status(ID), Paused, "usage does not open it");
    world.extend(ID, 1);
    assert_eq!(world.status(ID), Active);
}

#[test]
fn a_budget_without_a_limit_can_be_shut_too_and_reset() {
    let mut world = World::with_session(0);
    world.act(shut()).unwrap();
    assert_eq!(world.cell(HookEvent::PreToolUse), Cell::Hold);
    world.act(reset()).unwrap();
    assert_eq!(world.cell(HookEvent::PreToolUse), Cell::Allow);
}

#[test]
fn acts_on_what_is_not_there_say_so() {
    let none = bid("task:none");
    let set = Act::Set { budget: none.clone(), tokens: Some(1), micro_usd: None, alert: None, shut: false };
    for act in [Act::Reset(none.clone()), Act::Decline(Some(none.clone())), Act::Finish(Some(none)), set] {
        let mut world = World::with_session(1_000);
        assert_eq!(world.act(act), Err(OperatorError::NotFound("budget task:none".to_owned())));
    }
    let mut world = World::with_session(1_000);
    assert_eq!(world.act(Act::Decline(None)), Err(OperatorError::NobodyWaits));
}

#[test]
fn only_a_new_pause_counts_as_one() {
    let mut world = World::with_session(1_000);
    let pauses = |world: &World| world.budget(ID).pauses;
    let mut after: Vec<(u32, Status)> = Vec::new();
    world.spend(1_000);
    after.push((pauses(&world), world.status(ID)));
    world.spend(200);
    after.push((pauses(&world), world.status(ID)));
    world.act(decline()).unwrap();
    after.push((pauses(&world), world.status(ID)));
    world.extend(ID, 100);
    after.push((pauses(&world), world.status(ID)));
    world.extend(ID, 100);
    after.push((pauses(&world), world.status(ID)));
    world.extend(ID, 500);
    after.push((pauses(&world), world.status(ID)));
    world.spend(500);
    after.push((pauses(&world), world.status(ID)));
    let expected =
        [(1, Paused), (1, Exhausted), (1, Exhausted), (1, Paused), (1, Paused), (1, Active), (2, Paused)];
    assert_eq!(after, expected);
}

#[test]
fn the_same_act_under_the_same_id_is_done_once() {
    let mut world = World::with_session(1_000);
    world.spend(600);
    world.act_as("r1", Act::Reset(bid(ID))).unwrap();
    world.spend(300);
    let again = world.act_as("r1", Act::Reset(bid(ID))).unwrap();
    assert_eq!(again.budget.unwrap().tokens_used(), 300, "what was spent since is not erased by a retry");
    // Another act may have the same id, and the same act another.
    world.act_as("r1", Act::Decline(Some(bid(ID)))).unwrap();
    assert_eq!(world.status(ID), Exhausted);
    world.act_as("r2", Act::Reset(bid(ID))).unwrap();
    assert_eq!(world.budget(ID).tokens_used(), 0);
}

#[test]
fn who_may_only_tighten_opens_nothing_that_was_shut_meanwhile() {
    let mut world = World::with_session(1_000);
    world.act(Act::Decline(Some(bid(ID)))).unwrap();
    let set = Act::Set { budget: bid(ID), tokens: Some(1_000), micro_usd: None, alert: None, shut: false };
    let act = operator("r9", set);
    let refused = world.send(&Command::Operator(Operator { may_only_tighten: true, ..act })).reply;
    assert!(matches!(refused, Reply::Operator(Err(OperatorError::Refused(_)))), "{refused:?}");
    assert_eq!(world.status(ID), Exhausted);
}
