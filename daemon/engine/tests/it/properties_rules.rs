//! Properties of whole histories: verdicts, statuses, alerts and holds (DESIGN 4, HOOK.md section 2).

use std::collections::BTreeSet;

use bursar_engine::State;
use bursar_engine::alert::AlertType;
use bursar_engine::budget::{Budget, Status};
use bursar_engine::command::{Command, Hook};
use bursar_engine::decide::Reply;
use bursar_engine::event::Event;
use bursar_engine::hold::{Hold, HoldEnd};
use bursar_engine::policy::{Limit, Mode, Policy};
use bursar_engine::table::{Cell, HookEvent};
use bursar_engine::verdict::{Verdict, Why};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::support::random::{Taken, policy, steps, tell};
use crate::table::says;

fn is_shut(budget: &Budget) -> bool {
    budget.status == Status::Paused || budget.status == Status::Exhausted
}

/// The shut budgets among these.
fn shut_among(state: &State, ids: &[String]) -> Vec<Budget> {
    state.budgets.values().filter(|b| ids.contains(&b.id.to_string()) && is_shut(b)).cloned().collect()
}

/// The budgets above a hook, by name.
fn above(hook: &Hook) -> Vec<String> {
    let task = hook.task.as_ref().map(|t| format!("task:{t}"));
    let ids = [Some(format!("agent:{}", hook.agent)), Some(format!("session:{}", hook.session)), task];
    ids.into_iter().flatten().collect()
}

/// Whether a hold cannot be had: too many wait unattended, or there is no time to wait.
fn cannot_be_held(before: &State, hook: &Hook) -> Option<Why> {
    let policy = &before.policy;
    let away = before.holds.values().filter(|h| h.end.is_none() && !h.attended);
    let away: BTreeSet<_> = away.map(|h| h.session.as_str()).collect();
    if !hook.attended && !away.contains(hook.session.as_str()) && away.len() >= policy.max_unattended_holds {
        return Some(Why::TooManyUnattended);
    }
    let no_time = policy.hold_s == 0 || hook.timeout_s == Some(0) || (!hook.attended && hook.ci);
    no_time.then_some(Why::RanOut)
}

/// What a hook must be told where these budgets above it are shut.
fn expected(before: &State, hook: &Hook, shut: &[Budget]) -> (Cell, Option<Cell>, Option<Why>) {
    let policy = &before.policy;
    if shut.is_empty() {
        return (Cell::Allow, None, None);
    }
    let exhausted = shut.iter().any(|b| b.status == Status::Exhausted);
    let cell = says(hook.event, policy.on_pause, exhausted);
    if policy.mode == Mode::Observe {
        return (Cell::Allow, (cell != Cell::Allow).then_some(cell), None);
    }
    match cannot_be_held(before, hook).filter(|_| cell == Cell::Hold) {
        Some(why) if hook.event == HookEvent::OtherPrompt => (Cell::Refuse, None, Some(why)),
        Some(why) => (Cell::Stop, None, Some(why)),
        None => (cell, None, None),
    }
}

fn check_verdict(taken: &Taken, hook: &Hook, verdict: &Verdict) -> Result<(), TestCaseError> {
    let shut = shut_among(&taken.before, &above(hook));
    let (cell, would, why) = expected(&taken.before, hook, &shut);
    prop_assert_eq!((verdict.cell, verdict.would), (cell, would), "{:?} under {:?}", hook, shut);
    prop_assert_eq!(verdict.hold.is_some(), cell == Cell::Hold);
    if let Some(worst) = shut.iter().map(|b| (b.status, b.utilization())).max() {
        let because = verdict.because.as_ref().unwrap();
        let named = shut.iter().find(|b| because.budget().is_some_and(|named| b.id == named.budget));
        prop_assert_eq!(named.map(|b| (b.status, b.utilization())), Some(worst), "the tightest is named");
        prop_assert!(why.is_none_or(|why| because.why() == why), "{:?}", because);
        prop_assert_eq!(&verdict.texts, &[], "nothing is said to a model that is not to go on");
    }
    Ok(())
}

/// How far a budget is used, in its plainest form: past the hard threshold, at the pause, at its warning, below.
fn rank(budget: &Budget, policy: &Policy) -> u8 {
    let Limit { tokens, micro_usd } = budget.max;
    let tokens = (
        u128::from(budget.used.micro_tokens),
        u128::from(tokens) * 1_000_000,
        budget.alert_base.micro_tokens,
    );
    let dollars = (u128::from(budget.used.micro_usd), u128::from(micro_usd), budget.alert_base.micro_usd);
    let of = |(used, max, from): (u128, u128, u64)| {
        let reaches = |share: u32| used * 1_000_000 >= max * u128::from(share);
        let from = u128::from(from);
        match max {
            0 => 0,
            _ if reaches(policy.hard.0) => 3,
            _ if reaches(policy.pause.0) => 2,
            _ if used >= from
                && (used - from) * 1_000_000
                    >= (max - from.min(max)) * u128::from(budget.alert_threshold.0) =>
            {
                1
            }
            _ => 0,
        }
    };
    of(tokens).max(of(dollars))
}

