//! Holds: when they begin and how long they may last (DESIGN 4.2).

use bursar_engine::alert::AlertType::TooManyUnattended;
use bursar_engine::budget::Status::{Exhausted, Paused};
use bursar_engine::command::{Act, Command, Hook};
use bursar_engine::hold::{Blocker, Hold, HoldEnd, answer_before_ms};
use bursar_engine::ids::HoldId;
use bursar_engine::policy::Policy;
use bursar_engine::row::Sighting;
use bursar_engine::table::{Cell, HookEvent};
use bursar_engine::usage::Usage;
use bursar_engine::verdict::Why;

use crate::support::{START, World, bid, hook, key, row, sid, sub_hook, tokens_only};

const ID: &str = "session:s1";

fn paused(policy: Policy) -> World {
    let mut world = World::new(Policy { session: tokens_only(1_000), ..policy });
    world.hook(hook(HookEvent::SessionStart));
    world.spend(1_000);
    world
}

fn unattended(event: HookEvent) -> Hook {
    Hook { attended: false, ..hook(event) }
}

#[test]
fn a_hold_says_who_stands_still_where_since_when_and_for_how_long() {
    let mut world = paused(Policy::default());
    world.wait_ms(1_000);
    world.hook(sub_hook(HookEvent::SubagentStart, "a1"));
    let context = Usage { cache_read: 40_000, output: 1, ..Usage::default() };
    let of_sub = Sighting { agent: key(Some("a1")), usage: context, at: world.now, ..row("c", 0) };
    world.read(vec![of_sub]);
    let asked = Hook { tool: Some("Bash".to_owned()), ..sub_hook(HookEvent::PostToolBatch, "a1") };
    let id = world.held(asked);
    let expected = Hold {
        id: HoldId(1),
        session: sid("s1"),
        agent: key(Some("a1")),
        blocker: Blocker::Budget(bid(ID)),
        seed_shape: false,
        said: None,
        event: HookEvent::PostToolBatch,
        tool: Some("Bash".to_owned()),
        started: START.plus_ms(1_000),
        deadline: START.plus_ms(86_401_000),
        attended: true,
        context_tokens: 40_001,
        end: None,
        ended_at: None,
    };
    assert_eq!(world.hold(id), &expected);
    assert_eq!(world.state.waiting().count(), 1);
    assert_eq!(world.held(hook(HookEvent::PreToolUse)), HoldId(2), "ids are not used again");
}

#[test]
fn a_hold_ends_before_the_client_would_time_out_and_after_the_patience_of_its_kind() {
    // Attended, CI, the hook's time limit in seconds, patience attended and unattended; how long in milliseconds.
    let day = (86_400, 900);
    for (attended, ci, timeout_s, (hold_s, hold_unattended_s), ms) in [
        (true, false, Some(86_460), day, 86_400_000),
        (true, false, Some(86_415), day, 86_400_000),
        (true, false, Some(86_414), day, 86_399_000),
        (true, false, Some(600), day, 585_000),
        // None said: the client's own default of 600 s.
        (true, false, None, day, 585_000),
        (true, false, Some(31), day, 16_000),
        (true, false, Some(30), day, 15_000),
        (true, false, Some(29), day, 14_500),
        (true, false, Some(2), day, 1_000),
        (true, false, Some(1), day, 500),
        (true, false, Some(86_460), (120, 900), 120_000),
        (false, false, Some(86_460), day, 900_000),
        (false, false, None, day, 585_000),
        (false, false, Some(60), day, 45_000),
        (false, false, Some(86_460), (86_400, 5), 5_000),
        // Unattended is never more patient than attended.
        (false, false, Some(86_460), (60, 900), 60_000),
    ] {
        let mut world = paused(Policy { hold_s, hold_unattended_s, ..Policy::default() });
        let id = world.held(Hook { attended, ci, timeout_s, ..hook(HookEvent::PreToolUse) });
        let hold = world.hold(id);
        let what = format!("attended {attended}, {timeout_s:?}, {hold_s}, {hold_unattended_s}");
        assert_eq!(hold.deadline.since(hold.started), ms, "{what}");
        assert_eq!(world.state.next_deadline(), Some(hold.deadline), "{what}");
    }
}

#[test]
fn the_margin_before_a_time_limit_never_takes_all_of_it() {
    for timeout_s in 1..2_000 {
        let ms = answer_before_ms(timeout_s);
        assert!(ms > 0 && ms < u64::from(timeout_s) * 1_000, "{timeout_s}");
    }
    assert_eq!(answer_before_ms(u32::MAX), u64::from(u32::MAX) * 1_000 - 15_000);
}

