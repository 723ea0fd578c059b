//! What the client asked for, and when: the proof that nothing was sent while an agent was held.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::script::Usage;

/// What a message request was for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// The session's own agent.
    Main,
    /// A subagent, by the marker of its prompt.
    Subagent(String),
    /// Titles, probes and other requests without tools.
    Background,
    /// A compaction.
    Compact,
}

/// One message request.
#[derive(Debug, Clone)]
pub struct Entry {
    /// When the whole request was here.
    pub at: Instant,
    /// When its answer was sent to the end; `None` while it is not, or when the client hung up.
    pub finished: Option<Instant>,
    /// What it was for.
    pub kind: Kind,
    /// The model that was asked for, and answered.
    pub model: String,
    /// Whether the request offered tools.
    pub tools: bool,
    /// Whether the answer was streamed.
    pub streamed: bool,
    /// What the answer said it cost.
    pub usage: Usage,
    /// Whether the script had nothing left to say.
    pub off_script: bool,
    /// The `request-id` header of the answer.
    pub request_id: String,
    /// The request's headers.
    pub headers: Vec<(String, String)>,
    /// The request's body.
    pub body: Value,
}

impl Entry {
    /// Whether `text` stands anywhere in the request.
    #[must_use]
    pub fn carries(&self, text: &str) -> bool {
        self.times(text) > 0
    }

    /// How often `text` stands in the request.
    #[must_use]
    pub fn times(&self, text: &str) -> usize {
        fn count(value: &Value, text: &str) -> usize {
            match value {
                Value::String(found) => found.matches(text).count(),
                Value::Array(items) => items.iter().map(|item| count(item, text)).sum(),
                Value::Object(fields) => fields.values().map(|field| count(field, text)).sum(),
                _ => 0,
            }
        }
        count(&self.body, text)
    }
}

#[derive(Debug, Default)]
struct Inner {
    entries: Vec<Entry>,
    /// Requests to routes that this API does not have.
    strangers: Vec<String>,
}

/// The log of a [`super::ScriptedApi`]; clones share it.
#[derive(Debug, Clone, Default)]
pub struct RequestLog(Arc<(Mutex<Inner>, Condvar)>);

impl RequestLog {
    /// Every message request so far, in order of arrival.
    pub fn entries(&self) -> Vec<Entry> {
        self.with(|inner| inner.entries.clone())
    }

    /// How many message requests there were.
    pub fn count(&self) -> usize {
        self.with(|inner| inner.entries.len())
    }

    /// How many message requests of one kind there were.
    pub fn count_of(&self, kind: &Kind) -> usize {
        self.with(|inner| inner.entries.iter().filter(|entry| entry.kind == *kind).count())
    }

    /// How many message requests arrived between two moments.
    pub fn count_between(&self, from: Instant, to: Instant) -> usize {
        self.with(|inner| inner.entries.iter().filter(|entry| entry.at >= from && entry.at <= to).count())
    }

    /// What the answers that were sent to their end cost, by model.
    pub fn usage_by_model(&self) -> BTreeMap<String, Usage> {
        let mut sums = BTreeMap::new();
        for entry in self.entries().into_iter().filter(|entry| entry.finished.is_some()) {
            *sums.entry(entry.model).or_insert_with(Usage::default) += entry.usage;
        }
        sums
    }

    /// What the answers of one kind cost.
    pub fn usage_of(&self, kind: &Kind) -> Usage {
        let done = |entry: &Entry| entry.finished.is_some() && entry.kind == *kind;
        self.entries().into_iter().filter(done).map(|entry| entry.usage).sum()
    }

    /// What all the answers together cost.
    pub fn usage(&self) -> Usage {
        self.usage_by_model().into_values().sum()
    }

    /// Requests to routes that this API does not have, as `METHOD path`.
    pub fn strangers(&self) -> Vec<String> {
        self.with(|inner| inner.strangers.clone())
    }

    /// Waits until `count` message requests of `kind` have arrived.
    pub fn wait_for(&self, kind: &Kind, count: usize, limit: Duration) {
        let reached =
            |inner: &Inner| inner.entries.iter().filter(|entry| entry.kind == *kind).count() >= count;
        let guard = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (guard, result) = self
            .0
            .1
            .wait_timeout_while(guard, limit, |inner| !reached(inner))
            .unwrap_or_else(PoisonError::into_inner);
        let seen: Vec<Kind> = guard.entries.iter().map(|entry| entry.kind.clone()).collect();
        drop(guard);
        assert!(!result.timed_out(), "no {count} requests of {kind:?} within {limit:?}; seen: {seen:?}");
    }

    /// Watches for `span`: not one message request may arrive.
    pub fn assert_silent_for(&self, span: Duration, why: &str) {
        let before = self.count();
        let guard = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let more = |inner: &mut Inner| inner.entries.len() == before;
        let (guard, result) =
            self.0.1.wait_timeout_while(guard, span, more).unwrap_or_else(PoisonError::into_inner);
        let kind = guard.entries.get(before).map(|entry| entry.kind.clone());
        drop(guard);
        assert!(result.timed_out(), "{why}: a request was sent all the same ({kind:?})");
    }

    /// Every message request came while the script still had something to say.
    pub fn assert_on_script(&self) {
        let off: Vec<Kind> =
            self.entries().into_iter().filter(|entry| entry.off_script).map(|entry| entry.kind).collect();
        assert!(off.is_empty(), "requests that the script did not foresee: {off:?}");
    }

    pub(crate) fn add(&self, entry: Entry) -> usize {
        let index = self.with(|inner| {
            inner.entries.push(entry);
            inner.entries.len() - 1
        });
        self.0.1.notify_all();
        index
    }

    pub(crate) fn finish(&self, index: usize) {
        self.with(|inner| {
            if let Some(entry) = inner.entries.get_mut(index) {
                entry.finished = Some(Instant::now());
            }
        });
        self.0.1.notify_all();
    }

    pub(crate) fn add_stranger(&self, what: String) {
        self.with(|inner| inner.strangers.push(what));
    }

    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut self.0.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
