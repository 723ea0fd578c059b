//! `bursar demo`.

use bursar_protocol::paths::Paths;
use clap::Args;

use super::output::{Failure, Output};
use crate::demo::{self, DemoError, Options};

/// `bursar demo`.
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Answer by itself, rather than wait for you to do it in a second terminal
    #[arg(long)]
    auto: bool,
    /// Stand in for Claude Code: run the hooks that standard input asks for
    #[arg(long, hide = true)]
    play_client: bool,
}

/// Shows the demo. It takes nothing from this user's environment, not even a home.
pub(super) fn run(args: &DemoArgs, output: &Output) -> Result<(), Failure> {
    if output.json {
        let hint = "Leave --json out; the commands that it shows take it.";
        return Err(Failure::wrong_use("The demo is for people to read; it prints no JSON.", hint));
    }
    let done = if args.play_client {
        play_client()
    } else {
        demo::run(Options { auto: args.auto, colour: output.colour() })
    };
    done.map_err(|e| failure(&e))
}

fn play_client() -> Result<(), DemoError> {
    let missing = || DemoError::NoHookClient("bursar-hook".into());
    let hook_client = super::beside_this_program("bursar-hook").ok_or_else(missing)?;
    let paths = Paths::from_env(super::env).map_err(|e| DemoError::NoAnswer(e.to_string()))?;
    demo::play_client(&paths, &hook_client)
}

fn failure(e: &DemoError) -> Failure {
    let hint = match e {
        DemoError::NoHookClient(_) => "Build it with `cargo build -p bursar-hook`, or run `make demo`.",
        DemoError::NoFolder { .. } => "Name another folder in TMPDIR.",
        DemoError::SetElsewhere { .. } => "Run the demo where that file does not set it.",
        DemoError::NobodyAnswered(_) => "`bursar demo --auto` answers itself.",
        DemoError::TooLate(_) => "On a busy machine, try it again.",
        DemoError::DidNotStart(_)
        | DemoError::NoAnswer(_)
        | DemoError::Interrupted(_)
        | DemoError::Io { .. } => "",
    };
    let message = match e {
        DemoError::Interrupted(_) => "Ended before its time.".to_owned(),
        e => sentence(&e.to_string()),
    };
    let failure = Failure::refused("demo", &message, hint);
    match e {
        // As shells say it of a program that a signal ended.
        DemoError::Interrupted(signal) => Failure { exit: 128 + signal, ..failure },
        _ => failure,
    }
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    let end = if text.ends_with('.') { "" } else { "." };
    format!("{first}{}{end}", letters.as_str())
}
