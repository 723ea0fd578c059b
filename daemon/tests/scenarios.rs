//! Scenarios of loops and of healthy work, drawn from other tools' tests and from users' reports: each behaves as it says.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

use bursar::replay::scenario::Scenario;
use bursar_engine::policy::CircuitPolicy;
use serde_json::{Value, json};

const ALL: &str = include_str!("data/loop-scenarios.jsonl");

#[test]
fn every_scenario_behaves_as_it_says() {
    let mut wrongs = Vec::new();
    for line in ALL.lines() {
        let scenario = Scenario::read(line).unwrap();
        let seen = scenario.replay(&CircuitPolicy::default());
        println!("{}: {:?} {:?} warned {:?}", scenario.name, seen.tripped_at, seen.detector, seen.warned);
        wrongs.extend(scenario.differs(&seen).map(|what| format!("{}: {what}: {seen:?}", scenario.name)));
    }
    assert!(wrongs.is_empty(), "{}", wrongs.join("\n"));
    assert_eq!(ALL.lines().count(), 68);
}

/// Changes a call in what is none of its business: the number of the call, and the call.
type Way = fn(usize, &mut Value);

/// What an agent says of a call to itself.
fn with_bookkeeping(n: usize, call: &mut Value) {
    if let Some(input) = call["input"].as_object_mut().filter(|input| !input.is_empty()) {
        input.insert("description".to_owned(), json!(format!("attempt {n}")));
        input.insert("timeout".to_owned(), json!(1_000 + n));
    }
}

/// Other agents' names for the same tools.
fn by_another_name(_: usize, call: &mut Value) {
    let name = match call["tool"].as_str() {
        Some("Read") => "read_file",
        Some("Bash") => "run_shell_command",
        Some("Grep") => "search_file_content",
        Some("Edit") => "str_replace_editor",
        Some("Write") => "write_to_file",
        _ => return,
    };
    call["tool"] = json!(name);
}

/// Clocks, spans, processes and ids.
fn with_noise(n: usize, call: &mut Value) {
    if let Some(output) = call["output"].as_str().filter(|output| !output.is_empty()) {
        let id = format!("550e8400-e29b-41d4-a716-{n:012x}");
        let clock = format!("2026-03-04 10:{:02}:00", n % 60);
        call["output"] = json!(format!("{output}\n[{clock}] took 0.{n:03}s pid={} {id}", 1_000 + n));
    }
}

/// JSON, as a tool prints it.
fn as_json(n: usize, call: &mut Value) {
    if call["ok"] == json!(true) && call["output"].is_string() {
        let printed =
            json!({"output": call["output"], "durationMs": 13 + n * 7, "requestId": format!("r{n}")});
        call["output"] = json!(printed.to_string());
    }
}

#[test]
fn told_in_another_way_it_comes_to_the_same() {
    let ways: [(&str, Way); 4] = [
        ("bookkeeping", with_bookkeeping),
        ("names", by_another_name),
        ("noise", with_noise),
        ("JSON", as_json),
    ];
    let mut wrongs = Vec::new();
    for (way, change) in ways {
        for line in ALL.lines() {
            let mut told: Value = serde_json::from_str(line).unwrap();
            let calls = told["calls"].as_array_mut().unwrap().iter_mut();
            let calls = calls.filter(|call| call["tool"].as_str().is_some_and(|tool| !tool.starts_with('_')));
            calls.enumerate().for_each(|(n, call)| change(n, call));
            let scenario = Scenario::read(&told.to_string()).unwrap();
            let seen = scenario.replay(&CircuitPolicy::default());
            wrongs.extend(
                scenario.differs(&seen).map(|what| format!("{way}: {}: {what}: {seen:?}", scenario.name)),
            );
        }
    }
    assert!(wrongs.is_empty(), "{}", wrongs.join("\n"));
}

#[test]
fn a_warning_counts_from_when_it_is_due_though_no_hook_carries_it_yet() {
    for (event, trips) in [("_compact", 6), ("_stop_blocked", 10)] {
        let call = json!({"tool": event, "input": {}, "ok": true, "output": "", "t": 0.0});
        let told = json!({"name": event, "calls": vec![call; 12], "expect": "trip", "at_call": trips, "warn": "must"});
        let seen = Scenario::read(&told.to_string()).unwrap().replay(&CircuitPolicy::default());
        assert_eq!(
            (seen.warned.first().map(|(at, _)| *at), seen.tripped_at),
            (Some(3), Some(trips)),
            "{event}"
        );
    }
}
