//! Everything that can happen to us, as data. Commands carry facts, never payloads.

use std::collections::BTreeMap;

use crate::circuit::CircuitId;
use crate::hold::Blocker;
use crate::ids::{AgentKey, AlertId, BudgetId, HoldId, SessionId, to_name};
use crate::policy::Policy;
use crate::print::{self, Gist, Kind, Print};
use crate::protection::Protect;
use crate::reported::Report;
use crate::row::{FileProgress, Row, Sighting};
use crate::run::{Begins, ByModel};
use crate::table::HookEvent;
use crate::time::Timestamp;

/// The most hooks that are told of afterwards; more than any detector looks back.
pub const MAX_PAST: usize = 256;

/// What is asked of the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A hook fired.
    Hook(Hook),
    /// A hook fired; make what it needs known before its transcript is read, and give no verdict.
    Meet(Hook),
    /// What an agent did that no hook told of: hooks that would have been, all of one agent, oldest first, at most
    /// [`MAX_PAST`] of them. Each `wall` is its time.
    Past(Vec<Hook>),
    /// A transcript grows of which no hook tells.
    Found(Found),
    /// A session's client did not tell what was expected: a message without usage, or calls without their batch.
    Doubted {
        /// The session.
        session: SessionId,
        /// The client's version, as its transcript says.
        version: String,
    },
    /// A sensor read usage.
    Usage(Usage),
    /// Telemetry told of requests.
    Reports(Reports),
    /// A held hook is gone.
    HoldLost(HoldId),
    /// A held hook that lost its daemon asks again.
    HoldResumed(HoldId),
    /// A human acts.
    Operator(Operator),
    /// Time passed: holds may have run out.
    Tick,
    /// A session's client is gone without a word.
    ClientGone(SessionId),
    /// Rows of these sessions that are older than `before` become sums by the hour, and their keys are forgotten.
    RollUp {
        /// At most [`crate::row::MAX_ROWS_PER_COMMAND`] sessions that have such rows.
        sessions: Vec<SessionId>,
        /// The horizon.
        before: Timestamp,
    },
    /// What is older than `before` is forgotten: history, and sessions without a hook since then.
    Forget {
        /// The end of the retention.
        before: Timestamp,
    },
    /// The settings that the daemon serves with, by their names.
    Configured {
        /// What the rules need of them.
        policy: Box<Policy>,
        /// All of them, as they would be written.
        settings: BTreeMap<String, String>,
    },
}

/// A session that no hook tells of: `--bare`, `--safe-mode`, or other settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The session, by its file's name.
    pub session: SessionId,
    /// Its transcript.
    pub transcript: String,
    /// Where it works, as its lines say.
    pub cwd: Option<String>,
    /// That folder's project.
    pub project: Option<String>,
    /// Its budget begins then: when its file was made, or when it was found to grow.
    pub began: Timestamp,
}

/// What telemetry told of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reports {
    /// Requests, in any order, some perhaps told of before; at most [`crate::row::MAX_ROWS_PER_COMMAND`].
    pub reports: Vec<Report>,
    /// Rows that the state has forgotten: the reader asked the store for them.
    pub known: Vec<Row>,
}

/// A hook's facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// What fired.
    pub event: HookEvent,
    /// The wall clock when it came, as it was: transcripts are dated by it. A budget begins then, or now if that is
    /// earlier, so that a clock that was set back does not put a session's requests before its budget.
    pub wall: Timestamp,
    /// In which session.
    pub session: SessionId,
    /// In which agent.
    pub agent: AgentKey,
    /// The subagent's type.
    pub agent_type: Option<String>,
    /// The hook's own time limit, in seconds; none: unknown, and the client's default of 600 is taken.
    pub timeout_s: Option<u32>,
    /// Whether a person is at the client.
    pub attended: bool,
    /// Whether the client runs in CI.
    pub ci: bool,
    /// The working folder.
    pub cwd: Option<String>,
    /// The project's name.
    pub project: Option<String>,
    /// The transcript.
    pub transcript: Option<String>,
    /// The client's process.
    pub client_pid: Option<u32>,
    /// The task that the client's environment names.
    pub task: Option<String>,
    /// Its type.
    pub task_type: Option<String>,
    /// The name to show (`BURSAR_AGENT`).
    pub shown_as: Option<String>,
    /// The tool, as a name of at most 64 characters.
    pub tool: Option<String>,
    /// The session whose client this one's descends from (`claude -p` in an agent's shell).
    pub parent: Option<SessionId>,
    /// SessionStart: how a run begins, if one does.
    pub begins: Option<Begins>,
    /// Its transcript has been read to where it stood when this hook fired.
    pub caught_up: bool,
    /// The calls that it tells of.
    pub calls: Vec<Call>,
    /// PreCompact: a human asked for it.
    pub by_hand: bool,
    /// Stop: a hook had turned the last one back.
    pub stop_blocked: bool,
    /// The payload named no event: the caller is answered in the seed's shape.
    pub seed_shape: bool,
}

