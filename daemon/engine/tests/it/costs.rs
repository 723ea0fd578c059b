//! Costs: estimates are marked and told of once, and dollars pause as tokens do (DESIGN 3.6).

use bursar_engine::alert::AlertType::UnknownModel;
use bursar_engine::budget::Status;
use bursar_engine::command::{Act, Amount, Command, Usage as UsageRead};
use bursar_engine::ids::AgentKey;
use bursar_engine::policy::{Limit, Policy};
use bursar_engine::row::{FileProgress, Sighting};
use bursar_engine::time::Timestamp;
use bursar_engine::usage::Usage;

use crate::support::{S, START, World, bid, row, sid};

const ID: &str = "session:s1";

fn estimate(id: &str, model: &str) -> Sighting {
    Sighting { model: model.to_owned(), micro_usd: 30, estimated: true, ..row(id, 10) }
}

#[test]
fn an_estimate_marks_totals_and_budgets_until_it_is_corrected() {
    let mut world = World::with_session(10_000);
    world.read(vec![estimate("m1", "new"), Sighting { micro_usd: 7, ..row("m2", 10) }]);
    let used = world.budget(ID).used;
    assert_eq!((used.micro_usd, used.estimated), (37, 1));
    let marked = |world: &World| -> Vec<(u64, u64)> {
        let session = sid(S);
        let of_session = world.state.totals_of(&session);
        of_session.filter(|t| t.2.requests > 0).map(|t| (t.2.micro_usd, t.2.estimated)).collect()
    };
    assert_eq!(marked(&world), [(7, 0), (30, 1)]);
    // A later line names a model that is known.
    let usage = Usage { input: 10, output: 1, ..Usage::default() };
    world.read(vec![Sighting { usage, micro_usd: 3, ..row("m1", 10) }]);
    assert_eq!((marked(&world), world.budget(ID).used.estimated), (vec![(10, 0)], 0));
    // A reset begins without a mark.
    world.read(vec![estimate("m3", "new")]);
    world.act(Act::Reset(bid(ID))).unwrap();
    assert_eq!(world.budget(ID).used.estimated, 0);
}

#[test]
fn an_unknown_model_is_told_of_once() {
    let mut world = World::with_session(10_000);
    world.read(vec![estimate("m1", "new"), estimate("m2", "new"), estimate("m3", "newer")]);
    world.read(vec![estimate("m4", "new"), estimate("m5", "newer")]);
    let told: Vec<_> =
        world.alerts().map(|a| (a.alert_type, a.alert_id.0, a.model.clone().unwrap())).collect();
    assert_eq!(told, [(UnknownModel, 1, "new".to_owned()), (UnknownModel, 2, "newer".to_owned())]);
    world.act(Act::AcknowledgeAlert(None)).unwrap();
    world.read(vec![estimate("m6", "new")]);
    assert_eq!(world.alerts_of(ID).len(), 2);
}

#[test]
fn names_that_a_file_makes_up_raise_a_bounded_number_of_alerts() {
    let mut world = World::with_session(1_000_000);
    for n in 0..100 {
        world.read((0..10).map(|m| estimate(&format!("m{n}-{m}"), &format!("model-{n}-{m}"))).collect());
    }
    assert_eq!(world.alerts_of(ID), [UnknownModel; 20]);
}

#[test]
fn history_raises_no_alert() {
    let mut world = World::with_session(1_000);
    world.read(vec![Sighting { at: Timestamp(START.0 - 1), ..estimate("old", "new") }]);
    assert_eq!(world.alerts_of(ID), []);
}

#[test]
fn what_is_left_in_dollars_is_the_tightest_budgets() {
    let limit = Limit { tokens: 0, micro_usd: 50_000 };
    let mut world = World::new(Policy { session: limit, ..Policy::default() });
    world.cell(bursar_engine::table::HookEvent::SessionStart);
    let left = |world: &World| world.state.least_micro_usd_left(&sid(S), &AgentKey::Main);
    assert_eq!((left(&world), world.state.least_left(&sid(S), &AgentKey::Main)), (Some(50_000), None));
    world.pay(49_999);
    assert_eq!((left(&world), world.status(ID)), (Some(1), Status::Warning));
    world.pay(1);
    assert_eq!((left(&world), world.status(ID)), (Some(0), Status::Paused));
    let amount = Amount::Exact(Limit { tokens: 0, micro_usd: 1_000_000 });
    let done = world.act(Act::Extend { budget: Some(bid(ID)), amount }).unwrap();
    assert_eq!((done.missing, world.status(ID)), (Limit::default(), Status::Active));
    assert_eq!(left(&world), Some(1_000_000));
}

#[test]
fn finishing_is_granted_what_it_takes_at_the_budgets_average_price() {
    let limit = Limit { tokens: 0, micro_usd: 50_000 };
    let mut world = World::new(Policy { session: limit, ..Policy::default() });
    world.cell(bursar_engine::table::HookEvent::SessionStart);
    // 10 micro-dollars a token; going on takes the context of 5,000 anew and 20,000 tokens more.
    world.read(vec![Sighting { micro_usd: 50_000, ..row("m1", 5_000) }]);
    let done = world.act(Act::Finish(Some(bid(ID)))).unwrap();
    assert_eq!((done.missing, world.status(ID)), (Limit::default(), Status::Active));
    assert_eq!(world.budget(ID).max.micro_usd, 50_000 + 1 + 250_000);
}

#[test]
fn a_line_in_another_sessions_file_makes_nothing_cheaper() {
    let mut world = World::with_session(10_000);
    world.read(vec![Sighting { micro_usd: 500, ..row("m1", 10) }]);
    let file = FileProgress {
        session: sid("s2"),
        agent: AgentKey::Main,
        path: "/t/s2.jsonl".to_owned(),
        offset: 1,
        inode: 1,
        device: 1,
        tail_hash: 1,
        bad_lines: 0,
        read_at: START,
        in_long_line: false,
    };
    let usage = Usage { input: 10, output: 1, ..Usage::default() };
    let cheaper = Sighting { usage, model: "cheap".to_owned(), micro_usd: 1, ..row("m1", 10) };
    let dearer = Sighting { micro_usd: 600, ..cheaper.clone() };
    for (line, cost) in [(cheaper, 500), (dearer, 600)] {
        world.send(&Command::Usage(UsageRead {
            file: Some(file.clone()),
            rows: vec![line],
            known: Vec::new(),
            claim: None,
        }));
        assert_eq!(world.budget(ID).used.micro_usd, cost);
    }
}

#[test]
fn a_row_that_is_read_again_after_a_price_changed_keeps_its_cost() {
    let mut world = World::with_session(10_000);
    world.read(vec![Sighting { micro_usd: 7, ..row("m1", 10) }]);
    let again = vec![Sighting { micro_usd: 9, ..row("m1", 10) }];
    world.send(&Command::Usage(UsageRead { file: None, rows: again, known: Vec::new(), claim: None }));
    assert_eq!(world.totals(None).micro_usd, 7);
}
