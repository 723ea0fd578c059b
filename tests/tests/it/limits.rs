//! A session at its limit stands still before its next request, spends nothing while it is held, and goes on when a
//! person says so.

use std::time::{Duration, Instant};

use bursar_tests::api::{Kind, RequestLog, Script, ScriptedApi, Turn};
use bursar_tests::client::{Headless, HeadlessRun, Outcome};
use bursar_tests::daemon::Bursar;
use bursar_tests::world::World;
use serde_json::json;

use crate::common::{assert_counted, bare, thousand, tokens};

/// What a hold is watched for, that nothing is sent.
const WATCH: Duration = Duration::from_secs(2);

/// Ten times what the design allows from a person's word to the hook's end.
const RELEASE: Duration = Duration::from_secs(1);

/// Watches a hold, grants more with `extend`, and sees the session go on at once.
#[track_caller]
fn release(api: &ScriptedApi, run: HeadlessRun, sent: usize, extend: impl FnOnce()) -> Outcome {
    let log: &RequestLog = api.log();
    assert_eq!(log.count(), sent, "requests when the hold was seen");
    log.assert_silent_for(WATCH, "the session is held");
    extend();
    let extended = Instant::now();
    let outcome = run.outcome();
    let next = log.entries()[sent].at;
    // It may have come before the command was even done.
    let after = next.saturating_duration_since(extended);
    println!("the next request came {after:?} after the command's end");
    assert!(after < RELEASE, "the next request came {after:?} after the command's end");
    outcome
}

/// A session whose answer number `crossing` passes the limit.
#[track_caller]
fn crosses_at(bursar: &Bursar<'_>, world: &World, limit: u64, turns: Vec<Turn>, crossing: usize) {
    let wanted = turns.len() + 1;
    let mut turns = turns;
    turns.push(Turn::says("All done.", tokens(10)));
    let api = ScriptedApi::start(Script::main(turns));
    let run = Headless::new(world, &api, "do it").start();
    let hold = bursar.wait_for_hold();
    // Of several calls, a later one may be held before it runs.
    let before_or_after = ["PreToolUse", "PostToolBatch"].contains(&hold.event.as_str());
    assert!(hold.agent == "main" && before_or_after, "{hold:?}");
    assert_eq!(hold.budget_id, format!("session:{}", hold.session_id));
    let spent: Vec<u64> = api.log().entries().iter().map(|entry| entry.usage.weighed()).collect();
    assert_eq!(spent.len(), crossing, "the answer that crosses is the last");
    assert!(
        spent[..crossing - 1].iter().sum::<u64>() < limit,
        "the limit was passed by more than one answer"
    );
    let budget = bursar.budget(&hold.budget_id).expect("the budget");
    assert_eq!(
        (budget.status.as_str(), budget.tokens_used, budget.max_tokens),
        ("paused", spent.iter().sum(), limit)
    );
    let outcome = release(&api, run, crossing, || bursar.extend(&hold.budget_id, 100_000));
    assert_eq!((outcome.reason(), outcome.result.result.as_str()), ("completed", "All done."));
    assert_eq!(api.log().count(), wanted);
    assert_counted(bursar, &outcome.result, api.log());
    let budget = bursar.budget(&hold.budget_id).expect("the budget");
    assert_eq!((budget.status.as_str(), budget.max_tokens), ("active", limit + 100_000));
    assert_eq!(bursar.how_it_ended(hold.hold_id), "extended");
}

#[test]
fn not_one_request_is_sent_while_a_session_is_held() {
    let world = bare();
    let bursar = Bursar::up(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "3000")]);
    let quick = |command: &str, n: u64| Turn::bash(command, tokens(n));
    // Exactly at the limit, by the third answer.
    let turns = vec![quick("true", 1000), quick("echo two", 1000), quick("true", 1000)];
    crosses_at(&bursar, &world, 3000, turns, 3);
    // By the first, and in parallel.
    let turns = vec![quick("true", 3500).and_bash("echo two").and_bash("true"), quick("true", 10)];
    crosses_at(&bursar, &world, 3000, turns, 1);
    // One short of it goes on; the next jumps past the hard threshold, which is held all the same.
    let turns = vec![quick("echo one", 2999), quick("true", 9000), quick("true", 10)];
    crosses_at(&bursar, &world, 3000, turns, 2);
    // After calls that fail or are none: only the batch tells of them.
    let turns = vec![
        quick("exit 3", 1000),
        Turn::calls("NoSuchTool", json!({ "x": 1 }), tokens(1000)),
        Turn::calls("Bash", json!({ "cmd": "no such field" }), tokens(1000)),
        quick("true", 10),
    ];
    crosses_at(&bursar, &world, 3000, turns, 3);
}

