//! What calls are for and what outcomes say, by the words of many tools.

use bursar_engine::print::{self, Gist, Kind, made};

fn kind(tool: &str, input: &str) -> Kind {
    made(tool, Some(input)).1
}

fn gist(ok: bool, text: &str) -> Gist {
    print::came(ok, Some(&serde_json::Value::from(text).to_string())).1
}

#[test]
fn a_tool_is_known_by_whatever_name_its_makers_gave_it() {
    for tool in ["Read", "read_file", "mcp__fs__read_text_file", "WebFetch", "view"] {
        assert!(matches!(kind(tool, r#"{"path":"a"}"#), Kind::Read(Some(_))), "{tool}");
    }
    for tool in ["Edit", "Write", "MultiEdit", "apply_patch", "str_replace_editor", "search_and_replace"] {
        assert!(matches!(kind(tool, r#"{"path":"a"}"#), Kind::Edit(Some(_))), "{tool}");
    }
    assert!(matches!(kind("str_replace_based_edit_tool", r#"{"command":"view","path":"a"}"#), Kind::Read(_)));
    for tool in [
        "Grep",
        "Glob",
        "LS",
        "list_directory",
        "search_file_content",
        "find_files",
        "WebSearch",
        "ToolSearch",
    ] {
        assert_eq!(kind(tool, r#"{"pattern":"x"}"#), Kind::Search, "{tool}");
    }
    for tool in ["Bash", "developer__shell", "execute_command", "run_terminal_cmd"] {
        assert_eq!(kind(tool, r#"{"command":"ls"}"#), Kind::Shell { looks: true }, "{tool}");
        assert_eq!(kind(tool, r#"{"command":"make"}"#), Kind::Shell { looks: false }, "{tool}");
        assert_eq!(kind(tool, r#"{"command":" sleep 30 && ls"}"#), Kind::Wait, "{tool}");
        assert_eq!(kind(tool, r#"{"command":""}"#), Kind::Wait, "{tool}");
        assert_eq!(kind(tool, r#"{"command":"Start-Sleep -Seconds 60"}"#), Kind::Wait, "{tool}");
        assert_eq!(
            kind(tool, r#"{"command":"python3 -c 'import time; time.sleep(9)'"}"#),
            Kind::Wait,
            "{tool}"
        );
    }
    for (tool, adds, looks) in [
        ("TodoWrite", false, false),
        ("TaskUpdate", false, false),
        ("update_plan", false, false),
        ("TaskCreate", true, false),
        ("TaskList", false, true),
        ("TaskGet", false, true),
    ] {
        assert_eq!(kind(tool, "{}"), Kind::Todo { adds, looks }, "{tool}");
    }
    for tool in ["Agent", "Task", "new_task"] {
        assert_eq!(kind(tool, "{}"), Kind::Subagent, "{tool}");
    }
    for (tool, input) in [
        ("BashOutput", "{}"),
        ("TaskOutput", "{}"),
        ("AgentOutputTool", "{}"),
        ("get_output", "{}"),
        ("write_stdin", r#"{"session_id":1,"chars":""}"#),
        ("read_terminal_output", "{}"),
        ("wait_for", "{}"),
        ("get_job_status", "{}"),
        ("process", r#"{"action":"Poll"}"#),
    ] {
        assert_eq!(kind(tool, input), Kind::Wait, "{tool}");
    }
    for (tool, input) in [
        ("process", r#"{"action":"kill"}"#),
        ("message", r#"{"action":"poll","question":"lunch?"}"#),
        ("git_status", "{}"),
        ("deep_research", "{}"),
        ("write_output", "{}"),
        ("write_stdin", r#"{"session_id":1,"chars":"y\n"}"#),
        ("x", "[1]"),
        ("", "nonsense"),
    ] {
        assert_eq!(kind(tool, input), Kind::Other, "{tool}");
    }
}

#[test]
fn which_lines_are_read_is_one_thing_however_it_is_said() {
    let part = |input: &str| match kind("Read", input) {
        Kind::Read(part) => part.map(|part| (part.from, part.to)),
        other => panic!("{other:?}"),
    };
    for input in [
        r#"{"file_path":"a","offset":11,"limit":20}"#,
        r#"{"file_path":"a","offset":"11","limit":"20"}"#,
        r#"{"path":"a","start_line":11,"end_line":30}"#,
        r#"{"path":"a","view_range":[11,30]}"#,
    ] {
        assert_eq!(part(input), Some((11, 31)), "{input}");
    }
    assert_eq!(part(r#"{"path":"a"}"#), Some((1, 2_001)));
    assert_eq!(part(r#"{"path":"a","offset":0,"limit":5}"#), Some((1, 6)));
    assert_eq!(part(r#"{"path":"a","pages":"3-7"}"#), Some((3, 8)));
    for none in [
        r#"{"path":"a","limit":0}"#,
        r#"{"path":"a","start_line":9,"end_line":3}"#,
        r#"{"path":""}"#,
        r#"{"path":7.5e300,"limit":99999999999}"#,
        "null",
    ] {
        assert!(part(none).is_none_or(|(from, to)| to > from), "{none}");
    }
}

#[test]
fn nothing_is_known_in_every_shape_of_it() {
    for nothing in [
        "",
        " \n",
        "No files found",
        "no matches found.",
        "No matching deferred tools found",
        "Found 0 files",
        "No references to `parse` were found in 12 files.\nTry another name.",
        "Not found: src/a.rs",
        "[]",
        "(Bash completed with no output)",
        r#"{"durationMs":4,"output":"No matches found"}"#,
        r#"{"results":[],"took":3}"#,
    ] {
        assert_eq!(gist(true, nothing), Gist::Empty, "{nothing}");
    }
    for (nothing, response) in [
        (true, "null"),
        (true, r#"{"filenames":[],"durationMs":4,"numFiles":0,"truncated":false}"#),
        (true, r#"{"mode":"content","numFiles":0,"filenames":[],"content":"","numLines":0}"#),
        (true, r#"[{"type":"text","text":""}]"#),
        (true, r#"{"type":"text","file":{"filePath":"a","content":"","numLines":1}}"#),
        (false, r#"{"filenames":["a.rs"],"numFiles":1}"#),
        (false, r#"{"mode":"content","filenames":[],"content":"a:1"}"#),
        (false, r#"[{"type":"text","text":"hit"}]"#),
        (false, r#"{"id":7}"#),
        (false, r#""No. 7 of the list\nfound""#),
        (false, r#""Notes on what was found""#),
    ] {
        assert_eq!(print::came(true, Some(response)).1 == Gist::Empty, nothing, "{response}");
    }
    assert_eq!(print::came(true, None).1, Gist::Empty);
    assert_eq!(gist(false, ""), Gist::Plain, "an error is no empty result");
}

#[test]
fn waiting_is_told_by_its_words_and_nothing_else_is() {
    for waits in [
        "<status>running</status>\n<timestamp>x</timestamp>",
        "{\"status\":\"in_progress\"}",
        "Job state is pending",
        "Process still running.",
        "(no new output)",
        "not ready",
        "The build is not finished yet: not yet done",
        "PENDING",
        "lint  queued  https://x",
    ] {
        assert_eq!(gist(true, waits), Gist::Waiting, "{waits}");
    }
    for other in [
        "running 12 tests\ntest a ... ok",
        "status: active",
        "HTTP status 200",
        "12 passing, 1 pending",
        "the statement of the task",
        "waiting list of the café",
    ] {
        assert_eq!(gist(true, other), Gist::Plain, "{other}");
    }
    assert_eq!(gist(true, "<status>completed</status>"), Gist::Ended);
    let long = format!("status: running {}", "word ".repeat(2_000));
    assert_eq!(gist(true, &long), Gist::Plain, "what says that something runs is short");
    assert_eq!(gist(false, "build pending, lint pass"), Gist::Waiting);
    assert_eq!(gist(false, "1 failed, 2 pending"), Gist::Plain);
}

#[test]
fn a_refusal_is_known_where_the_call_failed() {
    assert_eq!(gist(false, "The user doesn't want to proceed with this tool use."), Gist::Denied);
    assert_eq!(gist(false, "Permission to use Bash with command rm has been denied."), Gist::Denied);
    assert_eq!(gist(false, "EACCES: permission denied, open '/etc/shadow'"), Gist::Plain);
    assert_eq!(gist(false, "<tool_use_error>Sibling tool call errored</tool_use_error>"), Gist::Sibling);
    assert_eq!(gist(true, "a file that says: the user rejected the plan"), Gist::Plain);
}