fn check_status(taken: &Taken, after: &Budget, policy: &Policy) -> Result<(), TestCaseError> {
    let before = taken.before.budgets.get(&after.id).filter(|b| b.seal.is_some());
    let acted = matches!(taken.command, Command::Operator(_));
    if let Some(before) = before.filter(|_| !acted) {
        prop_assert!(after.seal.is_some(), "{:?} lifted {:?}", taken.command, before.seal);
        prop_assert!(after.status >= before.status, "{:?} loosened it", taken.command);
    }
    if after.seal.is_some() {
        prop_assert!(is_shut(after), "{:?} and {:?}", after.seal, after.status);
        return Ok(());
    }
    let possible: &[Status] = match rank(after, policy) {
        0 => &[Status::Active],
        1 => &[Status::Warning],
        2 => &[Status::Paused],
        _ => &[Status::Paused, Status::Exhausted],
    };
    prop_assert!(
        possible.contains(&after.status),
        "{:?} is none of {:?}: {:?}",
        after.status,
        possible,
        after
    );
    Ok(())
}

/// The alerts that a reading must raise: one for each budget that it took into warning or into a pause.
fn crossed(taken: &Taken) -> BTreeSet<(String, &'static str)> {
    let was = |b: &Budget| taken.before.budgets.get(&b.id).map_or(Status::Active, |b| b.status);
    let crossing = |b: &Budget| match (was(b), b.status) {
        (Status::Active | Status::Warning, Status::Paused | Status::Exhausted) => Some("budget_exhausted"),
        (Status::Active, Status::Warning) => Some("warning_threshold"),
        _ => None,
    };
    taken.after.budgets.values().filter_map(|b| Some((b.id.to_string(), crossing(b)?))).collect()
}

fn raised(events: &[Event]) -> Vec<(String, &'static str)> {
    let alert = |event: &Event| match event {
        Event::Alert(alert) => Some((
            alert.budget_id.to_string(),
            match alert.alert_type {
                AlertType::WarningThreshold => "warning_threshold",
                AlertType::BudgetExhausted => "budget_exhausted",
                AlertType::CircuitTripped => "circuit_tripped",
                AlertType::TooManyUnattended => "too_many_unattended",
                AlertType::PassphraseReset => "passphrase_reset",
                AlertType::UnknownModel => "unknown_model",
                AlertType::UnhookedSession => "unhooked_session",
                AlertType::MeteringNotConfirmed => "metering_not_confirmed",
                AlertType::IdleBurn => "idle_burn",
                AlertType::DearTurn => "dear_turn",
                AlertType::DearerModel => "dearer_model",
                AlertType::MoreSubagents => "more_subagents",
            },
        )),
        _ => None,
    };
    events.iter().filter_map(alert).collect()
}

fn check_holds(taken: &Taken) -> Result<(), TestCaseError> {
    let after = &taken.after;
    for hold in after.holds.values() {
        prop_assert!(hold.id.0 < after.next_hold);
        prop_assert_eq!(hold.end.is_some(), hold.ended_at.is_some());
        prop_assert!(hold.started < hold.deadline);
        if hold.end.is_none() {
            let held_by = hold.blocker.budget().unwrap();
            prop_assert!(is_shut(&after.budgets[held_by]), "it waits for nothing: {:?}", hold);
            let resumed = matches!(taken.command, Command::HoldResumed(id) if id == hold.id);
            let ticked = taken.command == Command::Tick;
            prop_assert!(!ticked || resumed || hold.deadline > taken.now, "its time is over: {:?}", hold);
        }
        if let Some(before) = taken.before.holds.get(&hold.id) {
            let same = Hold {
                end: before.end,
                ended_at: before.ended_at,
                blocker: before.blocker.clone(),
                said: before.said.clone(),
                ..hold.clone()
            };
            prop_assert_eq!(before, &same, "a hold keeps who, where and since when");
            let answered = before.end.is_some_and(|end| end != HoldEnd::ClientGone);
            // A hook that lost its daemon asks again: a yes from before something was shut again is none any more.
            let asked_again = matches!(taken.command, Command::HoldResumed(id) if id == hold.id);
            let was_a_yes = before.end.is_some_and(HoldEnd::goes_on);
            prop_assert!(
                !answered || before == hold || (asked_again && was_a_yes),
                "an answer is given once"
            );
        }
    }
    prop_assert!(taken.before.holds.keys().all(|id| after.holds.contains_key(id)));
    Ok(())
}

