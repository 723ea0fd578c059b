//! The last few of something, bounded by their type.

use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The last `N` of something, oldest first. A copy is free: it shares them until one of the two changes, which costs one
/// copy of what is kept.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Last<T, const N: usize>(Arc<[T]>);

impl<T, const N: usize> Default for Last<T, N> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T, const N: usize> Clone for Last<T, N> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T, const N: usize> Deref for Last<T, N> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: Clone, const N: usize> Last<T, N> {
    /// Appends one; where there are more than `N` then, the oldest go. One that goes comes back.
    pub(crate) fn push(&mut self, item: T) -> Option<T> {
        let gone = if self.len() >= N { self.first().cloned() } else { None };
        self.append(&[item]);
        gone
    }

    /// Appends them in this order.
    pub(crate) fn append(&mut self, items: &[T]) {
        self.append_to(self.len(), items);
    }

    /// As [`Self::append`], to the newest `kept` of those that are there.
    pub(crate) fn append_to(&mut self, kept: usize, items: &[T]) {
        let items = &items[items.len().saturating_sub(N)..];
        let kept = kept.min(N - items.len()).min(self.len());
        let newest = &self.0[self.len() - kept..];
        self.0 = newest.iter().chain(items).cloned().collect();
    }

    /// Keeps those of which that is true. Each is asked about once, the oldest first.
    pub(crate) fn retain(&mut self, mut keeps: impl FnMut(&T) -> bool) {
        let Some(first) = self.iter().position(|item| !keeps(item)) else { return };
        let (before, after) = (&self.0[..first], &self.0[first + 1..]);
        let kept: Vec<T> = before.iter().chain(after.iter().filter(|item| keeps(item))).cloned().collect();
        self.0 = if kept.is_empty() { Arc::default() } else { kept.into() };
    }

    /// Takes out the oldest of which that is true.
    pub(crate) fn take(&mut self, mut is_it: impl FnMut(&T) -> bool) -> Option<T> {
        let at = self.iter().position(&mut is_it)?;
        let taken = self.get(at).cloned();
        self.0 = self.0[..at].iter().chain(&self.0[at + 1..]).cloned().collect();
        taken
    }

    /// Changes the oldest of which that is true.
    pub(crate) fn find_mut(&mut self, is_it: impl FnMut(&T) -> bool) -> Option<&mut T> {
        let at = self.iter().position(is_it)?;
        Arc::make_mut(&mut self.0).get_mut(at)
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        if !self.is_empty() {
            self.0 = Arc::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Last;

    fn last(items: &[u8]) -> Last<u8, 3> {
        let mut last = Last::default();
        last.append(items);
        last
    }

    #[test]
    fn no_more_than_its_bound_is_kept_and_the_oldest_goes_first() {
        let mut three = last(&[1, 2]);
        assert_eq!((three.push(3), three.push(4)), (None, Some(1)));
        assert_eq!(*three, [2, 3, 4]);
        three.append(&[5, 6, 7, 8, 9]);
        assert_eq!(*three, [7, 8, 9]);
        three.append_to(1, &[10]);
        assert_eq!(*three, [9, 10]);
    }

    #[test]
    fn a_copy_stays_as_it_was() {
        let mut changed = last(&[1, 2, 3]);
        let copy = changed.clone();
        assert_eq!(changed.take(|n| *n == 2), Some(2));
        assert_eq!(changed.take(|n| *n == 2), None);
        *changed.find_mut(|n| *n == 3).expect("it is there") = 30;
        assert_eq!((&*copy, &*changed), (&[1, 2, 3][..], &[1, 30][..]));
        changed.retain(|n| *n > 1);
        changed.push(4);
        assert_eq!(*changed, [30, 4]);
        changed.clear();
        assert_eq!((copy.len(), changed.len()), (3, 0));
    }

    #[test]
    fn what_a_store_kept_of_a_greater_bound_is_cut_at_the_next() {
        let mut read: Last<u8, 3> = serde_json::from_str("[1,2,3,4,5]").expect("a list");
        assert_eq!(read.push(6), Some(1));
        assert_eq!(serde_json::to_string(&read).expect("a list"), "[4,5,6]");
    }
}