#[test]
fn the_short_form_lets_the_only_one_that_waits_go_on() {
    let world = bare();
    let bursar = Bursar::up(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "2000")]);
    let api = ScriptedApi::start(Script::main([
        Turn::bash("true", thousand()),
        Turn::bash("echo two", thousand()),
        Turn::bash("true", thousand()),
        Turn::says("All done.", thousand()),
    ]));
    let run = Headless::new(&world, &api, "do it").start();
    let hold = bursar.wait_for_hold();
    let outcome = release(&api, run, 2, || {
        let said = bursar.done(&["extend", "+100k"]).stdout;
        assert!(said.contains(&hold.budget_id) && said.contains("2,000 of 102,000 tokens"), "{said}");
    });
    assert_eq!((outcome.reason(), outcome.result.result.as_str()), ("completed", "All done."));
    let budget = bursar.budget(&hold.budget_id).expect("the budget");
    assert_eq!((budget.tokens_used, budget.max_tokens), (4000, 102_000));
    // Cache reads are counted, and fill no budget.
    assert_eq!(api.log().usage().cache_read, 20_000);
    assert_counted(&bursar, &outcome.result, api.log());
}

#[test]
fn an_extension_that_is_too_small_says_what_is_missing_and_releases_nobody() {
    let world = bare();
    let bursar = Bursar::up(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "1000")]);
    let api = ScriptedApi::start(Script::main([
        Turn::bash("true", tokens(5000)),
        Turn::says("All done.", tokens(10)),
    ]));
    let run = Headless::new(&world, &api, "do it").start();
    let hold = bursar.wait_for_hold();
    let said = bursar.done(&["extend", "+1000"]).stdout;
    assert!(said.contains("3,001 tokens more let it go on"), "{said}");
    api.log().assert_silent_for(WATCH, "still shut");
    assert_eq!(bursar.wait_for_hold(), hold);
    bursar.done(&["extend", "+3001"]);
    assert_eq!(run.outcome().result.result, "All done.");
}

#[test]
fn a_model_hears_of_its_budget_once_for_each_agent() {
    let world = bare();
    let bursar = Bursar::up(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "10000")]);
    let api = ScriptedApi::start(
        Script::main([
            Turn::bash("true", tokens(7999)),
            Turn::bash("true", tokens(1)),
            Turn::agent("count the sheep", false, tokens(10)),
            Turn::bash("echo three", tokens(10)),
            Turn::says("All done.", tokens(10)),
        ])
        .subagent(
            "count the sheep",
            [
                Turn::bash("echo baa", tokens(10)),
                Turn::bash("echo baa", tokens(10)),
                Turn::says("Three sheep.", tokens(10)),
            ],
        ),
    );
    let outcome = Headless::new(&world, &api, "do it").run();
    assert_eq!(outcome.reason(), "completed");
    let times = |kind: &Kind| -> Vec<usize> {
        let asked = api.log().entries().into_iter().filter(|entry| entry.kind == *kind);
        asked.map(|entry| entry.times("Go on as planned")).collect()
    };
    // Each later request repeats what stands in the conversation already.
    assert_eq!(times(&Kind::Main), [0, 0, 1, 1, 1]);
    assert_eq!(times(&Kind::Subagent("count the sheep".to_owned())), [0, 1, 1]);
    let third = &api.log().entries()[2];
    assert!(third.carries("Budget: 8,000 of 10,000 tokens used."), "the figures");
    let alerts = bursar.alerts().alerts;
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    assert_eq!(alerts[0].alert_type, "warning_threshold");
    assert_eq!(alerts[0].budget_id, format!("session:{}", outcome.result.session_id));
}
