//! Who may act. Raising needs an unlocked terminal where a passphrase is set, and nothing where the installation was made
//! unprotected; a descendant of a served client is refused in any case, first (DESIGN 8.4).

use bursar_engine::command::Act;
use bursar_engine::protection::{Protect, Standing};
use bursar_protocol::message::{OperatorAct, OperatorFrame};

use crate::peer::{self, Peer};
use crate::serve::Service;
use crate::terminal::{self, Seat};

/// The word where an agent asks, as far as that can be told.
pub const FORBIDDEN: &str = "forbidden";

/// A refusal: a sentence that says who and what next, and a word for programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// As HTTP would say it.
    pub status: u16,
    /// `forbidden`, `locked` (the passphrase opens it), `no_passphrase`, `no_terminal`, …
    pub error: &'static str,
    /// The sentence.
    pub message: String,
    /// What programs need besides.
    pub details: serde_json::Value,
}

impl Refusal {
    pub(crate) fn new(status: u16, error: &'static str, message: impl Into<String>) -> Self {
        Self { status, error, message: message.into(), details: serde_json::json!({}) }
    }
}

/// Why an act is refused that is not open to all, if it is.
pub fn refusal(service: &Service, peer: Peer, frame: &OperatorFrame) -> Option<Refusal> {
    let agent = peer::agents_hand(peer, &service.host.served_clients()).or_else(|| {
        frame.in_agent_shell.then_some("the caller runs in an agent's shell (CLAUDECODE is set)")
    });
    if let Some(why) = agent {
        let message = format!("Refused: {why}. Run it in a terminal of your own.");
        return Some(Refusal::new(403, FORBIDDEN, message));
    }
    // Copied: below the system is asked about processes, and nobody waits for that with the state in hand.
    let protection = service.host.look(|state| state.protection.clone());
    let seat = terminal::seat(peer);
    match (&frame.act, protection.standing(service.host.clock().now())) {
        // Each of these asks for the old passphrase itself, or for none.
        (
            OperatorAct::Unlock { .. } | OperatorAct::ResetPassphrase | OperatorAct::SetPassphrase { .. },
            Standing::Passphrase(_),
        )
        | (OperatorAct::SetPassphrase { .. }, _)
        | (OperatorAct::Unprotect, Standing::Forgotten) => match &seat {
            Some(seat) => not_a_persons(service, seat),
            None => Some(Refusal::new(
                403,
                "no_terminal",
                format!(
                    "Refused: only the operator may {}, and only at a terminal. Run it in a terminal of your own.",
                    what(&frame.act)
                ),
            )),
        },
        (OperatorAct::Unlock { .. } | OperatorAct::ResetPassphrase, _) => Some(Refusal::new(
            403,
            "no_passphrase",
            "Refused: no passphrase is set. Set one with `bursar operator set` at a terminal.",
        )),
        // Before there is a protection, a script may install without one (agents were refused above).
        (OperatorAct::Unprotect, Standing::Locked) | (_, Standing::Unprotected) => None,
        (_, Standing::Locked | Standing::Forgotten) => Some(Refusal::new(
            403,
            "no_passphrase",
            "Refused: writes are locked until there is an operator's passphrase. Set one with `bursar operator set` \
             at a terminal; or `bursar install --unprotected` lets anything that you run approve.",
        )),
        (act, Standing::Passphrase(_)) => {
            let elsewhere = seat.as_ref().and_then(|seat| not_a_persons(service, seat));
            elsewhere.or_else(|| (!is_unlocked(service, seat.as_ref())).then(|| locked(act)))
        }
    }
}

/// At a terminal, but nobody types there for this process: it runs in the background, or an agent has the terminal.
fn not_a_persons(service: &Service, seat: &Seat) -> Option<Refusal> {
    let why = if !seat.in_foreground {
        "it runs in the background of its terminal, where nobody is asked"
    } else if is_an_agents(service.host.served_clients(), seat) {
        "an agent has this terminal to itself"
    } else {
        return None;
    };
    Some(Refusal::new(403, FORBIDDEN, format!("Refused: {why}. Run it in a terminal of your own.")))
}

fn is_unlocked(service: &Service, seat: Option<&Seat>) -> bool {
    let now = service.host.clock().now();
    seat.is_some_and(|seat| service.guard.is_unlocked(&seat.terminal, now))
}

fn locked(act: &OperatorAct) -> Refusal {
    let message = format!(
        "Refused: only the operator may {}. Run it at a terminal, where the passphrase is asked for.",
        what(act)
    );
    Refusal::new(401, "locked", message)
}

/// Whether a served client is in the foreground of this terminal.
fn is_an_agents(clients: impl IntoIterator<Item = u32>, seat: &Seat) -> bool {
    clients.into_iter().any(|client| {
        terminal::seat_of(seat.terminal.uid, client)
            .is_some_and(|its| its.in_foreground && its.terminal == seat.terminal)
    })
}

/// What only the operator may do, as the end of a sentence.
fn what(act: &OperatorAct) -> &'static str {
    match act {
        OperatorAct::Extend { .. } | OperatorAct::Finish { .. } | OperatorAct::Set { .. } => "raise a limit",
        OperatorAct::Decline { .. } | OperatorAct::DeclineCircuit { .. } => "stop what waits",
        OperatorAct::Reset { .. } => "reset a budget",
        OperatorAct::SwitchCircuits { .. } => "switch a session's circuits off",
        OperatorAct::ExemptTool { .. } => "exempt a tool",
        OperatorAct::AcknowledgeCircuit { .. } | OperatorAct::AllowOnce { .. } => {
            "let an open circuit's agent try again"
        }
        OperatorAct::ResetCircuit { .. } => "reset a circuit",
        OperatorAct::StartTask { .. } | OperatorAct::EndTask { .. } => "change a task so",
        OperatorAct::AcknowledgeAlert { .. } => "mark alerts as seen",
        OperatorAct::Release => "let go what is held",
        OperatorAct::Unlock { .. } => "unlock a terminal",
        OperatorAct::Lock => "lock a terminal",
        OperatorAct::SetPassphrase { .. } => "set the passphrase",
        OperatorAct::Unprotect => "take the protection away",
        OperatorAct::ResetPassphrase => "reset the passphrase",
        OperatorAct::AcceptConfig => "accept looser settings",
    }
}

/// Tightening is open to all: a lower limit, shutting a budget, a task, locking a terminal.
pub fn is_open_to_all(service: &Service, act: &Act) -> bool {
    // A task only adds a limit; the rules refuse what would loosen one that is there.
    let watches_again =
        matches!(act, Act::SwitchCircuits { off: false, .. } | Act::Exempt { exempt: false, .. });
    if watches_again || matches!(act, Act::StartTask { .. } | Act::EndTask(_) | Act::Protect(Protect::Lock)) {
        return true;
    }
    let Act::Set { budget, tokens, micro_usd, alert, shut: _ } = act else { return false };
    service
        .host
        .look(|state| state.budgets.get(budget).is_none_or(|b| b.only_tightens(*tokens, *micro_usd, *alert)))
}
