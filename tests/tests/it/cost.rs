//! What Bursar says a session costs is what the client itself reckons, to the micro-dollar; a limit in dollars holds.

use bursar_tests::api::{Script, ScriptedApi, Turn, Usage};
use bursar_tests::client::{ClientResult, Headless};
use bursar_tests::daemon::Bursar;
use bursar_tests::reply::SessionShow;
use bursar_tests::world::World;
use serde_json::json;

use crate::common::{assert_counted, bare, tokens, usage};

/// The client's own figure in micro-dollars.
fn by_the_client(result: &ClientResult) -> u64 {
    format!("{:.0}", result.total_cost_usd * 1e6).parse().expect("an amount")
}

/// Bursar's figure equals the client's, in the whole, by model, by agent and in the session's budget.
#[track_caller]
fn assert_costs(bursar: &Bursar<'_>, result: &ClientResult) -> SessionShow {
    let shown = bursar.session(&result.session_id);
    assert_eq!(shown.cost_micro_usd, by_the_client(result), "Bursar (left) against the client");
    assert!(shown.cost_micro_usd > 0 && !shown.cost_estimated);
    assert_eq!(shown.models.iter().map(|m| m.cost_micro_usd).sum::<u64>(), shown.cost_micro_usd);
    assert_eq!(shown.agents.iter().map(|a| a.cost_micro_usd).sum::<u64>(), shown.cost_micro_usd);
    let budget = bursar.budget(&format!("session:{}", result.session_id)).expect("the budget");
    assert_eq!((budget.micro_usd_used, budget.cost_estimated), (shown.cost_micro_usd, false));
    shown
}

/// A session of these answers on a model, which costs what the client says.
#[track_caller]
fn costs(world: &World, bursar: &Bursar<'_>, model: &str, turns: Vec<Turn>) -> SessionShow {
    let api = ScriptedApi::start(Script::main(turns));
    let outcome = Headless::new(world, &api, "do it").arg("--model").arg(model).run();
    assert_eq!(outcome.reason(), "completed");
    assert_counted(bursar, &outcome.result, api.log());
    assert_costs(bursar, &outcome.result)
}

#[test]
fn a_session_costs_what_the_client_says_whatever_its_price_depends_on() {
    let world = bare();
    let bursar = Bursar::up(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "0")]);
    let says = |usage: Usage| Turn::says("Done.", usage);
    // Plain, and with all kinds of cache use.
    costs(&world, &bursar, "claude-opus-5-5", vec![Turn::bash("true", tokens(1_000)), says(usage(5))]);
    costs(&world, &bursar, "claude-sonnet-4-5-20250929", vec![says(usage(10))]);
    // Above the tier's limit and below, each request by itself.
    let (below, above) = (Usage::plain(90_000, 200), Usage::plain(2_000, 200).cached(90_000, 6_000, 4_000));
    costs(&world, &bursar, "claude-haiku-5-5", vec![Turn::bash("true", below), says(above)]);
    // Fast, in the US, and with searches.
    let fast = || says(tokens(3_000)).with_usage("speed", json!("fast"));
    assert_eq!(costs(&world, &bursar, "claude-opus-5-5", vec![fast()]).cost_micro_usd, 72_000);
    assert_eq!(costs(&world, &bursar, "claude-sonnet-5-5", vec![fast()]).cost_micro_usd, 18_000);
    let searches = json!({ "web_search_requests": 3, "web_fetch_requests": 2 });
    let all = fast().with_usage("inference_geo", json!("us")).with_usage("server_tool_use", searches);
    assert_eq!(
        costs(&world, &bursar, "claude-opus-5-5", vec![all]).cost_micro_usd,
        72_000 * 11 / 10 + 30_000
    );
}

#[test]
fn subagents_of_two_models_cost_what_the_client_says() {
    let world = bare();
    let bursar = Bursar::up(&world, &[]);
    let api = ScriptedApi::start(
        Script::main([
            Turn::agent("count the sheep", false, usage(10)).with_input("model", json!("haiku")),
            Turn::says("All done.", usage(20)),
        ])
        .subagent(
            "count the sheep",
            [Turn::bash("echo baa", usage(30)), Turn::says("Three sheep.", usage(40))],
        ),
    );
    let outcome = Headless::new(&world, &api, "do it").run();
    let shown = assert_costs(&bursar, &outcome.result);
    assert_eq!((shown.models.len(), shown.agents.len()), (2, 2));
    // People see it labelled.
    let table = bursar.done(&["sessions", "show", &outcome.result.session_id]).stdout;
    assert!(table.contains("list price") && table.contains('$') && !table.contains('~'), "{table}");
}

