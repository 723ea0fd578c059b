//! What a call is for, from its tool's name and its input: which detectors look at it (DETECTION).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Print, polls};
use crate::canon::{Canon, Strings, head};

/// What a call is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// It reads; a part of a file, where it names one.
    Read(Option<Part>),
    /// It searches or lists.
    Search,
    /// It changes a file, where it names one.
    Edit(Option<Print>),
    /// It keeps a list of tasks.
    Todo {
        /// It adds a task.
        adds: bool,
        /// It changes nothing.
        looks: bool,
    },
    /// It starts a subagent.
    Subagent,
    /// It runs a command.
    Shell {
        /// It changes nothing, as far as its first words tell.
        looks: bool,
    },
    /// It waits, or asks how something in the background stands.
    Wait,
    /// It is a command that asks how something outside stands.
    Poll,
    /// Any other.
    #[default]
    Other,
}

/// Some lines of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The file's path.
    pub file: Print,
    /// The first line, from 1.
    pub from: u32,
    /// The line after the last.
    pub to: u32,
}

/// How many lines a read tool gives where its call names a beginning alone, and of which a whole file counts.
const DEFAULT_LINES: u32 = 2_000;

const READS: &[&str] = &[
    "read",
    "readfile",
    "readfiles",
    "readmanyfiles",
    "readtextfile",
    "readnotebook",
    "readresource",
    "readmcpresource",
    "readmcpresourcetool",
    "notebookread",
    "view",
    "viewfile",
    "cat",
    "openfile",
    "getfile",
    "getfilecontents",
    "webfetch",
    "fetch",
    "fetchurl",
];

const EDITS: &[&str] = &[
    "edit",
    "editfile",
    "editblock",
    "multiedit",
    "notebookedit",
    "write",
    "writefile",
    "writetofile",
    "create",
    "createfile",
    "createtextfile",
    "strreplace",
    "strreplaceeditor",
    "strreplacebasededittool",
    "texteditor",
    "replace",
    "replaceinfile",
    "searchreplace",
    "searchandreplace",
    "applypatch",
    "applydiff",
    "patch",
    "insert",
    "insertcontent",
];

const SHELLS: &[&str] = &[
    "bash",
    "sh",
    "shell",
    "localshell",
    "powershell",
    "terminal",
    "exec",
    "execbash",
    "execute",
    "executebash",
    "executecommand",
    "executeshell",
    "cmdrun",
    "run",
    "runcommand",
    "runshellcommand",
    "runterminalcmd",
    "runterminalcommand",
    "runinterminal",
];

const TODOS: &[&str] = &[
    "todo",
    "todowrite",
    "todoread",
    "writetodos",
    "readtodos",
    "updatetodolist",
    "managetodolist",
    "updateplan",
    "taskcreate",
    "taskupdate",
    "tasklist",
    "taskget",
];

const SUBAGENTS: &[&str] = &[
    "agent",
    "task",
    "newtask",
    "spawnagent",
    "subagent",
    "runsubagent",
    "dispatchagent",
    "invokesubagent",
    "delegate",
    "delegatetask",
    "sessionsspawn",
];

const SEARCHES: &[&str] = &["ls", "glob", "grep", "ripgrep", "list", "find", "search"];

/// Beginnings of the names of tools that search or list.
const SEARCH_BEGINNINGS: [&str; 5] = ["search", "find", "grep", "list", "glob"];

const WAITS: &[&str] = &["bashoutput", "taskoutput", "agentoutputtool", "monitor"];

/// Actions of a tool with several that wait.
const WAITING_ACTIONS: [&str; 4] = ["poll", "wait", "status", "sleep"];

impl Kind {
    /// Whether it only looks at something.
    pub fn looks(self) -> bool {
        match self {
            Self::Read(_) | Self::Search => true,
            Self::Todo { looks, .. } | Self::Shell { looks } => looks,
            Self::Edit(_) | Self::Subagent | Self::Wait | Self::Poll | Self::Other => false,
        }
    }
}

/// What the call of that tool with that input, as [`crate::canon::read`] gave it, is for.
pub(super) fn of(tool: &str, input: &Value) -> Kind {
    let none = Map::new();
    let fields = input.as_object().unwrap_or(&none);
    let name = plain(tool);
    let name = name.as_str();
    let is = |names: &[&str]| names.contains(&name);
    if is(TODOS) {
        let looks = ["tasklist", "taskget", "todoread", "readtodos"].contains(&name);
        Kind::Todo { adds: name == "taskcreate", looks }
    } else if is(SUBAGENTS) {
        Kind::Subagent
    } else if is(SHELLS) {
        match text(fields, &["command", "cmd"]) {
            Some(command) if waits(command) => Kind::Wait,
            Some(command) if polls::is_poll(command) => Kind::Poll,
            command => Kind::Shell { looks: command.is_some_and(polls::is_look) },
        }
    } else if is(EDITS) {
        let views = text(fields, &["command"]) == Some("view");
        if views { Kind::Read(part(fields)) } else { Kind::Edit(file(fields)) }
    } else if is(READS) {
        Kind::Read(part(fields))
    } else if is(SEARCHES) || is_named_for_searching(name) {
        Kind::Search
    } else if is(WAITS) || is_named_for_waiting(name) || does_wait(fields) || sends_nothing(name, fields) {
        Kind::Wait
    } else {
        Kind::Other
    }
}