#[test]
fn where_there_is_no_time_to_wait_it_is_stopped_at_once() {
    let rows = [
        ("in CI", Hook { ci: true, ..unattended(HookEvent::PreToolUse) }, Cell::Stop),
        ("in CI", Hook { ci: true, ..unattended(HookEvent::PostToolBatch) }, Cell::Stop),
        ("in CI", Hook { ci: true, ..unattended(HookEvent::OtherPrompt) }, Cell::Refuse),
        ("no time", Hook { timeout_s: Some(0), ..hook(HookEvent::PreToolUse) }, Cell::Stop),
    ];
    for (what, asked, cell) in rows {
        let mut world = paused(Policy::default());
        let verdict = world.hook(asked);
        assert_eq!((verdict.cell, verdict.hold), (cell, None), "{what}");
        assert_eq!(verdict.because.map(|b| b.why()), Some(Why::RanOut), "{what}");
        assert!(world.state.holds.is_empty(), "{what}");
        // As a hold that ran out: nobody who asks later waits for nothing.
        assert_eq!(world.status(ID), Exhausted, "{what}");
        assert_eq!(world.cell(HookEvent::PreToolUse), Cell::Stop, "{what}");
    }
}

#[test]
fn faking_that_somebody_is_away_only_tightens() {
    // CI alone means nothing where a person is at the client, nor does it lengthen a hold.
    let mut world = paused(Policy::default());
    let id = world.held(Hook { attended: false, ..hook(HookEvent::PreToolUse) });
    let away = world.hold(id).deadline;
    let id = world.held(hook(HookEvent::PreToolUse));
    assert!(away < world.hold(id).deadline);
}

/// Ten sessions that have used their budgets up.
fn ten_paused() -> World {
    let mut world = World::new(Policy { session: tokens_only(1_000), ..Policy::default() });
    for n in 1..=10 {
        let session = format!("s{n}");
        world.hook(Hook { session: sid(&session), ..hook(HookEvent::SessionStart) });
        world.spend_in(&session, None, 1_000);
    }
    world
}

fn unattended_in(n: usize, event: HookEvent) -> Hook {
    Hook { session: sid(&format!("s{n}")), ..unattended(event) }
}

#[test]
fn further_unattended_sessions_are_stopped_with_one_alert() {
    let mut world = ten_paused();
    let attended = world.held(Hook { session: sid("s9"), ..hook(HookEvent::PreToolUse) });
    let held: Vec<_> = (1..=8).map(|n| world.held(unattended_in(n, HookEvent::PreToolUse))).collect();
    for (event, cell) in [
        (HookEvent::PreToolUse, Cell::Stop),
        (HookEvent::PostToolBatch, Cell::Stop),
        (HookEvent::OtherPrompt, Cell::Refuse),
    ] {
        let verdict = world.hook(unattended_in(10, event));
        assert_eq!((verdict.cell, verdict.hold), (cell, None));
        assert_eq!(verdict.because.map(|b| b.why()), Some(Why::TooManyUnattended));
    }
    let raised = |world: &World| world.alerts().filter(|a| a.alert_type == TooManyUnattended).count();
    assert_eq!(raised(&world), 1);
    assert_eq!(world.status("session:s10"), Paused, "it may still be answered");
    // A person's session is held as before, and so is another call of one that is held: it costs no more memory.
    world.held(Hook { session: sid("s10"), ..hook(HookEvent::PreToolUse) });
    world.held(unattended_in(8, HookEvent::PreToolUse));

    // Where one goes, there is room for one.
    world.send(&Command::HoldLost(attended));
    assert_eq!(world.hook(unattended_in(10, HookEvent::PreToolUse)).cell, Cell::Stop);
    world.send(&Command::HoldLost(held[3]));
    world.held(unattended_in(10, HookEvent::PreToolUse));
    assert_eq!(world.hook(unattended_in(4, HookEvent::PreToolUse)).cell, Cell::Stop);

    // Once the alert was seen, the next time raises another.
    assert_eq!(raised(&world), 1);
    world.act(Act::AcknowledgeAlert(None)).unwrap();
    world.hook(unattended_in(4, HookEvent::PreToolUse));
    assert_eq!(raised(&world), 2);
}

#[test]
fn a_client_that_goes_away_ends_its_hold() {
    let mut world = paused(Policy::default());
    let id = world.held(hook(HookEvent::PreToolUse));
    world.wait_ms(2_000);
    world.send(&Command::HoldLost(id));
    let hold = world.hold(id).clone();
    assert_eq!((hold.end, hold.ended_at), (Some(HoldEnd::ClientGone), Some(START.plus_ms(2_000))));
    assert_eq!(world.state.next_deadline(), None);
    // Once more, or one that nobody knows: nothing happens.
    world.wait_ms(1);
    assert!(world.send(&Command::HoldLost(id)).events.is_empty());
    assert!(world.send(&Command::HoldLost(HoldId(99))).events.is_empty());
    assert_eq!(world.status(ID), Paused, "going away answers nothing");
}
