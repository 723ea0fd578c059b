//! The calls of one message: a parallel batch counts once.

use serde::{Deserialize, Serialize};

use super::trail::Ended;
use crate::last::Last;
use crate::print::{Kind, Print};
use crate::time::Timestamp;

/// How many calls and errors of a message are told apart; more of them count as new ones.
const MAX_TOLD_APART: usize = 16;

/// The message whose calls are ending.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Message {
    /// Its calls that ended.
    pub(crate) calls: u32,
    /// Calls with their outcomes, and errors.
    seen: Last<Print, { 2 * MAX_TOLD_APART }>,
    /// Its calls that differ.
    pub(crate) made: Last<Print, MAX_TOLD_APART>,
    /// All of it, in whatever order its calls ended.
    pub(crate) all: Option<Print>,
    /// Calls that keep a list of tasks.
    pub(crate) todos: u32,
    /// Those of them that add a task which is new.
    adds: u32,
    /// Those of them that came to something new.
    news: u32,
    /// A list of tasks or a board came to something else than before.
    pub(crate) lists_change: bool,
    /// When the last of them ended.
    pub(crate) last: Timestamp,
    /// A call waited, or was not told of in full.
    pub(crate) is_partial: bool,
}

impl Message {
    pub(crate) fn has(&self, print: Print) -> bool {
        self.seen.contains(&print)
    }

    /// A call has ended; whether it is the first of its message.
    pub(super) fn note(&mut self, ended: &Ended<'_>) -> bool {
        self.calls = self.calls.saturating_add(1);
        self.last = ended.at;
        self.todos = self.todos.saturating_add(u32::from(matches!(ended.call.kind, Kind::Todo { .. })));
        if let Kind::Todo { adds, .. } = ended.call.kind
            && ended.outcome.ok
            && ended.is_new
        {
            self.news = self.news.saturating_add(1);
            self.adds = self.adds.saturating_add(u32::from(adds));
        }
        self.is_partial |= ended.waits;
        self.lists_change |= ended.changed;
        if !ended.again_in_message {
            self.all = Some(self.all.map_or(ended.pair, |all| all.beside(ended.pair)));
            if self.made.len() < MAX_TOLD_APART {
                self.made.push(ended.call.print);
            }
        }
        for print in [Some(ended.pair), ended.outcome.error].into_iter().flatten() {
            if self.seen.len() < 2 * MAX_TOLD_APART && !self.has(print) {
                self.seen.push(print);
            }
        }
        self.calls == 1
    }

    /// Whether its calls only keep a list of tasks.
    pub(crate) fn is_only_lists(&self) -> bool {
        self.calls > 0 && self.todos == self.calls
    }

    /// Whether its calls only add tasks.
    pub(super) fn is_only_additions(&self) -> bool {
        self.is_only_lists() && self.adds == self.calls
    }

    /// How many tasks they add.
    pub(super) fn additions(&self) -> u64 {
        self.adds.into()
    }

    /// Whether its calls only keep a list of tasks, and each came to something new.
    pub(super) fn is_only_news(&self) -> bool {
        self.is_only_lists() && self.news == self.calls
    }

    /// A call has ended that counts nowhere.
    pub(super) fn note_uncounted(&mut self) {
        self.is_partial = true;
    }
}
