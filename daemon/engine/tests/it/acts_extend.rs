//! Extending a budget and finishing up (DESIGN 4.5).

use bursar_engine::budget::Grant;
use bursar_engine::budget::Status::{Active, Exhausted, Paused, Warning};
use bursar_engine::command::{Act, Amount, Command, Operator};
use bursar_engine::decide::Reply;
use bursar_engine::error::OperatorError;
use bursar_engine::hold::Blocker;
use bursar_engine::policy::{Limit, Policy};
use bursar_engine::row::Sighting;
use bursar_engine::table::{Cell, HookEvent};
use bursar_engine::usage::{Usage, Weights};

use crate::support::{S, START, World, bid, extend, hook, key, operator, row, sub_hook, tokens_only};

const ID: &str = "session:s1";

fn give(amount: Amount) -> Act {
    Act::Extend { budget: Some(bid(ID)), amount }
}

fn both(tokens: u64, micro_usd: u64) -> Amount {
    Amount::Exact(Limit { tokens, micro_usd })
}

fn world_of(limit: Limit) -> World {
    let mut world = World::new(Policy { session: limit, ..Policy::default() });
    world.hook(hook(HookEvent::SessionStart));
    world
}

#[test]
fn an_extension_opens_a_paused_budget_and_raises_its_limit() {
    let mut world = World::with_session(1_000);
    world.spend(1_000);
    world.wait_ms(5);
    let done = world.act_as("r1", extend(ID, 500)).unwrap();
    assert_eq!(world.stands(ID), (1_000, 1_500, Active));
    let budget = world.budget(ID);
    assert_eq!((budget.base.tokens, budget.last_updated), (1_000, START.plus_ms(5)));
    let grant = Grant { tokens: 500, micro_usd: 0, finish_up: false, at: START.plus_ms(5) };
    assert_eq!(budget.grants.get("r1"), Some(&grant));
    assert_eq!(done.budget.as_deref(), Some(budget));
    assert_eq!(done.missing, Limit::default());
    assert_eq!(world.cell(HookEvent::PreToolUse), Cell::Allow);
}

#[test]
fn an_extension_sets_the_status_anew_from_wherever_it_stood() {
    // Used in two steps, then extended by so much: the status that follows.
    for ((first, second, given), status) in [
        ((100, 0, 1), Active),
        ((900, 0, 1), Active),
        ((1_000, 0, 1), Active),
        ((1_000, 100, 99), Paused),
        ((1_000, 100, 100), Paused),
        ((1_000, 100, 101), Active),
        ((1_000, 500, 1), Exhausted),
        ((1_000, 500, 250), Exhausted),
        ((1_000, 500, 251), Paused),
        ((1_000, 500, 501), Active),
        // A jump shows paused; what is given anew goes by the utilization alone.
        ((2_000, 0, 100), Exhausted),
    ] {
        let mut world = World::with_session(1_000);
        world.spend(first);
        world.spend(second);
        let done = world.extend(ID, given);
        let what = format!("{first} + {second} of 1,000 + {given}");
        assert_eq!(world.status(ID), status, "{what}");
        let missing = if status.is_shut() { first + second + 1 - (1_000 + given) } else { 0 };
        assert_eq!(done.missing.tokens, missing, "{what}");
    }
}

#[test]
fn what_is_said_to_be_missing_opens_it_and_one_token_less_does_not() {
    for pause in [1_000_000, 900_000, 333_333] {
        let policy = Policy {
            session: tokens_only(1_000),
            alert: bursar_engine::ratio::Ratio(300_000),
            pause: bursar_engine::ratio::Ratio(pause),
            ..Policy::default()
        };
        let mut world = World::new(policy);
        world.hook(hook(HookEvent::SessionStart));
        world.spend(1_234);
        let missing = world.extend(ID, 1).missing.tokens;
        assert!(world.clone().extend(ID, missing - 1).budget.unwrap().status.is_shut(), "{pause}");
        assert_eq!(world.extend(ID, missing).budget.unwrap().status, Active, "{pause}");
    }
}

