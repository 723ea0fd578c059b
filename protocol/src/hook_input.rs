//! A tolerant view of what a hook reads on standard input: both spellings of every field, unknown fields passed
//! over, and nothing believed before it has the right shape.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json;

/// A hook event of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Event {
    /// A session begins, is resumed, forked, cleared or compacted.
    SessionStart,
    /// A session ends.
    SessionEnd,
    /// A prompt is about to be sent.
    UserPromptSubmit,
    /// A tool is about to run.
    PreToolUse,
    /// A tool ran.
    PostToolUse,
    /// A tool failed.
    PostToolUseFailure,
    /// All tools of one message have ended; the next request has not been sent.
    PostToolBatch,
    /// A subagent begins.
    SubagentStart,
    /// A subagent ends its turn.
    SubagentStop,
    /// The main agent ends its turn.
    Stop,
    /// The context is about to be compacted.
    PreCompact,
    /// The context was compacted.
    PostCompact,
    /// The client notifies its user.
    Notification,
}

impl Event {
    /// Every event, in the order in which settings list them.
    pub const ALL: [Self; 13] = [
        Self::SessionStart,
        Self::UserPromptSubmit,
        Self::PreToolUse,
        Self::PostToolUse,
        Self::PostToolUseFailure,
        Self::PostToolBatch,
        Self::SubagentStart,
        Self::SubagentStop,
        Self::PreCompact,
        Self::PostCompact,
        Self::Notification,
        Self::Stop,
        Self::SessionEnd,
    ];

    /// The name that the client uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SessionStart => "SessionStart",
            Self::SessionEnd => "SessionEnd",
            Self::UserPromptSubmit => "UserPromptSubmit",
            Self::PreToolUse => "PreToolUse",
            Self::PostToolUse => "PostToolUse",
            Self::PostToolUseFailure => "PostToolUseFailure",
            Self::PostToolBatch => "PostToolBatch",
            Self::SubagentStart => "SubagentStart",
            Self::SubagentStop => "SubagentStop",
            Self::Stop => "Stop",
            Self::PreCompact => "PreCompact",
            Self::PostCompact => "PostCompact",
            Self::Notification => "Notification",
        }
    }

    /// The event of that name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|e| e.name() == name)
    }
}

/// Why a hook's input cannot be used. The hook then says nothing and exits 0; the daemon counts it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// Not JSON, not an object, or a field that is needed has the wrong shape.
    #[error("malformed hook input: {0}")]
    Malformed(String),
    /// No event, or one that this build does not know.
    #[error("unknown hook event {0:?}")]
    UnknownEvent(String),
    /// No session id, or one with characters that no session id has.
    #[error("no usable session id")]
    NoSession,
}

/// The fields of a hook's input, borrowed from its text.
#[derive(Debug, Clone)]
pub struct HookInput<'a> {
    /// What fired.
    pub event: Event,
    /// The payload named no event: the caller has the seed's shape and is answered in it.
    pub seed_shape: bool,
    /// The session, checked by [`valid_id`].
    pub session_id: String,
    /// The session's transcript.
    pub transcript_path: Option<String>,
    /// Where the session works.
    pub cwd: Option<String>,
    /// The subagent in which the hook fired, checked by [`valid_id`]; none for the main agent.
    pub agent_id: Option<String>,
    /// The subagent's type; empty where a compaction ends.
    pub agent_type: Option<String>,
    /// SubagentStop: the subagent's transcript.
    pub agent_transcript_path: Option<String>,
    /// SessionStart: `startup`, `resume`, `fork`, `clear`, `compact`. PreCompact: the trigger. SessionEnd: the reason.
    pub source: Option<String>,
    /// The tool.
    pub tool_name: Option<String>,
    /// The call.
    pub tool_use_id: Option<String>,
    /// The tool's arguments.
    pub tool_input: Option<&'a RawValue>,
    /// The tool's response.
    pub tool_response: Option<&'a RawValue>,
    /// PostToolBatch: the calls of one message.
    pub tool_calls: Vec<ToolCall<'a>>,
    /// UserPromptSubmit: whether the prompt tells of a background agent's end rather than coming from a person.
    pub task_notification: bool,
    /// PostToolUseFailure: the error.
    pub error: Option<String>,
    /// Stop: a hook had turned the last one back.
    pub stop_hook_active: bool,
}

