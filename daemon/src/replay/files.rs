//! Where the past is read from: transcripts with those of their subagents, and files of scenarios, packed by gzip or not.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use bursar_engine::time::Timestamp;
use bursar_protocol::hook_input::valid_id;
use flate2::bufread::MultiGzDecoder;
use memchr::memmem;
use serde::Deserialize;
use serde::de::IgnoredAny;
use thiserror::Error;

use crate::transcript::timestamp;

/// Folders in folders are looked through to this depth.
const MAX_DEPTH: usize = 12;

/// The longest line that is read, in bytes; longer ones are passed over. A result of a tool can be of many megabytes.
const MAX_LINE_BYTES: u64 = 64 * 1024 * 1024;

/// In so many lines at the beginning a file must show what it is.
const LOOKED_AT: usize = 50;

/// Why a file could not be used.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// It is not there, or may not be read.
    #[error("{path} cannot be read: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is something else.
    #[error("{0} is neither a transcript nor a file of scenarios")]
    Unknown(PathBuf),
    /// A line of a file of scenarios.
    #[error("{path}, line {line}, is no scenario: {why}")]
    Scenario {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser says.
        why: serde_json::Error,
    },
}

impl ReplayError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |source| Self::Io { path: path.to_owned(), source }
    }
}

/// A session's files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionFiles {
    /// The transcript's name without its ending: the session's id.
    pub name: String,
    /// The main agent's transcript.
    pub main: Option<PathBuf>,
    /// Those of its subagents, by their ids.
    pub agents: BTreeMap<String, PathBuf>,
}

/// Something to tell again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A session.
    Session(SessionFiles),
    /// A file of scenarios.
    Scenarios(PathBuf),
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// In the order of their paths.
    pub sources: Vec<Source>,
    /// Files in folders that are neither transcripts nor scenarios.
    pub passed_over: usize,
}

/// Looks at files, and through folders.
///
/// # Errors
/// A path that cannot be read, and a named file that is something else.
pub fn find(paths: &[PathBuf]) -> Result<Found, ReplayError> {
    let mut sessions: BTreeMap<PathBuf, SessionFiles> = BTreeMap::new();
    let mut scenarios: Vec<PathBuf> = Vec::new();
    let mut passed_over = 0;
    for path in paths {
        let is_folder = std::fs::metadata(path).map_err(ReplayError::io(path))?.is_dir();
        let mut files = Vec::new();
        if is_folder {
            walk(path, 0, &mut files)?;
        } else {
            files.push(path.clone());
            // Those of its subagents stand beside a transcript.
            let beside = key_of(path).join("subagents");
            if beside.is_dir() {
                walk(&beside, 0, &mut files)?;
            }
        }
        files.sort();
        for file in files {
            match kind(&file)? {
                Kind::Scenarios if !scenarios.contains(&file) => scenarios.push(file),
                Kind::Scenarios => {}
                Kind::Transcript => add(&mut sessions, file),
                Kind::Other if file == *path => return Err(ReplayError::Unknown(file)),
                Kind::Other => passed_over += 1,
            }
        }
    }
    let sessions = sessions.into_values().map(Source::Session);
    Ok(Found { sources: scenarios.into_iter().map(Source::Scenarios).chain(sessions).collect(), passed_over })
}

fn add(sessions: &mut BTreeMap<PathBuf, SessionFiles>, file: PathBuf) {
    let agent = stem(&file).strip_prefix("agent-").filter(|id| valid_id(id)).map(str::to_owned);
    let folder = file.ancestors().find(|dir| dir.file_name().is_some_and(|name| name == "subagents"));
    let key = match (&agent, folder.and_then(Path::parent)) {
        (Some(_), Some(session)) => session.to_owned(),
        _ => key_of(&file),
    };
    let name = || key.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let session = sessions
        .entry(key.clone())
        .or_insert_with(|| SessionFiles { name: name(), ..SessionFiles::default() });
    match agent.filter(|_| folder.is_some()) {
        Some(agent) => drop(session.agents.insert(agent, file)),
        None => session.main = Some(file),
    }
}

fn is_transcripts_name(name: &str) -> bool {
    name.strip_suffix(".gz").unwrap_or(name).strip_suffix(".jsonl").is_some()
}

fn stem(file: &Path) -> &str {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let name = name.strip_suffix(".gz").unwrap_or(name);
    name.strip_suffix(".jsonl").unwrap_or(name)
}

/// What a session's files have in common: the transcript without its ending.
fn key_of(file: &Path) -> PathBuf {
    file.with_file_name(stem(file))
}

