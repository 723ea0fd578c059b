//! How every answer reads, byte for byte: (event, verdict, figures) to exit code, standard output, standard error.
//! The daemon uses it for every answer; the hook client only when the daemon is away.

pub mod alarms;
mod loops;

use crate::hook_input::Event;

pub use loops::{Loop, loop_for_the_model};

/// What a hook prints and how it exits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// 0, or 2 where the client is to refuse.
    pub exit: u8,
    /// One line of JSON without a line end, or nothing.
    pub stdout: String,
    /// The text for the model or the person, or nothing.
    pub stderr: String,
}

/// What the hook is told, with its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Say<'a> {
    /// Go on.
    Allow,
    /// Go on, and the model reads this.
    Text(&'a str),
    /// The turn ends.
    Stop(&'a str),
    /// The prompt is dropped.
    Refuse(&'a str),
    /// The call or the compaction is refused.
    Deny(&'a str),
    /// The person is asked about this call.
    Ask(&'a str),
    /// The person reads this and the session goes on.
    Tell(&'a str),
}

/// Words an answer for `event`; `seed_shape` for callers whose payload names no event.
pub fn answer(event: Event, seed_shape: bool, say: Say<'_>) -> Answer {
    if seed_shape {
        return in_the_seeds_shape(say);
    }
    let name = event.name();
    match say {
        Say::Text(text) if carries_text(event) => printed(format!(
            r#"{{"hookSpecificOutput":{{"hookEventName":"{name}","additionalContext":{}}}}}"#,
            json(text)
        )),
        Say::Allow | Say::Text(_) => Answer::default(),
        // By `continue` alone the client ends the turn and runs the call that it asked about all the same.
        Say::Stop(text) if matches!(event, Event::PreToolUse) => printed(format!(
            r#"{{"continue":false,"stopReason":{},"hookSpecificOutput":{{"hookEventName":"{name}","permissionDecision":"deny","permissionDecisionReason":{}}}}}"#,
            json(text),
            json(CALL_NOT_RUN)
        )),
        Say::Stop(text) => printed(format!(r#"{{"continue":false,"stopReason":{}}}"#, json(text))),
        Say::Refuse(text) => printed(format!(r#"{{"decision":"block","reason":{}}}"#, json(text))),
        Say::Deny(text) => Answer { exit: 2, stdout: String::new(), stderr: text.to_owned() },
        Say::Ask(text) => printed(format!(
            r#"{{"hookSpecificOutput":{{"hookEventName":"{name}","permissionDecision":"ask","permissionDecisionReason":{}}}}}"#,
            json(text)
        )),
        Say::Tell(text) => printed(format!(r#"{{"systemMessage":{}}}"#, json(text))),
    }
}

/// Whether the client takes text for the model from this event.
pub const fn carries_text(event: Event) -> bool {
    matches!(event, Event::PreToolUse | Event::PostToolUse | Event::PostToolBatch | Event::UserPromptSubmit)
}

fn in_the_seeds_shape(say: Say<'_>) -> Answer {
    match say {
        Say::Allow | Say::Tell(_) => Answer::default(),
        Say::Text(text) => printed(format!(r#"{{"additionalContext":{}}}"#, json(text))),
        Say::Stop(text) | Say::Refuse(text) | Say::Deny(text) | Say::Ask(text) => {
            Answer { exit: 2, stdout: String::new(), stderr: text.to_owned() }
        }
    }
}

fn printed(stdout: String) -> Answer {
    Answer { exit: 0, stdout, stderr: String::new() }
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// How far a budget is used, for the sentences. Whole tokens, rounded up; micro-dollars.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    /// The budget's id, as people write it.
    pub budget_id: String,
    /// Tokens used.
    pub tokens_used: u64,
    /// The token limit; 0 means none.
    pub max_tokens: u64,
    /// Micro-dollars used.
    pub micro_usd_used: u64,
    /// The limit in micro-dollars; 0 means none.
    pub max_micro_usd: u64,
    /// Whether dollars, not tokens, are what is nearest the limit.
    pub by_cost: bool,
    /// Some of the cost is an estimate.
    pub estimated: bool,
}

impl Figures {
    /// What an extension may add, as a shell takes it: `$1` is the shell's own unless it is quoted.
    fn more(&self) -> &'static str {
        if self.by_cost { "'+$1'" } else { "+100k" }
    }
}

/// Why somebody is stopped rather than held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The limit is reached.
    Paused,
    /// The hard threshold is passed.
    Exhausted,
    /// An operator declined.
    Declined,
    /// Nobody answered in time.
    RanOut,
    /// As many unattended sessions are held as this host may hold.
    TooManyUnattended,
}

/// The text for the model when a budget reaches its alert threshold; `ends` says that the limit stops it for good.
pub fn warning_for_the_model(figures: &Figures, ends: bool) -> String {
    let used = used_of(figures);
    if ends {
        format!("Budget: {used} used. Bring the work to a clean end now; at the limit the work stops.")
    } else {
        format!("Budget: {used} used. Go on as planned; at the limit you are paused and a person decides.")
    }
}

/// The text for the person (and, where a call is denied, the model) when something is shut.
pub fn shut(figures: &Figures, why: Why) -> String {
    let Named { name, id, session } = named(&figures.budget_id);
    let (used, more) = (used_of(figures), figures.more());
    match why {
        Why::Paused => format!("Paused: {name} has used {used}. Approve with `bursar extend {id} {more}`."),
        Why::Exhausted => format!(
            "Stopped: {name} has used {used}, past its hard limit. Approve with `bursar extend {id} {more}`."
        ),
        Why::Declined => format!(
            "Stopped: an operator declined more for {name} ({used} used). `bursar extend {id} {more}` reopens it."
        ),
        Why::RanOut => format!(
            "Stopped: {name} has used {used} and nobody answered in time. Approve with `bursar extend {id} {more}`, then go on with `claude --resume{session}`."
        ),
        Why::TooManyUnattended => format!(
            "Stopped: {name} has used {used}, and this host holds no more unattended sessions. Approve with `bursar extend {id} {more}`."
        ),
    }
}

/// The text for the model when its call is denied: numbers only.
pub fn denied_for_the_model(figures: &Figures) -> String {
    format!("Budget: {} used; this call is refused until a person approves more.", used_of(figures))
}

/// What the model finds, when it is resumed, in the place of a call that was stopped before it ran.
pub const CALL_NOT_RUN: &str = "The turn was stopped before this call; it did not run.";

/// The text for the person when a circuit is open; `reason` is figures and a tool's name.
pub fn circuit_open(circuit_id: &str, reason: &str, why: Why) -> String {
    let Named { name, id, session } = named(circuit_id);
    match why {
        Why::Paused | Why::Exhausted => format!(
            "Circuit open: {name} made {reason}. Let it try again with `bursar circuit acknowledge {id}`."
        ),
        Why::Declined => format!(
            "Stopped: an operator stopped {name}, which made {reason}. `bursar circuit acknowledge {id}` lets it try again."
        ),
        Why::RanOut => format!(
            "Stopped: {name} made {reason}, and nobody answered in time. Let it try again with `bursar circuit acknowledge {id}`, then go on with `claude --resume{session}`."
        ),
        Why::TooManyUnattended => format!(
            "Stopped: {name} made {reason}, and this host holds no more unattended sessions. Let it try again with `bursar circuit acknowledge {id}`."
        ),
    }
}

/// The text for the model when its call is refused by an open circuit.
pub fn circuit_open_for_the_model(reason: &str) -> String {
    format!("Circuit breaker: {reason}. This call is refused until a person lets it go on.")
}

/// The alert's sentence when a circuit opens; `holds` where its agent is held.
pub fn tripped(circuit_id: &str, reason: &str, holds: bool) -> String {
    let Named { name, id, .. } = named(circuit_id);
    let held = if holds { "Held" } else { "Circuit open" };
    format!("{held}: {name} made {reason}. Let it try again with `bursar circuit acknowledge {id}`.")
}

/// How a session's budget stands, with each prompt.
pub fn budget_stands(figures: &Figures) -> String {
    let percent = |used: u64, max: u64| u128::from(used) * 100 / u128::from(max.max(1));
    let Figures { tokens_used, max_tokens, micro_usd_used, max_micro_usd, .. } = *figures;
    if max_tokens > 0 && !figures.by_cost {
        let share = percent(tokens_used, max_tokens);
        format!("Session budget: {} / {} tokens ({share}%)", grouped(tokens_used), grouped(max_tokens))
    } else if max_micro_usd > 0 {
        let share = percent(micro_usd_used, max_micro_usd);
        let about = if figures.estimated { "~" } else { "" };
        let (used, max) = (dollars(micro_usd_used), dollars(max_micro_usd));
        format!("Session budget: {about}{used} / {max} list price ({share}%)")
    } else {
        format!("Session budget: {} tokens, no limit", grouped(tokens_used))
    }
}

/// How an agent's circuit stands, with each prompt. A limit of 0 means none.
pub fn circuit_stands(state: &str, iterations: u64, limit: u64) -> String {
    if limit == 0 {
        format!("Circuit breaker: {state} ({iterations} iterations)")
    } else {
        format!("Circuit breaker: {state} ({iterations}/{limit} iterations)")
    }
}

/// The words of the operator who let an agent go on, for its model.
pub fn operator_says(words: &str) -> String {
    format!("The operator says: {words}")
}

/// The alert's sentence when a session is held.
pub fn held(figures: &Figures) -> String {
    let Named { name, id, .. } = named(&figures.budget_id);
    let (used, more) = (used_of(figures), figures.more());
    format!("Held: {name} has used {used}. Approve with `bursar extend {id} {more}`.")
}

/// The alert's sentence where nobody is held at the limit.
pub fn reached(figures: &Figures) -> String {
    let Named { name, id, .. } = named(&figures.budget_id);
    let (used, more) = (used_of(figures), figures.more());
    format!("{} has reached its limit: {used} used. `bursar extend {id} {more}` gives more.", capital(&name))
}

/// What the person reads at a session's start while the daemon is away.
pub const AWAY_AT_START: &str = "Bursar does not answer: this session is neither counted nor held. Start it with `bursar daemon --detach`.";

/// What is said where a session was paused and the daemon is away.
pub const AWAY_AND_SHUT: &str = "Bursar does not answer and this session is paused. See that it runs (`bursar daemon --detach`), then approve with `bursar extend`.";

/// The alert's sentence when the passphrase was said to be forgotten.
pub const PASSPHRASE_RESET: &str = "The operator's passphrase was said to be forgotten: ten minutes after this it is void, and anybody at a terminal may set a new one. If it was not you, type it at a terminal with `bursar operator unlock`, which cancels the reset.";

/// The alert's sentence when such a session reached its limit.
pub fn reached_without_hooks(figures: &Figures) -> String {
    let reached = reached(figures);
    format!("{reached} It runs without hooks and cannot be held: stop it in its own terminal.")
}

/// What is said while the daemon is away where the installation is fail-closed.
pub const AWAY_AND_FAIL_CLOSED: &str = "Bursar does not answer, and this installation is fail-closed: nothing goes on without it. Start it with `bursar daemon --detach`, or get out with `bursar uninstall`.";

/// The answer to a hook that takes up a hold which no store knows: its state was wiped, and a human goes on. Which event
/// it was is not known either: `decision` keeps a call from running and a prompt from being sent, and means nothing to the
/// others.
pub fn hold_unknown() -> Answer {
    let text = json(HOLD_UNKNOWN);
    printed(format!(r#"{{"continue":false,"stopReason":{text},"decision":"block","reason":{text}}}"#))
}

/// What is said to such a hook.
pub const HOLD_UNKNOWN: &str = "Stopped: the daemon that held this session is gone, and its state with it. Go on with `claude --resume`.";

fn used_of(figures: &Figures) -> String {
    if figures.by_cost {
        let about = if figures.estimated { "~" } else { "" };
        let (used, max) = (dollars(figures.micro_usd_used), dollars(figures.max_micro_usd));
        format!("{about}{used} of {max} (list price)")
    } else if figures.max_tokens == 0 {
        format!("{} tokens", grouped(figures.tokens_used))
    } else {
        format!("{} of {} tokens", grouped(figures.tokens_used), grouped(figures.max_tokens))
    }
}

/// A whole number with a comma at every third digit.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// Micro-dollars as dollars and cents, rounded up.
pub fn dollars(micro_usd: u64) -> String {
    let cents = micro_usd.div_ceil(10_000);
    format!("${}.{:02}", grouped(cents / 100), cents % 100)
}

/// A budget as people read it, and as commands take it.
struct Named {
    /// `session 2a0a8f55`, `task build`.
    name: String,
    /// As short as commands take it: `2a0a8f55`, `task:build`.
    id: String,
    /// A blank and the session's whole id; nothing where it is no session's.
    session: String,
}

/// Only what ids are made of, so that no name can carry a sentence into a text. A session's UUID is cut to its first
/// part, which tells sessions apart; commands take it so.
fn named(id: &str) -> Named {
    let is_of_id = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    let whole: String = id.chars().filter(is_of_id).take(140).collect();
    match whole.split_once(':') {
        Some(("session", name)) => {
            let is_uuid = name.len() == 36 && name.as_bytes().get(8) == Some(&b'-');
            let short = if is_uuid { name.get(..8).unwrap_or(name) } else { name };
            Named { name: format!("session {short}"), id: short.to_owned(), session: format!(" {name}") }
        }
        Some((kind, name)) => {
            Named { name: format!("{kind} {name}"), id: whole.clone(), session: String::new() }
        }
        None => Named { name: whole.clone(), id: whole, session: String::new() },
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|c| c.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
}

/// The text for the model when an operator gave what it takes to finish.
pub fn finish_up_for_the_model(figures: &Figures) -> String {
    format!(
        "Budget: {} used. An operator approved enough to finish: bring the work to a clean end now.",
        used_of(figures)
    )
}

/// The alert's sentence when a budget reaches its alert threshold.
pub fn warned(figures: &Figures) -> String {
    format!("{} has used {}.", capital(&named(&figures.budget_id).name), used_of(figures))
}

#[cfg(test)]
mod tests {
    use super::{Say, answer};
    use crate::hook_input::Event;

    #[test]
    fn a_stop_ends_the_turn_and_a_call_that_has_not_run_does_not_run() {
        for event in Event::ALL {
            let said = answer(event, false, Say::Stop("enough"));
            let value: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
            assert_eq!(
                (said.exit, &value["continue"], &value["stopReason"]),
                (0, &false.into(), &"enough".into())
            );
            let decision = &value["hookSpecificOutput"]["permissionDecision"];
            assert_eq!(decision == "deny", event == Event::PreToolUse, "{event:?}");
        }
    }
}
