//! Alerts and the texts for the model: once per crossing (DESIGN 4).

use bursar_engine::alert::AlertType::{BudgetExhausted, WarningThreshold};
use bursar_engine::alert::{Alert, AlertType, MAX_ALERTS};
use bursar_engine::command::Act;
use bursar_engine::error::OperatorError;
use bursar_engine::event::{Event, OperatorRecord};
use bursar_engine::ids::AlertId;
use bursar_engine::policy::{Mode, OnPause, Policy};
use bursar_engine::ratio::Ratio;
use bursar_engine::table::{Cell, HookEvent};
use bursar_engine::verdict::{Because, ModelText, Why};

use crate::support::{START, World, bid, extend, hook, sub_hook, tokens_only};

const ID: &str = "session:s1";

/// The text for the model at a hook of the main agent or of a subagent: its budget, its tokens, whether it ends.
fn told(world: &mut World, event: HookEvent, agent: Option<&str>) -> Option<(String, u64, bool)> {
    let asked = agent.map_or_else(|| hook(event), |a| sub_hook(event, a));
    let verdict = world.hook(asked);
    assert_eq!(verdict.cell, Cell::Allow);
    let texts = verdict.texts.iter().filter(|t| !matches!(t, ModelText::Status { .. })).collect::<Vec<_>>();
    match texts.as_slice() {
        [] => None,
        [ModelText::Warning { about, ends }] => {
            assert_eq!((about.why, verdict.because), (Why::Warning, Some(Because::Budget(about.clone()))));
            Some((about.budget.to_string(), about.tokens_used, *ends))
        }
        other => panic!("told {other:?}"),
    }
}

#[test]
fn an_alert_tells_what_stood_when_it_was_raised() {
    let mut world = World::with_session(1_000);
    world.wait_ms(500);
    world.spend(850);
    let alert = world.alerts().next().unwrap().clone();
    let expected = Alert {
        alert_id: AlertId(1),
        budget_id: bid(ID),
        alert_type: WarningThreshold,
        utilization: Ratio(850_000),
        tokens_used: 850,
        max_tokens: 1_000,
        micro_usd_used: 0,
        max_micro_usd: 0,
        timestamp: START.plus_ms(500),
        acknowledged: false,
        agent: "main".to_owned(),
        trip: None,
        model: None,
        estimated: false,
        alarm: None,
    };
    assert_eq!(alert, expected);
    world.spend(150);
    let second = world.alerts().nth(1).unwrap();
    assert_eq!((second.alert_id, second.alert_type), (AlertId(2), BudgetExhausted));
}

#[test]
fn one_request_that_crosses_several_budgets_raises_an_alert_for_each() {
    let policy = Policy { session: tokens_only(100), subagent_tokens: 100, ..Policy::default() };
    let mut world = World::new(policy);
    world.hook(hook(HookEvent::SessionStart));
    world.hook(sub_hook(HookEvent::SubagentStart, "a1"));
    world.spend_in("s1", Some("a1"), 90);
    let raised: Vec<_> = world.alerts().map(|a| (a.alert_id.0, a.budget_id.to_string())).collect();
    assert_eq!(raised, [(1, "agent:a1".to_owned()), (2, ID.to_owned())]);
}

#[test]
fn the_model_hears_of_a_warning_once_at_its_next_event_that_carries_text() {
    let mut world = World::with_session(1_000);
    assert_eq!(told(&mut world, HookEvent::PreToolUse, None), None);
    world.spend(800);
    for silent in [HookEvent::Stop, HookEvent::PostToolUseFailure, HookEvent::Notification] {
        assert_eq!(told(&mut world, silent, None), None, "{silent:?} carries no text");
    }
    assert_eq!(told(&mut world, HookEvent::PostToolBatch, None), Some((ID.to_owned(), 800, false)));
    world.spend(100);
    assert_eq!(told(&mut world, HookEvent::PreToolUse, None), None);
}

