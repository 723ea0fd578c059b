//! At which terminal a process stands, as the system tells: an unlock is bound to it.

use std::fs;

use crate::peer::Peer;
use crate::process;

/// One terminal of one user, in one login of its own: a terminal that is closed and opened again is another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Terminal {
    /// The user.
    pub uid: u32,
    /// The device, as the platform numbers or names it.
    pub device: String,
    /// The session of processes that it controls.
    pub session: String,
    /// When the leader of that session started, in milliseconds since the machine was started: both numbers are used
    /// again. None where it is gone or the system does not tell.
    pub since_ms: Option<u64>,
}

impl Terminal {
    /// Its name, as `tty` says it, where it can be told.
    pub fn name(&self) -> String {
        // Linux: the device number, twelve bits of major between the twenty of minor; 136 and on are pseudo terminals.
        let Ok(number) = self.device.parse::<u32>() else { return self.device.clone() };
        let (major, minor) = ((number >> 8) & 0xfff, (number & 0xff) | ((number >> 12) & 0xfff00));
        match major {
            136..=143 => format!("pts/{}", (major - 136) * 256 + minor),
            4 => format!("tty{minor}"),
            _ => format!("terminal {number}"),
        }
    }
}

/// Where a process stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// Its controlling terminal.
    pub terminal: Terminal,
    /// Whether what a person types there goes to it: its group is the one in the foreground.
    pub in_foreground: bool,
}

/// Where a peer stands; none without a controlling terminal.
pub fn seat(peer: Peer) -> Option<Seat> {
    seat_of(peer.uid, peer.pid?)
}

/// Where a process of that user stands.
pub fn seat_of(uid: u32, pid: u32) -> Option<Seat> {
    let [group, session, device, foreground] = fields(pid)?;
    if matches!(device.as_str(), "0" | "??" | "-" | "") {
        return None;
    }
    let since_ms = session.parse().ok().and_then(process::started_ms);
    Some(Seat { terminal: Terminal { uid, device, session, since_ms }, in_foreground: group == foreground })
}

/// Process group, session, terminal, and the terminal's group in the foreground.
#[cfg(target_os = "linux")]
fn fields(pid: u32) -> Option<[String; 4]> {
    // "pid (name) state ppid pgrp session tty tpgid": the name may hold anything, so read from its last parenthesis.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(2).map(str::to_owned);
    Some([fields.next()?, fields.next()?, fields.next()?, fields.next()?])
}

#[cfg(not(target_os = "linux"))]
fn fields(pid: u32) -> Option<[String; 4]> {
    let out = std::process::Command::new("/bin/ps")
        .args(["-o", "pgid=,sess=,tty=,tpgid=", "-p", &pid.to_string()])
        .output()
        .ok()?;
    let text = String::from_utf8(out.stdout).ok()?;
    let mut fields = text.split_whitespace().map(str::to_owned);
    Some([fields.next()?, fields.next()?, fields.next()?, fields.next()?])
}

#[cfg(test)]
mod tests {
    use super::{Terminal, seat_of};

    #[test]
    fn a_terminal_has_the_name_that_people_know() {
        for (device, name) in [
            ("34816", "pts/0"),
            ("34823", "pts/7"),
            ("35072", "pts/256"),
            ("1025", "tty1"),
            ("ttys003", "ttys003"),
        ] {
            let terminal =
                Terminal { uid: 0, device: device.to_owned(), session: "1".to_owned(), since_ms: None };
            assert_eq!(terminal.name(), name);
        }
    }

    #[test]
    fn a_process_that_is_not_there_stands_nowhere() {
        assert_eq!(seat_of(0, u32::MAX), None);
    }

    #[test]
    fn this_process_stands_where_its_parent_does_or_nowhere() {
        let here = seat_of(0, std::process::id()).map(|s| s.terminal);
        if let Some(terminal) = here {
            assert!(!terminal.device.is_empty() && !terminal.session.is_empty());
        }
    }
}
