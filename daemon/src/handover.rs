//! `operator.json` in the state folder: how a first installation without a daemon says how it is to be protected. A
//! starting daemon takes it over if it keeps no protection yet, and removes it in any case: editing a file loosens
//! nothing.

use std::fs;
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use bursar_engine::command::{Act, Command, Operator};
use bursar_engine::protection::{PassphraseHash, Protect, Protection};
use serde::{Deserialize, Serialize};

use crate::host::Host;
use crate::passphrase;

/// A longer file is none of ours.
const MAX_BYTES: u64 = 4_096;

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "level", rename_all = "snake_case")]
pub enum Handover {
    /// Anything that this user runs may act.
    Unprotected,
    /// Who knows the passphrase of this hash.
    Passphrase {
        /// Argon2id, as a PHC string.
        hash: PassphraseHash,
    },
}

/// Where it stands.
pub fn path(state: &Path) -> PathBuf {
    state.join("operator.json")
}

/// Takes the file over, or refuses it; either way it is in the audit before the file goes.
pub async fn take(host: &Host, state: &Path) {
    let path = path(state);
    let text = match read(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound => return,
        Err(e) => {
            tracing::warn!(file = %path.display(), error = %e, "it is no handed-over protection; remove it");
            return;
        }
    };
    let kept = host.look(|state| state.protection.clone());
    let (protect, refused) = judge(&text, &kept);
    if let Some(why) = &refused {
        tracing::warn!(file = %path.display(), "{why}");
    }
    let act = Command::Operator(Operator {
        request_id: uuid::Uuid::now_v7().to_string(),
        who: "operator.json, found at the start".to_owned(),
        reason: "handed over by an installation without a daemon".to_owned(),
        say: None,
        may_only_tighten: false,
        by_agent: false,
        refused,
        act: Act::Protect(protect),
    });
    // What is not written yet is taken over again by the next daemon.
    if host.submit(&act).await.1.is_ok()
        && let Err(e) = fs::remove_file(&path)
    {
        tracing::warn!(file = %path.display(), error = %e, "it could not be removed; remove it");
    }
}

fn judge(text: &str, kept: &Protection) -> (Protect, Option<String>) {
    let refuse = |why: &str| (Protect::Unprotect, Some(format!("operator.json is ignored: {why}")));
    if *kept != Protection::Locked {
        return refuse("this installation is protected already; `bursar operator set` changes that");
    }
    match serde_json::from_str(text) {
        Ok(Handover::Unprotected) => (Protect::Unprotect, None),
        Ok(Handover::Passphrase { hash }) if passphrase::is_hash(&hash.0) => {
            (Protect::Set { hash, replaces: None }, None)
        }
        Ok(Handover::Passphrase { .. }) => refuse("its hash is none of argon2id"),
        Err(e) => refuse(&format!("it does not read ({e})")),
    }
}

/// A regular file of our own, and no link.
fn read(path: &Path) -> io::Result<String> {
    let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits().cast_signed();
    let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() || meta.uid() != rustix::process::getuid().as_raw() {
        return Err(io::Error::new(ErrorKind::PermissionDenied, "not a file of this user"));
    }
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::{PassphraseHash, Protect, Protection, judge};

    #[test]
    fn a_file_protects_a_first_installation_and_no_other() {
        let unprotected = r#"{"level":"unprotected","since":"2026-11-25T07:00:00Z"}"#;
        assert_eq!(judge(unprotected, &Protection::Locked), (Protect::Unprotect, None));
        let hash = PassphraseHash("x".to_owned());
        let since = bursar_engine::time::Timestamp(1);
        for kept in [Protection::Unprotected, Protection::Passphrase { hash, since, reset: None }] {
            assert!(judge(unprotected, &kept).1.is_some(), "{kept:?}");
        }
        for text in ["", "{}", r#"{"level":"locked"}"#, r#"{"level":"passphrase","hash":"plain"}"#] {
            assert!(judge(text, &Protection::Locked).1.is_some(), "{text}");
        }
    }
}
