//! Sessions that no hook tells of (`--bare`, `--safe-mode`, other settings) are found by their transcripts: files that
//! grow in the clients' folders, of sessions that no hook has named.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bursar_engine::command::{Command, Found};
use bursar_engine::ids::SessionId;
use bursar_engine::time::Timestamp;
use memchr::memmem;

use crate::clock::Clock;
use crate::host::Host;
use crate::project;
use crate::tailer::Tailer;
use crate::transcript;

/// How often folders are looked through.
const EVERY: Duration = Duration::from_secs(2);

/// How long a hook may come after the first answer stood in a transcript. Hooks come before it, so this is for a daemon
/// that is slow.
const GRACE: Duration = Duration::from_secs(4);

/// The same for a file that was there when the daemon began to look: its session may have hooks that came before that.
const GRACE_OF_OLDER: Duration = Duration::from_secs(60);

/// A session without hooks whose transcript has not grown for so long has ended: nothing else tells of its end where it
/// was killed.
const QUIET: Duration = Duration::from_secs(1_800);

/// A client makes its file with its first lines, some of which are dated earlier, in milliseconds.
const WRITTEN_WITHIN_MS: u64 = 10_000;

/// Files that have not changed for so long are looked at once in [`SWEEP_EVERY`] rounds only.
const WARM: Duration = Duration::from_secs(86_400);

/// Every so many rounds all files are looked at.
const SWEEP_EVERY: u64 = 30;

/// The most folders of clients, projects in one, and files in all that are looked at.
const MAX_ROOTS: usize = 16;
const MAX_PROJECTS: usize = 4_096;
const MAX_FILES: usize = 100_000;

/// How much of what was appended is searched for an answer.
const SEARCHED_BYTES: u64 = 256 * 1024;

/// How much of a transcript's beginning is searched for its folder.
const HEAD_BYTES: usize = 64 * 1024;

/// One transcript.
#[derive(Debug)]
struct Seen {
    length: u64,
    changed: Timestamp,
    /// When an answer was appended that no hook told of.
    answered: Option<Instant>,
    /// It was there when the daemon began to look.
    is_older: bool,
    /// When it was made, if that was since then.
    made: Option<Timestamp>,
}

/// How a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Nothing is known of it.
    Unknown,
    /// Hooks tell of it.
    Hooked,
    /// It was found here.
    Found,
}

/// What is to be done about a session without hooks.
#[derive(Debug, PartialEq, Eq)]
enum News {
    /// It has written an answer.
    Grew {
        /// When its file was made, if that was seen.
        made: Option<Timestamp>,
    },
    /// It has not written anything for long.
    Quiet,
}

/// What is known of the clients' folders.
#[derive(Debug, Default)]
struct Folders {
    files: HashMap<PathBuf, Seen>,
    round: u64,
}

impl Folders {
    /// Looks through the folders once.
    fn look(
        &mut self,
        roots: &BTreeSet<PathBuf>,
        standing: &dyn Fn(&SessionId) -> Standing,
    ) -> Vec<(SessionId, PathBuf, News)> {
        let is_first = self.round == 0;
        let all = self.round.is_multiple_of(SWEEP_EVERY);
        self.round += 1;
        let mut news = Vec::new();
        for path in transcripts(roots) {
            let known = self.files.get(&path);
            let is_new = known.is_none();
            if (known.is_some_and(|seen| age(seen.changed) > WARM) && !all)
                || (is_new && self.files.len() >= MAX_FILES)
            {
                continue;
            }
            let (Some(session), Some(facts)) = (session_of(&path), Facts::of(&path)) else { continue };
            let seen = self.files.entry(path.clone()).or_insert_with(|| Seen {
                // What stood there before is history (4.9).
                length: if is_first { facts.length } else { 0 },
                changed: facts.changed,
                answered: None,
                is_older: is_first,
                made: facts.made.filter(|_| !is_first),
            });
            if let Some(told) = seen.take(&path, &facts, is_new, || standing(&session)) {
                news.push((session, path, told));
            }
        }
        news
    }
}

