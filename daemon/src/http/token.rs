//! The token of telemetry. It stands in Claude Code's settings, so it lets a caller report usage and do nothing else.

use std::fmt;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

/// How long a token is, in bytes before it is written in hex.
const BYTES: usize = 32;

/// A token that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Something else stands in its place.
    #[error(
        "{0} must be a file of this user that is closed to others and holds a token: remove it, and install again"
    )]
    NotOurs(PathBuf),
    /// The system has no random bytes to give.
    #[error("the system gives no random bytes: {0}")]
    Random(String),
    /// Anything else.
    #[error("cannot read or write {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
}

/// A token. It is never shown: not by `Debug`, not in a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Where the token of telemetry stands.
pub fn path(state: &Path) -> PathBuf {
    state.join("telemetry-token")
}

impl Token {
    /// Reads the token of telemetry, or makes one where there is none. Daemon and `install` may both come first.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn open(state: &Path) -> Result<Self, TokenError> {
        let path = path(state);
        match Self::read(state) {
            Err(TokenError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
            read => return read,
        }
        let token = Self::make()?;
        let io = |source| TokenError::Io { path: path.clone(), source };
        // Beside it first: half of one must not be found after a crash.
        let part = path.with_extension(format!("{}.part", std::process::id()));
        match fs::remove_file(&part) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(io(e)),
            _ => {}
        }
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part).map_err(io)?;
        file.write_all(token.0.as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
        let linked = fs::hard_link(&part, &path);
        let _ = fs::remove_file(&part);
        match linked {
            // Another one was made meanwhile: that one holds.
            Err(e) if e.kind() == ErrorKind::AlreadyExists => Self::read(state),
            linked => linked.map(|()| token).map_err(io),
        }
    }

    /// Reads the token of telemetry.
    ///
    /// # Errors
    /// [`TokenError`]; of kind `NotFound` where the daemon has not made one yet.
    pub fn read(state: &Path) -> Result<Self, TokenError> {
        let path = path(state);
        let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits().cast_signed();
        let opened = fs::OpenOptions::new().read(true).custom_flags(flags).open(&path);
        let opened = opened.and_then(|file| Ok((file.metadata()?, file)));
        let (meta, file) = opened.map_err(|source| TokenError::Io { path: path.clone(), source })?;
        let ours = meta.is_file() && meta.uid() == rustix::process::getuid().as_raw();
        let closed_to_others = meta.mode().trailing_zeros() >= 6;
        let mut text = String::new();
        // One byte more than it has, so that a longer file is seen.
        let read = file.take(2 * BYTES as u64 + 1).read_to_string(&mut text);
        if ours && closed_to_others && read.is_ok() && is_token(&text) {
            Ok(Self(text))
        } else {
            Err(TokenError::NotOurs(path))
        }
    }

    fn make() -> Result<Self, TokenError> {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes).map_err(|e| TokenError::Random(e.to_string()))?;
        let mut text = String::with_capacity(2 * BYTES);
        for byte in bytes {
            let _ = write!(text, "{byte:02x}");
        }
        Ok(Self(text))
    }

    /// What stands for a token where its settings are shown.
    pub fn hidden() -> Self {
        Self("…".to_owned())
    }

    /// Whether a text has the form of a token.
    pub fn has_the_form_of_one(text: &str) -> bool {
        is_token(text)
    }

    /// The token itself, for the settings of a client.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether a request shows this token.
    pub fn is_shown(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return false };
        let Some((scheme, shown)) = value.to_str().ok().and_then(|v| v.split_once(' ')) else { return false };
        scheme.eq_ignore_ascii_case("bearer") && self.is(shown.trim_start_matches(' '))
    }

    /// In constant time: of both the BLAKE3 hash is taken, whose `==` looks at all 32 bytes, so that neither the length nor
    /// a beginning that is right shows in the time it takes.
    fn is(&self, shown: &str) -> bool {
        blake3::hash(shown.as_bytes()) == blake3::hash(self.0.as_bytes())
    }
}

fn is_token(text: &str) -> bool {
    text.len() == 2 * BYTES && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::{Token, TokenError, path};
    use axum::http::{HeaderMap, HeaderValue};
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    type Done = Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn it_is_made_once_and_for_this_user_alone() -> Done {
        let dir = tempfile::tempdir()?;
        assert!(matches!(Token::read(dir.path()), Err(TokenError::Io { .. })));
        let made = Token::open(dir.path())?;
        assert_eq!(fs::metadata(path(dir.path()))?.permissions().mode() & 0o777, 0o600);
        assert_eq!((Token::open(dir.path())?, Token::read(dir.path())?), (made.clone(), made.clone()));
        assert_ne!(made, Token::open(tempfile::tempdir()?.path())?);
        assert_eq!(format!("{made:?}"), "Token(…)");
        Ok(())
    }

    #[test]
    fn what_is_no_token_of_ours_is_left_where_it_is() -> Done {
        let dir = tempfile::tempdir()?;
        let made = Token::open(dir.path())?.reveal().to_owned();
        let file = path(dir.path());
        let long = format!("{made}0");
        for (text, mode) in [(made.as_str(), 0o644), ("", 0o600), ("short", 0o600), (long.as_str(), 0o600)] {
            fs::write(&file, text)?;
            fs::set_permissions(&file, fs::Permissions::from_mode(mode))?;
            assert!(matches!(Token::open(dir.path()), Err(TokenError::NotOurs(_))), "{text} {mode:o}");
            assert_eq!(fs::read_to_string(&file)?, text);
        }
        fs::remove_file(&file)?;
        fs::write(dir.path().join("elsewhere"), &made)?;
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), &file)?;
        assert!(Token::open(dir.path()).is_err(), "a link is not followed");
        Ok(())
    }

    #[test]
    fn only_the_whole_token_in_one_header_opens() -> Done {
        let token = Token::make()?;
        let text = token.reveal();
        let shown = |values: &[String]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("authorization", HeaderValue::from_str(value).expect("a header"));
            }
            token.is_shown(&headers)
        };
        assert!(shown(&[format!("Bearer {text}")]) && shown(&[format!("bearer  {text}")]));
        let (head, upper) = (&text[..63], text.to_uppercase());
        for bad in [
            String::new(),
            text.to_owned(),
            "Bearer".to_owned(),
            "Bearer ".to_owned(),
            format!("Basic {text}"),
            format!("Bearer {head}"),
            format!("Bearer {text}0"),
            format!("Bearer {text} x"),
            format!("Bearer {}", upper.replace(|c: char| c.is_ascii_digit(), "A")),
        ] {
            assert!(!shown(std::slice::from_ref(&bad)), "{bad}");
        }
        assert!(!shown(&[]) && !shown(&[format!("Bearer {text}"), format!("Bearer {text}")]));
        Ok(())
    }
}
