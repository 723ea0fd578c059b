//! Telemetry: one row for a request however many sensors tell of it (DESIGN 3, sensor 3).

use bursar_engine::Event;
use bursar_engine::command::{Command, Reports};
use bursar_engine::ids::AgentKey;
use bursar_engine::reported::Report;
use bursar_engine::row::{Part, Recent, Row, Sighting};
use bursar_engine::run::Begins;
use bursar_engine::usage::Usage;

use super::runs::begins;
use crate::support::{MODEL, S, World, row, sid};

const ID: &str = "session:s1";

fn report(world: &World, request: &str, tokens: u64) -> Report {
    Report {
        request_id: request.to_owned(),
        session: sid(S),
        agent: AgentKey::Main,
        at: world.now,
        part: Part {
            model: MODEL.to_owned(),
            usage: Usage { input: tokens, ..Usage::default() },
            micro_usd: tokens * 4,
            estimated: false,
        },
        writes_lines: true,
    }
}

impl World {
    fn told(&mut self, report: Report) {
        self.send(&Command::Reports(Reports { reports: vec![report], known: Vec::new() }));
    }

    fn line(&mut self, id: &str, request: Option<&str>, tokens: u64) {
        let at = self.now;
        let request_id = request.map(str::to_owned);
        self.read(vec![Sighting { request_id, micro_usd: tokens * 4, at, ..row(id, tokens) }]);
    }

    fn used(&self) -> u64 {
        self.stands(ID).0
    }
}

#[test]
fn a_request_of_a_source_that_writes_lines_counts_after_thirty_seconds_without_one() {
    let mut world = World::with_session(10_000);
    world.told(report(&world, "r1", 70));
    world.wait_ms(29_999);
    world.tick();
    assert_eq!(world.used(), 0);
    world.wait_ms(1);
    assert_eq!(world.state.next_deadline(), Some(world.now));
    world.tick();
    assert_eq!((world.used(), world.totals(None).requests), (70, 1));
    // The line comes after all, and copies of it in a fork and in a side question.
    world.line("m1", Some("r1"), 70);
    world.line("m1", Some("r1"), 70);
    let side = Sighting { request_id: None, ..row("m1", 70) };
    world.read(vec![side]);
    assert_eq!((world.used(), world.totals(None).requests), (70, 1));
    let row = world.state.recent.get("m1").unwrap();
    assert_eq!((row.request_id.as_deref(), row.reported().is_some()), (Some("r1"), true));
    assert!(
        world
            .events
            .iter()
            .any(|e| matches!(e, Event::Joined { from, to } if from == "telemetry:r1" && to == "m1"))
    );
    // And telemetry once more.
    world.told(report(&world, "r1", 70));
    assert_eq!(world.used(), 70);
}

#[test]
fn a_request_that_writes_no_line_counts_at_once_and_is_no_turn() {
    let mut world = World::with_session(10_000);
    world.line("m1", Some("r1"), 500);
    let context = world.state.agents[&(sid(S), AgentKey::Main)].context_tokens;
    world.told(Report { writes_lines: false, ..report(&world, "title", 7) });
    assert_eq!((world.used(), world.totals(None).requests), (507, 2));
    assert_eq!(world.state.agents[&(sid(S), AgentKey::Main)].context_tokens, context);
}

#[test]
fn in_a_session_whose_lines_carry_no_request_id_nothing_counts_twice() {
    let mut world = World::with_session(10_000);
    world.line("m1", None, 70);
    world.told(report(&world, "r1", 70));
    world.wait_ms(30_000);
    world.tick();
    assert_eq!(world.used(), 70);
    assert!(world.state.awaited.is_empty());
}

#[test]
fn a_forged_event_only_adds() {
    let mut world = World::with_session(10_000);
    world.line("m1", Some("r1"), 500);
    let forged = |output| {
        let mut report = report(&World::with_session(1), "r1", 1);
        report.part.usage = Usage { output, ..Usage::default() };
        report.part.micro_usd = 0;
        report
    };
    world.told(forged(0));
    assert_eq!(world.used(), 500);
    world.told(forged(9));
    assert_eq!((world.used(), world.budget(ID).used.micro_usd), (509, 2_000));
}

