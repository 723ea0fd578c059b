//! Stories that would count twice, take away what was counted, or call too low a total exact.

use bursar_engine::command::{Command, Hook, Usage as UsageRead};
use bursar_engine::policy::Policy;
use bursar_engine::row::Sighting;
use bursar_engine::run::{Begins, ByModel, Spent};
use bursar_engine::runs::MAX_RUNS;
use bursar_engine::table::HookEvent;
use bursar_engine::usage::Usage;

use super::runs::{begins, ends, file, says};
use crate::support::{MODEL, S, World, hook, row, sid, tokens_only};

fn world() -> World {
    World::new(Policy { session: tokens_only(100_000), ..Policy::default() })
}

fn ends_of(world: &mut World, client: u32) {
    world.wait_ms(10);
    world.hook(Hook { client_pid: Some(client), ..ends(S) });
}

#[test]
fn the_last_word_of_an_earlier_client_is_its_own_also_after_the_next_began() {
    let mut world = world();
    world.begin(S, Begins::Startup, 7);
    world.reads(S, &[(S, "m1", 100)], None);
    ends_of(&mut world, 7);
    world.begin(S, Begins::Resume, 8);
    world.reads(S, &[(S, "m2", 50)], Some(400));
    assert_eq!(world.spent(S), 450);
    // The next one read the file before that line was there, and begins at zero.
    ends_of(&mut world, 8);
    world.reads(S, &[], Some(60));
    assert_eq!((world.spent(S), world.is_lower_bound(S)), (460, false));
}

#[test]
fn a_killed_client_has_no_last_word() {
    let mut world = world();
    world.begin(S, Begins::Startup, 7);
    world.reads(S, &[(S, "m1", 100)], None);
    world.send(&Command::ClientGone(sid(S)));
    world.begin(S, Begins::Resume, 8);
    world.reads(S, &[(S, "m2", 50)], Some(60));
    ends_of(&mut world, 8);
    assert_eq!((world.spent(S), world.is_lower_bound(S)), (160, true));
}

#[test]
fn the_end_of_one_client_is_not_that_of_another() {
    let mut world = world();
    world.begin(S, Begins::Startup, 7);
    world.begin(S, Begins::Resume, 8);
    ends_of(&mut world, 8);
    // The first one still runs, and what it says may come at any time.
    world.begin(S, Begins::Resume, 9);
    world.reads(S, &[(S, "m1", 100)], Some(5_000));
    ends_of(&mut world, 9);
    assert_eq!((world.spent(S), world.is_lower_bound(S)), (100, true));
}

#[test]
fn a_run_that_is_too_old_to_be_kept_still_lacks_what_it_lacked() {
    let mut world = world();
    world.begin(S, Begins::Startup, 7);
    world.send(&Command::ClientGone(sid(S)));
    for client in (8..).take(MAX_RUNS) {
        world.begin(S, Begins::Resume, client);
        ends_of(&mut world, client);
        world.reads(S, &[], Some(1));
    }
    assert_eq!(world.state.runs[&sid(S)].runs.len(), MAX_RUNS);
    assert!(world.is_lower_bound(S));
}

#[test]
fn a_fork_that_learns_too_late_what_it_began_with_adds_nothing_by_its_word() {
    let mut world = world();
    world.begin(S, Begins::Startup, 7);
    world.reads(S, &[], Some(400));
    ends_of(&mut world, 7);
    world.begin("fork", Begins::Fork, 9);
    for client in 10..16 {
        world.begin(S, Begins::Resume, client);
        ends_of(&mut world, client);
        world.reads(S, &[], Some(400 + u64::from(client)));
    }
    world.reads("fork", &[(S, "m1", 100), ("fork", "m2", 60)], Some(460));
    world.end("fork");
    assert_eq!((world.spent("fork"), world.is_lower_bound("fork")), (60, true));
}

#[test]
fn a_fork_of_a_fork_begins_with_what_its_own_parent_had_counted() {
    let mut world = world();
    world.begin(S, Begins::Startup, 7);
    world.reads(S, &[(S, "m1", 100)], Some(100));
    world.end(S);
    world.begin("fork", Begins::Fork, 8);
    world.reads("fork", &[(S, "m1", 100), ("fork", "m2", 60)], Some(200));
    world.end("fork");
    world.begin("second", Begins::Fork, 9);
    // Its copies name them all, the oldest first; they may be read in several steps.
    world.reads("second", &[(S, "m1", 100)], None);
    world.reads("second", &[("fork", "m2", 60), ("second", "m3", 5)], None);
    // A line of another one that comes later is no copy of the beginning.
    world.reads("second", &[(S, "m1", 100)], Some(205));
    world.end("second");
    assert_eq!((world.spent(S), world.spent("fork"), world.spent("second")), (100, 100, 5));
    assert!(!world.is_lower_bound("second"));
    assert_eq!(world.state.runs[&sid("second")].forked_from, Some(sid("fork")));
}

