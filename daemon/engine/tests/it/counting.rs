//! Counting: each request once, whatever number of lines tells of it (DESIGN 3).

use bursar_engine::Event;
use bursar_engine::budget::Status::{Active, Paused, Warning};
use bursar_engine::command::{Act, Command, Hook, Usage as UsageRead};
use bursar_engine::ids::AgentKey;
use bursar_engine::policy::Policy;
use bursar_engine::row::{FileProgress, RECENT_ROWS, Recent, Row, Sighting};
use bursar_engine::table::HookEvent;
use bursar_engine::time::Timestamp;
use bursar_engine::usage::Usage;

use crate::support::{MODEL, S, START, World, bid, hook, key, row, sid, sub_hook};

const ID: &str = "session:s1";

fn usage(input: u64, output: u64) -> Usage {
    Usage { input, output, ..Usage::default() }
}

/// A line of message `m1`.
fn line(input: u64, output: u64) -> Sighting {
    Sighting { usage: usage(input, output), ..row("m1", 0) }
}

#[test]
fn of_several_lines_of_a_message_the_greatest_output_stands_whole() {
    // Lines of one message, each input and output; what stands in the end.
    stands_in_the_end(&[(100, 7), (100, 7)], (100, 7));
    stands_in_the_end(&[(100, 1), (100, 7), (100, 50)], (100, 50));
    stands_in_the_end(&[(100, 50), (100, 7)], (100, 50));
    // Whole: not the greatest of each kind.
    stands_in_the_end(&[(900, 7), (5, 8)], (5, 8));
    stands_in_the_end(&[(5, 8), (900, 7)], (5, 8));
    // On a tie the later one.
    stands_in_the_end(&[(100, 7), (60, 7)], (60, 7));
    stands_in_the_end(&[(60, 7), (100, 7), (80, 7)], (80, 7));
    // A copy with nothing in it never stands for the message, though it may come first.
    stands_in_the_end(&[(100, 0), (0, 0)], (100, 0));
    stands_in_the_end(&[(0, 0), (100, 0)], (100, 0));
}

fn stands_in_the_end(lines: &[(u64, u64)], (input, output): (u64, u64)) {
    for at_once in [false, true] {
        let mut world = World::with_session(10_000);
        world.spend(3_000);
        let sightings: Vec<_> = lines.iter().map(|(i, o)| line(*i, *o)).collect();
        for reading in sightings.chunks(if at_once { lines.len() } else { 1 }) {
            world.read(reading.to_vec());
        }
        let totals = world.totals(None);
        assert_eq!(totals.usage, usage(3_000 + input, output), "{lines:?} at once: {at_once}");
        assert_eq!(totals.requests, 2, "{lines:?} at once: {at_once}");
        assert_eq!(world.stands(ID).0, 3_000 + input + output, "{lines:?} at once: {at_once}");
    }
}

#[test]
fn the_first_message_of_a_budget_is_corrected_exactly_within_one_reading() {
    let mut world = World::with_session(10_000);
    world.read(vec![line(100, 1), line(100, 7), line(100, 50)]);
    assert_eq!(world.stands(ID).0, 150);
}

#[test]
fn a_correction_moves_a_request_to_the_model_that_answered() {
    let mut world = World::with_session(10_000);
    world.read(vec![Sighting { micro_usd: 30, ..line(100, 7) }]);
    let other = Sighting { model: "claude-haiku-5-5".to_owned(), micro_usd: 4, ..line(100, 7) };
    world.read(vec![other]);
    let by_model: Vec<_> = world
        .state
        .totals_of(&sid(S))
        .map(|(_, model, t)| (model, t.usage, t.micro_usd, t.requests))
        .collect();
    assert_eq!(by_model, [("claude-haiku-5-5", usage(100, 7), 4, 1), (MODEL, usage(0, 0), 0, 0)]);
    assert_eq!((world.stands(ID).0, world.budget(ID).used.micro_usd), (107, 4));
}