impl Seen {
    fn take(
        &mut self,
        path: &Path,
        facts: &Facts,
        is_new: bool,
        standing: impl FnOnce() -> Standing,
    ) -> Option<News> {
        let before = std::mem::replace(&mut self.length, facts.length);
        self.changed = facts.changed;
        let has_grown = before != facts.length;
        let is_quiet = age(self.changed) >= QUIET;
        // One that was found before the daemon's restart may never grow again.
        if !has_grown && !is_new && self.answered.is_none() {
            return None;
        }
        let standing = standing();
        let appended = || Appended::read(path, if facts.length > before { before } else { 0 }, facts.length);
        match standing {
            Standing::Hooked => {
                self.answered = None;
                None
            }
            Standing::Found => {
                self.answered.get_or_insert_with(Instant::now);
                let goes_on = has_grown && appended() == Appended::Answer;
                if goes_on { Some(News::Grew { made: None }) } else { is_quiet.then_some(News::Quiet) }
            }
            Standing::Unknown => {
                if has_grown && self.answered.is_none() && appended() != Appended::Nothing {
                    self.answered = Some(Instant::now());
                }
                let grace = if self.is_older { GRACE_OF_OLDER } else { GRACE };
                let is_overdue = self.answered.is_some_and(|answered| answered.elapsed() >= grace);
                is_overdue.then_some(News::Grew { made: self.made })
            }
        }
    }
}

fn age(at: Timestamp) -> Duration {
    Duration::from_millis(Clock::wall().since(at))
}

fn timestamp(at: SystemTime) -> Option<Timestamp> {
    u64::try_from(at.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok().map(Timestamp)
}

/// The clients' transcripts, a file for each session: `<root>/<project>/<session>.jsonl`.
fn transcripts(roots: &BTreeSet<PathBuf>) -> impl Iterator<Item = PathBuf> {
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let projects = roots.iter().take(MAX_ROOTS).flat_map(move |root| entries(root).take(MAX_PROJECTS));
    let projects = projects.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let files = projects.flat_map(move |project| entries(&project.path()));
    files.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file())).map(|entry| entry.path())
}

fn session_of(path: &Path) -> Option<SessionId> {
    let name = path.file_name()?.to_str()?.strip_suffix(".jsonl")?;
    // A subagent's file of older clients lies beside its session's.
    SessionId::new(name).ok().filter(|id| !id.as_str().starts_with("agent-"))
}

/// What the system says of a regular file of this user's.
#[derive(Debug)]
struct Facts {
    length: u64,
    changed: Timestamp,
    /// Where the file system keeps that.
    made: Option<Timestamp>,
}

impl Facts {
    fn of(path: &Path) -> Option<Self> {
        let meta = fs::symlink_metadata(path).ok()?;
        let ours = meta.is_file() && meta.uid() == rustix::process::getuid().as_raw();
        let made = meta.created().ok().and_then(timestamp);
        let changed = meta.modified().ok().and_then(timestamp).filter(|_| ours)?;
        Some(Self { length: meta.len(), changed, made })
    }
}

/// What was appended to a transcript, as far as it matters here.
#[derive(Debug, PartialEq, Eq)]
enum Appended {
    /// Prompts, titles and the like: no spending yet.
    Nothing,
    /// Its session spends.
    Answer,
    /// It spent, and its client has said its last word.
    End,
}

impl Appended {
    fn read(path: &Path, from: u64, to: u64) -> Self {
        let from = from.max(to.saturating_sub(SEARCHED_BYTES));
        let Ok(length) = usize::try_from(to - from) else { return Self::Nothing };
        let mut bytes = vec![0; length];
        let read = fs::File::open(path).and_then(|file| file.read_at(&mut bytes, from));
        Self::of(&bytes[..read.unwrap_or(0)])
    }

