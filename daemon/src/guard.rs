//! The passphrase at work: one verification at a time, waits between wrong ones, and which terminals are unlocked.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bursar_engine::protection::PassphraseHash;
use bursar_engine::time::Timestamp;
use bursar_protocol::secret::Secret;

use crate::clock::Clock;
use crate::passphrase::{self, PassphraseError};
use crate::terminal::Terminal;
use crate::unlock::{Tries, Unlocks};

/// The same refusal to the same process is recorded once in so many milliseconds: an agent that asks in a loop fills
/// no disk.
const SAME_REFUSAL_MS: u64 = 1_000;

/// Processes whose last refusal is remembered.
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
    refused: Mutex<BTreeMap<(u32, String), Timestamp>>,
    /// Each verification takes 64 MiB.
    one_at_a_time: tokio::sync::Mutex<()>,
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

    /// Whether this very refusal was recorded for this process a moment ago; if not, it counts as recorded now.
    pub fn was_just_refused(&self, pid: u32, act: &str, why: &str, now: Timestamp) -> bool {
        let mut refused = lock(&self.refused);
        let key = (pid, format!("{act} {why}"));
        if refused.get(&key).is_some_and(|at| now.since(*at) < SAME_REFUSAL_MS) {
            return true;
        }
        if refused.len() >= MAX_REFUSED {
            refused.retain(|_, at| now.since(*at) < SAME_REFUSAL_MS);
        }
        refused.insert(key, now);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::{Guard, SAME_REFUSAL_MS, Timestamp};

    #[test]
    fn the_same_refusal_is_recorded_once_a_second() {
        let guard = Guard::default();
        let at = Timestamp(5_000);
        assert!(!guard.was_just_refused(7, "extend", "locked", at));
        assert!(guard.was_just_refused(7, "extend", "locked", at.plus_ms(SAME_REFUSAL_MS - 1)));
        assert!(!guard.was_just_refused(8, "extend", "locked", at));
        assert!(!guard.was_just_refused(7, "reset", "locked", at));
        assert!(!guard.was_just_refused(7, "extend", "locked", at.plus_ms(SAME_REFUSAL_MS)));
    }
}