#[test]
fn the_clients_own_figure_goes_before_an_estimate() {
    let mut world = World::with_session(10_000);
    let dear = Sighting {
        request_id: Some("r1".to_owned()),
        model: "claude-new".to_owned(),
        micro_usd: 9_000,
        estimated: true,
        ..row("m1", 100)
    };
    world.read(vec![dear.clone()]);
    assert_eq!((world.budget(ID).used.micro_usd, world.budget(ID).used.estimated), (9_000, 1));
    let mut told = report(&world, "r1", 100);
    told.part.model = "claude-new".to_owned();
    world.told(told.clone());
    assert_eq!((world.budget(ID).used.micro_usd, world.budget(ID).used.estimated), (400, 0));
    // The same in the other order.
    world.told(Report { request_id: "r2".to_owned(), ..told });
    world.read(vec![Sighting {
        request_id: Some("r2".to_owned()),
        message_id: Some("m2".to_owned()),
        ..dear
    }]);
    assert_eq!((world.budget(ID).used.micro_usd, world.budget(ID).used.estimated), (800, 0));
}

#[test]
fn a_side_questions_copy_and_its_own_request_are_told_apart() {
    for copy_first in [false, true] {
        let mut world = World::with_session(10_000);
        let own = Sighting { request_id: Some("r1".to_owned()), ..row("m1", 50) };
        let copy = Sighting { request_id: None, ..own.clone() };
        let lines = if copy_first { [copy, own] } else { [own, copy] };
        for line in lines {
            world.read(vec![line]);
        }
        assert_eq!(world.state.recent.of_request("r1").map(|r| r.message_id.as_str()), Some("m1"));
        // The side question's own request is another.
        world.told(Report { writes_lines: false, ..report(&world, "r2", 8) });
        world.told(report(&world, "r1", 50));
        assert_eq!((world.used(), world.totals(None).requests), (58, 2), "copy first: {copy_first}");
    }
}

#[test]
fn rows_that_the_state_has_forgotten_are_known_by_either_key() {
    let mut world = World::with_session(10_000);
    world.line("m1", Some("r1"), 50);
    let known: Vec<Row> = world.state.recent.get("m1").cloned().into_iter().collect();
    world.state.recent = Recent::default();
    let reports = vec![report(&world, "r1", 60)];
    world.send(&Command::Reports(Reports { reports, known }));
    assert_eq!((world.used(), world.totals(None).requests), (60, 1));
}

#[test]
fn a_cut_stream_makes_a_running_total_a_lower_bound_until_its_end() {
    let mut world = World::with_session(10_000);
    world.hook(begins(S, Begins::Startup, 7));
    world.line("m1", Some("r1"), 100);
    world.told(report(&world, "r1", 100));
    let runs = |world: &World| world.state.runs[&sid(S)].clone();
    assert_eq!((runs(&world).coverage(), runs(&world).is_lower_bound()), (Some((100, 100)), false));
    world.wait_ms(1_000);
    world.line("m2", Some("r2"), 50);
    assert_eq!((runs(&world).coverage(), runs(&world).is_lower_bound()), (Some((100, 150)), false));
    world.wait_ms(30_000);
    world.line("m3", Some("r3"), 50);
    assert_eq!((runs(&world).coverage(), runs(&world).is_lower_bound()), (Some((100, 200)), true));
    // What was late after all.
    let (mut second, mut third) = (report(&world, "r2", 50), report(&world, "r3", 50));
    (second.at, third.at) = (world.now, world.now);
    world.told(second);
    world.told(third);
    assert_eq!((runs(&world).coverage(), runs(&world).is_lower_bound()), (Some((200, 200)), false));
}
