//! The spool: a line for each hook that was let through without a daemon, so that no blind spot is silent (6.5).

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// What the spool told so far, kept over restarts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Hooks that were let through.
    pub failed_open: u64,
}

/// Takes the lines that hooks left since the last time and adds them to the count in `taken.json`. Each file is
/// renamed before it is read, so that a hook that appends meanwhile begins a new one.
///
/// # Errors
/// A folder or file that cannot be read or written; what was not counted stays for the next time.
pub fn take(spool: &Path) -> io::Result<Taken> {
    let record = spool.join("taken.json");
    let mut taken: Taken =
        fs::read(&record).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    for entry in fs::read_dir(spool)? {
        let path = entry?.path();
        // One that a daemon was taking when it died is taken first, not written over.
        let taking = path.with_extension("taking");
        if path.extension().is_some_and(|e| e == "jsonl") && !taking.exists() {
            fs::rename(&path, taking)?;
        }
    }
    for entry in fs::read_dir(spool)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "taking") {
            let lines = fs::read(&path)?.split(|b| *b == b'\n').filter(|l| !l.is_empty()).count();
            taken.failed_open = taken.failed_open.saturating_add(lines as u64);
            let part = record.with_extension("part");
            fs::write(&part, serde_json::to_vec(&taken)?)?;
            fs::rename(&part, &record)?;
            fs::remove_file(&path)?;
        }
    }
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::take;

    #[test]
    fn counts_each_line_once() -> std::io::Result<()> {
        let dir = tempfile::tempdir()?;
        assert_eq!(take(dir.path())?.failed_open, 0);
        std::fs::write(dir.path().join("failed-open.jsonl"), "{}\n{}\n")?;
        assert_eq!(take(dir.path())?.failed_open, 2);
        std::fs::write(dir.path().join("failed-open.jsonl"), "{}\n")?;
        assert_eq!(take(dir.path())?.failed_open, 3);
        assert_eq!(take(dir.path())?.failed_open, 3);
        Ok(())
    }
}