/// The files of a folder that may be transcripts. Links to folders are not followed.
fn walk(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), ReplayError> {
    for entry in std::fs::read_dir(folder).map_err(ReplayError::io(folder))? {
        let entry = entry.map_err(ReplayError::io(folder))?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(ReplayError::io(folder))?);
        let name = entry.file_name();
        if kind.is_dir() {
            if depth < MAX_DEPTH {
                walk(&path, depth + 1, files)?;
            }
        } else if is_transcripts_name(&name.to_string_lossy()) && path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

enum Kind {
    Transcript,
    Scenarios,
    Other,
}

#[derive(Deserialize)]
struct Shape {
    #[serde(rename = "type")]
    kind: Option<IgnoredAny>,
    name: Option<IgnoredAny>,
    calls: Option<Vec<IgnoredAny>>,
}

fn kind(file: &Path) -> Result<Kind, ReplayError> {
    let mut lines = Lines::open(file)?;
    for _ in 0..LOOKED_AT {
        let Some(line) = lines.next_line()? else { break };
        match serde_json::from_slice::<Shape>(&line) {
            Ok(Shape { name: Some(_), calls: Some(_), .. }) => return Ok(Kind::Scenarios),
            Ok(Shape { kind: Some(_), .. }) => return Ok(Kind::Transcript),
            _ => {}
        }
    }
    Ok(Kind::Other)
}

/// The lines of a file, unpacked where it is packed.
pub struct Lines {
    path: PathBuf,
    from: Box<dyn BufRead>,
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Lines {
    /// Opens a file.
    ///
    /// # Errors
    /// [`ReplayError::Io`].
    pub fn open(path: &Path) -> Result<Self, ReplayError> {
        let mut file = BufReader::new(File::open(path).map_err(ReplayError::io(path))?);
        let is_packed = file.fill_buf().map_err(ReplayError::io(path))?.starts_with(&[0x1f, 0x8b]);
        let from: Box<dyn BufRead> =
            if is_packed { Box::new(BufReader::new(MultiGzDecoder::new(file))) } else { Box::new(file) };
        Ok(Self { path: path.to_owned(), from })
    }

    /// The next line, without its end; none: there is none. One that is too long comes empty.
    ///
    /// # Errors
    /// [`ReplayError::Io`].
    pub fn next_line(&mut self) -> Result<Option<Vec<u8>>, ReplayError> {
        let mut line = Vec::new();
        let read = self.part(&mut line)?;
        if read == 0 {
            return Ok(None);
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if read as u64 == MAX_LINE_BYTES {
            while line.last() != Some(&b'\n') {
                line.clear();
                if self.part(&mut line)? == 0 {
                    break;
                }
            }
            line = Vec::new();
        }
        Ok(Some(line))
    }

    fn part(&mut self, line: &mut Vec<u8>) -> Result<usize, ReplayError> {
        let mut from = (&mut self.from).take(MAX_LINE_BYTES);
        from.read_until(b'\n', line).map_err(ReplayError::io(&self.path))
    }
}

/// A line, and whose it is: the main agent's where it is none.
pub type Theirs = (Option<String>, Vec<u8>);

/// The lines of a session's files in the order of their dates.
#[derive(Debug)]
pub struct SessionLines {
    streams: Vec<Stream>,
}

#[derive(Debug)]
struct Stream {
    agent: Option<String>,
    lines: Lines,
    next: Option<Vec<u8>>,
    at: Timestamp,
}

impl Stream {
    fn step(&mut self, dated: bool) -> Result<(), ReplayError> {
        self.next = self.lines.next_line()?;
        let date = self.next.as_deref().filter(|_| dated).and_then(date);
        self.at = self.at.max(date.unwrap_or_default());
        Ok(())
    }
}

impl SessionLines {
    /// Opens them.
    ///
    /// # Errors
    /// [`ReplayError::Io`].
    pub fn open(files: &SessionFiles) -> Result<Self, ReplayError> {
        let agents = files.agents.iter().map(|(id, path)| (Some(id.clone()), path));
        let all: Vec<_> = files.main.iter().map(|path| (None, path)).chain(agents).collect();
        let dated = all.len() > 1;
        let mut streams = Vec::new();
        for (agent, path) in all {
            let lines = Lines::open(path)?;
            let mut stream = Stream { agent, lines, next: None, at: Timestamp::default() };
            stream.step(dated)?;
            streams.push(stream);
        }
        Ok(Self { streams })
    }

    /// The next line.
    ///
    /// # Errors
    /// [`ReplayError::Io`].
    pub fn next_line(&mut self) -> Result<Option<Theirs>, ReplayError> {
        let dated = self.streams.len() > 1;
        let waiting = self.streams.iter_mut().filter(|stream| stream.next.is_some());
        let Some(stream) = waiting.min_by_key(|stream| stream.at) else { return Ok(None) };
        let Some(line) = stream.next.take() else { return Ok(None) };
        stream.step(dated)?;
        Ok(Some((stream.agent.clone(), line)))
    }
}

/// The date of a line. The client writes it as this key at the outermost level, where agents' texts cannot be: in them
/// quotes are escaped.
fn date(line: &[u8]) -> Option<Timestamp> {
    let key = br#""timestamp":""#;
    let rest = &line[memmem::rfind(line, key)? + key.len()..];
    let text = rest.get(..memchr::memchr(b'"', rest)?)?;
    timestamp(std::str::from_utf8(text).ok()?)
}
