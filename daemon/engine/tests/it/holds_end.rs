//! How holds end: each way, and what the hook is told then (DESIGN 4.2 to 4.5).

use bursar_engine::Event;
use bursar_engine::budget::Status::{Active, Exhausted, Paused};
use bursar_engine::command::{Act, Command, Hook};
use bursar_engine::decide::{Reply, released};
use bursar_engine::hold::{Blocker, Hold, HoldEnd, HoldEnd::*};
use bursar_engine::ids::HoldId;
use bursar_engine::policy::Policy;
use bursar_engine::row::Sighting;
use bursar_engine::state::MAX_ENDED_HOLDS;
use bursar_engine::table::{Cell, HookEvent};
use bursar_engine::usage::Usage;
use bursar_engine::verdict::{ModelText, Why};

use crate::support::{S, START, World, bid, extend, hook, row, sid, sub_hook, tokens_only};

const ID: &str = "session:s1";

/// A paused session of 1,000 tokens with a subagent of 500.
fn paused() -> World {
    let policy = Policy { session: tokens_only(1_000), subagent_tokens: 500, ..Policy::default() };
    let mut world = World::new(policy);
    world.hook(hook(HookEvent::SessionStart));
    world.hook(sub_hook(HookEvent::SubagentStart, "a1"));
    world.spend(1_000);
    world
}

/// Both over their own: the session at 140 %, its subagent at 120 %.
fn both_paused() -> World {
    let policy = Policy { session: tokens_only(1_000), subagent_tokens: 500, ..Policy::default() };
    let mut world = World::new(policy);
    world.hook(sub_hook(HookEvent::SubagentStart, "a1"));
    world.spend_in(S, Some("a1"), 600);
    world.spend(800);
    world
}

fn set(tokens: u64, shut: bool) -> Act {
    Act::Set { budget: bid(ID), tokens: Some(tokens), micro_usd: None, alert: None, shut }
}

fn resume(world: &mut World, id: HoldId) -> Option<Hold> {
    match world.send(&Command::HoldResumed(id)).reply {
        Reply::Hold(hold) => Some(*hold),
        Reply::UnknownHold => None,
        other => panic!("a resumed hold was answered {other:?}"),
    }
}

#[test]
fn each_act_ends_a_hold_in_its_own_way() {
    for (act, end, cell, why) in [
        (extend(ID, 500), Some(Extended), Cell::Allow, None),
        (Act::Finish(None), Some(FinishUp), Cell::Allow, None),
        (Act::Reset(bid(ID)), Some(Released), Cell::Allow, None),
        (set(5_000, false), Some(Released), Cell::Allow, None),
        (set(0, false), Some(Released), Cell::Allow, None),
        (Act::Release, Some(Released), Cell::Allow, None),
        (Act::Decline(None), Some(Declined), Cell::Stop, Some(Why::Declined)),
    ] {
        let mut world = paused();
        let id = world.held(hook(HookEvent::PreToolUse));
        world.wait_ms(700);
        let done = world.act(act.clone()).unwrap();
        let hold = world.hold(id);
        assert_eq!((hold.end, hold.ended_at), (end, Some(START.plus_ms(700))), "{act:?}");
        assert_eq!((done.released, hold.started), (1, START), "{act:?}");
        let verdict = released(&world.state, hold);
        assert_eq!((verdict.cell, verdict.because.map(|b| b.why())), (cell, why), "{act:?}");
        assert_eq!(world.state.waiting().count(), 0, "{act:?}");
    }
}

#[test]
fn acts_that_open_nothing_release_nobody() {
    for act in [
        extend(ID, 1),
        set(900, false),
        set(900, true),
        Act::AcknowledgeAlert(None),
        Act::Reset(bid("agent:a1")),
    ] {
        let mut world = paused();
        world.spend(100);
        let id = world.held(hook(HookEvent::PreToolUse));
        let done = world.act(act.clone()).unwrap();
        assert_eq!((world.end_of(id), done.released), (None, 0), "{act:?}");
        let told = world.events.iter().filter(|e| matches!(e, Event::Hold(_))).count();
        assert_eq!(told, 1, "{act:?}: nothing new of the hold");
    }
}

