//! `bursar install` and `bursar uninstall`.

mod client;
mod extras;
mod fail_closed;
mod fields;
mod files;
mod protect;
mod record;
mod settings;
mod statusline;
mod telemetry;

use std::path::{Path, PathBuf};

use bursar_engine::policy::Mode;
use bursar_protocol::message::{OperatorAct, Query};
use bursar_protocol::paths::Paths;
use clap::{Args, ValueEnum};
use serde_json::json;

use super::output::{Failure, Output};
use crate::config::Config;
use crate::folder::private_folder;
use crate::handover;
use crate::view::{ActView, HoldList};
use client::Clients;
use extras::Extras;
use record::Record;
use settings::{Entry, SettingsText};

/// Which of Claude Code's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scope {
    /// All of this user's sessions
    User,
    /// This project, shared with others
    Project,
    /// This project, for this user
    Local,
}

#[derive(Debug, Args)]
struct Place {
    /// Which of Claude Code's settings
    #[arg(long, value_enum, default_value_t = Scope::User, conflicts_with = "settings")]
    scope: Scope,
    /// A settings file of your own
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
}

/// `bursar install`.
#[derive(Debug, Args)]
pub(super) struct InstallArgs {
    #[command(flatten)]
    place: Place,
    /// Show what would be written, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Decide and record, but block nothing
    #[arg(long)]
    observe: bool,
    /// Anything that you run may approve more: no operator's passphrase
    #[arg(long)]
    unprotected: bool,
    /// Without the daemon nothing goes on (Claude Code 2.1.295 or later)
    #[arg(long)]
    fail_closed: bool,
    /// Leave Claude Code's status line as it is
    #[arg(long)]
    no_statusline: bool,
    /// Leave Claude Code's telemetry as it is
    #[arg(long)]
    no_telemetry: bool,
    /// Install although a client is too old to run the hooks: its sessions are neither counted nor held
    #[arg(long)]
    old_clients: bool,
    /// The hook client to copy (else the one beside this program)
    #[arg(long, value_name = "PATH")]
    hook_client: Option<PathBuf>,
}

/// `bursar uninstall`.
#[derive(Debug, Args)]
pub(super) struct UninstallArgs {
    #[command(flatten)]
    place: Place,
}

fn failed(e: impl std::fmt::Display) -> Failure {
    Failure::refused("install", &e.to_string(), "Claude Code's settings were left as they are.")
}

impl Place {
    fn file(&self) -> Result<PathBuf, Failure> {
        let here = || std::env::current_dir().map_err(failed);
        if let Some(file) = &self.settings {
            return Ok(here()?.join(file));
        }
        match self.scope {
            Scope::User => {
                let dir = super::env("CLAUDE_CONFIG_DIR").map(PathBuf::from);
                let home = || super::env("HOME").map(|h| Path::new(&h).join(".claude"));
                let dir = dir
                    .or_else(home)
                    .ok_or_else(|| Failure::wrong_use("HOME is not set", "Name the file with --settings."))?;
                Ok(dir.join("settings.json"))
            }
            Scope::Project => Ok(here()?.join(".claude/settings.json")),
            Scope::Local => Ok(here()?.join(".claude/settings.local.json")),
        }
    }
}

/// Loosening from an agent's shell is refused: a speed bump, like every look at the caller's environment.
fn refuse_agents(what: &str) -> Result<(), Failure> {
    if std::env::var_os("CLAUDECODE").is_none() {
        return Ok(());
    }
    let message = format!("Refused: {what} from an agent's shell (CLAUDECODE is set).");
    Err(Failure::refused("forbidden", &message, "Run it in a terminal of your own."))
}

pub(super) fn install(paths: &Paths, args: &InstallArgs, output: &Output) -> Result<(), Failure> {
    if (args.unprotected || args.observe) && !args.dry_run {
        refuse_agents("--unprotected and --observe loosen, which is not done")?;
    }
    let config = Config::load(super::env, &paths.config)
        .map_err(|e| Failure::wrong_use(&e.to_string(), "Mend it, then install again."))?;
    let file = files::target(&args.place.file()?);
    let clients = Clients::find();
    if !args.old_clients {
        clients.refuse_old()?;
    }
    let mut entry = Entry {
        hook_client: paths.hook_client(),
        socket: paths.socket.clone(),
        state: paths.state.clone(),
        hold_s: config.policy.hold_s,
        fail_closed: args.fail_closed,
        ..Entry::default()
    };
    let before = files::read(&file).map_err(failed)?;
    let parsed = SettingsText::parse(before.as_deref().unwrap_or("{}")).map_err(|why| {
        Failure::refused(
            "settings",
            &format!("{} {why}; it was left as it is", file.display()),
            "Mend it, then install again.",
        )
    })?;
    let extras = Extras::choose(args, config.port, &parsed, &entry);
    entry.status_line = extras.status_line();
    if args.dry_run {
        entry.telemetry = extras.telemetry_shown();
        let after = parsed.with(&entry, &clients.events());
        output.line(&format!("{} would read:", file.display()));
        output.line(&after);
        output.json(&after);
        return Ok(());
    }
    if args.fail_closed {
        fail_closed::announce(&file, &clients, output)?;
    }
    private_folder(&paths.state).map_err(failed)?;
    let from = hook_client(args)?;
    entry.telemetry = extras.telemetry(&paths.state).map_err(failed)?;
    let after = parsed.with(&entry, &clients.events());
    protect::protect(paths, args.unprotected)?;
    files::copy_program(&from, &paths.hook_client()).map_err(failed)?;
    if args.observe {
        files::set_in_config(&paths.config, "BURSAR_MODE", "observe").map_err(failed)?;
    }
    let mut record = Record::load(&paths.state);
    let mode = files::mode(&file).filter(|_| entry.telemetry.is_some());
    record.note(&file, before.as_deref(), &parsed.without(&entry), &after, mode);
    record.save(&paths.state).map_err(failed)?;
    if let Some(before) = before.as_deref().filter(|b| *b != after) {
        files::back_up(&file, before).map_err(failed)?;
    }
    // Last: until here Claude Code asks nobody. A token in it is for this user alone.
    let write = if entry.telemetry.is_some() { files::write_private } else { files::write };
    write(&file, &after).map_err(failed)?;
    let observes = args.observe || config.policy.mode == Mode::Observe;
    say_what_is_true(paths, observes, &file, &clients, &extras, output);
    output.json(
        &json!({
            "settings": file,
            "client_version": clients.text(),
            "clients": clients.json(),
            "events": clients.names(),
        })
        .to_string(),
    );
    Ok(())
}

