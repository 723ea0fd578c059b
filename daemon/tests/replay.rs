//! `bursar replay`, run as a command.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

const RECORDINGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/recordings");
const SCENARIOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/loop-scenarios.jsonl");

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join("history").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    fn replay(&self, args: &[&str]) -> Output {
        let home = self.dir.path().join("home");
        let mut command = Command::new(env!("CARGO_BIN_EXE_bursar"));
        command.env_clear().env("HOME", &home).env("BURSAR_HOME", home.join("b")).arg("replay").args(args);
        let output = command.output().unwrap();
        assert!(!home.exists(), "a replay writes nothing");
        output
    }

    fn objects(&self, args: &[&str]) -> Vec<Value> {
        let output = self.replay(&[&["--json"], args].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn pack(from: &Path, to: &Path) {
    let mut packed = GzEncoder::new(fs::File::create(to).unwrap(), Compression::fast());
    packed.write_all(&fs::read(from).unwrap()).unwrap();
    packed.finish().unwrap();
}

#[test]
fn a_scenario_is_an_object_a_line() {
    let all = Place::new().objects(&[SCENARIOS]);
    assert_eq!(all.len(), 68);
    assert_eq!(
        all[1],
        json!({"name": "gemini_stays_tripped_on_sixth", "tripped": true, "at_call": 5, "warned_at": 3,
            "detector": "repeated_call", "reopened_at": null, "closed_at": null})
    );
    let off = Place::new().objects(&["--profile", "off", SCENARIOS]);
    // A scenario's own settings go first.
    assert!(off.iter().filter(|one| one["tripped"] == true).count() <= 1, "{off:?}");
}

#[test]
fn a_session_is_told_once_with_its_subagents_packed_or_not() {
    let place = Place::new();
    let recording = Path::new(RECORDINGS).join("failures-and-foreground-subagent");
    let agent = "agent-a6a552f53452c60ab.jsonl";
    fs::copy(recording.join("transcript.jsonl"), place.path("one/s1.jsonl")).unwrap();
    fs::copy(recording.join("subagents").join(agent), place.path(&format!("one/s1/subagents/{agent}")))
        .unwrap();
    fs::write(place.path("one/notes.jsonl"), "{\"a\": 1}\n").unwrap();
    pack(&recording.join("transcript.jsonl"), &place.path("two/s1.jsonl.gz"));
    pack(&recording.join("subagents").join(agent), &place.path(&format!("two/s1/subagents/{agent}.gz")));
    let (one, two) = (place.path("one/s1.jsonl"), place.path("two"));
    let plain = place.objects(&[one.parent().unwrap().to_str().unwrap()]);
    assert_eq!(plain.len(), 1);
    assert_eq!((&plain[0]["session"], &plain[0]["calls"]), (&json!("s1"), &json!(8)));
    assert_eq!((&plain[0]["prompts"], &plain[0]["tripped"]), (&json!(1), &json!(false)));
    assert_eq!(place.objects(&[two.to_str().unwrap()]), plain, "packed");
    assert_eq!(place.objects(&[one.to_str().unwrap()]), plain, "named itself");
    assert_eq!(place.objects(&[one.to_str().unwrap(), two.to_str().unwrap()]).len(), 2);
}

#[test]
fn a_limit_shows_where_it_would_have_held_and_what_a_copy_spent_is_its_own() {
    let place = Place::new();
    let recording = Path::new(RECORDINGS).join("identical-calls/transcript.jsonl");
    let [one] = &place.objects(&["--budget", "1k", recording.to_str().unwrap()])[..] else { panic!() };
    assert_eq!(
        (&one["tripped"], &one["at_call"], &one["detector"]),
        (&json!(true), &json!(5), &json!("repeated_call"))
    );
    assert_eq!(one["why"], "5 identical calls of Bash in a row, with the same outcome");
    let budget = &one["budget"];
    assert_eq!((&budget["max_tokens"], &budget["tokens_used"]), (&json!(1_000), &json!(3_033)));
    assert_eq!((&budget["paused_at_call"], &budget["tokens_when_paused"]), (&json!(3), &json!(1_011)));
    let said = text(&place.replay(&["--budget", "1k", recording.to_str().unwrap()]).stdout);
    assert!(said.contains("With a limit of 1k a session: 1 held until somebody says yes"), "{said}");
    // A fork counts from its parent's total on.
    let fork = "compact-clear-fork-resume/sessions/c9314e6c-4af9-4fb8-893d-dbb8dfc6eb78.jsonl";
    let [fork] = &place.objects(&["--budget", "1k", Path::new(RECORDINGS).join(fork).to_str().unwrap()])[..]
    else {
        panic!()
    };
    assert!(fork["budget"]["tokens_used"].as_u64().unwrap() < 2_000, "{fork}");
}

#[test]
fn what_cannot_be_told_is_said_and_the_rest_is_told() {
    let place = Place::new();
    let missing = place.replay(&["/nothing/here.jsonl"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(text(&missing.stderr).contains("/nothing/here.jsonl"));
    let other = place.path("other.jsonl");
    fs::write(&other, "hello\n").unwrap();
    let unknown = place.replay(&[other.to_str().unwrap()]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("neither a transcript nor a file of scenarios"));
    let broken = place.path("scenarios.jsonl");
    let good = fs::read_to_string(SCENARIOS).unwrap().lines().next().unwrap().to_owned();
    fs::write(&broken, format!("{good}\n{{\"name\": 3}}\n{good}\n")).unwrap();
    let some = place.replay(&["--json", broken.to_str().unwrap()]);
    assert_eq!((some.status.code(), text(&some.stdout).lines().count()), (Some(1), 2));
    assert!(text(&some.stderr).contains("line 2"), "{}", text(&some.stderr));
    assert_eq!(place.replay(&["--budget", "0", SCENARIOS]).status.code(), Some(2));
    assert_eq!(place.replay(&[]).status.code(), Some(2));
}
