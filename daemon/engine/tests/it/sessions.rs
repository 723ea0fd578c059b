//! What is known of a session, how long it is kept, and what is forgotten with it (DESIGN 7.2).

use bursar_engine::Event;
use bursar_engine::command::{Act, Command, Hook};
use bursar_engine::ids::AgentKey;
use bursar_engine::row::{MAX_ROWS_PER_COMMAND, Sighting};
use bursar_engine::session::{SEEN_STEP_MS, Session};
use bursar_engine::table::{Cell, HookEvent};
use bursar_engine::time::Timestamp;
use bursar_engine::usage::Usage;

use crate::support::{S, START, World, bid, hook, key, row, sid, sub_hook};

fn session(world: &World) -> &Session {
    &world.state.sessions[&sid(S)]
}

/// A hook that names everything.
fn full() -> Hook {
    Hook {
        cwd: Some("/home/ada/parser".to_owned()),
        project: Some("parser".to_owned()),
        transcript: Some("/t/s1.jsonl".to_owned()),
        client_pid: Some(4_711),
        task: Some("port".to_owned()),
        shown_as: Some("release-bot".to_owned()),
        ..hook(HookEvent::SessionStart)
    }
}

#[test]
fn the_first_hook_tells_all_of_a_session() {
    let mut world = World::with_session(0);
    world.state.sessions.clear();
    world.hook(full());
    let expected = Session {
        id: sid(S),
        first_seen: START,
        last_seen: START,
        ended: None,
        cwd: Some("/home/ada/parser".to_owned()),
        project: Some("parser".to_owned()),
        transcript: Some("/t/s1.jsonl".to_owned()),
        client_pid: Some(4_711),
        attended: true,
        shown_as: Some("release-bot".to_owned()),
        tasks: [].into(),
        env_task: Some("port".to_owned()),
        draws_on: None,
        follows: None,
        unhooked: false,
        unconfirmed: false,
        payload_rows: 0,
    };
    assert_eq!(session(&world), &expected);
}

#[test]
fn a_hook_that_tells_nothing_new_is_no_fact() {
    let mut world = World::with_session(0);
    world.hook(full());
    let again = Hook { cwd: Some("/elsewhere".to_owned()), event: HookEvent::PreToolUse, ..full() };
    assert_eq!(world.send(&Command::Hook(again)).events, []);
    assert_eq!(session(&world).cwd.as_deref(), None, "it belongs to where it started");
}

#[test]
fn each_thing_that_a_later_hook_tells_is_kept() {
    let told = |later: Hook| {
        let mut world = World::with_session(0);
        world.hook(full());
        let before = session(&world).clone();
        world.hook(later);
        (before, session(&world).clone())
    };
    let other = || Some("other".to_owned());
    let (old, new) = told(Hook { transcript: other(), ..full() });
    assert_eq!(new, Session { transcript: other(), ..old });
    let (old, new) = told(Hook { shown_as: other(), ..full() });
    assert_eq!(new, Session { shown_as: other(), ..old });
    let (old, new) = told(Hook { client_pid: Some(5), ..full() });
    assert_eq!(new, Session { client_pid: Some(5), ..old });
    let (old, new) = told(Hook { attended: false, ..full() });
    assert_eq!(new, Session { attended: false, ..old });
    let (old, new) = told(Hook { task: other(), ..full() });
    assert_eq!(new, Session { env_task: other(), ..old });
    // What a hook does not name stays; the task alone is what stands in the client's environment.
    let (old, new) = told(hook(HookEvent::PreToolUse));
    assert_eq!(new, Session { env_task: None, ..old });
}

#[test]
fn when_it_was_seen_last_is_known_to_a_few_seconds() {
    let mut world = World::with_session(0);
    for (wait, last_seen) in [(SEEN_STEP_MS - 1, 0), (1, SEEN_STEP_MS), (1, SEEN_STEP_MS), (9_999, 15_000)] {
        world.wait_ms(wait);
        world.hook(hook(HookEvent::PreToolUse));
        assert_eq!(session(&world).last_seen, START.plus_ms(last_seen));
    }
    assert_eq!(session(&world).first_seen, START);
}

#[test]
fn a_session_ends_by_its_own_word_or_with_its_client_and_a_hook_brings_it_back() {
    let mut world = World::with_session(0);
    for end in [Command::Hook(hook(HookEvent::SessionEnd)), Command::ClientGone(sid(S))] {
        world.wait_ms(10);
        world.send(&end);
        assert_eq!(session(&world).ended, Some(world.now));
        world.hook(hook(HookEvent::SessionStart));
        assert_eq!(session(&world).ended, None);
    }
    // Once it has ended, or where nobody knows it, a client that is gone is no news.
    world.hook(hook(HookEvent::SessionEnd));
    for known in [S, "nobody"] {
        assert_eq!(world.send(&Command::ClientGone(sid(known))).events, []);
    }
}

