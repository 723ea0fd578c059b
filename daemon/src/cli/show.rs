//! What a human reads: status, sessions, budgets, alerts, verdicts, and who waits.

use std::collections::{BTreeMap, BTreeSet};

use bursar_engine::budget::Status;
use bursar_engine::records::BudgetState;
use bursar_protocol::answer::{dollars, grouped};
use bursar_protocol::message::Query;
use bursar_protocol::paths::Paths;

use super::client::query;
use super::output::{Failure, Output, Tone, ago, short, span};
use crate::view::{AlertList, BudgetList, HoldList, HoldView, StatusView, VerdictList};

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

/// Marks a figure of which more is known to be.
pub(super) fn at_least(lower_bound: bool, figure: String) -> String {
    if lower_bound { format!("≥ {figure}") } else { figure }
}

pub(super) fn used_of(budget: &BudgetState) -> String {
    if budget.max_tokens == 0 {
        return at_least(budget.lower_bound, format!("{} (no limit)", short(budget.tokens_used)));
    }
    at_least(budget.lower_bound, format!("{} / {}", short(budget.tokens_used), short(budget.max_tokens)))
}

/// An amount at list prices; `~` where some of it is an estimate.
pub(super) fn money(micro_usd: u64, estimated: bool) -> String {
    format!("{}{}", if estimated { "~" } else { "" }, dollars(micro_usd))
}

pub(super) fn cost_of(budget: &BudgetState) -> String {
    let used = money(budget.micro_usd_used, budget.cost_estimated);
    let text = match budget.max_micro_usd {
        0 => used,
        max => format!("{used} / {}", dollars(max)),
    };
    at_least(budget.lower_bound, text)
}

pub(super) fn percent(budget: &BudgetState) -> String {
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
