//! Acts that were done, by the ids under which they were asked for: the same act under the same id is done once.

use std::collections::{BTreeMap, VecDeque};

/// How many acts are remembered; a retry comes within seconds.
pub const MAX_ACTS: usize = 1_000;

/// The acts done most lately, first in first out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Acts {
    targets: BTreeMap<String, String>,
    order: VecDeque<String>,
}

impl Acts {
    /// On what the act of that id was done, if it was: a budget's id, or nothing.
    pub fn target(&self, act: &str, request_id: &str) -> Option<&str> {
        self.targets.get(&key(act, request_id)).map(String::as_str)
    }

    /// Remembers an act.
    pub fn put(&mut self, act: &str, request_id: &str, target: &str) {
        let key = key(act, request_id);
        if self.targets.insert(key.clone(), target.to_owned()).is_none() {
            self.order.push_back(key);
            if self.order.len() > MAX_ACTS
                && let Some(oldest) = self.order.pop_front()
            {
                self.targets.remove(&oldest);
            }
        }
    }
}

/// An act's name is one word.
fn key(act: &str, request_id: &str) -> String {
    format!("{act} {request_id}")
}
