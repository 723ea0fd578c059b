//! Random histories: a few sessions, agents and tasks; hooks, requests with repeats and corrections, acts, ticks.

use bursar_engine::circuit::CircuitId;
use bursar_engine::command::{Act, Amount, Call, Command, Hook, Operator, Usage as UsageRead};
use bursar_engine::ids::{AlertId, BudgetId, HoldId};
use bursar_engine::policy::{CircuitPolicy, Limit, Mode, OnPause, Policy, Profile};
use bursar_engine::protection::{PassphraseHash, Protect};
use bursar_engine::ratio::Ratio;
use bursar_engine::row::Sighting;
use bursar_engine::table::HookEvent;
use bursar_engine::time::Timestamp;
use bursar_engine::usage::{MICRO, Usage, Weights};
use bursar_engine::{Decision, State, decide};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::{START, bid, calls, hook, key, operator, row, sid};

/// One thing that happens. What it refers to by a number is looked up in the state it happens in.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Hook(Hook, i64),
    Meet(Hook, i64),
    Read(Vec<(Sighting, u64)>),
    Act(Operator),
    Tick,
    /// The time of the hold that ends first is over.
    RunOut,
    Wait(u64),
    HoldLost(usize),
    HoldResumed(usize),
    ClientGone(&'static str),
}

/// A command as it was given, with what stood before it and what it came to.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pub(crate) before: State,
    pub(crate) now: Timestamp,
    pub(crate) command: Command,
    pub(crate) decision: Decision,
    pub(crate) after: State,
}

/// Lets the steps happen one after the other.
pub(crate) fn tell(policy: &Policy, steps: &[Step]) -> Vec<Taken> {
    let mut state = State::new(policy.clone());
    let mut now = START;
    let mut story = Vec::new();
    for step in steps {
        let Some(command) = command(step, &state, &mut now) else { continue };
        let decision = decide(&state, &command, now);
        let before = state.clone();
        decision.events.iter().for_each(|event| state.evolve(event));
        story.push(Taken { before, now, command, decision, after: state.clone() });
    }
    story
}

fn command(step: &Step, state: &State, now: &mut Timestamp) -> Option<Command> {
    let moved = |by: i64| Timestamp(now.0.saturating_add_signed(by));
    Some(match step {
        Step::Hook(hook, wall) => Command::Hook(Hook { wall: moved(*wall), ..hook.clone() }),
        Step::Meet(hook, wall) => Command::Meet(Hook { wall: moved(*wall), ..hook.clone() }),
        Step::Read(lines) => {
            let rows =
                lines.iter().map(|(line, age)| Sighting { at: Timestamp(now.0 - age), ..line.clone() });
            Command::Usage(UsageRead { file: None, rows: rows.collect(), known: Vec::new(), claim: None })
        }
        Step::Act(operator) => Command::Operator(operator.clone()),
        Step::Tick => Command::Tick,
        Step::RunOut => {
            *now = state.next_deadline().map_or(*now, |deadline| deadline.max(*now));
            Command::Tick
        }
        Step::Wait(ms) => {
            *now = now.plus_ms(*ms);
            return None;
        }
        Step::HoldLost(n) => Command::HoldLost(some_hold(state, *n)),
        Step::HoldResumed(n) => Command::HoldResumed(some_hold(state, *n)),
        Step::ClientGone(session) => Command::ClientGone(sid(session)),
    })
}

/// The n-th hold from the end, so that most are ones that wait; one that nobody knows where there is none.
fn some_hold(state: &State, n: usize) -> HoldId {
    state.holds.keys().rev().nth(n).copied().unwrap_or(HoldId(1_000_000))
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    vec(step(), 1..80)
}

fn step() -> impl Strategy<Value = Step> {
    // The wall clock of a hook: as ours, behind it, ahead of it.
    let wall = || prop_oneof![4 => Just(0_i64), 1 => -5_000_i64..5_000];
    prop_oneof![
        16 => (any_hook(), wall()).prop_map(|(hook, wall)| Step::Hook(hook, wall)),
        1 => (any_hook(), wall()).prop_map(|(hook, wall)| Step::Meet(hook, wall)),
        10 => lines(4).prop_map(Step::Read),
        8 => any_act().prop_map(Step::Act),
        1 => Just(Step::Tick),
        1 => Just(Step::RunOut),
        3 => prop_oneof![6 => 1_u64..2_000, 3 => 10_000..40_000_u64, 1 => Just(100_000_000)].prop_map(Step::Wait),
        1 => (0_usize..3).prop_map(Step::HoldLost),
        1 => (0_usize..3).prop_map(Step::HoldResumed),
        1 => select(SESSIONS).prop_map(Step::ClientGone),
    ]
}

