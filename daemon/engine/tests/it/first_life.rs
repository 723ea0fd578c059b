//! HOOK.md section 5, the first life, row by row: 500,000 tokens, alert 0.8, pause 1.0, hard 1.2, mode hold.

use bursar_engine::alert::AlertType::{BudgetExhausted, WarningThreshold};
use bursar_engine::budget::Status::{self, Active, Exhausted, Paused, Warning};
use bursar_engine::command::Act;
use bursar_engine::decide::released;
use bursar_engine::hold::{Blocker, HoldEnd};
use bursar_engine::ids::{AgentKey, HoldId};
use bursar_engine::row::Sighting;
use bursar_engine::table::{Cell, HookEvent};
use bursar_engine::usage::Usage;
use bursar_engine::verdict::{ModelText, Why};

use crate::support::{S, World, bid, hook, row, sid, sub_hook};

const ID: &str = "session:s1";

/// The rows of the table, told one after the other.
struct Life(World);

impl Life {
    /// Usage arrives until so many tokens are used.
    fn use_up_to(&mut self, tokens: u64) {
        let used = self.0.stands(ID).0;
        self.0.spend(tokens - used);
    }

    fn stands(&self, used: u64, limit: u64, status: Status) {
        assert_eq!(self.0.stands(ID), (used, limit, status));
        // The marker stands exactly where something is shut.
        assert_eq!(self.0.state.shut_in(&sid(S)).0, status.is_shut());
    }

    /// In another course of things, the warning comes at this token and not one before.
    fn warns_at(&self, tokens: u64) {
        let mut other = Self(self.0.clone());
        other.use_up_to(tokens - 1);
        assert_eq!(other.0.status(ID), Active);
        other.use_up_to(tokens);
        assert_eq!(other.0.status(ID), Warning);
    }

    fn answer_to(&self, hold: HoldId) -> (Cell, Option<Why>) {
        let verdict = released(&self.0.state, self.0.hold(hold));
        (verdict.cell, verdict.because.map(|b| b.why()))
    }

    fn prompt_is_refused(&mut self) {
        assert_eq!(self.0.cell(HookEvent::HumanPrompt), Cell::Refuse);
    }
}

fn warned_and_paused() -> Life {
    let mut life = Life(World::with_session(500_000));
    life.0.hook(sub_hook(HookEvent::SubagentStart, "a1"));

    // A batch crosses 400,000: one alert, text to each agent once.
    life.use_up_to(402_000);
    life.stands(402_000, 500_000, Warning);
    assert_eq!(life.0.alerts_of(ID), [WarningThreshold]);
    for asked in [hook(HookEvent::PostToolBatch), sub_hook(HookEvent::PreToolUse, "a1")] {
        let first = life.0.hook(asked.clone());
        let [ModelText::Warning { about, ends: false }] = first.texts.as_slice() else { panic!("{first:?}") };
        assert_eq!((about.tokens_used, about.max_tokens), (402_000, 500_000));
        assert_eq!(life.0.hook(asked).texts, []);
    }

    // A batch crosses 500,000: hold, one alert, pauses + 1.
    life.use_up_to(512_000);
    life.stands(512_000, 500_000, Paused);
    assert_eq!(life.0.alerts_of(ID), [WarningThreshold, BudgetExhausted]);
    assert_eq!(life.0.budget(ID).pauses, 1);
    life
}

fn extended_once(life: &mut Life) {
    let hold = life.0.held(hook(HookEvent::PostToolBatch));
    let done = life.0.extend(ID, 100_000);
    life.stands(512_000, 600_000, Active);
    assert_eq!((done.released, done.missing.tokens), (1, 0));
    assert_eq!(life.0.end_of(hold), Some(HoldEnd::Extended));
    assert_eq!(life.answer_to(hold), (Cell::Allow, None));
    life.warns_at(582_400);
}

fn one_huge_answer_and_nobody_there(life: &mut Life) {
    life.use_up_to(733_000);
    life.stands(733_000, 600_000, Paused);
    let main = life.0.held(hook(HookEvent::PostToolBatch));
    let sub = life.0.held(sub_hook(HookEvent::PreToolUse, "a1"));
    assert_eq!(life.0.alerts_of(ID).len(), 3, "one alert, however many are held");
    assert_eq!(life.0.budget(ID).pauses, 2);

    // Nobody answers: the holds run out, the agents are stopped, prompts are refused.
    life.0.wait_ms(86_400_000 - 1);
    life.0.tick();
    assert_eq!((life.0.end_of(main), life.0.status(ID)), (None, Paused));
    life.0.wait_ms(1);
    life.0.tick();
    life.stands(733_000, 600_000, Exhausted);
    for hold in [main, sub] {
        assert_eq!(life.0.end_of(hold), Some(HoldEnd::RanOut));
        assert_eq!(life.answer_to(hold), (Cell::Stop, Some(Why::RanOut)));
    }
    assert_eq!(life.0.cell(HookEvent::PreToolUse), Cell::Stop);
    life.prompt_is_refused();
}

fn extended_too_little_and_then_enough(life: &mut Life) {
    let done = life.0.extend(ID, 100_000);
    life.stands(733_000, 700_000, Paused);
    assert_eq!(done.missing.tokens, 33_001);
    life.prompt_is_refused();

    let done = life.0.extend(ID, 100_000);
    life.stands(733_000, 800_000, Active);
    assert_eq!(done.missing.tokens, 0);
    assert_eq!(life.0.cell(HookEvent::HumanPrompt), Cell::Allow);
    life.warns_at(786_600);
}

fn declined_for_good(life: &mut Life) {
    life.use_up_to(815_000);
    let hold = life.0.held(hook(HookEvent::PreToolUse));
    life.0.act(Act::Decline(None)).unwrap();
    life.stands(815_000, 800_000, Exhausted);
    assert_eq!(life.0.end_of(hold), Some(HoldEnd::Declined));
    assert_eq!(life.answer_to(hold), (Cell::Stop, Some(Why::Declined)));

    // It stays so, whatever late rows arrive: more of them, and a correction that takes nearly all of it back.
    life.0.spend(1_000);
    life.stands(816_000, 800_000, Exhausted);
    let one = row("late", 10_000);
    life.0.read(vec![one.clone()]);
    let less = Usage { input: 0, output: 1, ..Usage::default() };
    life.0.read(vec![Sighting { usage: less, ..one }]);
    life.stands(816_001, 800_000, Exhausted);
    life.prompt_is_refused();
    assert!(
        life.0
            .state
            .shut_above(&sid(S), &AgentKey::Main)
            .is_some_and(|s| s.blocker() == Blocker::Budget(bid(ID)))
    );

    // Until an operator's act.
    life.0.extend(ID, 100_000);
    life.stands(816_001, 900_000, Active);
}

#[test]
fn a_budgets_life_goes_as_it_is_written() {
    let mut life = warned_and_paused();
    extended_once(&mut life);
    one_huge_answer_and_nobody_there(&mut life);
    extended_too_little_and_then_enough(&mut life);
    declined_for_good(&mut life);
}
