//! Whatever the order in which lines and clients' own words are read, the ledger comes to the same; and no word lowers
//! what lines have proved.

use std::collections::BTreeMap;

use bursar_engine::State;
use bursar_engine::command::{Command, Hook, Usage as UsageRead};
use bursar_engine::policy::Policy;
use bursar_engine::row::Sighting;
use bursar_engine::run::Begins;
use bursar_engine::table::HookEvent;
use proptest::collection::vec;
use proptest::prelude::*;

use super::runs::{begins, file, says};
use crate::support::{World, hook, row, sid};

const SESSIONS: [&str; 2] = ["s1", "s2"];

/// One thing that is read, or told by a hook; all of them belong to runs that began before.
#[derive(Debug, Clone)]
enum Told {
    Line { session: usize, id: String, tokens: u64 },
    Claim { session: usize, tokens: u64 },
    End { session: usize },
}

fn told() -> impl Strategy<Value = Vec<Told>> {
    let line = (0..2_usize, 0..12_u32, 1..500_u64);
    (vec(line, 1..20), [0..4_000_u64, 0..4_000]).prop_map(|(lines, claims)| {
        // Each message has one owner and one size: the order of several lines of one is the file's own.
        let lines: BTreeMap<u32, (usize, u64)> = lines.into_iter().map(|(s, id, t)| (id, (s, t))).collect();
        let mut all: Vec<Told> = lines
            .into_iter()
            .map(|(id, (session, tokens))| Told::Line { session, id: format!("m{id}"), tokens })
            .collect();
        for (session, tokens) in claims.into_iter().enumerate() {
            all.push(Told::Claim { session, tokens });
            all.push(Told::End { session });
        }
        all
    })
}

fn tell(all: &[Told]) -> State {
    let mut world = World::new(Policy::default());
    for (client, session) in (7..).zip(SESSIONS) {
        world.hook(begins(session, Begins::Startup, client));
    }
    world.wait_ms(100);
    for one in all {
        let read = |session: usize, rows: Vec<Sighting>, claim: Option<u64>| {
            Command::Usage(UsageRead {
                file: Some(file(SESSIONS[session])),
                rows,
                known: Vec::new(),
                claim: claim.map(says),
            })
        };
        let command = match one {
            Told::Line { session, id, tokens } => {
                let seen = Sighting { session: sid(SESSIONS[*session]), at: world.now, ..row(id, *tokens) };
                read(*session, vec![seen], None)
            }
            Told::Claim { session, tokens } => read(*session, Vec::new(), Some(*tokens)),
            Told::End { session } => {
                Command::Hook(Hook { session: sid(SESSIONS[*session]), ..hook(HookEvent::SessionEnd) })
            }
        };
        let before = spent(&world.state);
        world.send(&command);
        let after = spent(&world.state);
        assert!(
            before.iter().zip(after).all(|(before, after)| *before <= after),
            "{one:?} took something away"
        );
    }
    world.state
}

/// Of each session, the tokens in its totals, in its budget, and in rows.
fn spent(state: &State) -> [u64; 2] {
    SESSIONS.map(|s| state.totals_of(&sid(s)).map(|(_, _, t)| t.usage.input).sum())
}

fn books(state: &State) -> Vec<(u64, u64, u64, u64, bool)> {
    let of = |session: &str| {
        let totals: Vec<_> = state.totals_of(&sid(session)).map(|(_, _, t)| t).collect();
        let budget = state.budgets.values().find(|b| b.id.to_string() == format!("session:{session}"));
        (
            totals.iter().map(|t| t.usage.input).sum(),
            totals.iter().map(|t| t.micro_usd).sum(),
            totals.iter().map(|t| t.requests).sum(),
            budget.map_or(0, bursar_engine::budget::Budget::tokens_used),
            state.runs[&sid(session)].is_lower_bound(),
        )
    };
    SESSIONS.map(of).to_vec()
}

proptest! {
    #[test]
    fn any_order_comes_to_the_same((all, shuffled) in told().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle()))) {
        let straight = books(&tell(&all));
        prop_assert_eq!(&straight, &books(&tell(&shuffled)));
        for (n, session) in straight.iter().enumerate() {
            let lines: u64 = all.iter().map(|t| match t { Told::Line { session, tokens, .. } if *session == n => *tokens, _ => 0 }).sum();
            let said: u64 = all.iter().map(|t| match t { Told::Claim { session, tokens } if *session == n => *tokens, _ => 0 }).sum();
            prop_assert_eq!(session.0, lines.max(said));
            prop_assert_eq!(session.3, session.0, "the budget is what the totals are");
        }
    }
}