const WHERE_HOLDS_BEGIN: &[HookEvent] =
    &[HookEvent::PreToolUse, HookEvent::PostToolBatch, HookEvent::OtherPrompt];
const SESSIONS: &[&str] = &["s1", "s1", "s2"];
const AGENTS: &[Option<&str>] = &[None, None, Some("a1"), Some("a2")];
const TASKS: &[Option<&str>] = &[None, None, None, Some("t1"), Some("t2")];
const MODELS: &[&str] = &["claude-opus-5-5", "claude-haiku-5-5"];
const MESSAGES: &[Option<&str>] =
    &[None, Some("m1"), Some("m2"), Some("m3"), Some("m4"), Some("m5"), Some("m6"), Some("m7"), Some("m8")];

/// Agents have ids of their own over all sessions.
fn agent_of(session: &str, agent: Option<&str>) -> bursar_engine::ids::AgentKey {
    key(agent.map(|a| format!("{session}-{a}")).as_deref())
}

prop_compose! {
    fn any_hook()(
        event in prop_oneof![1 => select(&HookEvent::ALL[..]), 2 => select(WHERE_HOLDS_BEGIN)],
        session in select(SESSIONS),
        agent in select(AGENTS),
        agent_type in select(&[None, Some(""), Some("Explore")][..]),
        task in select(TASKS),
        client in select(&[(true, false), (true, false), (true, true), (false, false), (false, true)][..]),
        timeout_s in prop_oneof![8 => Just(Some(86_460)), 1 => select(&[None, Some(20), Some(0)][..])],
        calls in vec(any_call(), 0..3),
    ) -> Hook {
        Hook {
            session: sid(session),
            agent: agent_of(session, agent),
            agent_type: agent_type.map(str::to_owned),
            task: task.map(str::to_owned),
            attended: client.0,
            ci: client.1,
            timeout_s,
            calls,
            ..hook(event)
        }
    }
}

/// Few calls and few ids, so that they repeat; with an outcome or without.
fn any_call() -> impl Strategy<Value = Call> {
    let id = option::weighted(0.9, select(&["c1", "c2", "c3", "c4", "c5", "c6"][..]));
    let came = option::of((any::<bool>(), select(&["x", "y"][..])));
    (id, select(&["ls", "ls", "pwd"][..]), came).prop_map(|(id, what, came)| match came {
        Some((ok, output)) => calls::ended(id, what, ok, output),
        None => calls::call(id, what),
    })
}

/// Lines of requests, and how old they are in milliseconds: few messages, so that they repeat and correct each other.
pub(crate) fn lines(most: usize) -> impl Strategy<Value = Vec<(Sighting, u64)>> {
    vec((any_line(), prop_oneof![4 => Just(0_u64), 1 => 0_u64..3_000]), 1..=most)
}

prop_compose! {
    fn any_line()(
        message in select(MESSAGES),
        owner in (select(&["s1", "s1", "s2", "unhooked"][..]), select(AGENTS)),
        model in select(MODELS),
        blank in prop::bool::weighted(0.1),
        input in prop_oneof![0_u64..50, 0_u64..1_500],
        output in 0_u64..5,
        cached in (0_u64..40, 0_u64..40, 0_u64..100),
        micro_usd in 0_u64..200,
    ) -> Sighting {
        let usage = Usage {
            input, output, cache_write_5m: cached.0, cache_write_1h: cached.1, cache_read: cached.2,
        };
        Sighting {
            message_id: message.map(str::to_owned),
            session: sid(owner.0),
            agent: agent_of(owner.0, owner.1),
            model: model.to_owned(),
            usage: if blank { Usage::default() } else { usage },
            micro_usd: if blank { 0 } else { micro_usd },
            ..row("", 0)
        }
    }
}

fn any_budget() -> impl Strategy<Value = BudgetId> {
    select(
        &["session:s1", "session:s1", "session:s2", "agent:s1-a1", "agent:s1-a2", "task:t1", "task:t2"][..],
    )
    .prop_map(bid)
}

prop_compose! {
    fn any_act()(
        request in 0_u32..20,
        refused in prop::bool::weighted(0.05),
        act in act(),
    ) -> Operator {
        Operator { refused: refused.then(|| "Refused: locked.".to_owned()), ..operator(&format!("r{request}"), act) }
    }
}

