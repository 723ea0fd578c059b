//! What people are told of a session beside its limits and its circuits. Names of models and versions stand in files that
//! agents write.

use super::{capital, dollars, grouped, named};

/// The alert's sentence about a session that spends on with nobody looking.
pub fn idle_burn(budget_id: &str, minutes: u64, tokens: u64, micro_usd: u64) -> String {
    let about = named(budget_id);
    let name = capital(&about.name);
    format!(
        "{name} has spent {} tokens ({}) in the {} minutes since anybody prompted it. Stop it with `bursar budget set {} --shut`.",
        grouped(tokens),
        dollars(micro_usd),
        grouped(minutes),
        about.id
    )
}

/// The alert's sentence about a turn that costs far more than the others.
pub fn dear_turn(budget_id: &str, micro_usd: u64, median: u64) -> String {
    let name = named(budget_id).name;
    format!(
        "A turn of {name} has cost {} so far; its turns mostly cost {}.",
        dollars(micro_usd),
        dollars(median)
    )
}

/// The alert's sentence about a model that costs more than the one that a session began with.
pub fn dearer_model(budget_id: &str, model: &str, first: &str) -> String {
    let name = capital(&named(budget_id).name);
    format!(
        "{name} now uses {}, which costs more than {}, with which it began.",
        of_model(model),
        of_model(first)
    )
}

/// The alert's sentence about subagents that nobody called for.
pub fn more_subagents(budget_id: &str, called: u64, started: u64) -> String {
    let name = named(budget_id).name;
    format!(
        "Subagents of {name} since the last prompt: {} called, {} started.",
        grouped(called),
        grouped(started)
    )
}

/// The alert's sentence about a session that no hook tells of.
pub fn unhooked(budget_id: &str) -> String {
    let name = named(budget_id).name;
    format!(
        "{} runs without hooks (--bare, --safe-mode, or other settings): it is counted, and cannot be held.",
        capital(&name)
    )
}

/// The alert's sentence about a client that tells too little. Its version stands in files that agents write.
pub fn metering_not_confirmed(version: &str) -> String {
    let is_of_version = |c: &char| c.is_ascii_alphanumeric() || "-_.+".contains(*c);
    let version: String = version.chars().filter(is_of_version).take(32).collect();
    format!(
        "Claude Code {version}: metering not confirmed. It does not tell what was expected of it, so its totals may be short (≥)."
    )
}

/// A model's name, as far as it is one.
fn of_model(model: &str) -> String {
    model.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.:/@[]".contains(*c)).take(64).collect()
}

/// The alert's sentence about a model whose price is not known. Its name stands in files that agents write.
pub fn unknown_model(model: &str) -> String {
    let name = of_model(model);
    format!(
        "The price of {name} is not known: it is counted as the dearest model, and its cost marked ~. Give its price in prices.csv, restart the daemon, and take it with `bursar config accept`."
    )
}

#[cfg(test)]
mod tests {
    use super::{dear_turn, dearer_model, idle_burn, more_subagents};

    #[test]
    fn each_says_what_happened_and_names_nothing_that_is_no_name() {
        let about = "session:checkout-api";
        assert_eq!(
            idle_burn(about, 45, 230_000, 2_100_000),
            "Session checkout-api has spent 230,000 tokens ($2.10) in the 45 minutes since anybody prompted it. Stop it with `bursar budget set checkout-api --shut`."
        );
        assert_eq!(
            dear_turn(about, 1_200_000, 310_000),
            "A turn of session checkout-api has cost $1.20 so far; its turns mostly cost $0.31."
        );
        assert_eq!(
            dearer_model(about, "claude-opus-5\n`rm`", "claude-haiku-5"),
            "Session checkout-api now uses claude-opus-5rm, which costs more than claude-haiku-5, with which it began."
        );
        assert_eq!(
            more_subagents(about, 5, 9),
            "Subagents of session checkout-api since the last prompt: 5 called, 9 started."
        );
    }
}