proptest! {
    #[test]
    fn under_a_shut_budget_an_event_is_answered_as_its_cell_says(policy in policy(), steps in steps()) {
        for taken in tell(&policy, &steps) {
            if let (Command::Hook(hook), Reply::Verdict(verdict)) = (&taken.command, &taken.decision.reply) {
                check_verdict(&taken, hook, verdict)?;
            }
        }
    }

    #[test]
    fn a_budget_stands_where_its_use_puts_it(policy in policy(), steps in steps()) {
        for taken in tell(&policy, &steps) {
            for budget in taken.after.budgets.values() {
                check_status(&taken, budget, &policy)?;
            }
        }
    }

    #[test]
    fn each_crossing_of_a_reading_raises_one_alert(policy in policy(), steps in steps()) {
        for taken in tell(&policy, &steps) {
            let raised = raised(&taken.decision.events);
            if let Command::Usage(_) = taken.command {
                let once: BTreeSet<_> = raised.iter().cloned().collect();
                prop_assert_eq!(raised.len(), once.len(), "twice: {:?}", raised);
                prop_assert_eq!(once, crossed(&taken));
            }
            let ids: Vec<_> = taken.decision.events.iter().filter_map(|e| match e {
                Event::Alert(alert) => Some(alert.alert_id.0),
                _ => None,
            }).collect();
            let numbered: Vec<_> = (taken.before.next_alert..).take(ids.len()).collect();
            prop_assert_eq!(ids, numbered);
        }
    }

    #[test]
    fn who_waits_waits_for_something_and_is_answered_once(policy in policy(), steps in steps()) {
        for taken in tell(&policy, &steps) {
            check_holds(&taken)?;
        }
    }
}

/// What a history came to, in words.
fn notes(taken: &Taken, seen: &mut BTreeSet<String>) {
    if let Reply::Verdict(verdict) = &taken.decision.reply {
        seen.insert(format!("verdict {:?}", verdict.cell));
        seen.extend(verdict.would.map(|cell| format!("would {cell:?}")));
        seen.extend(verdict.because.as_ref().map(|b| format!("why {:?}", b.why())));
        seen.extend(verdict.texts.first().map(|_| "text".to_owned()));
    }
    seen.extend(taken.after.holds.values().filter_map(|h| h.end).map(|end| format!("end {end:?}")));
    seen.extend(taken.after.budgets.values().map(|b| format!("status {:?} {:?}", b.status, b.seal)));
    let moved = |h: &&Hold| taken.before.holds.get(&h.id).is_some_and(|b| b.blocker != h.blocker);
    seen.extend(taken.after.holds.values().find(moved).map(|_| "hold moved".to_owned()));
}

#[test]
fn random_histories_reach_what_the_properties_are_about() {
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    for _ in 0..900 {
        let policy = policy().new_tree(&mut runner).unwrap().current();
        let steps = steps().new_tree(&mut runner).unwrap().current();
        for taken in tell(&policy, &steps) {
            notes(&taken, &mut seen);
        }
    }
    let mut wanted: Vec<String> = Vec::new();
    for cell in [Cell::Allow, Cell::Hold, Cell::Stop, Cell::Refuse, Cell::Deny, Cell::Ask] {
        wanted.push(format!("verdict {cell:?}"));
    }
    wanted.extend([Cell::Hold, Cell::Stop].map(|cell| format!("would {cell:?}")));
    wanted.extend(
        [Why::Paused, Why::Exhausted, Why::Declined, Why::RanOut, Why::TooManyUnattended, Why::Warning]
            .map(|why| format!("why {why:?}")),
    );
    wanted.extend(
        [
            HoldEnd::Extended,
            HoldEnd::FinishUp,
            HoldEnd::Released,
            HoldEnd::Declined,
            HoldEnd::RanOut,
            HoldEnd::ClientGone,
        ]
        .map(|end| format!("end {end:?}")),
    );
    let states = [
        "Active None",
        "Warning None",
        "Paused None",
        "Exhausted None",
        "Paused Some(Shut)",
        "Exhausted Some(Declined)",
        "Exhausted Some(RanOut)",
    ];
    wanted.extend(states.map(|s| format!("status {s}")));
    wanted.extend(["text", "hold moved"].map(str::to_owned));
    let missed: Vec<_> = wanted.into_iter().filter(|w| !seen.contains(w)).collect();
    assert!(missed.is_empty(), "never seen: {missed:?}");
}
