//! A session that is over, told again from its files.

use bursar_engine::ids::SessionId;
use bursar_engine::policy::{CircuitPolicy, Limit, Policy};
use serde::Deserialize;

use super::files::{ReplayError, SessionFiles, SessionLines};
use super::purse::{Purse, Spent};
use super::transcript::Reader;
use super::{Replay, Seen};
use crate::prices::Prices;

/// By so many lines at the beginning a file's session is known.
const LOOKED_AT: usize = 200;

/// A limit to be tried.
#[derive(Debug, Clone, Copy)]
pub struct Trial<'a> {
    /// The limit.
    pub limit: Limit,
    /// How it is reckoned.
    pub policy: &'a Policy,
    /// What requests cost.
    pub prices: &'a Prices,
}

/// What came of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Of its circuits.
    pub seen: Seen,
    /// Of the limit, where one was tried.
    pub spent: Option<Spent>,
}

/// Tells of a session again.
///
/// # Errors
/// [`ReplayError`]: one of its files cannot be read.
pub fn replay(
    files: &SessionFiles,
    circuits: &CircuitPolicy,
    trial: Option<Trial<'_>>,
) -> Result<Told, ReplayError> {
    let mut replay = Replay::new(circuits.clone());
    let mut reader = Reader::default();
    let whose = if trial.is_some() { whose(files)? } else { None };
    let mut purse =
        trial.zip(whose).map(|(trial, session)| Purse::new(trial.policy, trial.limit, trial.prices, session));
    let mut lines = SessionLines::open(files)?;
    while let Some((agent, line)) = lines.next_line()? {
        reader
            .line(&String::from_utf8_lossy(&line), agent.as_deref(), &mut |happened| replay.tell(&happened));
        if let Some(purse) = &mut purse {
            purse.line(&line, agent.as_deref(), replay.seen().calls);
        }
    }
    reader.end(&mut |happened| replay.tell(&happened));
    Ok(Told { seen: replay.seen().clone(), spent: purse.map(|purse| purse.spent()) })
}

#[derive(Deserialize)]
struct Owned {
    #[serde(rename = "sessionId")]
    session_id: Option<SessionId>,
}

/// The session of these files: the one that they are named after, unless another's name stands in them alone.
fn whose(files: &SessionFiles) -> Result<Option<SessionId>, ReplayError> {
    let named = SessionId::new(files.name.clone()).ok();
    let mut first = None;
    let mut lines = SessionLines::open(files)?;
    for _ in 0..LOOKED_AT {
        let Some((_, line)) = lines.next_line()? else { break };
        let owned = serde_json::from_slice::<Owned>(&line).ok().and_then(|owned| owned.session_id);
        if owned.is_some() && owned == named {
            return Ok(owned);
        }
        first = first.or(owned);
    }
    Ok(first.or(named))
}
