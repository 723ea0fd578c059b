//! Which events of a session's stream arrived. A process counts its events; what is missing in between did not arrive.

use bursar_engine::time::Timestamp;

use crate::otlp::Mark;

/// Runs of numbers that are remembered apart; with more of them the oldest holes are given up.
const MAX_RUNS: usize = 64;

/// The stream of a session. A session's next process counts from zero again: within one process numbers and times rise
/// together, so an event that comes later with a lower number is the next one's. What is lost at either end of a process
/// shows no hole, and two processes at work on one session at once show holes that are none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stream {
    process: Process,
    /// The one before: its last batches may come late.
    before: Process,
    /// Missing in those before that.
    given_up: u64,
}

impl Stream {
    /// Takes note of an event.
    pub(super) fn note(&mut self, mark: Mark) {
        if !self.before.runs.is_empty() && mark.at <= self.before.highest_at {
            return self.before.note(mark);
        }
        if self.highest().is_some_and(|highest| mark.sequence <= highest) && mark.at > self.process.highest_at
        {
            self.given_up = self.given_up.saturating_add(self.before.missing());
            self.before = std::mem::take(&mut self.process);
        }
        self.process.note(mark);
    }

    /// The highest number of the last process that arrived.
    pub(super) fn highest(&self) -> Option<u64> {
        self.process.runs.last().map(|(_, to)| *to)
    }

    /// How many events are missing.
    pub(super) fn missing(&self) -> u64 {
        self.given_up.saturating_add(self.before.missing()).saturating_add(self.process.missing())
    }
}

/// The numbers of one process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Process {
    /// Arrived, ascending, from and to inclusive.
    runs: Vec<(u64, u64)>,
    /// When the highest one happened.
    highest_at: Timestamp,
    /// Missing for good.
    given_up: u64,
}

impl Process {
    fn note(&mut self, mark: Mark) {
        if self.runs.last().is_none_or(|(_, to)| mark.sequence > *to) {
            self.highest_at = mark.at;
        }
        self.insert(mark.sequence);
    }

    fn insert(&mut self, n: u64) {
        let at = self.runs.partition_point(|(_, to)| *to < n);
        if self.runs.get(at).is_some_and(|(from, _)| *from <= n) {
            return;
        }
        let joins_before = at > 0 && self.runs[at - 1].1 + 1 == n;
        let joins_after = self.runs.get(at).is_some_and(|(from, _)| *from == n + 1);
        match (joins_before, joins_after) {
            (true, true) => {
                self.runs[at - 1].1 = self.runs[at].1;
                self.runs.remove(at);
            }
            (true, false) => self.runs[at - 1].1 = n,
            (false, true) => self.runs[at].0 = n,
            (false, false) => self.runs.insert(at, (n, n)),
        }
        if self.runs.len() > MAX_RUNS {
            self.given_up = self.given_up.saturating_add(self.runs[1].0 - self.runs[0].1 - 1);
            self.runs[1].0 = self.runs[0].0;
            self.runs.remove(0);
        }
    }

    fn missing(&self) -> u64 {
        let holes = self.runs.windows(2).map(|w| w[1].0 - w[0].1 - 1);
        holes.fold(self.given_up, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_RUNS, Mark, Stream, Timestamp};
    use proptest::prelude::*;

    fn stream(marks: &[(u64, u64)]) -> Stream {
        let mut stream = Stream::default();
        for &(sequence, at) in marks {
            stream.note(Mark { sequence, at: Timestamp(at) });
        }
        stream
    }

    #[test]
    fn holes_show_and_close() {
        assert_eq!(stream(&[]).missing(), 0);
        assert_eq!(stream(&[(5, 1), (6, 1), (9, 2)]).missing(), 2);
        assert_eq!(stream(&[(5, 10), (9, 20), (7, 15)]).missing(), 2);
        let healed = stream(&[(5, 10), (9, 20), (7, 15), (6, 12), (8, 20), (9, 20), (5, 10)]);
        assert_eq!((healed.missing(), healed.highest()), (0, Some(9)));
    }

    #[test]
    fn the_next_process_counts_anew() {
        let resumed = stream(&[(0, 1), (1, 2), (5, 3), (0, 100), (1, 101)]);
        assert_eq!((resumed.missing(), resumed.highest()), (3, Some(1)));
        // Batches of the first one that come late, or again.
        let late = stream(&[(0, 1), (5, 3), (0, 100), (1, 101), (3, 2), (0, 1), (3, 2), (5, 3)]);
        assert_eq!((late.missing(), late.highest()), (3, Some(1)));
        // The second one's batches in the wrong order.
        let swapped = stream(&[(0, 1), (5, 3), (4, 200), (5, 200), (0, 100), (1, 101)]);
        assert_eq!((swapped.missing(), swapped.highest()), (4 + 2, Some(5)));
    }

    #[test]
    fn the_greatest_numbers_overflow_nothing() {
        let greatest = stream(&[(0, 1), (u64::MAX, 2), (u64::MAX - 1, 2), (u64::MAX, 2)]);
        assert_eq!(greatest.missing(), u64::MAX - 2);
        let again = stream(&[(0, 1), (u64::MAX, 2), (0, 3), (u64::MAX, 4), (0, 5)]);
        assert_eq!(again.missing(), u64::MAX);
    }

    proptest! {
        #[test]
        fn any_order_of_one_process_ends_alike(sent in proptest::collection::vec(0_u64..300, 1..200)) {
            // Times that don't rise with the arrival: one process, late batches.
            let mut stream = Stream::default();
            stream.note(Mark { sequence: 400, at: Timestamp(1_000) });
            for sequence in &sent {
                stream.note(Mark { sequence: *sequence, at: Timestamp(*sequence) });
            }
            let distinct: std::collections::BTreeSet<_> = sent.iter().copied().collect();
            let first = distinct.first().copied().unwrap_or(400);
            prop_assert!(stream.process.runs.len() <= MAX_RUNS);
            if distinct.len() < MAX_RUNS / 2 {
                prop_assert_eq!(stream.missing(), 400 - first - distinct.len() as u64);
            }
        }
    }
}
