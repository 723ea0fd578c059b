//! Operator's acts and questions: the answers are the JSON that commands print.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bursar_engine::State;
use bursar_engine::budget::Budget;
use bursar_engine::circuit::CircuitId;
use bursar_engine::command::{Act, Command, Operator};
use bursar_engine::decide::{Done, Reply};
use bursar_engine::error::{ErrorBody, OperatorError};
use bursar_engine::ids::{AgentKey, BudgetId};
use bursar_engine::policy::{CircuitPolicy, Mode, Profile};
use bursar_engine::records::BudgetState;
use bursar_protocol::message::{OperatorFrame, Query};
use serde::Serialize;
use serde_json::json;

use super::convert::plain;
use super::{protect, said};
use crate::gate::{self, Refusal};
use crate::peer::Peer;
use crate::serve::Service;
use crate::view::{
    ActView, AlertList, AuditList, BudgetList, CircuitList, HoldList, SessionList, SettingList, StatusView,
    VerdictList,
};
use crate::{terminal, views};

/// The most characters of a reason, and of words for the model, that are kept.
const MAX_REASON_CHARS: usize = 500;

/// The most acts that are shown at once.
const MAX_ACTS_SHOWN: u32 = 1_000;

/// The most rows of a session that are shown at once.
const MAX_ROWS_SHOWN: u32 = 10_000;

/// Status and JSON.
pub type Response = (u16, String);

/// Does what a human asks, if the gate lets it.
pub async fn operate(service: &Arc<Service>, peer: Peer, frame: OperatorFrame) -> Response {
    let act = match super::convert::act(&frame.act) {
        Ok(act) => act,
        Err(e) => return error(400, "invalid", &e.to_string()),
    };
    let refused = gate::refusal(service, peer, &frame);
    let may_only_tighten = refused.is_some() && gate::is_open_to_all(service, &act);
    let by_agent = refused.as_ref().is_some_and(|r| r.error == gate::FORBIDDEN);
    let mut refused = refused.filter(|_| !may_only_tighten);
    let name = act.name();
    let mut act = act;
    if refused.is_none() {
        match protect::prepare(service, peer, &frame.act, act.clone()).await {
            Ok(prepared) => act = prepared,
            Err(refusal) => refused = Some(refusal),
        }
    }
    if let Some(refusal) = &refused
        && !service.guard.is_recorded(name, &refusal.message, service.host.clock().now())
    {
        return refuse(refusal);
    }
    if may_only_tighten && !service.guard.has_room_for_an_act(service.host.clock().now()) {
        return error(429, "too_many", "Refused: too many such acts at once; try again in a moment.");
    }
    let operator = Operator {
        request_id: frame.request_id.chars().take(128).collect(),
        who: who(peer),
        reason: plain(&frame.reason, MAX_REASON_CHARS),
        say: frame.say.map(|words| plain(&words, MAX_REASON_CHARS)).filter(|words| !words.is_empty()),
        may_only_tighten,
        by_agent,
        refused: refused.as_ref().map(|r| r.message.clone()),
        act: act.clone(),
    };
    let (reply, safe) = service.host.submit(&Command::Operator(operator)).await;
    let Reply::Operator(result) = reply else { return error(500, "internal", "no answer to an act") };
    let done = match result {
        Ok(done) => done,
        Err(e) => {
            return refused.as_ref().map_or_else(|| (e.status(), text(&ErrorBody::from(&e))), refuse);
        }
    };
    if let Err(e) = safe {
        return error(503, "store", &e.to_string());
    }
    if act == Act::Release
        && let Err(e) = service.host.markers().clear()
    {
        return error(503, "store", &format!("a marker could not be removed: {e}"));
    }
    let said = protect::follow(service, peer, &act);
    let heard = service.heard();
    let mut view = service.host.look(|state| act_view(state, name, &done, &views::short(state, &heard)));
    view.message = said.unwrap_or(view.message);
    (200, text(&view))
}

fn refuse(refusal: &Refusal) -> Response {
    let Refusal { status, error, message, details } = refusal;
    (*status, json!({ "error": error, "message": message, "details": details }).to_string())
}

/// A caller for the audit.
fn who(peer: Peer) -> String {
    let pid = peer.pid.map_or_else(|| "?".to_owned(), |p| p.to_string());
    let at = terminal::seat(peer).map_or_else(String::new, |s| format!(" at {}", s.terminal.name()));
    format!("uid {} pid {pid}{at}", peer.uid)
}

