//! The table of HOOK.md section 2, written out a second time, and what `decide` makes of it.

use bursar_engine::command::Act;
use bursar_engine::policy::{Limit, Mode, OnPause, Policy};
use bursar_engine::table::{Cell, HookEvent};
use bursar_engine::verdict::Why;

use crate::support::{World, bid, hook, tokens_only};

/// Event; on pause: hold, stop, deny, ask; exhausted: hold, stop, deny, ask.
const TABLE: &str = "
    SessionStart       | allow  allow  allow  allow  | allow  allow  allow  allow
    SubagentStart      | allow  allow  allow  allow  | allow  allow  allow  allow
    SessionEnd         | allow  allow  allow  allow  | allow  allow  allow  allow
    PostCompact        | allow  allow  allow  allow  | allow  allow  allow  allow
    Notification       | allow  allow  allow  allow  | allow  allow  allow  allow
    HumanPrompt        | refuse refuse refuse refuse | refuse refuse refuse refuse
    OtherPrompt        | hold   refuse refuse refuse | refuse refuse refuse refuse
    PreToolUse         | hold   stop   deny   ask    | stop   stop   deny   stop
    PostToolUse        | allow  stop   deny   allow  | allow  stop   deny   allow
    PostToolUseFailure | allow  stop   deny   allow  | allow  stop   deny   allow
    PostToolBatch      | hold   stop   allow  allow  | stop   stop   allow  stop
    Stop               | stop   stop   stop   stop   | stop   stop   stop   stop
    SubagentStop       | stop   stop   stop   stop   | stop   stop   stop   stop
    PreCompact         | deny   deny   deny   deny   | deny   deny   deny   deny
";

const MODES: [OnPause; 4] = [OnPause::Hold, OnPause::Stop, OnPause::Deny, OnPause::Ask];

/// What the table says.
pub(crate) fn says(event: HookEvent, on_pause: OnPause, exhausted: bool) -> Cell {
    let name = format!("{event:?}");
    let line = TABLE.lines().find(|l| l.split_whitespace().next() == Some(&name)).unwrap();
    let columns: Vec<&str> =
        line.split('|').nth(if exhausted { 2 } else { 1 }).unwrap().split_whitespace().collect();
    let mode = MODES.iter().position(|m| *m == on_pause).unwrap();
    match columns[mode] {
        "allow" => Cell::Allow,
        "hold" => Cell::Hold,
        "stop" => Cell::Stop,
        "refuse" => Cell::Refuse,
        "deny" => Cell::Deny,
        "ask" => Cell::Ask,
        other => panic!("{other} in the table"),
    }
}

/// Every cell: event, mode, whether exhausted.
fn cells() -> impl Iterator<Item = (HookEvent, OnPause, bool)> {
    HookEvent::ALL.into_iter().flat_map(|event| {
        MODES.into_iter().flat_map(move |mode| [false, true].map(|exhausted| (event, mode, exhausted)))
    })
}

/// A world whose session is paused or, declined, exhausted.
fn shut_world(policy: Policy, exhausted: bool) -> World {
    let mut world = World::new(Policy { session: tokens_only(1_000), ..policy });
    world.hook(hook(HookEvent::SessionStart));
    world.spend(1_000);
    if exhausted {
        world.act(Act::Decline(Some(bid("session:s1")))).unwrap();
    }
    world
}

#[test]
fn every_event_is_answered_as_the_table_says() {
    for (event, on_pause, exhausted) in cells() {
        let mut world = shut_world(Policy { on_pause, ..Policy::default() }, exhausted);
        let verdict = world.hook(hook(event));
        let what = format!("{event:?} {on_pause:?} exhausted: {exhausted}");
        assert_eq!(verdict.cell, says(event, on_pause, exhausted), "{what}");
        assert_eq!(verdict.would, None, "{what}");
        assert_eq!(verdict.hold.is_some(), verdict.cell == Cell::Hold, "{what}");
        let because = verdict.because.as_ref().and_then(|b| b.budget()).unwrap().clone();
        assert_eq!(
            (because.budget, because.tokens_used, because.max_tokens),
            (bid("session:s1"), 1_000, 1_000)
        );
        assert_eq!(because.why, if exhausted { Why::Declined } else { Why::Paused }, "{what}");
    }
}

