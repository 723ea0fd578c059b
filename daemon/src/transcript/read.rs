//! Reading what is new: from the last offset to the last newline, in bounded memory and bounded steps.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::ops::RangeInclusive;
use std::path::Path;

use bursar_engine::ids::{AgentKey, SessionId};
use bursar_engine::row::{FileProgress, MAX_ROWS_PER_COMMAND, Sighting};
use bursar_engine::run::ByModel;
use bursar_engine::time::Timestamp;
use xxhash_rust::xxh3::xxh3_64;

use super::file::{Opened, ReadError, open};
use super::parse::{Line, parse};
use crate::prices::Prices;

/// A longer line is passed over and counted (THREATS T11).
const MAX_LINE_BYTES: usize = 8 * 1024 * 1024;

/// What is read at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// What is read in one step at the most, so that a hook that waits for it is not kept.
const STEP_BYTES: u64 = 16 * 1024 * 1024;

/// How much before the offset tells a rewritten file (DESIGN 3).
const TAIL_BYTES: u64 = 4 * 1024;

/// How far back the calls of earlier messages are looked for.
const LOOK_BACK_BYTES: u64 = 64 * 1024;

/// What one step read.
#[derive(Debug)]
pub struct Read {
    /// How far the file has been read now.
    pub progress: FileProgress,
    /// Requests, in the order of the file; lines of one message that stand together are folded into one.
    pub rows: Vec<Sighting>,
    /// What the client said last of what it has counted on this file's session.
    pub claim: Option<ByModel>,
    /// Tool calls that stand in what was read.
    pub tool_use_ids: Vec<String>,
    /// There may be more; read again.
    pub more: bool,
}

/// Reads what is new in the file of `agent` in `session`; none where nothing is.
///
/// # Errors
/// [`ReadError`].
pub fn read_new(
    path: &Path,
    session: &SessionId,
    agent: &AgentKey,
    progress: Option<&FileProgress>,
    prices: &Prices,
    now: Timestamp,
) -> Result<Option<Read>, ReadError> {
    let io = |source| ReadError::Io { path: path.to_owned(), source };
    let mut opened = open(path, session, agent)?;
    let same = match progress {
        Some(p) => is_same(&mut opened, p).map_err(io)?,
        None => false,
    };
    let start = progress.filter(|_| same);
    let offset = start.map_or(0, |p| p.offset);
    if same && opened.length == offset {
        return Ok(None);
    }
    let mut step = Step {
        session,
        agent,
        prices,
        // What stands behind the offset was written after that was read, whatever the clocks were set to meanwhile.
        written: start.map_or(Timestamp(0), |p| p.read_at)..=now,
        rows: Vec::new(),
        claim: None,
        calls: Vec::new(),
        bad_lines: start.map_or(0, |p| p.bad_lines),
        skipping: start.is_some_and(|p| p.in_long_line),
    };
    let (end, more) = step.run(&mut opened, offset).map_err(io)?;
    // A replaced file's new place is worth remembering even before it has a whole line.
    if end == offset && same {
        return Ok(None);
    }
    let tail_hash = tail_hash(&mut opened, end).map_err(io)?;
    let progress = FileProgress {
        session: session.clone(),
        agent: agent.clone(),
        path: path.to_string_lossy().into_owned(),
        offset: end,
        inode: opened.inode,
        device: opened.device,
        tail_hash,
        read_at: now,
        bad_lines: step.bad_lines,
        in_long_line: step.skipping,
    };
    Ok(Some(Read { progress, rows: step.rows, claim: step.claim, tool_use_ids: step.calls, more }))
}

/// Whether the file is the one that was read: same place, not shorter, and the same before the offset.
fn is_same(opened: &mut Opened, progress: &FileProgress) -> std::io::Result<bool> {
    Ok(opened.inode == progress.inode
        && opened.device == progress.device
        && opened.length >= progress.offset
        && tail_hash(opened, progress.offset)? == progress.tail_hash)
}

fn tail_hash(opened: &mut Opened, offset: u64) -> std::io::Result<u64> {
    let from = offset.saturating_sub(TAIL_BYTES);
    Ok(xxh3_64(&span(opened, from, offset)?))
}

