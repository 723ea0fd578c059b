//! The store's promise: what was committed is what is loaded, whatever happened before, and nothing that was there is
//! lost to a file that cannot be used.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

mod support;

use std::collections::BTreeMap;
use std::fs;

use bursar::store::{Reader, Store, StoreError};
use bursar_engine::State;
use bursar_engine::command::{Act, Amount, Call, Command, Operator, Outcome};
use bursar_engine::ids::{AlertId, HoldId};
use bursar_engine::policy::{CircuitPolicy, Limit, Policy, Profile};
use bursar_engine::protection::{PassphraseHash, Protect};
use bursar_engine::table::HookEvent;
use bursar_engine::time::Timestamp;
use proptest::prelude::*;
use support::{apply, hook, request, session, whole};

fn policy() -> Policy {
    let circuits =
        CircuitPolicy { profile: Profile::Strict, duplicate_threshold: 2, ..CircuitPolicy::default() };
    Policy { session: Limit { tokens: 1_000, micro_usd: 0 }, circuits, ..Policy::default() }
}

fn operator(request_id: String, act: Act) -> Command {
    Command::Operator(Operator {
        request_id,
        who: "uid 0 pid 1".to_owned(),
        reason: "a test".to_owned(),
        say: None,
        may_only_tighten: false,
        by_agent: false,
        refused: None,
        act,
    })
}

/// One of a few calls: two identities, some with an outcome.
fn made(n: u8) -> Call {
    let input = if n.is_multiple_of(3) { "1" } else { "2" };
    let made = Call::new(Some(&n.to_string()), "Bash", "Bash".to_owned(), Some(input));
    Call { outcome: n.is_multiple_of(2).then(|| Outcome::new("Bash", true, None)), ..made }
}

fn protect() -> impl Strategy<Value = Protect> {
    let set = prop::sample::select(vec!["one", "two"]).prop_map(|hash| {
        let hash = PassphraseHash(hash.to_owned());
        Protect::Set { replaces: Some(hash.clone()), hash }
    });
    let others =
        prop::sample::select(vec![Protect::Unlock, Protect::Lock, Protect::Unprotect, Protect::Reset]);
    prop_oneof![set, others]
}

/// Anything that can happen to two sessions.
fn command() -> impl Strategy<Value = Command> {
    let id = prop::sample::select(vec!["s1", "s2"]);
    let event = prop::sample::select(HookEvent::ALL.to_vec());
    let agent = prop::option::of(prop::sample::select(vec!["a1", "a2"]));
    let budget = prop::sample::select(vec!["session:s1", "session:s2", "agent:a1"]);
    let calls = prop::collection::vec(0..6_u8, 0..3);
    prop_oneof![
        6 => (id.clone(), event, agent, any::<bool>(), calls).prop_map(|(id, event, agent, attended, calls)| {
            let mut hook = hook(id, event, 1);
            hook.agent = bursar_engine::ids::AgentKey::new(agent).unwrap();
            hook.attended = attended;
            hook.calls = calls.iter().map(|n| made(*n)).collect();
            Command::Hook(hook)
        }),
        4 => (id.clone(), 0..20_u32, 0..700_u64)
            .prop_map(|(id, message, tokens)| request(id, &format!("m{message}"), tokens, 5)),
        1 => (any::<u16>(), budget.clone()).prop_map(|(n, budget)| {
            let amount = Amount::Exact(Limit { tokens: 500, micro_usd: 0 });
            operator(format!("r{n}"), Act::Extend { budget: budget.parse().ok(), amount })
        }),
        1 => (any::<u16>(), budget).prop_map(|(n, budget)| operator(format!("r{n}"), Act::Decline(budget.parse().ok()))),
        1 => Just(operator("seen".to_owned(), Act::AcknowledgeAlert(None))),
        1 => any::<u16>().prop_map(|n| operator(format!("r{n}"), Act::Acknowledge(None))),
        1 => (1..5_u64).prop_map(|n| Command::HoldLost(HoldId(n))),
        1 => (any::<u16>(), protect()).prop_map(|(n, protect)| operator(format!("p{n}"), Act::Protect(protect))),
        1 => Just(Command::Tick),
        1 => id.prop_map(|id| Command::ClientGone(session(id))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_restart_gives_the_same_state(commands in prop::collection::vec((command(), any::<bool>()), 1..40)) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bursar.db");
        let mut state = State::new(policy());
        let mut store = Store::open(&path).unwrap();
        for (n, (command, again)) in commands.iter().enumerate() {
            let events = apply(&mut state, command, 10 + n as u64);
            store.commit(&events, n % 2 == 0).unwrap();
            if *again {
                // Absolute values: a commit that was made twice is a commit that was made once.
                let repeatable = events.iter().filter(|e| !matches!(e, bursar_engine::Event::Operator(_)));
                store.commit(repeatable, false).unwrap();
            }
        }
        prop_assert_eq!(whole(&store.load(policy()).unwrap()), whole(&state));
        // As a killed process leaves it: not closed, its log not copied back.
        let after = Store::open(&path).unwrap().load(policy()).unwrap();
        prop_assert_eq!(whole(&after), whole(&state));
        prop_assert_eq!(Reader::open(&path).unwrap().broken_audit_link().unwrap(), None);
    }
}

#[test]
fn the_settings_of_the_last_run_are_kept_and_the_audit_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bursar.db");
    let mut store = Store::open(&path).unwrap();
    assert_eq!(store.settings().unwrap(), None);
    let mut state = State::new(policy());
    for value in ["1", "2"] {
        let settings = BTreeMap::from([("A_SETTING".to_owned(), value.to_owned())]);
        let configured = Command::Configured { policy: Box::new(policy()), settings: settings.clone() };
        store.commit(&apply(&mut state, &configured, 5), true).unwrap();
        assert_eq!(Store::open(&path).unwrap().settings().unwrap(), Some(settings));
    }
    for (id, protect) in [("r1", Protect::Unprotect), ("r2", Protect::Reset)] {
        let command = operator(id.to_owned(), Act::Protect(protect));
        store.commit(&apply(&mut state, &command, 5), true).unwrap();
    }
    let acts = store.reader().unwrap().acts(9).unwrap();
    let acts: Vec<_> = acts.iter().map(|a| (a.act.as_str(), a.refused.is_some())).collect();
    assert_eq!(acts, [("reset_passphrase", true), ("unprotect", false)]);
    assert_eq!(store.reader().unwrap().acts(1).unwrap().len(), 1);
}

