//! The bytes of each version of the wire, frozen. `golden/v<version>/` holds whole frames, a name and its hex a line;
//! once written they never change. A new message is appended by `BLESS=1 cargo test -p bursar-protocol --test golden`,
//! which adds what is missing and leaves every line that is there.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::fmt::{Debug, Write as _};
use std::fs;
use std::path::{Path, PathBuf};

use bursar_protocol::frame::{HEADER_BYTES, Header};
use bursar_protocol::message::{
    Amount, Cut, FromDaemon, HookFrame, OperatorAct, OperatorFrame, Query, ToDaemon,
};
use bursar_protocol::secret::Secret;
use bursar_protocol::status_line::{PlanWindow, StatusLine};
use bursar_protocol::{MIN_VERSION, VERSION, codec};
use serde::Serialize;
use serde::de::DeserializeOwned;

type Cases<M> = Vec<(&'static str, M)>;

fn file(version: u8, direction: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    dir.join(format!("v{version}")).join(format!("{direction}.txt"))
}

fn frozen(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(n, hex)| (n.to_owned(), bytes(hex)))
        .collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Adds what is missing to the newest version's file. What is there is never changed.
fn bless<M: Serialize>(path: &Path, cases: &Cases<M>) {
    let known = frozen(path);
    let mut text = fs::read_to_string(path).unwrap_or_default();
    for (name, message) in cases.iter().filter(|(name, _)| !known.contains_key(*name)) {
        writeln!(text, "{name} {}", hex(&codec::frame(message).unwrap())).unwrap();
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Every version that is spoken reads and writes its frozen bytes, and the newest has some for each case.
fn check<M: Serialize + DeserializeOwned + PartialEq + Debug>(direction: &str, cases: &Cases<M>) {
    if std::env::var_os("BLESS").is_some() {
        bless(&file(VERSION, direction), cases);
    }
    for version in MIN_VERSION..=VERSION {
        let frozen = frozen(&file(version, direction));
        for (name, bytes) in &frozen {
            let case = cases.iter().find(|(n, _)| n == name);
            let Some((_, message)) = case else { panic!("{name} is frozen and no longer tested") };
            let (header, body) = bytes.split_first_chunk::<HEADER_BYTES>().unwrap();
            let header = Header::decode(*header).unwrap();
            assert_eq!((header.version, header.length as usize), (version, body.len()), "{name}");
            assert_eq!(&codec::message::<M>(body).unwrap(), message, "{name} reads differently");
            let written = codec::frame_as(version, message).unwrap();
            assert_eq!(hex(&written), hex(bytes), "{name} is written differently");
        }
        let missing = cases.iter().find(|(name, _)| version == VERSION && !frozen.contains_key(*name));
        assert!(missing.is_none(), "no frozen bytes in version {version}; BLESS=1 adds them: {missing:?}");
    }
}

/// Whether the values show every variant of their enum: they have the indices from zero on, and the next is refused.
fn check_all_variants<E: Serialize + DeserializeOwned>(values: impl IntoIterator<Item = E>) {
    let index =
        |value| u32::from_le_bytes(*codec::frame(&value).unwrap()[HEADER_BYTES..].first_chunk().unwrap());
    let mut indices: Vec<u32> = values.into_iter().map(index).collect();
    indices.sort_unstable();
    indices.dedup();
    let count = u32::try_from(indices.len()).unwrap();
    let of = std::any::type_name::<E>();
    assert_eq!(indices, (0..count).collect::<Vec<_>>(), "variants of {of}");
    let mut next = [0; 64];
    next[..4].copy_from_slice(&count.to_le_bytes());
    let error = codec::message::<E>(&next).err().map(|e| e.to_string()).unwrap_or_default();
    let refused = format!("expected variant index 0 <= i < {count}");
    assert!(error.contains(&refused), "{of} has a variant that no case shows: {error}");
}

fn whole_hook() -> HookFrame {
    HookFrame {
        event: Some("PreToolUse".to_owned()),
        timeout_s: Some(86_460),
        attended: true,
        ci: true,
        project_dir: Some("/home/dev/shop".to_owned()),
        client_pid: Some(4_711),
        task_id: Some("checkout".to_owned()),
        task_type: Some("implement".to_owned()),
        agent: Some("builder".to_owned()),
        cut: Cut::LongStrings,
        payload: br#"{"session_id":"s1"}"#.to_vec(),
    }
}

fn hook(cut: Cut) -> ToDaemon {
    ToDaemon::Hook(HookFrame { cut, ..HookFrame::default() })
}

fn act(act: OperatorAct) -> ToDaemon {
    ToDaemon::Operator(OperatorFrame {
        request_id: "r-1".to_owned(),
        reason: "tests are green".to_owned(),
        in_agent_shell: false,
        act,
        say: Some("mind the tests".to_owned()),
    })
}

fn cuts() -> Cases<Cut> {
    vec![
        ("hook_cut_none", Cut::None),
        ("hook_cut_long_strings", Cut::LongStrings),
        ("hook_cut_tight", Cut::Tight),
        ("hook_cut_emptied", Cut::Emptied),
        ("hook_cut_no_responses", Cut::NoResponses),
        ("hook_cut_malformed", Cut::Malformed),
    ]
}

fn amounts() -> Cases<Amount> {
    vec![
        ("extend_exact", Amount::Exact { tokens: 100_000, micro_usd: 5_000_000 }),
        ("extend_percent", Amount::Percent(25)),
    ]
}

fn acts() -> Cases<OperatorAct> {
    let id = || "session:s1".to_owned();
    let set = |tokens: Option<u64>, usd, alert, shut| OperatorAct::Set {
        budget_id: id(),
        max_tokens: tokens,
        max_micro_usd: usd,
        alert_threshold_millionths: alert,
        shut,
    };
    let extend = |(name, amount)| (name, OperatorAct::Extend { budget_id: Some(id()), amount });
    let mut acts: Cases<OperatorAct> = amounts().into_iter().map(extend).collect();
    acts.extend([
        ("extend_the_one", OperatorAct::Extend { budget_id: None, amount: Amount::Percent(u32::MAX) }),
        ("finish", OperatorAct::Finish { budget_id: Some(id()) }),
        ("finish_the_one", OperatorAct::Finish { budget_id: None }),
        ("decline", OperatorAct::Decline { budget_id: Some(id()) }),
        ("decline_the_one", OperatorAct::Decline { budget_id: None }),
        ("reset", OperatorAct::Reset { budget_id: id() }),
        ("set_limits", set(Some(u64::MAX), Some(0), Some(800_000), false)),
        ("set_shut", set(None, None, None, true)),
        ("acknowledge_alert", OperatorAct::AcknowledgeAlert { alert_id: Some("7".to_owned()) }),
        ("acknowledge_all_alerts", OperatorAct::AcknowledgeAlert { alert_id: None }),
        ("release", OperatorAct::Release),
        ("acknowledge_circuit", OperatorAct::AcknowledgeCircuit { circuit_id: Some(id()) }),
        ("acknowledge_the_one_circuit", OperatorAct::AcknowledgeCircuit { circuit_id: None }),
        ("reset_circuit", OperatorAct::ResetCircuit { circuit_id: id() }),
        ("allow_once", OperatorAct::AllowOnce { circuit_id: None }),
        ("switch_circuits", OperatorAct::SwitchCircuits { session_id: "s1".to_owned(), off: true }),
        (
            "exempt_tool",
            OperatorAct::ExemptTool { session_id: "s1".to_owned(), tool: "Bash".to_owned(), exempt: true },
        ),
        ("decline_circuit", OperatorAct::DeclineCircuit { circuit_id: Some("agent:a1".to_owned()) }),
        (
            "start_task",
            OperatorAct::StartTask {
                task: "checkout".to_owned(),
                session_id: "s1".to_owned(),
                task_type: Some("implement".to_owned()),
                max_tokens: Some(100_000),
                description: Some("pay by card".to_owned()),
            },
        ),
        ("end_task", OperatorAct::EndTask { task: "checkout".to_owned() }),
        ("unlock", OperatorAct::Unlock { passphrase: secret("correct horse") }),
        ("lock", OperatorAct::Lock),
        ("set_passphrase", OperatorAct::SetPassphrase { old: None, new: secret("correct horse") }),
        (
            "change_passphrase",
            OperatorAct::SetPassphrase { old: Some(secret("battery")), new: secret("correct horse") },
        ),
        ("unprotect", OperatorAct::Unprotect),
        ("reset_passphrase", OperatorAct::ResetPassphrase),
        ("accept_config", OperatorAct::AcceptConfig),
    ]);
    acts
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

fn queries() -> Cases<Query> {
    vec![
        ("status", Query::Status),
        ("sessions", Query::Sessions { all: false }),
        ("sessions_all", Query::Sessions { all: true }),
        ("session", Query::Session { id: "s1".to_owned() }),
        ("budgets", Query::Budgets),
        ("budget", Query::Budget { id: "task:checkout".to_owned() }),
        ("holds", Query::Holds { all: false }),
        ("holds_all", Query::Holds { all: true }),
        ("alerts", Query::Alerts { all: true }),
        ("hooks", Query::Hooks { limit: 20 }),
        ("circuits", Query::Circuits),
        ("circuit", Query::Circuit { id: "agent:a1".to_owned() }),
        ("config", Query::Config),
        ("audit", Query::Audit { limit: 20 }),
        ("ledger", Query::Ledger { id: "0b1c".to_owned(), limit: 1_000 }),
    ]
}

fn status_line() -> StatusLine {
    let window = PlanWindow { used_millionths: 425_000, resets_at: Some(1_795_455_222) };
    StatusLine {
        session_id: "s1".to_owned(),
        micro_usd: Some(47_268),
        five_hour: Some(window),
        seven_day: None,
    }
}

fn to_daemon() -> Cases<ToDaemon> {
    let agent_shell = OperatorFrame {
        request_id: String::new(),
        reason: "ä".to_owned(),
        in_agent_shell: true,
        act: OperatorAct::Release,
        say: None,
    };
    let mut cases = vec![
        ("hook_whole", ToDaemon::Hook(whole_hook())),
        ("resume", ToDaemon::Resume { hold_id: 0x0102_0304_0506_0708 }),
        ("from_an_agents_shell", ToDaemon::Operator(agent_shell)),
        ("status_line", ToDaemon::StatusLine(status_line())),
    ];
    cases.extend(cuts().into_iter().map(|(name, cut)| (name, hook(cut))));
    cases.extend(acts().into_iter().map(|(name, it)| (name, act(it))));
    cases.extend(queries().into_iter().map(|(name, query)| (name, ToDaemon::Query(query))));
    cases
}

fn from_daemon() -> Cases<FromDaemon> {
    let answer = |exit, stdout: &str, stderr: &str| FromDaemon::Answer {
        exit,
        stdout: stdout.to_owned(),
        stderr: stderr.to_owned(),
    };
    let reply = |last| FromDaemon::Reply { status: 404, last, part: r#"{"error":"not_found"}"#.to_owned() };
    vec![
        ("allow", answer(0, "", "")),
        ("stop", answer(0, r#"{"continue":false,"stopReason":"Paused."}"#, "")),
        ("deny", answer(2, "", "Budget: 9 of 9 tokens used.")),
        ("held", FromDaemon::Held { hold_id: 0x0102_0304_0506_0708 }),
        ("beat", FromDaemon::Beat),
        ("unsupported", FromDaemon::Unsupported { min: 1, max: 2 }),
        ("reply", reply(false)),
        ("last_reply", reply(true)),
    ]
}

#[test]
fn what_is_said_to_the_daemon_keeps_its_bytes() {
    check("to_daemon", &to_daemon());
}

#[test]
fn what_the_daemon_says_keeps_its_bytes() {
    check("from_daemon", &from_daemon());
}

#[test]
fn every_variant_has_frozen_bytes() {
    fn values<T>(cases: Cases<T>) -> impl Iterator<Item = T> {
        cases.into_iter().map(|(_, value)| value)
    }
    check_all_variants(values(to_daemon()));
    check_all_variants(values(from_daemon()));
    check_all_variants(values(acts()));
    check_all_variants(values(amounts()));
    check_all_variants(values(queries()));
    check_all_variants(values(cuts()));
}

#[test]
fn a_passphrase_is_not_shown() {
    for (name, message) in to_daemon() {
        let shown = format!("{message:?}");
        assert!(!shown.contains("correct horse") && !shown.contains("battery"), "{name}: {shown}");
    }
}

#[test]
fn what_is_cut_short_or_followed_by_more_is_refused() {
    for (name, message) in to_daemon() {
        let frame = codec::frame(&message).unwrap();
        let body = &frame[HEADER_BYTES..];
        for end in 0..body.len() {
            assert!(codec::message::<ToDaemon>(&body[..end]).is_err(), "{name} cut to {end} bytes");
        }
        assert!(codec::message::<ToDaemon>(&[body, &[0]].concat()).is_err(), "{name} and a byte");
    }
}
