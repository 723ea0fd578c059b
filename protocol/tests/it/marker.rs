//! The marker's file (DESIGN 6.6): what it names, and that nothing unreadable is an open door.

use std::collections::BTreeSet;
use std::path::Path;

use bursar_protocol::marker::{self, Marker};
use proptest::prelude::*;

fn marker(session: bool, agents: &[&str]) -> Marker {
    Marker { session, agents: agents.iter().map(|a| (*a).to_owned()).collect() }
}

#[test]
fn what_is_written_is_what_is_read() {
    for (text, wanted) in [
        ("bursar-marker 1\nsession\n", marker(true, &[])),
        ("bursar-marker 1\nagent a1\n", marker(false, &["a1"])),
        ("bursar-marker 1\nsession\nagent a1\nagent b2\n", marker(true, &["a1", "b2"])),
    ] {
        assert_eq!(Marker::from_text(text), wanted);
        assert_eq!(wanted.to_text(), text);
    }
}

#[test]
fn what_cannot_be_read_shuts_the_whole_session() {
    for text in [
        "",
        "\n",
        "bursar-marker 1",
        "bursar-marker 1\n",
        "bursar-marker 2\nagent a1\n",
        "agent a1\n",
        "bursar-marker 1\nagent a1\nsess",
        "bursar-marker 1\nagent a1\n\n",
        "bursar-marker 1\nagents a1\n",
        "\u{0}\u{0}\u{0}",
    ] {
        assert!(Marker::from_text(text).names(None), "{text:?}");
    }
}

#[test]
fn a_marker_names_its_agents_and_no_others() {
    let agents = marker(false, &["a1", "b2"]);
    assert!(agents.names(Some("a1")) && agents.names(Some("b2")));
    assert!(!agents.names(None) && !agents.names(Some("a")) && !agents.names(Some("")));
    let session = marker(true, &[]);
    assert!(session.names(None) && session.names(Some("anybody")));
    assert!(marker(false, &[]).is_empty() && !agents.is_empty() && !session.is_empty());
}

#[test]
fn each_session_has_its_own_file_whatever_its_id() {
    let path = |id: &str| marker::path(Path::new("/state"), id);
    // Frozen: the daemon writes it and an older hook client looks there.
    assert_eq!(path("s1"), Path::new("/state/paused/a240618b9e4162f59a275e3f454930d1"));
    let ids = ["s1", "s2", "../../etc/passwd", "a/b", ".", "..", "", &"x".repeat(9_000)];
    let paths: BTreeSet<_> = ids.iter().map(|id| path(id)).collect();
    assert_eq!(paths.len(), ids.len());
    assert!(paths.iter().all(|p| p.parent() == Some(Path::new("/state/paused"))));
}

proptest! {
    #[test]
    fn markers_survive_their_file(session: bool, agents in prop::collection::btree_set("[A-Za-z0-9_.:-]{1,40}", 0..6)) {
        let marker = Marker { session, agents };
        let read = Marker::from_text(&marker.to_text());
        if marker.is_empty() {
            prop_assert!(read.session);
        } else {
            prop_assert_eq!(read, marker);
        }
    }

    #[test]
    fn no_text_reads_as_nobody(text in any::<String>(), first_line: bool) {
        let text = if first_line { format!("bursar-marker 1\n{text}") } else { text };
        prop_assert!(!Marker::from_text(&text).is_empty());
    }
}
