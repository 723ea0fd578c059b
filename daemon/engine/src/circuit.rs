//! Circuits: the breaker of one agent's line of work, closed, open or half-open (DESIGN 5).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::budget::Seal;
use crate::command::{Call, Outcome};
use crate::detect::{Anomaly, Detector, Pending, Window, judge};
use crate::ids::{AgentKey, BudgetId, IdError, SessionId};
use crate::policy::CircuitPolicy;
use crate::print::Print;
use crate::records::BreakerState;
use crate::time::Timestamp;

/// A circuit's id: `session:<id>` for the main agent, `agent:<agent_id>` for a subagent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum CircuitId {
    /// The main agent's of a session.
    Session(SessionId),
    /// A subagent's.
    Agent(String),
}

impl CircuitId {
    /// The circuit of an agent.
    pub fn of(session: &SessionId, agent: &AgentKey) -> Self {
        match agent {
            AgentKey::Main => Self::Session(session.clone()),
            AgentKey::Sub(id) => Self::Agent(id.clone()),
        }
    }
}

impl fmt::Display for CircuitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(id) => write!(f, "session:{id}"),
            Self::Agent(id) => write!(f, "agent:{id}"),
        }
    }
}

impl FromStr for CircuitId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        match text.parse() {
            Ok(BudgetId::Session(id)) => Ok(Self::Session(id)),
            Ok(BudgetId::Agent(id)) => Ok(Self::Agent(id)),
            _ => Err(IdError::Circuit(text.to_owned())),
        }
    }
}

impl TryFrom<String> for CircuitId {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<CircuitId> for String {
    fn from(id: CircuitId) -> Self {
        id.to_string()
    }
}

/// What an alert of a circuit is filed under: ids of circuits are ids of budgets too.
impl From<CircuitId> for BudgetId {
    fn from(id: CircuitId) -> Self {
        match id {
            CircuitId::Session(id) => Self::Session(id),
            CircuitId::Agent(id) => Self::Agent(id),
        }
    }
}

/// Why a circuit opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trip {
    /// Which detector.
    pub detector: Detector,
    /// How many calls it is about.
    pub count: u64,
    /// Within how many seconds, where that matters.
    pub window_s: Option<u64>,
    /// The loop's identity, where it is about one call.
    pub call: Option<Print>,
    /// The tool of the last call, as a name of at most 64 characters.
    pub tool: String,
    /// When.
    pub at: Timestamp,
}

/// The sentence of `trip_reason`: figures and the tool's name, nothing else that an agent controls (6.9).
impl fmt::Display for Trip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, tool) = (self.count, &self.tool);
        match self.detector {
            Detector::IdenticalCalls => write!(f, "{count} identical calls of {tool} in a row"),
            Detector::IterationLimit => write!(f, "{count} calls, the limit of this circuit"),
            Detector::RapidFire => write!(f, "{count} calls in {} seconds", self.window_s.unwrap_or(0)),
            Detector::SameCallAgain => write!(f, "the same call of {tool} again, which had been let go on"),
        }
    }
}

/// A circuit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Circuit {
    /// Its id.
    pub id: CircuitId,
    /// The session.
    pub session: SessionId,
    /// The agent.
    pub agent: AgentKey,
    /// Closed, open or half-open.
    pub state: BreakerState,
    /// Counts trips, acknowledgements and resets: what was under way before them is late.
    pub generation: u32,
    /// The agent's calls.
    pub window: Window,
    /// The limit on calls that an acknowledgement set.
    pub raised_limit: Option<u64>,
    /// Why it opened last; kept while it is half-open.
    pub trip: Option<Trip>,
    /// Why it stays open: declined, or a hold ran out.
    pub seal: Option<Seal>,
    /// Counts trips.
    pub trips: u32,
    /// When it changed last.
    pub last_updated: Timestamp,
    /// Who calls, as people see it.
    pub shown_as: String,
}

/// What a call did to its circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing that anybody hears of.
    None,
    /// It opened the circuit, and goes ahead itself.
    TrippedAndPasses,
    /// It opened the circuit, and meets it.
    Tripped,
}

impl Circuit {
    /// A closed circuit without a call.
    pub fn new(session: SessionId, agent: AgentKey, shown_as: String, now: Timestamp) -> Self {
        Self {
            id: CircuitId::of(&session, &agent),
            session,
            agent,
            state: BreakerState::Closed,
            generation: 0,
            window: Window::default(),
            raised_limit: None,
            trip: None,
            seal: None,
            trips: 0,
            last_updated: now,
            shown_as,
        }
    }

    /// The limit on calls that really trips; 0 means none.
    pub fn limit(&self, policy: &CircuitPolicy) -> u64 {
        match policy.max_iterations() {
            0 => 0,
            max => max.max(self.raised_limit.unwrap_or(0)),
        }
    }

    /// Whether it stops its agent.
    pub fn is_open(&self) -> bool {
        self.state == BreakerState::Open
    }

