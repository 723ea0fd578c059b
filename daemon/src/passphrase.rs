//! The operator's passphrase: argon2id, slow on purpose (64 MiB, three passes). Never on an async thread.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use bursar_engine::protection::PassphraseHash;
use bursar_protocol::secret::Secret;

/// The shortest passphrase, in characters.
pub const MIN_CHARS: usize = 8;

/// The longest, in bytes: more is a mistake, not a passphrase.
const MAX_BYTES: usize = 1_024;

/// Memory in KiB, passes and lanes: above OWASP's floor of 19 MiB and two passes (THREATS 4).
const MEMORY_KIB: u32 = 64 * 1_024;
const PASSES: u32 = 3;
const LANES: u32 = 1;

/// The most that a hash from a file may ask for.
const MAX_MEMORY_KIB: u32 = 4 * MEMORY_KIB;
const MAX_PASSES: u32 = 10;

/// A passphrase that cannot be set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PassphraseError {
    /// Too short to be of use.
    #[error("the passphrase must have {MIN_CHARS} characters or more")]
    TooShort,
    /// Too long to be meant.
    #[error("the passphrase must have at most {MAX_BYTES} bytes")]
    TooLong,
    /// No memory, or no randomness.
    #[error("the passphrase could not be hashed ({0}); try again")]
    Hash(String),
}

/// Whether it can be set, before anybody waits for its hash.
///
/// # Errors
/// [`PassphraseError`].
pub fn check(passphrase: &Secret) -> Result<(), PassphraseError> {
    if passphrase.reveal().chars().count() < MIN_CHARS {
        return Err(PassphraseError::TooShort);
    }
    if passphrase.reveal().len() > MAX_BYTES {
        return Err(PassphraseError::TooLong);
    }
    Ok(())
}

/// Hashes a passphrase under a new salt. Takes a tenth of a second and 64 MiB.
///
/// # Errors
/// [`PassphraseError`].
pub fn hash(passphrase: &Secret) -> Result<PassphraseHash, PassphraseError> {
    check(passphrase)?;
    let params =
        Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|e| PassphraseError::Hash(e.to_string()))?;
    let hashed = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password(passphrase.reveal().as_bytes())
        .map_err(|e| PassphraseError::Hash(e.to_string()))?;
    Ok(PassphraseHash(hashed.to_string()))
}

/// Whether it is the passphrase of that hash. As slow as [`hash`].
pub fn is_right(passphrase: &Secret, hash: &PassphraseHash) -> bool {
    passphrase.reveal().len() <= MAX_BYTES
        && Argon2::default().verify_password(passphrase.reveal().as_bytes(), hash.0.as_str()).is_ok()
}

/// Whether a text is an argon2id hash that can be verified with bounded work.
pub fn is_hash(text: &str) -> bool {
    PasswordHash::new(text).is_ok_and(|parsed| {
        let fits = |p: Params| p.m_cost() <= MAX_MEMORY_KIB && p.t_cost() <= MAX_PASSES && p.p_cost() <= 4;
        parsed.algorithm.as_str() == "argon2id"
            && parsed.hash.is_some()
            && Params::try_from(&parsed).is_ok_and(fits)
    })
}

#[cfg(test)]
mod tests {
    use super::{PassphraseError, hash, is_hash, is_right};
    use bursar_engine::protection::PassphraseHash;
    use bursar_protocol::secret::Secret;

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    #[test]
    fn only_the_passphrase_itself_is_right() {
        let hashed = hash(&secret("correct horse")).unwrap();
        assert!(hashed.0.starts_with("$argon2id$v=19$m=65536,t=3,p=1$"), "{}", hashed.0);
        assert!(is_hash(&hashed.0));
        assert!(is_right(&secret("correct horse"), &hashed));
        for wrong in ["correct hors", "", "Correct horse", &"x".repeat(2_000)] {
            assert!(!is_right(&secret(wrong), &hashed), "{wrong}");
        }
        assert!(!is_right(&secret("correct horse"), &PassphraseHash("correct horse".to_owned())));
        assert_ne!(hash(&secret("correct horse")).unwrap(), hashed, "the salt is always the same");
    }

    #[test]
    fn what_is_no_passphrase_or_no_hash_is_refused() {
        assert_eq!(hash(&secret("seven77")), Err(PassphraseError::TooShort));
        assert_eq!(hash(&secret(&"x".repeat(2_000))), Err(PassphraseError::TooLong));
        for text in [
            "",
            "plain",
            "$argon2i$v=19$m=65536,t=3,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b4dWRWJTmaaJObG",
            "$argon2id$v=19$m=65536,t=3,p=1$c29tZXNhbHQ",
            "$argon2id$v=19$m=4194304,t=3,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b4dWRWJTmaaJObG",
        ] {
            assert!(!is_hash(text), "{text}");
        }
    }
}
