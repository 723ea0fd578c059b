//! The house's own rules, kept by reading the house: who may import whom, and how long a file may be.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};

const MAX_LINES: usize = 400;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every file below a folder with that ending, without what is built or fetched.
fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !["target", "node_modules", ".git", "data", "corpus"].contains(&name.as_str()) {
            found.extend(files(&path, ending));
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The lines of code of a file with any of these words in them: comments left out.
fn lines_with(path: &Path, words: &[&str]) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let code = text.lines().enumerate().filter(|(_, l)| !l.trim_start().starts_with("//"));
    code.filter(|(_, l)| words.iter().any(|w| l.contains(w)))
        .map(|(i, l)| format!("{}:{}: {}", path.display(), i + 1, l.trim()))
        .collect()
}

fn assert_none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

#[test]
fn the_engine_is_pure() {
    let words = [
        "std::fs",
        "std::env",
        "std::net",
        "std::thread",
        "std::process",
        "SystemTime",
        "Instant::now",
        "tokio",
        "rand::",
        "println!",
        "static mut",
    ];
    let src = root().join("daemon/engine/src");
    let found: Vec<_> = files(&src, ".rs").iter().flat_map(|f| lines_with(f, &words)).collect();
    assert_none("the engine takes time, disk and chance as arguments", &found);
}

#[test]
fn the_engine_depends_on_four_crates() {
    let manifest = fs::read_to_string(root().join("daemon/engine/Cargo.toml")).unwrap();
    let dependencies = manifest.split("[dependencies]").nth(1).unwrap().split('[').next().unwrap();
    let names: Vec<_> = dependencies
        .lines()
        .filter_map(|l| l.split(['.', ' ', '=']).next())
        .filter(|n| !n.is_empty())
        .collect();
    assert_eq!(names, ["serde", "serde_json", "thiserror", "xxhash-rust"]);
}

#[test]
fn each_of_these_crates_is_named_in_one_place() {
    let fences: [(&str, &[&str], &str); 3] = [
        ("bincode::", &["protocol/src/codec.rs"], "the wire's codec"),
        ("rusqlite", &["daemon/src/store/"], "the local store"),
        (
            "SystemTime::now",
            &["daemon/src/clock.rs", "hook-client/src/spool.rs", "daemon/src/cli/", "tests/"],
            "the clock",
        ),
    ];
    for (word, allowed, what) in fences {
        let found: Vec<_> = files(&root(), ".rs")
            .iter()
            .filter(|f| {
                let relative = f.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
                !allowed.iter().any(|a| relative.starts_with(a)) && !relative.ends_with("tests/tidy.rs")
            })
            .flat_map(|f| lines_with(f, &[word]))
            .collect();
        assert_none(what, &found);
    }
}

#[test]
fn commands_reach_the_daemon_through_its_socket_only() {
    let src = root().join("daemon/src/cli");
    let words =
        ["crate::host", "crate::store", "crate::ipc", "crate::tailer", "crate::markers", "crate::serve"];
    let found: Vec<_> = files(&src, ".rs").iter().flat_map(|f| lines_with(f, &words)).collect();
    assert_none("a command is a client", &found);
}

#[test]
fn the_hook_client_knows_the_protocol_only() {
    let words = ["bursar_engine", "tokio", "clap", "bursar::"];
    let src = root().join("hook-client/src");
    let found: Vec<_> = files(&src, ".rs").iter().flat_map(|f| lines_with(f, &words)).collect();
    assert_none("the hook client is small", &found);
    let words = ["bursar_engine", "bursar::", "tokio"];
    let found: Vec<_> =
        files(&root().join("protocol/src"), ".rs").iter().flat_map(|f| lines_with(f, &words)).collect();
    assert_none("the protocol knows nobody", &found);
}

#[test]
fn files_can_be_held_in_the_head() {
    let long: Vec<_> = [".rs", ".sh", ".py", ".ts", ".tsx"]
        .iter()
        .flat_map(|ending| files(&root(), ending))
        .map(|f| (fs::read_to_string(&f).unwrap().lines().count(), f))
        .filter(|(n, _)| *n > MAX_LINES)
        .map(|(n, f)| format!("{}: {n} lines", f.display()))
        .collect();
    assert_none("over 400 lines there are two ideas in a file", &long);
}

#[test]
fn nothing_is_left_unfinished() {
    let words = ["todo!(", "unimplemented!(", "FIXME", "#[ignore"];
    let found: Vec<_> = files(&root(), ".rs")
        .iter()
        .filter(|f| !f.ends_with("tests/tidy.rs"))
        .flat_map(|f| lines_with(f, &words))
        .collect();
    assert_none("unfinished", &found);
}
