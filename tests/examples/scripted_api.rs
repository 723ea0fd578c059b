//! A model that costs nothing, to see Bursar at work with a real client: each answer runs a shell command and claims
//! the tokens that the first argument names (20,000 unless given). It prints what the client's environment needs.
#![allow(clippy::print_stdout, reason = "what it is for")]

use std::thread::sleep;
use std::time::Duration;

use bursar_tests::api::{Script, ScriptedApi, Turn, Usage};

fn main() {
    let tokens = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(20_000);
    let work = (1..200).map(|n| {
        Turn::bash(&format!("sleep 1; echo step {n}"), Usage::plain(tokens - 100, 100).cached(50_000, 0, 0))
            .after_saying(&format!("Step {n}."))
    });
    let turns = work.chain([Turn::says("All steps are done.", Usage::plain(100, 100))]);
    let api = ScriptedApi::start(Script::main(turns));
    println!("export ANTHROPIC_BASE_URL={} ANTHROPIC_API_KEY=sk-ant-fake-0000", api.base_url());
    println!("export CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 DISABLE_AUTOUPDATER=1");
    loop {
        sleep(Duration::from_secs(3_600));
    }
}
