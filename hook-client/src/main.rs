//! The hook client of Bursar: standard input in, verdict out.
//!
//! **Architecture invariants.** No async runtime, no threads, no path and no switch from the environment. Whatever goes
//! wrong, the agent goes on: exit 0 and not a byte, unless a marker says that its session is shut.

mod absent;
mod args;
mod ask;
mod facts;
mod spool;

use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use bursar_protocol::answer::Answer;

/// Room for most payloads, so that they are read in one piece. Nothing is too large.
const USUAL_PAYLOAD_BYTES: usize = 16 * 1024;

fn main() -> ExitCode {
    let args = args::Args::from_command_line(std::env::args_os());
    let mut payload = Vec::with_capacity(USUAL_PAYLOAD_BYTES);
    // What was read up to an error is judged like any other malformed input.
    let _ = std::io::stdin().lock().read_to_end(&mut payload);
    let answer = ask::ask(&args, &payload).unwrap_or_else(|why| absent::answer(&args, &payload, why));
    print(&answer)
}

fn print(answer: &Answer) -> ExitCode {
    // A client that closed its end wants no answer.
    let _ = std::io::stdout().lock().write_all(answer.stdout.as_bytes());
    let _ = std::io::stderr().lock().write_all(answer.stderr.as_bytes());
    ExitCode::from(answer.exit)
}