fn hook_client(args: &InstallArgs) -> Result<PathBuf, Failure> {
    let found = args.hook_client.clone().or_else(|| super::beside_this_program("bursar-hook"));
    found.filter(|p| p.is_file()).ok_or_else(|| {
        Failure::refused(
            "hook_client",
            "the hook client `bursar-hook` is not beside this program",
            "Build it (`make up` does), or name it with --hook-client.",
        )
    })
}

fn say_what_is_true(
    paths: &Paths,
    observes: bool,
    file: &Path,
    clients: &Clients,
    extras: &Extras,
    output: &Output,
) {
    output.line(&format!("Claude Code asks Bursar now, by {}.", file.display()));
    for sentence in clients.sentences() {
        output.line(&sentence);
    }
    if observes {
        output.line(&format!(
            "Observing: verdicts are recorded, nothing is blocked, once the daemon is restarted (one that enforced before: `bursar config accept`). BURSAR_MODE in {} says so.",
            paths.config.display()
        ));
    }
    extras.say(paths, output);
    protect::say(paths, output);
    output.line("Undo it with `bursar uninstall` (with the same --scope or --settings).");
}

pub(super) fn uninstall(paths: &Paths, args: &UninstallArgs, output: &Output) -> Result<(), Failure> {
    refuse_agents("the hooks are not taken out")?;
    let file = files::target(&args.place.file()?);
    let mut record = Record::load(&paths.state);
    let now = files::read(&file).map_err(failed)?;
    let entry = Entry { hook_client: paths.hook_client(), state: paths.state.clone(), ..Entry::default() };
    let restored = match (&now, record.of(&file)) {
        // Nothing has changed since: back to the very bytes.
        (Some(text), Some(known)) if *text == known.after => known.before.clone(),
        (Some(text), _) => {
            let parsed = SettingsText::parse(text).map_err(|why| {
                Failure::refused(
                    "settings",
                    &format!("{} {why}; it was left as it is", file.display()),
                    "Mend it, then uninstall again.",
                )
            })?;
            Some(if parsed.has(&entry) { parsed.without(&entry) } else { text.clone() })
        }
        (None, _) => None,
    };
    if restored == now {
        let nothing = format!("There was nothing of Bursar's in {}.", file.display());
        output.line(&nothing);
        output.json(&json!({ "settings": file }).to_string());
        return Ok(());
    }
    match &restored {
        Some(text) => {
            files::write(&file, text).map_err(failed)?;
            let mode = record.of(&file).and_then(|known| known.mode);
            mode.map_or(Ok(()), |mode| files::set_mode(&file, mode)).map_err(failed)?;
        }
        None => files::remove(&file).map_err(failed)?,
    }
    record.forget(&file);
    record.save(&paths.state).map_err(failed)?;
    // While other settings still name the hooks, who waits there goes on waiting.
    let last = record.is_empty();
    let released = if last { release(paths) } else { Ok(0) };
    if last {
        files::remove_markers(&paths.paused()).map_err(failed)?;
        files::remove(&paths.hook_client()).map_err(failed)?;
        files::remove(&handover::path(&paths.state)).map_err(failed)?;
        // What status lines printed; only shown.
        let _ = std::fs::remove_dir_all(paths.state.join("statusline"));
    }
    output.line(&format!(
        "Claude Code no longer asks Bursar by {}. What was counted stays in {}.",
        file.display(),
        paths.state.display()
    ));
    match released {
        Ok(0) => {}
        Ok(n) => output.line(&format!("Agents that waited: {n}. They go on, and are no longer counted.")),
        Err(Refused) => output.line(
            "Who waits now goes on waiting, since only the operator lets them go: `bursar extend` at a terminal, or Esc in theirs.",
        ),
    }
    output.json(&json!({ "settings": file }).to_string());
    Ok(())
}

/// A daemon serves that does not let go whom it holds.
struct Refused;

/// Lets go whoever is held, and says how many; nobody where no daemon serves. The markers go in any case.
fn release(paths: &Paths) -> Result<u64, Refused> {
    match super::client::act(paths, OperatorAct::Release, "uninstalled") {
        Ok(json) => Ok(serde_json::from_str::<ActView>(&json).map_or(0, |done| done.released)),
        Err(failure) if failure.exit == 1 && anybody_waits(paths) => Err(Refused),
        Err(_) => Ok(0),
    }
}

fn anybody_waits(paths: &Paths) -> bool {
    let waiting = super::client::query::<HoldList>(paths, Query::Holds { all: false });
    waiting.is_ok_and(|(list, _)| list.total > 0)
}
