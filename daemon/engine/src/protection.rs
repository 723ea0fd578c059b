//! How an installation is protected: who may raise a limit. Kept in the daemon's store, so that editing a file loosens
//! nothing.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// How long a reset of the passphrase is announced before it counts, in milliseconds (8.4).
pub const RESET_AFTER_MS: u64 = 10 * 60 * 1_000;

/// The argon2id hash of a passphrase, as a PHC string.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PassphraseHash(pub String);

impl fmt::Debug for PassphraseHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PassphraseHash(…)")
    }
}

/// Who may raise a limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "level", rename_all = "snake_case")]
pub enum Protection {
    /// Nobody yet: neither was a passphrase set, nor was it said that none is wanted.
    #[default]
    Locked,
    /// Anything that this user runs.
    Unprotected,
    /// Who knows the passphrase.
    Passphrase {
        /// Its hash.
        hash: PassphraseHash,
        /// Since when it holds.
        since: Timestamp,
        /// It was said to be forgotten.
        reset: Option<Reset>,
    },
}

/// A passphrase that was said to be forgotten. Until it counts the old one holds, and unlocking with it cancels this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reset {
    /// When it was asked for.
    pub at: Timestamp,
    /// From when on a new passphrase needs no old one.
    pub effective: Timestamp,
}

/// What can be done to the protection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protect {
    /// A terminal was unlocked with the passphrase; the daemon has checked it.
    Unlock,
    /// A terminal is locked again.
    Lock,
    /// Set the operator's passphrase.
    Set {
        /// Its hash.
        hash: PassphraseHash,
        /// The one that it takes the place of, whose passphrase was given.
        replaces: Option<PassphraseHash>,
    },
    /// Let anything that this user runs act.
    Unprotect,
    /// Say that the passphrase is forgotten.
    Reset,
}

impl Protect {
    /// The word for the audit.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unlock => "unlock",
            Self::Lock => "lock",
            Self::Set { .. } => "set_passphrase",
            Self::Unprotect => "unprotect",
            Self::Reset => "reset_passphrase",
        }
    }
}

/// What an installation's protection comes to at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing<'a> {
    /// Nobody may raise a limit, and a passphrase can be set.
    Locked,
    /// As [`Standing::Locked`], after a reset of the passphrase.
    Forgotten,
    /// Anything may.
    Unprotected,
    /// Who knows this passphrase may.
    Passphrase(&'a PassphraseHash),
}

impl Protection {
    /// What it comes to at `now`.
    pub fn standing(&self, now: Timestamp) -> Standing<'_> {
        match self {
            Self::Locked => Standing::Locked,
            Self::Unprotected => Standing::Unprotected,
            Self::Passphrase { reset: Some(reset), .. } if reset.effective <= now => Standing::Forgotten,
            Self::Passphrase { hash, .. } => Standing::Passphrase(hash),
        }
    }

    /// The reset that has been asked for and does not count yet.
    pub fn pending_reset(&self, now: Timestamp) -> Option<Reset> {
        match self {
            Self::Passphrase { reset, .. } => reset.filter(|r| r.effective > now),
            Self::Locked | Self::Unprotected => None,
        }
    }
}

impl Standing<'_> {
    /// The word that people and programs read.
    pub fn name(self) -> &'static str {
        match self {
            Self::Locked | Self::Forgotten => "locked",
            Self::Unprotected => "unprotected",
            Self::Passphrase(_) => "passphrase",
        }
    }
}
