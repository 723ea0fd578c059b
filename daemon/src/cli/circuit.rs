//! Circuits: list, show, acknowledge, allow once, reset, decline, off, on, exempt.

use bursar_engine::records::{BreakerState, CircuitState};
use bursar_protocol::message::{OperatorAct, Query};
use bursar_protocol::paths::Paths;
use clap::{Args, Subcommand};

use super::act::{self, Voice, Words};
use super::client;
use super::output::{Failure, Output, Tone, ago};
use super::show::{dim, plain, short_id};
use crate::view::CircuitList;

/// `bursar circuit …`.
#[derive(Debug, Subcommand)]
pub(super) enum CircuitVerb {
    /// All circuits, open ones first
    List,
    /// One circuit
    Show {
        /// Its id; `session:` may be left out, and a unique beginning is enough
        id: String,
    },
    /// Let its agent try again
    Acknowledge(Acknowledge),
    /// Let its agent try again, and its loop go on once
    AllowOnce(Acknowledge),
    /// Switch the circuits of a session off: they count nothing and stop nobody
    Off(Whole),
    /// Switch the circuits of a session on again
    On(Whole),
    /// Look no further at a tool's calls in a session
    Exempt(Exempt),
    /// Forget the loop, and all calls up to now
    Reset(Named),
    /// Stop its agent and keep it stopped
    Decline(Unnamed),
}

/// A circuit that must be named.
#[derive(Debug, Args)]
pub(super) struct Named {
    /// The circuit
    id: String,
    #[command(flatten)]
    words: Words,
}

/// A session.
#[derive(Debug, Args)]
pub(super) struct Whole {
    /// The session; a unique beginning is enough
    session: String,
    #[command(flatten)]
    words: Words,
}

/// `bursar circuit exempt SESSION TOOL [--undo]`.
#[derive(Debug, Args)]
pub(super) struct Exempt {
    /// The session; a unique beginning is enough
    session: String,
    /// The tool, as its calls name it
    tool: String,
    /// Look at its calls again
    #[arg(long)]
    undo: bool,
    #[command(flatten)]
    words: Words,
}

/// A circuit that may be left out while one is open.
#[derive(Debug, Args)]
pub(super) struct Unnamed {
    /// The circuit; may be left out while one is open
    id: Option<String>,
    #[command(flatten)]
    words: Words,
}

/// `bursar circuit acknowledge [ID]`.
#[derive(Debug, Args)]
pub(super) struct Acknowledge {
    #[command(flatten)]
    target: Unnamed,
    #[command(flatten)]
    voice: Voice,
}

pub(super) fn run(paths: &Paths, verb: CircuitVerb, output: &Output) -> Result<(), Failure> {
    let whole = |id: &str| client::circuit_id(paths, id);
    match verb {
        CircuitVerb::List => list(paths, output),
        CircuitVerb::Show { id } => show(paths, Query::Circuit { id: whole(&id)? }, output),
        CircuitVerb::Acknowledge(Acknowledge { target, voice }) => {
            let circuit_id = target.id.as_deref().map(whole).transpose()?;
            act::say(paths, OperatorAct::AcknowledgeCircuit { circuit_id }, &target.words, &voice, output)
        }
        CircuitVerb::AllowOnce(Acknowledge { target, voice }) => {
            let circuit_id = target.id.as_deref().map(whole).transpose()?;
            act::say(paths, OperatorAct::AllowOnce { circuit_id }, &target.words, &voice, output)
        }
        CircuitVerb::Off(Whole { session, words }) => switch(paths, &session, true, &words, output),
        CircuitVerb::On(Whole { session, words }) => switch(paths, &session, false, &words, output),
        CircuitVerb::Exempt(Exempt { session, tool, undo, words }) => {
            let session_id = client::session_id(paths, &session)?;
            act::act(paths, OperatorAct::ExemptTool { session_id, tool, exempt: !undo }, &words, output)
        }
        CircuitVerb::Reset(Named { id, words }) => {
            act::act(paths, OperatorAct::ResetCircuit { circuit_id: whole(&id)? }, &words, output)
        }
        CircuitVerb::Decline(Unnamed { id, words }) => {
            let circuit_id = id.as_deref().map(whole).transpose()?;
            act::act(paths, OperatorAct::DeclineCircuit { circuit_id }, &words, output)
        }
    }
}

fn switch(paths: &Paths, session: &str, off: bool, words: &Words, output: &Output) -> Result<(), Failure> {
    let session_id = client::session_id(paths, session)?;
    act::act(paths, OperatorAct::SwitchCircuits { session_id, off }, words, output)
}

fn state_cell(state: BreakerState) -> (Tone, String) {
    let tone = match state {
        BreakerState::Closed => Tone::Good,
        BreakerState::HalfOpen => Tone::Warn,
        BreakerState::Open => Tone::Bad,
    };
    (tone, state.name().to_owned())
}

fn of_limit(count: u64, limit: u64) -> String {
    if limit == 0 { count.to_string() } else { format!("{count} / {limit}") }
}

const HEADER: [&str; 7] = ["circuit", "agent", "state", "calls", "identical", "why", "changed"];

fn row(c: &CircuitState) -> Vec<(Tone, String)> {
    vec![
        plain(short_id(&c.circuit_id)),
        plain(c.agent.clone()),
        state_cell(c.state),
        plain(of_limit(c.iteration_count, c.max_iterations)),
        plain(of_limit(c.duplicate_call_count, c.duplicate_threshold)),
        plain(c.trip_reason.clone().unwrap_or_default()),
        dim(ago(&c.last_updated)),
    ]
}

fn list(paths: &Paths, output: &Output) -> Result<(), Failure> {
    let (list, json): (CircuitList, _) = client::query(paths, Query::Circuits)?;
    if output.json(&json) {
        return Ok(());
    }
    if list.circuits.is_empty() {
        output.line("No circuits. One begins with each agent's first call.");
        return Ok(());
    }
    let rows: Vec<_> = list.circuits.iter().map(row).collect();
    output.table(&HEADER, &[3, 4], &rows);
    Ok(())
}

fn show(paths: &Paths, question: Query, output: &Output) -> Result<(), Failure> {
    let (circuit, json): (CircuitState, _) = client::query(paths, question)?;
    if output.json(&json) {
        return Ok(());
    }
    output.table(&HEADER, &[3, 4], &[row(&circuit)]);
    if let Some(at) = &circuit.tripped_at {
        output.line(&format!("Opened {}.", ago(at)));
    }
    Ok(())
}
