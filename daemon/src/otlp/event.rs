//! A log record of the client, whatever the encoding it came in, and the request that it tells of.

use std::borrow::Cow;

use bursar_engine::ids::{AgentKey, SessionId, is_name, to_name};
use bursar_engine::time::Timestamp;
use bursar_engine::usage::{MAX_TOKENS_PER_REQUEST, Usage};

use super::Mark;
use crate::transcript::model_name;

/// The most that a single request may claim to cost, in micro-dollars; more is a hostile or broken number.
pub const MAX_MICRO_USD_PER_REQUEST: u64 = 10_000_000_000;

/// Dates before this are no dates of a client: 2020-01-01.
const EARLIEST: Timestamp = Timestamp(1_577_836_800_000);

/// A client's clock may be ahead of ours by so much; a date beyond is not believed.
const AHEAD_MS: u64 = 86_400_000;

/// The greatest whole number that a double holds exactly.
const EXACT_IN_DOUBLE: f64 = 9_007_199_254_740_992.0;

/// The name of the event of a request, in the record's body; without `claude_code.` in its attribute.
const REQUEST: &str = "claude_code.api_request";

/// One request, as the client's telemetry tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiRequest {
    /// The session.
    pub session_id: SessionId,
    /// The request's id, the transcript's `requestId`; some transports give none.
    pub request_id: Option<String>,
    /// The prompt that it serves.
    pub prompt_id: Option<String>,
    /// Its place in its process's events.
    pub sequence: Option<u64>,
    /// The model.
    pub model: String,
    /// Tokens.
    pub usage: Usage,
    /// What the client reckons that it cost, in micro-dollars.
    pub cost_usd_micros: Option<u64>,
    /// What asked for it: `repl_main_thread`, `sdk`, `agent:…`, `compact`, …
    pub query_source: Option<String>,
    /// Whose it is.
    pub agent_id: AgentKey,
    /// Who started that subagent.
    pub parent_agent_id: Option<AgentKey>,
    /// When it was told of, as the client dates it.
    pub at: Timestamp,
}

impl ApiRequest {
    /// Whether such requests stand in a transcript too, sooner or later (DESIGN 3, sensor 3).
    pub fn is_of_a_transcript(&self) -> bool {
        self.query_source
            .as_deref()
            .is_some_and(|s| matches!(s, "repl_main_thread" | "sdk") || s.starts_with("agent:"))
    }
}

/// An attribute's value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar<'a> {
    Text(Cow<'a, str>),
    Int(i64),
    Double(f64),
    /// Anything that no attribute of ours is.
    Other,
}

/// What is there, but is not what it must be.
struct Bad;

impl Scalar<'_> {
    /// A whole number, which older clients write as text.
    fn number(&self) -> Option<u64> {
        match self {
            Self::Int(n) => u64::try_from(*n).ok(),
            Self::Text(text) if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
            Self::Double(d) if d.fract() == 0.0 && (0.0..=EXACT_IN_DOUBLE).contains(d) => whole(*d),
            Self::Text(_) | Self::Double(_) | Self::Other => None,
        }
    }

    /// Dollars, as micro-dollars.
    fn dollars(&self) -> Option<u64> {
        let dollars = match self {
            Self::Double(d) => *d,
            Self::Text(text) => text.parse().ok()?,
            Self::Int(n) => return u64::try_from(*n).ok()?.checked_mul(1_000_000),
            Self::Other => return None,
        };
        (0.0..=EXACT_IN_DOUBLE / 1e6).contains(&dollars).then(|| whole(dollars * 1e6)).flatten()
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Int(_) | Self::Double(_) | Self::Other => None,
        }
    }
}

/// By way of its digits: no cast can be wrong.
fn whole(number: f64) -> Option<u64> {
    format!("{:.0}", number.abs()).parse().ok()
}

type Slot<'a> = Option<Scalar<'a>>;

/// A record in the making: of its attributes only those that are looked at.
#[derive(Debug, Default)]
pub(super) struct Draft<'a> {
    /// `timeUnixNano`.
    pub(super) time: Option<u64>,
    /// `observedTimeUnixNano`.
    pub(super) observed: Option<u64>,
    /// The record's body.
    pub(super) body: Slot<'a>,
    /// The record's own event name, in newer OTLP.
    pub(super) event_name: Slot<'a>,
    name: Slot<'a>,
    session: Slot<'a>,
    request: Slot<'a>,
    prompt: Slot<'a>,
    sequence: Slot<'a>,
    model: Slot<'a>,
    input: Slot<'a>,
    output: Slot<'a>,
    cache_read: Slot<'a>,
    cache_write: Slot<'a>,
    cache_write_5m: Slot<'a>,
    cache_write_1h: Slot<'a>,
    micros: Slot<'a>,
    dollars: Slot<'a>,
    source: Slot<'a>,
    agent: Slot<'a>,
    parent: Slot<'a>,
}

