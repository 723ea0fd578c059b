//! Between the wire and the rules: the only place that knows both.

use std::collections::BTreeMap;
use std::path::Path;

use bursar_engine::circuit::CircuitId;
use bursar_engine::command::{self, Act};
use bursar_engine::detect::{Detector, Heard};
use bursar_engine::ids::{AgentKey, AlertId, BudgetId, IdError, SessionId, is_name, to_name};
use bursar_engine::policy::Limit;
use bursar_engine::protection::{PassphraseHash, Protect};
use bursar_engine::ratio::Ratio;
use bursar_engine::records::BreakerState;
use bursar_engine::run::Begins;
use bursar_engine::table::{Cell, HookEvent};
use bursar_engine::time::Timestamp;
use bursar_engine::verdict::{Because, BudgetFigures, CircuitFigures, ModelText, Verdict, Why};
use bursar_protocol::answer::{self, Answer, Figures, Loop, Say};
use bursar_protocol::hook_input::{Event, HookInput};
use bursar_protocol::message::{Amount, HookFrame, OperatorAct};

/// The most characters of a task's description that are kept.
const MAX_DESCRIPTION_CHARS: usize = 500;

/// A person's text without control characters, cut to so many characters.
pub fn plain(text: &str, max_chars: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(max_chars).collect()
}

/// The longest path that a system takes; a longer one is none.
const MAX_PATH_BYTES: usize = 4_096;

/// The rules' view of an event.
pub fn event(input: &HookInput<'_>, attended: bool) -> HookEvent {
    match input.event {
        Event::SessionStart => HookEvent::SessionStart,
        Event::SessionEnd => HookEvent::SessionEnd,
        Event::UserPromptSubmit if attended && !input.task_notification => HookEvent::HumanPrompt,
        Event::UserPromptSubmit => HookEvent::OtherPrompt,
        Event::PreToolUse => HookEvent::PreToolUse,
        Event::PostToolUse => HookEvent::PostToolUse,
        Event::PostToolUseFailure => HookEvent::PostToolUseFailure,
        Event::PostToolBatch => HookEvent::PostToolBatch,
        Event::SubagentStart => HookEvent::SubagentStart,
        Event::SubagentStop => HookEvent::SubagentStop,
        Event::Stop => HookEvent::Stop,
        Event::PreCompact => HookEvent::PreCompact,
        Event::PostCompact => HookEvent::PostCompact,
        Event::Notification => HookEvent::Notification,
    }
}

/// The facts of a hook that came at `wall` by the wall clock.
///
/// # Errors
/// [`IdError`] where the session's id is none.
pub fn hook(frame: &HookFrame, input: &HookInput<'_>, wall: Timestamp) -> Result<command::Hook, IdError> {
    Ok(command::Hook {
        event: event(input, frame.attended),
        wall,
        session: SessionId::new(&input.session_id)?,
        agent: AgentKey::new(input.agent_id.as_deref())?,
        agent_type: input
            .agent_type
            .as_deref()
            .map(|t| if t.is_empty() { String::new() } else { to_name(t) }),
        timeout_s: frame.timeout_s,
        attended: frame.attended,
        ci: frame.ci,
        cwd: input.cwd.clone().filter(|p| p.len() <= MAX_PATH_BYTES),
        project: None,
        transcript: input
            .transcript_path
            .clone()
            .filter(|p| Path::new(p).is_absolute() && p.len() <= MAX_PATH_BYTES),
        client_pid: frame.client_pid,
        task: frame.task_id.as_deref().filter(|t| !t.is_empty()).map(to_name),
        task_type: frame.task_type.as_deref().filter(|t| is_name(t)).map(str::to_owned),
        shown_as: frame.agent.as_deref().filter(|t| !t.is_empty()).map(to_name),
        tool: input.tool_name.as_deref().map(tool_name),
        parent: None,
        begins: begins(input),
        caught_up: true,
        calls: super::calls::of(input),
        by_hand: input.event == Event::PreCompact && input.source.as_deref() == Some("manual"),
        stop_blocked: input.event == Event::Stop && input.stop_hook_active,
        seed_shape: input.seed_shape,
    })
}

/// How a run begins; a compaction begins none.
fn begins(input: &HookInput<'_>) -> Option<Begins> {
    match (input.event, input.source.as_deref()) {
        (Event::SessionStart, Some("startup")) => Some(Begins::Startup),
        (Event::SessionStart, Some("resume")) => Some(Begins::Resume),
        (Event::SessionStart, Some("fork")) => Some(Begins::Fork),
        (Event::SessionStart, Some("clear")) => Some(Begins::Clear),
        _ => None,
    }
}