#[test]
fn a_limit_in_dollars_holds_a_session_until_it_is_given_more() {
    let world = bare();
    let settings = [("TOKEN_BUDGET_SESSION_DEFAULT", "0"), ("TOKEN_BUDGET_SESSION_USD", "0.05")];
    let bursar = Bursar::up(&world, &settings);
    // 1,000 tokens in and out are $0.024 each time: the third crosses.
    let thousand = || Usage::plain(1_000, 1_000);
    let turns = vec![
        Turn::bash("true", thousand()),
        Turn::bash("echo two", thousand()),
        Turn::bash("true", thousand()),
        Turn::says("All done.", thousand()),
    ];
    let api = ScriptedApi::start(Script::main(turns));
    let run = Headless::new(&world, &api, "do it").arg("--model").arg("claude-opus-5-5").start();
    let hold = bursar.wait_for_hold();
    assert_eq!(api.log().count(), 3, "the answer that crosses is the last");
    let budget = bursar.budget(&hold.budget_id).expect("the budget");
    assert_eq!((budget.status.as_str(), budget.max_tokens), ("paused", 0));
    assert_eq!((budget.micro_usd_used, budget.max_micro_usd), (72_000, 50_000));
    let table = bursar.done(&["waiting"]).stdout;
    for said in ["list price", "$0.08 / $0.05", "`bursar extend '+$1'`"] {
        assert!(table.contains(said), "{said}: {table}");
    }
    let alerts = bursar.alerts().alerts;
    assert!(alerts.iter().any(|a| a.message.contains("$0.08 of $0.05 (list price)")), "{alerts:?}");
    // Tokens are no help, nor is too little; an amount that the shell has eaten says so.
    assert_ne!(bursar.run(&["extend", "+100k"]).code, Some(0));
    let eaten = bursar.run(&["extend", "+"]);
    assert!(eaten.code == Some(2) && eaten.stderr.contains("'+$5'"), "{eaten:?}");
    let said =
        bursar.done(&["budget", "extend", &hold.budget_id, "--usd", "0.01", "--reason", "a test"]).stdout;
    assert!(said.contains("more let it go on"), "{said}");
    let said = bursar.done(&["extend", "+$1"]).stdout;
    assert!(said.contains("$0.08 of $1.06 at list prices, 1 agent released"), "{said}");
    let outcome = run.outcome();
    assert_eq!((outcome.reason(), outcome.result.result.as_str()), ("completed", "All done."));
    assert_eq!(assert_costs(&bursar, &outcome.result).cost_micro_usd, 96_000);
    // A limit may be set later, and lower.
    bursar.done(&["budget", "set", &hold.budget_id, "--usd", "0.01", "--tokens", "1M"]);
    let budget = bursar.budget(&hold.budget_id).expect("the budget");
    assert_eq!((budget.max_tokens, budget.max_micro_usd), (1_000_000, 10_000 + 1_010_000));
}

#[test]
fn a_model_without_a_price_is_dear_marked_and_told_of_once() {
    let world = bare();
    let bursar = Bursar::up(&world, &[]);
    let api = ScriptedApi::start(Script::main([
        Turn::bash("true", tokens(2_000)),
        Turn::says("First.", tokens(2_000)),
        Turn::says("Second.", tokens(2_000)),
    ]));
    let of_no_price = || Headless::new(&world, &api, "do it").arg("--model").arg("claude-opus-9");
    let first = of_no_price().run();
    let second = of_no_price().run();
    for (result, micro_usd) in [(&first.result, 2 * 90_000), (&second.result, 90_000)] {
        let shown = bursar.session(&result.session_id);
        assert_eq!((shown.cost_micro_usd, shown.cost_estimated), (micro_usd, true));
        assert!(shown.cost_micro_usd > by_the_client(result), "dearer than the client's own guess");
    }
    let alerts = bursar.alerts().alerts;
    let unknown: Vec<_> = alerts.iter().filter(|a| a.alert_type == "unknown_model").collect();
    assert_eq!(unknown.len(), 1, "{alerts:?}");
    assert!(unknown[0].message.contains("claude-opus-9") && unknown[0].message.contains("prices.csv"));
    for args in [&["sessions", "--all"][..], &["budget", "list"]] {
        assert!(bursar.done(args).stdout.contains("~$0.18"), "{args:?}");
    }
}

#[test]
fn an_operators_prices_go_first_and_a_bad_line_stops_the_start() {
    let world = bare();
    let mut bursar = Bursar::new(&world, &[]);
    bursar.install();
    let prices = world.bursar_home().join("prices.csv");
    let header = "model,input,output,cache_read,cache_write_5m,cache_write_1h,from";
    std::fs::write(&prices, format!("{header}\nclaude-opus-9,2,3,0,0,0,\nx,1,2,3,4,dear,\n"))
        .expect("prices");
    let refused = bursar.run(&["daemon"]);
    assert_eq!(refused.code, Some(78), "{refused:?}");
    let first = refused.stderr.lines().next().unwrap_or_default();
    for said in ["prices.csv", "line 3", "cache_write_1h", "\"dear\""] {
        assert!(first.contains(said), "{said}: {refused:?}");
    }
    std::fs::write(&prices, format!("{header}\nclaude-opus-9,2,3,0,0,0,\n")).expect("prices");
    bursar.start();
    let api = ScriptedApi::start(Script::main([Turn::says("Done.", tokens(2_000))]));
    let outcome = Headless::new(&world, &api, "do it").arg("--model").arg("claude-opus-9").run();
    let shown = bursar.session(&outcome.result.session_id);
    assert_eq!((shown.cost_micro_usd, shown.cost_estimated), (5_000, false));
    assert_eq!(bursar.alerts().alerts.len(), 0);
    // Cheaper ones wait until somebody accepts them.
    bursar.stop();
    std::fs::write(&prices, format!("{header}\nclaude-opus-9,1,1,0,0,0,\n")).expect("prices");
    bursar.start();
    let id = outcome.result.session_id;
    let again = ScriptedApi::start(Script::main([
        Turn::says("Still as dear.", tokens(2_000)),
        Turn::says("Cheaper now.", tokens(2_000)),
    ]));
    let go_on =
        || Headless::new(&world, &again, "more").arg("--model").arg("claude-opus-9").resume(&id).run();
    go_on();
    assert_eq!(bursar.session(&id).cost_micro_usd, 10_000);
    let accepted = bursar.done(&["config", "accept"]).stdout;
    assert!(accepted.contains("prices.csv = claude-opus-9,1,1,"), "{accepted}");
    go_on();
    assert_eq!(bursar.session(&id).cost_micro_usd, 12_000, "what was counted keeps its cost");
}
