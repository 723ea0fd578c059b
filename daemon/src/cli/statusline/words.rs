//! How the status line reads. It has one line of a terminal, beside others.

use bursar_engine::budget::Status;
use bursar_engine::records::BudgetState;
use bursar_protocol::answer::dollars;

use crate::cli::output::{clean, short, span};
use crate::view::line::LineView;

/// Nothing was on standard input that a client writes.
pub(super) const NOT_ASKED: &str = "bursar: Claude Code runs this, with its session on standard input";

/// The daemon does not know the question, or its answer is not understood.
pub(super) const OTHER_RELEASE: &str = "bursar: the daemon is of another release, `make up` starts this one";

/// The daemon does not answer.
pub(super) const AWAY: &str = "bursar is away: nothing is counted or held · bursar daemon --detach";

const RED: &str = "1;31";
const YELLOW: &str = "33";

/// The line.
pub(super) fn line(view: &LineView, colour: bool) -> String {
    let tint = |code: &str, text: String| if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text };
    if !view.known {
        return "bursar: no hook of this session has come yet".to_owned();
    }
    if let Some(held) = &view.held {
        let who = if held.agent == "main" { String::new() } else { " (a subagent)".to_owned() };
        let why = match (&view.circuit, &view.budget) {
            (Some(circuit), _) if held.by_circuit => {
                format!(
                    ": {}",
                    circuit.trip_reason.as_deref().map_or_else(|| "its circuit is open".to_owned(), clean)
                )
            }
            (_, Some(budget)) => format!(" {}", figures(view, budget)),
            _ => String::new(),
        };
        return format!("{} · {}", tint(RED, format!("HELD{who}{why}")), clean(&held.answer));
    }
    let mut parts = Vec::new();
    let windows = [("5h", view.five_hour), ("7d", view.seven_day)];
    let of_plan = windows.iter().filter_map(|(name, share)| {
        share.as_ref().map(|share| format!("{name} {:.0}%", (share.as_f64() * 100.0).floor()))
    });
    parts.extend(of_plan);
    if let Some(budget) = &view.budget {
        parts.push(of_budget(view, budget, &tint));
    }
    if let Some(pace) = view.per_minute {
        parts.push(format!("{}/min", short(pace)));
    }
    let is_open = view.budget.as_ref().is_some_and(|b| matches!(b.status, Status::Active | Status::Warning));
    if let Some(seconds) = view.seconds_left.filter(|_| is_open) {
        parts.push(format!("{} left", span(seconds)));
    }
    if let Some(circuit) = &view.circuit {
        parts.push(tint(YELLOW, format!("circuit {}", circuit.state.name())));
    }
    match view.mode.as_str() {
        "observe" => parts.push("observing".to_owned()),
        "disabled" => parts.push("budgets off".to_owned()),
        _ => {}
    }
    format!("bursar {}", parts.join(" · "))
}

fn of_budget(view: &LineView, budget: &BudgetState, tint: &dyn Fn(&str, String) -> String) -> String {
    let figures = figures(view, budget);
    let percent = format!("{figures} {:.0}%", (budget.utilization.as_f64() * 100.0).floor());
    let extend = || format!("{figures} · bursar extend {} +100k", clean(&budget.budget_id.to_string()));
    match budget.status {
        Status::Active if budget.max_tokens == 0 && budget.max_micro_usd == 0 => figures,
        Status::Active => percent,
        Status::Warning => tint(YELLOW, percent),
        Status::Paused => tint(RED, format!("paused {}", extend())),
        Status::Exhausted => tint(RED, format!("exhausted {}", extend())),
    }
}