#[test]
fn what_came_before_the_beginning_of_a_new_session_is_its_own() {
    // Read before its SessionStart was told of, or dated before that by another clock.
    for is_read_first in [true, false] {
        let mut world = world();
        world.hook(hook(HookEvent::PreToolUse));
        let seen = Sighting { at: world.now, ..row("m1", 100) };
        let line = Command::Usage(UsageRead {
            file: Some(file(S)),
            rows: vec![seen],
            known: Vec::new(),
            claim: None,
        });
        if is_read_first {
            world.send(&line);
        }
        world.begin(S, Begins::Startup, 7);
        world.send(&line);
        world.end(S);
        world.reads(S, &[], Some(130));
        assert_eq!((world.spent(S), world.coverage(S)), (130, Some((130, 130))), "{is_read_first}");
    }
}

#[test]
fn a_session_that_had_begun_before_it_was_seen_here_is_a_lower_bound() {
    let mut world = world();
    world.begin(S, Begins::Resume, 8);
    world.reads(S, &[(S, "m1", 100)], Some(130));
    world.end(S);
    assert!(world.is_lower_bound(S), "nobody knows what it spent beside its lines before");
}

#[test]
fn a_model_has_one_name_however_a_client_calls_it() {
    for (line, word) in [("", "[1m]"), ("", "-20260101"), ("-20260101", ""), ("", "-20260101[1m]")] {
        let mut world = world();
        world.begin(S, Begins::Startup, 7);
        let read = |id: &str, tokens, claim: Option<u64>| {
            Command::Usage(UsageRead {
                file: Some(file(S)),
                rows: vec![Sighting {
                    at: bursar_engine::time::Timestamp(u64::MAX),
                    model: format!("{MODEL}{line}"),
                    ..row(id, tokens)
                }],
                known: Vec::new(),
                claim: claim.map(|total| {
                    says(total).into_iter().map(|(model, spent)| (format!("{model}{word}"), spent)).collect()
                }),
            })
        };
        world.send(&read("m1", 100, Some(130)));
        assert_eq!((world.spent(S), world.coverage(S)), (130, Some((130, 130))), "{line} {word}");
        world.send(&read("m2", 20, Some(140)));
        world.end(S);
        assert_eq!((world.spent(S), world.coverage(S)), (140, Some((140, 140))), "{line} {word}");
    }
}

#[test]
fn a_word_that_does_not_divide_cache_writes_is_compared_as_a_whole() {
    let mut world = world();
    world.begin(S, Begins::Startup, 7);
    let divided = Usage { cache_write_5m: 57, cache_write_1h: 21, ..Usage::default() };
    let said = Spent { usage: Usage { cache_write_5m: 80, ..Usage::default() }, micro_usd: 0 };
    world.send(&Command::Usage(UsageRead {
        file: Some(file(S)),
        rows: vec![Sighting {
            at: bursar_engine::time::Timestamp(u64::MAX),
            usage: divided,
            micro_usd: 0,
            ..row("m1", 1)
        }],
        known: Vec::new(),
        claim: Some(ByModel::from([(MODEL.to_owned(), said)])),
    }));
    world.end(S);
    let written: u64 = world.state.totals_of(&sid(S)).map(|(_, _, t)| t.usage.cache_write()).sum();
    assert_eq!((written, world.coverage(S)), (80, Some((80, 80))));
}

#[test]
fn a_request_that_is_known_in_part_makes_the_total_a_lower_bound_until_it_is_known() {
    let read = |partial: bool, tokens: u64, claim: Option<u64>| {
        let at = bursar_engine::time::Timestamp(u64::MAX);
        let usage = Usage { input: tokens, output: tokens, ..Usage::default() };
        let seen = Sighting { at, partial, usage, ..row("m1", tokens) };
        Command::Usage(UsageRead {
            file: Some(file(S)),
            rows: vec![seen],
            known: Vec::new(),
            claim: claim.map(says),
        })
    };
    for (later, claim) in [(read(false, 100, None), None), (read(true, 5, Some(100)), Some(100))] {
        let mut world = world();
        world.begin(S, Begins::Startup, 7);
        world.send(&read(true, 5, None));
        assert!(world.is_lower_bound(S), "{claim:?}");
        world.send(&later);
        assert_eq!((world.is_lower_bound(S), world.spent(S)), (false, 100), "{claim:?}");
        // A copy of the earlier line changes nothing.
        world.send(&read(true, 5, None));
        assert_eq!((world.is_lower_bound(S), world.spent(S)), (false, 100), "{claim:?}");
    }
}

#[test]
fn a_lower_word_takes_nothing_away() {
    let mut world = world();
    world.begin(S, Begins::Startup, 7);
    world.reads(S, &[(S, "m1", 100)], Some(700));
    world.reads(S, &[], Some(0));
    world.end(S);
    assert_eq!((world.spent(S), world.stands("session:s1").0), (700, 700));
}

#[test]
fn beginnings_know_whose_they_are() {
    // A hook told of again, of a client beside another one.
    let mut world = world();
    world.begin(S, Begins::Startup, 7);
    world.begin(S, Begins::Resume, 8);
    world.hook(begins(S, Begins::Startup, 7));
    assert_eq!(world.state.runs[&sid(S)].runs.len(), 2);
}
