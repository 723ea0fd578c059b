//! `bursar`: the daemon and the operator's commands.

use std::process::ExitCode;

fn main() -> ExitCode {
    bursar::cli::run()
}
