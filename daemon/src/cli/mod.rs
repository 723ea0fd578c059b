//! The commands. Each is a client of the socket; `daemon` is the daemon itself.

mod act;
mod audit;
mod circuit;
mod client;
mod config;
mod daemon;
mod demo;
mod install;
mod operator;
mod output;
mod replay;
mod sessions;
mod show;
mod statusline;
mod task;
mod tty;
mod unlock;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use bursar_protocol::message::{OperatorAct, Query};
use bursar_protocol::paths::Paths;
use clap::{Args, Parser, Subcommand};

use output::{Color, Failure, Output};

/// Keeps the purse of coding agents: counts what Claude Code sessions spend, holds them at their limit, and lets them
/// go on when you say so.
#[derive(Debug, Parser)]
#[command(name = "bursar", version, max_term_width = 100)]
struct Cli {
    /// Print the daemon's JSON instead of text
    #[arg(long, global = true)]
    json: bool,
    /// When to use colour
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    color: Color,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve (in the foreground, or detached)
    Daemon(DaemonArgs),
    /// Put the hooks into Claude Code's settings
    Install(install::InstallArgs),
    /// Take the hooks out of Claude Code's settings again
    Uninstall(install::UninstallArgs),
    /// What the daemon is doing, and where each setting comes from
    Status,
    /// List sessions, or show one
    Sessions(SessionsArgs),
    /// The ledger: explain
    Ledger {
        #[command(subcommand)]
        verb: LedgerVerb,
    },
    /// Budgets: list, show, extend, finish, reset, decline, set
    Budget {
        #[command(subcommand)]
        verb: BudgetVerb,
    },
    /// Circuits: list, show, acknowledge, reset, decline
    Circuit {
        #[command(subcommand)]
        verb: circuit::CircuitVerb,
    },
    /// Tasks: start, end
    Task {
        #[command(subcommand)]
        verb: task::TaskVerb,
    },
    /// Alerts: list, acknowledge
    Alerts {
        #[command(subcommand)]
        verb: AlertsVerb,
    },
    /// The last verdicts, and why
    Hooks {
        /// How many
        #[arg(long, default_value_t = 20)]
        limit: u32,
    },
    /// Who waits for you
    Waiting {
        /// Also those that no longer wait, and how that ended
        #[arg(long)]
        all: bool,
    },
    /// Approve more for what waits: `bursar extend +100k`
    Extend(act::ShortExtend),
    /// Approve just enough to finish
    Finish(act::FinishArgs),
    /// Stop what waits (the same as `budget decline`)
    Stop(act::Target),
    /// The operator's passphrase: set, reset, unlock, lock, status
    Operator {
        #[command(subcommand)]
        verb: operator::Verb,
    },
    /// Settings: show, accept
    Config {
        #[command(subcommand)]
        verb: config::Verb,
    },
    /// The acts of operators, done or refused
    Audit {
        /// How many
        #[arg(long, default_value_t = 20)]
        limit: u32,
    },
    /// What Claude Code's status line shows of its session; `install` registers it
    Statusline(statusline::StatuslineArgs),
    /// Tell past sessions to the circuit breaker again: what would have tripped, where, and why
    Replay(replay::ReplayArgs),
    /// See it at work with a pretend agent: nothing of yours is touched, nothing is spent
    Demo(demo::DemoArgs),
}

#[derive(Debug, Args)]
struct DaemonArgs {
    /// Go into the background and return once it serves
    #[arg(long)]
    detach: bool,
    /// With --detach: take the place of the daemon that serves here
    #[arg(long, requires = "detach")]
    replace: bool,
}

#[derive(Debug, Args)]
struct SessionsArgs {
    #[command(subcommand)]
    verb: Option<SessionsVerb>,
    /// Also those that ended
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Subcommand)]
enum SessionsVerb {
    /// One session: its tokens by kind, model and agent
    Show {
        /// Its id, or a beginning of it that is unique
        id: String,
    },
}

#[derive(Debug, Subcommand)]
enum LedgerVerb {
    /// A session request by request: where each number comes from, and what is missing
    Explain {
        /// The session's id, or a beginning of it that is unique
        id: String,
        /// How many of its newest rows (1,000 unless said)
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: Option<u32>,
    },
}