/// The last part of a tool's name without what differs by taste: `mcp__files__read_text_file` is `readtextfile`.
fn plain(tool: &str) -> String {
    let last = tool.rsplit("__").next().unwrap_or(tool);
    let last = last.rsplit(['.', '/', ':']).next().unwrap_or(last);
    let letters = last.chars().filter(char::is_ascii_alphanumeric);
    letters.take(64).map(|c| c.to_ascii_lowercase()).collect()
}

fn is_named_for_searching(name: &str) -> bool {
    let ends = name.ends_with("search") && !name.ends_with("research");
    ends || SEARCH_BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
}

fn is_named_for_waiting(name: &str) -> bool {
    let is_of_git = name.starts_with("git");
    let begins = ["wait", "sleep", "poll"].iter().any(|word| name.starts_with(word));
    let ends = ["wait", "waitfor", "sleep", "poll", "status"].iter().any(|word| name.ends_with(word));
    // `read_terminal_output`, `get_process_output`: not `write_output`.
    let of_background = ["get", "read", "check", "view", "process", "terminal", "shell", "command", "agent"];
    let gives_output = name.ends_with("output") && of_background.iter().any(|word| name.starts_with(word));
    !is_of_git && (begins || ends || gives_output)
}

fn does_wait(fields: &Map<String, Value>) -> bool {
    let action = text(fields, &["action", "operation", "mode"]);
    // Who says something makes a poll, and does not ask how one stands.
    let says = ["question", "options", "text", "message", "content", "body"]
        .iter()
        .any(|key| fields.contains_key(*key));
    !says
        && action.is_some_and(|action| WAITING_ACTIONS.iter().any(|waits| action.eq_ignore_ascii_case(waits)))
}

/// Whether nothing is sent to a process that runs: its output is waited for.
fn sends_nothing(name: &str, fields: &Map<String, Value>) -> bool {
    let sends = ["writestdin", "sendinput", "writetoprocess", "sendtoterminal"].contains(&name);
    sends && text(fields, &["chars", "input", "data", "text"]).is_some_and(str::is_empty)
}

/// Whether a command only waits first: `sleep 30`, or none at all for what runs already.
fn waits(command: &str) -> bool {
    let command = command.trim_start();
    let rest = command.strip_prefix("sleep").map(str::trim_start);
    let sleeps = rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let by_program = (command.starts_with("python") && command.contains("time.sleep("))
        || command.get(..11).is_some_and(|word| word.eq_ignore_ascii_case("start-sleep"));
    command.is_empty() || sleeps || by_program
}

/// The string of the first of these fields that has one; of a cut one its beginning.
fn text<'a>(fields: &'a Map<String, Value>, keys: &[&str]) -> Option<&'a str> {
    let value = keys.iter().find_map(|key| fields.get(*key))?;
    value.as_str().or_else(|| head(value))
}

fn file(fields: &Map<String, Value>) -> Option<Print> {
    const PATHS: [&str; 9] = [
        "file_path",
        "filePath",
        "path",
        "notebook_path",
        "absolute_path",
        "target_file",
        "filename",
        "file",
        "uri",
    ];
    let path = text(fields, &PATHS).filter(|path| !path.is_empty())?;
    let mut canon = Canon::new("file", Strings::Exact);
    canon.exact(path);
    Some(Print(canon.finish()))
}

/// The lines that a call reads. Numbers come as such and as strings; [`crate::canon::read`] has made all of them strings.
fn part(fields: &Map<String, Value>) -> Option<Part> {
    let file = file(fields)?;
    let range = || fields.get("view_range").or_else(|| fields.get("range"))?.as_array();
    let of_range = |at: usize| line(range()?.get(at)?);
    let first = number(
        fields,
        &["offset", "start_line", "startLine", "line_start", "start", "start_line_one_indexed"],
    );
    let from = first.or_else(|| of_range(0)).unwrap_or(1).max(1);
    let length = number(fields, &["limit", "max_lines", "num_lines", "count"]);
    let last = number(fields, &["end_line", "endLine", "line_end", "end", "end_line_one_indexed_inclusive"])
        .or_else(|| of_range(1));
    // Pages are no lines, but parts of a file all the same.
    let pages = text(fields, &["pages"]).and_then(|pages| {
        let (first, last) = pages.split_once('-').unwrap_or((pages, pages));
        Some((first.trim().parse::<u32>().ok()?.max(1), last.trim().parse::<u32>().ok()?))
    });
    let (from, to) = match (pages, last, length) {
        (Some((first, last)), _, _) => (first, last.saturating_add(1)),
        (None, Some(last), _) => (from, last.saturating_add(1)),
        (None, None, length) => (from, from.saturating_add(length.unwrap_or(DEFAULT_LINES))),
    };
    (to > from).then_some(Part { file, from, to })
}

fn number(fields: &Map<String, Value>, keys: &[&str]) -> Option<u32> {
    keys.iter().find_map(|key| line(fields.get(*key)?))
}

fn line(value: &Value) -> Option<u32> {
    value.as_str()?.trim().parse().ok()
}
