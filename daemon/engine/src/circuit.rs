//! Circuits: the breaker of one agent's line of work, closed, open or half-open (DESIGN 5).

mod evidence;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::budget::Seal;
use crate::command::{Call, Outcome};
use crate::detect::{Detector, Finding, Pending, Spawns, Window, judge};
use crate::ids::{AgentKey, BudgetId, IdError, SessionId};
use crate::policy::{CircuitPolicy, Profile};
use crate::records::BreakerState;
use crate::time::Timestamp;

pub use crate::trip::Trip;

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
    /// How deep a subagent it is: 0 for the main agent, 1 for those that it starts.
    #[serde(default)]
    pub depth: u32,
    /// Subagents that it called for and that have not started yet.
    #[serde(default)]
    pub unstarted: u32,
    /// It has called for subagents.
    #[serde(default)]
    pub calls_agents: bool,
    /// So often the loop that it tripped on may go on once more while it is half-open.
    #[serde(default)]
    pub pardons: u32,
    /// What holds for the whole session, with its main agent's circuit.
    #[serde(default)]
    pub whole: Whole,
}

/// What is counted and switched for a session as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Whole {
    /// Its subagents.
    pub spawns: Spawns,
    /// An operator switched its circuits off.
    pub is_off: bool,
    /// Tools that an operator exempted, as names of at most 64 characters; at most [`MAX_EXEMPT`].
    pub exempt: BTreeSet<String>,
}

