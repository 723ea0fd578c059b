//! `bursar config`: every setting in force, and those that wait because they are looser than what the daemon last ran with.

use bursar_protocol::message::{OperatorAct, Query};
use bursar_protocol::paths::Paths;
use clap::Subcommand;

use super::output::{Failure, Output, Tone};
use super::{client, operator, unlock};
use crate::view::{SettingList, SettingView};

/// What can be done about settings.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(super) enum Verb {
    /// Every setting in force, where it comes from, and what waits
    Show,
    /// Take the settings that are looser than those of the last run
    Accept,
}

pub(super) fn run(paths: &Paths, verb: Verb, output: &Output) -> Result<(), Failure> {
    match verb {
        Verb::Show => {
            let (list, json): (SettingList, _) = client::query(paths, Query::Config)?;
            if !output.json(&json) {
                table(&list.settings, output);
            }
            Ok(())
        }
        Verb::Accept => {
            let frame = unlock::frame(OperatorAct::AcceptConfig, "accepted at the terminal");
            operator::say(&unlock::act(paths, frame)?, output)
        }
    }
}

/// The most of a value that the table shows: a file of prices may be long.
const MAX_SHOWN: usize = 100;

fn cut(value: &str) -> String {
    match value.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}

/// Settings as a table, and a line for each that waits.
pub(super) fn table(settings: &[SettingView], output: &Output) {
    let row = |setting: &SettingView| {
        let tone = match (&setting.pending, setting.source.as_str()) {
            (Some(_), _) => Tone::Warn,
            (None, "default") => Tone::Dim,
            (None, _) => Tone::Plain,
        };
        let plain = |text: &str| (Tone::Plain, text.to_owned());
        vec![plain(&setting.name), plain(&cut(&setting.value)), (tone, setting.source.clone())]
    };
    let rows: Vec<_> = settings.iter().map(row).collect();
    output.table(&["setting", "value", "source"], &[], &rows);
    for setting in settings {
        if let Some(pending) = &setting.pending {
            let line = format!(
                "{} = {} is kept: stricter than {} ({}); `bursar config accept` takes {}.",
                setting.name,
                cut(&setting.value),
                cut(&pending.value),
                pending.source,
                cut(&pending.value)
            );
            output.line(&output.tint(Tone::Warn, &super::output::clean(&line)));
        }
    }
}
