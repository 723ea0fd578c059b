//! How a budget moves as it is used: at exact boundaries and one off (DESIGN 4).

use bursar_engine::alert::AlertType::{BudgetExhausted, WarningThreshold};
use bursar_engine::budget::Status::{self, Active, Exhausted, Paused, Warning};
use bursar_engine::command::Act;
use bursar_engine::policy::{Limit, Policy};
use bursar_engine::ratio::Ratio;
use bursar_engine::row::Sighting;
use bursar_engine::table::{Cell, HookEvent};
use bursar_engine::usage::{Usage, Weights};

use crate::support::{START, World, bid, hook, row, tokens_only};

const ID: &str = "session:s1";

fn world(policy: Policy) -> World {
    let mut world = World::new(policy);
    world.hook(hook(HookEvent::SessionStart));
    world
}

/// Where the session's budget stands after each of these requests, by its tokens.
fn after(policy: &Policy, requests: &[(u64, Status)]) {
    let mut world = world(policy.clone());
    for (tokens, status) in requests {
        world.spend(*tokens);
        assert_eq!(world.status(ID), *status, "after {tokens} of {requests:?}");
    }
}

#[test]
fn the_first_hook_starts_an_active_budget() {
    let mut world = World::new(Policy::default());
    assert!(world.state.budgets.is_empty());
    world.hook(hook(HookEvent::PreToolUse));
    let budget = world.budget(ID);
    assert_eq!((budget.status, budget.tokens_used(), budget.utilization()), (Active, 0, Ratio(0)));
    assert_eq!((budget.max, budget.base), (tokens_only(500_000), tokens_only(500_000)));
    assert_eq!((budget.started_at, budget.last_updated, budget.agent.as_str()), (START, START, "main"));
    assert_eq!((budget.alert_threshold, budget.epoch.generation), (Ratio(800_000), 0));
    world.wait_ms(60_000);
    world.hook(hook(HookEvent::PreToolUse));
    assert_eq!(world.budget(ID).started_at, START, "the second hook starts nothing anew");
}

#[test]
fn each_request_adds_to_its_budget_and_dates_it() {
    let mut world = World::with_session(500_000);
    world.spend(1_200);
    world.wait_ms(1_000);
    world.spend(34);
    assert_eq!(world.stands(ID), (1_234, 500_000, Active));
    assert_eq!(world.budget(ID).last_updated, START.plus_ms(1_000));
    assert_eq!(world.budget(ID).started_at, START);
}

#[test]
fn it_warns_at_80_percent_and_not_one_token_before() {
    after(&Policy::default(), &[(399_999, Active), (1, Warning), (1, Warning)]);
}

#[test]
fn it_pauses_at_100_percent_and_not_one_token_before() {
    after(&Policy::default(), &[(400_000, Warning), (99_999, Warning), (1, Paused), (1, Paused)]);
}

#[test]
fn it_is_exhausted_at_120_percent_reached_step_by_step() {
    after(&Policy::default(), &[(500_000, Paused), (99_999, Paused), (1, Exhausted), (1, Exhausted)]);
}

#[test]
fn a_jump_past_the_hard_threshold_is_paused_whatever_follows() {
    // From active and from warning; and usage that was already in flight does not make it exhausted either.
    after(&Policy::default(), &[(650_000, Paused), (50_000, Paused), (500_000, Paused)]);
    after(&Policy::default(), &[(450_000, Warning), (200_000, Paused), (1, Paused)]);
    after(&Policy::default(), &[(600_000, Paused)]);
}

#[test]
fn a_jump_past_the_hard_threshold_is_held_once_and_is_one_crossing() {
    let mut world = World::with_session(500_000);
    world.spend(650_000);
    assert_eq!(world.cell(HookEvent::PostToolBatch), Cell::Hold);
    assert_eq!(world.alerts_of(ID), [BudgetExhausted]);
    assert_eq!((world.budget(ID).pauses, world.budget(ID).crossings), (1, 0));
}

#[test]
fn rows_of_one_reading_are_one_jump() {
    let mut world = World::with_session(1_000);
    world.read((0..12).map(|n| row(&format!("m{n}"), 100)).collect());
    assert_eq!(world.stands(ID), (1_200, 1_000, Paused));
    assert_eq!(world.alerts_of(ID), [BudgetExhausted]);
}

#[test]
fn each_crossing_raises_one_alert() {
    let mut world = World::with_session(1_000);
    let mut raised = Vec::new();
    for tokens in [799, 1, 50, 149, 1, 100, 99, 1, 500] {
        world.spend(tokens);
        raised.push((world.stands(ID).0, world.alerts_of(ID).len()));
    }
    // The hard threshold is no crossing of its own.
    let expected =
        [(799, 0), (800, 1), (850, 1), (999, 1), (1_000, 2), (1_100, 2), (1_199, 2), (1_200, 2), (1_700, 2)];
    assert_eq!(raised, expected);
    assert_eq!(world.alerts_of(ID), [WarningThreshold, BudgetExhausted]);
    assert_eq!((world.budget(ID).crossings, world.budget(ID).pauses), (1, 1));
}

#[test]
fn other_thresholds_hold_exactly_too() {
    let with = |alert: u32, pause: u32, hard: u32| Policy {
        session: tokens_only(1_000),
        alert: Ratio(alert),
        pause: Ratio(pause),
        hard: Ratio(hard),
        ..Policy::default()
    };
    after(
        &with(500_000, 900_000, 1_500_000),
        &[(499, Active), (1, Warning), (399, Warning), (1, Paused), (599, Paused), (1, Exhausted)],
    );
    // Alert and pause in one place: it never only warns.
    after(
        &with(1_000_000, 1_000_000, 10_000_000),
        &[(999, Active), (1, Paused), (8_999, Paused), (1, Exhausted)],
    );
    // Pause and hard in one place: a crossing jumps straight there and is held once, as paused.
    after(&with(800_000, 1_000_000, 1_000_000), &[(999, Warning), (1, Paused), (1_000, Paused)]);
    // A threshold between two tokens is reached by the next whole one.
    after(&with(500_500, 1_000_000, 1_200_000), &[(500, Active), (1, Warning)]);
}

