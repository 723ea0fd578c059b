//! The markers of sessions that are shut (DESIGN 6.6): written and synced before the verdict leaves, removed before
//! an operator's act is answered.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bursar_engine::State;
use bursar_engine::ids::SessionId;
use bursar_protocol::marker::{self, Marker};

/// What stands in the folder, as this daemon wrote it.
#[derive(Debug)]
pub struct Markers {
    state_dir: PathBuf,
    written: Mutex<HashMap<SessionId, Marker>>,
}

/// What a session's marker should say.
pub fn wanted(state: &State, session: &SessionId) -> Marker {
    // Also of a session that ended: resumed without a daemon, it must not run on.
    if !state.policy.enforces() {
        return Marker::default();
    }
    let (session, agents) = state.shut_in(session);
    Marker { session, agents }
}

impl Markers {
    /// Markers below a state folder.
    pub fn new(state_dir: PathBuf) -> Self {
        Self { state_dir, written: Mutex::new(HashMap::new()) }
    }

    /// Brings the files of these sessions in line. `want` is asked under the lock, so that the last one to write has
    /// seen the newest state.
    ///
    /// # Errors
    /// The first file that could not be written; the others are still tried.
    pub fn sync(&self, sessions: &[SessionId], want: impl Fn(&SessionId) -> Marker) -> io::Result<()> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let mut first_error = Ok(());
        let mut changed = false;
        for session in sessions {
            let marker = want(session);
            let path = marker::path(&self.state_dir, session.as_str());
            // Somebody else may have removed the file: `uninstall` without the daemon's leave, or an agent.
            let stands = |m: &Marker| m == &marker && (m.is_empty() || path.exists());
            if stands(written.get(session).unwrap_or(&Marker::default())) {
                continue;
            }
            changed = true;
            let done = if marker.is_empty() { remove(&path) } else { write(&path, &marker.to_text()) };
            match done {
                Ok(()) if marker.is_empty() => drop(written.remove(session)),
                Ok(()) => drop(written.insert(session.clone(), marker)),
                Err(e) => first_error = first_error.and(Err(e)),
            }
        }
        if changed {
            first_error = first_error.and_then(|()| File::open(self.state_dir.join("paused"))?.sync_all());
        }
        first_error
    }

    /// At start-up: removes the file of every session in `standing` that asks for none, and writes the rest. Files of
    /// sessions that nobody knows stay: only a human removes them.
    ///
    /// # Errors
    /// As [`Markers::sync`].
    pub fn restore(&self, standing: &[(SessionId, Marker)]) -> io::Result<()> {
        let dir = self.state_dir.join("paused");
        let shut: HashMap<&SessionId, &Marker> =
            standing.iter().filter(|(_, m)| !m.is_empty()).map(|(s, m)| (s, m)).collect();
        let keep: HashSet<PathBuf> = shut.keys().map(|s| marker::path(&self.state_dir, s.as_str())).collect();
        let known: HashSet<PathBuf> =
            standing.iter().map(|(s, _)| marker::path(&self.state_dir, s.as_str())).collect();
        let mut strangers = 0_u32;
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            if known.contains(&path) && !keep.contains(&path) {
                remove(&path)?;
            } else if !known.contains(&path) {
                strangers += 1;
            }
        }
        if strangers > 0 {
            // Wiping the store is no extension.
            tracing::warn!(
                strangers,
                ?dir,
                "markers of sessions that the store does not know stand; remove them by hand"
            );
        }
        File::open(&dir)?.sync_all()?;
        let sessions: Vec<SessionId> = shut.keys().map(|s| (*s).clone()).collect();
        self.sync(&sessions, |s| shut.get(s).map(|m| (*m).clone()).unwrap_or_default())
    }

    /// Removes all: the installation goes, or a human let everything go.
    ///
    /// # Errors
    /// The first file that could not be removed.
    pub fn clear(&self) -> io::Result<()> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).clear();
        for entry in fs::read_dir(self.state_dir.join("paused"))? {
            let path = entry?.path();
            if path.is_file() {
                remove(&path)?;
            }
        }
        Ok(())
    }
}

/// Writes a file whole or not at all, and to the disk; the folder is the caller's to sync.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let part = path.with_extension("part");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(&part)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&part, path)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::{Marker, Markers, SessionId, marker};

    #[test]
    fn writes_what_is_wanted_and_removes_what_is_not() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        std::fs::create_dir(dir.path().join("paused"))?;
        let markers = Markers::new(dir.path().to_owned());
        let session = SessionId::new("s1")?;
        let path = marker::path(dir.path(), "s1");
        let shut = Marker { session: true, ..Marker::default() };
        markers.sync(std::slice::from_ref(&session), |_| shut.clone())?;
        assert_eq!(Marker::from_text(&std::fs::read_to_string(&path)?), shut);
        markers.sync(std::slice::from_ref(&session), |_| Marker::default())?;
        assert!(!path.exists());
        // One that somebody else removed is written again.
        markers.sync(std::slice::from_ref(&session), |_| shut.clone())?;
        std::fs::remove_file(&path)?;
        markers.sync(std::slice::from_ref(&session), |_| shut.clone())?;
        assert!(path.exists());
        let free = (SessionId::new("s2")?, Marker::default());
        let stale = marker::path(dir.path(), "s2");
        std::fs::write(&stale, "bursar-marker 1\nsession\n")?;
        let stranger = marker::path(dir.path(), "of another store");
        std::fs::write(&stranger, "bursar-marker 1\nsession\n")?;
        Markers::new(dir.path().to_owned()).restore(&[(session, shut), free])?;
        assert!(path.exists() && !stale.exists() && stranger.exists());
        Markers::new(dir.path().to_owned()).clear()?;
        assert!(!path.exists() && !stranger.exists());
        Ok(())
    }
}