#[test]
fn one_act_releases_all_that_it_holds_and_nobody_else() {
    let mut world = paused();
    world.hook(Hook { session: sid("s2"), ..hook(HookEvent::SessionStart) });
    world.spend_in("s2", None, 1_000);
    let ours = [
        world.held(hook(HookEvent::PreToolUse)),
        world.held(hook(HookEvent::OtherPrompt)),
        world.held(sub_hook(HookEvent::PostToolBatch, "a1")),
    ];
    let other = world.held(Hook { session: sid("s2"), ..hook(HookEvent::PreToolUse) });
    assert_eq!(world.extend(ID, 500).released, 3);
    assert_eq!(ours.map(|id| world.end_of(id)), [Some(Extended); 3]);
    assert_eq!(world.end_of(other), None);
}

#[test]
fn everything_is_let_go_at_once_when_it_is_asked() {
    let mut world = paused();
    world.hook(Hook { session: sid("s2"), ..hook(HookEvent::SessionStart) });
    world.spend_in("s2", None, 1_000);
    let ids = [
        world.held(hook(HookEvent::PreToolUse)),
        world.held(Hook { session: sid("s2"), ..hook(HookEvent::PreToolUse) }),
    ];
    assert_eq!(world.act(Act::Release).unwrap().released, 2);
    assert_eq!(ids.map(|id| world.end_of(id)), [Some(Released); 2]);
}

#[test]
fn who_finishes_up_is_told_to_close_its_work() {
    for event in [HookEvent::PreToolUse, HookEvent::PostToolBatch, HookEvent::OtherPrompt] {
        let mut world = paused();
        let id = world.held(hook(event));
        world.act(Act::Finish(None)).unwrap();
        let verdict = released(&world.state, world.hold(id));
        let [ModelText::FinishUp { about }] = verdict.texts.as_slice() else {
            panic!("{event:?}: {verdict:?}")
        };
        assert_eq!((about.budget.clone(), about.tokens_used, about.max_tokens), (bid(ID), 1_000, 22_001));
    }
    let mut world = paused();
    let id = world.held(hook(HookEvent::PreToolUse));
    world.extend(ID, 500);
    assert_eq!(released(&world.state, world.hold(id)).texts, [], "who was extended just goes on");
}

#[test]
fn a_hold_goes_on_under_another_budget_that_is_still_shut() {
    let mut world = both_paused();
    let sub = world.held(sub_hook(HookEvent::PreToolUse, "a1"));
    let main = world.held(hook(HookEvent::PreToolUse));
    assert_eq!(world.hold(sub).blocker, Blocker::Budget(bid(ID)), "the tighter of both");
    // The session is extended: its main agent goes on, the subagent waits for its own budget.
    assert_eq!(world.extend(ID, 5_000).released, 1);
    assert_eq!((world.end_of(main), world.end_of(sub)), (Some(Extended), None));
    assert_eq!(
        (&world.hold(sub).blocker, world.hold(sub).started),
        (&Blocker::Budget(bid("agent:a1")), START)
    );
    assert_eq!(world.extend("agent:a1", 500).released, 1);
    assert_eq!(world.end_of(sub), Some(Extended));
}

#[test]
fn opening_the_budget_that_does_not_hold_changes_nothing_for_who_waits() {
    let mut world = both_paused();
    let sub = world.held(sub_hook(HookEvent::PreToolUse, "a1"));
    assert_eq!(world.extend("agent:a1", 500).released, 0);
    assert_eq!((world.end_of(sub), &world.hold(sub).blocker), (None, &Blocker::Budget(bid(ID))));
}

#[test]
fn a_decline_of_any_budget_above_ends_the_hold() {
    for (budget, session_alone) in [(ID, true), ("agent:a1", false)] {
        let mut world = both_paused();
        let sub = world.held(sub_hook(HookEvent::PreToolUse, "a1"));
        let main = world.held(hook(HookEvent::PreToolUse));
        world.act(Act::Decline(Some(bid(budget)))).unwrap();
        assert_eq!(world.end_of(sub), Some(Declined), "{budget}");
        let because = released(&world.state, world.hold(sub)).because.unwrap();
        let because = because.budget().unwrap().clone();
        assert_eq!((because.budget, because.why), (bid(budget), Why::Declined), "it is named");
        assert_eq!(world.end_of(main).is_some(), session_alone, "{budget}");
    }
}