#[test]
fn every_agent_hears_once_of_a_crossing_that_one_of_them_made() {
    let mut world = World::with_session(1_000);
    world.hook(sub_hook(HookEvent::SubagentStart, "a1"));
    world.spend_in("s1", Some("a1"), 800);
    let expected = Some((ID.to_owned(), 800, false));
    assert_eq!(told(&mut world, HookEvent::PreToolUse, None), expected);
    assert_eq!(told(&mut world, HookEvent::PreToolUse, Some("a1")), expected);
    // One that began later hears of it as well.
    world.hook(sub_hook(HookEvent::SubagentStart, "a2"));
    assert_eq!(told(&mut world, HookEvent::PreToolUse, Some("a2")), expected);
    for agent in [None, Some("a1"), Some("a2")] {
        assert_eq!(told(&mut world, HookEvent::PreToolUse, agent), None, "{agent:?} heard it before");
    }
}

#[test]
fn the_next_crossing_is_told_again() {
    let mut world = World::with_session(1_000);
    world.spend(800);
    assert!(told(&mut world, HookEvent::PreToolUse, None).is_some());
    world.extend(ID, 200);
    assert_eq!(told(&mut world, HookEvent::PreToolUse, None), None, "nothing was crossed yet");
    world.spend(320);
    assert_eq!(told(&mut world, HookEvent::PreToolUse, None), Some((ID.to_owned(), 1_120, false)));
    assert_eq!(told(&mut world, HookEvent::PreToolUse, None), None);
    assert_eq!(world.alerts_of(ID), [WarningThreshold, WarningThreshold]);
}

#[test]
fn a_subagents_own_warning_is_for_its_own_ears() {
    let policy = Policy { subagent_tokens: 100, ..Policy::default() };
    let mut world = World::new(policy);
    world.hook(sub_hook(HookEvent::SubagentStart, "a1"));
    world.spend_in("s1", Some("a1"), 80);
    assert_eq!(told(&mut world, HookEvent::PreToolUse, None), None);
    assert_eq!(told(&mut world, HookEvent::PreToolUse, Some("a2")), None);
    assert_eq!(told(&mut world, HookEvent::PreToolUse, Some("a1")), Some(("agent:a1".to_owned(), 80, false)));
}

#[test]
fn two_warnings_are_told_one_after_the_other_the_nearer_first() {
    let policy = Policy { session: tokens_only(1_000), subagent_tokens: 900, ..Policy::default() };
    let mut world = World::new(policy);
    world.hook(sub_hook(HookEvent::SubagentStart, "a1"));
    world.spend_in("s1", Some("a1"), 820);
    let heard: Vec<_> = (0..3).map(|_| told(&mut world, HookEvent::PreToolUse, Some("a1"))).collect();
    let names: Vec<_> = heard.iter().map(|t| t.as_ref().map(|t| t.0.as_str())).collect();
    assert_eq!(names, [Some("agent:a1"), Some(ID), None]);
}

#[test]
fn only_where_the_limit_ends_the_work_is_the_model_told_to_wrap_up() {
    for (on_pause, ends) in
        [(OnPause::Hold, false), (OnPause::Stop, true), (OnPause::Deny, true), (OnPause::Ask, true)]
    {
        let mut world = World::new(Policy { on_pause, session: tokens_only(1_000), ..Policy::default() });
        world.hook(hook(HookEvent::SessionStart));
        world.spend(800);
        assert_eq!(told(&mut world, HookEvent::PreToolUse, None), Some((ID.to_owned(), 800, ends)));
    }
    let mut world = World::with_session(1_000);
    world.act(Act::Finish(Some(bid(ID)))).unwrap();
    world.spend(20_000);
    let (_, _, ends) = told(&mut world, HookEvent::PreToolUse, None).unwrap();
    assert!(ends, "what was granted to finish is the end");
}