/// A tool call, as a hook tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its id's print, so that a call counts once whichever hooks tell of it.
    pub id: Option<Print>,
    /// The tool, as a name of at most 64 characters.
    pub tool: String,
    /// Its identity: tool and arguments.
    pub print: Print,
    /// What it is for.
    pub kind: Kind,
    /// What came of it, if it has ended.
    pub outcome: Option<Outcome>,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Whether it succeeded.
    pub ok: bool,
    /// What it answered.
    pub print: Print,
    /// What that says.
    pub gist: Gist,
    /// Which error, where it is one: its tool and the beginning of its text.
    pub error: Option<Print>,
    /// The beginning of an error's text, for people: at most [`MAX_ERROR_CHARS`] characters, none of them a control.
    pub words: Option<String>,
}

/// The most characters of an error that people read.
pub const MAX_ERROR_CHARS: usize = 160;

impl Call {
    /// A call of `tool` with this input, JSON text. `name` is the tool as a name of at most 64 characters.
    pub fn new(id: Option<&str>, tool: &str, name: String, input: Option<&str>) -> Self {
        let (print, kind) = print::made(tool, input);
        Self { id: id.map(print::id), tool: name, print, kind, outcome: None }
    }
}

impl Outcome {
    /// What came of a call of `tool`; the response is JSON text, any other text counts as if it were a string of it.
    pub fn new(tool: &str, ok: bool, response: Option<&str>) -> Self {
        let (print, gist) = print::came(ok, response);
        Self {
            ok,
            print,
            gist,
            error: (!ok).then(|| print::error(tool, response.unwrap_or_default())),
            words: response.filter(|_| !ok).map(|text| print::words(text, MAX_ERROR_CHARS)),
        }
    }
}

/// Usage that a sensor read: rows and how far it came, in one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// How far the file has been read; none for usage in a payload.
    pub file: Option<FileProgress>,
    /// At most [`crate::row::MAX_ROWS_PER_COMMAND`] requests, in the order of the file.
    pub rows: Vec<Sighting>,
    /// Rows of these messages that the state has forgotten, from the store.
    pub known: Vec<Row>,
    /// What the client said in this file that it has counted on its session, the last word of it.
    pub claim: Option<ByModel>,
}

/// A human's act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// The same act under the same id is done once.
    pub request_id: String,
    /// Who.
    pub who: String,
    /// Why.
    pub reason: String,
    /// Words for the model that goes on (`--say`), at most 500 characters.
    pub say: Option<String>,
    /// The gate let it through as an act that is open to all: it may not open what is shut.
    pub may_only_tighten: bool,
    /// An agent's hand, as far as the gate can tell.
    pub by_agent: bool,
    /// Set where the gate refuses the act: it is only recorded.
    pub refused: Option<String>,
    /// What.
    pub act: Act,
}