/// A tool's name as it may stand in a text: at most 64 of `[A-Za-z0-9_-]` (6.9).
pub fn tool_name(name: &str) -> String {
    name.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')).take(64).collect()
}

/// A verdict in words.
pub fn answer_of(event: Event, seed_shape: bool, verdict: &Verdict) -> Answer {
    let text = match &verdict.because {
        Some(because) if verdict.texts.is_empty() => {
            shut_text(for_the_model(event, seed_shape, verdict.cell), because)
        }
        _ => verdict.texts.iter().map(model_text).collect::<Vec<_>>().join("\n"),
    };
    let say = match verdict.cell {
        Cell::Allow if !verdict.texts.is_empty() => Say::Text(&text),
        Cell::Allow | Cell::Hold => Say::Allow,
        Cell::Stop => Say::Stop(&text),
        Cell::Refuse => Say::Refuse(&text),
        Cell::Deny => Say::Deny(&text),
        Cell::Ask => Say::Ask(&text),
    };
    answer::answer(event, seed_shape, say)
}

fn model_text(text: &ModelText) -> String {
    match text {
        ModelText::Warning { about, ends } => answer::warning_for_the_model(&figures(about), *ends),
        ModelText::FinishUp { about } => answer::finish_up_for_the_model(&figures(about)),
        ModelText::Status { budget, circuit } => {
            let budget = budget.as_ref().map(|b| answer::budget_stands(&figures(b)));
            let circuit = circuit.map(|c| answer::circuit_stands(state_word(c.state), c.iterations, c.limit));
            budget.into_iter().chain(circuit).collect::<Vec<_>>().join("\n")
        }
        ModelText::Said(words) => answer::operator_says(words),
        ModelText::Loop(heard) => answer::loop_for_the_model(loop_of(heard)),
    }
}

fn loop_of(heard: &Heard) -> Loop<'_> {
    let Heard { detector, count, of_which, window_s, tool } = heard;
    let (count, of_which, window_s) = (*count, *of_which, window_s.unwrap_or(0));
    match detector {
        Detector::RepeatedCall | Detector::IdenticalCalls => Loop::Repeated(count, tool),
        Detector::RepeatedMessage => Loop::Message(count),
        Detector::FailingCall => Loop::Failing(count, tool),
        Detector::Cycle => Loop::Cycle(count, of_which),
        Detector::StuckWait => Loop::StuckWait(count, tool),
        Detector::SameError => Loop::SameError(count, tool),
        Detector::LowNovelty => Loop::LowNovelty(count, of_which),
        Detector::EmptyResults => Loop::Empty(count),
        Detector::Rereading => Loop::Rereading(count),
        Detector::RapidFire => Loop::RapidFire(count, window_s),
        Detector::Subagents | Detector::SubagentDepth => Loop::Subagents(count, window_s),
        Detector::Compactions => Loop::Compactions(count),
        Detector::BlockedStops => Loop::BlockedStops(count),
        Detector::DeniedCall => Loop::Denied(count, tool),
        Detector::TodoOnly => Loop::TodoOnly(count),
        Detector::IterationLimit | Detector::SameCallAgain | Detector::LoopAgain => Loop::Calls(count),
    }
}

/// Whether the model reads the text of a block: of a call that is refused, and in the seed's shape, where every block of
/// a call is exit 2.
fn for_the_model(event: Event, seed_shape: bool, cell: Cell) -> bool {
    let of_a_call = matches!(
        event,
        Event::PreToolUse | Event::PostToolUse | Event::PostToolUseFailure | Event::PostToolBatch
    );
    of_a_call && (seed_shape || cell == Cell::Deny)
}

/// A text for the model has figures only. All others are for the person.
fn shut_text(for_the_model: bool, because: &Because) -> String {
    let why = match because.why() {
        Why::Paused | Why::Warning => answer::Why::Paused,
        Why::Exhausted => answer::Why::Exhausted,
        Why::Declined => answer::Why::Declined,
        Why::RanOut => answer::Why::RanOut,
        Why::TooManyUnattended => answer::Why::TooManyUnattended,
    };
    match because {
        Because::Budget(budget) if for_the_model => answer::denied_for_the_model(&figures(budget)),
        Because::Budget(budget) => answer::shut(&figures(budget), why),
        Because::Circuit(circuit) if for_the_model => answer::circuit_open_for_the_model(&tripped(circuit)),
        Because::Circuit(circuit) => {
            answer::circuit_open(&circuit.circuit.to_string(), &tripped(circuit), why)
        }
    }
}

/// Why a circuit opened; one that was declined by hand may never have.
fn tripped(circuit: &CircuitFigures) -> String {
    circuit.trip.as_ref().map_or_else(|| "calls that a person stopped".to_owned(), ToString::to_string)
}

