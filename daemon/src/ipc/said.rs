//! What an operator's act came to, in one line for people.

use bursar_engine::budget::Budget;
use bursar_engine::circuit::Circuit;
use bursar_engine::decide::Done;
use bursar_engine::records::BreakerState;
use bursar_protocol::answer as words;

/// One line that says what is now true.
pub(super) fn act_message(act: &str, done: &Done) -> String {
    if let Some(circuit) = &done.circuit {
        return circuit_message(circuit, done.released);
    }
    let Some(budget) = &done.budget else {
        return match act {
            "release" => format!("{} released; markers are cleared.", agents(done.released)),
            _ => "Marked as seen.".to_owned(),
        };
    };
    let id = &budget.id;
    let used = used_of(budget);
    let holders =
        || if done.released > 0 { format!(" {} released.", agents(done.released)) } else { String::new() };
    match act {
        "end_task" => return format!("{id} has ended: no session draws on it any more.{}", holders()),
        "start_task" => {
            let used = words::grouped(budget.tokens_used());
            let limit = match budget.max.tokens {
                0 => "no limit".to_owned(),
                limit => format!("{} tokens", words::grouped(limit)),
            };
            let dollars = match budget.max.micro_usd {
                0 => String::new(),
                limit => format!(", {} at list prices", words::dollars(limit)),
            };
            return format!("{id} is {}: {used} tokens used, {limit}{dollars}.", budget.status.name());
        }
        _ => {}
    }
    if act == "decline" {
        return format!(
            "{id} is declined: {} stopped. It stays shut until it is extended or reset.",
            agents(done.released)
        );
    }
    if done.missing.tokens > 0 || done.missing.micro_usd > 0 {
        let more = match (done.missing.tokens, done.missing.micro_usd) {
            (tokens, 0) => format!("{} tokens", words::grouped(tokens)),
            (0, micro_usd) => words::dollars(micro_usd),
            (tokens, micro_usd) => {
                format!("{} tokens and {}", words::grouped(tokens), words::dollars(micro_usd))
            }
        };
        return format!("{id} is still {}: {more} more let it go on ({used}).", budget.status.name());
    }
    let released =
        if done.released > 0 { format!(", {} released", agents(done.released)) } else { String::new() };
    format!("{id} is {}: {used}{released}.", budget.status.name())
}

/// What a budget has used, of each kind of limit that it has.
fn used_of(budget: &Budget) -> String {
    let (tokens, max) = (words::grouped(budget.tokens_used()), budget.max);
    let tokens = match (max.tokens, max.micro_usd) {
        (0, 0) => format!("{tokens} tokens used, no limit"),
        (0, _) => format!("{tokens} tokens used"),
        (limit, _) => format!("{tokens} of {} tokens used", words::grouped(limit)),
    };
    if max.micro_usd == 0 {
        return tokens;
    }
    let about = if budget.used.estimated > 0 { "~" } else { "" };
    let (used, limit) = (words::dollars(budget.used.micro_usd), words::dollars(max.micro_usd));
    format!("{tokens}, {about}{used} of {limit} at list prices")
}

fn circuit_message(circuit: &Circuit, released: usize) -> String {
    let (id, calls) = (&circuit.id, circuit.window.iterations);
    if circuit.whole.is_off {
        return "The circuits of this session are off until `bursar circuit on` switches them on.".to_owned();
    }
    let went_on = if released > 0 { format!(", {} released", agents(released)) } else { String::new() };
    match circuit.state {
        BreakerState::HalfOpen if circuit.pardons > 0 => format!(
            "Circuit {id} is half-open{went_on}: its loop may go on once, then the same again opens it."
        ),
        BreakerState::HalfOpen => format!(
            "Circuit {id} is half-open{went_on}: the same call again opens it, a good other one closes it."
        ),
        BreakerState::Closed => {
            format!("Circuit {id} is closed{went_on}, its loop forgotten ({calls} calls counted).")
        }
        BreakerState::Open => format!(
            "Circuit {id} is declined: {} stopped. It stays open until it is acknowledged or reset.",
            agents(released)
        ),
    }
}

fn agents(n: usize) -> String {
    if n == 1 { "1 agent".to_owned() } else { format!("{n} agents") }
}
