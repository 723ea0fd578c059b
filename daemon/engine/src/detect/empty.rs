//! Searching and reading that finds nothing, time and again.

use serde::{Deserialize, Serialize};

use super::trail::Ended;
use super::{Detector, Finding};
use crate::print::{Gist, Kind};

/// In so many messages it warns (DETECTION).
const WARNS: u64 = 8;
/// In so many messages it trips (DETECTION).
const TRIPS: u64 = 20;

/// How often in a row nothing was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Empties {
    run: u64,
    /// One of this message was counted.
    in_message: bool,
}

impl Empties {
    /// Anything found ends it, and so does work: a good edit, a command that came to something new.
    pub(super) fn note(&mut self, ended: &Ended<'_>, opens_message: bool) -> Option<Finding> {
        self.in_message &= !opens_message;
        if !ended.outcome.ok {
            return None;
        }
        let is_empty = ended.outcome.gist == Gist::Empty;
        let seeks = matches!(ended.call.kind, Kind::Read(_) | Kind::Search);
        if !seeks || !is_empty {
            let works = match ended.call.kind {
                Kind::Read(_) | Kind::Search | Kind::Edit(_) => true,
                Kind::Shell { .. } | Kind::Subagent | Kind::Other => ended.is_new && !is_empty,
                Kind::Todo { .. } | Kind::Wait | Kind::Poll => false,
            };
            if works {
                self.run = 0;
            }
            return None;
        }
        if std::mem::replace(&mut self.in_message, true) {
            return None;
        }
        self.run = self.run.saturating_add(1);
        let (run, detector) = (self.run, Detector::EmptyResults);
        (run >= WARNS).then(|| Finding::of_calls(detector, run >= TRIPS, run, detector.identity()))
    }
}
