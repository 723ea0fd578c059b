//! Sessions: all of them, one of them, and one request by request.

use bursar_protocol::answer::{dollars, grouped};
use bursar_protocol::message::Query;
use bursar_protocol::paths::Paths;

use super::client::query;
use super::output::{Failure, Output, Tone, ago};
use super::show::{at_least, cost_of, dim, money, percent, plain, short_id, used_of};
use crate::view::{LedgerView, RowView, SessionList, SessionView, UsageView};

/// As many rows as are shown unless more are asked for.
const ROWS: u32 = 1_000;

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
            if s.hooked { (tone, s.state.clone()) } else { (Tone::Warn, without_hooks(&s.state)) },
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

/// One without hooks is counted, and nothing holds it.
fn without_hooks(state: &str) -> String {
    if state == "live" { "unhooked".to_owned() } else { format!("{state} (unhooked)") }
}

/// What a session cost in all, and its limit in dollars where it has one.
fn session_cost(s: &SessionView) -> String {
    match s.budget.as_ref().filter(|b| b.max_micro_usd > 0) {
        Some(budget) => cost_of(budget),
        None => at_least(s.lower_bound, money(s.cost_micro_usd, s.cost_estimated)),
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
        if s.hooked { s.state.clone() } else { without_hooks(&s.state) }
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
    if let Some(other) = &s.draws_on {
        output.line(&format!("It draws on the budget of session {other}."));
    }
    if let Some(other) = &s.follows {
        output.line(&format!("It follows session {other}, which /clear ended."));
    }
    output.line(&how_sure(&s));
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
    let mut total = vec![plain(at_least(s.lower_bound, "total".to_owned())), plain("")];
    total.extend(usage_cells(&s.usage, s.requests, (s.cost_micro_usd, s.cost_estimated)));
    rows.push(total);
    let header =
        ["agent", "model", "input", "output", "cache written", "cache read", "requests", "list price"];
    output.table(&header, &[2, 3, 4, 5, 6, 7], &rows);
    Ok(())
}

/// How much of what its clients say a total covers.
fn how_sure(s: &SessionView) -> String {
    let covered = match s.coverage.map(|share| share.as_f64() * 100.0) {
        Some(percent) => format!("{} of what its client says it spent is accounted for", share(percent)),
        None => "Its client has not said yet what it spent".to_owned(),
    };
    let bound = if s.lower_bound {
        format!("; ≥ means that the total may be short: `bursar ledger explain {}`", short_id(&s.session_id))
    } else {
        String::new()
    };
    format!("{covered}{bound}.")
}

/// A share in per cent, never rounded up to the whole.
fn share(percent: f64) -> String {
    if percent >= 100.0 { "100%".to_owned() } else { format!("{:.1}%", (percent * 10.0).floor() / 10.0) }
}

/// A session's rows: where each number comes from, and what is missing.
pub(super) fn explain(paths: &Paths, id: &str, limit: Option<u32>, output: &Output) -> Result<(), Failure> {
    let question = Query::Ledger { id: id.to_owned(), limit: limit.unwrap_or(ROWS) };
    let (ledger, json): (LedgerView, _) = query(paths, question)?;
    if output.json(&json) {
        return Ok(());
    }
    if ledger.more {
        output
            .line(&output.tint(Tone::Dim, "There are older rows, or rows that are sums by the hour by now."));
    }
    let mut rows: Vec<_> = ledger.rows.iter().map(row).collect();
    let mut total = vec![dim(""), plain(at_least(ledger.lower_bound, "total".to_owned())), plain("")];
    total.extend(tokens(&ledger.usage));
    total.push(plain(money(ledger.cost_micro_usd, ledger.cost_estimated)));
    rows.push(total);
    let header =
        ["when", "agent", "model", "input", "output", "cache written", "cache read", "list price", "told by"];
    output.table(&header, &[3, 4, 5, 6, 7], &rows);
    output.line("");
    if let Some(covered) = ledger.coverage {
        let share = share(covered.as_f64() * 100.0);
        output.line(&format!("{share} of what its client says it spent is accounted for."));
    }
    for sentence in &ledger.missing {
        output.line(&output.tint(Tone::Warn, &format!("≥ {sentence}")));
    }
    if ledger.missing.is_empty() {
        output.line("Nothing is known to be missing.");
    }
    Ok(())
}

fn row(row: &RowView) -> Vec<(Tone, String)> {
    let told_by = match row.source.as_str() {
        "both" => "transcript, telemetry",
        "settlement" => "the client's own total",
        "payload" => "the hook",
        other => other,
    };
    let agent = if row.agent == "main" { row.agent.clone() } else { short_id(&row.agent) };
    let mut cells = vec![dim(ago(&row.at)), plain(agent), plain(row.model.clone())];
    cells.extend(tokens(&row.usage));
    cells.push(plain(money(row.cost_micro_usd, row.cost_estimated)));
    cells.push(dim(told_by));
    cells
}

fn tokens(usage: &UsageView) -> [(Tone, String); 4] {
    [
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_creation_input_tokens,
        usage.cache_read_input_tokens,
    ]
    .map(|n| plain(grouped(n)))
}
