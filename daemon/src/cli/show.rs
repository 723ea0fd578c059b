//! What a human reads: status, sessions, budgets, alerts, verdicts, and who waits.

use std::collections::{BTreeMap, BTreeSet};

use bursar_engine::budget::Status;
use bursar_engine::records::BudgetState;
use bursar_protocol::answer::{dollars, grouped};
use bursar_protocol::message::Query;
use bursar_protocol::paths::Paths;

use super::client::query;
use super::output::{Failure, Output, Tone, ago, short, span};
use crate::view::{
    AlertList, BudgetList, HoldList, HoldView, SessionList, SessionView, StatusView, UsageView, VerdictList,
};

/// As many characters of an id as tell sessions apart in a table.
const SHORT_ID: usize = 8;

pub(super) fn plain(text: impl Into<String>) -> (Tone, String) {
    (Tone::Plain, text.into())
}

pub(super) fn dim(text: impl Into<String>) -> (Tone, String) {
    (Tone::Dim, text.into())
}

pub(super) fn short_id(id: &str) -> String {
    let (kind, name) = id.split_once(':').map_or((String::new(), id), |(k, n)| (format!("{k}:"), n));
    format!("{kind}{}", name.chars().take(SHORT_ID).collect::<String>())
}

fn status_cell(status: Status) -> (Tone, String) {
    let tone = match status {
        Status::Active => Tone::Good,
        Status::Warning => Tone::Warn,
        Status::Paused | Status::Exhausted => Tone::Bad,
    };
    (tone, status.name().to_owned())
}

fn used_of(budget: &BudgetState) -> String {
    if budget.max_tokens == 0 {
        return format!("{} (no limit)", short(budget.tokens_used));
    }
    format!("{} / {}", short(budget.tokens_used), short(budget.max_tokens))
}

/// An amount at list prices; `~` where some of it is an estimate.
fn money(micro_usd: u64, estimated: bool) -> String {
    format!("{}{}", if estimated { "~" } else { "" }, dollars(micro_usd))
}

fn cost_of(budget: &BudgetState) -> String {
    let used = money(budget.micro_usd_used, budget.cost_estimated);
    if budget.max_micro_usd == 0 { used } else { format!("{used} / {}", dollars(budget.max_micro_usd)) }
}

fn percent(budget: &BudgetState) -> String {
    if budget.max_tokens == 0 && budget.max_micro_usd == 0 {
        return "–".to_owned();
    }
    format!("{:.0}%", budget.utilization.as_f64() * 100.0)
}

pub(super) fn status(paths: &Paths, output: &Output) -> Result<(), Failure> {
    let (s, json): (StatusView, _) = query(paths, Query::Status)?;
    if output.json(&json) {
        return Ok(());
    }
    let waits = match s.holds {
        0 => "Nobody waits for you.".to_owned(),
        1 => output.tint(Tone::Bad, "1 agent waits for you: `bursar waiting`."),
        n => output.tint(Tone::Bad, &format!("{n} agents wait for you: `bursar waiting`.")),
    };
    output.line(&waits);
    output.line(&format!(
        "Bursar {} began to serve {} (process {}), mode {}.",
        s.version,
        ago(&s.since),
        s.pid,
        s.mode
    ));
    for wrong in &s.degraded {
        output.line(&output.tint(Tone::Bad, &format!("degraded: {}", super::output::clean(wrong))));
    }
    output.line(&format!(
        "Live sessions: {}. Alerts not seen: {}. Hooks answered: {}, malformed: {}, let through without a daemon: {}.",
        s.sessions, s.alerts, s.hooks, s.malformed, s.failed_open
    ));
    output.line(&super::operator::who_may_approve(&s));
    output.line(&format!("Circuits: {}.", s.circuits));
    output.line(&format!("Telemetry: {}.", s.telemetry.says));
    output.line(&format!("State: {} ({} KiB), socket: {}", s.state, s.store_bytes / 1_024, s.socket));
    output.line("");
    super::config::table(&s.settings, output);
    Ok(())
}

