//! A cycle of two to six calls with their outcomes, edits included.

use serde::{Deserialize, Serialize};

use super::trail::{Ended, Step};
use super::{Detector, Finding};
use crate::last::Last;
use crate::print::Print;

/// The longest cycle that is looked for; longer ones show as a want of novelty.
const LONGEST: usize = 6;
/// So many repeats warn (DETECTION; healthy work goes to 1).
const WARNS: usize = 3;
/// So many repeats trip (DETECTION).
const TRIPS: usize = 4;

/// The last calls, and how long each possible cycle has gone on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Cycles {
    /// The last calls, oldest first, and whether each waited.
    tail: Last<(Step, bool), LONGEST>,
    /// By the length of the cycle less two: how many calls in a row were the one that many before.
    same: [u32; LONGEST - 1],
}

impl Cycles {
    pub(super) fn note(&mut self, ended: &Ended<'_>) -> Option<Finding> {
        let step = ended.step();
        let known = self.tail.len();
        for (same, length) in self.same.iter_mut().zip(2..) {
            let before = known.checked_sub(length).and_then(|at| self.tail.get(at));
            let goes_on = before.is_some_and(|(before, _)| before.pair == step.pair);
            *same = if goes_on { same.saturating_add(1) } else { 0 };
        }
        self.tail.push((step, ended.waits));
        let (length, same) = self
            .same
            .iter()
            .zip(2..)
            .map(|(same, length)| (length, usize::try_from(*same).unwrap_or(usize::MAX)))
            .find(|(length, same)| *same >= (WARNS - 1) * length && self.is_one(*length))?;
        let repeats = same / length + 1;
        let round = || self.tail.iter().rev().take(length).map(|(step, _)| *step);
        let identity = round().map(|step| step.pair).reduce(Print::beside)?;
        let count = u64::try_from(repeats).unwrap_or(u64::MAX);
        let finding = Finding::of_calls(Detector::Cycle, repeats >= TRIPS, count, identity);
        let of_which = u64::try_from(length).unwrap_or(u64::MAX);
        Some(finding.of_which(of_which).with_calls(round().map(|step| step.call)))
    }

    /// Whether the last calls make a cycle: they are not one call over and over, whatever it came to, and do not all wait.
    fn is_one(&self, length: usize) -> bool {
        let mut round = self.tail.iter().rev().take(length);
        let Some((last, _)) = round.next() else { return false };
        let differs = round.any(|(step, _)| step.call != last.call);
        differs && self.tail.iter().rev().take(length).any(|(_, waits)| !waits)
    }
}
