//! The harness in a terminal, without Bursar.

use std::time::Duration;

use bursar_tests::api::{Kind, Script, ScriptedApi, Turn};
use bursar_tests::terminal::Terminal;
use bursar_tests::wait;

use crate::common::{SOON, recorded, usage};

#[test]
fn a_held_batch_shows_its_spinner_and_escape_interrupts() {
    let (world, recorder) = recorded();
    let script = Script::main([
        Turn::bash("echo one", usage(1)),
        Turn::says("Not yet.", usage(2)),
        Turn::says("After all.", usage(3)),
    ]);
    let api = ScriptedApi::start(script);
    recorder.hold("PostToolBatch");
    let terminal = Terminal::start(&world, &api, &[]);
    terminal.type_line("do it");
    wait::until_true("the batch", SOON, || recorder.events_of("PostToolBatch").len() == 1);
    terminal.wait_for("running PostToolBatch hook", SOON);
    api.log().assert_silent_for(Duration::from_secs(1), "the batch is held");
    terminal.press("Escape");
    terminal.wait_for("Interrupted", SOON);
    recorder.release("PostToolBatch");
    terminal.type_line("go on");
    terminal.wait_for("Not yet.", SOON);
    assert_eq!(api.log().count_of(&Kind::Main), 2);
}

#[test]
fn compaction_in_a_terminal_is_seen_and_can_be_refused() {
    let (world, recorder) = recorded();
    let api =
        ScriptedApi::start(Script::main([Turn::bash("echo one", usage(1)), Turn::says("Done.", usage(2))]));
    let terminal = Terminal::start(&world, &api, &[]);
    terminal.type_line("do it");
    terminal.wait_for("Done.", SOON);
    terminal.type_line("/compact");
    terminal.wait_for("Compacted", SOON);
    assert_eq!(api.log().count_of(&Kind::Compact), 1);
    recorder.refuse("PreCompact", "not now");
    terminal.type_line("/compact");
    terminal.wait_for("Compaction blocked by PreCompact hook", SOON);
    assert_eq!(api.log().count_of(&Kind::Compact), 1);
    assert_eq!(recorder.events_of("UserPromptSubmit").len(), 1, "a compaction is no prompt");
}
