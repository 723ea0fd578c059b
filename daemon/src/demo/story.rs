//! The story: what happens in which order, and what is said about it. Every figure is the daemon's.

use std::time::{Duration, Instant};

use bursar_engine::records::{BreakerState, BudgetState, CircuitState};
use bursar_protocol::answer::grouped;
use bursar_protocol::hook_input::Event;
use bursar_protocol::message::Query;
use serde_json::{Value, json};

use super::DemoError;
use super::agent::Agent;
use super::client::{Answered, Ask};
use super::ears::Ears;
use super::house::{House, LIMIT};
use super::script::{self, Answer};
use super::session::{self, Session};
use super::told::Told;
use super::voice::{Ink, Voice, command_lines};
use crate::view::{HoldList, HoldView};

/// Between two answers of the model, and what a tool takes.
const PACE: Duration = Duration::from_millis(650);
const TOOL: Duration = Duration::from_millis(250);

/// Before something new is said, so that what stands there can be read.
const READING: Duration = Duration::from_millis(1_500);

/// How long an agent stands still before the demo answers itself.
const STANDS_STILL: Duration = Duration::from_secs(4);

/// How long the demo waits for a person.
const PERSON_MINUTES: u64 = 30;

/// A hook either answers or is held within this time, and how often it is looked for.
const HOOK_WITHIN: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);

/// Tells it from the beginning to the end.
pub(super) fn tell(house: &mut House, ears: &mut Ears, voice: &Voice, auto: bool) -> Result<(), DemoError> {
    voice.say(&format!(
        "Bursar with a pretend agent. The daemon, the hook client and the commands are the real ones; the model and its \
         tools are made up. Nothing is sent anywhere, no settings and no history of yours are read or written: all of it \
         happens in {}, which is removed at the end.",
        house.root().display()
    ));
    let pid = house.start_daemon(ears)?;
    let session = Session::begin(house.transcript(session::ID), &house.project())
        .map_err(DemoError::io("cannot write the transcript"))?;
    let agent = Agent::start(house, ears.mouth())?;
    let mut story =
        Story { house, ears, voice, auto, agent, session, headings: 0, answers: 0, said_how_to_end: false };
    story.heading(&format!("A daemon serves (process {pid})"))?;
    voice.tell(
        Ink::Plain,
        &format!(
            "{} tokens a session, then it is held. Five identical calls in a row open its circuit, which holds it too.",
            grouped(LIMIT)
        ),
    );
    story.begin()?;
    story.work()?;
    story.end()
}

/// How a hook went.
enum Reply {
    Answered(Answered),
    Held(Box<HoldView>),
}

struct Story<'a> {
    house: &'a House,
    ears: &'a mut Ears,
    voice: &'a Voice,
    auto: bool,
    agent: Agent,
    session: Session,
    headings: usize,
    answers: usize,
    said_how_to_end: bool,
}