/// One call of a batch.
#[derive(Debug, Clone, Deserialize)]
pub struct ToolCall<'a> {
    /// The tool; `Task` is the client's other name for `Agent`.
    #[serde(default)]
    pub tool_name: String,
    /// The call's id.
    #[serde(default)]
    pub tool_use_id: String,
    /// Its arguments.
    #[serde(borrow, default)]
    pub tool_input: Option<&'a RawValue>,
    /// Its response.
    #[serde(borrow, default)]
    pub tool_response: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow)]
    session_id: Option<&'a RawValue>,
    #[serde(borrow, rename = "sessionId")]
    seed_session_id: Option<&'a RawValue>,
    #[serde(borrow)]
    hook_event_name: Option<&'a RawValue>,
    #[serde(borrow)]
    transcript_path: Option<&'a RawValue>,
    #[serde(borrow)]
    cwd: Option<&'a RawValue>,
    #[serde(borrow)]
    agent_id: Option<&'a RawValue>,
    #[serde(borrow)]
    agent_type: Option<&'a RawValue>,
    #[serde(borrow)]
    agent_transcript_path: Option<&'a RawValue>,
    #[serde(borrow)]
    source: Option<&'a RawValue>,
    #[serde(borrow)]
    trigger: Option<&'a RawValue>,
    #[serde(borrow)]
    reason: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_name: Option<&'a RawValue>,
    #[serde(borrow)]
    tool: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_use_id: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_input: Option<&'a RawValue>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_response: Option<&'a RawValue>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_calls: Option<&'a RawValue>,
    #[serde(borrow)]
    prompt: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    stop_hook_active: Option<&'a RawValue>,
}

/// Whether `id` can be the id of a session, an agent or a call: 1 to 128 letters, digits, `-`, `_`, `.` or `:`,
/// not beginning with a dot (it names files).
pub fn valid_id(id: &str) -> bool {
    (1..=128).contains(&id.len())
        && !id.starts_with('.')
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':'))
}

impl<'a> HookInput<'a> {
    /// Reads a payload; `argument` is the event named on the hook's command line, which counts only where the
    /// payload names none.
    ///
    /// # Errors
    /// [`InputError`]; the caller then allows and counts.
    pub fn parse(payload: &'a [u8], argument: Option<&str>) -> Result<Self, InputError> {
        let text = std::str::from_utf8(payload).map_err(|e| InputError::Malformed(e.to_string()))?;
        if !is_object(text) {
            return Err(InputError::Malformed("not an object".to_owned()));
        }
        let raw: Raw<'a> = serde_json::from_str(text).map_err(|e| InputError::Malformed(e.to_string()))?;
        let named = string(raw.hook_event_name);
        let seed_shape = named.is_none();
        let name = named.or_else(|| argument.map(str::to_owned)).unwrap_or_default();
        let event = Event::from_name(&name).ok_or(InputError::UnknownEvent(name))?;
        let session_id = string(raw.session_id)
            .or_else(|| string(raw.seed_session_id))
            .filter(|id| valid_id(id))
            .ok_or(InputError::NoSession)?;
        Ok(Self {
            event,
            seed_shape,
            session_id,
            transcript_path: string(raw.transcript_path),
            cwd: string(raw.cwd),
            agent_id: string(raw.agent_id).filter(|id| valid_id(id)),
            agent_type: string(raw.agent_type),
            agent_transcript_path: string(raw.agent_transcript_path),
            source: string(raw.source).or_else(|| string(raw.trigger)).or_else(|| string(raw.reason)),
            tool_name: string(raw.tool_name).or_else(|| string(raw.tool)),
            tool_use_id: string(raw.tool_use_id).filter(|id| valid_id(id)),
            tool_input: raw.tool_input.or(raw.arguments),
            tool_response: raw.tool_response.or(raw.response),
            tool_calls: raw.tool_calls.and_then(calls).unwrap_or_default(),
            task_notification: raw.prompt.is_some_and(begins_as_task_notification),
            error: string(raw.error),
            stop_hook_active: raw.stop_hook_active.is_some_and(|raw| raw.get() == "true"),
        })
    }
}

/// Structs read from arrays too, and no caller writes that.
fn is_object(json: &str) -> bool {
    json.trim_start().starts_with('{')
}

fn calls(raw: &RawValue) -> Option<Vec<ToolCall<'_>>> {
    let calls: Vec<&RawValue> = serde_json::from_str(raw.get()).ok()?;
    calls
        .into_iter()
        .map(RawValue::get)
        .map(|call| is_object(call).then(|| serde_json::from_str(call).ok())?)
        .collect()
}

/// A string where there is one; anything else counts as absent.
fn string(raw: Option<&RawValue>) -> Option<String> {
    json::read(raw?.get())
}

/// The prompt may be a cut string, so its beginning is looked for in the text of either form.
fn begins_as_task_notification(prompt: &RawValue) -> bool {
    let head = string(Some(prompt)).or_else(|| crate::cut::head_of(prompt.get()));
    head.is_some_and(|text| text.trim_start().starts_with("<task-notification>"))
}
