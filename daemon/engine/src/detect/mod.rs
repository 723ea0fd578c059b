//! What goes wrong with an agent's calls: one bounded view of them, and a detector a file.
//!
//! A detector looks at the view after each call and says what is anomalous about it. Which of them are asked, and in
//! what order, is the profile's: `strict` has the literal limits alone, `evidence` looks at calls and what came of them.

mod coverage;
mod cycle;
mod denied;
mod duplicates;
mod empty;
mod failing;
mod iterations;
mod message;
mod novelty;
mod rapid_fire;
mod repeated;
mod same_error;
mod still;
pub(crate) mod subagents;
mod tally;
mod todo;
mod trail;
mod waiting;
mod warned;
mod window;

use serde::{Deserialize, Serialize};

use crate::policy::{CircuitPolicy, Profile};
use crate::print::Print;
use crate::time::Timestamp;

pub use subagents::Spawns;
pub(crate) use trail::Findings;
pub use trail::{MAX_STEPS, Step, Trail};
pub use warned::Heard;
pub use window::{MAX_PENDING, MAX_TIMES, Pending, Window};

/// What tripped a circuit, or warned. The names are the metric's labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detector {
    /// The same call, so many times in a row.
    IdenticalCalls,
    /// So many calls in all.
    IterationLimit,
    /// So many calls in so short a time.
    RapidFire,
    /// The call that had tripped it, again, while the circuit was half-open.
    SameCallAgain,
    /// The same call with the same outcome in a row.
    RepeatedCall,
    /// The same message of several calls with the same outcomes in a row.
    RepeatedMessage,
    /// The same call failing.
    FailingCall,
    /// A cycle of a few calls with the same outcomes.
    Cycle,
    /// A wait or a poll that says the same each time.
    StuckWait,
    /// The same error of a tool, whatever the arguments.
    SameError,
    /// Hardly anything new in the last calls.
    LowNovelty,
    /// Searching and reading that finds nothing.
    EmptyResults,
    /// Reading what was read.
    Rereading,
    /// Too many subagents.
    Subagents,
    /// Subagents that start subagents, too deep.
    SubagentDepth,
    /// Compactions with nothing between.
    Compactions,
    /// Stops that were turned back, with nothing between.
    BlockedStops,
    /// A call that had been refused.
    DeniedCall,
    /// Messages that only keep a list of tasks.
    TodoOnly,
    /// The loop that had tripped it, again, while the circuit was half-open.
    LoopAgain,
}

impl Detector {
    /// Every detector.
    pub const ALL: [Self; 20] = [
        Self::IdenticalCalls,
        Self::IterationLimit,
        Self::RapidFire,
        Self::SameCallAgain,
        Self::RepeatedCall,
        Self::RepeatedMessage,
        Self::FailingCall,
        Self::Cycle,
        Self::StuckWait,
        Self::SameError,
        Self::LowNovelty,
        Self::EmptyResults,
        Self::Rereading,
        Self::Subagents,
        Self::SubagentDepth,
        Self::Compactions,
        Self::BlockedStops,
        Self::DeniedCall,
        Self::TodoOnly,
        Self::LoopAgain,
    ];

    /// The word for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::IdenticalCalls => "identical_calls",
            Self::IterationLimit => "iteration_limit",
            Self::RapidFire => "rapid_fire",
            Self::SameCallAgain => "same_call_again",
            Self::RepeatedCall => "repeated_call",
            Self::RepeatedMessage => "repeated_message",
            Self::FailingCall => "failing_call",
            Self::Cycle => "cycle",
            Self::StuckWait => "stuck_wait",
            Self::SameError => "same_error",
            Self::LowNovelty => "low_novelty",
            Self::EmptyResults => "empty_results",
            Self::Rereading => "rereading",
            Self::Subagents => "subagents",
            Self::SubagentDepth => "subagent_depth",
            Self::Compactions => "compactions",
            Self::BlockedStops => "blocked_stops",
            Self::DeniedCall => "denied_call",
            Self::TodoOnly => "todo_only",
            Self::LoopAgain => "loop_again",
        }
    }

    /// What a loop that is about no call in particular is known by.
    pub(crate) fn identity(self) -> Print {
        Print::of_number(self as u64)
    }

    /// Whether what only warns is an anomaly already while a circuit is half-open: there it is by outcomes, which a limit
    /// on how many or how fast is not.
    pub(crate) fn is_on_probation(self) -> bool {
        !matches!(self, Self::IterationLimit | Self::RapidFire | Self::Subagents)
    }
}

/// What a detector found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Which detector.
    pub(crate) detector: Detector,
    /// Whether it trips; else it warns.
    pub(crate) trips: bool,
    /// How many calls, rounds or messages it is about.
    pub(crate) count: u64,
    /// How many of them differ, or how many calls make one round, where that matters.
    pub(crate) of_which: u64,
    /// Within how many seconds, where that matters.
    pub(crate) window_s: Option<u64>,
    /// The loop.
    pub(crate) identity: Print,
    /// The calls that make it, where it is about some.
    pub(crate) calls: Vec<Print>,
    /// The error that makes it, where it is about one.
    pub(crate) error: Option<Print>,
}

impl Finding {
    fn of_calls(detector: Detector, trips: bool, count: u64, identity: Print) -> Self {
        let (calls, error) = (Vec::new(), None);
        Self { detector, trips, count, of_which: 0, window_s: None, identity, calls, error }
    }

    fn with_calls(self, calls: impl IntoIterator<Item = Print>) -> Self {
        Self { calls: calls.into_iter().collect(), ..self }
    }

    fn with_error(self, error: Print) -> Self {
        Self { error: Some(error), ..self }
    }

    fn of_which(self, of_which: u64) -> Self {
        Self { of_which, ..self }
    }

    /// What had opened a half-open circuit happened again.
    pub(crate) fn again(detector: Detector, count: u64) -> Self {
        Self::of_calls(detector, true, count, detector.identity())
    }
}

/// What is wrong with the calls up to now before what came of the last is known, if anything. `limit` is the limit on
/// calls that holds at present.
pub(crate) fn judge(window: &Window, limit: u64, policy: &CircuitPolicy, now: Timestamp) -> Option<Finding> {
    let identical = match policy.profile {
        Profile::Strict => duplicates::judge(window, policy.duplicates()),
        Profile::Evidence => rapid_fire::judge_excess(window, policy, now),
        Profile::Off => return None,
    };
    identical.or_else(|| iterations::judge(window, limit)).or_else(|| rapid_fire::judge(window, policy, now))
}