fn span(opened: &mut Opened, from: u64, to: u64) -> std::io::Result<Vec<u8>> {
    opened.file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    (&opened.file).take(to - from).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The calls in the last 64 KiB before an offset: those of messages that were read before a restart.
///
/// # Errors
/// [`ReadError`].
pub fn recent_tool_use_ids(
    path: &Path,
    session: &SessionId,
    agent: &AgentKey,
    offset: u64,
) -> Result<Vec<String>, ReadError> {
    let mut opened = open(path, session, agent)?;
    let from = offset.saturating_sub(LOOK_BACK_BYTES);
    let bytes =
        span(&mut opened, from, offset).map_err(|source| ReadError::Io { path: path.to_owned(), source })?;
    let lines = bytes.split(|b| *b == b'\n');
    let calls = lines.filter_map(|line| match parse(line, session, agent, Timestamp(0)) {
        Line::Usage { calls, .. } => Some(calls),
        Line::Other | Line::Bad | Line::Claim { .. } => None,
    });
    Ok(calls.flatten().collect())
}

/// The whole lines among the last bytes of a file, at most so many bytes.
///
/// # Errors
/// [`ReadError`].
pub fn last_lines(
    path: &Path,
    session: &SessionId,
    agent: &AgentKey,
    bytes: u64,
) -> Result<Vec<u8>, ReadError> {
    let mut opened = open(path, session, agent)?;
    let (from, to) = (opened.length.saturating_sub(bytes), opened.length);
    let mut read =
        span(&mut opened, from, to).map_err(|source| ReadError::Io { path: path.to_owned(), source })?;
    if from > 0 {
        // The first one began before.
        let whole = memchr::memchr(b'\n', &read).map_or(read.len(), |end| end + 1);
        read.drain(..whole);
    }
    Ok(read)
}

struct Step<'a> {
    session: &'a SessionId,
    agent: &'a AgentKey,
    prices: &'a Prices,
    /// When the lines can have been written.
    written: RangeInclusive<Timestamp>,
    rows: Vec<Sighting>,
    claim: Option<ByModel>,
    calls: Vec<String>,
    bad_lines: u64,
    /// Inside a line that is over the limit: its end has not been seen yet.
    skipping: bool,
}

impl Step<'_> {
    /// Reads from `offset`; gives the offset behind the last line used, and whether there may be more.
    fn run(&mut self, opened: &mut Opened, offset: u64) -> std::io::Result<(u64, bool)> {
        opened.file.seek(SeekFrom::Start(offset))?;
        let mut used = offset;
        let left = usize::try_from(opened.length.saturating_sub(offset)).unwrap_or(CHUNK_BYTES);
        let chunk = left.clamp(4_096, CHUNK_BYTES);
        let mut buffer = vec![0; chunk];
        let mut filled = 0;
        loop {
            if buffer.len() - filled < chunk / 2 {
                // In a line that is longer than this.
                buffer.resize(filled + chunk, 0);
            }
            let n = opened.file.read(&mut buffer[filled..])?;
            if n == 0 {
                return Ok((used, false));
            }
            let scanned = filled;
            filled += n;
            let (taken, full) = self.take_lines(&buffer[..filled], scanned);
            used += taken as u64;
            buffer.copy_within(taken..filled, 0);
            filled -= taken;
            if full || used - offset >= STEP_BYTES {
                return Ok((used, true));
            }
            if filled > MAX_LINE_BYTES || (self.skipping && filled > 0) {
                // Its beginning is given up here, so that it is never read twice.
                if !self.skipping {
                    self.bad_lines += 1;
                }
                self.skipping = true;
                used += filled as u64;
                filled = 0;
            }
        }
    }

    /// Uses the whole lines in `buffer`; `scanned` bytes of it are known to hold no line's end.
    fn take_lines(&mut self, buffer: &[u8], scanned: usize) -> (usize, bool) {
        let mut from = 0;
        let mut search = scanned;
        while let Some(at) = memchr::memchr(b'\n', &buffer[search..]) {
            let end = search + at;
            if self.skipping {
                self.skipping = false;
            } else {
                self.take(&buffer[from..end]);
            }
            from = end + 1;
            search = from;
            if self.rows.len() >= MAX_ROWS_PER_COMMAND {
                return (from, true);
            }
        }
        (from, false)
    }

    fn take(&mut self, line: &[u8]) {
        match parse(line, self.session, self.agent, *self.written.end()) {
            Line::Usage { seen, calls, terms } => {
                self.calls.extend(calls);
                let at = seen.at.min(*self.written.end()).max(*self.written.start());
                let cost = self.prices.cost(&seen.model, seen.usage, terms, at);
                let (micro_usd, estimated) = (cost.micro_usd, cost.estimated);
                self.add(Sighting { at, micro_usd, estimated, ..*seen });
            }
            Line::Claim { session, totals } if session == *self.session => {
                self.claim = Some(self.priced(totals));
            }
            Line::Bad => self.bad_lines += 1,
            Line::Claim { .. } | Line::Other => {}
        }
    }

    /// A client's own totals, with the operator's own prices where there are any.
    fn priced(&self, mut totals: ByModel) -> ByModel {
        for (model, spent) in &mut totals {
            let own = self.prices.own_cost(model, spent.usage, *self.written.end());
            spent.micro_usd = own.unwrap_or(spent.micro_usd);
        }
        totals
    }

    /// Lines of one message follow each other: the one with the greatest output stands, dated by the first.
    fn add(&mut self, seen: Sighting) {
        match self.rows.last_mut() {
            Some(last) if last.message_id == seen.message_id && last.session == seen.session => {
                if seen.usage.output >= last.usage.output {
                    let at = last.at;
                    *last = Sighting { at, ..seen };
                }
            }
            _ => self.rows.push(seen),
        }
    }
}