#[test]
fn owner_and_date_are_those_of_the_first_line() {
    let mut world = World::with_session(10_000);
    world.hook(Hook { session: sid("fork"), ..hook(HookEvent::SessionStart) });
    world.read(vec![line(100, 1)]);
    let copy = Sighting { session: sid("fork"), at: START.plus_ms(9_000), ..line(100, 50) };
    world.read(vec![copy]);
    assert_eq!((world.stands(ID).0, world.stands("session:fork").0), (150, 0));
    let row = world.state.recent.get("m1").unwrap();
    assert_eq!((&row.session, row.at), (&sid(S), START));
}

#[test]
fn a_row_keeps_both_its_keys() {
    let mut world = World::with_session(10_000);
    world.read(vec![line(100, 1)]);
    assert_eq!(world.state.recent.get("m1").unwrap().request_id, None);
    let with_id = |id: &str, output| Sighting { request_id: Some(id.to_owned()), ..line(100, output) };
    world.read(vec![with_id("req-1", 2)]);
    world.read(vec![with_id("req-2", 3)]);
    assert_eq!(world.state.recent.get("m1").unwrap().request_id.as_deref(), Some("req-1"));
}

#[test]
fn a_correction_touches_exactly_the_budgets_that_the_row_was_charged_in() {
    let mut world = World::with_session(10_000);
    let on = |task: &str| Hook { task: Some(task.to_owned()), ..hook(HookEvent::PreToolUse) };
    world.hook(on("first"));
    world.read(vec![line(100, 1)]);
    world.hook(on("second"));
    world.read(vec![line(100, 50)]);
    let used = ["task:first", "task:second", ID].map(|id| world.stands(id).0);
    assert_eq!(used, [150, 0, 150]);
}

#[test]
fn a_correction_after_a_reset_touches_totals_and_not_the_new_count() {
    let mut world = World::with_session(10_000);
    world.read(vec![line(100, 1)]);
    world.wait_ms(1);
    world.act(Act::Reset(bid(ID))).unwrap();
    world.spend(40);
    world.read(vec![line(100, 50)]);
    assert_eq!(world.stands(ID).0, 40);
    assert_eq!(world.totals(None).usage, usage(140, 50));
}

#[test]
fn a_correction_may_take_a_budget_back_below_its_limit() {
    let mut world = World::with_session(1_000);
    world.read(vec![line(1_000, 1)]);
    assert_eq!(world.status(ID), Paused);
    world.read(vec![line(850, 2)]);
    assert_eq!(world.status(ID), Warning);
    world.read(vec![line(10, 3)]);
    assert_eq!(world.stands(ID), (13, 1_000, Active));
    assert_eq!(world.alerts().count(), 1, "going back is no crossing");
}

#[test]
fn a_row_that_the_store_remembers_is_corrected_and_not_counted_again() {
    let mut world = World::with_session(10_000);
    world.read(vec![line(100, 1)]);
    let known: Vec<Row> = world.state.recent.get("m1").cloned().into_iter().collect();
    world.state.recent = Recent::default();
    assert_eq!(world.state.forgotten(["m1", "m2"].into_iter()), ["m1", "m2"]);
    world.send(&Command::Usage(UsageRead { file: None, rows: vec![line(100, 50)], known, claim: None }));
    assert_eq!((world.stands(ID).0, world.totals(None).requests), (150, 1));
    assert_eq!(world.state.forgotten(["m1", "m2"].into_iter()), ["m2"]);
}

