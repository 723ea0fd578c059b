//! Sessions that no hook tells of: counted like others, told of once, and hooked by their first hook.

use bursar_engine::alert::AlertType;
use bursar_engine::command::{Command, Found, Hook};
use bursar_engine::policy::Policy;
use bursar_engine::table::HookEvent;
use bursar_engine::time::Timestamp;

use crate::runs::file;
use crate::support::{S, START, World, bid, hook, row, sid, tokens_only};

fn found(session: &str) -> Command {
    Command::Found(Found {
        session: sid(session),
        transcript: format!("/t/{session}.jsonl"),
        cwd: Some("/home/ada/parser".to_owned()),
        project: Some("parser".to_owned()),
        began: START,
    })
}

fn told(world: &World) -> usize {
    world.state.alerts.values().filter(|a| a.alert_type == AlertType::UnhookedSession).count()
}

#[test]
fn it_is_counted_in_its_budget_and_told_of_once() {
    let mut world = World::new(Policy { session: tokens_only(1_000), ..Policy::default() });
    world.now = Timestamp(START.0 + 5_000);
    world.send(&found(S));
    let session = &world.state.sessions[&sid(S)];
    assert!(session.unhooked && session.ended.is_none());
    // Its budget begins with its file, not when it was found.
    assert_eq!(
        (session.first_seen, world.state.budgets[&bid(&format!("session:{S}"))].started_at),
        (START, START)
    );
    world.send(&found(S));
    assert_eq!(told(&world), 1);
    // A later round with news brings it back.
    world.send(&Command::ClientGone(sid(S)));
    assert!(world.state.sessions[&sid(S)].ended.is_some());
    world.send(&found(S));
    assert!(world.state.sessions[&sid(S)].ended.is_none());
    assert_eq!(told(&world), 1);
}

#[test]
fn its_first_hook_makes_it_one_like_others_and_a_hooked_one_is_never_found() {
    let mut world = World::with_session(0);
    let before = world.state.clone();
    world.send(&found(S));
    assert_eq!(world.state, before);
    world.send(&found("s2"));
    assert!(world.state.sessions[&sid("s2")].unhooked);
    world.hook(Hook { session: sid("s2"), ..hook(HookEvent::PreToolUse) });
    assert!(!world.state.sessions[&sid("s2")].unhooked);
    world.send(&found("s2"));
    assert!(!world.state.sessions[&sid("s2")].unhooked);
}

#[test]
fn its_clients_last_word_ends_it() {
    let mut world = World::new(Policy::default());
    world.send(&found(S));
    let read = |claim| bursar_engine::command::Usage {
        file: Some(file(S)),
        rows: vec![row("m1", 100)],
        known: Vec::new(),
        claim,
    };
    world.send(&Command::Usage(read(None)));
    assert!(world.state.sessions[&sid(S)].ended.is_none());
    world.send(&Command::Usage(read(Some(crate::runs::says(100)))));
    assert!(world.state.sessions[&sid(S)].ended.is_some());
    // That one has hooks: they tell of its end.
    world.hook(Hook { session: sid("s2"), ..hook(HookEvent::SessionStart) });
    let claim =
        bursar_engine::command::Usage { file: Some(file("s2")), ..read(Some(crate::runs::says(100))) };
    world.send(&Command::Usage(claim));
    assert!(world.state.sessions[&sid("s2")].ended.is_none());
}

#[test]
fn no_flood_of_files_is_a_flood_of_alerts() {
    let mut world = World::new(Policy::default());
    for n in 0..100 {
        world.send(&found(&format!("s{n}")));
    }
    assert_eq!(told(&world), 20);
}