/// `512k/500k`; a budget above sessions by its name, and dollars where they are nearer their limit.
fn figures(view: &LineView, budget: &BudgetState) -> String {
    let bound = if view.lower_bound { "≥" } else { "" };
    let estimate = if budget.cost_estimated { "~" } else { "" };
    let share =
        |used: u64, max: u64| if max == 0 { 0 } else { u128::from(used) * 1_000_000 / u128::from(max) };
    let by_cost =
        share(budget.micro_usd_used, budget.max_micro_usd) > share(budget.tokens_used, budget.max_tokens);
    let text = match (by_cost, budget.max_tokens) {
        (true, _) => {
            let (used, max) = (dollars(budget.micro_usd_used), dollars(budget.max_micro_usd));
            format!("{bound}{estimate}{used}/{max}")
        }
        (false, 0) => format!("{bound}{} tokens", short(budget.tokens_used)),
        (false, max) => format!("{bound}{}/{}", short(budget.tokens_used), short(max)),
    };
    match budget.budget_type.as_str() {
        "session" => text,
        _ => format!("{} {text}", clean(&budget.budget_id.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::line;
    use serde_json::{Value, json};

    /// The line of a session that has used so much, with what else is said of it.
    fn shown(used: u64, max: u64, status: &str, more: Value) -> String {
        let utilization = if max == 0 { 0.0 } else { used as f64 / max as f64 };
        let mut view = json!({
            "session_id": "2a0a8f55-edd1-4d01-b447-c41baf3cce86", "known": true, "mode": "enforce", "lower_bound": false,
            "per_minute": null, "seconds_left": null, "circuit": null, "held": null, "five_hour": null, "seven_day": null,
            "budget": {
                "budget_id": "session:2a0a8f55", "budget_type": "session", "max_tokens": max, "tokens_used": used,
                "max_micro_usd": 0, "micro_usd_used": 0, "alert_threshold": 0.8, "status": status, "started_at": "",
                "last_updated": "", "agent": "main", "task_description": null, "utilization": utilization,
                "remaining": max.saturating_sub(used), "unit": "", "cost_estimated": false,
            },
        });
        merge(&mut view, more);
        line(&serde_json::from_value(view).expect("a view"), false)
    }

    fn merge(into: &mut Value, from: Value) {
        match (into, from) {
            (Value::Object(into), Value::Object(from)) => {
                for (key, value) in from {
                    merge(into.entry(key).or_insert(Value::Null), value);
                }
            }
            (into, from) => *into = from,
        }
    }

    #[test]
    fn a_session_that_works_shows_budget_pace_and_time() {
        let pace = json!({"per_minute": 38_000, "seconds_left": 600});
        assert_eq!(shown(123_400, 500_000, "active", json!({})), "bursar 123k/500k 24%");
        assert_eq!(
            shown(123_400, 500_000, "active", pace.clone()),
            "bursar 123k/500k 24% · 38k/min · 10 min left"
        );
        assert_eq!(shown(7, 0, "active", json!({"lower_bound": true})), "bursar ≥7 tokens");
        let plan = json!({"five_hour": 0.425, "seven_day": 0.07, "mode": "observe"});
        assert_eq!(shown(1, 2, "active", plan), "bursar 5h 42% · 7d 7% · 1/2 50% · observing");
        let dollars = json!({"budget": {"max_micro_usd": 2_000_000, "micro_usd_used": 1_000_000, "cost_estimated": true, "utilization": 0.5}});
        assert_eq!(shown(1, 100, "active", dollars), "bursar ~$1.00/$2.00 50%");
        let task = json!({"budget": {"budget_type": "task", "budget_id": "task:checkout"}});
        assert_eq!(shown(1, 2, "warning", task), "bursar task:checkout 1/2 50%");
        assert_eq!(
            shown(1, 2, "active", json!({"known": false})),
            "bursar: no hook of this session has come yet"
        );
    }

    #[test]
    fn a_session_that_is_held_says_who_waits_and_what_answers() {
        let held = |answer: &str| json!({"held": {"agent": "main", "by_circuit": false, "answer": answer}});
        assert_eq!(
            shown(512_000, 500_000, "paused", held("bursar extend +100k")),
            "HELD 512k/500k · bursar extend +100k"
        );
        let sub = json!({"held": {"agent": "a1", "by_circuit": false, "answer": "bursar extend agent:a1 +100k"},
            "budget": {"budget_type": "session", "budget_id": "agent:a1"}});
        assert_eq!(shown(2, 1, "paused", sub), "HELD (a subagent) 2/1 · bursar extend agent:a1 +100k");
        let circuit = json!({"held": {"agent": "main", "by_circuit": true, "answer": "bursar circuit acknowledge"},
            "circuit": {"circuit_id": "session:s", "state": "open", "iteration_count": 5, "max_iterations": 50,
                "duplicate_call_count": 5, "duplicate_threshold": 5, "last_tool_call": null,
                "trip_reason": "5 identical calls of Bash in a row", "tripped_at": null, "last_updated": "", "agent": "main"}});
        assert_eq!(
            shown(1, 2, "active", circuit),
            "HELD: 5 identical calls of Bash in a row · bursar circuit acknowledge"
        );
        assert_eq!(
            shown(512_000, 500_000, "paused", json!({})),
            "bursar paused 512k/500k · bursar extend session:2a0a8f55 +100k"
        );
    }
}