#[test]
fn what_was_spent_before_a_budget_began_is_history_to_it() {
    let mut world = World::with_session(1_000);
    let before = Timestamp(START.0 - 1);
    world.read(vec![Sighting { at: before, ..row("old", 5_000) }, Sighting { at: START, ..row("new", 7) }]);
    assert_eq!(world.stands(ID), (7, 1_000, Active));
    assert_eq!(world.alerts().count(), 0, "catching up raises no alert");
    assert_eq!(world.totals(None).usage, usage(5_007, 0));
    // A correction of such a row is history as well.
    world.read(vec![Sighting { usage: usage(5_000, 9), at: before, ..row("old", 0) }]);
    assert_eq!((world.stands(ID).0, world.totals(None).usage), (7, usage(5_007, 9)));
}

#[test]
fn a_budget_that_began_later_counts_from_then_on() {
    let mut world = World::with_session(1_000);
    world.spend(100);
    world.wait_ms(1_000);
    world.hook(Hook { task: Some("late".to_owned()), ..hook(HookEvent::PreToolUse) });
    world.read(vec![
        Sighting { at: START.plus_ms(999), ..row("before", 20) },
        Sighting { at: START.plus_ms(1_000), ..row("after", 3) },
    ]);
    assert_eq!((world.stands("task:late").0, world.stands(ID).0), (3, 123));
}

#[test]
fn a_subagent_found_in_a_transcript_begins_with_its_first_line_and_not_before_its_session() {
    let policy = Policy { subagent_tokens: 500, ..Policy::default() };
    let mut world = World::new(policy);
    world.hook(hook(HookEvent::SessionStart));
    world.wait_ms(60_000);
    let of = |agent: &str, id: &str, at: Timestamp| Sighting { agent: key(Some(agent)), at, ..row(id, 10) };
    let earlier = Timestamp(START.0 - 5_000);
    world.read(vec![
        of("old", "o1", earlier),
        of("old", "o2", START),
        of("new", "n1", START.plus_ms(30_000)),
    ]);
    assert_eq!((world.stands("agent:old").0, world.budget("agent:old").started_at), (10, START));
    let began = START.plus_ms(30_000);
    assert_eq!((world.stands("agent:new").0, world.budget("agent:new").started_at), (10, began));
}

#[test]
fn a_session_that_no_hook_named_has_totals_and_no_budget() {
    let mut world = World::with_session(1_000);
    world.spend_in("unhooked", Some("a1"), 5_000);
    let totals = world.state.totals_of(&sid("unhooked")).next().unwrap();
    assert_eq!((totals.0, totals.2.usage), (&key(Some("a1")), usage(5_000, 0)));
    assert_eq!(world.state.budgets.len(), 1);
    assert_eq!(world.alerts().count(), 0);
}

#[test]
fn requests_without_an_id_are_each_their_own() {
    let mut world = World::with_session(10_000);
    let nameless = || Sighting { message_id: None, ..line(10, 1) };
    world.read(vec![nameless(), nameless()]);
    world.read(vec![nameless()]);
    assert_eq!((world.totals(None).requests, world.stands(ID).0), (3, 33));
    assert!(world.state.recent.get("payload:s1:3").is_some());
}

#[test]
fn what_going_on_sends_again_is_the_context_of_the_newest_request() {
    let mut world = World::with_session(10_000);
    world.hook(sub_hook(HookEvent::SubagentStart, "a1"));
    let full = Usage { input: 1, output: 20, cache_write_5m: 300, cache_write_1h: 4_000, cache_read: 50_000 };
    let at = |ms: u64, usage: Usage, id: &str| Sighting { usage, at: START.plus_ms(ms), ..row(id, 0) };
    world.read(vec![at(20, full, "newest"), at(10, usage(7, 7), "older")]);
    let context =
        |world: &World, agent: &AgentKey| world.state.agents[&(sid(S), agent.clone())].context_tokens;
    assert_eq!(context(&world, &AgentKey::Main), 54_321);
    assert_eq!(context(&world, &key(Some("a1"))), 0, "unknown until it sent a request");
    world.read(vec![at(30, usage(5, 6), "compacted")]);
    assert_eq!(context(&world, &AgentKey::Main), 11);
}

