//! Files that `install` writes: whole or not at all, with their mode kept, never through a link by surprise.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// The file itself where a path is a link to it: people keep their settings elsewhere and link them.
pub(super) fn target(path: &Path) -> PathBuf {
    let whole = path.canonicalize();
    // Not there yet: its folder may still be reached through a link, and must have one name now and later.
    whole.unwrap_or_else(|_| match (path.parent().map(Path::canonicalize), path.file_name()) {
        (Some(Ok(folder)), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    })
}

/// A file's text; none where it is not there.
pub(super) fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(named(path, &e)),
    }
}

/// Writes a file whole, keeping its mode.
pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
    replace(path, text.as_bytes(), mode(path).unwrap_or(0o600))
}

/// Writes a file whole that only this user reads.
pub(super) fn write_private(path: &Path, text: &str) -> io::Result<()> {
    replace(path, text.as_bytes(), 0o600)
}

/// A file's mode; none where it is not there.
pub(super) fn mode(path: &Path) -> Option<u32> {
    fs::metadata(path).ok().map(|meta| meta.permissions().mode() & 0o777)
}

/// Sets a file's mode.
pub(super) fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(|e| named(path, &e))
}

/// Keeps what stood there before the first installation, beside it.
pub(super) fn back_up(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".bursar-backup");
    let backup = PathBuf::from(name);
    if backup.exists() {
        return Ok(());
    }
    replace(&backup, text.as_bytes(), mode(path).unwrap_or(0o600))
}

/// Copies a program to its fixed place; hooks that run it now keep the old one.
pub(super) fn copy_program(from: &Path, to: &Path) -> io::Result<()> {
    let bytes = fs::read(from).map_err(|e| named(from, &e))?;
    if fs::read(to).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(|e| named(folder, &e))?;
        fs::set_permissions(folder, Permissions::from_mode(0o700)).map_err(|e| named(folder, &e))?;
    }
    replace(to, &bytes, 0o700)
}

/// Removes a file, if it is there.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(named(path, &e)),
        _ => Ok(()),
    }
}

/// Removes every marker.
pub(super) fn remove_markers(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|e| named(folder, &e))?,
    };
    for entry in entries {
        remove(&entry?.path())?;
    }
    Ok(())
}

/// Sets one setting in the user's configuration file, leaving every other line as it is.
pub(super) fn set_in_config(path: &Path, key: &str, value: &str) -> io::Result<()> {
    let text = read(path)?.unwrap_or_default();
    let line = format!("{key} = \"{value}\"");
    let is_key = |l: &&str| l.split('=').next().is_some_and(|name| name.trim() == key);
    let new = if text.lines().any(|l| is_key(&l)) {
        let lines: Vec<&str> = text.lines().map(|l| if is_key(&l) { line.as_str() } else { l }).collect();
        lines.join("\n") + "\n"
    } else {
        // Before any table: a key below a table's head would belong to it.
        format!("{line}\n{text}")
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|e| named(folder, &e))?;
    }
    write(path, &new)
}

fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|e| named(folder, &e))?;
    }
    let mut part = path.as_os_str().to_owned();
    part.push(format!(".{}.part", std::process::id()));
    let part = PathBuf::from(part);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&part)?;
        file.write_all(bytes)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&part, path)
    })();
    written.map_err(|e| {
        let _ = fs::remove_file(&part);
        named(path, &e)
    })
}

fn named(path: &Path, e: &io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::{copy_program, set_in_config, write};
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_setting_is_set_among_others() -> std::io::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("new/config.toml");
        set_in_config(&path, "BURSAR_MODE", "observe")?;
        assert_eq!(std::fs::read_to_string(&path)?, "BURSAR_MODE = \"observe\"\n");
        std::fs::write(&path, "# mine\nBURSAR_MODE = \"enforce\"\n[T]\nx = 1\n")?;
        set_in_config(&path, "BURSAR_MODE", "observe")?;
        assert_eq!(std::fs::read_to_string(&path)?, "# mine\nBURSAR_MODE = \"observe\"\n[T]\nx = 1\n");
        Ok(())
    }

    #[test]
    fn a_files_mode_is_kept_and_a_programs_is_private() -> std::io::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("settings.json");
        std::fs::write(&path, "{}")?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640))?;
        write(&path, "{ }")?;
        assert_eq!(std::fs::metadata(&path)?.permissions().mode() & 0o777, 0o640);
        let program = dir.path().join("bin/x");
        copy_program(&path, &program)?;
        assert_eq!(std::fs::metadata(&program)?.permissions().mode() & 0o777, 0o700);
        Ok(())
    }
}