fn act_view(state: &State, act: &str, done: &Done, short: &BTreeSet<BudgetId>) -> ActView {
    ActView {
        act: act.to_owned(),
        budget: done.budget.as_deref().map(|b| views::budget(state, b, short)),
        circuit: done.circuit.as_deref().map(|c| views::circuit(state, c)),
        missing_tokens: done.missing.tokens,
        missing_micro_usd: done.missing.micro_usd,
        released: done.released as u64,
        context_tokens: done.context_tokens,
        message: said::act_message(act, done),
        resume_with: resumes(state, done),
    }
}

/// How sessions of a reopened budget go on whose held client is gone: nobody is left to be released (4.3).
fn resumes(state: &State, done: &Done) -> Vec<String> {
    let reopened = match (&done.budget, &done.circuit) {
        (Some(budget), _) if !budget.status.is_shut() => state.sessions_under(&budget.id),
        (None, Some(circuit)) if !circuit.is_open() => vec![circuit.session.clone()],
        _ => Vec::new(),
    };
    let last_holds = reopened.into_iter().filter_map(|session| {
        let of_main = state.holds.values().filter(|h| h.session == session && h.agent == AgentKey::Main);
        of_main.max_by_key(|h| h.id).filter(|h| h.end.is_some_and(|end| !end.goes_on()))
    });
    last_holds.map(|hold| format!("claude --resume {}", hold.session)).collect()
}

/// How long an answer waits for the disk before it leaves all the same.
const SHOWN_AFTER: Duration = Duration::from_millis(500);

/// Answers a question. Nothing is shown that a killed daemon would take back.
pub async fn query(service: &Arc<Service>, query: &Query) -> Response {
    // Hooks do not wait for those who look: of these a few are answered at once.
    let _turn = service.queries.acquire().await;
    let response = answer(service, query).await;
    let _ = tokio::time::timeout(SHOWN_AFTER, service.host.written()).await;
    response
}

async fn answer(service: &Arc<Service>, query: &Query) -> Response {
    let host = &service.host;
    match query {
        Query::Status => (200, text(&status(service))),
        Query::Sessions { all } => {
            let heard = service.heard();
            let sessions = host.look(|state| views::sessions(state, *all, &heard));
            (200, text(&SessionList { total: sessions.len(), sessions }))
        }
        Query::Session { id } => session(service, id, None).await,
        Query::Ledger { id, limit } => session(service, id, Some((*limit).min(MAX_ROWS_SHOWN))).await,
        Query::Budgets => {
            // Copied, and shown without the state in hand: every hook waits meanwhile.
            let heard = service.heard();
            let (known, unit, short): (Vec<_>, _, _) = host.look(|state| {
                let known = state.budgets.values().cloned().collect();
                (known, state.policy.weights.unit(), views::short(state, &heard))
            });
            let shown =
                |b: &Budget| BudgetState { lower_bound: short.contains(&b.id), ..BudgetState::of(b, &unit) };
            let budgets: Vec<_> = known.iter().map(shown).collect();
            (200, text(&BudgetList { total: budgets.len(), budgets }))
        }
        Query::Budget { id } => {
            let heard = service.heard();
            let found = id.parse::<BudgetId>().ok().and_then(|id| {
                host.look(|state| {
                    Some(views::budget(state, state.budgets.get(&id)?, &views::short(state, &heard)))
                })
            });
            match found {
                Some(budget) => (200, text(&budget)),
                None => not_found(&format!("budget {id}")),
            }
        }
        Query::Holds { all } => {
            let (now, heard) = (host.clock().now(), service.heard());
            let holds = host.look(|state| views::holds(state, *all, &heard, now));
            (200, text(&HoldList { total: holds.len(), holds }))
        }
        Query::Alerts { all } => {
            let alerts = host.look(|state| views::alerts(state, *all));
            (200, text(&AlertList { total: alerts.len(), alerts }))
        }
        Query::Circuits => {
            let circuits = host.look(views::circuits);
            (200, text(&CircuitList { total: circuits.len(), circuits }))
        }
        Query::Circuit { id } => {
            let found = id
                .parse::<CircuitId>()
                .ok()
                .and_then(|id| host.look(|state| state.circuit(&id).map(|c| views::circuit(state, c))));
            match found {
                Some(circuit) => (200, text(&circuit)),
                None => not_found(&format!("circuit {id}")),
            }
        }
        Query::Config => {
            let settings = service.settings().settings();
            (200, text(&SettingList { total: settings.len(), settings }))
        }
        Query::Audit { limit } => match host.acts((*limit).min(MAX_ACTS_SHOWN)) {
            Ok(acts) => {
                let acts: Vec<_> = acts.into_iter().map(views::act).collect();
                (200, text(&AuditList { total: acts.len(), acts }))
            }
            Err(e) => error(503, "store", &e.to_string()),
        },
        Query::Hooks { limit } => {
            let verdicts = service.verdicts.newest(*limit as usize);
            (200, text(&VerdictList { total: verdicts.len(), verdicts }))
        }
    }
}

