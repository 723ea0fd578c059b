//! Reading transcripts as they really change: growing, cut short, replaced, hostile.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use bursar::prices::Prices;
use bursar::transcript::{self, Read, ReadError};
use bursar_engine::ids::{AgentKey, SessionId};
use bursar_engine::row::{FileProgress, MAX_ROWS_PER_COMMAND};
use bursar_engine::time::Timestamp;

/// The file of session `s` in a folder of its own, read step by step.
struct Reading {
    _dir: tempfile::TempDir,
    path: PathBuf,
    progress: Option<FileProgress>,
    now: u64,
}

impl Reading {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.jsonl");
        Self { _dir: dir, path, progress: None, now: 1_000_000 }
    }

    fn append(&self, text: &str) {
        let mut file = OpenOptions::new().append(true).create(true).open(&self.path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn try_read(&mut self) -> Result<Option<Read>, ReadError> {
        let session = SessionId::new("s").unwrap();
        let read = transcript::read_new(
            &self.path,
            &session,
            &AgentKey::Main,
            self.progress.as_ref(),
            &Prices::built_in(),
            Timestamp(self.now),
        )?;
        if let Some(read) = &read {
            self.progress = Some(read.progress.clone());
        }
        Ok(read)
    }

    /// The ids of the messages that one step finds.
    fn step(&mut self) -> Vec<String> {
        let rows = self.try_read().unwrap().map(|read| read.rows).unwrap_or_default();
        rows.into_iter().map(|row| row.message_id.unwrap()).collect()
    }

    fn bad_lines(&self) -> u64 {
        self.progress.as_ref().map_or(0, |p| p.bad_lines)
    }
}

fn line(id: &str, output: u64) -> String {
    line_at(id, output, "1970-01-01T00:16:39.000Z")
}

fn line_at(id: &str, output: u64, at: &str) -> String {
    format!(
        r#"{{"type":"assistant","sessionId":"s","timestamp":"{at}","message":{{"id":"{id}","model":"m","usage":{{"output_tokens":{output}}},"content":[{{"type":"tool_use","id":"call-{id}"}}]}}}}"#
    ) + "\n"
}

#[test]
fn a_growing_file_is_read_from_where_the_last_step_ended() {
    let mut file = Reading::new();
    file.append(&line("a", 1));
    assert_eq!(file.step(), ["a"]);
    assert_eq!(file.step(), [""; 0]);
    file.append(&(line("b", 1) + &line("c", 1)));
    assert_eq!(file.step(), ["b", "c"]);
}

#[test]
fn a_partial_last_line_is_left_for_later() {
    let mut file = Reading::new();
    let text = "{\"type\":\"user\"}\n".to_owned() + &line("a", 7);
    let (head, tail) = text.split_at(60);
    file.append(head);
    assert_eq!(file.step(), [""; 0]);
    file.append(tail);
    assert_eq!(file.step(), ["a"]);
    assert_eq!(file.bad_lines(), 0);
}

#[test]
fn a_rewritten_or_replaced_file_is_read_from_its_beginning() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 4] = [
        ("cut to nothing and written anew", |path| fs::write(path, line("x", 1)).unwrap()),
        ("written anew and longer", |path| {
            fs::write(path, line("x", 1) + &line("y", 1) + &line("z", 1)).unwrap();
        }),
        ("another file in its place", |path| {
            let new = path.with_extension("new");
            fs::write(&new, line("x", 1) + &line("y", 1)).unwrap();
            fs::rename(&new, path).unwrap();
        }),
        ("the same length, other words", |path| fs::write(path, line("x", 1) + &line("y", 1)).unwrap()),
    ];
    for (what, change) in changes {
        let mut file = Reading::new();
        file.append(&(line("a", 1) + &line("b", 1)));
        assert_eq!(file.step(), ["a", "b"]);
        change(&file.path);
        assert_eq!(file.step().first().map(String::as_str), Some("x"), "{what}");
    }
}

#[test]
fn a_replaced_file_without_a_whole_line_yet_is_remembered_and_then_read() {
    let mut file = Reading::new();
    file.append(&line("a", 1));
    assert_eq!(file.step(), ["a"]);
    fs::write(&file.path, "{\"type\":").unwrap();
    assert_eq!(file.step(), [""; 0]);
    fs::write(&file.path, line("b", 1)).unwrap();
    assert_eq!(file.step(), ["b"]);
}

#[test]
fn lines_of_one_message_are_one_row_and_the_greatest_output_stands_whole() {
    let mut file = Reading::new();
    file.append(&(line("a", 1) + &line("a", 9) + &line("a", 4) + &line("b", 2)));
    let rows = file.try_read().unwrap().unwrap().rows;
    let outputs: Vec<u64> = rows.iter().map(|row| row.usage.output).collect();
    assert_eq!(outputs, [9, 2]);
}

