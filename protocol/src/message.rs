//! The messages of version 1. Variants and fields are appended, never reordered: the golden bytes would break.

use serde::{Deserialize, Serialize};

use crate::secret::Secret;
use crate::status_line::StatusLine;

/// What a hook client or a command says to the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToDaemon {
    /// A hook of the client fired.
    Hook(HookFrame),
    /// A held hook that lost its daemon takes its hold up again.
    Resume {
        /// The hold's id, from [`FromDaemon::Held`].
        hold_id: u64,
    },
    /// A human's act. A class of its own: nothing a hook says can lower or raise anything.
    Operator(OperatorFrame),
    /// A question that changes nothing.
    Query(Query),
    /// What a client tells its status line program, which asks what to show. It can add nothing and lower nothing.
    StatusLine(StatusLine),
}

/// One hook event as the hook client forwards it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookFrame {
    /// The event named on the command line, for callers whose payload names none.
    pub event: Option<String>,
    /// The time limit that the client set for this hook, in seconds, as `install` wrote it into its arguments.
    pub timeout_s: Option<u32>,
    /// Whether a person is at the client (`CLAUDE_CODE_SESSION_ATTENDED`); unknown counts as attended.
    pub attended: bool,
    /// Whether `CI` is set in the client's environment.
    pub ci: bool,
    /// `CLAUDE_PROJECT_DIR`.
    pub project_dir: Option<String>,
    /// `CLAUDE_PID`.
    pub client_pid: Option<u32>,
    /// `BURSAR_TASK_ID`: attributes spending to a task.
    pub task_id: Option<String>,
    /// `BURSAR_TASK_TYPE`.
    pub task_type: Option<String>,
    /// `BURSAR_AGENT`: the name under which the spending is shown.
    pub agent: Option<String>,
    /// How far the payload had to be cut to fit.
    pub cut: Cut,
    /// The hook's standard input, cut; JSON unless the caller sent something else.
    #[serde(with = "in_one_piece")]
    pub payload: Vec<u8>,
}

/// Bytes as one piece rather than one by one: the same on the wire, and ten times faster.
mod in_one_piece {
    use std::fmt;

    use serde::de::{Deserializer, Error, Visitor};
    use serde::ser::Serializer;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;

        impl Visitor<'_> for Bytes {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
                Ok(bytes)
            }
        }

        deserializer.deserialize_byte_buf(Bytes)
    }
}

/// How far a payload was cut, from least to most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Cut {
    /// Nothing was cut.
    #[default]
    None,
    /// Strings over 16 KiB in the tool's input or response became their ends, length and hash.
    LongStrings,
    /// The longest strings were cut to 1 KiB.
    Tight,
    /// The longest strings were emptied.
    Emptied,
    /// The tool's responses were left out.
    NoResponses,
    /// Not JSON: only the first part was kept, to be counted as malformed.
    Malformed,
}

/// A human's act, with what is needed to make it idempotent and to audit it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorFrame {
    /// Chosen by the caller; the same act under the same id is done once.
    pub request_id: String,
    /// Why, in the human's words. At most 500 characters are kept.
    pub reason: String,
    /// The caller says that it stands in an agent's shell (`CLAUDECODE` is set).
    pub in_agent_shell: bool,
    /// What is to be done.
    pub act: OperatorAct,
    /// Words for the model that goes on. At most 500 characters are kept.
    pub say: Option<String>,
}