    /// A hook tells of a call that is about to run, or that only shows afterwards. One that a hook told of before
    /// counts once.
    pub(crate) fn call(&mut self, call: &Call, policy: &CircuitPolicy, now: Timestamp) -> Effect {
        if call.id.is_some_and(|id| self.window.seen(id).is_some()) {
            return Effect::None;
        }
        self.last_updated = now;
        let generation = (!self.is_open()).then_some(self.generation);
        if let Some(id) = call.id {
            self.window.await_batch(Pending { id, call: call.print, generation, done: false });
        }
        // One that meets an open circuit is not made, and if it is let go on later it passes uncounted.
        if self.is_open() {
            return Effect::None;
        }
        let kept = usize::try_from(policy.rapid_fire()).unwrap_or(usize::MAX);
        self.window.add(call.print, now, kept);
        let identity = self.trip.as_ref().and_then(|t| t.call);
        if self.state == BreakerState::HalfOpen && identity == Some(call.print) {
            let again =
                Anomaly { detector: Detector::SameCallAgain, count: self.window.run, of_one_call: true };
            self.open(again, call, policy, now);
            return Effect::Tripped;
        }
        match judge(&self.window, self.limit(policy), policy, now) {
            Some(anomaly) => {
                self.open(anomaly, call, policy, now);
                Effect::TrippedAndPasses
            }
            None => Effect::None,
        }
    }

    /// A call without an id is about to run: it is counted at its end, unless it met an open circuit.
    pub(crate) fn meets_without_id(&mut self, call: &Call) {
        if self.is_open() {
            self.window.let_pass(call.print);
        }
    }

    fn open(&mut self, anomaly: Anomaly, call: &Call, policy: &CircuitPolicy, now: Timestamp) {
        let is_rapid = anomaly.detector == Detector::RapidFire;
        self.state = BreakerState::Open;
        self.next_generation(now);
        self.trips = self.trips.saturating_add(1);
        self.trip = Some(Trip {
            detector: anomaly.detector,
            count: anomaly.count,
            window_s: is_rapid.then_some(policy.rapid_fire_window_s),
            call: anomaly.of_one_call.then_some(call.print),
            tool: call.tool.clone(),
            at: now,
        });
    }

    fn next_generation(&mut self, now: Timestamp) {
        self.generation = self.generation.saturating_add(1);
        self.last_updated = now;
    }

    /// What came of a call. The first good one that differs from the loop's and is new closes a half-open circuit,
    /// once the cool-down since the trip has passed.
    pub(crate) fn outcome(&mut self, call: &Call, outcome: &Outcome, policy: &CircuitPolicy, now: Timestamp) {
        let generation = match call.id {
            // Without an id it is counted and judged at once.
            None => Some(self.generation),
            Some(id) => match self.window.seen(id) {
                Some(pending) if !pending.done => {
                    pending.done = true;
                    pending.generation
                }
                _ => return,
            },
        };
        self.last_updated = now;
        let is_new = self.window.note_outcome(call.print.with(outcome.print));
        if generation != Some(self.generation) || self.state != BreakerState::HalfOpen {
            return;
        }
        let trip = self.trip.as_ref();
        let differs = trip.is_none_or(|t| t.call != Some(call.print));
        let cooled = trip.is_none_or(|t| now.since(t.at) >= policy.cooldown_s.saturating_mul(1_000));
        if outcome.ok && differs && is_new && cooled {
            self.state = BreakerState::Closed;
            self.trip = None;
        }
    }

    /// The calls of a batch have ended; they will not be told of again.
    pub(crate) fn batch_ended(&mut self, calls: &[Call]) {
        self.window.pending.retain(|p| !calls.iter().any(|c| c.id == Some(p.id)));
    }

    /// Lets an open circuit's agent try again. After a limit on calls the next limit is the count and the maximum.
    pub(crate) fn acknowledge(&mut self, policy: &CircuitPolicy, now: Timestamp) {
        self.state = BreakerState::HalfOpen;
        self.seal = None;
        self.next_generation(now);
        self.window.forget_runs();
        if self.window.iterations >= self.limit(policy) {
            self.raised_limit = Some(self.window.iterations.saturating_add(policy.max_iterations()));
        }
    }

    /// Forgets the loop and all calls.
    pub(crate) fn reset(&mut self, now: Timestamp) {
        self.state = BreakerState::Closed;
        (self.seal, self.trip) = (None, None);
        self.next_generation(now);
        self.clear_window();
    }

    /// Detectors and the count of calls begin anew.
    pub(crate) fn clear_window(&mut self) {
        self.window.clear();
        self.raised_limit = None;
    }

    /// Keeps it open until an operator acts.
    pub(crate) fn seal(&mut self, seal: Seal, now: Timestamp) {
        self.state = BreakerState::Open;
        self.seal = Some(seal);
        self.next_generation(now);
    }
}
