//! The passphrase at work: one verification at a time, waits between wrong ones, and which terminals are unlocked.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bursar_engine::protection::PassphraseHash;
use bursar_engine::time::Timestamp;
use bursar_protocol::secret::Secret;

use crate::clock::Clock;
use crate::passphrase::{self, PassphraseError};
use crate::terminal::Terminal;
use crate::unlock::{Tries, Unlocks};

/// So many refusals of the same act in a row are each recorded, and then one a second, whichever process asks: a command
/// is a new one each time, and an agent that asks in a loop is to fill no disk.
const REFUSALS_IN_A_ROW: u64 = 20;
const REFUSAL_EVERY_MS: u64 = 1_000;

/// So many acts that are open to all may be done in a row, and then one in so many milliseconds.
const ACTS_IN_A_ROW: u64 = 500;
const ACT_EVERY_MS: u64 = 100;

/// Passphrases that wait to be looked at; one more is to be typed again in so many milliseconds.
const MAX_WAITING: usize = 4;
const BUSY_MS: u64 = 2_000;

/// Acts whose refusals are remembered.
const MAX_REFUSED: usize = 256;

/// A passphrase that opened nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// It is the wrong one; the next try waits so many seconds.
    Passphrase(u64),
    /// It was not looked at: so many milliseconds are left to wait.
    TooEarly(u64),
}

/// What the daemon remembers of passphrases; none of them, and nothing after its end.
#[derive(Debug, Default)]
pub struct Guard {
    unlocks: Mutex<Unlocks>,
    tries: Mutex<Tries>,
    refused: Mutex<BTreeMap<String, Bucket>>,
    /// Each verification takes 64 MiB.
    one_at_a_time: tokio::sync::Mutex<()>,
    /// Who waits for it.
    waiting: AtomicUsize,
    acts: Mutex<Option<Bucket>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Guard {
    /// Whether a terminal is unlocked.
    pub fn is_unlocked(&self, terminal: &Terminal, now: Timestamp) -> bool {
        lock(&self.unlocks).is_open(terminal, now)
    }

    /// Unlocks a terminal: its passphrase was right.
    pub fn unlock(&self, terminal: Terminal, now: Timestamp) {
        lock(&self.unlocks).open(terminal, now);
    }

    /// Locks a terminal.
    pub fn lock(&self, terminal: &Terminal) {
        lock(&self.unlocks).close(terminal);
    }

    /// Locks every terminal: another protection holds.
    pub fn lock_all(&self) {
        lock(&self.unlocks).close_all();
    }

    /// Checks a passphrase that was typed at a terminal, off the threads that serve.
    ///
    /// # Errors
    /// [`Wrong`], with how long to wait.
    pub async fn check(
        &self,
        terminal: &Terminal,
        passphrase: &Secret,
        hash: &PassphraseHash,
        clock: Clock,
    ) -> Result<(), Wrong> {
        lock(&self.tries).begin(terminal, clock.now()).map_err(Wrong::TooEarly)?;
        let (passphrase, hash) = (passphrase.clone(), hash.clone());
        // Guesses in ever new terminals do not make the human wait behind them all.
        let Some(_place) = Place::take(&self.waiting) else { return Err(Wrong::TooEarly(BUSY_MS)) };
        let one = self.one_at_a_time.lock().await;
        let right = tokio::task::spawn_blocking(move || passphrase::is_right(&passphrase, &hash)).await;
        drop(one);
        if matches!(right, Ok(true)) {
            lock(&self.tries).right(terminal);
            return Ok(());
        }
        Err(Wrong::Passphrase(lock(&self.tries).wrong(terminal, clock.now())))
    }

    /// Hashes a new passphrase, off the threads that serve.
    ///
    /// # Errors
    /// [`PassphraseError`].
    pub async fn hash(&self, passphrase: &Secret) -> Result<PassphraseHash, PassphraseError> {
        passphrase::check(passphrase)?;
        let passphrase = passphrase.clone();
        let _one = self.one_at_a_time.lock().await;
        tokio::task::spawn_blocking(move || passphrase::hash(&passphrase))
            .await
            .unwrap_or_else(|e| Err(PassphraseError::Hash(e.to_string())))
    }

    /// Whether one more act that is open to all may be done now: each is written to the disk, and an agent in a loop is
    /// to keep nobody waiting.
    pub fn has_room_for_an_act(&self, now: Timestamp) -> bool {
        let mut acts = lock(&self.acts);
        let known = acts.get_or_insert(Bucket { left: ACTS_IN_A_ROW, at: now });
        known.take(ACTS_IN_A_ROW, ACT_EVERY_MS, now)
    }

    /// Whether a refusal is to be recorded; if so, it counts as recorded now.
    pub fn is_recorded(&self, act: &str, why: &str, now: Timestamp) -> bool {
        let mut refused = lock(&self.refused);
        if refused.len() >= MAX_REFUSED {
            refused.retain(|_, r| r.left_at(REFUSALS_IN_A_ROW, REFUSAL_EVERY_MS, now) < REFUSALS_IN_A_ROW);
        }
        let full = Bucket { left: REFUSALS_IN_A_ROW, at: now };
        refused.entry(format!("{act} {why}")).or_insert(full).take(REFUSALS_IN_A_ROW, REFUSAL_EVERY_MS, now)
    }
}

/// A place among those who wait; given back when dropped.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize) -> Option<Self> {
        let place = Self(waiting);
        (waiting.fetch_add(1, Ordering::Relaxed) < MAX_WAITING).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many of something may still be done in a row, as of a time; one more with each step of time.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: u64,
    at: Timestamp,
}

impl Bucket {
    fn left_at(self, most: u64, every_ms: u64, now: Timestamp) -> u64 {
        (self.left + now.since(self.at) / every_ms).min(most)
    }

    fn take(&mut self, most: u64, every_ms: u64, now: Timestamp) -> bool {
        let left = self.left_at(most, every_ms, now);
        if left > 0 {
            // The last whole step, so that no part of one is lost.
            let step = self.at.plus_ms(now.since(self.at) / every_ms * every_ms);
            *self = Self { left: left - 1, at: if left == most { now } else { step } };
        }
        left > 0
    }
}

#[cfg(test)]
mod tests {
    use super::{Guard, REFUSALS_IN_A_ROW, Timestamp};

    #[test]
    fn the_same_refusal_is_recorded_each_time_and_in_a_loop_once_a_second() {
        let guard = Guard::default();
        let recorded = |from: u64, to: u64| {
            let asked = (from..to).filter(|ms| guard.is_recorded("extend", "locked", Timestamp(*ms)));
            asked.count() as u64
        };
        assert_eq!(recorded(5_000, 5_500), REFUSALS_IN_A_ROW);
        assert_eq!(recorded(5_500, 9_500), 4);
        assert!(guard.is_recorded("reset", "locked", Timestamp(9_500)), "another act");
        assert_eq!(recorded(100_000, 100_100), REFUSALS_IN_A_ROW);
    }
}