fn act() -> impl Strategy<Value = Act> {
    let amounts = prop_oneof![1 => Just(0_u64), 4 => 1_u64..900, 8 => 2_000_u64..9_000, 1 => Just(1_000_001)];
    let amount = prop_oneof![
        4 => (amounts.clone(), prop_oneof![3 => Just(0_u64), 1 => amounts])
            .prop_map(|(tokens, micro_usd)| Amount::Exact(Limit { tokens, micro_usd })),
        1 => (0_u32..200).prop_map(Amount::Percent),
    ];
    let limit = || option::of(select(&[0_u64, 100, 700, 2_000][..]));
    prop_oneof![
        8 => (option::weighted(0.5, any_budget()), amount)
            .prop_map(|(budget, amount)| Act::Extend { budget, amount }),
        4 => option::weighted(0.3, any_budget()).prop_map(Act::Finish),
        3 => option::of(any_budget()).prop_map(Act::Decline),
        2 => any_budget().prop_map(Act::Reset),
        2 => (any_budget(), limit(), limit(), option::of(Just(Ratio(500_000))), any::<bool>())
            .prop_map(|(budget, tokens, micro_usd, alert, shut)| {
                Act::Set { budget, tokens, micro_usd, alert, shut }
            }),
        1 => option::of((1_u64..5).prop_map(AlertId)).prop_map(Act::AcknowledgeAlert),
        1 => Just(Act::Release),
        2 => option::of(any_circuit()).prop_map(Act::Acknowledge),
        1 => any_circuit().prop_map(Act::ResetCircuit),
        1 => option::of(any_circuit()).prop_map(Act::DeclineCircuit),
        1 => select(vec![Protect::Unlock, Protect::Lock, Protect::Unprotect, Protect::Reset]).prop_map(Act::Protect),
        1 => select(&["one", "two"][..]).prop_map(|hash| {
            Act::Protect(Protect::Set { hash: PassphraseHash(hash.to_owned()), replaces: None })
        }),
    ]
}

fn any_circuit() -> impl Strategy<Value = CircuitId> {
    select(&["session:s1", "session:s2", "agent:s1-a1"][..]).prop_map(|id| id.parse().unwrap())
}

/// As [`policy`], with circuits that trip after a few calls.
pub(crate) fn policy_with_circuits() -> impl Strategy<Value = Policy> {
    (policy(), 2_u64..4, 4_u64..9).prop_map(|(policy, identical, calls)| {
        let circuits = CircuitPolicy {
            profile: Profile::Strict,
            duplicate_threshold: identical,
            max_iterations: Some(calls),
            cooldown_s: 0,
            ..CircuitPolicy::default()
        };
        Policy { circuits, ..policy }
    })
}

prop_compose! {
    pub(crate) fn policy()(
        mode in select(&[Mode::Enforce, Mode::Enforce, Mode::Enforce, Mode::Observe][..]),
        on_pause in select(&[OnPause::Hold, OnPause::Hold, OnPause::Hold, OnPause::Stop, OnPause::Deny, OnPause::Ask][..]),
        weights in select(vec![
            Weights::default(),
            Weights::RAW,
            Weights { input: 333_333, output: 5 * MICRO, cache_write: 1_250_000, cache_read: 100_001 },
        ]),
        session in select(&[0_u64, 1_000, 1_000, 3_000][..]),
        session_usd in select(&[0_u64, 0, 0, 500][..]),
        others in (select(&[300_u64, 800][..]), select(&[0_u64, 400][..])),
        thresholds in select(&[
            (800_000, 1_000_000, 1_200_000),
            (500_000, 900_000, 1_000_000),
            (1_000_000, 1_000_000, 3_000_000),
        ][..]),
        patience in prop_oneof![4 => Just((86_400, 900)), 2 => Just((60, 30)), 1 => Just((0, 900))],
        max_unattended_holds in 0_usize..4,
    ) -> Policy {
        Policy {
            mode, on_pause, weights,
            session: Limit { tokens: session, micro_usd: session_usd },
            task: Limit { tokens: others.0, micro_usd: 0 },
            subagent_tokens: others.1,
            alert: Ratio(thresholds.0), pause: Ratio(thresholds.1), hard: Ratio(thresholds.2),
            hold_s: patience.0, hold_unattended_s: patience.1,
            max_unattended_holds,
            circuits: CircuitPolicy { enabled: false, ..CircuitPolicy::default() },
            ..Policy::default()
        }
    }
}
