//! Folders that are this user's alone.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// A folder that cannot hold what is private.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It is not ours alone.
    #[error(
        "{path} must be a folder of this user that is closed to others: `chmod 700` it, or choose another one"
    )]
    NotPrivate {
        /// The folder.
        path: PathBuf,
    },
    /// Anything else.
    #[error("cannot make {path}: {source}")]
    Io {
        /// The folder.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
}

/// Makes a folder with mode 0700 whatever the umask, or checks that an existing one is ours alone.
///
/// # Errors
/// [`FolderError`].
pub fn private_folder(path: &Path) -> Result<(), FolderError> {
    let io = |source| FolderError::Io { path: path.to_owned(), source };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(io)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(io),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            let meta = fs::symlink_metadata(path).map_err(io)?;
            let ours = meta.is_dir() && meta.uid() == rustix::process::getuid().as_raw();
            let closed_to_others = meta.mode().trailing_zeros() >= 6;
            if ours && closed_to_others {
                return Ok(());
            }
            // Made for us a moment ago, under a usual umask: nothing in it can have been seen.
            if ours && fs::read_dir(path).map_err(io)?.next().is_none() {
                return fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(io);
            }
            Err(FolderError::NotPrivate { path: path.to_owned() })
        }
        Err(e) => Err(io(e)),
    }
}

#[cfg(test)]
mod tests {
    use super::{FolderError, private_folder};
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn only_a_folder_of_our_own_that_is_closed_to_others_will_do() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let at = |name: &str| dir.path().join(name);
        let mode = |name: &str| Ok::<_, std::io::Error>(fs::metadata(at(name))?.permissions().mode() & 0o777);
        let open = fs::Permissions::from_mode(0o755);
        private_folder(&at("deep/new"))?;
        assert_eq!(mode("deep/new")?, 0o700);
        fs::create_dir(at("empty"))?;
        fs::set_permissions(at("empty"), open.clone())?;
        private_folder(&at("empty"))?;
        assert_eq!(mode("empty")?, 0o700);
        fs::write(at("empty/something"), "")?;
        fs::set_permissions(at("empty"), open)?;
        fs::write(at("file"), "")?;
        std::os::unix::fs::symlink(at("deep/new"), at("link"))?;
        for name in ["empty", "file", "link"] {
            assert!(matches!(private_folder(&at(name)), Err(FolderError::NotPrivate { .. })), "{name}");
        }
        assert_eq!(mode("empty")?, 0o755, "what may have been seen is left to its owner");
        Ok(())
    }
}
