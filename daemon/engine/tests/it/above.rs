//! Several budgets above one request: task and agent, session (DESIGN 4.7); and where budgets come from.

use bursar_engine::budget::Status::{Active, Paused, Warning};
use bursar_engine::command::{Command, Hook};
use bursar_engine::decide::Reply;
use bursar_engine::ids::AgentKey;
use bursar_engine::policy::{CircuitPolicy, Limit, Policy};
use bursar_engine::table::{Cell, HookEvent};
use bursar_engine::time::Timestamp;
use bursar_engine::verdict::Verdict;

use crate::support::{S, START, World, bid, hook, sid, sub_hook, tokens_only};

/// Session 1,000, subagent 500, task 300 tokens; the session draws on task t1, and has one subagent.
fn family() -> World {
    let mut world = World::new(Policy {
        session: tokens_only(1_000),
        task: tokens_only(300),
        subagent_tokens: 500,
        ..Policy::default()
    });
    world.hook(hook(HookEvent::SessionStart));
    world.hook(sub_hook(HookEvent::SubagentStart, "a1"));
    world
}

fn on_task(event: HookEvent) -> Hook {
    Hook { task: Some("t1".to_owned()), ..hook(event) }
}

fn named(verdict: &Verdict) -> (Cell, Option<String>) {
    (verdict.cell, verdict.because.as_ref().and_then(|b| Some(b.budget()?.budget.to_string())))
}

fn held_by(budget: &str) -> (Cell, Option<String>) {
    (Cell::Hold, Some(budget.to_owned()))
}

#[test]
fn a_request_counts_in_every_budget_above_it_and_in_no_other() {
    let mut world = family();
    world.hook(on_task(HookEvent::PreToolUse));
    world.hook(Hook { session: sid("s2"), ..hook(HookEvent::SessionStart) });
    world.hook(sub_hook(HookEvent::SubagentStart, "a2"));
    world.hook(on_task(HookEvent::PreToolUse));
    world.spend_in(S, Some("a1"), 70);
    world.spend_in(S, None, 5);
    let used: Vec<_> =
        ["agent:a1", "agent:a2", "session:s1", "session:s2", "task:t1"].map(|id| world.stands(id).0).into();
    assert_eq!(used, [70, 0, 75, 0, 75]);
}

#[test]
fn a_subagent_over_its_own_budget_is_held_alone() {
    let mut world = family();
    world.spend_in(S, Some("a1"), 500);
    assert_eq!((world.status("agent:a1"), world.status("session:s1")), (Paused, Active));
    assert_eq!(named(&world.hook(sub_hook(HookEvent::PreToolUse, "a1"))), held_by("agent:a1"));
    world.hook(sub_hook(HookEvent::SubagentStart, "a2"));
    assert_eq!(world.hook(sub_hook(HookEvent::PreToolUse, "a2")).cell, Cell::Allow);
    for event in [HookEvent::PreToolUse, HookEvent::PostToolBatch, HookEvent::HumanPrompt, HookEvent::Stop] {
        assert_eq!(world.cell(event), Cell::Allow, "{event:?} of the main agent");
    }
    // Its marker names it alone.
    let (everybody, agents) = world.state.shut_in(&sid(S));
    assert!(!everybody);
    assert_eq!(agents.into_iter().collect::<Vec<_>>(), ["a1"]);
}

#[test]
fn a_session_over_its_budget_holds_all_its_agents_and_no_other_session() {
    let mut world = family();
    world.spend(1_000);
    for asked in [hook(HookEvent::PreToolUse), sub_hook(HookEvent::PreToolUse, "a1")] {
        assert_eq!(named(&world.hook(asked)), held_by("session:s1"));
    }
    assert!(world.state.shut_in(&sid(S)).0);
    let other = world.hook(Hook { session: sid("s2"), ..hook(HookEvent::PreToolUse) });
    assert_eq!(other.cell, Cell::Allow);
    assert_eq!(world.state.shut_in(&sid("s2")), (false, std::collections::BTreeSet::new()));
}

