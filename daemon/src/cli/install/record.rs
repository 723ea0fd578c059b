//! What was installed where, so that `uninstall` can put back the very bytes.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::files;

/// One settings file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    /// Its text before; none where it was not there.
    pub(super) before: Option<String>,
    /// Its text after.
    pub(super) after: String,
    /// Its mode, before it was closed to others.
    #[serde(default)]
    pub(super) mode: Option<u32>,
}

/// Every settings file that names our hook client.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Record {
    settings: BTreeMap<PathBuf, Known>,
}

impl Record {
    /// Loads it; one that does not read counts as empty, and `uninstall` then takes out our entries alone.
    pub(super) fn load(state: &Path) -> Self {
        let text = fs::read_to_string(state.join("installed.json")).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    pub(super) fn save(&self, state: &Path) -> io::Result<()> {
        if !state.is_dir() {
            return Ok(());
        }
        files::write_private(&state.join("installed.json"), &serde_json::to_string(self)?)
    }

    /// Notes an installation over `before`; `stripped` is `before` without what we wrote earlier.
    /// `mode` is its mode, where it is closed to others now.
    pub(super) fn note(
        &mut self,
        file: &Path,
        before: Option<&str>,
        stripped: &str,
        after: &str,
        mode: Option<u32>,
    ) {
        let first = match self.settings.get(file) {
            Some(known) if Some(known.after.as_str()) == before => known.before.clone(),
            _ => before.map(|_| stripped.to_owned()),
        };
        let mode = self.settings.get(file).and_then(|known| known.mode).or(mode);
        self.settings.insert(file.to_owned(), Known { before: first, after: after.to_owned(), mode });
    }

    pub(super) fn of(&self, file: &Path) -> Option<&Known> {
        self.settings.get(file)
    }

    pub(super) fn forget(&mut self, file: &Path) {
        self.settings.remove(file);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.settings.is_empty()
    }
}