#[test]
fn rows_whose_keys_may_be_gone_are_not_counted_again() {
    let mut world = World::with_session(10_000);
    let day = 86_400_000;
    world.wait_ms(40 * day);
    let horizon = START.plus_ms(10 * day);
    world.send(&Command::RollUp { sessions: vec![sid(S)], before: horizon });
    let at = |id: &str, at: Timestamp| Sighting { at, ..row(id, 100) };
    world.read(vec![at("older", Timestamp(horizon.0 - 1)), at("newer", horizon)]);
    assert_eq!((world.totals(None).requests, world.stands("session:s1").0), (1, 100));
    // Another session, of which nothing is rolled up, catches up from its beginning.
    world.read(vec![Sighting { session: sid("s2"), ..at("first", START) }]);
    assert_eq!(world.state.totals_of(&sid("s2")).count(), 1);
    // A row that is still known can be corrected, however old.
    let corrected = Usage { input: 100, output: 5, ..Usage::default() };
    world.read(vec![Sighting { usage: corrected, ..at("newer", START) }]);
    assert_eq!(world.totals(None).usage, corrected);
}

#[test]
fn a_session_is_forgotten_with_all_that_is_its_own() {
    let mut world = World::with_session(10_000);
    for id in ["s2", "s3"] {
        world.hook(Hook { session: sid(id), ..hook(HookEvent::SessionStart) });
        let agent = Hook { agent: key(Some(&format!("{id}-a"))), ..sub_hook(HookEvent::SubagentStart, "x") };
        world.hook(Hook { session: sid(id), ..agent });
        world.spend_in(id, None, 10);
    }
    world.wait_ms(1_000_000);
    world.hook(Hook { session: sid("s2"), ..hook(HookEvent::PreToolUse) });
    let events = world.send(&Command::Forget { before: START.plus_ms(1) }).events;
    assert!(matches!(events.last(), Some(Event::HistoryEnded { .. })));
    let state = &world.state;
    assert_eq!(state.sessions.keys().map(ToString::to_string).collect::<Vec<_>>(), ["s2"]);
    let budgets: Vec<_> = state.budgets.keys().map(ToString::to_string).collect();
    assert_eq!(budgets, ["agent:s2-a", "session:s2"]);
    assert!(state.agents.keys().chain([&(sid("s2"), AgentKey::Main)]).all(|(s, _)| *s == sid("s2")));
    assert_eq!(state.totals.keys().map(|(s, _, _)| s.as_str()).collect::<Vec<_>>(), ["s2"]);
}

#[test]
fn what_is_shut_or_waits_is_not_forgotten_however_old() {
    let decline = |id: &str| Act::Decline(Some(bid(id)));
    let shut =
        |id: &str| Act::Set { budget: bid(id), tokens: None, micro_usd: None, alert: None, shut: true };
    let forgotten = |prepare: &dyn Fn(&mut World)| {
        let mut world = World::with_session(1_000);
        world.hook(sub_hook(HookEvent::SubagentStart, "a1"));
        prepare(&mut world);
        world.wait_ms(1_000_000);
        world.send(&Command::Forget { before: world.now });
        world.state.sessions.is_empty()
    };
    assert!(forgotten(&|_| {}));
    assert!(!forgotten(&|world| drop(world.act(decline("session:s1")).unwrap())));
    assert!(!forgotten(&|world| drop(world.act(decline("agent:a1")).unwrap())));
    // Who waits under a task's budget waits, though nothing of its own is shut.
    assert!(!forgotten(&|world| {
        let on_task = Hook { task: Some("t1".to_owned()), ..hook(HookEvent::PreToolUse) };
        world.hook(on_task.clone());
        world.act(shut("task:t1")).unwrap();
        world.held(on_task);
    }));
}

#[test]
fn a_shut_task_outlives_the_sessions_that_drew_on_it() {
    let mut world = World::with_session(0);
    let on_task = Hook { task: Some("t1".to_owned()), ..hook(HookEvent::PreToolUse) };
    world.hook(on_task.clone());
    world.act(Act::Decline(Some(bid("task:t1")))).unwrap();
    world.wait_ms(1_000_000);
    world.send(&Command::Forget { before: world.now });
    assert!(world.state.sessions.is_empty());
    assert_eq!(world.hook(on_task).cell, Cell::Stop);
}

#[test]
fn one_command_rolls_up_and_forgets_a_bounded_number_of_sessions() {
    let mut world = World::with_session(0);
    let ids: Vec<_> = (0..=MAX_ROWS_PER_COMMAND).map(|n| sid(&format!("n{n}"))).collect();
    for id in &ids {
        world.hook(Hook { session: id.clone(), ..hook(HookEvent::SessionStart) });
    }
    world.wait_ms(1_000_000);
    let before = world.now;
    let rolled = world.send(&Command::RollUp { sessions: ids, before }).events;
    assert_eq!(rolled.len(), MAX_ROWS_PER_COMMAND);
    let forgotten = world.send(&Command::Forget { before }).events;
    assert_eq!(forgotten.len(), MAX_ROWS_PER_COMMAND + 1);
    assert_eq!(world.state.sessions.len(), 2, "the rest goes with the next");
}
