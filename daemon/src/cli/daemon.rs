//! `bursar daemon`.

use bursar_protocol::paths::Paths;

use super::output::{Failure, Output};
use crate::app;
use crate::config::Config;
use crate::detach::{DetachError, detach};

/// Serves until told to end, or starts a daemon that does.
pub(super) fn run(paths: Paths, in_background: bool, replace: bool, output: &Output) -> Result<(), Failure> {
    // A bad setting is said here and now, in the background too.
    let config = Config::load(super::env, &paths.config).map_err(|e| Failure {
        exit: 78,
        ..Failure::wrong_use(&e.to_string(), "Mend it, then start the daemon again.")
    })?;
    if in_background {
        return background(&paths, replace, output);
    }
    let filter = tracing_subscriber::EnvFilter::try_from_env("BURSAR_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    // A log that cannot be written is no reason to end.
    tracing_subscriber::fmt()
        .log_internal_errors(false)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    app::run(paths, config)
        .map_err(|e| Failure { exit: e.exit_code(), ..Failure::refused("daemon", &e.to_string(), "") })
}

fn background(paths: &Paths, replace: bool, output: &Output) -> Result<(), Failure> {
    let started = detach(paths, replace).map_err(|e| match e {
        DetachError::AlreadyServes(_) => {
            Failure { exit: 75, ..Failure::refused("already_running", &e.to_string(), "") }
        }
        e => Failure::refused("not_started", &e.to_string(), ""),
    })?;
    let instead = started.replaced.map(|old| format!(" in place of process {old}")).unwrap_or_default();
    let more = match &started.log {
        Some(log) => format!("Log: {}", log.display()),
        None => "A service manager keeps it, with the program and the settings of its own (`make service`)."
            .to_owned(),
    };
    output.line(&format!("Bursar serves (process {}){instead}. {more}", started.pid));
    Ok(())
}
