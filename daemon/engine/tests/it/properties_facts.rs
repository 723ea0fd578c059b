//! Properties of whole histories: what facts do to the state (DESIGN 2), and what is in the books (DESIGN 3).

use bursar_engine::command::{Act, Command, Hook, Usage as UsageRead};
use bursar_engine::decide::Reply;
use bursar_engine::policy::Policy;
use bursar_engine::row::Sighting;
use bursar_engine::table::HookEvent;
use bursar_engine::time::Timestamp;
use bursar_engine::usage::{Totals, Usage};
use bursar_engine::{Event, State, decide};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{from_str, to_string};

use crate::support::model::{Model, totals_in, used_in};
use crate::support::random::{Taken, lines, policy_with_circuits, steps, tell};
use crate::support::{START, World, hook, sid};

/// A reply as text.
fn written(reply: &Reply) -> String {
    match reply {
        Reply::Verdict(verdict) => to_string(verdict).unwrap(),
        Reply::Hold(hold) => to_string(hold).unwrap(),
        other @ (Reply::None | Reply::UnknownHold | Reply::Operator(_)) => format!("{other:?}"),
    }
}

/// Whether a reading tells anything of a message that was told of before.
fn repeats_itself(taken: &Taken, rows: &[Sighting]) -> bool {
    let mut ids: Vec<_> = rows.iter().filter_map(|r| r.message_id.as_deref()).collect();
    let known = ids.iter().any(|id| taken.before.recent.get(id).is_some());
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    // Nameless requests of a session that nobody knows are one message.
    let nameless =
        rows.iter().any(|r| r.message_id.is_none() && !taken.before.sessions.contains_key(&r.session));
    known || nameless || ids.len() < count
}

fn at_least(after: &Totals, before: &Totals) -> bool {
    before.usage.minus(after.usage) == Usage::default()
        && after.micro_usd >= before.micro_usd
        && after.requests >= before.requests
}

proptest! {
    #[test]
    fn applying_a_fact_twice_is_applying_it_once(policy in policy_with_circuits(), steps in steps()) {
        for taken in tell(&policy, &steps) {
            let mut twice = taken.before;
            for event in &taken.decision.events {
                twice.evolve(event);
                let once = twice.clone();
                twice.evolve(event);
                prop_assert_eq!(&twice, &once, "{:?}", event);
            }
            prop_assert_eq!(&twice, &taken.after);
        }
    }

    #[test]
    fn the_facts_alone_lead_to_the_same_state(policy in policy_with_circuits(), steps in steps()) {
        let story = tell(&policy, &steps);
        let mut state = State::new(policy);
        for event in story.iter().flat_map(|t| &t.decision.events) {
            // As the store writes them.
            let text = to_string(event).unwrap();
            let read: Event = from_str(&text).map_err(|e| TestCaseError::fail(format!("{e} in {text}")))?;
            prop_assert_eq!(&read, event);
            state.evolve(&read);
        }
        if let Some(last) = story.last() {
            prop_assert_eq!(&state, &last.after);
        }
    }

    #[test]
    fn the_same_commands_at_the_same_times_are_answered_byte_for_byte_alike(
        policy in policy_with_circuits(),
        steps in steps(),
    ) {
        let story = tell(&policy, &steps);
        let mut state = State::new(policy);
        for taken in story {
            let again = decide(&state, &taken.command, taken.now);
            prop_assert_eq!(written(&again.reply), written(&taken.decision.reply));
            prop_assert_eq!(to_string(&again.events).unwrap(), to_string(&taken.decision.events).unwrap());
            again.events.iter().for_each(|event| state.evolve(event));
        }
    }

    #[test]
    fn every_sum_is_that_of_the_rows(policy in policy_with_circuits(), steps in steps()) {
        let mut model = Model::new(policy.weights);
        for taken in tell(&policy, &steps) {
            model.take(&taken.command, taken.now);
            prop_assert_eq!(used_in(&taken.after), model.used(), "after {:?}", taken.command);
            prop_assert_eq!(totals_in(&taken.after), model.totals(), "after {:?}", taken.command);
        }
    }

    #[test]
    fn totals_fall_only_by_a_reset_or_a_corrected_row(policy in policy_with_circuits(), steps in steps()) {
        for taken in tell(&policy, &steps) {
            let (before, after) = (&taken.before, &taken.after);
            match &taken.command {
                Command::Usage(read) if repeats_itself(&taken, &read.rows) => {
                    let requests = |s: &State| s.totals.values().map(|t| t.requests).sum::<u64>();
                    prop_assert!(requests(after) >= requests(before), "a request is never unsent");
                    continue;
                }
                Command::Usage(_) => {
                    for (spender, total) in &before.totals {
                        prop_assert!(at_least(&after.totals[spender], total), "{:?}", spender);
                    }
                }
                _ => prop_assert_eq!(&before.totals, &after.totals, "{:?}", taken.command),
            }
            let reset = match &taken.command {
                Command::Operator(operator) => match &operator.act {
                    Act::Reset(id) => Some(id),
                    _ => None,
                },
                _ => None,
            };
            for budget in before.budgets.values().filter(|b| Some(&b.id) != reset) {
                let now = &after.budgets[&budget.id];
                prop_assert!(now.used.micro_tokens >= budget.used.micro_tokens, "{}", budget.id);
                prop_assert!(now.used.micro_usd >= budget.used.micro_usd, "{}", budget.id);
                prop_assert_eq!(now.epoch.generation, budget.epoch.generation);
            }
        }
    }

    #[test]
    fn however_usage_is_divided_into_readings_it_comes_to_the_same(
        policy in policy_with_circuits(),
        lines in lines(40),
        cuts in vec(1_usize..10, 40),
    ) {
        let rows: Vec<_> = lines
            .into_iter()
            .map(|(line, age)| Sighting { at: Timestamp(START.0 + 1_500 - age), ..line })
            .collect();
        let at_once = read_in(&policy, std::slice::from_ref(&rows));
        let one_by_one: Vec<_> = rows.iter().map(|row| vec![row.clone()]).collect();
        let mut cut = Vec::new();
        let mut rest = &rows[..];
        for n in cuts {
            let (part, others) = rest.split_at(n.min(rest.len()));
            cut.push(part.to_vec());
            rest = others;
        }
        for readings in [one_by_one, cut] {
            let other = read_in(&policy, &readings);
            prop_assert_eq!(used_in(&other), used_in(&at_once));
            prop_assert_eq!(&other.totals, &at_once.totals);
            prop_assert_eq!(&other.recent, &at_once.recent);
            prop_assert_eq!(&other.agents, &at_once.agents);
            prop_assert_eq!(&other.sessions, &at_once.sessions);
        }
    }
}

/// Two sessions were met, and then this was read.
fn read_in(policy: &Policy, readings: &[Vec<Sighting>]) -> State {
    let mut world = World::new(policy.clone());
    for session in ["s1", "s2"] {
        let start = Hook { session: sid(session), ..hook(HookEvent::SessionStart) };
        world.hook(start);
    }
    for rows in readings {
        world.send(&Command::Usage(UsageRead {
            file: None,
            rows: rows.clone(),
            known: Vec::new(),
            claim: None,
        }));
    }
    world.state
}