#[derive(Debug, Subcommand)]
enum BudgetVerb {
    /// All budgets
    List,
    /// One budget
    Show {
        /// Its id; `session:` may be left out, and a unique beginning is enough
        id: String,
    },
    /// Add tokens or dollars to a budget's limit
    Extend(act::LongExtend),
    /// Approve just enough to finish
    Finish(act::FinishArgs),
    /// Begin a budget anew at zero
    Reset(act::NamedTarget),
    /// Stop what a budget holds and keep it shut
    Decline(act::Target),
    /// Set a budget's limits, or shut it at once
    Set(act::SetArgs),
}

#[derive(Debug, Subcommand)]
enum AlertsVerb {
    /// Alerts not yet seen
    List {
        /// Also those seen
        #[arg(long)]
        all: bool,
    },
    /// Mark an alert as seen; without an id all of them
    Acknowledge {
        /// The alert's id
        id: Option<String>,
    },
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    run_with(std::env::args_os())
}

fn run_with(args: impl Iterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(e) => {
            // Help and version are answers, everything else is wrong use.
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { 2 } else { 0 });
        }
    };
    let output = Output::new(cli.json, cli.color);
    match dispatch(cli.command, &output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => output.fail(&failure),
    }
}

fn dispatch(command: Command, output: &Output) -> Result<(), Failure> {
    if let Command::Demo(args) = &command {
        return demo::run(args, output);
    }
    if let Command::Statusline(args) = &command {
        statusline::run(args);
        return Ok(());
    }
    let paths = Paths::from_env(env).map_err(|e| Failure::wrong_use(&e.to_string(), ""))?;
    match command {
        Command::Daemon(args) => daemon::run(paths, args.detach, args.replace, output),
        Command::Install(args) => install::install(&paths, &args, output),
        Command::Uninstall(args) => install::uninstall(&paths, &args, output),
        Command::Status => show::status(&paths, output),
        Command::Sessions(SessionsArgs { verb: None, all }) => sessions::sessions(&paths, all, output),
        Command::Sessions(SessionsArgs { verb: Some(SessionsVerb::Show { id }), .. }) => {
            sessions::session(&paths, &id, output)
        }
        Command::Ledger { verb: LedgerVerb::Explain { id, limit } } => {
            sessions::explain(&paths, &id, limit, output)
        }
        Command::Budget { verb } => budget(&paths, verb, output),
        Command::Circuit { verb } => circuit::run(&paths, verb, output),
        Command::Task { verb } => task::run(&paths, verb, output),
        Command::Alerts { verb: AlertsVerb::List { all } } => show::alerts(&paths, all, output),
        Command::Alerts { verb: AlertsVerb::Acknowledge { id } } => {
            act::act(&paths, OperatorAct::AcknowledgeAlert { alert_id: id }, &act::Words::default(), output)
        }
        Command::Hooks { limit } => show::hooks(&paths, limit, output),
        Command::Waiting { all } => show::waiting(&paths, all, output),
        Command::Extend(args) => act::short_extend(&paths, &args, output),
        Command::Finish(args) => act::finish(&paths, &args, output),
        Command::Stop(target) => act::decline(&paths, &target, output),
        Command::Operator { verb } => operator::run(&paths, verb, output),
        Command::Config { verb } => config::run(&paths, verb, output),
        Command::Audit { limit } => audit::run(&paths, limit, output),
        Command::Replay(args) => replay::run(&paths, &args, output),
        Command::Demo(args) => demo::run(&args, output),
        Command::Statusline(args) => {
            statusline::run(&args);
            Ok(())
        }
    }
}

fn budget(paths: &Paths, verb: BudgetVerb, output: &Output) -> Result<(), Failure> {
    match verb {
        BudgetVerb::List => show::budgets(paths, output),
        BudgetVerb::Show { id } => {
            let id = client::budget_id(paths, &id)?;
            show::budget(paths, Query::Budget { id }, output)
        }
        BudgetVerb::Extend(args) => act::long_extend(paths, &args, output),
        BudgetVerb::Finish(args) => act::finish(paths, &args, output),
        BudgetVerb::Reset(target) => act::reset(paths, &target, output),
        BudgetVerb::Decline(target) => act::decline(paths, &target, output),
        BudgetVerb::Set(args) => act::set(paths, &args, output),
    }
}

/// A variable of the environment; one that is not text counts as unset.
fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The folder of this executable, where the hook client stands beside it.
fn beside_this_program(name: &str) -> Option<PathBuf> {
    Some(std::env::current_exe().ok()?.canonicalize().ok()?.parent()?.join(name))
}
