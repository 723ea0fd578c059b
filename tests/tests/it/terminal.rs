//! In a real terminal: a held session says so, goes on after the extension, and Esc still interrupts.

use std::thread::sleep;
use std::time::{Duration, Instant};

use bursar_tests::api::{Kind, Script, ScriptedApi, Turn};
use bursar_tests::daemon::Bursar;
use bursar_tests::terminal::Terminal;
use bursar_tests::wait;

use crate::common::{SOON, bare, thousand, tokens};

const WATCH: Duration = Duration::from_secs(2);

/// The spinner's words while a hook of ours runs; the client cuts them.
const SPINNER: &str = "Bursar: if this stays";

/// A surface says how a hold ended within a second; some more for the keys and the commands that look.
const A_SECOND_OR_SO: Duration = Duration::from_secs(3);

#[test]
fn a_held_session_shows_its_spinner_and_goes_on_after_the_extension() {
    let world = bare();
    let bursar = Bursar::up(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "2000")]);
    let api = ScriptedApi::start(Script::main([
        Turn::bash("true", thousand()),
        Turn::bash("echo two", thousand()),
        Turn::says("All done.", thousand()),
        Turn::says("And more.", thousand()),
    ]));
    let terminal = Terminal::start(&world, &api, &[]);
    terminal.type_line("do it");
    let hold = bursar.wait_for_hold();
    assert_eq!(hold.event, "PostToolBatch");
    terminal.wait_for(SPINNER, SOON);
    api.log().assert_silent_for(WATCH, "the session is held");
    assert!(terminal.screen().contains(SPINNER), "{}", terminal.screen());
    assert_eq!(api.log().count_of(&Kind::Main), 2);
    bursar.done(&["extend", "+100k"]);
    terminal.wait_for("All done.", SOON);
    assert_eq!(bursar.how_it_ended(hold.hold_id), "extended");
    // The session takes prompts as before.
    terminal.type_line("go on");
    terminal.wait_for("And more.", SOON);
}

#[test]
fn escape_interrupts_a_held_session_and_the_hold_says_that_its_client_is_gone() {
    let world = bare();
    let bursar = Bursar::up(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "1000")]);
    let api = ScriptedApi::start(Script::main([
        Turn::bash("true", thousand()),
        Turn::says("After all.", thousand()),
    ]));
    let terminal = Terminal::start(&world, &api, &[]);
    terminal.type_line("do it");
    let hold = bursar.wait_for_hold();
    terminal.wait_for(SPINNER, SOON);
    let pressed = Instant::now();
    terminal.press("Escape");
    assert_eq!(bursar.how_it_ended(hold.hold_id), "client_gone");
    let after = pressed.elapsed();
    assert!(after < A_SECOND_OR_SO, "the hold's end was said after {after:?}");
    terminal.wait_for("Interrupted", SOON);
    // The prompt of a person in a paused session is refused, and says why; nothing is sent.
    terminal.type_line("go on");
    terminal.wait_for("bursar extend", SOON);
    api.log().assert_silent_for(WATCH, "a refused prompt");
    assert_eq!(api.log().count_of(&Kind::Main), 1);
    bursar.extend(&hold.budget_id, 100_000);
    terminal.type_line("go on now");
    terminal.wait_for("After all.", SOON);
}

#[test]
fn a_declined_session_in_a_terminal_ends_its_turn_and_says_why() {
    let world = bare();
    let bursar = Bursar::up(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "1000")]);
    let api =
        ScriptedApi::start(Script::main([Turn::bash("true", thousand()), Turn::says("Never.", thousand())]));
    let terminal = Terminal::start(&world, &api, &[]);
    terminal.type_line("do it");
    let hold = bursar.wait_for_hold();
    bursar.decline(&hold.budget_id);
    terminal.wait_for("an operator declined more", SOON);
    api.log().assert_silent_for(WATCH, "the turn has ended");
    assert_eq!(api.log().count_of(&Kind::Main), 1);
}

#[test]
fn a_closed_terminal_is_a_client_gone() {
    let world = bare();
    let bursar = Bursar::up(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "1000")]);
    let api =
        ScriptedApi::start(Script::main([Turn::bash("true", thousand()), Turn::says("Never.", thousand())]));
    let terminal = Terminal::start(&world, &api, &[]);
    terminal.type_line("do it");
    let hold = bursar.wait_for_hold();
    terminal.close();
    assert_eq!(bursar.how_it_ended(hold.hold_id), "client_gone");
    assert_eq!(bursar.budget(&hold.budget_id).expect("the budget").status, "paused");
}

#[test]
fn in_ask_mode_the_person_is_asked_about_the_call_and_told_why() {
    let world = bare();
    let bursar =
        Bursar::up(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "1000"), ("TOKEN_BUDGET_ON_PAUSE", "ask")]);
    let api = ScriptedApi::start(Script::main([
        Turn::bash("true", thousand()),
        Turn::bash("touch asked.txt", tokens(100)),
        Turn::says("All done.", tokens(50)),
    ]));
    let terminal = Terminal::start(&world, &api, &[]);
    terminal.type_line("do it");
    terminal.wait_for("Do you want to proceed?", SOON);
    terminal.wait_for("of 1,000 tokens", SOON);
    assert!(!world.project().join("asked.txt").exists(), "it did not wait for the person");
    // The first of the client's answers is yes. A key that comes while it still draws is lost.
    wait::until_true("the approved call", SOON, || {
        terminal.press("Enter");
        sleep(Duration::from_millis(300));
        world.project().join("asked.txt").exists()
    });
    assert!(bursar.holds().is_empty());
}
