//! The spool: a line for each hook that was let through, and nothing else (DESIGN 6.5).

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use crate::world::{Hook, Said, World, payload};

const MAX_BYTES: u64 = 1024 * 1024;

#[test]
fn lines_are_added_until_the_spool_is_full() {
    let world = World::new();
    let file = world.state().join("spool/failed-open.jsonl");
    world.run(payload("Stop"));
    let line = fs::metadata(&file).unwrap().len();
    for (room, grows) in [(line, true), (line - 1, false), (0, false)] {
        fs::write(&file, vec![b'\n'; usize::try_from(MAX_BYTES - room).unwrap()]).unwrap();
        assert_eq!(world.run(payload("Stop")), Said::nothing());
        let length = fs::metadata(&file).unwrap().len();
        assert_eq!(length, if grows { MAX_BYTES } else { MAX_BYTES - room }, "{room} bytes of room");
    }
}

#[test]
fn it_is_private() {
    let world = World::new();
    world.run(payload("Stop"));
    let mode = |path: &str| fs::metadata(world.state().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("spool"), mode("spool/failed-open.jsonl")), (0o700, 0o600));
}

#[test]
fn it_is_never_written_through_a_link() {
    let (file, folder, untouched) = (World::new(), World::new(), World::new());
    let target = untouched.path("target");
    fs::write(&target, "mine").unwrap();
    fs::create_dir(file.state().join("spool")).unwrap();
    symlink(&target, file.state().join("spool/failed-open.jsonl")).unwrap();
    symlink(untouched.state(), folder.state().join("spool")).unwrap();
    for world in [file, folder] {
        assert_eq!(world.run(payload("PreToolUse")), Said::nothing());
    }
    assert_eq!(fs::read_to_string(target).unwrap(), "mine");
    assert!(!untouched.state().join("failed-open.jsonl").exists());
}

#[test]
fn where_nothing_was_installed_nothing_is_made() {
    let world = World::new();
    fs::remove_dir_all(world.state()).unwrap();
    assert_eq!(world.run(payload("PreToolUse")), Said::nothing());
    assert!(!world.state().exists());
}

#[test]
fn lines_of_hooks_at_the_same_time_stay_whole() {
    let world = World::new();
    let hooks: Vec<Hook> = (0..12).map(|_| Hook::start(world.command(), payload("PreToolUse"))).collect();
    for hook in hooks {
        assert_eq!(hook.end(), Said::nothing());
    }
    assert_eq!(world.spool().len(), 12);
}