#[test]
fn an_extension_reaches_those_it_holds_though_their_task_is_named_no_longer() {
    for (act, end) in [(extend("task:t1", 5_000), Extended), (Act::Decline(None), Declined)] {
        let policy = Policy { by_task_type: [("x".to_owned(), 100)].into(), ..Policy::default() };
        let mut world = World::new(policy);
        let on_task =
            |event| Hook { task: Some("t1".to_owned()), task_type: Some("x".to_owned()), ..hook(event) };
        world.hook(on_task(HookEvent::SessionStart));
        world.spend(100);
        let id = world.held(on_task(HookEvent::PreToolUse));
        // Another client of the same session has no such environment.
        world.hook(hook(HookEvent::Notification));
        world.act(act).unwrap();
        assert_eq!(world.end_of(id), Some(end));
    }
}

#[test]
fn nobody_answers_and_the_hold_runs_out_to_the_millisecond() {
    let mut world = paused();
    let id = world.held(Hook { timeout_s: Some(60), ..hook(HookEvent::PreToolUse) });
    let longer = world.held(hook(HookEvent::PreToolUse));
    world.wait_ms(44_999);
    assert!(world.send(&Command::Tick).events.is_empty());
    world.wait_ms(1);
    world.tick();
    assert_eq!((world.end_of(id), world.end_of(longer)), (Some(RanOut), None));
    assert_eq!(world.hold(id).ended_at, Some(START.plus_ms(45_000)));
    assert_eq!(world.status(ID), Exhausted);
    let verdict = released(&world.state, world.hold(id));
    assert_eq!((verdict.cell, verdict.because.unwrap().why()), (Cell::Stop, Why::RanOut));
    assert!(world.send(&Command::Tick).events.is_empty(), "once");
    assert_eq!(world.state.next_deadline(), Some(world.hold(longer).deadline));
}

#[test]
fn a_tick_without_anybody_waiting_does_nothing() {
    let mut world = paused();
    world.wait_ms(1_000_000_000);
    assert!(world.send(&Command::Tick).events.is_empty());
    assert_eq!(world.status(ID), Paused);
}

#[test]
fn a_hold_that_lost_its_daemon_waits_on_under_its_old_start() {
    let mut world = paused();
    let id = world.held(hook(HookEvent::PreToolUse));
    let before = world.hold(id).clone();
    world.wait_ms(5_000);
    assert_eq!(resume(&mut world, id), Some(before.clone()));
    // Given up as gone in between: it comes back as it was.
    world.send(&Command::HoldLost(id));
    world.wait_ms(5_000);
    assert_eq!(resume(&mut world, id), Some(before.clone()));
    assert_eq!(world.hold(id), &before);
    assert_eq!(resume(&mut world, HoldId(99)), None);
    world.now = before.deadline;
    world.tick();
    assert_eq!(world.end_of(id), Some(RanOut));
}

#[test]
fn a_hold_resumed_after_its_end_is_told_that_end() {
    let away = |act: Option<Act>| {
        let mut world = paused();
        let id = world.held(hook(HookEvent::PreToolUse));
        // Another, so that the budget's hold can run out while this one is away.
        world.held(Hook { timeout_s: Some(2), ..hook(HookEvent::PreToolUse) });
        world.send(&Command::HoldLost(id));
        if let Some(act) = act {
            world.act(act).unwrap();
        } else {
            world.wait_ms(1_000);
            world.tick();
        }
        let hold = resume(&mut world, id).unwrap();
        assert_eq!(hold.end, world.end_of(id), "what is answered is what is kept");
        hold.end
    };
    assert_eq!(away(Some(extend(ID, 500))), Some(Extended));
    assert_eq!(away(Some(Act::Reset(bid(ID)))), Some(Extended));
    assert_eq!(away(Some(Act::Decline(Some(bid(ID))))), Some(Declined));
    assert_eq!(away(None), Some(RanOut));
    // Set to what it has used, it is as shut as before.
    assert_eq!(away(Some(set(900, false))), None);
}