/// What a human can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OperatorAct {
    /// Adds to a budget's limit.
    Extend {
        /// The budget; none: the one budget that holds somebody.
        budget_id: Option<String>,
        /// How much.
        amount: Amount,
    },
    /// Grants once what it takes to close the work cleanly.
    Finish {
        /// The budget; none: the one that holds somebody.
        budget_id: Option<String>,
    },
    /// Stops what the budget holds, and keeps it shut.
    Decline {
        /// The budget; none: the one that holds somebody.
        budget_id: Option<String>,
    },
    /// Begins the budget anew at zero.
    Reset {
        /// The budget.
        budget_id: String,
    },
    /// Sets limits of a budget, or shuts it at once.
    Set {
        /// The budget.
        budget_id: String,
        /// The new limit in whole tokens; 0 means none.
        max_tokens: Option<u64>,
        /// The new limit in micro-dollars; 0 means none.
        max_micro_usd: Option<u64>,
        /// The share of the limit at which it warns, in millionths.
        alert_threshold_millionths: Option<u32>,
        /// Pause it at once, whatever was used.
        shut: bool,
    },
    /// Marks alerts as seen.
    AcknowledgeAlert {
        /// One alert; none: all.
        alert_id: Option<String>,
    },
    /// Clears every marker and lets go what is held: `uninstall` and `off` say so.
    Release,
    /// Lets an open circuit's agent try again.
    AcknowledgeCircuit {
        /// The circuit; none: the one that holds somebody.
        circuit_id: Option<String>,
    },
    /// Forgets a circuit's loop and its calls.
    ResetCircuit {
        /// The circuit.
        circuit_id: String,
    },
    /// Stops a circuit's agent, and keeps it stopped.
    DeclineCircuit {
        /// The circuit; none: the one that holds somebody.
        circuit_id: Option<String>,
    },
    /// Begins a task, or has a session join it.
    StartTask {
        /// Its name.
        task: String,
        /// The session.
        session_id: String,
        /// Its type.
        task_type: Option<String>,
        /// Its limit in whole tokens; 0 means none.
        max_tokens: Option<u64>,
        /// What it is about.
        description: Option<String>,
    },
    /// Ends a task.
    EndTask {
        /// Its name.
        task: String,
    },
    /// Unlocks the caller's terminal for some minutes.
    Unlock {
        /// The operator's passphrase.
        passphrase: Secret,
    },
    /// Ends the unlock of the caller's terminal.
    Lock,
    /// Sets the operator's passphrase.
    SetPassphrase {
        /// The one that it takes the place of; none where there is none.
        old: Option<Secret>,
        /// The new one.
        new: Secret,
    },
    /// Lets anything that this user runs act: no passphrase is asked for any more.
    Unprotect,
    /// Says that the passphrase is forgotten.
    ResetPassphrase,
    /// Takes the settings that are looser than those in force.
    AcceptConfig,
    /// Lets an open circuit's agent try again, and its loop go on once.
    AllowOnce {
        /// The circuit; none: the one that holds somebody.
        circuit_id: Option<String>,
    },
    /// Switches the circuits of a session off, or on again.
    SwitchCircuits {
        /// The session.
        session_id: String,
        /// Off; else on.
        off: bool,
    },
    /// Exempts a tool from the detectors in a session, or no longer.
    ExemptTool {
        /// The session.
        session_id: String,
        /// The tool.
        tool: String,
        /// Exempt; else no longer.
        exempt: bool,
    },
}

/// How much an extension adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Amount {
    /// Whole tokens, micro-dollars, or both.
    Exact {
        /// Tokens to add.
        tokens: u64,
        /// Micro-dollars to add.
        micro_usd: u64,
    },
    /// A share of the base limit, in percent.
    Percent(u32),
}

/// A question that changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Query {
    /// The daemon: version, mode, uptime, where each setting comes from.
    Status,
    /// All sessions, live ones first.
    Sessions {
        /// Also those that ended.
        all: bool,
    },
    /// One session, by an id or a prefix that is unique.
    Session {
        /// The id.
        id: String,
    },
    /// All budgets.
    Budgets,
    /// One budget.
    Budget {
        /// The id.
        id: String,
    },
    /// Who waits for a human.
    Holds {
        /// Also those that ended lately, and how.
        all: bool,
    },
    /// The alerts.
    Alerts {
        /// Also those seen.
        all: bool,
    },
    /// The last verdicts and why.
    Hooks {
        /// How many at most.
        limit: u32,
    },
    /// All circuits.
    Circuits,
    /// One circuit.
    Circuit {
        /// The id.
        id: String,
    },
    /// Every setting: what is in force, where it comes from, and what waits to be accepted.
    Config,
    /// The newest acts of operators, done or refused.
    Audit {
        /// How many at most.
        limit: u32,
    },
    /// A session's rows: where each number comes from, and what is missing.
    Ledger {
        /// The session's id, or a prefix of it that is unique.
        id: String,
        /// How many rows at most, the newest.
        limit: u32,
    },
}

/// What the daemon says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromDaemon {
    /// The hook's answer, to be printed as it is.
    Answer {
        /// The exit code.
        exit: u8,
        /// Standard output: one line of JSON, or nothing.
        stdout: String,
        /// Standard error: the text for the model or the person, or nothing.
        stderr: String,
    },
    /// The hook is held; beats follow, then the answer.
    Held {
        /// What to resume with.
        hold_id: u64,
    },
    /// The daemon is alive and the hold goes on.
    Beat,
    /// The frame's version is not spoken; send again in one between these.
    Unsupported {
        /// The oldest version spoken.
        min: u8,
        /// The newest version spoken.
        max: u8,
    },
    /// A part of the answer to a command or a question: JSON text, in order, `last` on the last one.
    Reply {
        /// As HTTP would say it: 200, 400, 403, 404, 409.
        status: u16,
        /// Whether this is the last part.
        last: bool,
        /// JSON text, cut anywhere between characters.
        part: String,
    },
}
