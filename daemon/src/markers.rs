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
        for session in sessions {
            let marker = want(session);
            if written.get(session).unwrap_or(&Marker::default()) == &marker {
                continue;
            }
            let path = marker::path(&self.state_dir, session.as_str());
            let done = if marker.is_empty() { remove(&path) } else { write(&path, &marker.to_text()) };
            match done {
                Ok(()) if marker.is_empty() => drop(written.remove(session)),
                Ok(()) => drop(written.insert(session.clone(), marker)),
                Err(e) => first_error = first_error.and(Err(e)),
            }
        }
        first_error
    }

    /// At start-up: removes every file that no session in `standing` asks for, then writes the rest.
    ///
    /// # Errors
    /// As [`Markers::sync`].
    pub fn restore(&self, standing: &[(SessionId, Marker)]) -> io::Result<()> {
        let dir = self.state_dir.join("paused");
        let shut: HashMap<&SessionId, &Marker> =
            standing.iter().filter(|(_, m)| !m.is_empty()).map(|(s, m)| (s, m)).collect();
        let keep: HashSet<PathBuf> = shut.keys().map(|s| marker::path(&self.state_dir, s.as_str())).collect();
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            if !keep.contains(&path) {
                remove(&path)?;
            }
        }
        let sessions: Vec<SessionId> = shut.keys().map(|s| (*s).clone()).collect();
        self.sync(&sessions, |s| shut.get(s).map(|m| (*m).clone()).unwrap_or_default())
    }

    /// Removes all: the installation goes, or a human let everything go.
    ///
    /// # Errors
    /// The first file that could not be removed.
    pub fn clear(&self) -> io::Result<()> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.restore(&[])
    }
}

/// Writes a file whole or not at all, and both it and its folder to the disk.
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
    fs::rename(&part, path)?;
    sync_folder(path)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
        Ok(()) => sync_folder(path),
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
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
        std::fs::write(dir.path().join("paused/stale"), "bursar-marker 1\nsession\n")?;
        Markers::new(dir.path().to_owned()).restore(&[(session, shut)])?;
        assert!(path.exists() && !dir.path().join("paused/stale").exists());
        Ok(())
    }
}