/// The seed's word for a circuit's state.
fn state_word(state: BreakerState) -> &'static str {
    match state {
        BreakerState::Closed => "closed",
        BreakerState::Open => "open",
        BreakerState::HalfOpen => "half_open",
    }
}

/// A budget's figures for the sentences.
pub fn figures(budget: &BudgetFigures) -> Figures {
    Figures {
        budget_id: budget.budget.to_string(),
        tokens_used: budget.tokens_used,
        max_tokens: budget.max_tokens,
        micro_usd_used: budget.micro_usd_used,
        max_micro_usd: budget.max_micro_usd,
        by_cost: budget.by_cost,
        estimated: budget.estimated,
    }
}

/// The sentence of a verdict for `bursar hooks`.
pub fn reason(verdict: &Verdict) -> Option<String> {
    let because = verdict.because.as_ref()?;
    if let (Why::Warning, Some(budget)) = (because.why(), because.budget()) {
        return Some(format!("{} reached its alert threshold", budget.budget));
    }
    Some(shut_text(false, because))
}

/// An operator's act.
///
/// # Errors
/// [`IdError`] for an id that is none.
pub fn act(act: &OperatorAct) -> Result<Act, IdError> {
    let id = |id: &Option<String>| id.as_deref().map(str::parse::<BudgetId>).transpose();
    let circuit = |id: &Option<String>| id.as_deref().map(str::parse::<CircuitId>).transpose();
    let name =
        |text: &String| if is_name(text) { Ok(text.clone()) } else { Err(IdError::Name(text.clone())) };
    Ok(match act {
        OperatorAct::Extend { budget_id, amount } => Act::Extend {
            budget: id(budget_id)?,
            amount: match *amount {
                Amount::Exact { tokens, micro_usd } => command::Amount::Exact(Limit { tokens, micro_usd }),
                Amount::Percent(percent) => command::Amount::Percent(percent),
            },
        },
        OperatorAct::Finish { budget_id } => Act::Finish(id(budget_id)?),
        OperatorAct::Decline { budget_id } => Act::Decline(id(budget_id)?),
        OperatorAct::Reset { budget_id } => Act::Reset(budget_id.parse()?),
        OperatorAct::Set { budget_id, max_tokens, max_micro_usd, alert_threshold_millionths, shut } => {
            Act::Set {
                budget: budget_id.parse()?,
                tokens: *max_tokens,
                micro_usd: *max_micro_usd,
                alert: alert_threshold_millionths.map(Ratio),
                shut: *shut,
            }
        }
        OperatorAct::AcknowledgeAlert { alert_id } => Act::AcknowledgeAlert(match alert_id {
            None => None,
            Some(id) => Some(AlertId(id.parse().map_err(|_| IdError::Name(id.clone()))?)),
        }),
        OperatorAct::Release => Act::Release,
        OperatorAct::AcknowledgeCircuit { circuit_id } => Act::Acknowledge(circuit(circuit_id)?),
        OperatorAct::ResetCircuit { circuit_id } => Act::ResetCircuit(circuit_id.parse()?),
        OperatorAct::AllowOnce { circuit_id } => Act::AllowOnce(circuit(circuit_id)?),
        OperatorAct::SwitchCircuits { session_id, off } => {
            Act::SwitchCircuits { session: SessionId::new(session_id)?, off: *off }
        }
        OperatorAct::ExemptTool { session_id, tool, exempt } => {
            Act::Exempt { session: SessionId::new(session_id)?, tool: tool_name(tool), exempt: *exempt }
        }
        OperatorAct::DeclineCircuit { circuit_id } => Act::DeclineCircuit(circuit(circuit_id)?),
        OperatorAct::StartTask { task, session_id, task_type, max_tokens, description } => Act::StartTask {
            task: name(task)?,
            session: SessionId::new(session_id)?,
            task_type: task_type.as_ref().map(name).transpose()?,
            tokens: *max_tokens,
            description: description.as_deref().map(|text| plain(text, MAX_DESCRIPTION_CHARS)),
        },
        OperatorAct::EndTask { task } => Act::EndTask(name(task)?),
        OperatorAct::Unlock { .. } => Act::Protect(Protect::Unlock),
        OperatorAct::Lock => Act::Protect(Protect::Lock),
        // Filled in once the gate has let it through: see `protect::prepare`.
        OperatorAct::SetPassphrase { .. } => {
            Act::Protect(Protect::Set { hash: PassphraseHash(String::new()), replaces: None })
        }
        OperatorAct::Unprotect => Act::Protect(Protect::Unprotect),
        OperatorAct::ResetPassphrase => Act::Protect(Protect::Reset),
        OperatorAct::AcceptConfig => Act::AcceptConfig { policy: Box::default(), settings: BTreeMap::new() },
    })
}