#[test]
fn one_that_was_answered_keeps_its_answer_when_it_is_resumed_or_lost() {
    for (act, end) in [(extend(ID, 500), Extended), (Act::Decline(None), Declined)] {
        let mut world = paused();
        let id = world.held(hook(HookEvent::PreToolUse));
        world.act(act).unwrap();
        let answered = world.hold(id).clone();
        world.wait_ms(10_000);
        world.send(&Command::HoldLost(id));
        assert_eq!(resume(&mut world, id).as_ref(), Some(&answered));
        assert_eq!(world.end_of(id), Some(end));
    }
}

#[test]
fn a_correction_that_opens_a_budget_releases_whom_it_held() {
    let mut world = World::with_session(1_000);
    let one = row("m1", 1_000);
    world.read(vec![one.clone()]);
    let id = world.held(hook(HookEvent::PreToolUse));
    world.read(vec![Sighting { usage: Usage { output: 1, ..Usage::default() }, ..one }]);
    assert_eq!((world.status(ID), world.end_of(id)), (Active, Some(Released)));
}

#[test]
fn a_correction_that_opens_one_of_two_leaves_the_other_to_hold() {
    let mut world = both_paused();
    let sub = world.held(sub_hook(HookEvent::PreToolUse, "a1"));
    let main = world.held(hook(HookEvent::PreToolUse));
    // The main agent's request was smaller than it seemed.
    let corrected = Usage { output: 10, ..Usage::default() };
    world.read(vec![Sighting { usage: corrected, ..row("spent-2", 0) }]);
    assert_eq!((world.status(ID), world.status("agent:a1")), (Active, Paused));
    assert_eq!((world.end_of(main), world.end_of(sub)), (Some(Released), None));
    assert_eq!(world.hold(sub).blocker, Blocker::Budget(bid("agent:a1")));
}

#[test]
fn the_state_keeps_the_last_ended_holds_and_all_that_wait() {
    let mut world = paused();
    let waits = world.held(hook(HookEvent::PreToolUse));
    let first = world.held(hook(HookEvent::PreToolUse));
    world.send(&Command::HoldLost(first));
    for _ in 1..MAX_ENDED_HOLDS {
        let id = world.held(hook(HookEvent::PreToolUse));
        world.send(&Command::HoldLost(id));
    }
    assert_eq!(world.end_of(first), Some(ClientGone));
    let next = world.held(hook(HookEvent::PreToolUse));
    world.send(&Command::HoldLost(next));
    assert_eq!(resume(&mut world, first), None, "the oldest of them is forgotten");
    assert_eq!(world.end_of(waits), None);
    assert_eq!(world.state.holds.len(), MAX_ENDED_HOLDS + 1);
}

#[test]
fn every_end_has_its_word_and_says_whether_the_agent_goes_on() {
    let rows: [(HoldEnd, &str, bool); 6] = [
        (Extended, "extended", true),
        (FinishUp, "finish_up", true),
        (Released, "released", true),
        (Declined, "declined", false),
        (RanOut, "ran_out", false),
        (ClientGone, "client_gone", false),
    ];
    for (end, word, goes_on) in rows {
        assert_eq!((end.name(), end.goes_on()), (word, goes_on));
        assert_eq!(serde_json::to_value(end).unwrap(), serde_json::json!(word));
    }
}

#[test]
fn a_hold_that_is_resumed_is_told_what_is_true_now() {
    let mut world = paused();
    let id = world.held(hook(HookEvent::PreToolUse));
    world.extend(ID, 1_000);
    assert_eq!(world.end_of(id), Some(Extended));
    // Its hook had lost the daemon, and the budget is shut again by the time it asks.
    world.act(Act::Set { budget: bid(ID), tokens: None, micro_usd: None, alert: None, shut: true }).unwrap();
    world.send(&Command::HoldResumed(id));
    assert_eq!(world.end_of(id), None, "it waits again");
    // Under a daemon that enforces nothing it goes on.
    world.state.policy.enabled = false;
    world.tick();
    world.send(&Command::HoldResumed(id));
    assert_eq!(world.end_of(id), Some(Released));
}