#[test]
fn after_an_extension_it_warns_at_a_share_of_what_was_left_then() {
    let mut world = World::with_session(1_000);
    world.spend(900);
    world.extend(ID, 600);
    // 700 are left: the mark is 900 + 0.8 × 700.
    world.spend(559);
    assert_eq!(world.stands(ID), (1_459, 1_600, Active));
    world.spend(1);
    assert_eq!(world.status(ID), Warning);
    world.spend(140);
    assert_eq!(world.status(ID), Paused);
    assert_eq!(world.alerts_of(ID).len(), 3);
}

#[test]
fn dollars_are_given_as_tokens_are() {
    let mut world = world_of(Limit { tokens: 1_000, micro_usd: 5_000 });
    world.spend(1_000);
    world.pay(5_000);
    let done = world.act(give(both(500, 0))).unwrap();
    assert_eq!((world.status(ID), done.missing), (Paused, Limit { tokens: 0, micro_usd: 1 }));
    let done = world.act(give(both(0, 1_000))).unwrap();
    assert_eq!((world.status(ID), done.missing), (Active, Limit::default()));
    assert_eq!(world.budget(ID).max, Limit { tokens: 1_500, micro_usd: 6_000 });
    // The mark in dollars is 5,000 + 0.8 × 1,000.
    world.pay(799);
    assert_eq!(world.status(ID), Active);
    world.pay(1);
    assert_eq!(world.status(ID), Warning);
    world.act(give(both(1, 2))).unwrap();
    assert_eq!(world.budget(ID).max, Limit { tokens: 1_501, micro_usd: 6_002 });
}

#[test]
fn a_share_is_one_of_the_base_limit() {
    let mut world = world_of(Limit { tokens: 1_000, micro_usd: 0 });
    for max in [1_250, 1_500, 1_750] {
        world.act(give(Amount::Percent(25))).unwrap();
        assert_eq!(world.budget(ID).max, tokens_only(max));
    }
    assert_eq!(world.act(give(Amount::Percent(0))), Err(OperatorError::NothingGiven));
}

#[test]
fn an_extension_is_done_once_under_one_request_id() {
    let mut world = World::with_session(1_000);
    world.spend(1_000);
    let first = world.act_as("r1", extend(ID, 300)).unwrap();
    world.wait_ms(1_000);
    for again in [extend(ID, 300), extend(ID, 999), Act::Extend { budget: None, amount: both(300, 0) }] {
        let before = world.state.clone();
        let recorded = world.events.len();
        let done = world.act_as("r1", again).unwrap();
        assert_eq!(done.budget, first.budget);
        assert_eq!(world.state.budgets, before.budgets);
        assert_eq!(world.events.len(), recorded, "what was done before is not recorded again");
    }
    world.act_as("r2", extend(ID, 300)).unwrap();
    assert_eq!(world.budget(ID).max.tokens, 1_600);
}

#[test]
fn one_extension_gives_at_most_a_million_tokens_or_once_the_base_limit() {
    let too_much = |max, unit| OperatorError::TooMuch { budget: bid(ID), max, unit };
    for (base, most) in [(500_000, 1_000_000), (1_000_000, 1_000_000), (3_000_000, 3_000_000)] {
        let mut world = World::with_session(base);
        assert_eq!(world.act(extend(ID, most + 1)), Err(too_much(most, "tokens")));
        assert_eq!(world.budget(ID).max.tokens, base);
        world.extend(ID, most);
        // Not twice what it is by now: once the base limit.
        assert_eq!(world.act(extend(ID, most + 1)), Err(too_much(most, "tokens")));
        world.extend(ID, most);
        assert_eq!(world.budget(ID).max.tokens, base + 2 * most);
    }
    for (base, most) in [(1_000_000, 100_000_000), (250_000_000, 250_000_000)] {
        let mut world = world_of(Limit { tokens: 0, micro_usd: base });
        assert_eq!(world.act(give(both(0, most + 1))), Err(too_much(most, "micro-dollars")));
        world.act(give(both(0, most))).unwrap();
    }
    let mut world = World::with_session(500_000);
    assert_eq!(world.act(give(Amount::Percent(201))), Err(too_much(1_000_000, "tokens")));
    world.act(give(Amount::Percent(200))).unwrap();
}

