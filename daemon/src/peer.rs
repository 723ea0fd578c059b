//! Who is at the other end of a connection, and whether it descends from an agent. A speed bump, not a wall: a
//! process of the same user can always get round it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::process;

/// A process at the other end.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Its user.
    pub uid: u32,
    /// Its process, where the platform tells.
    pub pid: Option<u32>,
    /// When it was accepted, in milliseconds since the machine was started.
    pub accepted_ms: u64,
}

/// How many ancestors are looked at.
const MAX_ANCESTORS: usize = 64;

/// Why a peer counts as an agent's, if it does: it descends from a served client, or its environment says that it
/// stands in an agent's shell.
pub fn agents_hand(peer: Peer, served_clients: &BTreeSet<u32>) -> Option<&'static str> {
    let pid = peer.pid?;
    let is_gone = || cfg!(target_os = "linux") && !Path::new(&format!("/proc/{pid}")).exists();
    if is_gone() || process::is_another(pid, peer.accepted_ms) {
        return Some("the caller is gone already, and who it was cannot be told");
    }
    if ancestors(pid).any(|p| served_clients.contains(&p)) {
        return Some("the caller descends from a Claude Code session that is served here");
    }
    let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let in_agent_shell = environ.split(|b| *b == 0).any(|var| var.starts_with(b"CLAUDECODE="));
    in_agent_shell.then_some("the caller runs in an agent's shell (CLAUDECODE is set)")
}

/// Whether a process can be the client whose hook `peer` is: one of its ancestors, and not the first process of all.
pub fn is_client_of(peer: Peer, client: u32) -> bool {
    client > 1 && peer.pid.is_some_and(|hook| ancestors(hook).skip(1).any(|pid| pid == client))
}

/// A process and its ancestors, nearest first.
pub fn ancestors(pid: u32) -> impl Iterator<Item = u32> {
    std::iter::successors(Some(pid), |pid| parent(*pid)).take(MAX_ANCESTORS)
}

#[cfg(target_os = "linux")]
fn parent(pid: u32) -> Option<u32> {
    // "pid (name) state ppid": the name may hold anything, so read from its last parenthesis.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let after_name = stat.rsplit_once(')')?.1;
    after_name.split_whitespace().nth(1)?.parse().ok().filter(|p| *p > 0)
}

#[cfg(not(target_os = "linux"))]
fn parent(pid: u32) -> Option<u32> {
    let out =
        std::process::Command::new("/bin/ps").args(["-o", "ppid=", "-p", &pid.to_string()]).output().ok()?;
    String::from_utf8(out.stdout).ok()?.trim().parse().ok().filter(|p| *p > 0)
}

#[cfg(test)]
mod tests {
    use super::{Peer, agents_hand, ancestors, is_client_of};
    use std::collections::BTreeSet;

    #[test]
    fn this_process_descends_from_its_parent() {
        let me = std::process::id();
        let parent = std::os::unix::process::parent_id();
        assert_eq!(ancestors(me).take(2).collect::<Vec<_>>(), [me, parent]);
        let accepted_ms = crate::clock::since_boot_ms();
        let peer = Peer { uid: 0, pid: Some(me), accepted_ms };
        assert!(agents_hand(peer, &BTreeSet::from([parent])).is_some());
        assert_eq!(agents_hand(Peer { pid: None, ..peer }, &BTreeSet::from([parent])), None);
        assert!(is_client_of(peer, parent));
        // One whose number another process has by now is nobody that can be told.
        let earlier = Peer { accepted_ms: 0, ..peer };
        assert_eq!(agents_hand(earlier, &BTreeSet::new()).is_some(), cfg!(target_os = "linux"));
        for nobody in [0, 1, me] {
            assert!(!is_client_of(peer, nobody), "{nobody}");
        }
    }
}
