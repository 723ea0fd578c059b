//! What people are told of a session beside its limits; nothing of it stops anybody.

use bursar_engine::policy::Policy;
use bursar_engine::row::Sighting;
use bursar_engine::table::{Cell, HookEvent};
use bursar_engine::time::Timestamp;
use bursar_engine::usage::Usage;
use bursar_engine::watch::Alarm;

use crate::support::{S, World, hook, key, row, sid, tokens_only};

const MINUTE: u64 = 60_000;

struct Watched {
    world: World,
    made: u32,
}

impl Watched {
    fn new() -> Self {
        let mut world = World::new(Policy { session: tokens_only(0), ..Policy::default() });
        world.hook(hook(HookEvent::SessionStart));
        Self { world, made: 0 }
    }

    fn prompt(&mut self) {
        self.world.hook(hook(HookEvent::HumanPrompt));
    }

    /// A request of a model, of so many tokens, that costs so much.
    fn pays(&mut self, model: &str, tokens: u64, micro_usd: u64) {
        let at = self.world.now;
        self.sees(Sighting { model: model.to_owned(), micro_usd, at, ..row("", tokens) });
    }

    fn sees(&mut self, seen: Sighting) {
        self.made += 1;
        let message_id = Some(format!("m{}", self.made));
        self.world.read(vec![Sighting { message_id, ..seen }]);
    }

    fn alarms(&self) -> Vec<Alarm> {
        self.world.alerts().filter_map(|alert| alert.alarm.clone()).collect()
    }
}

#[test]
fn a_session_that_spends_on_with_nobody_looking_is_told_of_and_again_at_every_doubling() {
    let mut session = Watched::new();
    session.prompt();
    session.pays("m", 99_999, 0);
    session.world.wait_ms(20 * MINUTE);
    session.pays("m", 1, 0);
    let burn = |minutes, tokens| Alarm::IdleBurn { minutes, tokens, micro_usd: 0 };
    assert_eq!(session.alarms(), [burn(20, 100_000)]);
    session.pays("m", 99_999, 0);
    assert_eq!(session.alarms().len(), 1);
    session.pays("m", 1, 0);
    session.world.wait_ms(MINUTE);
    session.pays("m", 300_000, 0);
    assert_eq!(session.alarms(), [burn(20, 100_000), burn(20, 200_000), burn(21, 500_000)]);
    // Somebody looks.
    session.prompt();
    session.pays("m", 400_000, 0);
    session.world.wait_ms(19 * MINUTE);
    session.pays("m", 400_000, 0);
    assert_eq!(session.alarms().len(), 3);
    assert_eq!(session.world.cell(HookEvent::PreToolUse), Cell::Allow);
}

#[test]
fn dollars_count_as_tokens_do_and_a_notification_is_no_human() {
    let mut session = Watched::new();
    session.prompt();
    session.world.wait_ms(30 * MINUTE);
    session.world.hook(hook(HookEvent::OtherPrompt));
    session.pays("m", 10, 1_000_000);
    assert_eq!(session.alarms(), [Alarm::IdleBurn { minutes: 30, tokens: 10, micro_usd: 1_000_000 }]);
}

#[test]
fn a_read_that_catches_up_raises_no_alarm() {
    let mut session = Watched::new();
    session.prompt();
    session.world.wait_ms(600 * MINUTE);
    let before = |ms| Timestamp(session.world.now.0 - ms);
    let (long_ago, lately) = (before(60 * MINUTE), before(1));
    session.sees(Sighting { at: long_ago, ..row("", 5_000_000) });
    session.sees(Sighting { at: lately, ..row("", 5_000_000) });
    assert_eq!(session.alarms(), []);
}

#[test]
fn a_turn_that_costs_three_times_the_median_is_told_of_once() {
    let mut session = Watched::new();
    for cost in [40_000, 900_000, 60_000] {
        session.prompt();
        session.pays("m", 1, cost);
    }
    assert_eq!(session.alarms(), [], "too few turns are over");
    session.prompt();
    session.pays("m", 1, 180_000);
    assert_eq!(session.alarms(), []);
    session.pays("m", 1, 1);
    session.pays("m", 1, 500_000);
    assert_eq!(session.alarms(), [Alarm::DearTurn { micro_usd: 180_001, median: 60_000 }]);
}

#[test]
fn turns_of_cents_are_nothing_to_look_at() {
    let mut session = Watched::new();
    for _ in 0..5 {
        session.prompt();
        session.pays("m", 1, 1_000);
    }
    session.prompt();
    session.pays("m", 1, 49_999);
    assert_eq!(session.alarms(), []);
}

#[test]
fn a_model_that_costs_more_for_the_same_work_is_told_of_once() {
    let mut session = Watched::new();
    session.prompt();
    session.pays("haiku-20260101", 1_000, 1_000);
    session.pays("haiku", 1_000, 1_200);
    session.pays("sonnet", 1_000, 1_300);
    assert_eq!(session.alarms(), [], "no dearer, by much");
    session.pays("opus[1m]", 1_000, 5_000);
    session.pays("opus", 1_000, 5_000);
    let dearer = Alarm::DearerModel { model: "opus".to_owned(), first: "haiku".to_owned() };
    assert_eq!(session.alarms(), [dearer]);
}

#[test]
fn more_output_is_no_dearer_model_and_a_subagents_is_not_the_first() {
    let mut session = Watched::new();
    let usage = |input, output| Usage { input, output, ..Usage::default() };
    let at = session.world.now;
    let subagent = Sighting { agent: key(Some("a1")), session: sid(S), ..row("", 0) };
    session.sees(Sighting { at, model: "a".to_owned(), micro_usd: 1, usage: usage(1, 0), ..subagent });
    session.sees(Sighting {
        at,
        model: "b".to_owned(),
        micro_usd: 1_000,
        usage: usage(1_000, 0),
        ..row("", 0)
    });
    session.sees(Sighting {
        at,
        model: "c".to_owned(),
        micro_usd: 5_000,
        usage: usage(0, 1_000),
        ..row("", 0)
    });
    assert_eq!(session.alarms(), []);
}