/// The most tools that are exempt in a session.
pub const MAX_EXEMPT: usize = 64;

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
        let depth_of_sub = agent.sub().is_some();
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
            depth: u32::from(depth_of_sub),
            unstarted: 0,
            calls_agents: false,
            pardons: 0,
            whole: Whole::default(),
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
        if call.id.is_some_and(|id| self.window.seen(id).is_some() || self.window.told.contains(&id)) {
            return Effect::None;
        }
        self.last_updated = now;
        if policy.profile == Profile::Evidence {
            self.next_call(call, policy, now);
        }
        let generation = (!self.is_open()).then_some(self.generation);
        if let Some(id) = call.id {
            self.window.await_batch(Pending { id, call: call.print, generation, done: false });
        }
        // One that meets an open circuit is not made, and if it is let go on later it passes uncounted.
        if self.is_open() {
            return Effect::None;
        }
        self.window.add(call.print, policy, now);
        let identity = self.trip.as_ref().and_then(|t| t.call);
        if self.state == BreakerState::HalfOpen && identity == Some(call.print) && !self.is_pardoned() {
            let again = Finding::again(Detector::SameCallAgain, self.window.run);
            self.open(&again, call, policy, now);
            return Effect::Tripped;
        }
        match judge(&self.window, self.limit(policy), policy, now) {
            Some(finding) => {
                self.open(&finding, call, policy, now);
                Effect::TrippedAndPasses
            }
            None => Effect::None,
        }
    }

    /// Whether an operator lets the loop go on this once.
    fn is_pardoned(&mut self) -> bool {
        let pardons = self.pardons;
        self.pardons = pardons.saturating_sub(1);
        pardons > 0
    }

    /// A call without an id is about to run: it is counted at its end, unless it met an open circuit.
    pub(crate) fn meets_without_id(&mut self, call: &Call) {
        if self.is_open() {
            self.window.let_pass(call.print);
        }
    }

    fn open(&mut self, finding: &Finding, call: &Call, policy: &CircuitPolicy, now: Timestamp) {
        let identity = self.trip.as_ref().and_then(|t| t.call);
        let of_one_call = match finding.detector {
            Detector::IdenticalCalls => Some(call.print),
            Detector::SameCallAgain => identity,
            _ => None,
        };
        let is_rapid = finding.detector == Detector::RapidFire;
        self.state = BreakerState::Open;
        self.next_generation(now);
        self.trips = self.trips.saturating_add(1);
        self.trip = Some(Trip {
            detector: finding.detector,
            count: finding.count,
            of_which: finding.of_which,
            window_s: if is_rapid { Some(policy.rapid_fire_window_s) } else { finding.window_s },
            call: of_one_call,
            calls: finding.calls.clone(),
            error: finding.error,
            outcome: None,
            first: None,
            tool: call.tool.clone(),
            words: None,
            at: now,
        });
    }

    fn next_generation(&mut self, now: Timestamp) {
        self.generation = self.generation.saturating_add(1);
        self.last_updated = now;
    }

    /// What came of a call, and what the detectors make of it. The first good one that differs from the loop's and is new
    /// closes a half-open circuit, once the cool-down since the trip has passed; one that never `ran` closes nothing.
    pub(crate) fn outcome(
        &mut self,
        call: &Call,
        outcome: &Outcome,
        ran: bool,
        policy: &CircuitPolicy,
        now: Timestamp,
    ) {
        let generation = match call.id {
            // Without an id it is counted and judged at once.
            None => Some(self.generation),
            Some(id) => match self.window.ends(id) {
                Some(pending) => pending.generation,
                None => return,
            },
        };
        let by_evidence = policy.profile == Profile::Evidence;
        if !ran && !by_evidence {
            return;
        }
        self.last_updated = now;
        let is_new = self.window.note_outcome(call.print.with(outcome.print));
        if generation != Some(self.generation) {
            return;
        }
        if by_evidence && self.judge_outcome(call, outcome, is_new, policy, now) {
            return;
        }
        if self.state != BreakerState::HalfOpen {
            return;
        }
        let trip = self.trip.as_ref();
        let differs = trip.is_none_or(|t| t.differs(call));
        let cooled = trip.is_none_or(|t| now.since(t.at) >= policy.cooldown_s.saturating_mul(1_000));
        // The same answer by another way tells nothing new.
        let is_news = is_new && trip.is_none_or(|t| t.outcome != Some(outcome.print));
        if outcome.ok && ran && differs && is_news && cooled {
            self.state = BreakerState::Closed;
            (self.trip, self.pardons) = (None, 0);
        }
    }

    /// What came of a call that counts nowhere.
    pub(crate) fn let_end(&mut self, call: &Call) {
        call.id.and_then(|id| self.window.ends(id));
    }

    /// The calls of a batch have ended; they will not be told of again.
    pub(crate) fn batch_ended(&mut self, calls: &[Call], policy: &CircuitPolicy, now: Timestamp) {
        let ids: Vec<_> = calls.iter().filter_map(|call| call.id).collect();
        self.window.batch_ended(&ids);
        self.window.tells_batches = true;
        if let Some(last) = calls.last().filter(|_| policy.profile == Profile::Evidence) {
            self.judge_message(last, policy, now);
        }
    }

    /// Lets an open circuit's agent try again. After a limit on calls the next limit is the count and the maximum.
    pub(crate) fn acknowledge(&mut self, policy: &CircuitPolicy, now: Timestamp) {
        self.state = BreakerState::HalfOpen;
        self.seal = None;
        self.next_generation(now);
        self.window.forget_runs();
        self.whole.spawns.acknowledged();
        if self.window.iterations >= self.limit(policy) {
            self.raised_limit = Some(self.window.iterations.saturating_add(policy.max_iterations()));
        }
    }

    /// Whatever its window came to know of, it stays as open or closed as it was.
    pub(crate) fn stays_as(&mut self, before: &Self) {
        (self.state, self.seal, self.generation) = (before.state, before.seal, before.generation);
        (self.trips, self.pardons) = (before.trips, before.pardons);
        self.trip.clone_from(&before.trip);
    }

    /// Forgets the loop and all calls.
    pub(crate) fn reset(&mut self, now: Timestamp) {
        self.state = BreakerState::Closed;
        (self.seal, self.trip, self.pardons) = (None, None, 0);
        self.next_generation(now);
        self.clear_window();
        self.whole.spawns = Spawns::default();
    }

    /// Detectors and the count of calls begin anew.
    pub(crate) fn clear_window(&mut self) {
        self.window.clear();
        self.raised_limit = None;
    }

    /// A human prompts: the detectors begin anew. A half-open circuit goes on knowing what it saw, or its loop would look
    /// new.
    pub(crate) fn prompted(&mut self) {
        let outcomes = std::mem::take(&mut self.window.outcomes);
        self.clear_window();
        if self.state == BreakerState::HalfOpen {
            self.window.outcomes = outcomes;
        }
    }

    /// Keeps it open until an operator acts.
    pub(crate) fn seal(&mut self, seal: Seal, now: Timestamp) {
        self.state = BreakerState::Open;
        self.seal = Some(seal);
        self.next_generation(now);
    }
}