#[test]
fn how_far_a_file_was_read_is_told_with_its_rows_and_last() {
    let mut world = World::with_session(10_000);
    let file = FileProgress {
        session: sid(S),
        agent: AgentKey::Main,
        path: "/transcripts/s1.jsonl".to_owned(),
        offset: 4_096,
        inode: 7,
        device: 8,
        tail_hash: 9,
        bad_lines: 1,
        read_at: START,
        in_long_line: false,
    };
    let read = UsageRead { file: Some(file.clone()), rows: vec![line(1, 1)], known: Vec::new(), claim: None };
    let events = world.send(&Command::Usage(read)).events;
    assert!(matches!(events.last(), Some(Event::File(f)) if *f == file));
    assert!(events.iter().any(|e| matches!(e, Event::Row(r) if r.message_id == "m1")));
    assert_eq!(world.state.files["/transcripts/s1.jsonl"], file);
}

#[test]
fn a_repeated_line_is_no_news() {
    let mut world = World::with_session(10_000);
    world.read(vec![line(100, 7)]);
    assert_eq!(world.read(vec![line(100, 7), line(100, 3)]).events, []);
}

#[test]
fn the_oldest_rows_are_forgotten_and_asked_of_the_store() {
    let mut world = World::with_session(10_000);
    world.read(vec![line(100, 7)]);
    let counted = world.state.recent.get("m1").unwrap().clone();
    let mut recent = Recent::default();
    let named = |n: usize| Row { message_id: format!("n{n}"), ..counted.clone() };
    (0..RECENT_ROWS).for_each(|n| recent.put(named(n)));
    // One that is known keeps its place.
    recent.put(Row { micro_usd: 9, ..named(0) });
    assert_eq!(recent.get("n0").map(|r| r.micro_usd), Some(9));
    recent.put(named(RECENT_ROWS));
    assert_eq!(recent.get("n0"), None);
    assert!((1..=RECENT_ROWS).all(|n| recent.get(&format!("n{n}")).is_some()));
}

#[test]
fn only_the_owners_own_transcript_lowers_what_was_counted() {
    let in_file_of = |session: &str| FileProgress {
        session: sid(session),
        agent: key(None),
        path: format!("/t/{session}.jsonl"),
        offset: 1,
        inode: 1,
        device: 1,
        tail_hash: 1,
        read_at: START,
        bad_lines: 0,
        in_long_line: false,
    };
    let read = |world: &mut World, file: Option<FileProgress>, seen: Sighting| {
        world.send(&Command::Usage(UsageRead { file, rows: vec![seen], known: Vec::new(), claim: None }));
    };
    let mut world = World::with_session(1_000);
    for (key, file) in [("m1", Some("s1")), ("payload:s1:t1", None)] {
        let file = file.map(in_file_of);
        let before = world.budget(ID).tokens_used();
        read(&mut world, file.clone(), Sighting { usage: usage(400, 1), ..row(key, 0) });
        // As much output, less input: in a foreign file, or in a payload, that is a forgery or a mistake.
        for foreign in [Some("s2"), None].map(|s| s.map(in_file_of)) {
            if foreign.is_some() || file.is_none() {
                read(&mut world, foreign, Sighting { usage: usage(0, 1), ..row(key, 0) });
            }
        }
        assert_eq!(world.budget(ID).tokens_used() - before, 401, "{key}");
    }
    assert_eq!(world.status(ID), Warning);
    read(&mut world, Some(in_file_of("s2")), Sighting { usage: usage(500, 1), ..row("m1", 0) });
    assert_eq!(world.budget(ID).tokens_used(), 501 + 401, "it can add");
    read(&mut world, Some(in_file_of("s1")), Sighting { usage: usage(0, 2), ..row("m1", 0) });
    assert_eq!(world.budget(ID).tokens_used(), 2 + 401, "the owner's own line corrects");
}