#[test]
fn a_line_over_the_limit_is_passed_over_and_counted_once() {
    let mut file = Reading::new();
    let long = format!("{{\"type\":\"assistant\",\"message\":\"{}\"}}\n", "x".repeat(9 * 1024 * 1024));
    file.append(&(line("a", 1) + &long + &line("b", 1)));
    let mut found = Vec::new();
    loop {
        let read = file.try_read().unwrap();
        let Some(read) = read else { break };
        found.extend(read.rows.into_iter().filter_map(|r| r.message_id));
    }
    assert_eq!((found, file.bad_lines()), (vec!["a".to_owned(), "b".to_owned()], 1));
}

#[test]
fn a_long_line_that_grows_slowly_is_given_up_and_the_next_is_read() {
    let mut file = Reading::new();
    file.append(&"x".repeat(9 * 1024 * 1024));
    assert_eq!(file.step(), [""; 0]);
    file.append("its end\n");
    file.append(&line("a", 1));
    assert_eq!(file.step(), ["a"]);
    assert_eq!(file.bad_lines(), 1);
}

#[test]
fn hostile_lines_are_counted_and_never_stop_the_rest() {
    let mut file = Reading::new();
    let deep = format!("{{\"type\":\"assistant\",\"message\":{}", "[".repeat(200_000));
    let lines = [
        r#"{"type":"assistant","message":{"id":"n","model":"m","usage":{"output_tokens":-5}}}"#.to_owned(),
        r#"{"type":"assistant","message":{"id":"n","model":"m","usage":{"output_tokens":1e308}}}"#.to_owned(),
        deep,
        "{\"type\":\"assistant\",\"message\":\"\u{0}\"".to_owned(),
    ];
    for text in &lines {
        file.append(&format!("{text}\n"));
    }
    file.append(&line("good", 1));
    assert_eq!(file.step(), ["good"]);
    assert_eq!(file.bad_lines(), lines.len() as u64);
}

#[test]
fn one_step_gives_at_most_what_a_command_carries() {
    let mut file = Reading::new();
    let text: String = (0..MAX_ROWS_PER_COMMAND + 10).map(|n| line(&format!("m{n}"), 1)).collect();
    file.append(&text);
    let first = file.try_read().unwrap().unwrap();
    assert!(first.more && first.rows.len() == MAX_ROWS_PER_COMMAND);
    assert_eq!(file.step().len(), 10);
}

#[test]
fn what_is_no_transcript_of_ours_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("other.jsonl"), line("a", 1)).unwrap();
    symlink(at("other.jsonl"), at("s.jsonl")).unwrap();
    fs::create_dir_all(at("folder/s.jsonl")).unwrap();
    fs::create_dir_all(at("fifo")).unwrap();
    let fifo = at("fifo/s.jsonl");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let session = SessionId::new("s").unwrap();
    for path in [
        at("other.jsonl"),
        at("s.jsonl"),
        at("folder/s.jsonl"),
        fifo,
        PathBuf::from("s.jsonl"),
        PathBuf::from("/dev/zero"),
    ] {
        let read =
            transcript::read_new(&path, &session, &AgentKey::Main, None, &Prices::built_in(), Timestamp(1));
        assert!(matches!(read, Err(ReadError::NotATranscript { .. })), "{}: {read:?}", path.display());
    }
    let missing = transcript::read_new(
        &at("x/s.jsonl"),
        &session,
        &AgentKey::Main,
        None,
        &Prices::built_in(),
        Timestamp(1),
    );
    assert!(matches!(missing, Err(ReadError::Missing { .. })));
}

#[test]
fn a_line_behind_the_offset_is_never_dated_before_the_last_reading_nor_in_the_future() {
    let mut file = Reading::new();
    file.append(&line("a", 1));
    assert_eq!(file.try_read().unwrap().unwrap().rows[0].at, Timestamp(999_000));
    file.now = 2_000_000;
    // The clock was set back, then far ahead.
    file.append(&(line_at("b", 1, "1970-01-01T00:00:01Z") + &line_at("c", 1, "9999-01-01T00:00:00Z")));
    let rows = file.try_read().unwrap().unwrap().rows;
    assert_eq!((rows[0].at, rows[1].at), (Timestamp(1_000_000), Timestamp(2_000_000)));
}

#[test]
fn the_calls_of_a_batch_are_found_in_what_was_read_and_in_what_was_read_before() {
    let mut file = Reading::new();
    file.append(&(line("a", 1) + &line("b", 1)));
    assert_eq!(file.try_read().unwrap().unwrap().tool_use_ids, ["call-a", "call-b"]);
    let (session, offset) = (SessionId::new("s").unwrap(), file.progress.as_ref().unwrap().offset);
    let before = transcript::recent_tool_use_ids(&file.path, &session, &AgentKey::Main, offset).unwrap();
    assert_eq!(before, ["call-a", "call-b"]);
}
