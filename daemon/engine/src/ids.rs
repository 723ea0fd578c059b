//! Names of things, checked where they come in.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The greatest length of a name that others choose, in bytes.
pub const MAX_NAME_BYTES: usize = 128;

/// A name that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Empty, too long, or with characters that no name has.
    #[error("{0:?} is not a name: 1 to 128 letters, digits, '-', '_', '.' or ':'")]
    Name(String),
    /// Not `<kind>:<name>`.
    #[error("{0:?} is not a budget id: session:, agent:, task:, project:, host: or fleet: and a name")]
    Budget(String),
    /// Not `session:<name>` or `agent:<name>`.
    #[error("{0:?} is not a circuit id: session: or agent: and a name")]
    Circuit(String),
}

/// Whether `text` can name something: letters, digits, `-`, `_`, `.` and `:`.
pub fn is_name(text: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&text.len())
        && !text.starts_with('.')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':'))
}

/// Makes a name of any text: other characters become `-`, what is too long is cut, an empty one becomes `unnamed`.
pub fn to_name(text: &str) -> String {
    let mut name: String = text
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':') { c } else { '-' })
        .take(MAX_NAME_BYTES)
        .collect();
    if name.starts_with('.') {
        name.replace_range(..1, "-");
    }
    if name.is_empty() { "unnamed".to_owned() } else { name }
}

/// One Claude Code conversation. A copy shares the text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionId(Arc<str>);

impl SessionId {
    /// Checks a session's id.
    ///
    /// # Errors
    /// [`IdError::Name`].
    pub fn new(id: impl Into<String>) -> Result<Self, IdError> {
        let id = id.into();
        if is_name(&id) { Ok(Self(id.into())) } else { Err(IdError::Name(id)) }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for SessionId {
    type Error = IdError;
    fn try_from(id: String) -> Result<Self, IdError> {
        Self::new(id)
    }
}

impl From<SessionId> for String {
    fn from(id: SessionId) -> Self {
        id.as_str().to_owned()
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who spends inside a session: the main agent or a subagent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum AgentKey {
    /// The agent that talks with the person.
    Main,
    /// A subagent, by its `agent_id`.
    Sub(String),
}

impl AgentKey {
    /// A subagent's key, or the main agent's for `None`.
    ///
    /// # Errors
    /// [`IdError::Name`].
    pub fn new(agent_id: Option<&str>) -> Result<Self, IdError> {
        match agent_id {
            None | Some("main") => Ok(Self::Main),
            Some(id) if is_name(id) => Ok(Self::Sub(id.to_owned())),
            Some(id) => Err(IdError::Name(id.to_owned())),
        }
    }

    /// The subagent's id, if it is one.
    pub fn sub(&self) -> Option<&str> {
        match self {
            Self::Main => None,
            Self::Sub(id) => Some(id),
        }
    }

    /// `main` or the subagent's id.
    pub fn as_str(&self) -> &str {
        self.sub().unwrap_or("main")
    }
}

impl TryFrom<String> for AgentKey {
    type Error = IdError;
    fn try_from(id: String) -> Result<Self, IdError> {
        Self::new(Some(&id))
    }
}

impl From<AgentKey> for String {
    fn from(key: AgentKey) -> Self {
        key.as_str().to_owned()
    }
}

impl fmt::Display for AgentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A budget's id: `session:<id>`, `agent:<agent_id>`, `task:<name>`, `project:<name>`, `host:<name>`, `fleet:<name>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum BudgetId {
    /// A subagent's own.
    Agent(String),
    /// A session's.
    Session(SessionId),
    /// A named task's.
    Task(String),
    /// A project's: all sessions in it.
    Project(String),
    /// A host's: all sessions on it.
    Host(String),
    /// A fleet's: all sessions of the daemons configured with its name.
    Fleet(String),
}

impl BudgetId {
    /// The word before the colon.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Agent(_) => "agent",
            Self::Session(_) => "session",
            Self::Task(_) => "task",
            Self::Project(_) => "project",
            Self::Host(_) => "host",
            Self::Fleet(_) => "fleet",
        }
    }

    /// The name after the colon.
    pub fn name(&self) -> &str {
        match self {
            Self::Session(id) => id.as_str(),
            Self::Agent(n) | Self::Task(n) | Self::Project(n) | Self::Host(n) | Self::Fleet(n) => n,
        }
    }

    /// The budget type that people read; a subagent's budget is of type task (DESIGN 4).
    pub fn budget_type(&self) -> &'static str {
        match self {
            Self::Agent(_) => "task",
            other => other.kind(),
        }
    }
}

impl fmt::Display for BudgetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind(), self.name())
    }
}

impl FromStr for BudgetId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let bad = || IdError::Budget(text.to_owned());
        let (kind, name) = text.split_once(':').ok_or_else(bad)?;
        if !is_name(name) {
            return Err(bad());
        }
        let owned = name.to_owned();
        Ok(match kind {
            "session" => Self::Session(SessionId(owned.into())),
            "agent" => Self::Agent(owned),
            "task" => Self::Task(owned),
            "project" => Self::Project(owned),
            "host" => Self::Host(owned),
            "fleet" => Self::Fleet(owned),
            _ => return Err(bad()),
        })
    }
}

impl TryFrom<String> for BudgetId {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<BudgetId> for String {
    fn from(id: BudgetId) -> Self {
        id.to_string()
    }
}

/// A hold's id: never used again, over restarts too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HoldId(pub u64);

/// An alert's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AlertId(pub u64);