pub(super) fn sessions(paths: &Paths, all: bool, output: &Output) -> Result<(), Failure> {
    let (list, json): (SessionList, _) = query(paths, Query::Sessions { all })?;
    if output.json(&json) {
        return Ok(());
    }
    if list.sessions.is_empty() {
        output.line(
            "No live sessions. After `bursar install` each shows up here at its first hook; --all lists those that ended.",
        );
        return Ok(());
    }
    let row = |s: &SessionView| {
        let tone = if s.state == "held" { Tone::Bad } else { Tone::Plain };
        vec![
            plain(short_id(&s.session_id)),
            plain(s.project.clone().unwrap_or_default()),
            (tone, s.state.clone()),
            plain(s.budget.as_ref().map_or_else(String::new, used_of)),
            plain(session_cost(s)),
            plain(s.budget.as_ref().map_or_else(String::new, percent)),
            plain(s.requests.to_string()),
            plain(s.agents.len().to_string()),
            dim(ago(&s.last_seen)),
        ]
    };
    let rows: Vec<_> = list.sessions.iter().map(row).collect();
    let header =
        ["session", "project", "state", "tokens", "list price", "used", "requests", "agents", "last hook"];
    output.table(&header, &[3, 4, 5, 6, 7], &rows);
    Ok(())
}

/// What a session cost in all, and its limit in dollars where it has one.
fn session_cost(s: &SessionView) -> String {
    match s.budget.as_ref().filter(|b| b.max_micro_usd > 0) {
        Some(budget) => cost_of(budget),
        None => money(s.cost_micro_usd, s.cost_estimated),
    }
}

fn usage_cells(usage: &UsageView, requests: u64, cost: (u64, bool)) -> Vec<(Tone, String)> {
    vec![
        plain(grouped(usage.input_tokens)),
        plain(grouped(usage.output_tokens)),
        plain(grouped(usage.cache_creation_input_tokens)),
        plain(grouped(usage.cache_read_input_tokens)),
        plain(requests.to_string()),
        plain(money(cost.0, cost.1)),
    ]
}

pub(super) fn session(paths: &Paths, id: &str, output: &Output) -> Result<(), Failure> {
    let (s, json): (SessionView, _) = query(paths, Query::Session { id: id.to_owned() })?;
    if output.json(&json) {
        return Ok(());
    }
    output.line(&format!(
        "Session {} ({}), {}",
        s.session_id,
        s.project.as_deref().unwrap_or("no project"),
        s.state
    ));
    output.line(&format!("First hook {}, last hook {}", ago(&s.first_seen), ago(&s.last_seen)));
    if let Some(budget) = &s.budget {
        output.line(&format!(
            "Budget {}: {} of {} tokens ({}), {}",
            budget.budget_id,
            grouped(budget.tokens_used),
            if budget.max_tokens == 0 { "no limit".to_owned() } else { grouped(budget.max_tokens) },
            budget.unit,
            budget.status.name()
        ));
        if budget.max_micro_usd > 0 {
            let (used, max) =
                (money(budget.micro_usd_used, budget.cost_estimated), dollars(budget.max_micro_usd));
            output.line(&format!("{used} of {max} at list prices"));
        }
    }
    if s.bad_lines > 0 {
        output.line(&format!(
            "≥ {} lines of its transcripts could not be used: totals are a lower bound.",
            s.bad_lines
        ));
    }
    output.line("");
    let mut rows = Vec::new();
    for agent in &s.agents {
        let name = agent.agent_type.as_ref().filter(|t| !t.is_empty());
        let shown = name.map_or_else(|| agent.agent.clone(), |t| format!("{} ({t})", short_id(&agent.agent)));
        for model in &agent.models {
            let mut row = vec![plain(shown.clone()), plain(model.model.clone())];
            row.extend(usage_cells(
                &model.usage,
                model.requests,
                (model.cost_micro_usd, model.cost_estimated),
            ));
            rows.push(row);
        }
    }
    let mut total = vec![plain("total"), plain("")];
    total.extend(usage_cells(&s.usage, s.requests, (s.cost_micro_usd, s.cost_estimated)));
    rows.push(total);
    let header =
        ["agent", "model", "input", "output", "cache written", "cache read", "requests", "list price"];
    output.table(&header, &[2, 3, 4, 5, 6, 7], &rows);
    Ok(())
}