/// What a human can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Add to a budget's limit.
    Extend {
        /// The budget; none: the one that holds somebody.
        budget: Option<BudgetId>,
        /// How much.
        amount: Amount,
    },
    /// Grant once what it takes to close the work cleanly.
    Finish(Option<BudgetId>),
    /// Stop what it holds and keep it shut; none: whatever holds somebody, a circuit too.
    Decline(Option<BudgetId>),
    /// Begin it anew at zero.
    Reset(BudgetId),
    /// Set limits, or shut it at once.
    Set {
        /// The budget.
        budget: BudgetId,
        /// New token limit; 0 means none.
        tokens: Option<u64>,
        /// New limit in micro-dollars; 0 means none.
        micro_usd: Option<u64>,
        /// New alert threshold.
        alert: Option<crate::ratio::Ratio>,
        /// Pause it at once.
        shut: bool,
    },
    /// Mark alerts as seen; none: all.
    AcknowledgeAlert(Option<AlertId>),
    /// Let go all that is held. What is shut stays so.
    Release,
    /// Let an open circuit's agent try again; none: the one that holds somebody.
    Acknowledge(Option<CircuitId>),
    /// Forget a circuit's loop and its calls.
    ResetCircuit(CircuitId),
    /// Let an open circuit's agent try again, and its loop go on once; none: the one that holds somebody.
    AllowOnce(Option<CircuitId>),
    /// Switch the circuits of a session off, or on again.
    SwitchCircuits {
        /// The session.
        session: SessionId,
        /// Off; else on.
        off: bool,
    },
    /// Exempt a tool from the detectors in a session, or no longer.
    Exempt {
        /// The session.
        session: SessionId,
        /// The tool, as a name of at most 64 characters.
        tool: String,
        /// Exempt; else no longer.
        exempt: bool,
    },
    /// Stop a circuit's agent and keep it stopped; none: the one that holds somebody.
    DeclineCircuit(Option<CircuitId>),
    /// Begin a task, or join it: a session draws on its budget from now on.
    StartTask {
        /// Its name.
        task: String,
        /// The session.
        session: SessionId,
        /// Its type, which gives its limit unless `tokens` does.
        task_type: Option<String>,
        /// Its limit in whole tokens; 0 means none.
        tokens: Option<u64>,
        /// What it is about.
        description: Option<String>,
    },
    /// End a task: no session draws on it any more.
    EndTask(String),
    /// Change who may act.
    Protect(Protect),
    /// Take these settings, in which some are looser than those in force.
    AcceptConfig {
        /// What the rules need of them.
        policy: Box<Policy>,
        /// All of them, as they would be written.
        settings: BTreeMap<String, String>,
    },
}

/// How much an extension adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// Whole tokens and micro-dollars.
    Exact(crate::policy::Limit),
    /// A share of the base limit, in percent.
    Percent(u32),
}

impl Act {
    /// What it names, as the audit writes it; none where that is found out by who waits, or where it is on nothing.
    pub(crate) fn target(&self) -> Option<String> {
        let circuit = |id: &CircuitId| Blocker::Circuit(id.clone()).to_string();
        match self {
            Self::Extend { budget, .. } | Self::Finish(budget) => budget.as_ref().map(ToString::to_string),
            Self::Reset(budget) | Self::Set { budget, .. } => Some(budget.to_string()),
            Self::Acknowledge(id) | Self::AllowOnce(id) | Self::DeclineCircuit(id) => {
                id.as_ref().map(circuit)
            }
            Self::SwitchCircuits { session, .. } | Self::Exempt { session, .. } => {
                Some(circuit(&CircuitId::Session(session.clone())))
            }
            Self::ResetCircuit(id) => Some(circuit(id)),
            Self::StartTask { task, .. } | Self::EndTask(task) => {
                Some(BudgetId::Task(to_name(task)).to_string())
            }
            // A decline may have met the circuit of that id.
            Self::Decline(_)
            | Self::AcknowledgeAlert(_)
            | Self::Release
            | Self::Protect(_)
            | Self::AcceptConfig { .. } => None,
        }
    }

    /// The word for the audit.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Extend { .. } => "extend",
            Self::Finish(_) => "finish",
            Self::Decline(_) => "decline",
            Self::Reset(_) => "reset",
            Self::Set { .. } => "set",
            Self::AcknowledgeAlert(_) => "acknowledge_alert",
            Self::Release => "release",
            Self::Acknowledge(_) => "acknowledge_circuit",
            Self::ResetCircuit(_) => "reset_circuit",
            Self::AllowOnce(_) => "allow_once",
            Self::SwitchCircuits { off: true, .. } => "circuits_off",
            Self::SwitchCircuits { off: false, .. } => "circuits_on",
            Self::Exempt { exempt: true, .. } => "exempt_tool",
            Self::Exempt { exempt: false, .. } => "no_longer_exempt_tool",
            Self::DeclineCircuit(_) => "decline_circuit",
            Self::StartTask { .. } => "start_task",
            Self::EndTask(_) => "end_task",
            Self::Protect(protect) => protect.name(),
            Self::AcceptConfig { .. } => "accept_config",
        }
    }
}
