//! What the model is told of its own calls where they look like a loop.

/// What is anomalous about an agent's calls, for its model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loop<'a> {
    /// So many identical calls of a tool in a row, with the same outcome.
    Repeated(u64, &'a str),
    /// So many times in a row the same calls at once, with the same outcomes.
    Message(u64),
    /// The same call of a tool failed so often.
    Failing(u64, &'a str),
    /// So many rounds of so many calls.
    Cycle(u64, u64),
    /// So many polls with a tool that told nothing new.
    StuckWait(u64, &'a str),
    /// A tool failed with the same error in so many messages.
    SameError(u64, &'a str),
    /// Of so many calls only so many were no repeats.
    LowNovelty(u64, u64),
    /// So many searches and reads in a row found nothing.
    Empty(u64),
    /// So many reads of what had been read.
    Rereading(u64),
    /// So many calls within so many seconds.
    RapidFire(u64, u64),
    /// So many subagents within so many seconds.
    Subagents(u64, u64),
    /// So many compactions with nothing done between.
    Compactions(u64),
    /// So many stops that were turned back.
    BlockedStops(u64),
    /// The same call of a tool was refused so often.
    Denied(u64, &'a str),
    /// So many messages in a row only kept a list of tasks.
    TodoOnly(u64),
    /// So many calls since the last prompt.
    Calls(u64),
}

/// The text for the model that warns of a loop: figures and a tool's name, under 200 characters.
pub fn loop_for_the_model(found: Loop<'_>) -> String {
    let sentence = match found {
        Loop::Repeated(count, tool) => {
            format!(
                "{count} identical calls of {tool} in a row came to the same; another one will tell nothing new."
            )
        }
        Loop::Message(count) => {
            format!("{count} times in a row the same calls at once came to the same; try something else.")
        }
        Loop::Failing(count, tool) => {
            format!(
                "the same call of {tool} has failed {count} times; change what makes it fail before another try."
            )
        }
        Loop::Cycle(rounds, calls) => {
            format!("{rounds} rounds of the same {calls} calls came to the same; try something else.")
        }
        Loop::StuckWait(count, tool) => {
            format!(
                "{count} polls with {tool} told nothing new; wait longer between them, or see whether it is stuck."
            )
        }
        Loop::SameError(count, tool) => {
            format!("{tool} has failed {count} times with the same error; other arguments do not help.")
        }
        Loop::LowNovelty(calls, new) => {
            format!(
                "only {new} of the last {calls} calls were no repeats with the same outcome; try something else."
            )
        }
        Loop::Empty(count) => {
            format!("{count} searches and reads in a row have found nothing; look elsewhere or ask.")
        }
        Loop::Rereading(count) => format!("{count} of the last reads were of what had been read already."),
        Loop::RapidFire(count, seconds) => format!("{count} calls within {seconds} seconds."),
        Loop::Subagents(count, seconds) => {
            format!("{count} subagents were started within {seconds} seconds.")
        }
        Loop::Compactions(count) => format!("{count} compactions with nothing done between."),
        Loop::BlockedStops(count) => {
            format!("{count} stops were turned back with nothing done between; ask a person.")
        }
        Loop::Denied(count, tool) => {
            format!("the same call of {tool} has been refused {count} times; do without it, or ask.")
        }
        Loop::TodoOnly(count) => {
            format!("{count} messages in a row only kept the list of tasks; go on with a task.")
        }
        Loop::Calls(count) => format!("{count} calls since the last prompt; see that they lead somewhere."),
    };
    format!("Circuit breaker: {sentence}")
}
