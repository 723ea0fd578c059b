//! Replays the fuzz targets' corpora without a fuzzer, and what lies next to each input: cut short, and with one byte
//! changed. What a fuzzer found stays in the corpus as a regression.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

#[allow(unreachable_pub, reason = "a crate of its own for the fuzzer")]
#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use targets::{TARGETS, Target};

/// The most neighbours of one input that are tried, of each sort.
const MAX_NEIGHBOURS: usize = 96;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// Runs a target so that a failure names its input.
fn run(target: Target, bytes: &[u8], what: &str) {
    let held = catch_unwind(AssertUnwindSafe(|| target(bytes))).is_ok();
    assert!(held, "{what}: {:?}", String::from_utf8_lossy(bytes));
}

#[test]
fn every_corpus_and_what_lies_next_to_it_holds() {
    for (name, target) in TARGETS {
        let corpus = entries(&fuzz().join("corpus").join(name));
        assert!(!corpus.is_empty(), "{name} has no corpus");
        for path in corpus {
            let bytes = fs::read(&path).unwrap();
            let what = path.strip_prefix(fuzz()).unwrap().display().to_string();
            run(target, &bytes, &what);
            let step = bytes.len().div_ceil(MAX_NEIGHBOURS).max(1);
            for at in (0..bytes.len()).step_by(step) {
                run(target, &bytes[..at], &format!("{what}, the first {at} bytes"));
                let mut changed = bytes.clone();
                changed[at] ^= [0xFF, 0x20, 0x01][at % 3];
                run(target, &changed, &format!("{what}, another byte at {at}"));
            }
        }
    }
}

#[test]
fn every_target_is_built_by_the_fuzzer_and_small() {
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    let corpora: Vec<String> = names(&entries(&fuzz().join("corpus")));
    let mut known: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    known.sort_unstable();
    assert_eq!(corpora, known, "a corpus for each target");
    for name in known {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
        let source = fs::read_to_string(fuzz().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(source.contains(&format!("bursar_fuzz::{name}(data)")), "{name}");
        let corpus = entries(&fuzz().join("corpus").join(name));
        let large = corpus.iter().find(|path| fs::metadata(path).unwrap().len() > 4_096);
        assert_eq!(large, None, "inputs in the repository are tiny");
    }
}

fn names(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
}
