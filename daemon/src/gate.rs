//! Who may act. Without an operator's passphrase, which this version cannot set yet, raising is refused unless the
//! installation was made unprotected; a descendant of a served client is refused in any case (DESIGN 8.4).

use std::fs;

use bursar_engine::command::Act;
use bursar_protocol::message::OperatorFrame;
use bursar_protocol::paths::Paths;
use serde::{Deserialize, Serialize};

use crate::peer::{self, Peer};
use crate::serve::Service;

/// How the installation is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nobody may raise a limit yet.
    Locked,
    /// Anything that this user runs may.
    Unprotected,
}

impl Level {
    /// The word in `bursar status`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Locked => "locked",
            Self::Unprotected => "unprotected",
        }
    }
}

#[derive(Deserialize)]
struct Record {
    level: Level,
}

/// Reads `operator.json` in the state folder; what is missing or unreadable is locked.
pub fn level(paths: &Paths) -> Level {
    let text = fs::read_to_string(paths.state.join("operator.json")).unwrap_or_default();
    serde_json::from_str::<Record>(&text).map_or(Level::Locked, |r| r.level)
}

/// Why an act is refused that is not open to all, if it is: a sentence that says who and what next.
pub fn refusal(service: &Service, peer: Peer, frame: &OperatorFrame) -> Option<String> {
    let agent = peer::agents_hand(peer, &service.host.served_clients()).or_else(|| {
        frame.in_agent_shell.then_some("the caller runs in an agent's shell (CLAUDECODE is set)")
    });
    if let Some(why) = agent {
        return Some(format!("Refused: {why}. Run it in a terminal of your own."));
    }
    (level(&service.paths) == Level::Locked).then(|| {
        "Refused: writes are locked, and this version cannot set an operator's passphrase yet. \
         `bursar install --unprotected` lets anything that you run approve."
            .to_owned()
    })
}

/// Tightening is open to all: a lower limit, shutting a budget, a task.
pub fn is_open_to_all(service: &Service, act: &Act) -> bool {
    // A task only adds a limit; the rules refuse what would loosen one that is there.
    if matches!(act, Act::StartTask { .. } | Act::EndTask(_)) {
        return true;
    }
    let Act::Set { budget, tokens, micro_usd, alert, shut: _ } = act else { return false };
    service.host.look(|state| {
        let Some(budget) = state.budgets.get(budget) else { return true };
        let tightens = |new: Option<u64>, old: u64| new.is_none_or(|n| n > 0 && (old == 0 || n <= old));
        // A limit set anew lifts a seal, so a shut budget is not touched by those who may only tighten.
        !budget.status.is_shut()
            && tightens(*tokens, budget.base.tokens)
            && tightens(*micro_usd, budget.base.micro_usd)
            && alert.is_none_or(|a| a <= budget.alert_threshold)
    })
}