#[test]
fn an_extension_that_makes_no_sense_is_refused_and_changes_nothing() {
    let no_limit = |unit| OperatorError::NoLimit { budget: bid(ID), unit };
    let unlimited = Limit::default();
    for (limit, act, error) in [
        (tokens_only(10), give(both(0, 0)), OperatorError::NothingGiven),
        (tokens_only(10), give(both(0, 5)), no_limit("dollars")),
        (tokens_only(10), give(both(5, 5)), no_limit("dollars")),
        (unlimited, give(both(5, 0)), no_limit("tokens")),
        (unlimited, Act::Finish(Some(bid(ID))), no_limit("tokens")),
        (tokens_only(10), extend("task:none", 5), OperatorError::NotFound("budget task:none".to_owned())),
    ] {
        let mut world = world_of(limit);
        let before = world.state.clone();
        assert_eq!(world.act(act), Err(error));
        assert_eq!(world.state.budgets, before.budgets);
    }
}

#[test]
fn an_act_without_a_budget_means_the_one_that_holds_somebody() {
    let unnamed = || Act::Extend { budget: None, amount: both(500, 0) };
    let mut world =
        World::new(Policy { session: tokens_only(1_000), subagent_tokens: 100, ..Policy::default() });
    world.hook(sub_hook(HookEvent::SubagentStart, "a1"));
    world.spend_in(S, Some("a1"), 1_000);
    // Shut, but nobody stands still yet.
    assert_eq!(world.act(unnamed()), Err(OperatorError::NobodyWaits));
    world.held(sub_hook(HookEvent::PreToolUse, "a1"));
    world.held(hook(HookEvent::PreToolUse));
    let several = OperatorError::Several(vec![Blocker::Budget(bid("agent:a1")), Blocker::Budget(bid(ID))]);
    for act in [unnamed(), Act::Finish(None), Act::Decline(None)] {
        assert_eq!(world.act(act), Err(several.clone()));
    }
    // The subagent waits on, under its session; then one budget holds both.
    world.act(Act::Finish(Some(bid("agent:a1")))).unwrap();
    assert_eq!(world.act(unnamed()).unwrap().budget.unwrap().id, bid(ID));
    assert_eq!(world.state.waiting().count(), 0);
}

#[test]
fn an_act_that_the_gate_refuses_is_recorded_and_not_done() {
    let mut world = World::with_session(1_000);
    world.spend(1_000);
    let before = world.state.clone();
    let why = "Refused: the caller descends from a served client.";
    let refused = Operator { refused: Some(why.to_owned()), ..operator("r1", extend(ID, 500)) };
    let decision = world.send(&Command::Operator(refused));
    assert_eq!(decision.reply, Reply::Operator(Err(OperatorError::Refused(why.to_owned()))));
    let [bursar_engine::Event::Operator(record)] = &decision.events[..] else { panic!("{decision:?}") };
    assert_eq!((record.act.as_str(), record.refused.as_deref(), record.tokens), ("extend", Some(why), 0));
    assert_eq!(world.state.budgets, before.budgets);
}

/// The finishing grant of a session of `base` tokens that used `used`, whose context is `context` now.
fn finish_grant(weights: Weights, base: u64, used: u64, context: u64) -> Grant {
    let mut world = World::new(Policy { weights, session: tokens_only(base), ..Policy::default() });
    world.hook(hook(HookEvent::SessionStart));
    world.spend(used);
    let cached = Usage { cache_read: context, ..Usage::default() };
    world.read(vec![Sighting { usage: cached, ..row("context", 0) }]);
    world.held(hook(HookEvent::PreToolUse));
    world.act_as("r1", Act::Finish(None)).unwrap();
    assert_eq!((world.status(ID), world.budget(ID).finishing), (Active, true));
    world.budget(ID).grants["r1"].clone()
}