impl<'a> Draft<'a> {
    /// Where the value of an attribute belongs, if it is looked at.
    pub(super) fn slot(&mut self, key: &str) -> Option<&mut Slot<'a>> {
        Some(match key {
            "event.name" => &mut self.name,
            "session.id" => &mut self.session,
            "request_id" => &mut self.request,
            "prompt.id" => &mut self.prompt,
            "event.sequence" => &mut self.sequence,
            "model" => &mut self.model,
            "input_tokens" => &mut self.input,
            "output_tokens" => &mut self.output,
            "cache_read_tokens" => &mut self.cache_read,
            "cache_creation_tokens" => &mut self.cache_write,
            "cache_creation_5m_tokens" => &mut self.cache_write_5m,
            "cache_creation_1h_tokens" => &mut self.cache_write_1h,
            "cost_usd_micros" => &mut self.micros,
            "cost_usd" => &mut self.dollars,
            "query_source" => &mut self.source,
            "agent_id" => &mut self.agent,
            "parent_agent_id" => &mut self.parent,
            _ => return None,
        })
    }

    /// Whether it tells of a request, by any of its three names.
    pub(super) fn is_request(&self) -> bool {
        let is = |slot: &Slot<'_>, short: bool| {
            let name = slot.as_ref().and_then(Scalar::text).unwrap_or_default();
            name == REQUEST || (short && Some(name) == REQUEST.strip_prefix("claude_code."))
        };
        is(&self.body, false) || is(&self.event_name, true) || is(&self.name, true)
    }

    /// Its session and its place there.
    pub(super) fn mark(&self, now: Timestamp) -> Option<(SessionId, Mark)> {
        let session = SessionId::new(self.session.as_ref()?.text()?).ok()?;
        let sequence = self.sequence.as_ref()?.number()?;
        Some((session, Mark { sequence, at: self.at(now) }))
    }

    /// The request; none where something is missing that each has, or cannot be.
    pub(super) fn request(&self, now: Timestamp) -> Option<ApiRequest> {
        self.checked(now).ok()
    }

    fn checked(&self, now: Timestamp) -> Result<ApiRequest, Bad> {
        let session = self.session.as_ref().and_then(Scalar::text).ok_or(Bad)?;
        Ok(ApiRequest {
            session_id: SessionId::new(session).map_err(|_| Bad)?,
            request_id: name(&self.request)?,
            prompt_id: name(&self.prompt)?,
            sequence: number(&self.sequence)?,
            model: model_name(text(&self.model)?.unwrap_or("unknown")),
            usage: self.usage()?,
            cost_usd_micros: self.cost()?,
            query_source: text(&self.source)?.map(to_name),
            agent_id: AgentKey::new(text(&self.agent)?).map_err(|_| Bad)?,
            parent_agent_id: match text(&self.parent)? {
                None => None,
                parent => Some(AgentKey::new(parent).map_err(|_| Bad)?),
            },
            at: self.at(now),
        })
    }

    /// The tokens by kind. The total of what was written to the cache is the truth; its parts only divide it.
    fn usage(&self) -> Result<Usage, Bad> {
        let (input, output) = (number(&self.input)?, number(&self.output)?);
        if input.is_none() && output.is_none() {
            return Err(Bad);
        }
        let five_minutes = number(&self.cache_write_5m)?.unwrap_or(0);
        let hour = number(&self.cache_write_1h)?.unwrap_or(0);
        let written = number(&self.cache_write)?.unwrap_or_else(|| five_minutes.saturating_add(hour));
        let hour = hour.min(written);
        let usage = Usage {
            input: input.unwrap_or(0),
            output: output.unwrap_or(0),
            cache_write_5m: written - hour,
            cache_write_1h: hour,
            cache_read: number(&self.cache_read)?.unwrap_or(0),
        };
        if usage.is_plausible() && written <= MAX_TOKENS_PER_REQUEST { Ok(usage) } else { Err(Bad) }
    }

    fn cost(&self) -> Result<Option<u64>, Bad> {
        let micros = match (number(&self.micros)?, &self.dollars) {
            (Some(micros), _) => Some(micros),
            (None, Some(dollars)) => Some(dollars.dollars().ok_or(Bad)?),
            (None, None) => None,
        };
        if micros.is_some_and(|n| n > MAX_MICRO_USD_PER_REQUEST) { Err(Bad) } else { Ok(micros) }
    }

    fn at(&self, now: Timestamp) -> Timestamp {
        let told = [self.time, self.observed].into_iter().flatten().find(|nanos| *nanos > 0);
        let at = told.map(|nanos| Timestamp(nanos / 1_000_000));
        at.filter(|at| (EARLIEST..=now.plus_ms(AHEAD_MS)).contains(at)).unwrap_or(now)
    }
}

fn number(slot: &Slot<'_>) -> Result<Option<u64>, Bad> {
    slot.as_ref().map(|value| value.number().ok_or(Bad)).transpose()
}

fn text<'s>(slot: &'s Slot<'_>) -> Result<Option<&'s str>, Bad> {
    slot.as_ref().map(|value| value.text().ok_or(Bad)).transpose()
}

fn name(slot: &Slot<'_>) -> Result<Option<String>, Bad> {
    match text(slot)? {
        Some(text) if !is_name(text) => Err(Bad),
        text => Ok(text.map(ToOwned::to_owned)),
    }
}
