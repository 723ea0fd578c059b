//! Reading what was read: parts of files of which more than half had been seen.

use serde::{Deserialize, Serialize};

use super::trail::Ended;
use super::{Detector, Finding};
use crate::last::Last;
use crate::print::{Kind, Part, Print};

/// So many of the last calls warn (DETECTION).
const WARNS: u32 = 8;
/// So many of the last calls trip (DETECTION).
const TRIPS: u32 = 20;
/// Among how many of the last messages they are counted.
const AMONG: u32 = 40;
/// How many parts of files are remembered; the one read longest ago is forgotten first.
const MAX_PARTS: usize = 128;
/// Parts with so few lines between them count as one.
const NEAR_LINES: u32 = 16;

/// What was read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Coverage {
    /// Parts of files, no two of one file that touch; the one read last at the end.
    parts: Last<Part, MAX_PARTS>,
    /// Which of the last messages read what had been read, the last one in the lowest bit.
    again: u64,
}

impl Coverage {
    /// An edit of a file makes it new, and so does a call that came to something else than before: then the file changed
    /// by another hand.
    pub(super) fn note(&mut self, ended: &Ended<'_>, opens_message: bool) -> Option<Finding> {
        if opens_message && !ended.waits {
            self.again = (self.again << 1) & ((1 << AMONG) - 1);
        }
        if !ended.outcome.ok {
            return None;
        }
        let part = match ended.call.kind {
            Kind::Edit(Some(file)) => {
                self.forget(file);
                return None;
            }
            Kind::Read(Some(part)) => part,
            _ => return None,
        };
        if ended.changed {
            self.forget(part.file);
        }
        let is_again = self.seen_of(part) * 2 > u64::from(part.to - part.from);
        self.add(part);
        if !is_again || self.again & 1 == 1 {
            return None;
        }
        self.again |= 1;
        let count = self.again.count_ones();
        let detector = Detector::Rereading;
        (count >= WARNS)
            .then(|| Finding::of_calls(detector, count >= TRIPS, count.into(), detector.identity()))
    }

    /// How many lines of it were seen.
    fn seen_of(&self, part: Part) -> u64 {
        let common = |p: &&Part| p.file == part.file && p.from < part.to && part.from < p.to;
        self.parts.iter().filter(common).map(|p| u64::from(p.to.min(part.to) - p.from.max(part.from))).sum()
    }

    fn add(&mut self, mut part: Part) {
        self.parts.retain(|p| {
            let is_near = p.file == part.file
                && p.from <= part.to.saturating_add(NEAR_LINES)
                && part.from <= p.to.saturating_add(NEAR_LINES);
            if is_near {
                (part.from, part.to) = (part.from.min(p.from), part.to.max(p.to));
            }
            !is_near
        });
        self.parts.push(part);
    }

    fn forget(&mut self, file: Print) {
        self.parts.retain(|part| part.file != file);
    }

    /// What an agent knew is gone with its context.
    pub(crate) fn forget_all(&mut self) {
        self.parts.clear();
    }

    /// Whether a call of this message read what had been read.
    pub(crate) fn is_again(&self) -> bool {
        self.again & 1 == 1
    }

    /// What was read stays read; what was read again is forgiven.
    pub(super) fn anew(self) -> Self {
        Self { again: 0, ..self }
    }
}
