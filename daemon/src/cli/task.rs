//! Tasks: named units of work with a budget of their own.

use bursar_protocol::message::{OperatorAct, Query};
use bursar_protocol::paths::Paths;
use clap::{Args, Subcommand};

use super::act::{self, PlainWords};
use super::client;
use super::output::{Failure, Output};
use crate::config::parse_amount;
use crate::project;
use crate::view::{SessionList, SessionView};

/// `bursar task …`.
#[derive(Debug, Subcommand)]
pub(super) enum TaskVerb {
    /// Begin a task: a session draws on its budget from now on
    Start(Start),
    /// End a task: no session draws on it any more
    End {
        /// Its name
        name: String,
        #[command(flatten)]
        words: PlainWords,
    },
}

/// `bursar task start NAME`.
#[derive(Debug, Args)]
pub(super) struct Start {
    /// Its name: letters, digits, `-`, `_`, `.`
    name: String,
    /// Its type, which gives its limit unless --tokens does: planning, implement, review, test, deploy, design or your own
    #[arg(long = "type", value_name = "TYPE")]
    task_type: Option<String>,
    /// Its limit in tokens: 100000, 100k, 1.5M
    #[arg(long)]
    tokens: Option<String>,
    /// What it is about
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// The session; else that of the shell this runs in, else the one live session of this folder's project
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    #[command(flatten)]
    words: PlainWords,
}

pub(super) fn run(paths: &Paths, verb: TaskVerb, output: &Output) -> Result<(), Failure> {
    match verb {
        TaskVerb::Start(args) => {
            let tokens = args.tokens.as_deref().map(parse_amount).transpose();
            let max_tokens = tokens.map_err(|e| Failure::wrong_use(&e.to_string(), ""))?;
            let session_id = session(paths, args.session.as_deref())?;
            let start = OperatorAct::StartTask {
                task: args.name,
                session_id,
                task_type: args.task_type,
                max_tokens,
                description: args.description,
            };
            act::act(paths, start, &args.words.into(), output)
        }
        TaskVerb::End { name, words } => {
            let name = name.strip_prefix("task:").unwrap_or(&name).to_owned();
            act::act(paths, OperatorAct::EndTask { task: name }, &words.into(), output)
        }
    }
}

/// Which session is meant.
fn session(paths: &Paths, named: Option<&str>) -> Result<String, Failure> {
    let named = named.map(str::to_owned).or_else(|| super::env("CLAUDE_CODE_SESSION_ID"));
    if let Some(id) = named.filter(|id| !id.is_empty()) {
        return client::session_id(paths, &id);
    }
    let here = std::env::current_dir().ok().and_then(|folder| project::name(&folder));
    let (live, _): (SessionList, _) = client::query(paths, Query::Sessions { all: false })?;
    let of_here: Vec<&SessionView> = live.sessions.iter().filter(|s| s.project == here).collect();
    match of_here.as_slice() {
        [one] => Ok(one.session_id.clone()),
        [] => Err(Failure::wrong_use(
            "no live session works in this folder's project",
            "Name one with --session; `bursar sessions` lists them.",
        )),
        several => {
            let ids: Vec<&str> = several.iter().map(|s| s.session_id.as_str()).collect();
            Err(Failure::wrong_use(
                &format!("several live sessions work in this folder's project: {}", ids.join(", ")),
                "Name the one you mean with --session.",
            ))
        }
    }
}