/// One session, by its id or a prefix that is unique, or that many of its rows; what it wrote up to now is read first.
async fn session(service: &Arc<Service>, id: &str, rows: Option<u32>) -> Response {
    let host = &service.host;
    let found: Vec<_> = host.look(|state| {
        let exact = state.sessions.values().filter(|s| s.id.as_str() == id).map(|s| s.id.clone()).next();
        match exact {
            Some(id) => vec![id],
            None => state
                .sessions
                .values()
                .filter(|s| !id.is_empty() && s.id.as_str().starts_with(id))
                .map(|s| s.id.clone())
                .collect(),
        }
    });
    match found.as_slice() {
        [] => not_found(&format!("session {id}")),
        [one] => {
            let transcript = host.look(|state| state.sessions.get(one)?.transcript.clone());
            if let Some(path) = transcript {
                service.tailer.read_session(one, path.as_ref()).await;
            }
            let heard = service.heard();
            let known = host.look(|state| {
                let session = state.sessions.get(one)?;
                let view = views::session(state, session, &heard);
                Some((session.clone(), view, state.runs.get(one).cloned()))
            });
            let Some((session, view, runs)) = known else { return not_found(&format!("session {id}")) };
            let Some(rows) = rows else { return (200, text(&view)) };
            // Rows are read from the disk, where what was counted just now must be first.
            let _ = tokio::time::timeout(SHOWN_AFTER, host.written()).await;
            match host.rows_of(one, rows) {
                Ok(rows) => {
                    (200, text(&views::ledger::explain(&session, &view, runs.as_ref(), &rows, &heard)))
                }
                Err(e) => error(503, "store", &e.to_string()),
            }
        }
        several => {
            let ids: Vec<String> = several.iter().map(ToString::to_string).collect();
            let body = json!({ "error": "ambiguous", "message": format!("several sessions begin with {id}"),
                "details": { "sessions": ids } });
            (409, body.to_string())
        }
    }
}

fn status(service: &Service) -> StatusView {
    let host = &service.host;
    let (settings, now) = (service.settings().settings(), host.clock().now());
    let count = |c: &std::sync::atomic::AtomicU64| c.load(Ordering::Relaxed);
    host.look(|state| StatusView {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        protocol: bursar_protocol::VERSION,
        pid: std::process::id(),
        since: service.since.clone(),
        mode: match (state.policy.enabled, state.policy.mode) {
            (false, _) => "disabled",
            (true, Mode::Enforce) => "enforce",
            (true, Mode::Observe) => "observe",
        }
        .to_owned(),
        operator: state.protection.standing(now).name().to_owned(),
        operator_reset_at: protect::reset_at(&state.protection, now),
        state: service.paths.state.display().to_string(),
        socket: service.paths.socket.display().to_string(),
        sessions: state.sessions.values().filter(|s| s.ended.is_none()).count() as u64,
        holds: state.waiting().count() as u64,
        alerts: state.alerts.values().filter(|a| !a.acknowledged).count() as u64,
        hooks: count(&host.counters.hooks),
        malformed: count(&host.counters.malformed),
        failed_open: count(&host.counters.failed_open),
        transcript_late: count(&host.counters.transcript_late),
        store_bytes: crate::store::size_bytes(&service.paths.database()),
        degraded: host.writer().health().into_iter().chain(service.http.problem()).collect(),
        circuits: circuits(&state.policy.circuits).to_owned(),
        telemetry: service.telemetry.view(service.http.address()),
        settings,
    })
}

/// What the breaker does under this profile.
fn circuits(policy: &CircuitPolicy) -> &'static str {
    match policy.profile {
        _ if !policy.enabled => "disabled",
        Profile::Off => "recorded, and never trip (profile off)",
        Profile::Strict => "profile strict: identical calls in a row, calls in all, calls in a short time",
        Profile::Evidence if policy.max_iterations.is_some() => {
            "profile evidence: loops by their outcomes, and the limit on calls that was set"
        }
        Profile::Evidence => "profile evidence: loops by their outcomes",
    }
}

fn not_found(what: &str) -> Response {
    let e = OperatorError::NotFound(what.to_owned());
    (404, text(&ErrorBody::from(&e)))
}

/// `{error, message, details}`.
pub fn error(status: u16, error: &str, message: &str) -> Response {
    (status, json!({ "error": error, "message": message, "details": {} }).to_string())
}

/// As JSON.
pub(super) fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|e| {
        json!({ "error": "internal", "message": e.to_string(), "details": {} }).to_string()
    })
}