#[test]
fn a_task_over_its_budget_holds_every_session_that_draws_on_it() {
    let mut world = family();
    world.hook(on_task(HookEvent::SessionStart));
    world.spend(300);
    assert_eq!(named(&world.hook(on_task(HookEvent::PreToolUse))), held_by("task:t1"));
    // At first sight too: this very hook names it.
    let other = Hook { session: sid("s2"), ..on_task(HookEvent::PreToolUse) };
    assert_eq!(named(&world.hook(other)), held_by("task:t1"));
    assert_eq!(world.state.sessions_under(&bid("task:t1")), [sid("s1"), sid("s2")]);
}

#[test]
fn a_client_whose_environment_names_no_task_is_free_of_the_one_that_another_client_named() {
    let mut world = family();
    world.hook(on_task(HookEvent::SessionStart));
    world.spend(300);
    assert_eq!(world.cell(HookEvent::PreToolUse), Cell::Allow);
    assert_eq!(named(&world.hook(on_task(HookEvent::PreToolUse))), held_by("task:t1"));
}

#[test]
fn a_budget_knows_the_sessions_under_it() {
    let mut world = family();
    world.hook(on_task(HookEvent::SessionStart));
    world.hook(Hook { session: sid("s2"), ..on_task(HookEvent::SessionStart) });
    world.hook(Hook { session: sid("s2"), ..sub_hook(HookEvent::SubagentStart, "b1") });
    world.hook(Hook { session: sid("s3"), ..hook(HookEvent::SessionStart) });
    for (budget, sessions) in [
        ("session:s2", &["s2"][..]),
        ("agent:a1", &["s1"]),
        ("agent:b1", &["s2"]),
        ("agent:c1", &[]),
        ("task:t1", &["s1"]),
        ("task:t2", &[]),
    ] {
        let under: Vec<_> =
            world.state.sessions_under(&bid(budget)).iter().map(ToString::to_string).collect();
        assert_eq!(under, sessions, "{budget}");
    }
}

#[test]
fn of_several_shut_budgets_the_tightest_is_named() {
    let mut world = family();
    world.hook(on_task(HookEvent::SessionStart));
    world.spend(1_000);
    // Session at 100 %, task at 333 %: both paused, the task further.
    assert_eq!(named(&world.hook(on_task(HookEvent::PreToolUse))), held_by("task:t1"));
    // Exhausted comes before paused, however far that is.
    world.spend(99);
    world.spend(101);
    let verdict = world.hook(on_task(HookEvent::PreToolUse));
    assert_eq!(named(&verdict), (Cell::Stop, Some("session:s1".to_owned())));
}

#[test]
fn what_is_left_is_the_least_of_all_above() {
    let mut world = family();
    world.spend_in(S, Some("a1"), 450);
    let left =
        |world: &World, agent: Option<&str>| world.state.least_left(&sid(S), &AgentKey::new(agent).unwrap());
    assert_eq!((left(&world, Some("a1")), left(&world, None)), (Some(50), Some(550)));
    world.hook(on_task(HookEvent::PreToolUse));
    assert_eq!(left(&world, None), Some(300));
    assert_eq!(World::with_session(0).state.least_left(&sid(S), &AgentKey::Main), None);
}

#[test]
fn a_task_gets_the_limit_of_its_type() {
    let mut world = World::new(Policy { task: Limit { tokens: 7, micro_usd: 9 }, ..Policy::default() });
    for (task, task_type, tokens) in
        [("one", Some("review"), 30_000), ("two", Some("gardening"), 7), ("three", None, 7)]
    {
        world.hook(Hook {
            task: Some(task.to_owned()),
            task_type: task_type.map(str::to_owned),
            ..hook(HookEvent::PreToolUse)
        });
        let budget = world.budget(&format!("task:{task}"));
        assert_eq!(budget.max, Limit { tokens, micro_usd: 9 });
        assert_eq!(budget.task_description.as_deref(), task_type);
    }
    // A task's type does not change its limit later.
    let again = Some("deploy".to_owned());
    world.hook(Hook { task: Some("one".to_owned()), task_type: again, ..hook(HookEvent::PreToolUse) });
    assert_eq!(world.budget("task:one").max.tokens, 30_000);
}

#[test]
fn a_tasks_name_is_made_fit_for_an_id() {
    let mut world = World::new(Policy::default());
    let hostile = "../up: \"now\"\n";
    world.hook(Hook { task: Some(hostile.to_owned()), ..hook(HookEvent::PreToolUse) });
    let name = world.state.sessions[&sid(S)].env_task.clone().unwrap();
    assert_eq!(name, "-.-up:--now--");
    world.spend(11);
    assert_eq!(world.budget(&format!("task:{name}")).tokens_used(), 11);
}