#[test]
fn observing_a_warning_is_recorded_and_the_model_hears_nothing() {
    let mut world =
        World::new(Policy { mode: Mode::Observe, session: tokens_only(1_000), ..Policy::default() });
    world.hook(hook(HookEvent::SessionStart));
    world.spend(800);
    let verdict = world.hook(hook(HookEvent::PreToolUse));
    assert_eq!((verdict.cell, verdict.would, verdict.texts), (Cell::Allow, None, vec![]));
    let because = verdict.because.unwrap();
    let Because::Budget(because) = because else { panic!("{because:?}") };
    assert_eq!((because.budget, because.why, because.tokens_used), (bid(ID), Why::Warning, 800));
    assert_eq!(world.hook(hook(HookEvent::PreToolUse)).because, None, "once");
    assert_eq!(world.alerts_of(ID), [WarningThreshold]);
}

#[test]
fn alerts_are_acknowledged_one_by_one_or_all() {
    let mut world = World::with_session(1_000);
    world.spend(800);
    world.spend(200);
    let seen = |world: &World| world.state.alerts.values().map(|a| a.acknowledged).collect::<Vec<_>>();
    world.act(Act::AcknowledgeAlert(Some(AlertId(2)))).unwrap();
    assert_eq!(seen(&world), [false, true]);
    let refused = world.act(Act::AcknowledgeAlert(Some(AlertId(3)))).unwrap_err();
    assert_eq!(refused, OperatorError::NotFound("alert 3".to_owned()));
    world.act(Act::AcknowledgeAlert(None)).unwrap();
    assert_eq!(seen(&world), [true, true]);
}

#[test]
fn the_state_keeps_the_newest_alerts_and_numbers_them_on() {
    let mut world = World::with_session(1_000);
    for _ in 0..=MAX_ALERTS {
        world.spend(800);
        world.act(Act::Reset(bid(ID))).unwrap();
        world.wait_ms(1);
    }
    let ids: Vec<_> = world.state.alerts.keys().map(|id| id.0).collect();
    assert_eq!(ids, (2..=MAX_ALERTS as u64 + 1).collect::<Vec<_>>());
    world.spend(800);
    assert_eq!(world.alerts().last().unwrap().alert_id, AlertId(MAX_ALERTS as u64 + 2));
}

#[test]
fn acts_and_pauses_are_durable_and_usage_follows() {
    let mut world = World::with_session(1_000);
    let durable = |events: &[Event]| events.iter().filter(|e| e.is_durable()).count();
    let start = world.events.clone();
    assert_eq!(durable(&start), 0);
    world.spend(900);
    assert_eq!(durable(&world.events), 0, "a warning may be read again");
    world.spend(100);
    let kinds: Vec<_> = world.events.iter().filter(|e| e.is_durable()).collect();
    assert!(matches!(kinds[..], [Event::Budget(_), Event::Alert(_)]), "{kinds:?}");
    world.events.clear();
    world.held(hook(HookEvent::PreToolUse));
    assert_eq!(durable(&world.events), 1, "the hold");
    world.events.clear();
    world.act(extend(ID, 1_000)).unwrap();
    assert!(matches!(&world.events[..], [Event::Budget(_), Event::Hold(_), Event::Operator(_)]));
    assert_eq!(durable(&world.events), 2, "the hold's end and the act, in one commit with the budget");
}

#[test]
fn every_act_leaves_who_when_why_and_how_much() {
    let mut world = World::with_session(1_000);
    world.wait_ms(7);
    world.act_as("r1", extend(ID, 300)).unwrap();
    let Some(Event::Operator(record)) = world.events.last() else { panic!("no record") };
    let expected = OperatorRecord {
        request_id: "r1".to_owned(),
        at: START.plus_ms(7),
        who: "ada@host".to_owned(),
        reason: "it is worth it".to_owned(),
        act: "extend".to_owned(),
        target: ID.to_owned(),
        tokens: 300,
        micro_usd: 0,
        refused: None,
        said: None,
    };
    assert_eq!(record, &expected);
    let unknown: Vec<AlertType> = world.alerts_of("session:nobody");
    assert!(unknown.is_empty());
}
