//! What happened before, told to the rules again: the hooks of transcripts and scenarios, through the very way that a
//! hook takes, beside all live state.
//!
//! A happening becomes the payload that the client would have sent, is cut as the hook client cuts it, and is read,
//! decided and applied as in the daemon. Budgets are not looked at; what a limit would have done is reckoned apart ([`purse`]).

pub mod files;
pub mod purse;
pub mod scenario;
pub mod session;
pub mod transcript;

use std::collections::BTreeSet;

use bursar_engine::command::{Act, Command, Hook, Operator};
use bursar_engine::decide::Reply;
use bursar_engine::detect::{Detector, Heard};
use bursar_engine::event::Event;
use bursar_engine::policy::{CircuitPolicy, Mode, OnPause, Policy};
use bursar_engine::records::BreakerState;
use bursar_engine::time::Timestamp;
use bursar_engine::verdict::ModelText;
use bursar_engine::{Decision, State, decide};
use bursar_protocol::cut;
use bursar_protocol::hook_input::HookInput;
use bursar_protocol::message::HookFrame;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::ipc::convert;

/// Something that happened in a session.
#[derive(Debug, Clone)]
pub struct Happening {
    /// When.
    pub at: Timestamp,
    /// In which subagent; none for the main agent.
    pub agent: Option<String>,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum What {
    /// A prompt; `human` where a person typed it.
    Prompt {
        /// A person typed it.
        human: bool,
    },
    /// A call begins.
    Begins(Made),
    /// A call that ran has ended.
    Ends {
        /// The call.
        made: Made,
        /// Whether it succeeded.
        ok: bool,
        /// What it answered, JSON.
        response: Box<RawValue>,
    },
    /// All calls of a message have ended, each with what it answered.
    Message(Vec<(Made, Box<RawValue>)>),
    /// The context is compacted.
    Compacts {
        /// By itself; else a person asked for it.
        by_itself: bool,
    },
    /// The model says something, and calls nothing. No hook tells of it.
    Said,
    /// The turn ends that a hook had turned back before.
    StopBlocked,
    /// An operator lets every open circuit try again.
    Acknowledged,
}

impl Happening {
    /// The hook that told of it, or would have; none where there is none of it.
    pub fn hook(&self, session: &str) -> Option<Hook> {
        let (event, fields) = match &self.what {
            What::Prompt { human } => {
                let text = if *human { "replayed" } else { "<task-notification>" };
                ("UserPromptSubmit", json!({"prompt": text}))
            }
            What::Begins(made) => ("PreToolUse", of_call(made)),
            What::Ends { made, ok: true, response } => {
                ("PostToolUse", merged(of_call(made), json!({"tool_response": response})))
            }
            What::Ends { made, ok: false, response } => {
                let error = serde_json::from_str::<String>(response.get()).unwrap_or_default();
                ("PostToolUseFailure", merged(of_call(made), json!({"error": error})))
            }
            What::Message(calls) => {
                let of = |(made, response): &(Made, Box<RawValue>)| {
                    merged(of_call(made), json!({"tool_response": response}))
                };
                let calls: Vec<Value> = calls.iter().map(of).collect();
                ("PostToolBatch", json!({"tool_calls": calls}))
            }
            What::Compacts { by_itself } => {
                ("PreCompact", json!({"trigger": if *by_itself { "auto" } else { "manual" }}))
            }
            What::StopBlocked => ("Stop", json!({"stop_hook_active": true})),
            What::Acknowledged | What::Said => return None,
        };
        hook(session, event, self.agent.as_deref(), self.at, fields)
    }
}

/// A call.
#[derive(Debug, Clone)]
pub struct Made {
    /// Its id.
    pub id: String,
    /// The tool.
    pub tool: String,
    /// Its input, JSON.
    pub input: Box<RawValue>,
}

/// What the circuits of a session made of it. Calls are counted from 1, compactions, blocked stops and, of scenarios,
/// texts among them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Calls.
    pub calls: u64,
    /// Prompts of a human.
    pub prompts: u64,
    /// At which call the first circuit opened.
    pub tripped_at: Option<u64>,
    /// What opened it.
    pub detector: Option<Detector>,
    /// Why, in a sentence.
    pub why: Option<String>,
    /// At which calls the model was warned, and of what.
    pub warned: Vec<(u64, Detector)>,
    /// At which call a half-open circuit opened again.
    pub reopened_at: Option<u64>,
    /// After which call a half-open circuit closed.
    pub closed_at: Option<u64>,
}

/// A session that is told again.
#[derive(Debug)]
pub struct Replay {
    state: State,
    met: BTreeSet<String>,
    acts: u64,
    seen: Seen,
    /// Warnings that no hook has carried yet.
    unheard: Vec<Heard>,
}

/// The session's id in the state that a replay makes for itself.
const SESSION: &str = "replayed";

