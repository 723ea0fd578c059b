//! What a shut budget or circuit means, by event and mode: the table of HOOK.md section 2, once.

use serde::{Deserialize, Serialize};

use crate::policy::OnPause;

/// A hook event, as the rules see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum HookEvent {
    /// A session begins, is resumed, forked, cleared or compacted.
    SessionStart,
    /// A session ends.
    SessionEnd,
    /// A prompt that a person typed.
    HumanPrompt,
    /// A prompt that tells of a background agent's end, or of an unattended run.
    OtherPrompt,
    /// A tool is about to run.
    PreToolUse,
    /// A tool ran.
    PostToolUse,
    /// A tool failed.
    PostToolUseFailure,
    /// All tools of one message have ended.
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

impl HookEvent {
    /// Every event.
    pub const ALL: [Self; 14] = [
        Self::SessionStart,
        Self::SessionEnd,
        Self::HumanPrompt,
        Self::OtherPrompt,
        Self::PreToolUse,
        Self::PostToolUse,
        Self::PostToolUseFailure,
        Self::PostToolBatch,
        Self::SubagentStart,
        Self::SubagentStop,
        Self::Stop,
        Self::PreCompact,
        Self::PostCompact,
        Self::Notification,
    ];

    /// The client's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::SessionStart => "SessionStart",
            Self::SessionEnd => "SessionEnd",
            Self::HumanPrompt | Self::OtherPrompt => "UserPromptSubmit",
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

    /// Whether the model can be told something at this event.
    pub fn carries_text(self) -> bool {
        matches!(
            self,
            Self::PreToolUse
                | Self::PostToolUse
                | Self::PostToolBatch
                | Self::HumanPrompt
                | Self::OtherPrompt
        )
    }
}

/// A cell of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cell {
    /// Go on.
    Allow,
    /// Wait for a person.
    Hold,
    /// The turn ends.
    Stop,
    /// The prompt is dropped.
    Refuse,
    /// The call or the compaction is refused.
    Deny,
    /// The person is asked.
    Ask,
}

/// The cell for an event under a shut budget; `exhausted` for the last column but two. Observing is not here: it
/// decides by this table and then allows.
pub fn cell(event: HookEvent, mode: OnPause, exhausted: bool) -> Cell {
    use {Cell as C, HookEvent as E, OnPause as M};
    match event {
        E::SessionStart | E::SubagentStart | E::SessionEnd | E::PostCompact | E::Notification => C::Allow,
        E::HumanPrompt => C::Refuse,
        E::OtherPrompt => match mode {
            M::Hold if !exhausted => C::Hold,
            M::Hold | M::Stop | M::Deny | M::Ask => C::Refuse,
        },
        E::PreToolUse => match mode {
            M::Deny => C::Deny,
            M::Hold if !exhausted => C::Hold,
            M::Ask if !exhausted => C::Ask,
            M::Hold | M::Ask | M::Stop => C::Stop,
        },
        E::PostToolUse | E::PostToolUseFailure => match mode {
            M::Stop => C::Stop,
            M::Deny => C::Deny,
            M::Hold | M::Ask => C::Allow,
        },
        E::PostToolBatch => match mode {
            M::Deny => C::Allow,
            M::Hold if !exhausted => C::Hold,
            M::Ask if !exhausted => C::Allow,
            M::Hold | M::Ask | M::Stop => C::Stop,
        },
        E::Stop | E::SubagentStop => C::Stop,
        E::PreCompact => C::Deny,
    }
}
