//! Subagents of a whole session.

use bursar_engine::circuit::{Circuit, CircuitId};
use bursar_engine::command::{Call, Hook, Outcome};
use bursar_engine::detect::Detector::{self, SubagentDepth, Subagents};
use bursar_engine::table::HookEvent;
use bursar_engine::watch::Alarm;

use crate::support::calls::Agent;
use crate::support::{hook, key};

struct Family {
    agent: Agent,
    calls: u32,
}

impl Family {
    fn new() -> Self {
        Self { agent: Agent::new(), calls: 0 }
    }

    fn after(&mut self, ms: u64) -> &mut Self {
        self.agent.life.world.wait_ms(ms);
        self
    }

    fn starts(&mut self, whose: Option<&str>) {
        self.agent.tell(Hook { agent: key(whose), ..hook(HookEvent::SubagentStart) });
    }

    /// An agent calls for a subagent, in the background.
    fn calls(&mut self, who: Option<&str>) {
        self.calls += 1;
        let input = format!("{{\"prompt\":\"angle {}\"}}", self.calls);
        let id = format!("agent-{}", self.calls);
        let call = Call::new(Some(&id), "Agent", "Agent".to_owned(), Some(&input));
        let of = |event, call| Hook { agent: key(who), calls: vec![call], ..hook(event) };
        self.agent.tell(of(HookEvent::PreToolUse, call.clone()));
        let outcome = Some(Outcome::new("Agent", true, Some("\"launched\"")));
        let call = Call { outcome, ..call };
        self.agent.tell(of(HookEvent::PostToolUse, call.clone()));
        self.agent.tell(of(HookEvent::PostToolBatch, call));
    }

    fn open(&self) -> Vec<(String, Detector)> {
        let open = self.agent.life.world.state.circuits.values().filter(|c| c.is_open());
        open.map(|c| (c.id.to_string(), c.trip.as_ref().unwrap().detector)).collect()
    }
}

#[test]
fn more_subagents_than_were_called_for_are_told_of_once_a_prompt() {
    let mut family = Family::new();
    let told = |family: &Family| -> Vec<_> {
        family.agent.life.world.alerts().filter_map(|alert| alert.alarm.clone()).collect()
    };
    // Of those that were called for before the first prompt nobody knows.
    family.starts(Some("a0"));
    assert_eq!(told(&family), []);
    family.agent.tell(hook(HookEvent::HumanPrompt));
    family.calls(None);
    family.starts(Some("a1"));
    // It goes on after it had ended.
    family.starts(Some("a1"));
    assert_eq!(told(&family), []);
    family.starts(Some("a2"));
    family.starts(Some("a3"));
    assert_eq!(told(&family), [Alarm::MoreSubagents { called: 1, started: 2 }]);
    assert_eq!(family.open(), []);
}

#[test]
fn thirty_in_a_minute_over_all_agents_open_the_circuits_of_all_that_called() {
    let mut family = Family::new();
    for n in 1..=30 {
        assert_eq!(family.open(), [], "{n}");
        family.after(1_900).calls([None, Some("a"), Some("b")][n % 3]);
    }
    let all = ["session:s1", "agent:a", "agent:b"].map(|id| (id.to_owned(), Subagents));
    assert_eq!(family.open(), all);
    assert!(family.agent.heard.iter().any(|(_, why)| *why == Subagents));
    // An agent that called for none goes on.
    let other: CircuitId = "agent:c".parse().unwrap();
    assert!(!family.agent.life.world.state.circuit(&other).is_some_and(Circuit::is_open));
}

#[test]
fn slower_ones_trip_at_eighty_in_the_session_prompts_or_no_prompts() {
    let mut family = Family::new();
    for n in 1..=80 {
        assert_eq!(family.open(), [], "{n}");
        if n % 10 == 0 {
            family.agent.tell(hook(HookEvent::HumanPrompt));
        }
        family.after(6_000).calls(None);
    }
    assert_eq!(family.open(), [("session:s1".to_owned(), Subagents)]);
    assert_eq!(family.agent.life.circuit().trip.clone().unwrap().to_string(), "80 subagents in this session");
    // Let go on, and working, it may call for as many again.
    family.agent.life.acknowledge();
    family.agent.runs("make", true, "made");
    for _ in 0..79 {
        family.after(6_000).calls(None);
    }
    assert_eq!(family.open(), []);
}

#[test]
fn subagents_of_subagents_are_three_deep_at_most() {
    let mut family = Family::new();
    let line = [None, Some("a"), Some("b"), Some("c")];
    for (n, who) in line.into_iter().enumerate() {
        if n > 0 {
            family.starts(who);
        }
        assert_eq!(family.open(), [], "{n}");
        family.after(9_000).calls(who);
    }
    assert!(family.open().contains(&("agent:c".to_owned(), SubagentDepth)));
    // Many at once are not deep.
    let mut family = Family::new();
    (0..6).for_each(|_| family.after(9_000).calls(None));
    for who in ["a", "b", "c", "d", "e", "f"] {
        family.starts(Some(who));
        family.after(9_000).calls(Some(who));
    }
    assert_eq!(family.open(), []);
}

#[test]
fn healthy_numbers_of_them_do_nothing() {
    let mut family = Family::new();
    for _ in 0..19 {
        family.after(8_000).calls(None);
        family.starts(Some("a"));
    }
    assert_eq!((family.open(), family.agent.heard.len()), (vec![], 0));
}
