//! Which terminals are unlocked, and how long the next try of a passphrase waits. In memory only: a restarted daemon has
//! nothing unlocked. Time is a parameter.

use std::collections::BTreeMap;

use bursar_engine::time::Timestamp;

use crate::terminal::Terminal;

/// How long a terminal stays unlocked after the passphrase was typed there, in milliseconds (8.4).
pub const UNLOCKED_MS: u64 = 5 * 60 * 1_000;

/// The longest wait after a wrong passphrase, in seconds. Never for good: an agent would lock the human out with it.
pub const MAX_DELAY_S: u64 = 60;

/// Terminals that are remembered; an agent that opens more of them pushes out the oldest.
const MAX_TERMINALS: usize = 1_024;

/// The terminals that are unlocked, and until when.
#[derive(Debug, Default)]
pub struct Unlocks(BTreeMap<Terminal, Timestamp>);

impl Unlocks {
    /// Unlocks a terminal.
    pub fn open(&mut self, terminal: Terminal, now: Timestamp) {
        self.0.retain(|_, until| *until > now);
        self.0.insert(terminal, now.plus_ms(UNLOCKED_MS));
    }

    /// Ends a terminal's unlock.
    pub fn close(&mut self, terminal: &Terminal) {
        self.0.remove(terminal);
    }

    /// Ends every unlock: another passphrase holds.
    pub fn close_all(&mut self) {
        self.0.clear();
    }

    /// Whether a terminal is unlocked now.
    pub fn is_open(&self, terminal: &Terminal, now: Timestamp) -> bool {
        self.0.get(terminal).is_some_and(|until| *until > now)
    }
}

/// Wrong passphrases in a row, by the terminal at which they were typed: an agent's guesses in terminals of its own
/// do not make the human wait.
#[derive(Debug, Default)]
pub struct Tries(BTreeMap<Terminal, Wrong>);

#[derive(Debug)]
struct Wrong {
    in_a_row: u32,
    not_before: Timestamp,
}

/// How long the next try waits after so many wrong ones, in seconds.
pub fn delay_s(wrong_in_a_row: u32) -> u64 {
    if wrong_in_a_row == 0 {
        0
    } else {
        1_u64.checked_shl(wrong_in_a_row).unwrap_or(MAX_DELAY_S).min(MAX_DELAY_S)
    }
}

impl Tries {
    /// Begins a try, which counts as wrong until [`Tries::right`] says otherwise, so that tries at once wait too.
    ///
    /// # Errors
    /// How many milliseconds are left to wait.
    pub fn begin(&mut self, terminal: &Terminal, now: Timestamp) -> Result<(), u64> {
        let known = self.0.get(terminal);
        if let Some(wrong) = known.filter(|w| w.not_before > now) {
            return Err(wrong.not_before.since(now));
        }
        let in_a_row = known.map_or(0, |w| w.in_a_row).saturating_add(1);
        if self.0.len() >= MAX_TERMINALS && !self.0.contains_key(terminal) {
            let oldest = self.0.iter().min_by_key(|(_, w)| w.not_before).map(|(t, _)| t.clone());
            oldest.map(|t| self.0.remove(&t));
        }
        let not_before = now.plus_ms(delay_s(in_a_row) * 1_000);
        self.0.insert(terminal.clone(), Wrong { in_a_row, not_before });
        Ok(())
    }

    /// It was the right one.
    pub fn right(&mut self, terminal: &Terminal) {
        self.0.remove(terminal);
    }

    /// It was a wrong one: how many seconds the next try waits, from its answer on.
    pub fn wrong(&mut self, terminal: &Terminal, now: Timestamp) -> u64 {
        let Some(wrong) = self.0.get_mut(terminal) else { return 0 };
        let delay = delay_s(wrong.in_a_row);
        wrong.not_before = now.plus_ms(delay * 1_000);
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_DELAY_S, Terminal, Timestamp, Tries, UNLOCKED_MS, Unlocks, delay_s};
    use proptest::prelude::*;

    fn terminal(device: &str, session: &str) -> Terminal {
        Terminal { uid: 1, device: device.to_owned(), session: session.to_owned(), since_ms: None }
    }

    #[test]
    fn an_unlock_is_one_terminals_and_ends() {
        let mut unlocks = Unlocks::default();
        let here = terminal("34816", "100");
        let at = Timestamp(1_000);
        unlocks.open(here.clone(), at);
        let others =
            [terminal("34817", "100"), terminal("34816", "101"), Terminal { uid: 2, ..here.clone() }];
        for other in others {
            assert!(!unlocks.is_open(&other, at), "{other:?}");
        }
        assert!(unlocks.is_open(&here, at.plus_ms(UNLOCKED_MS - 1)));
        assert!(!unlocks.is_open(&here, at.plus_ms(UNLOCKED_MS)));
        unlocks.close(&here);
        assert!(!unlocks.is_open(&here, at));
    }

    #[test]
    fn the_delay_grows_to_its_cap_and_is_forgotten_by_the_right_one() {
        let waits: Vec<u64> = (0..9).map(delay_s).collect();
        assert_eq!(waits, [0, 2, 4, 8, 16, 32, 60, 60, 60]);
        let (mut tries, here) = (Tries::default(), terminal("1", "1"));
        let mut now = Timestamp(1_000);
        for n in 1..=3 {
            tries.begin(&here, now).unwrap();
            assert_eq!(tries.begin(&here, now), Err(delay_s(n) * 1_000), "a second one at once");
            assert_eq!(tries.wrong(&here, now), delay_s(n));
            assert!(tries.begin(&terminal("2", "2"), now.plus_ms(u64::from(n) * 100_000)).is_ok());
            now = now.plus_ms(delay_s(n) * 1_000);
        }
        tries.begin(&here, now).unwrap();
        tries.right(&here);
        tries.begin(&here, now).unwrap();
        assert_eq!(tries.wrong(&here, now), delay_s(1));
    }

    proptest! {
        #[test]
        fn no_number_of_wrong_ones_locks_anybody_out(wrong in any::<u32>()) {
            prop_assert!(delay_s(wrong) <= MAX_DELAY_S);
            prop_assert!(delay_s(wrong) <= delay_s(wrong.saturating_add(1)));
        }

        #[test]
        fn whatever_came_before_the_next_try_is_a_minute_away(steps in prop::collection::vec((0..3_u8, 0..90_u64), 0..60)) {
            let (mut tries, here) = (Tries::default(), terminal("1", "1"));
            let mut now = Timestamp(0);
            for (step, seconds) in steps {
                now = now.plus_ms(seconds * 1_000);
                if tries.begin(&here, now).is_ok() {
                    match step {
                        0 => tries.right(&here),
                        1 => drop(tries.wrong(&here, now)),
                        _ => {}
                    }
                }
                if let Err(wait_ms) = tries.begin(&here, now) {
                    prop_assert!(wait_ms <= MAX_DELAY_S * 1_000);
                    prop_assert!(tries.begin(&here, now.plus_ms(wait_ms)).is_ok());
                    tries.right(&here);
                }
            }
        }
    }
}