#[test]
fn budgets_are_found_listed_and_missed() {
    let mut world = family();
    world.hook(on_task(HookEvent::PreToolUse));
    world.spend(900);
    let listed: Vec<_> = world.state.budgets.values().map(|b| (b.id.to_string(), b.status)).collect();
    let expected = [("agent:a1", Active), ("session:s1", Warning), ("task:t1", Paused)];
    assert_eq!(listed, expected.map(|(id, status)| (id.to_owned(), status)));
    for (id, agent) in [("agent:a1", "Explore"), ("session:s1", "main"), ("task:t1", "main")] {
        assert_eq!(world.budget(id).agent, agent);
    }
    assert!(!world.state.budgets.contains_key(&bid("session:nobody")));
    assert!(!world.state.budgets.contains_key(&bid("task:s1")), "kinds are apart");
}

#[test]
fn a_budgets_agent_is_the_name_that_the_environment_gives() {
    let mut world = World::new(Policy::default());
    world.hook(Hook { shown_as: Some("release-bot".to_owned()), ..hook(HookEvent::SessionStart) });
    assert_eq!(world.budget("session:s1").agent, "release-bot");
    // A subagent without a type is shown by its id.
    world.hook(Hook { agent_type: None, ..sub_hook(HookEvent::SubagentStart, "a9") });
    assert_eq!(world.budget("agent:a9").agent, "a9");
}

#[test]
fn the_end_of_a_compaction_starts_no_agent() {
    let mut world = family();
    let end = Hook { agent_type: Some(String::new()), ..sub_hook(HookEvent::SubagentStop, "c1") };
    world.hook(end);
    assert!(!world.state.budgets.contains_key(&bid("agent:c1")));
    world.hook(sub_hook(HookEvent::SubagentStop, "a3"));
    assert!(world.state.budgets.contains_key(&bid("agent:a3")));
}

#[test]
fn a_subagent_that_only_its_transcript_tells_of_gets_a_budget_that_counts() {
    let mut world = family();
    world.spend_in(S, Some("quiet"), 40);
    assert_eq!(world.stands("agent:quiet"), (40, 500, Active));
    assert_eq!(world.totals(Some("quiet")).requests, 1);
}

#[test]
fn a_hook_can_be_met_without_a_verdict() {
    let mut world = World::new(Policy::default());
    let reply = world.send(&Command::Meet(on_task(HookEvent::PreToolUse))).reply;
    assert_eq!(reply, Reply::None);
    assert_eq!(world.stands("task:t1"), (0, 100_000, Active));
    assert_eq!(world.stands("session:s1"), (0, 500_000, Active));
}

#[test]
fn a_budget_begins_by_the_wall_clock_where_that_is_behind() {
    let mut world = World::new(Policy::default());
    let behind = Timestamp(START.0 - 60_000);
    world.hook(Hook { wall: behind, ..hook(HookEvent::SessionStart) });
    assert_eq!(world.budget("session:s1").started_at, behind);
    let ahead = Hook { wall: START.plus_ms(60_000), session: sid("s2"), ..hook(HookEvent::SessionStart) };
    world.hook(ahead);
    assert_eq!(world.budget("session:s2").started_at, START);
}

#[test]
fn switched_off_budgets_neither_begin_nor_count_nor_hold() {
    let circuits = CircuitPolicy { enabled: false, ..CircuitPolicy::default() };
    let mut world =
        World::new(Policy { enabled: false, session: tokens_only(10), circuits, ..Policy::default() });
    for asked in [on_task(HookEvent::SessionStart), sub_hook(HookEvent::SubagentStart, "a1")] {
        assert_eq!(world.hook(asked), Verdict::ALLOW);
    }
    world.spend(1_000);
    world.spend_in(S, Some("a2"), 1_000);
    for event in HookEvent::ALL {
        assert_eq!(world.hook(on_task(event)), Verdict::ALLOW, "{event:?}");
    }
    assert!(world.state.budgets.is_empty());
    assert_eq!(world.alerts().count(), 0);
    assert_eq!((world.totals(None).requests, world.totals(Some("a2")).requests), (1, 1), "totals go on");
}
