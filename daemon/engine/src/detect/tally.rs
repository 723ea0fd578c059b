//! Counts of the few things that were seen last.

use serde::{Deserialize, Serialize};

use crate::last::Last;
use crate::print::Print;

/// How many things are counted at once; the one seen longest ago is forgotten first.
pub(super) const MAX_COUNTED: usize = 8;

/// Counts by print, the one seen last at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Tally(Last<(Print, u64), MAX_COUNTED>);

impl Tally {
    /// Counts it; how often it was counted.
    pub(super) fn count(&mut self, print: Print) -> u64 {
        let count = self.remove(print).saturating_add(1);
        self.0.push((print, count));
        count
    }

    /// Forgets it; how often it was counted.
    pub(super) fn remove(&mut self, print: Print) -> u64 {
        self.0.take(|(known, _)| *known == print).map_or(0, |(_, count)| count)
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