#[test]
fn finishing_is_granted_what_is_over_and_what_closing_takes() {
    let weights = Weights::default();
    let dear = Weights { cache_write: 1_250_000, ..weights };
    // Weights, base, used, context; what closing takes beyond what is over the limit.
    for (weights, base, used, context, need) in [
        (weights, 500_000, 512_000, 0, 25_000),
        (weights, 100_000, 100_000, 0, 20_000),
        (weights, 500_000, 500_000, 5_000, 25_000),
        (weights, 500_000, 500_000, 5_001, 25_001),
        (weights, 500_000, 650_000, 30_000, 50_000),
        (weights, 2_000_000, 2_000_000, 30_000, 100_000),
        (dear, 500_000, 500_000, 30_000, 57_500),
    ] {
        let grant = finish_grant(weights, base, used, context);
        assert_eq!(grant.tokens, used - base + 1 + need, "{base} {used} {context}");
        assert!(grant.finish_up);
    }
}

#[test]
fn going_on_costs_the_greatest_context_of_those_whom_the_budget_concerns() {
    let mut world = World::new(Policy { session: tokens_only(1_000), ..Policy::default() });
    world.hook(hook(HookEvent::SessionStart));
    let contexts = [(None, 70_000), (Some("a1"), 90_000), (Some("a2"), 40_000)];
    for (agent, context) in contexts {
        agent.map(|a| world.hook(sub_hook(HookEvent::SubagentStart, a)));
        let cached = Usage { cache_read: context, ..Usage::default() };
        world.read(vec![Sighting { usage: cached, agent: key(agent), ..row(&format!("c{context}"), 0) }]);
    }
    // Nobody waits: all agents of the session, or the subagent alone.
    let mut costs = |id: &str| world.act(extend(id, 1)).unwrap().context_tokens;
    assert_eq!([costs(ID), costs("agent:a2")], [90_000, 40_000]);
    // Who waits under it is whom it concerns.
    world.state.budgets.get_mut(&bid(ID)).unwrap().status = Paused;
    world.held(hook(HookEvent::PreToolUse));
    world.held(sub_hook(HookEvent::PreToolUse, "a2"));
    let finished = world.act(Act::Finish(Some(bid(ID)))).unwrap();
    assert_eq!(finished.budget.unwrap().max.tokens, 1_001 + 70_000 + 20_000);
}

#[test]
fn finishing_is_granted_once() {
    let mut world = World::with_session(1_000);
    world.spend(500);
    world.spend(500);
    let finish = || Act::Finish(Some(bid(ID)));
    let first = world.act_as("r1", finish()).unwrap();
    assert_eq!(world.act_as("r1", finish()).unwrap().budget, first.budget, "a retry is no second act");
    assert_eq!(world.act_as("r2", finish()), Err(OperatorError::AlreadyFinishing(bid(ID))));
    assert_eq!(world.budget(ID).max.tokens, 1_000 + 1 + 500 + 20_000);
    // An extension is possible as before, and ends the finishing.
    world.extend(ID, 10);
    assert!(!world.budget(ID).finishing);
    assert_eq!(world.act(finish()), Err(OperatorError::AlreadyFinishing(bid(ID))));
    world.act(Act::Reset(bid(ID))).unwrap();
    world.act(finish()).unwrap();
}

#[test]
fn finishing_gives_dollars_where_dollars_are_limited() {
    let mut world = world_of(Limit { tokens: 0, micro_usd: 1_000_000 });
    world.pay(1_100_000);
    world.act(Act::Finish(Some(bid(ID)))).unwrap();
    let budget = world.budget(ID);
    assert_eq!(budget.max, Limit { tokens: 0, micro_usd: 1_150_001 });
    assert_eq!(budget.status, Active);
}
