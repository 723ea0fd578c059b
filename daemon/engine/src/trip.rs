//! Why a circuit opened.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::command::{Call, Outcome};
use crate::detect::Detector;
use crate::print::{Gist, Kind, Print};
use crate::time::Timestamp;

/// Why a circuit opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trip {
    /// Which detector.
    pub detector: Detector,
    /// How many calls, rounds or messages it is about.
    pub count: u64,
    /// How many of them differ, or how many calls make one round, where that matters.
    #[serde(default)]
    pub of_which: u64,
    /// Within how many seconds, where that matters.
    pub window_s: Option<u64>,
    /// The loop's identity, where it is about one call whatever comes of it.
    pub call: Option<Print>,
    /// The calls that make the loop, where it is about what came of them.
    #[serde(default)]
    pub calls: Vec<Print>,
    /// What came of the call that opened it, where that was known.
    #[serde(default)]
    pub outcome: Option<Print>,
    /// The error that makes the loop, where it is about one.
    #[serde(default)]
    pub error: Option<Print>,
    /// The detector that had opened it first, where the loop went on while it was half-open.
    #[serde(default)]
    pub first: Option<Detector>,
    /// The tool of the last call, as a name of at most 64 characters.
    pub tool: String,
    /// How the loop's error read first, for people alone: it is the agent's text.
    #[serde(default)]
    pub words: Option<String>,
    /// When.
    pub at: Timestamp,
}

impl Trip {
    /// The detector that knows the loop.
    fn knows(&self) -> Detector {
        self.first.unwrap_or(self.detector)
    }

    /// Whether this is the loop that it tripped on, going on. `is_new` says that call and outcome were not seen lately,
    /// `is_reread` that the call read what had been read.
    pub(crate) fn goes_on(&self, call: &Call, outcome: &Outcome, is_new: bool, is_reread: bool) -> bool {
        let is_of_it = self.calls.contains(&call.print);
        match self.knows() {
            Detector::RepeatedCall
            | Detector::RepeatedMessage
            | Detector::Cycle
            | Detector::StuckWait
            | Detector::LowNovelty => is_of_it && !is_new,
            Detector::FailingCall => is_of_it && !outcome.ok,
            Detector::DeniedCall => is_of_it && outcome.gist == Gist::Denied,
            Detector::SameError => self.error.is_some() && outcome.error == self.error,
            Detector::EmptyResults => {
                outcome.gist == Gist::Empty && matches!(call.kind, Kind::Read(_) | Kind::Search)
            }
            Detector::Rereading => is_reread && matches!(call.kind, Kind::Read(_)),
            Detector::IdenticalCalls
            | Detector::IterationLimit
            | Detector::RapidFire
            | Detector::SameCallAgain
            | Detector::Subagents
            | Detector::SubagentDepth
            | Detector::Compactions
            | Detector::BlockedStops
            | Detector::TodoOnly
            | Detector::LoopAgain => false,
        }
    }

    /// Whether that detector's loop, which is about no call in particular, is the one that it tripped on.
    pub(crate) fn is_of(&self, detector: Detector) -> bool {
        self.knows() == detector
    }

    /// Whether a call is another one than those of the loop.
    pub(crate) fn differs(&self, call: &Call) -> bool {
        let only_lists = self.knows() == Detector::TodoOnly && matches!(call.kind, Kind::Todo { .. });
        self.call != Some(call.print) && !self.calls.contains(&call.print) && !only_lists
    }
}

/// The sentence of `trip_reason`: figures and the tool's name, nothing else that an agent controls (6.9). It is what its
/// agent has made.
impl fmt::Display for Trip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, of_which, tool) = (self.count, self.of_which, &self.tool);
        match self.detector {
            Detector::IdenticalCalls => write!(f, "{count} identical calls of {tool} in a row"),
            Detector::IterationLimit => write!(f, "{count} calls, the limit of this circuit"),
            Detector::RapidFire => write!(f, "{count} calls in {} seconds", self.window_s.unwrap_or(0)),
            Detector::SameCallAgain => write!(f, "the same call of {tool} again, which had been let go on"),
            Detector::RepeatedCall => {
                write!(f, "{count} identical calls of {tool} in a row, with the same outcome")
            }
            Detector::RepeatedMessage => {
                write!(f, "{count} times in a row the same calls at once, with the same outcomes")
            }
            Detector::FailingCall => {
                write!(f, "{count} times the same call of {tool}, which failed each time")
            }
            Detector::Cycle => {
                write!(f, "{count} rounds of the same {of_which} calls, with the same outcomes")
            }
            Detector::StuckWait => write!(f, "{count} polls with {tool}, which told nothing new"),
            Detector::SameError => write!(f, "{count} messages in which {tool} failed with the same error"),
            Detector::LowNovelty => write!(f, "{count} calls, of which {of_which} were not repeats"),
            Detector::EmptyResults => write!(f, "{count} searches and reads in a row that found nothing"),
            Detector::Rereading => write!(f, "{count} reads of what it had read already"),
            Detector::Subagents => match self.window_s {
                Some(window_s) => write!(f, "{count} subagents in {window_s} seconds"),
                None => write!(f, "{count} subagents in this session"),
            },
            Detector::SubagentDepth => write!(f, "subagents of subagents, {count} deep"),
            Detector::Compactions => write!(f, "{count} compactions with nothing done between"),
            Detector::BlockedStops => {
                write!(f, "{count} stops that were turned back, with nothing done between")
            }
            Detector::DeniedCall => {
                write!(f, "{count} times the same call of {tool}, which had been refused")
            }
            Detector::TodoOnly => write!(f, "{count} messages in a row that only kept a list of tasks"),
            Detector::LoopAgain => write!(f, "the same loop again ({tool}), which had been let go on"),
        }
    }
}