    fn of(bytes: &[u8]) -> Self {
        let last = |what: &[u8]| memmem::rfind(bytes, what);
        match (last(br#""type":"assistant""#), last(br#""type":"cost-state""#)) {
            (None, _) => Self::Nothing,
            (Some(answer), Some(end)) if end > answer => Self::End,
            (Some(_), _) => Self::Answer,
        }
    }
}

/// The folder that a session works in, as the first of its lines that says so.
fn cwd(path: &Path) -> Option<String> {
    let mut head = vec![0; HEAD_BYTES];
    let read = fs::File::open(path).and_then(|file| file.read_at(&mut head, 0)).ok()?;
    let folder = |line: &[u8]| {
        let line: serde_json::Value = serde_json::from_slice(line).ok()?;
        line.get("cwd")?.as_str().filter(|cwd| cwd.starts_with('/') && cwd.len() <= 4_096).map(str::to_owned)
    };
    head[..read].split(|byte| *byte == b'\n').find_map(folder)
}

/// Where clients of this user write: the usual place, and wherever a transcript is that a hook named.
fn roots(host: &Host, home: Option<&Path>) -> BTreeSet<PathBuf> {
    let named: BTreeSet<PathBuf> = host.look(|state| {
        let paths =
            state.sessions.values().filter_map(|s| Path::new(s.transcript.as_ref()?).parent()?.parent());
        paths.map(Path::to_owned).collect()
    });
    let is_root = |root: &PathBuf| root.file_name().is_some_and(|name| name == "projects");
    home.map(|home| home.join("projects")).into_iter().chain(named.into_iter().filter(is_root)).collect()
}

/// Looks for sessions without hooks until the daemon ends. `home` is the clients' own folder; nothing is looked for before
/// something is installed, since till then no session has hooks.
pub async fn run(host: Arc<Host>, tailer: Arc<Tailer>, home: Option<PathBuf>, hook_client: PathBuf) {
    let mut folders = Folders::default();
    loop {
        if hook_client.exists() {
            let roots = roots(&host, home.as_deref());
            let standing = |id: &SessionId| {
                host.look(|state| match state.sessions.get(id) {
                    None => Standing::Unknown,
                    Some(session) if session.unhooked => Standing::Found,
                    Some(_) => Standing::Hooked,
                })
            };
            let news = tokio::task::block_in_place(|| folders.look(&roots, &standing));
            for (session, path, told) in news {
                follow(&host, &tailer, session, &path, told).await;
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Counts what a session without hooks has written, and makes it known if it is not.
async fn follow(host: &Host, tailer: &Tailer, session: SessionId, path: &Path, told: News) {
    let made = match told {
        News::Quiet => {
            let is_live = host.look(|state| state.sessions.get(&session).is_some_and(|s| s.ended.is_none()));
            if is_live {
                host.tell(&Command::ClientGone(session)).await;
            }
            return;
        }
        News::Grew { made } => made,
    };
    if !transcript::is_readable(path, &session) {
        return;
    }
    let cwd = cwd(path);
    let project = cwd.as_deref().and_then(|cwd| project::name(Path::new(cwd)));
    let began =
        made.map_or_else(|| host.clock().now(), |made| Timestamp(made.0.saturating_sub(WRITTEN_WITHIN_MS)));
    let transcript = path.to_string_lossy().into_owned();
    host.tell(&Command::Found(Found { session: session.clone(), transcript, cwd, project, began })).await;
    tailer.read_session(&session, path).await;
}

#[cfg(test)]
mod tests {
    use super::{Appended, Folders, News, Standing};
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    const ANSWER: &str = "{\"type\":\"assistant\",\"message\":{}}\n";
    const PROMPT: &str = "{\"type\":\"user\"}\n";
    const END: &str = "{\"type\":\"cost-state\"}\n";

    #[test]
    fn only_an_answer_is_spending_and_a_last_word_ends_it() {
        let of = |text: &str| Appended::of(text.as_bytes());
        assert_eq!(of(PROMPT), Appended::Nothing);
        assert_eq!(of(END), Appended::Nothing);
        assert_eq!(of(&[PROMPT, ANSWER, PROMPT].concat()), Appended::Answer);
        assert_eq!(of(&[ANSWER, END].concat()), Appended::End);
        assert_eq!(of(&[ANSWER, END, ANSWER].concat()), Appended::Answer);
    }

    fn append(path: &Path, text: &str) {
        use std::io::Write as _;
        let file = fs::OpenOptions::new().create(true).append(true).open(path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).expect("a transcript");
    }

    #[test]
    fn history_is_passed_over_and_what_hooks_tell_of_too() -> std::io::Result<()> {
        let dir = tempfile::tempdir()?;
        let project = dir.path().join("-home-dev");
        fs::create_dir(&project)?;
        let at = |name: &str| project.join(format!("{name}.jsonl"));
        let roots = BTreeSet::from([dir.path().to_owned()]);
        let mut folders = Folders::default();
        append(&at("old"), ANSWER);
        let look = |folders: &mut Folders, standing: Standing| {
            let news = folders.look(&roots, &|_| standing);
            news.into_iter().map(|(id, _, told)| (id.to_string(), told)).collect::<Vec<_>>()
        };
        assert_eq!(look(&mut folders, Standing::Unknown), []);
        append(&at("hooked"), ANSWER);
        assert_eq!(look(&mut folders, Standing::Hooked), []);
        // A hook may still come for what is new.
        append(&at("new"), ANSWER);
        assert_eq!(look(&mut folders, Standing::Unknown), []);
        assert!(folders.files[&at("new")].answered.is_some() && folders.files[&at("old")].answered.is_none());
        // One that was found goes on with each answer, not with its last word.
        append(&at("new"), ANSWER);
        assert_eq!(look(&mut folders, Standing::Found), [("new".to_owned(), News::Grew { made: None })]);
        append(&at("new"), &[ANSWER, END].concat());
        assert_eq!(look(&mut folders, Standing::Found), []);
        // Neither a link nor a subagent's file is a session's.
        std::os::unix::fs::symlink(at("new"), at("link"))?;
        append(&at("agent-1"), ANSWER);
        look(&mut folders, Standing::Unknown);
        assert!(!folders.files.contains_key(&at("link")) && !folders.files.contains_key(&at("agent-1")));
        Ok(())
    }
}
