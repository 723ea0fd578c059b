//! Healthy sessions of real people: not one trips. It runs where they are: the folder that `BURSAR_CORPUS` names, else
//! `../shared/corpus` beside the checkout.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use bursar::replay::transcript::Reader;
use bursar::replay::{Replay, Seen};
use bursar_engine::policy::{CircuitPolicy, Profile};
use flate2::read::GzDecoder;

fn sessions(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            found.extend(sessions(&entry));
        } else if entry
            .to_str()
            .is_some_and(|path| path.ends_with(".jsonl.gz") && !path.ends_with("calls.jsonl.gz"))
        {
            found.push(entry);
        }
    }
    found.sort();
    found
}

fn replay(path: &Path, profile: Profile) -> Seen {
    let mut replay = Replay::new(CircuitPolicy { profile, ..CircuitPolicy::default() });
    let mut reader = Reader::default();
    for line in BufReader::new(GzDecoder::new(fs::File::open(path).unwrap())).lines() {
        reader.line(&line.unwrap(), None, &mut |happened| replay.tell(&happened));
    }
    reader.end(&mut |happened| replay.tell(&happened));
    replay.seen().clone()
}

#[test]
fn no_healthy_session_trips() {
    let Some(folder) = support::corpus() else {
        println!("no corpus here: passed over");
        return;
    };
    let all = sessions(&folder);
    assert!(!all.is_empty(), "no session in {}", folder.display());
    let (mut tripped, mut strict, mut calls, mut prompts) = (Vec::new(), 0, 0, 0);
    let mut warned: BTreeMap<_, u64> = BTreeMap::new();
    for path in &all {
        let seen = replay(path, Profile::Evidence);
        (calls, prompts) = (calls + seen.calls, prompts + seen.prompts);
        for (at, detector) in &seen.warned {
            *warned.entry(detector.name()).or_default() += 1;
            println!("warned {detector:?} at {at}: {}", path.display());
        }
        if seen.tripped_at.is_some() {
            tripped.push(format!("{}: {seen:?}", path.display()));
        }
        strict += u64::from(replay(path, Profile::Strict).tripped_at.is_some());
    }
    let (sessions, trips) = (all.len(), tripped.len());
    println!(
        "{sessions} sessions, {prompts} prompts, {calls} calls: {trips} trip under evidence, {strict} under strict"
    );
    println!("warnings under evidence: {warned:?}");
    assert!(tripped.is_empty(), "{}", tripped.join("\n"));
}
