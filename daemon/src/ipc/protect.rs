//! Acts on the protection and the settings: what is checked before they are decided, and what follows from them.

use std::sync::Arc;

use bursar_engine::command::Act;
use bursar_engine::protection::{Protect, Protection, Standing};
use bursar_protocol::message::OperatorAct;
use bursar_protocol::secret::Secret;
use serde_json::json;

use crate::gate::Refusal;
use crate::guard::Wrong;
use crate::peer::Peer;
use crate::serve::Service;
use crate::terminal::{self, Terminal};
use crate::unlock::UNLOCKED_MS;

/// Makes the act itself of what the wire says, where it takes more than that: a passphrase is checked, a new one
/// hashed, the settings that wait are read.
///
/// # Errors
/// [`Refusal`].
pub async fn prepare(
    service: &Arc<Service>,
    peer: Peer,
    asked: &OperatorAct,
    act: Act,
) -> Result<Act, Refusal> {
    match asked {
        OperatorAct::Unlock { passphrase } => {
            check(service, peer, passphrase).await?;
            Ok(act)
        }
        OperatorAct::SetPassphrase { old, new } => set(service, peer, old.as_ref(), new).await,
        OperatorAct::AcceptConfig => {
            let accepted = service.settings().accepted();
            Ok(Act::AcceptConfig {
                policy: Box::new(accepted.config.policy.clone()),
                settings: accepted.values(),
            })
        }
        _ => Ok(act),
    }
}

async fn set(service: &Arc<Service>, peer: Peer, old: Option<&Secret>, new: &Secret) -> Result<Act, Refusal> {
    let protection = service.host.look(|state| state.protection.clone());
    let replaces = match (protection.standing(service.host.clock().now()), old) {
        (Standing::Passphrase(_), None) => {
            return Err(Refusal::new(
                403,
                "old_passphrase",
                "Refused: a passphrase is set, and another one needs it. If it is forgotten: `bursar operator reset`.",
            ));
        }
        (Standing::Passphrase(hash), Some(old)) => {
            check(service, peer, old).await?;
            Some(hash.clone())
        }
        (Standing::Locked | Standing::Forgotten | Standing::Unprotected, _) => None,
    };
    let hash = service.guard.hash(new).await.map_err(|e| Refusal::new(400, "invalid", e.to_string()))?;
    Ok(Act::Protect(Protect::Set { hash, replaces }))
}

async fn check(service: &Arc<Service>, peer: Peer, passphrase: &Secret) -> Result<(), Refusal> {
    let terminal = terminal_of(peer)?;
    let protection = service.host.look(|state| state.protection.clone());
    let clock = service.host.clock();
    let Standing::Passphrase(hash) = protection.standing(clock.now()) else {
        return Err(Refusal::new(409, "no_passphrase", "no passphrase is set any more"));
    };
    let waits = |error: &'static str, message: String, seconds: u64| Refusal {
        details: json!({ "wait_seconds": seconds }),
        ..Refusal::new(if error == "too_early" { 429 } else { 403 }, error, message)
    };
    service.guard.check(&terminal, passphrase, hash, clock).await.map_err(|wrong| match wrong {
        Wrong::Passphrase(seconds) => waits(
            "wrong_passphrase",
            format!("That is not the passphrase. The next try takes {seconds} s."),
            seconds,
        ),
        Wrong::TooEarly(ms) => {
            let seconds = ms.div_ceil(1_000);
            waits(
                "too_early",
                format!("The passphrase was wrong; it is looked at again in {seconds} s."),
                seconds,
            )
        }
    })
}

fn terminal_of(peer: Peer) -> Result<Terminal, Refusal> {
    let seat = terminal::seat(peer);
    seat.map(|s| s.terminal).ok_or_else(|| {
        let message =
            "Refused: the passphrase is taken at a terminal only. Run it in a terminal of your own.";
        Refusal::new(403, "no_terminal", message)
    })
}

/// What follows from an act that is done and written, and one line that says what is now true; none for other acts.
pub fn follow(service: &Service, peer: Peer, act: &Act) -> Option<String> {
    let now = service.host.clock().now();
    let terminal = terminal::seat(peer).map(|s| s.terminal);
    Some(match act {
        Act::Protect(Protect::Unlock) => {
            if let Some(terminal) = terminal {
                service.guard.unlock(terminal, now);
            }
            format!("This terminal is unlocked for {} minutes.", UNLOCKED_MS / 60_000)
        }
        Act::Protect(Protect::Lock) => {
            if let Some(terminal) = &terminal {
                service.guard.lock(terminal);
            }
            "This terminal is locked.".to_owned()
        }
        Act::Protect(Protect::Set { .. }) => {
            service.guard.lock_all();
            "The passphrase is set. It is asked for at the terminal where you approve, and unlocks that one for 5 minutes."
                .to_owned()
        }
        Act::Protect(Protect::Unprotect) => {
            service.guard.lock_all();
            "Unprotected: anything that you run, your agents too, may approve more tokens.".to_owned()
        }
        Act::Protect(Protect::Reset) => {
            let protection = service.host.look(|state| state.protection.clone());
            let at = protection.pending_reset(now).map(|r| r.effective.to_string()).unwrap_or_default();
            format!(
                "The passphrase is void at {at}; until then it holds, and `bursar operator unlock` with it cancels this. \
                 Then set a new one with `bursar operator set`."
            )
        }
        Act::AcceptConfig { policy, .. } => {
            // The same act again, under its old id, has put nothing in force.
            let is_in_force = service.host.look(|state| state.policy == **policy);
            if is_in_force { accepted(service) } else { NOTHING_WAITED.to_owned() }
        }
        Act::Extend { .. }
        | Act::Finish(_)
        | Act::Decline(_)
        | Act::Reset(_)
        | Act::Set { .. }
        | Act::AcknowledgeAlert(_)
        | Act::Release
        | Act::Acknowledge(_)
        | Act::ResetCircuit(_)
        | Act::AllowOnce(_)
        | Act::SwitchCircuits { .. }
        | Act::Exempt { .. }
        | Act::DeclineCircuit(_)
        | Act::StartTask { .. }
        | Act::EndTask(_) => return None,
    })
}

const NOTHING_WAITED: &str = "Nothing waited to be accepted.";

fn accepted(service: &Service) -> String {
    let mut settings = service.settings();
    let taken: Vec<String> = settings
        .pending()
        .into_iter()
        .filter_map(|s| Some(format!("{} = {}", s.name, s.pending?.value)))
        .collect();
    *settings = settings.accepted();
    service.host.set_prices(settings.config.prices.clone());
    drop(settings);
    match taken.as_slice() {
        [] => NOTHING_WAITED.to_owned(),
        taken => format!("In force now: {}.", taken.join(", ")),
    }
}

/// When a passphrase that was said to be forgotten is void, for `bursar status`.
pub fn reset_at(protection: &Protection, now: bursar_engine::time::Timestamp) -> Option<String> {
    protection.pending_reset(now).map(|r| r.effective.to_string())
}
