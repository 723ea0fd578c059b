//! Asking at the terminal itself, unseen: never on standard input, which may be anybody's.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;

use bursar_protocol::secret::Secret;
use rustix::process::getpgrp;
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcsetattr,
};

use super::output::Failure;

/// Ctrl-C, which ends a line while signals are off: so the terminal is always put back.
const INTERRUPT: u8 = 3;

/// Whether a person can be asked: this process has the terminal, and one sees what it prints.
pub(super) fn can_ask() -> bool {
    (io::stdout().is_terminal() || io::stderr().is_terminal()) && open().is_ok()
}

fn open() -> io::Result<File> {
    let no_control = rustix::fs::OFlags::NOCTTY.bits().cast_signed();
    let tty = OpenOptions::new().read(true).write(true).custom_flags(no_control).open("/dev/tty")?;
    // In the background it would be stopped at its first word.
    if tcgetpgrp(&tty)? == getpgrp() { Ok(tty) } else { Err(io::ErrorKind::NotConnected.into()) }
}

/// Asks for a passphrase.
///
/// # Errors
/// No terminal, or the person went away.
pub(super) fn ask(prompt: &str) -> Result<Secret, Failure> {
    let none = |e: io::Error| {
        Failure::refused(
            "no_terminal",
            &format!("Refused: the passphrase is typed at a terminal, and there is none here ({e})."),
            "Run it in a terminal of your own.",
        )
    };
    let line = read(&mut open().map_err(none)?, prompt).map_err(none)?;
    let Some(line) = line else {
        return Err(Failure::refused("interrupted", "Nothing was done.", ""));
    };
    String::from_utf8(line)
        .map(Secret::new)
        .map_err(|_| Failure::refused("invalid", "The passphrase must be text (UTF-8).", "Nothing was done."))
}

/// A line, without its end; none where it was interrupted.
fn read(tty: &mut File, prompt: &str) -> io::Result<Option<Vec<u8>>> {
    let line = {
        // First: what was typed before is thrown away, so that a fast hand loses nothing after the prompt.
        let unseen = Unseen::begin(tty)?;
        unseen.tty.write_all(prompt.as_bytes())?;
        let mut line = Vec::new();
        let mut byte = [0; 1];
        loop {
            match unseen.tty.read(&mut byte) {
                Ok(0) => break None,
                Ok(_) if byte[0] == INTERRUPT => break None,
                Ok(_) if byte[0] == b'\n' => break Some(line),
                Ok(_) => line.push(byte[0]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    };
    tty.write_all(b"\n")?;
    Ok(line)
}

/// A terminal that shows nothing of what is typed, until dropped.
struct Unseen<'a> {
    tty: &'a mut File,
    before: Termios,
}

impl<'a> Unseen<'a> {
    fn begin(tty: &'a mut File) -> io::Result<Self> {
        let before = tcgetattr(&*tty)?;
        let mut unseen = before.clone();
        unseen.local_modes -= LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ISIG;
        unseen.local_modes |= LocalModes::ICANON;
        unseen.special_codes[SpecialCodeIndex::VEOL] = INTERRUPT;
        tcsetattr(&*tty, OptionalActions::Flush, &unseen)?;
        Ok(Self { tty, before })
    }
}

impl Drop for Unseen<'_> {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing put back.
        let _ = tcsetattr(&*self.tty, OptionalActions::Drain, &self.before);
    }
}