impl Replay {
    /// A session under these settings of the breaker.
    pub fn new(circuits: CircuitPolicy) -> Self {
        // A denied call leaves no hold behind, so that what follows is as it was.
        let policy = Policy {
            enabled: false,
            mode: Mode::Enforce,
            on_pause: OnPause::Deny,
            circuits,
            ..Policy::default()
        };
        Self {
            state: State::new(policy),
            met: BTreeSet::new(),
            acts: 0,
            seen: Seen::default(),
            unheard: Vec::new(),
        }
    }

    /// What came of it so far.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Tells of the next thing that happened.
    pub fn tell(&mut self, happening: &Happening) {
        let Happening { at, agent, what } = happening;
        let agent = agent.as_deref();
        if let Some(id) = agent
            && self.met.insert(id.to_owned())
        {
            let started = hook(SESSION, "SubagentStart", Some(id), *at, json!({"agent_type": "replayed"}));
            self.hook(started, *at);
        }
        match what {
            What::Prompt { human } => self.seen.prompts += u64::from(*human),
            What::Begins(_) | What::Compacts { .. } | What::StopBlocked | What::Said => self.seen.calls += 1,
            What::Acknowledged => self.acknowledge(*at),
            What::Ends { .. } | What::Message(_) => {}
        }
        self.hook(happening.hook(SESSION), *at);
    }

    fn hook(&mut self, hook: Option<Hook>, at: Timestamp) {
        if let Some(hook) = hook {
            self.command(&Command::Hook(hook), at);
        }
    }

    fn acknowledge(&mut self, at: Timestamp) {
        let open: Vec<_> =
            self.state.circuits.values().filter(|c| c.is_open()).map(|c| c.id.clone()).collect();
        for id in open {
            self.acts += 1;
            let operator = Operator {
                request_id: self.acts.to_string(),
                who: "replay".to_owned(),
                reason: "replay".to_owned(),
                say: None,
                may_only_tighten: false,
                by_agent: false,
                refused: None,
                act: Act::Acknowledge(Some(id)),
            };
            self.command(&Command::Operator(operator), at);
        }
    }

    fn command(&mut self, command: &Command, at: Timestamp) {
        let is_hook = matches!(command, Command::Hook(_));
        let half_open: Vec<_> = self
            .state
            .circuits
            .values()
            .filter(|c| is_hook && c.state == BreakerState::HalfOpen)
            .map(|c| c.id.clone())
            .collect();
        let decision = decide(&self.state, command, at);
        decision.events.iter().for_each(|event| self.state.evolve(event));
        self.warnings(command, &decision);
        let (call, seen) = (self.seen.calls, &mut self.seen);
        for circuit in half_open.iter().filter_map(|id| self.state.circuit(id)) {
            match circuit.state {
                BreakerState::Open => seen.reopened_at = seen.reopened_at.or(Some(call)),
                BreakerState::Closed => seen.closed_at = seen.closed_at.or(Some(call)),
                BreakerState::HalfOpen => {}
            }
        }
        if seen.tripped_at.is_none()
            && let Some(circuit) = self.state.circuits.values().find(|circuit| circuit.is_open())
        {
            seen.tripped_at = Some(call);
            seen.detector = circuit.trip.as_ref().map(|trip| trip.detector);
            seen.why = circuit.trip.as_ref().map(ToString::to_string);
        }
    }

    /// A warning counts from when it is due: the model hears it with its next hook that carries text.
    fn warnings(&mut self, command: &Command, decision: &Decision) {
        let call = self.seen.calls;
        if let Reply::Verdict(verdict) = &decision.reply {
            for text in &verdict.texts {
                let ModelText::Loop(heard) = text else { continue };
                match self.unheard.iter().position(|due| due == heard) {
                    Some(at) => drop(self.unheard.remove(at)),
                    None => self.seen.warned.push((call, heard.detector)),
                }
            }
        }
        if !matches!(command, Command::Hook(hook) if !hook.event.carries_text()) {
            return;
        }
        for event in &decision.events {
            if let Event::Circuit(circuit) = event
                && let Some(due) = &circuit.window.trail.warning
                && !self.unheard.contains(due)
            {
                self.unheard.push(due.clone());
                self.seen.warned.push((call, due.detector));
            }
        }
    }
}

/// What the rules hear of a hook with these fields.
fn hook(session: &str, event: &str, agent: Option<&str>, at: Timestamp, fields: Value) -> Option<Hook> {
    let whose = json!({"session_id": session, "hook_event_name": event, "agent_id": agent});
    let payload = merged(whose, fields).to_string().into_bytes();
    let (how, payload) = cut::cut(&payload);
    let frame = HookFrame { attended: true, cut: how, ..HookFrame::default() };
    let input = HookInput::parse(&payload, None).ok()?;
    convert::hook(&frame, &input, at).ok()
}

fn of_call(made: &Made) -> Value {
    json!({"tool_name": made.tool, "tool_use_id": made.id, "tool_input": made.input})
}

fn merged(mut value: Value, more: Value) -> Value {
    if let (Value::Object(fields), Value::Object(more)) = (&mut value, more) {
        fields.extend(more);
    }
    value
}