#[test]
fn a_limit_in_dollars_works_alone() {
    let limit = Limit { tokens: 0, micro_usd: 2_000_000 };
    let mut world = world(Policy { session: limit, ..Policy::default() });
    world.spend(10_000_000);
    assert_eq!(world.status(ID), Active, "tokens are not limited");
    for (micro_usd, status) in [
        (1_599_999, Active),
        (1, Warning),
        (399_999, Warning),
        (1, Paused),
        (399_999, Paused),
        (1, Exhausted),
    ] {
        world.pay(micro_usd);
        assert_eq!(world.status(ID), status, "at {}", world.budget(ID).used.micro_usd);
    }
    assert!(world.budget(ID).by_cost());
}

#[test]
fn of_two_limits_the_one_that_is_nearer_decides() {
    let limit = Limit { tokens: 1_000, micro_usd: 1_000_000 };
    let mut world = world(Policy { session: limit, ..Policy::default() });
    world.spend(500);
    world.pay(799_999);
    assert_eq!(world.status(ID), Active);
    world.pay(1);
    assert_eq!((world.status(ID), world.budget(ID).by_cost()), (Warning, true));
    world.spend(500);
    assert_eq!((world.status(ID), world.budget(ID).by_cost()), (Paused, false));
    // One limit at 110 % and the other at 120 %: the greater share counts.
    world.spend(100);
    assert_eq!(world.status(ID), Paused);
    world.pay(200_000);
    world.pay(200_000);
    assert_eq!(world.status(ID), Exhausted);
}

#[test]
fn without_a_limit_nothing_is_ever_shut() {
    let mut world = World::with_session(0);
    world.spend(900_000_000);
    world.pay(900_000_000);
    assert_eq!(world.status(ID), Active);
    assert_eq!((world.budget(ID).utilization(), world.budget(ID).tokens_left()), (Ratio(0), None));
    assert_eq!(world.cell(HookEvent::PreToolUse), Cell::Allow);
}

/// One request of that usage under these weights.
fn weighed(weights: Weights, usage: Usage) -> World {
    let mut world = world(Policy { weights, session: tokens_only(100), ..Policy::default() });
    world.read(vec![Sighting { usage, ..row("m1", 0) }]);
    world
}

#[test]
fn what_fills_a_budget_is_a_weighted_sum() {
    let usage =
        Usage { input: 1, output: 10, cache_write_5m: 100, cache_write_1h: 1_000, cache_read: 10_000 };
    let tenths = Weights { input: 100_000, output: 200_000, cache_write: 300_000, cache_read: 400_000 };
    let rows = [
        (Weights::default(), 1_111_000_000),
        (Weights::RAW, 11_111_000_000),
        (tenths, 100_000 + 2_000_000 + 330_000_000 + 4_000_000_000),
    ];
    for (weights, micro_tokens) in rows {
        let world = weighed(weights, usage);
        assert_eq!(world.budget(ID).used.micro_tokens, micro_tokens, "{}", weights.unit());
        assert_eq!(world.totals(None).usage, usage, "totals are kept apart and unweighted");
    }
}

#[test]
fn fractions_of_a_token_are_kept_and_shown_rounded_up() {
    let weights = Weights { output: 300_000, ..Weights::default() };
    let mut world = world(Policy { weights, session: tokens_only(3), ..Policy::default() });
    // Each request is 0.3 of a token; three of them are one token, not three.
    for (n, shown, left, status) in [
        (1, 1, 2, Active),
        (2, 1, 2, Active),
        (3, 1, 2, Active),
        (4, 2, 1, Active),
        (7, 3, 0, Active),
        (8, 3, 0, Warning),
        (9, 3, 0, Warning),
        (10, 3, 0, Paused),
        (11, 4, 0, Paused),
        (12, 4, 0, Exhausted),
    ] {
        let done = world.totals(None).requests;
        for m in done..n {
            let usage = Usage { output: 1, ..Usage::default() };
            world.read(vec![Sighting { usage, ..row(&format!("m{m}"), 0) }]);
        }
        let budget = world.budget(ID);
        let got = (budget.tokens_used(), budget.tokens_left(), budget.status);
        assert_eq!(got, (shown, Some(left), status), "after {n}");
    }
}

#[test]
fn hostile_numbers_fill_a_budget_and_break_nothing() {
    let most = Usage {
        input: u64::MAX,
        output: u64::MAX,
        cache_write_5m: u64::MAX,
        cache_write_1h: u64::MAX,
        cache_read: u64::MAX,
    };
    assert!(!most.is_plausible());
    let heavy =
        Weights { input: Weights::MAX, output: Weights::MAX, cache_write: Weights::MAX, cache_read: 0 };
    let mut world = weighed(heavy, most);
    world.read(vec![Sighting { usage: most, micro_usd: u64::MAX, ..row("m2", 0) }]);
    assert_eq!(world.status(ID), Paused);
    assert_eq!(world.budget(ID).used.micro_tokens, u64::MAX);
    assert_eq!(world.cell(HookEvent::PreToolUse), Cell::Hold);
    world.act(Act::Reset(bid(ID))).unwrap();
    assert_eq!(world.cell(HookEvent::PreToolUse), Cell::Allow);
}