#[test]
fn observing_allows_everything_and_says_what_it_would_have_done() {
    for (event, on_pause, exhausted) in cells() {
        let policy = Policy { on_pause, mode: Mode::Observe, ..Policy::default() };
        let mut world = shut_world(policy, exhausted);
        let verdict = world.hook(hook(event));
        let what = format!("{event:?} {on_pause:?} exhausted: {exhausted}");
        let would = says(event, on_pause, exhausted);
        assert_eq!((verdict.cell, verdict.hold, verdict.texts), (Cell::Allow, None, vec![]), "{what}");
        assert_eq!(verdict.would, (would != Cell::Allow).then_some(would), "{what}");
        assert_eq!(
            verdict.because.and_then(|b| Some(b.budget()?.budget.clone())),
            Some(bid("session:s1")),
            "{what}"
        );
        assert!(world.state.holds.is_empty(), "{what}");
    }
}

#[test]
fn where_nothing_is_shut_everything_is_allowed() {
    for (event, on_pause, _) in cells() {
        let mut world = World::new(Policy { on_pause, session: tokens_only(1_000), ..Policy::default() });
        world.hook(hook(HookEvent::SessionStart));
        world.spend(799);
        assert_eq!(world.cell(event), Cell::Allow, "{event:?} {on_pause:?}");
        world.spend(200);
        assert_eq!(world.cell(event), Cell::Allow, "{event:?} {on_pause:?} in warning");
    }
}

#[test]
fn a_hard_limit_and_a_hold_that_ran_out_say_so() {
    let mut world = World::with_session(1_000);
    world.spend(1_000);
    world.spend(200);
    let verdict = world.hook(hook(HookEvent::PreToolUse));
    assert_eq!((verdict.cell, verdict.because.unwrap().why()), (Cell::Stop, Why::Exhausted));

    let mut world = World::with_session(1_000);
    world.spend(1_000);
    let hold = world.held(hook(HookEvent::PreToolUse));
    world.now = world.hold(hold).deadline;
    world.tick();
    let verdict = world.hook(hook(HookEvent::PreToolUse));
    assert_eq!((verdict.cell, verdict.because.unwrap().why()), (Cell::Stop, Why::RanOut));
}

#[test]
fn a_limit_in_dollars_answers_with_dollars() {
    let limit = Limit { tokens: 0, micro_usd: 500 };
    let mut world = World::new(Policy { session: limit, ..Policy::default() });
    world.hook(hook(HookEvent::SessionStart));
    world.pay(501);
    let because = world.hook(hook(HookEvent::PreToolUse)).because.unwrap().budget().unwrap().clone();
    assert_eq!((because.micro_usd_used, because.max_micro_usd, because.by_cost), (501, 500, true));
}

#[test]
fn every_event_has_the_clients_name_and_its_way_with_text() {
    let rows = [
        (HookEvent::SessionStart, "SessionStart", false),
        (HookEvent::SessionEnd, "SessionEnd", false),
        (HookEvent::HumanPrompt, "UserPromptSubmit", true),
        (HookEvent::OtherPrompt, "UserPromptSubmit", true),
        (HookEvent::PreToolUse, "PreToolUse", true),
        (HookEvent::PostToolUse, "PostToolUse", true),
        (HookEvent::PostToolUseFailure, "PostToolUseFailure", false),
        (HookEvent::PostToolBatch, "PostToolBatch", true),
        (HookEvent::SubagentStart, "SubagentStart", false),
        (HookEvent::SubagentStop, "SubagentStop", false),
        (HookEvent::Stop, "Stop", false),
        (HookEvent::PreCompact, "PreCompact", false),
        (HookEvent::PostCompact, "PostCompact", false),
        (HookEvent::Notification, "Notification", false),
    ];
    assert_eq!(rows.map(|r| r.0), HookEvent::ALL);
    for (event, name, carries_text) in rows {
        assert_eq!((event.name(), event.carries_text()), (name, carries_text));
    }
}