const BUDGET_COLUMNS: [&str; 7] = ["budget", "agent", "tokens", "list price", "used", "status", "changed"];

fn budget_row(b: &BudgetState) -> Vec<(Tone, String)> {
    vec![
        plain(b.budget_id.to_string()),
        plain(b.agent.clone()),
        plain(used_of(b)),
        plain(cost_of(b)),
        plain(percent(b)),
        status_cell(b.status),
        dim(ago(&b.last_updated)),
    ]
}

pub(super) fn budgets(paths: &Paths, output: &Output) -> Result<(), Failure> {
    let (list, json): (BudgetList, _) = query(paths, Query::Budgets)?;
    if output.json(&json) {
        return Ok(());
    }
    if list.budgets.is_empty() {
        output.line("No budgets. One begins with each session's first hook.");
        return Ok(());
    }
    let rows: Vec<_> = list.budgets.iter().map(budget_row).collect();
    output.table(&BUDGET_COLUMNS, &[2, 3, 4], &rows);
    Ok(())
}

pub(super) fn budget(paths: &Paths, question: Query, output: &Output) -> Result<(), Failure> {
    let (b, json): (BudgetState, _) = query(paths, question)?;
    if output.json(&json) {
        return Ok(());
    }
    output.table(&BUDGET_COLUMNS, &[2, 3, 4], &[budget_row(&b)]);
    if b.max_tokens > 0 || b.max_micro_usd == 0 {
        output.line(&format!("{} tokens left ({})", grouped(b.remaining), b.unit));
    }
    if b.max_micro_usd > 0 {
        let left = b.max_micro_usd.saturating_sub(b.micro_usd_used);
        output.line(&format!("{} left at list prices", money(left, b.cost_estimated)));
    }
    Ok(())
}

pub(super) fn waiting(paths: &Paths, all: bool, output: &Output) -> Result<(), Failure> {
    let (list, json): (HoldList, _) = query(paths, Query::Holds { all })?;
    if output.json(&json) {
        return Ok(());
    }
    if list.holds.is_empty() {
        output.line("Nobody waits for you.");
        return Ok(());
    }
    let rows: Vec<_> = list
        .holds
        .iter()
        .map(|h| {
            let doing = h.tool.as_ref().map_or_else(|| h.event.clone(), |t| format!("{} {t}", h.event));
            vec![
                plain(h.project.clone().unwrap_or_else(|| short_id(&h.session_id))),
                plain(if h.agent == "main" { h.agent.clone() } else { short_id(&h.agent) }),
                plain(doing),
                match h.state.as_str() {
                    "waiting" => (Tone::Bad, span(h.held_seconds)),
                    ended => dim(format!("{} ({})", span(h.held_seconds), ended.replace('_', " "))),
                },
                plain(
                    h.budget
                        .as_ref()
                        .map_or_else(String::new, |b| format!("{} · {}", used_of(b), cost_of(b))),
                ),
                plain(held_by(h)),
            ]
        })
        .collect();
    output.table(&["project", "agent", "held at", "for", "tokens · list price", "held by"], &[3, 4], &rows);
    output.line("");
    for line in ways_on(&list.holds) {
        output.line(&line);
    }
    Ok(())
}

/// The budget, or why the circuit is open.
fn held_by(hold: &HoldView) -> String {
    match (&hold.budget_id, &hold.circuit) {
        (Some(id), _) => id.clone(),
        (None, Some(circuit)) => format!(
            "circuit {}: {}",
            short_id(&circuit.circuit_id),
            circuit.trip_reason.as_deref().unwrap_or("open")
        ),
        (None, None) => hold.circuit_id.clone().unwrap_or_default(),
    }
}