impl Story<'_> {
    fn heading(&mut self, text: &str) -> Result<(), DemoError> {
        self.ears.pause(READING)?;
        self.headings += 1;
        self.voice.heading(self.headings, text);
        Ok(())
    }

    fn begin(&mut self) -> Result<(), DemoError> {
        self.heading(&format!("A session begins: \"{}\"", script::PROMPT))?;
        self.event(Event::SessionStart, json!({ "source": "startup" }))?;
        let told = self.event(Event::UserPromptSubmit, json!({ "prompt": script::PROMPT }))?;
        self.session.prompt(script::PROMPT).map_err(DemoError::io("cannot write the transcript"))?;
        self.say(&told);
        Ok(())
    }

    /// All answers of the model, until the last one or until a person stops it.
    fn work(&mut self) -> Result<(), DemoError> {
        if !self.answers(&script::WORK)? {
            return Ok(());
        }
        self.heading("The agent goes on, and runs in a circle")?;
        if !self.answers(&script::LOOP)? {
            return Ok(());
        }
        self.heading("It does something else")?;
        if !self.answers(&script::WAY_OUT)? {
            return Ok(());
        }
        let circuit: CircuitState = self.house.query(Query::Circuit { id: session::circuit() })?;
        if circuit.state == BreakerState::Closed {
            self.voice.tell(Ink::Good, "Its circuit is closed again.");
        } else {
            self.voice.tell(Ink::Warn, &format!("Its circuit is {}.", circuit.state.name()));
        }
        self.last_words()
    }

    /// Several answers; false where a person stopped the agent.
    fn answers(&mut self, answers: &[Answer]) -> Result<bool, DemoError> {
        for answer in answers {
            if !self.answer(answer)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// One answer of the model, its call, and the hooks around it.
    fn answer(&mut self, answer: &Answer) -> Result<bool, DemoError> {
        self.ears.pause(PACE)?;
        self.answers += 1;
        let call = &answer.call;
        let id = self.session.next_call();
        let input = session::input(call);
        let about = json!({ "tool_name": call.tool, "tool_input": input, "tool_use_id": id });
        let before = self.event(Event::PreToolUse, about.clone())?;
        if before.stops.is_some() {
            self.say(&before);
            return Ok(false);
        }
        self.ears.pause(TOOL)?;
        let (event, field) = if call.fails {
            (Event::PostToolUseFailure, "error")
        } else {
            (Event::PostToolUse, "tool_response")
        };
        let after = self.event(event, with(about.clone(), field, call.result))?;
        // As the client does: its message stands in the transcript only when its calls have ended.
        self.session
            .answer(answer.says, Some(call), answer.usage)
            .and_then(|()| self.session.result(&id, call))
            .map_err(DemoError::io("cannot write the transcript"))?;
        let calls = json!({ "tool_calls": [with(about, "tool_response", call.result)] });
        let reply = self.hook(Event::PostToolBatch, calls)?;
        self.meter(&format!("{}: {}", call.tool, call.shown))?;
        let batch = self.through(reply)?;
        for told in [&before, &after, &batch] {
            self.say(told);
        }
        Ok(batch.stops.is_none())
    }

    fn last_words(&mut self) -> Result<(), DemoError> {
        self.ears.pause(PACE)?;
        self.answers += 1;
        let (says, usage) = script::LAST_WORDS;
        self.session.answer(says, None, usage).map_err(DemoError::io("cannot write the transcript"))?;
        self.event(Event::Stop, json!({ "stop_hook_active": false, "last_assistant_message": says }))?;
        self.meter(&format!("\"{says}\""))
    }

    fn end(&mut self) -> Result<(), DemoError> {
        self.event(Event::SessionEnd, json!({ "reason": "prompt_input_exit" }))?;
        self.heading(&format!("The session ends; `bursar sessions show {}` sums it up", session::ID))?;
        self.voice.gap();
        self.voice.output(&self.house.output(&["sessions", "show", session::ID])?);
        self.voice.gap();
        self.voice.say(
            "So much for the pretend agent. For your own sessions: `make up` starts the daemon, `bursar install` puts its \
             hooks into Claude Code's settings, `bursar uninstall` takes them out again.",
        );
        Ok(())
    }

    fn meter(&self, what: &str) -> Result<(), DemoError> {
        let budget: BudgetState = self.house.query(Query::Budget { id: session::budget() })?;
        let what = format!("answer {:<2}  {what}", self.answers);
        self.voice.meter(&what, budget.tokens_used, budget.max_tokens);
        Ok(())
    }

    fn say(&self, told: &Told) {
        if let Some(text) = &told.text {
            self.voice.labelled(Ink::Plain, "the model is told:", text);
        }
        if let Some(why) = &told.stops {
            self.voice.labelled(Ink::Bad, "the turn ends:", why);
        }
    }

    /// One hook, whether it is held or not.
    fn event(&mut self, event: Event, adds: Value) -> Result<Told, DemoError> {
        let reply = self.hook(event, adds)?;
        self.through(reply)
    }

    fn through(&mut self, reply: Reply) -> Result<Told, DemoError> {
        match reply {
            Reply::Answered(answered) => Ok(Told::by(&answered)),
            Reply::Held(hold) => self.held(&hold),
        }
    }

    /// Runs a hook until it answers or is held.
    fn hook(&mut self, event: Event, adds: Value) -> Result<Reply, DemoError> {
        let payload = self.session.payload(event, adds);
        self.agent.ask(&Ask { timeout_s: timeout_s(event), payload })?;
        let until = Instant::now() + HOOK_WITHIN;
        while Instant::now() < until {
            if let Some((answered, _)) = self.ears.answer(LOOK)? {
                return Ok(Reply::Answered(answered));
            }
            let waiting: HoldList = self.house.query(Query::Holds { all: false })?;
            if let Some(hold) = waiting.holds.into_iter().next() {
                return Ok(Reply::Held(Box::new(hold)));
            }
        }
        Err(DemoError::TooLate("a hook's answer"))
    }

    /// Says that the agent is held, and by what; waits until it goes on.
    fn held(&mut self, hold: &HoldView) -> Result<Told, DemoError> {
        let arguments = if let Some(circuit) = &hold.circuit {
            self.heading("Held: its circuit is open")?;
            let made = circuit.trip_reason.as_deref().unwrap_or("too many calls");
            self.voice.tell(Ink::Plain, &format!("It made {made}. Its hook does not return: it stands still, and spends nothing on a sixth. `bursar waiting` says:"));
            "circuit acknowledge --say \"look at the log first\""
        } else {
            self.heading("Held: its budget is used up")?;
            self.voice.tell(
                Ink::Plain,
                "Its hook does not return: the agent stands still before its next request, and spends nothing. `bursar \
                 waiting` says:",
            );
            "extend +10k"
        };
        self.voice.gap();
        self.voice.output(&self.house.output(&["waiting"])?);
        self.voice.gap();
        self.voice.tell(Ink::Plain, "Let it go on, from a second terminal:");
        let program = self.house.as_typed();
        self.voice.command(&program, arguments);
        let went_on = if self.auto {
            self.answer_ourselves(&command_lines(&program, arguments).join("\n"))?
        } else {
            self.wait_for_a_person(hold)?
        };
        Ok(Told::by(&went_on))
    }

    fn answer_ourselves(&mut self, command: &str) -> Result<Answered, DemoError> {
        let seconds = STANDS_STILL.as_secs();
        self.voice
            .tell(Ink::Dim, &format!("Nobody does, so in {seconds} s the demo runs that very command."));
        self.ears.pause(STANDS_STILL)?;
        let budget: BudgetState = self.house.query(Query::Budget { id: session::budget() })?;
        let used = grouped(budget.tokens_used);
        self.voice.tell(Ink::Plain, &format!("{seconds} s later: still {used} tokens. Now the command:"));
        let began = Instant::now();
        let said = self.house.typed(command)?;
        let (answered, at) =
            self.ears.answer(HOOK_WITHIN)?.ok_or(DemoError::TooLate("the held hook's answer"))?;
        self.voice.labelled(Ink::Plain, ">", said.trim_end());
        let after = at.saturating_duration_since(began).as_millis();
        self.voice.tell(Ink::Good, &format!("The hook returned {after} ms after the command was started."));
        Ok(answered)
    }

    fn wait_for_a_person(&mut self, hold: &HoldView) -> Result<Answered, DemoError> {
        let or = if self.said_how_to_end { "" } else { " (Ctrl-C ends the demo.)" };
        self.said_how_to_end = true;
        self.voice.tell(Ink::Dim, &format!("Waiting for you.{or}"));
        let limit = Duration::from_secs(PERSON_MINUTES * 60);
        let (answered, at) = self.ears.answer(limit)?.ok_or(DemoError::NobodyAnswered(PERSON_MINUTES))?;
        let heard =
            jiff::Timestamp::now().as_millisecond() - i64::try_from(at.elapsed().as_millis()).unwrap_or(0);
        let all: HoldList = self.house.query(Query::Holds { all: true })?;
        let ended = all.holds.into_iter().find(|h| h.hold_id == hold.hold_id).and_then(|h| h.ended_at);
        if let Some(ended) = ended.and_then(|at| at.parse::<jiff::Timestamp>().ok()) {
            let after = (heard - ended.as_millisecond()).max(0);
            self.voice
                .tell(Ink::Good, &format!("The hook returned {after} ms after the daemon had your answer."));
        }
        Ok(answered)
    }
}

/// The time limit that `install` writes for an event's hook, in seconds (HOOK 4).
fn timeout_s(event: Event) -> u64 {
    match event {
        Event::PreToolUse | Event::PostToolBatch | Event::UserPromptSubmit => 86_400 + 60,
        Event::SessionEnd => 1,
        _ => 2,
    }
}

fn with(mut object: Value, field: &str, value: &str) -> Value {
    object[field] = value.into();
    object
}
