//! What the model was warned of: once for each loop, and again at double the count.

use serde::{Deserialize, Serialize};

use super::{Detector, Finding};
use crate::last::Last;
use crate::print::Print;

/// How many loops and calls of loops are remembered; the one warned of longest ago is forgotten first.
const MAX_WARNED: usize = 24;

/// Of how many of a loop's calls.
const MAX_CALLS: usize = 6;

/// Loops, and from which count on they are warned of again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Warned(Last<(Print, u64), MAX_WARNED>);

/// A warning: which detector, and its evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// Which detector.
    pub detector: Detector,
    /// How many calls it is about.
    pub count: u64,
    /// How many of them differ, or how many make one round, where that matters.
    pub of_which: u64,
    /// Within how many seconds, where that matters.
    pub window_s: Option<u64>,
    /// The tool of the last call, as a name of at most 64 characters.
    pub tool: String,
}

impl Warned {
    /// The first of these that is to be said. All count as said with it, they are seen in the same calls; so does what
    /// else may be found of the calls that make them.
    pub(crate) fn due(&mut self, findings: &[Finding], call: Print) -> Option<usize> {
        let is_due =
            |f: &Finding| self.0.iter().all(|(known, from)| *known != f.identity || f.count >= *from);
        let due = findings.iter().position(is_due)?;
        for finding in findings {
            let again = finding.count.saturating_mul(2);
            match finding.detector {
                Detector::SameError => self.say(call, again),
                // Its calls are many, and each is no loop.
                Detector::LowNovelty => {}
                _ => finding.calls.iter().take(MAX_CALLS).for_each(|call| self.say(*call, again)),
            }
            self.say(finding.identity, finding.count.saturating_mul(2));
        }
        Some(due)
    }

    fn say(&mut self, print: Print, again: u64) {
        let before = self.0.take(|(known, _)| *known == print).map(|(_, from)| from);
        self.0.push((print, again.max(before.unwrap_or(0))));
    }
}