/// What an extension adds to what is nearest its limit: tokens, or dollars.
fn more_for(hold: &HoldView) -> &'static str {
    let by_cost = |b: &BudgetState| {
        let share = |used: u64, max: u64| if max == 0 { 0.0 } else { used as f64 / max as f64 };
        share(b.micro_usd_used, b.max_micro_usd) > share(b.tokens_used, b.max_tokens)
    };
    if hold.budget.as_ref().is_some_and(by_cost) { "'+$1'" } else { "+100k" }
}

/// How each of those who wait can go on.
fn ways_on(holds: &[HoldView]) -> Vec<String> {
    let waiting = || holds.iter().filter(|h| h.state == "waiting");
    let budgets: BTreeMap<&str, &str> =
        waiting().filter_map(|h| Some((h.budget_id.as_deref()?, more_for(h)))).collect();
    let circuits: BTreeSet<&str> = waiting().filter_map(|h| h.circuit_id.as_deref()).collect();
    let mut lines = Vec::new();
    match budgets.len() {
        0 => {}
        1 => lines.extend(budgets.values().map(|more| {
            format!("Approve with `bursar extend {more}`, let it finish with `bursar finish`, stop it with `bursar stop`.")
        })),
        _ => lines
            .extend(budgets.iter().map(|(id, more)| format!("Approve with `bursar extend {id} {more}`."))),
    }
    match circuits.len() {
        0 => {}
        1 => lines.push(
            "Let it try again with `bursar circuit acknowledge`, stop it with `bursar circuit decline`."
                .to_owned(),
        ),
        _ => lines.extend(
            circuits.iter().map(|id| format!("Let it try again with `bursar circuit acknowledge {id}`.")),
        ),
    }
    if lines.is_empty() {
        lines.push("Nobody waits for you.".to_owned());
    }
    lines
}

pub(super) fn alerts(paths: &Paths, all: bool, output: &Output) -> Result<(), Failure> {
    let (list, json): (AlertList, _) = query(paths, Query::Alerts { all })?;
    if output.json(&json) {
        return Ok(());
    }
    if list.alerts.is_empty() {
        output.line("No alerts.");
        return Ok(());
    }
    let rows: Vec<_> = list
        .alerts
        .iter()
        .map(|a| {
            let seen = if a.acknowledged { dim("seen") } else { (Tone::Warn, "new".to_owned()) };
            vec![plain(a.alert_id.clone()), seen, dim(ago(&a.timestamp)), plain(a.message.clone())]
        })
        .collect();
    output.table(&["alert", "", "when", "what"], &[], &rows);
    Ok(())
}

pub(super) fn hooks(paths: &Paths, limit: u32, output: &Output) -> Result<(), Failure> {
    let (list, json): (VerdictList, _) = query(paths, Query::Hooks { limit })?;
    if output.json(&json) {
        return Ok(());
    }
    if list.verdicts.is_empty() {
        output.line("No hook has been answered since the daemon started.");
        return Ok(());
    }
    let rows: Vec<_> = list
        .verdicts
        .iter()
        .map(|v| {
            let verdict =
                v.would.as_ref().map_or_else(|| v.verdict.clone(), |w| format!("{} (would {w})", v.verdict));
            let tone = if v.verdict == "allow" { Tone::Plain } else { Tone::Warn };
            vec![
                dim(ago(&v.at)),
                plain(short_id(&v.session_id)),
                plain(short_id(&v.agent)),
                plain(v.tool.as_ref().map_or_else(|| v.event.clone(), |t| format!("{} {t}", v.event))),
                (tone, verdict),
                plain(v.reason.clone().unwrap_or_default()),
            ]
        })
        .collect();
    output.table(&["when", "session", "agent", "hook", "verdict", "why"], &[], &rows);
    Ok(())
}
