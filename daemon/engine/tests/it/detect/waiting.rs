//! A wait or a poll that is stuck.

use bursar_engine::detect::Detector::{Cycle, FailingCall, RepeatedCall, StuckWait};

use crate::support::calls::Agent;

type Poll = fn(&mut Agent, usize);

const POLLS: [Poll; 10] = [
    |agent, _| agent.makes("BashOutput", "{\"bash_id\":\"1\"}", true, "<status>running</status>"),
    |agent, _| agent.makes("process", "{\"action\":\"poll\",\"id\":1}", true, "nothing"),
    |agent, _| agent.runs("curl -s x/train", true, "{\"status\":\"training\"}"),
    |agent, _| agent.runs("curl -s x/job", true, "{\\\"status\\\":\\\"in_progress\\\"}"),
    |agent, _| agent.runs("tail -n 3 log", true, "(no new output)"),
    |agent, _| agent.makes("write_stdin", "{\"chars\":\"\"}", true, "Process running with session ID 7"),
    |agent, _| agent.runs("./ready", true, "Not ready yet"),
    |agent, _| agent.runs("sleep 5", true, ""),
    |agent, _| agent.makes("job_state", "{}", true, "Pending"),
    |agent, _| agent.runs("gh pr checks", false, "Exit code 8: build pending, lint pass"),
];

#[test]
fn quick_ones_trip_at_twenty_and_slow_ones_at_sixty() {
    for (n, poll) in POLLS.iter().enumerate() {
        let mut agent = Agent::new();
        agent.life.step_ms = 9_000;
        assert_eq!(agent.over_and_over(70, poll), Some((20, StuckWait)), "{n}");
        assert_eq!(agent.heard, [(8, StuckWait), (16, StuckWait)], "{n}");
        let mut agent = Agent::new();
        agent.life.step_ms = 10_000;
        assert_eq!(agent.over_and_over(70, poll), Some((60, StuckWait)), "{n}");
    }
}

#[test]
fn another_answer_and_other_work_begin_it_anew() {
    let mut agent = Agent::new();
    let moving = |agent: &mut Agent, n: usize| {
        agent.makes("BashOutput", "{\"bash_id\":\"1\"}", true, &format!("status: running, {n} done"));
    };
    assert_eq!(agent.over_and_over(49, moving), None);
    let mut agent = Agent::new();
    let working = |agent: &mut Agent, n: usize| {
        agent.makes("BashOutput", "{\"bash_id\":\"1\"}", true, "status: running");
        agent.edits("x", &n.to_string());
    };
    assert_eq!(agent.over_and_over(30, working), None);
    assert_eq!(agent.heard.iter().filter(|(_, why)| *why == StuckWait).count(), 0);
}

type Look = fn(&mut Agent);

/// Looks that show the same each time.
const LOOKS: [Look; 5] = [
    |agent| agent.makes("TaskList", "{}", true, "#1 [in_progress] others work on it"),
    |agent| agent.makes("Read", "{\"file_path\":\"out.log\"}", true, "1 epoch 3"),
    |agent| agent.runs("cd app && tail -5 out.log", true, "epoch 3"),
    |agent| agent.runs("curl -s x/jobs/7", true, "{\"step\":3}"),
    |agent| agent.runs("docker compose logs --tail 3", true, "epoch 3"),
];

#[test]
fn who_sleeps_between_looks_waits_and_who_only_seems_to_does_not() {
    for (n, look) in LOOKS.iter().enumerate() {
        let round = |agent: &mut Agent, _| {
            agent.runs("sleep 60 && echo now", true, "now");
            look(agent);
        };
        let mut agent = Agent::new();
        agent.life.step_ms = 30_000;
        // The first look is news.
        assert_eq!(agent.over_and_over(90, round), Some((61, StuckWait)), "{n}");
        let mut agent = Agent::new();
        agent.life.step_ms = 4_000;
        assert_eq!(agent.over_and_over(90, round), Some((4, Cycle)), "{n}");
    }
    // Several looks after one wait.
    let mut agent = Agent::new();
    agent.life.step_ms = 20_000;
    let two = |agent: &mut Agent, _| {
        agent.runs("sleep 20", true, "");
        LOOKS[0](agent);
        LOOKS[2](agent);
    };
    assert_eq!(agent.over_and_over(50, two), None);
    // A board that says that its task runs still needs no sleep.
    let task = |agent: &mut Agent, _| agent.makes("TaskGet", "{}", true, "status: in_progress");
    let mut agent = Agent::new();
    agent.life.step_ms = 30_000;
    assert_eq!(agent.over_and_over(90, task), Some((61, StuckWait)));
    // Beside a poll that tells that something runs still, a look is a look.
    let mut agent = Agent::new();
    agent.life.step_ms = 10_000;
    let beside = |agent: &mut Agent, _| {
        agent.runs("ls", true, "a b");
        agent.makes("TaskOutput", "{}", true, "still running");
    };
    assert_eq!(agent.over_and_over(9, beside), Some((4, Cycle)));
    // What does something is no look, however long it waits between.
    let mut agent = Agent::new();
    agent.life.step_ms = 30_000;
    let retries = |agent: &mut Agent, _| {
        agent.runs("sleep 60", true, "");
        agent.runs("make deploy", true, "deployed nothing");
    };
    assert_eq!(agent.over_and_over(9, retries), Some((4, Cycle)));
}

#[test]
fn what_has_ended_is_waited_for_no_longer_and_words_alone_make_no_wait() {
    for (tool, output) in [
        ("BashOutput", "<status>completed</status> ok"),
        ("Bash", "running 3 tests\ntest result: ok. 3 passed"),
        ("Bash", "On branch main, nothing pending here to see"),
        ("TodoRead", "1. status: in_progress"),
        ("mcp__git__git_status", "clean"),
    ] {
        let mut agent = Agent::new();
        let same = |agent: &mut Agent, _: usize| agent.makes(tool, "{\"command\":\"x\"}", true, output);
        assert_eq!(agent.over_and_over(9, same), Some((5, RepeatedCall)), "{output}");
    }
    // Nor does what fails: nobody waits for what is not there.
    let mut agent = Agent::new();
    let gone =
        |agent: &mut Agent, _: usize| agent.makes("BashOutput", "{}", false, "No shell found with id 1");
    assert_eq!(agent.over_and_over(9, gone), Some((5, RepeatedCall)));
    // Who sleeps before each look waits, and fails as often as any call may.
    let not_yet = |agent: &mut Agent, _: usize| {
        agent.runs("sleep 30 && cat out.json", false, "cat: out.json: No such file or directory");
    };
    let mut agent = Agent::new();
    agent.life.step_ms = 30_000;
    assert_eq!(agent.over_and_over(9, not_yet), Some((7, FailingCall)));
}
