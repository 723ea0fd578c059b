//! Which calls, outcomes and errors are one, and which are not (DETECTION, "Identity").

use bursar_engine::print::{Print, call, error, id, outcome};
use serde_json::{Value, from_value, json, to_value};
use xxhash_rust::xxh3::xxh3_128;

/// What the hook makes of a long string (`protocol/src/cut.rs`).
fn cut(text: &str, keep: usize) -> Value {
    json!({ "$bursar_cut": {
        "head": text[..keep], "tail": text[text.len() - keep..], "bytes": text.len(),
        "xxh3_128": format!("{:032x}", xxh3_128(text.as_bytes())),
    } })
}

fn bash(input: &str) -> Print {
    call("Bash", Some(input))
}

/// The outcome of a shell that printed this.
fn printed(text: &str) -> Print {
    outcome(true, Some(&json!({ "stdout": text, "stderr": "" }).to_string()))
}

#[test]
fn outcomes_that_differ_in_what_differs_each_time_are_one() {
    let rows = [
        // Spans.
        ("10 passed in 0.51s", "10 passed in 0.48s"),
        ("took 120 ms", "took 98.5 ms"),
        ("real\t0m1.234s", "real\t1m59.001s"),
        ("Finished `dev` profile in 59.51s", "Finished `dev` profile in 1m 02s"),
        ("elapsed 0:01.23", "elapsed 0:59.7"),
        ("in 75.32s (0:01:15)", "in 62.10s (0:01:02)"),
        ("built in 12µs", "built in 900ns"),
        ("done after 1 minute", "done after 2 minutes"),
        ("Time: 2.1 Seconds", "Time: 3.5 Seconds"),
        ("took 1,204 milliseconds", "took 998 milliseconds"),
        ("ETA 0:45", "ETA 1:02"),
        ("Up 3 hours", "Up 4 hours"),
        ("fetched at 12.3 MB/s", "fetched at 9 MB/s"),
        ("✓ works (12ms)", "✓ works (9ms)"),
        // Points in time.
        ("2026-01-01 10:00:00 up", "2026-02-11 23:59:59 up"),
        ("at 2026-01-01T10:00:00Z.", "at 2026-01-01T10:00:01.250+02:00."),
        ("2026/01/01 10:00 x", "2026/01/02 11:30 x"),
        ("on 01/31/2026", "on 12/01/2025"),
        ("on 31.1.2026", "on 1.12.2025"),
        ("20260101T100000Z", "20260102T110000Z"),
        ("Thu Jan  1 10:00:00 UTC 2026", "Fri Jan  2 11:30:00 UTC 2026"),
        ("-rw-r--r-- 1 u u 5 Jan  1 10:20 a", "-rw-r--r-- 1 u u 5 Feb 11 09:01 a"),
        ("Date: Thu, 01 Jan 2026 10:00:00 GMT", "Date: Fri, 02 Jan 2026 09:00:00 GMT"),
        ("[01/Jan/2026:10:00:00 +0000] GET", "[02/Feb/2026:11:00:00 +0000] GET"),
        ("10:00:00,123 INFO x", "10:00:01,456 INFO x"),
        ("started 9:30 AM", "started 11:45 PM"),
        ("started 9:30 UTC", "started 11:45 UTC"),
        ("now 1700000000123", "now 1700000009999"),
        ("now 1700000000.5", "now 1700000009.75"),
        ("app.log.2026-01-01", "app.log.2026-01-02"),
        // Escapes.
        ("\u{1b}[31mred\u{1b}[0m", "red"),
        ("1\u{1b}[0m2:30:00", "11:45:10"),
        ("\u{1b}]0;title\u{7}text", "text"),
        ("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
        ("\u{1b}(Btext", "text"),
        // Process numbers.
        ("pid 1234 gone", "pid 77 gone"),
        ("started (PID: 4242)", "started (PID: 4243)"),
        ("[2026-01-01 10:00:00] pid=1000", "[2026-01-01 10:00:31] pid=1031"),
        // Addresses.
        ("<Foo object at 0x7f3c2a1b4d30>", "<Foo object at 0x7fffa0b1c2d0>"),
        ("at 0x55d0c0a0", "at 0x7f3a2b1c"),
        // Ids.
        ("id 550e8400-e29b-41d4-a716-446655440000.", "id 6BA7B810-9DAD-11D1-80B4-00C04FD430C8."),
        (
            r#"{"status": "sent", "messageId": "msg_00000000abcd", "ts": "2026-01-01T10:00:00Z"}"#,
            r#"{"status": "sent", "messageId": "msg_0000000fabcd", "ts": "2026-01-01T10:00:15Z"}"#,
        ),
        // … that keys name, whatever their shape, and JSON that a tool prints.
        ("sent, message_id: om_1", "sent, message_id: om_22"),
        (r#"{"ok": true, "messageId": "om-a"}"#, r#"{"messageId": "b", "ok": true}"#),
        (r#"{"run-id": "r"}"#, r#"{"run-id": "s"}"#),
        (
            r#"{"message": {"id": "qa_1", "text": "hello"}}"#,
            r#"{"message": {"id": "qb_2", "text": "hello"}}"#,
        ),
        (r#"[{"file_id": "f_1", "durationMs": 12}]"#, r#"[{"file_id": "f_2", "durationMs": 3100}]"#),
        (r#"{"log": "{\"took_ms\": 12, \"ok\": true}"}"#, r#"{"log": "{\"ok\": true, \"took_ms\": 7}"}"#),
        ("ok duration_ms=103 elapsed: 4.25", "ok duration_ms=99 elapsed: 17"),
        ("still running (session sess-3)", "still running (session sess-14)"),
        ("Cell In[5], line 1", "Cell In[12], line 1"),
        (
            "saved to: /home/u/.claude/projects/-w/tool-results/b1.txt\nPreview",
            "saved to: /home/u/.claude/projects/-w/tool-results/b22.txt\nPreview",
        ),
        ("toolu_01AbCdEfGhIjKl ok", "toolu_01ZyXwVuTsRqPo ok"),
        ("(req_011CSabcdefg)", "(req_011CSzyxwvut9)"),
        ("request_id: x9-k3f7q", "request_id: b2-m8w1z"),
        ("Agent-Id=a3f9c21", "Agent-Id=b7d0e14"),
        ("trace 4bf92f3577b34da6a3ce929d0e0e4736", "trace 00f067aa0ba902b7a3ce929d0e0e4736"),
        // Temporary paths.
        ("wrote /tmp/a1/out.md", "wrote /tmp/zz.md"),
        ("in '/var/folders/x1/T/abc'", "in '/private/var/folders/q9/T/zzz'"),
        ("file:///tmp/x?a=1", "file:///private/tmp/yy?a=1"),
        ("TMP=/tmp/tmp.Xa83kd, go", "TMP=/tmp/tmp.Qq11zz, go"),
    ];
    for (a, b) in rows {
        assert_ne!(a, b);
        assert_eq!(printed(a), printed(b), "{a:?} {b:?}");
    }
}

#[test]
fn outcomes_that_differ_in_what_they_say_differ() {
    let rows = [
        ("9 failed in 1.00s", "8 failed in 1.00s"),
        ("9 failed", "8 failed"),
        (r#"{"message": {"id": "1", "text": "hello"}}"#, r#"{"message": {"id": "1", "text": "bye"}}"#),
        (r#"{"issue": {"id": "1"}}"#, r#"{"issue": {"id": "2"}}"#),
        (r#"{"conversationId": "a"}"#, r#"{"conversationId": "b"}"#),
        (r#"{"durationMs": "fast"}"#, r#"{"durationMs": "slow"}"#),
        ("sess-3a", "sess-4a"),
        ("In[x]", "In[y]"),
        ("src/tool-results.rs", "src/tool-result.rs"),
        ("duration 3 of 5 files", "duration 4 files of 5"),
        ("12345 of 20000 done", "12346 of 20000 done"),
        ("2026-01-01 10:00:00 INFO up", "2026-01-01 10:00:00 WARN up"),
        ("src/a.rs:10:20: unused", "src/a.rs:12:20: unused"),
        ("  10:20  error  no-undef", "  12:20  error  no-undef"),
        ("12:30", "12:31"),
        ("v1.2.3", "v1.2.4"),
        ("1.2.3s", "1.2.4s"),
        ("10.0.0.12", "10.0.0.13"),
        ("00:11:22:33:44:55", "00:11:22:33:44:56"),
        ("May 5 tests", "May 6 tests"),
        ("1634000000 bytes", "1634000001 bytes"),
        ("9000000000123 bytes", "9000000000124 bytes"),
        ("5 M", "6 M"),
        ("5 m wide", "6 m wide"),
        ("exit code 0x80070005", "exit code 0x80070002"),
        ("flags 0x1f", "flags 0x2f"),
        ("[1234] item", "[1235] item"),
        ("step[12]: ok", "step[13]: ok"),
        ("epidpid 1234", "epidpid 1235"),
        // Digests tell whether a content changed.
        ("HEAD is now at abc1234", "HEAD is now at abc1235"),
        ("da39a3ee5e6b4b0d3255bfef95601890afd80709", "da39a3ee5e6b4b0d3255bfef95601890afd8070a"),
        (
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b856",
        ),
        ("call_handlers", "call_handlerz"),
        ("test_20260101", "test_20260102"),
        ("deadbeefcafe", "deadbeefcaff"),
        ("/home/u/tmp/a.md", "/home/u/tmp/b.md"),
        ("src/tmp/a.md", "src/tmp/b.md"),
        ("ls /tmp/", "ls /var/tmp/"),
        ("/tmp/x.py:10: error", "/tmp/x.py:11: error"),
        ("\u{1b}]unfinished a", "\u{1b}]unfinished b"),
        // What is masked is not nothing, nor anything else that is masked.
        ("took 5s", "took "),
        ("at /tmp/x", "at 10:00:00"),
        ("5s 6s 7s", "5s 6s"),
        ("", " "),
    ];
    for (a, b) in rows {
        assert_ne!(printed(a), printed(b), "{a:?} {b:?}");
    }
}

#[test]
fn an_outcome_is_of_its_kind() {
    assert_ne!(outcome(true, Some(r#""x""#)), outcome(false, Some(r#""x""#)));
    assert_ne!(outcome(true, None), outcome(false, None));
    assert_eq!(outcome(true, None), outcome(true, Some("null")));
    assert_ne!(outcome(true, None), outcome(true, Some(r#""""#)));
    assert_ne!(outcome(true, Some(r#"{"a":"x"}"#)), outcome(true, Some(r#"{"b":"x"}"#)));
    // Plain text is the string of it.
    for text in ["boom at 10:00:00", "404", "Exit code 1\nno such file"] {
        assert_eq!(outcome(false, Some(text)), outcome(false, Some(&json!(text).to_string())), "{text:?}");
    }
    // Half of a surrogate pair: no JSON for us, but a text.
    let half = |time: &str| format!(r#"{{"stdout":"\ud83d in {time}"}}"#);
    assert_eq!(outcome(true, Some(&half("1.5s"))), outcome(true, Some(&half("2.5s"))));
}

#[test]
fn fields_that_only_tell_time_are_not_looked_at() {
    let with =
        |key: &str, value: &str| outcome(true, Some(&format!(r#"{{"out":"x","in":{{"{key}":{value}}}}}"#)));
    let times =
        "durationMs totalDurationMs timeTotalSeconds idle_for_seconds wall_time response-time-ms uptime";
    for key in times.split(' ').chain(["timestamp", "started_at"]) {
        assert_eq!(with(key, "12"), with(key, "1300.5"), "{key}");
        assert_eq!(with(key, "12"), outcome(true, Some(r#"{"out":"x","in":{}}"#)), "{key}");
        // Who names a text so means more than a time.
        assert_ne!(with(key, r#""a""#), with(key, r#""b""#), "{key}");
    }
    assert_eq!(
        with("timestamp", r#""2026-01-01T10:00:00Z""#),
        with("timestamp", r#""2026-01-02T10:00:00Z""#)
    );
    for key in ["count", "mtime", "time", "items", "params", "runtime"] {
        assert_ne!(with(key, "12"), with(key, "13"), "{key}");
    }
    // Of a call they are arguments.
    assert_ne!(bash(r#"{"duration":1}"#), bash(r#"{"duration":2}"#));
}

#[test]
fn an_error_is_known_by_its_beginning() {
    let rows = [
        ("issue 48213 not found", "issue 48214 not found", true),
        ("issue 4,821 not found", "issue 12,000 not found", true),
        ("at offset 1234.5", "at offset 99999.25", true),
        ("9 failed", "8 failed", false),
        ("line 123", "line 124", false),
        ("error TS2345: x", "error TS2346: x", false),
        ("connect 10.0.0.1:50123", "connect 10.0.0.1:50124", true),
        ("timed out after 30s", "timed out after 61.5s", true),
    ];
    for (a, b, is_one) in rows {
        assert_eq!(error("Bash", a) == error("Bash", b), is_one, "{a:?} {b:?}");
        assert_eq!(error("Bash", a), error("Bash", &json!(a).to_string()));
    }
    assert_ne!(outcome(false, Some("issue 48213")), outcome(false, Some("issue 48214")));
    assert_ne!(error("Bash", "x"), error("Read", "x"));
    assert_eq!(error("Task", "x"), error("Agent", "x"));
    // 400 characters, not bytes, and after masking.
    let (near, far) = ("é".repeat(399), "é".repeat(400));
    assert_ne!(error("Bash", &format!("{near}a")), error("Bash", &format!("{near}b")));
    assert_eq!(error("Bash", &format!("{far}a")), error("Bash", &format!("{far}b")));
    let timed = |time: &str, end: &str| error("Bash", &format!("{time} {}{end}", "x".repeat(397)));
    assert_eq!(timed("9.5s", "ab"), timed("1m 10.25s", "ac"));
    assert_ne!(timed("9.5s", "ab"), timed("9.5s", "bb"));
    // A cut one as the same uncut; one cut to nothing by its hash.
    let long = "no such file or folder: ".repeat(1_000);
    for keep in [8_192, 512] {
        assert_eq!(error("Bash", &cut(&long, keep).to_string()), error("Bash", &long), "{keep}");
    }
    let other = "no such file or holder: ".repeat(1_000);
    assert_ne!(error("Bash", &cut(&long, 0).to_string()), error("Bash", &cut(&other, 0).to_string()));
}

#[test]
fn calls_with_the_same_arguments_are_one() {
    let long = "x = 1\n".repeat(10_000);
    let (whole, mark) =
        (json!({"a": long, "b": [long]}), json!({"a": cut(&long, 8_192), "b": [cut(&long, 0)]}));
    let digits = "7".repeat(129);
    let (number, number_cut) = (json!({ "n": digits }), json!({ "n": cut(&digits, 0) }));
    let owned = [(whole.to_string(), mark.to_string()), (number.to_string(), number_cut.to_string())];
    let rows = [
        (r#"{"a":1,"b":2}"#, r#" { "b" : 2, "a" : 1 } "#),
        (r#"{"a":{"x":1,"y":[true,null]}}"#, r#"{"a":{"y":[true,null],"x":1}}"#),
        (r#"{"n":3}"#, r#"{"n":"3"}"#),
        (r#"{"n":3}"#, r#"{"n":3.0}"#),
        (r#"{"n":3}"#, r#"{"n":"3.0"}"#),
        (r#"{"n":-1500}"#, r#"{"n":"-1.5e3"}"#),
        (r#"{"n":0}"#, r#"{"n":-0.0}"#),
        (r#"{"n":0.25}"#, r#"{"n":"0.250"}"#),
        (r#"{"n":18446744073709552000}"#, r#"{"n":1.8446744073709552e19}"#),
        (r#"{"c":"ls","description":"a","timeout":5}"#, r#"{"c":"ls","explanation":"b","reason":"r"}"#),
        (r#"{"c":"ls","thought":"a","task_progress":{"x":1}}"#, r#"{"c":"ls"}"#),
        (r#"{"c":"\u0061"}"#, r#"{"c":"a"}"#),
        ("{}", "null"),
        ("", "{}"),
    ];
    for (a, b) in rows.into_iter().chain(owned.iter().map(|(a, b)| (a.as_str(), b.as_str()))) {
        assert_ne!(a, b);
        assert_eq!(bash(a), bash(b), "{a:.80} {b:.80}");
    }
    assert_eq!(call("Bash", None), bash("{}"));
    assert_eq!(call("Agent", Some(r#"{"prompt":"x"}"#)), call("Task", Some(r#"{"prompt":"x"}"#)));
}

#[test]
fn calls_with_other_arguments_differ() {
    let deep = |n: usize| format!("{}1{}", "[".repeat(n), "]".repeat(n));
    let long = "x".repeat(20_000);
    let mut wrong_hash = cut(&long, 10);
    wrong_hash["$bursar_cut"]["xxh3_128"] = json!("0".repeat(32));
    let mut wrong_length = cut(&long, 10);
    wrong_length["$bursar_cut"]["bytes"] = json!(20_001);
    let mut more = cut(&long, 10);
    more["b"] = json!(1);
    let all = [
        "{}",
        "[]",
        "0",
        "\"\"",
        "true",
        "\"true\"",
        "false",
        r#"["a","b"]"#,
        r#"["ab"]"#,
        r#"["a",["b"]]"#,
        r#"[["a"],"b"]"#,
        r#"{"a":1}"#,
        r#"["a",1]"#,
        r#"{"a":null}"#,
        r#"{"a":{}}"#,
        r#"{"a":[]}"#,
        r#"{"a":""}"#,
        r#"{"a":" 3"}"#,
        r#"{"a":"3"}"#,
        r#"{"a":"03"}"#,
        r#"{"a":"007"}"#,
        r#"{"a":"7"}"#,
        r#"{"a":"+3"}"#,
        r#"{"a":"3."}"#,
        r#"{"a":".3"}"#,
        r#"{"a":"1.2.3"}"#,
        r#"{"a":"-"}"#,
        r#"{"a":-3}"#,
        r#"{"a":30}"#,
        r#"{"a":0.3}"#,
        r#"{"a":9007199254740993}"#,
        r#"{"a":9007199254740992}"#,
        r#"{"a":18446744073709551617}"#,
        r#"{"a":18446744073709551616}"#,
        r#"{"a":0.1234567890123456789}"#,
        r#"{"a":0.1234567890123456788}"#,
        r#"{"a":1e400}"#,
        r#"{"a":1e401}"#,
        r#"{"a":"0e462097"}"#,
        r#"{"a":"0e830400"}"#,
        r#"{"a":0}"#,
        r#"{"a":"1e99999999999"}"#,
        r#"{"a":"3e0x"}"#,
        r#"{"a":"e3"}"#,
        // Bookkeeping is dropped at the top, and only where something else is left.
        r#"{"reason":"a"}"#,
        r#"{"reason":"b"}"#,
        r#"{"description":"a","reason":"a"}"#,
        r#"{"a":{"reason":"a"}}"#,
        r#"{"a":{"reason":"b"}}"#,
        r#"[{"reason":"a"}]"#,
        r#"{"Reason":"a"}"#,
        // No JSON.
        "{",
        "{}}",
        "nul",
        "{1:2}",
        r#""{1:2}""#,
        r#"{"1":2}"#,
        r#"["\ud83d"]"#,
        r#"["\ud83e"]"#,
        "[01]",
        "[1]",
        "[-]",
        "[1.]",
        r#""open"#,
    ];
    let mut all: Vec<String> = all.into_iter().map(str::to_owned).collect();
    all.extend([deep(100), deep(101), deep(200), deep(201), deep(100_000)]);
    all.extend([cut(&long, 10), wrong_hash, wrong_length, more, json!([long])].map(|v| v.to_string()));
    for (i, a) in all.iter().enumerate() {
        assert_eq!(bash(a), bash(a));
        for b in &all[..i] {
            assert_ne!(bash(a), bash(b), "{a:.80} {b:.80}");
        }
    }
    assert_ne!(call("Read", Some("{}")), call("Glob", Some("{}")));
    assert_ne!(call("a", Some(r#""b""#)), call("ab", Some(r#""""#)));
}

#[test]
fn prints_are_written_as_sixteen_digits() {
    let print = id("toolu_1");
    let text = print.to_string();
    assert!(text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit()), "{text}");
    assert_eq!(to_value(print).unwrap(), json!(text));
    assert_eq!(from_value::<Print>(json!(text)).unwrap(), print);
    assert_eq!(from_value::<Print>(json!("00000000000000ff")).unwrap().to_string(), "00000000000000ff");
    for bad in [json!(""), json!("ff"), json!("+0000000000000ff"), json!("000000000000000g"), json!(7)] {
        assert!(from_value::<Print>(bad.clone()).is_err(), "{bad}");
    }
    assert_ne!(id("toolu_1"), id("toolu_2"));
    assert_ne!(id("toolu_1"), outcome(true, Some(r#""toolu_1""#)));
    // Stored and compared over restarts: they must not change.
    let pinned =
        [id("a"), call("Bash", Some(r#"{"n":1.5,"a":[null,true,"x"]}"#)), outcome(true, Some("in 3s"))];
    assert_eq!(pinned.map(|p| p.to_string()), ["b9922af984c24066", "90fdbb8fbec92b87", "d8a9527bdd4c5182"]);
}

/// Texts of JSON in texts of JSON, each nested deep: an agent may print what it likes.
#[test]
fn json_in_json_is_looked_into_no_deeper_than_the_stack_allows() {
    let mut text = "[1]".to_owned();
    while text.len() < 14_000 {
        let quoted = text.replace('\\', "\\u005c").replace('"', "\\u0022");
        text = format!("{}\"{quoted}\"{}", "[".repeat(120), "]".repeat(120));
    }
    let deep = std::thread::Builder::new().stack_size(512 * 1_024);
    let printed = deep.spawn(move || outcome(true, Some(&text)));
    assert!(printed.expect("a thread").join().is_ok());
}
