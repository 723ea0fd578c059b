//! `bursar replay`: past sessions, and files of scenarios, told to the circuit breaker again. It asks no daemon and touches
//! nothing that lives.

use std::io::{IsTerminal as _, Write as _};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use bursar_engine::policy::{CircuitPolicy, Limit, Profile};
use bursar_protocol::message::Amount;
use bursar_protocol::paths::Paths;
use clap::{Args, ValueEnum};

use self::report::Report;
use super::output::{Failure, Output};
use crate::config::Config;
use crate::replay::files::{self, Lines, ReplayError, SessionFiles, Source};
use crate::replay::scenario::Scenario;
use crate::replay::session::{self, Told, Trial};

mod report;

/// From so many sessions on a terminal is told how far it is.
const SHOWN_FROM: usize = 8;

/// The most sessions that are read at once.
const MAX_THREADS: usize = 8;

/// Which rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Rules {
    /// Outcomes decide
    Evidence,
    /// Calls are counted: 5 the same in a row, 50 in all, 20 in 10 seconds
    Strict,
    /// None
    Off,
}

/// `bursar replay`.
#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// Which rules (else those of your settings)
    #[arg(long, value_enum)]
    profile: Option<Rules>,
    /// Also what a session's limit would have done: 500k, or '$5'
    #[arg(long, value_name = "AMOUNT")]
    budget: Option<String>,
    /// List sessions without anything to tell, too
    #[arg(long)]
    all: bool,
    /// Transcripts, files of scenarios, or folders of them; gzip too
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

pub(super) fn run(paths: &Paths, args: &ReplayArgs, output: &Output) -> Result<(), Failure> {
    let config = Config::load(super::env, &paths.config)
        .map_err(|e| Failure::wrong_use(&e.to_string(), "Mend it, then try again."))?;
    let profile = match args.profile {
        None => config.policy.circuits.profile,
        Some(Rules::Evidence) => Profile::Evidence,
        Some(Rules::Strict) => Profile::Strict,
        Some(Rules::Off) => Profile::Off,
    };
    let circuits = CircuitPolicy { profile, ..config.policy.circuits };
    let limit = args.budget.as_deref().map(limit).transpose()?;
    let trial = limit.map(|limit| Trial { limit, policy: &config.policy, prices: &config.prices });
    let found = files::find(&args.paths).map_err(|e| unusable(&e))?;
    let (mut sessions, mut scenarios) = (Vec::new(), Vec::new());
    for source in found.sources {
        match source {
            Source::Session(files) => sessions.push(files),
            Source::Scenarios(path) => scenarios.push(path),
        }
    }
    let mut report = Report::new(output, profile, limit, args.all);
    for path in &scenarios {
        tell_scenarios(path, &circuits, &mut report)?;
    }
    report.end_of_scenarios();
    tell_sessions(&sessions, &circuits, trial, &mut report);
    report.end(found.passed_over)
}

fn limit(text: &str) -> Result<Limit, Failure> {
    match super::act::written_amount(text)? {
        Amount::Exact { tokens, micro_usd } if tokens > 0 || micro_usd > 0 => Ok(Limit { tokens, micro_usd }),
        _ => Err(Failure::wrong_use(&format!("{text:?} is no limit"), "Write 500k, or '$5'.")),
    }
}

fn unusable(e: &ReplayError) -> Failure {
    let hint = match e {
        ReplayError::Io { .. } => "Claude Code keeps transcripts in ~/.claude/projects.",
        ReplayError::Unknown(_) => {
            "A transcript has JSON objects with a \"type\", a scenario \"name\" and \"calls\"."
        }
        ReplayError::Scenario { .. } => {
            "A scenario has \"name\" and \"calls\", each with \"tool\", \"input\", \"ok\", \"output\", \"t\"."
        }
    };
    Failure::wrong_use(&e.to_string(), hint)
}

fn tell_scenarios(path: &Path, circuits: &CircuitPolicy, report: &mut Report<'_>) -> Result<(), Failure> {
    let mut lines = Lines::open(path).map_err(|e| unusable(&e))?;
    let mut number = 0;
    while let Some(line) = lines.next_line().map_err(|e| unusable(&e))? {
        number += 1;
        let line = String::from_utf8_lossy(&line);
        if line.trim().is_empty() {
            continue;
        }
        match Scenario::read(&line) {
            Ok(scenario) => report.scenario(&scenario, &scenario.replay(circuits)),
            // The others are told all the same.
            Err(why) => report.failed(&ReplayError::Scenario { path: path.to_owned(), line: number, why }),
        }
    }
    Ok(())
}

/// Several at once, and told in their order.
fn tell_sessions(
    sessions: &[SessionFiles],
    circuits: &CircuitPolicy,
    trial: Option<Trial<'_>>,
    report: &mut Report<'_>,
) {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(MAX_THREADS);
    let next = AtomicUsize::new(0);
    let (tell, told) = mpsc::channel::<(usize, Result<Told, ReplayError>)>();
    let progress = Progress::of(sessions.len());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (tell, next) = (tell.clone(), &next);
            scope.spawn(move || {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let Some(files) = sessions.get(n) else { break };
                    if tell.send((n, session::replay(files, circuits, trial))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(tell);
        let mut early = std::collections::BTreeMap::new();
        let mut shown = 0;
        for (done, (n, result)) in told.iter().enumerate() {
            progress.show(done + 1);
            early.insert(n, result);
            while let (Some(result), Some(files)) = (early.remove(&shown), sessions.get(shown)) {
                match result {
                    Ok(told) => report.session(&files.name, &told),
                    Err(e) => report.failed(&e),
                }
                shown += 1;
            }
        }
    });
    progress.clear();
}

/// How far it is, on a terminal.
struct Progress {
    total: usize,
    shown: bool,
}

impl Progress {
    fn of(total: usize) -> Self {
        Self { total, shown: total >= SHOWN_FROM && std::io::stderr().is_terminal() }
    }

    fn show(&self, done: usize) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r{done} of {} sessions", self.total);
        }
    }

    fn clear(&self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