#[test]
fn rows_that_the_state_forgot_come_back_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&dir.path().join("bursar.db")).unwrap();
    let mut state = State::new(policy());
    for command in [Command::Hook(hook("s1", HookEvent::SessionStart, 1)), request("s1", "m1", 42, 5)] {
        store.commit(&apply(&mut state, &command, 5), false).unwrap();
    }
    let asked = ["m1".to_owned(), "never".to_owned()];
    let rows = store.reader().unwrap().rows(&asked).unwrap();
    assert_eq!(rows, [state.recent.get("m1").unwrap().clone()]);
}

#[test]
fn old_rows_become_sums_by_the_hour_and_are_not_counted_again() {
    const HOUR: u64 = 3_600_000;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bursar.db");
    let mut store = Store::open(&path).unwrap();
    let mut state = State::new(policy());
    let mut step = |state: &mut State, command: &Command| {
        store.commit(&apply(state, command, 9 * HOUR), false).unwrap();
    };
    step(&mut state, &Command::Hook(hook("s1", HookEvent::SessionStart, 1)));
    for (message, at) in [("m1", HOUR), ("m2", HOUR + 5), ("m3", 3 * HOUR), ("m4", 8 * HOUR)] {
        step(&mut state, &request("s1", message, 10, at));
    }
    let reader = Reader::open(&path).unwrap();
    let before = Timestamp(5 * HOUR);
    let old = || reader.sessions_with_rows_before(before, 9).unwrap();
    assert_eq!(old(), [session("s1")]);
    let roll_up = Command::RollUp { sessions: vec![session("s1")], before };
    step(&mut state, &roll_up);
    step(&mut state, &roll_up);
    assert_eq!(old(), []);
    let hours = reader.history(&session("s1")).unwrap();
    let sums: Vec<_> = hours.iter().map(|h| (h.hour.0, h.totals.usage.output, h.totals.requests)).collect();
    assert_eq!(sums, [(HOUR, 20, 2), (3 * HOUR, 10, 1)]);
    let left = reader.rows(&["m1".to_owned(), "m4".to_owned()]).unwrap();
    assert_eq!(left.iter().map(|r| r.message_id.as_str()).collect::<Vec<_>>(), ["m4"]);
    // After a restart the keys are gone from memory too: the line is known to have been counted by its date.
    let mut after = Store::open(&path).unwrap().load(policy()).unwrap();
    let totals = after.totals.clone();
    apply(&mut after, &request("s1", "m1", 10, HOUR), 9 * HOUR);
    assert_eq!(after.totals, totals);
}

#[test]
fn what_is_past_its_retention_is_forgotten_unless_it_is_shut() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bursar.db");
    let mut store = Store::open(&path).unwrap();
    let mut state = State::new(policy());
    for id in ["old", "shut", "new"] {
        let at = if id == "new" { 1_000_000 } else { 1 };
        let events = apply(&mut state, &Command::Hook(hook(id, HookEvent::SessionStart, at)), at);
        store.commit(&events, false).unwrap();
        let tokens = if id == "shut" { 1_000 } else { 10 };
        store.commit(&apply(&mut state, &request(id, id, tokens, at), at), false).unwrap();
    }
    let forget = Command::Forget { before: Timestamp(500_000) };
    store.commit(&apply(&mut state, &forget, 1_000_000), false).unwrap();
    assert_eq!(state.sessions.keys().map(ToString::to_string).collect::<Vec<_>>(), ["new", "shut"]);
    assert_eq!(whole(&Store::open(&path).unwrap().load(policy()).unwrap()), whole(&state));
}

#[test]
fn an_alert_that_was_seen_stays_seen() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&dir.path().join("bursar.db")).unwrap();
    let mut state = State::new(policy());
    for command in [
        Command::Hook(hook("s1", HookEvent::SessionStart, 1)),
        request("s1", "m1", 1_000, 5),
        operator("seen".to_owned(), Act::AcknowledgeAlert(Some(AlertId(1)))),
    ] {
        store.commit(&apply(&mut state, &command, 5), false).unwrap();
    }
    assert!(store.load(policy()).unwrap().alerts[&AlertId(1)].acknowledged);
}

#[test]
fn a_file_that_cannot_be_used_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("noise.db"), [7_u8; 5_000]).unwrap();
    drop(Store::open(&at("cut.db")).unwrap());
    let whole = fs::read(at("cut.db")).unwrap();
    fs::write(at("cut.db"), &whole[..whole.len() - 5_000]).unwrap();
    for name in ["noise.db", "cut.db"] {
        let before = fs::read(at(name)).unwrap();
        let error = Store::open(&at(name)).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{name}: {error}");
        assert!(error.to_string().contains("Move it away"), "{error}");
        assert_eq!(fs::read(at(name)).unwrap(), before, "{name}");
    }
}

#[test]
fn the_file_is_private_whatever_the_umask() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bursar.db");
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    drop(Store::open(&path).unwrap());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}
