//! Acts on the protection itself, and on the settings in force.

use std::collections::BTreeMap;

use crate::State;
use crate::alert::{Alert, AlertType};
use crate::budget::Counted;
use crate::decide::holds::tick;
use crate::error::OperatorError;
use crate::event::Event;
use crate::ids::{AlertId, BudgetId};
use crate::policy::Policy;
use crate::protection::{PassphraseHash, Protect, Protection, RESET_AFTER_MS, Reset, Standing};
use crate::time::Timestamp;

/// What such an act does.
pub(super) fn act(state: &State, act: &Protect, now: Timestamp) -> Result<Vec<Event>, OperatorError> {
    match act {
        Protect::Unlock => Ok(unlocked(state, now)),
        Protect::Lock => Ok(Vec::new()),
        Protect::Set { hash, replaces } => set(state, hash, replaces.as_ref(), now),
        Protect::Unprotect => Ok(vec![Event::Protection(Protection::Unprotected)]),
        Protect::Reset => reset(state, now),
    }
}

/// Whoever knows the old passphrase has not forgotten it.
fn unlocked(state: &State, now: Timestamp) -> Vec<Event> {
    match (&state.protection, state.protection.pending_reset(now)) {
        (Protection::Passphrase { hash, since, .. }, Some(_)) => {
            let kept = Protection::Passphrase { hash: hash.clone(), since: *since, reset: None };
            vec![Event::Protection(kept)]
        }
        _ => Vec::new(),
    }
}

/// Decided here and not at the gate: another passphrase may have been set since the old one was looked at.
fn set(
    state: &State,
    hash: &PassphraseHash,
    replaces: Option<&PassphraseHash>,
    now: Timestamp,
) -> Result<Vec<Event>, OperatorError> {
    let fits = match state.protection.standing(now) {
        Standing::Passphrase(old) => replaces == Some(old),
        Standing::Locked | Standing::Forgotten | Standing::Unprotected => true,
    };
    if !fits {
        return Err(OperatorError::Refused("Refused: the passphrase was changed meanwhile.".to_owned()));
    }
    Ok(vec![Event::Protection(Protection::Passphrase { hash: hash.clone(), since: now, reset: None })])
}

fn reset(state: &State, now: Timestamp) -> Result<Vec<Event>, OperatorError> {
    let (Protection::Passphrase { hash, since, .. }, Standing::Passphrase(_)) =
        (&state.protection, state.protection.standing(now))
    else {
        return Err(OperatorError::NotFound("passphrase to reset".to_owned()));
    };
    // Asked for again, it does not begin again: the first announcement counts.
    if state.protection.pending_reset(now).is_some() {
        return Ok(Vec::new());
    }
    let reset = Reset { at: now, effective: now.plus_ms(RESET_AFTER_MS) };
    Ok(vec![
        Event::Protection(Protection::Passphrase { hash: hash.clone(), since: *since, reset: Some(reset) }),
        Event::Alert(announced(AlertId(state.next_alert), now)),
    ])
}

/// An alert is about a budget; this one about everything on this host.
fn announced(alert_id: AlertId, now: Timestamp) -> Alert {
    let about = BudgetId::Host("local".to_owned());
    Alert::without_figures(alert_id, about, AlertType::PassphraseReset, "operator".to_owned(), now)
}

/// Other settings are in force: what nothing shuts any more under them is let go.
pub(super) fn configured(
    state: &State,
    policy: &Policy,
    settings: &BTreeMap<String, String>,
    now: Timestamp,
) -> Vec<Event> {
    let mut events = vec![Event::Configured { policy: Box::new(policy.clone()), settings: settings.clone() }];
    let reopened = state.budgets.values().filter(|budget| budget.status.is_shut()).filter_map(|budget| {
        let mut budget = budget.clone();
        budget.recount(Counted::default(), Counted::default(), policy, now);
        (!budget.status.is_shut()).then_some(Event::Budget(budget))
    });
    events.extend(reopened);
    // Such an act is rare, so that the state it leads to may be made to see who still waits for something.
    let mut next = state.clone();
    for event in &events {
        next.evolve(event);
    }
    events.extend(tick(&next, now).events);
    events
}
