//! Who may act: the passphrase, its reset, and other settings while somebody is held.

use std::collections::BTreeMap;

use bursar_engine::alert::AlertType;
use bursar_engine::budget::Status;
use bursar_engine::command::Act;
use bursar_engine::error::OperatorError;
use bursar_engine::event::Event;
use bursar_engine::hold::HoldEnd;
use bursar_engine::policy::{Mode, Policy};
use bursar_engine::protection::{PassphraseHash, Protect, RESET_AFTER_MS, Standing};
use bursar_engine::ratio::Ratio;
use bursar_engine::table::HookEvent;

use crate::support::{World, bid, hook};

const ID: &str = "session:s1";

fn hash(text: &str) -> PassphraseHash {
    PassphraseHash(text.to_owned())
}

fn set(new: &str, old: Option<&str>) -> Act {
    Act::Protect(Protect::Set { hash: hash(new), replaces: old.map(hash) })
}

fn standing(world: &World) -> Standing<'_> {
    world.state.protection.standing(world.now)
}

#[test]
fn a_passphrase_is_replaced_only_by_whoever_gave_it() {
    let mut world = World::with_session(1_000);
    assert_eq!(standing(&world), Standing::Locked);
    world.act(set("first", None)).unwrap();
    assert_eq!(standing(&world), Standing::Passphrase(&hash("first")));
    for old in [None, Some("another")] {
        assert!(matches!(world.act(set("second", old)), Err(OperatorError::Refused(_))), "{old:?}");
    }
    world.act(set("second", Some("first"))).unwrap();
    assert_eq!(standing(&world), Standing::Passphrase(&hash("second")));
    assert!(!format!("{:?}", world.state).contains("second"), "a hash is shown");
    world.act(Act::Protect(Protect::Unprotect)).unwrap();
    assert_eq!(standing(&world), Standing::Unprotected);
    world.act(set("third", None)).unwrap();
}

#[test]
fn a_forgotten_passphrase_holds_until_its_reset_counts() {
    let mut world = World::with_session(1_000);
    assert!(matches!(world.act(Act::Protect(Protect::Reset)), Err(OperatorError::NotFound(_))));
    world.act(set("old", None)).unwrap();
    world.act(Act::Protect(Protect::Reset)).unwrap();
    assert_eq!(world.alerts_of("host:local"), [AlertType::PassphraseReset]);
    world.wait_ms(RESET_AFTER_MS - 1);
    assert_eq!(standing(&world), Standing::Passphrase(&hash("old")));
    // Asked for again, it does not begin again.
    world.act(Act::Protect(Protect::Reset)).unwrap();
    world.wait_ms(1);
    assert_eq!(standing(&world), Standing::Forgotten);
    world.act(set("new", None)).unwrap();
    assert_eq!(standing(&world), Standing::Passphrase(&hash("new")));
    assert_eq!(world.alerts_of("host:local").len(), 1);
}

#[test]
fn unlocking_with_the_old_passphrase_cancels_the_reset() {
    let mut world = World::with_session(1_000);
    world.act(set("old", None)).unwrap();
    world.act(Act::Protect(Protect::Reset)).unwrap();
    world.wait_ms(RESET_AFTER_MS / 2);
    world.act(Act::Protect(Protect::Unlock)).unwrap();
    world.wait_ms(RESET_AFTER_MS);
    assert_eq!(standing(&world), Standing::Passphrase(&hash("old")));
}

#[test]
fn each_of_these_acts_is_recorded_once_under_its_id() {
    let mut world = World::with_session(1_000);
    for _ in 0..2 {
        for protect in [Protect::Unlock, Protect::Lock, Protect::Unprotect] {
            world.act_as("the same id", Act::Protect(protect)).unwrap();
        }
    }
    let acts = world.events.iter().filter_map(|e| match e {
        Event::Operator(record) => Some(record.act.as_str()),
        _ => None,
    });
    assert_eq!(acts.collect::<Vec<_>>(), ["unlock", "lock", "unprotect"]);
}

#[test]
fn settings_that_are_accepted_let_go_what_nothing_shuts_any_more() {
    let looser: [fn(&mut Policy); 3] =
        [|p| p.pause = Ratio::ONE, |p| p.mode = Mode::Observe, |p| p.enabled = false];
    for (n, loosen) in looser.into_iter().enumerate() {
        let mut world = World::with_session(1_000);
        world.state.policy.alert = Ratio(400_000);
        world.state.policy.pause = Ratio(500_000);
        world.spend(600);
        assert_eq!(world.status(ID), Status::Paused);
        let hold = world.held(hook(HookEvent::PreToolUse));
        let mut policy = world.state.policy.clone();
        loosen(&mut policy);
        let settings = BTreeMap::new();
        let done = world.act(Act::AcceptConfig { policy: Box::new(policy.clone()), settings }).unwrap();
        assert_eq!((done.released, world.end_of(hold)), (1, Some(HoldEnd::Released)), "case {n}");
        assert_eq!(world.state.policy, policy);
        assert_eq!(world.state.budgets[&bid(ID)].status.is_shut(), n > 0, "case {n}");
    }
}

#[test]
fn settings_open_nothing_that_a_person_shut() {
    let mut world = World::with_session(1_000);
    world.spend(1_000);
    let hold = world.held(hook(HookEvent::PreToolUse));
    world.act(Act::Decline(None)).unwrap();
    let policy = Policy { hard: Ratio(9_000_000), ..world.state.policy.clone() };
    world.act(Act::AcceptConfig { policy: Box::new(policy), settings: BTreeMap::new() }).unwrap();
    assert_eq!((world.status(ID), world.end_of(hold)), (Status::Exhausted, Some(HoldEnd::Declined)));
}
