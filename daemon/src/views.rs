//! The views, made from the state.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bursar_engine::State;
use bursar_engine::alert::{Alert, AlertType};
use bursar_engine::budget::Budget;
use bursar_engine::circuit::Circuit;
use bursar_engine::event::OperatorRecord;
use bursar_engine::hold::{Hold, HoldEnd};
use bursar_engine::ids::{AgentKey, BudgetId, SessionId};
use bursar_engine::policy::OnPause;
use bursar_engine::records::{BreakerState, BudgetAlert, BudgetState, CircuitState};
use bursar_engine::session::Session;
use bursar_engine::time::Timestamp;
use bursar_engine::usage::{Totals, Usage};
use bursar_engine::watch::Alarm;
use bursar_protocol::answer::{self, Figures, alarms};

use crate::statuses::Costs;
use crate::view::{AgentView, AuditView, HoldView, ModelView, SessionView, UsageView};

pub mod ledger;
pub mod line;

/// What the sensors tell beside the ledger, by session.
#[derive(Debug, Default)]
pub struct Heard {
    /// How many events are missing in the streams of telemetry.
    pub gaps: BTreeMap<SessionId, u64>,
    /// What clients' status lines say that they have counted.
    pub costs: Costs,
}

/// A budget; `short` holds those of which more was used than is known ([`short`]).
pub fn budget(state: &State, budget: &Budget, short: &BTreeSet<BudgetId>) -> BudgetState {
    let lower_bound = short.contains(&budget.id);
    BudgetState { lower_bound, ..BudgetState::of(budget, &state.policy.weights.unit()) }
}

/// The budgets whose totals are lower bounds: those above a session of which something is known to be missing.
pub fn short(state: &State, heard: &Heard) -> BTreeSet<BudgetId> {
    short_around(state, heard, &bad_lines(state))
}

fn short_around(state: &State, heard: &Heard, bad_lines: &BTreeMap<&SessionId, u64>) -> BTreeSet<BudgetId> {
    let is_short = |session: &&Session| {
        let bad_lines = bad_lines.get(&session.id).copied().unwrap_or(0);
        !ledger::missing(session, state.runs.get(&session.id), bad_lines, heard).is_empty()
    };
    let mut all = BTreeSet::new();
    for session in state.sessions.values().filter(is_short) {
        // What ended before a budget began is nothing to it.
        let concerns =
            |id: &BudgetId| state.budgets.get(id).is_some_and(|b| session.last_seen >= b.started_at);
        let agents = state.agents_of(&session.id).filter_map(|agent| agent.key.sub());
        let above = state.above(&session.id, &AgentKey::Main).into_iter();
        all.extend(above.chain(agents.map(|id| BudgetId::Agent(id.to_owned()))).filter(concerns));
    }
    all
}

/// Lines that could not be used, by session.
fn bad_lines(state: &State) -> BTreeMap<&SessionId, u64> {
    let mut all = BTreeMap::new();
    for file in state.files.values().filter(|f| f.bad_lines > 0) {
        *all.entry(&file.session).or_default() += file.bad_lines;
    }
    all
}

/// A circuit.
pub fn circuit(state: &State, circuit: &Circuit) -> CircuitState {
    CircuitState::of(circuit, &state.policy.circuits)
}

/// Circuits, open ones first, then half-open ones, then by the last change.
pub fn circuits(state: &State) -> Vec<CircuitState> {
    let mut all: Vec<&Circuit> = state.circuits.values().map(Arc::as_ref).collect();
    let rank = |c: &Circuit| match c.state {
        BreakerState::Open => 0,
        BreakerState::HalfOpen => 1,
        BreakerState::Closed => 2,
    };
    all.sort_by_key(|c| (rank(c), std::cmp::Reverse(c.last_updated)));
    all.into_iter().map(|c| circuit(state, c)).collect()
}

fn usage(usage: Usage) -> UsageView {
    UsageView {
        input_tokens: usage.input,
        output_tokens: usage.output,
        cache_creation_input_tokens: usage.cache_write(),
        cache_read_input_tokens: usage.cache_read,
    }
}

#[derive(Default)]
struct Sum {
    totals: Totals,
    models: BTreeMap<String, Totals>,
}

impl Sum {
    fn add(&mut self, model: &str, totals: &Totals) {
        add(&mut self.totals, totals);
        add(self.models.entry(model.to_owned()).or_default(), totals);
    }

    fn models(&self) -> Vec<ModelView> {
        let view = |(model, totals): (&String, &Totals)| ModelView {
            model: model.clone(),
            usage: usage(totals.usage),
            requests: totals.requests,
            cost_micro_usd: totals.micro_usd,
            cost_estimated: totals.estimated > 0,
        };
        let told = |(_, t): &(&String, &Totals)| t.requests > 0 || t.usage != Usage::default();
        self.models.iter().filter(told).map(view).collect()
    }
}

fn add(sum: &mut Totals, totals: &Totals) {
    sum.usage = sum.usage.plus(totals.usage);
    sum.micro_usd = sum.micro_usd.saturating_add(totals.micro_usd);
    sum.requests = sum.requests.saturating_add(totals.requests);
    sum.estimated = sum.estimated.saturating_add(totals.estimated);
}

/// What a view of a session needs and that is kept by file and by hold: gathered once for all.
struct Around<'a> {
    held: BTreeSet<&'a SessionId>,
    bad_lines: BTreeMap<&'a SessionId, u64>,
    short: BTreeSet<BudgetId>,
    heard: &'a Heard,
}

impl<'a> Around<'a> {
    fn of(state: &'a State, heard: &'a Heard) -> Self {
        let held = state.waiting().map(|h| &h.session).collect();
        let bad_lines = bad_lines(state);
        Self { held, short: short_around(state, heard, &bad_lines), bad_lines, heard }
    }
}

/// One session.
pub fn session(state: &State, session: &Session, heard: &Heard) -> SessionView {
    one_session(state, session, &Around::of(state, heard))
}

fn one_session(state: &State, session: &Session, around: &Around<'_>) -> SessionView {
    let mut all = Sum::default();
    let mut agents: BTreeMap<&AgentKey, Sum> = BTreeMap::new();
    for known in state.agents_of(&session.id) {
        agents.entry(&known.key).or_default();
    }
    for (agent, model, totals) in state.totals_of(&session.id) {
        all.add(model, totals);
        agents.entry(agent).or_default().add(model, totals);
    }
    let agent_view = |(key, sum): (&AgentKey, Sum)| AgentView {
        agent: key.to_string(),
        agent_type: state.agents.get(&(session.id.clone(), key.clone())).and_then(|a| a.agent_type.clone()),
        usage: usage(sum.totals.usage),
        requests: sum.totals.requests,
        models: sum.models(),
        cost_micro_usd: sum.totals.micro_usd,
        cost_estimated: sum.totals.estimated > 0,
    };
    let mut above = state.above(&session.id, &AgentKey::Main);
    above.extend(agents.keys().filter_map(|k| Some(BudgetId::Agent(k.sub()?.to_owned()))));
    above.retain(|id| state.budgets.contains_key(id));
    let held = around.held.contains(&session.id);
    let own = state.budgets.get(&BudgetId::Session(state.purse(&session.id).clone()));
    let runs = state.runs.get(&session.id);
    let bad_lines = around.bad_lines.get(&session.id).copied().unwrap_or(0);
    SessionView {
        session_id: session.id.to_string(),
        project: session.project.clone(),
        cwd: session.cwd.clone(),
        agent_name: session.shown_as.clone(),
        state: match (held, session.ended) {
            (true, _) => "held",
            (false, None) => "live",
            (false, Some(_)) => "ended",
        }
        .to_owned(),
        first_seen: session.first_seen.to_string(),
        last_seen: session.last_seen.to_string(),
        ended_at: session.ended.map(|t| t.to_string()),
        attended: session.attended,
        hooked: !session.unhooked,
        usage: usage(all.totals.usage),
        requests: all.totals.requests,
        models: all.models(),
        agents: agents.into_iter().map(agent_view).collect(),
        budget_ids: above.iter().map(ToString::to_string).collect(),
        budget: own.map(|b| budget(state, b, &around.short)),
        transcript: session.transcript.clone(),
        bad_lines,
        cost_micro_usd: all.totals.micro_usd,
        cost_estimated: all.totals.estimated > 0,
        draws_on: session.draws_on.as_ref().map(ToString::to_string),
        follows: session.follows.as_ref().map(ToString::to_string),
        lower_bound: !ledger::missing(session, runs, bad_lines, around.heard).is_empty(),
        coverage: ledger::coverage(&session.id, runs, around.heard),
        sources: runs.map(ledger::sources).unwrap_or_default(),
        runs: runs.map(|r| r.runs.iter().map(ledger::run).collect()).unwrap_or_default(),
    }
}

/// Sessions, those that wait first, then live ones, then by the last hook.
pub fn sessions(state: &State, all: bool, heard: &Heard) -> Vec<SessionView> {
    let wanted = state.sessions.values().filter(|s| all || s.ended.is_none());
    let around = Around::of(state, heard);
    let mut views: Vec<SessionView> = wanted.map(|s| one_session(state, s, &around)).collect();
    let rank = |v: &SessionView| match v.state.as_str() {
        "held" => 0,
        "live" => 1,
        _ => 2,
    };
    views.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| b.last_seen.cmp(&a.last_seen)));
    views
}

fn hold(state: &State, hold: &Hold, short: &BTreeSet<BudgetId>, now: Timestamp) -> HoldView {
    let session = state.sessions.get(&hold.session);
    HoldView {
        hold_id: hold.id.0,
        session_id: hold.session.to_string(),
        project: session.and_then(|s| s.project.clone()),
        agent: hold.agent.to_string(),
        budget_id: hold.blocker.budget().map(ToString::to_string),
        budget: hold.blocker.budget().and_then(|id| state.budgets.get(id)).map(|b| budget(state, b, short)),
        circuit_id: hold.blocker.circuit().map(ToString::to_string),
        circuit: hold.blocker.circuit().and_then(|id| state.circuit(id)).map(|c| circuit(state, c)),
        event: hold.event.name().to_owned(),
        tool: hold.tool.clone(),
        started_at: hold.started.to_string(),
        deadline: hold.deadline.to_string(),
        held_seconds: hold.ended_at.unwrap_or(now).since(hold.started) / 1_000,
        attended: hold.attended,
        context_tokens: hold.context_tokens,
        state: hold.end.map_or("waiting", HoldEnd::name).to_owned(),
        ended_at: hold.ended_at.map(|t| t.to_string()),
        resume_with: format!("claude --resume {}", hold.session),
    }
}

/// Holds that wait, oldest first; with `all` those that ended lately follow, newest first.
pub fn holds(state: &State, all: bool, heard: &Heard, now: Timestamp) -> Vec<HoldView> {
    let short = short(state, heard);
    let ended = state.holds.values().rev().filter(|h| all && h.end.is_some());
    state.waiting().chain(ended).map(|h| hold(state, h, &short, now)).collect()
}

/// Alerts, newest first.
pub fn alerts(state: &State, all: bool) -> Vec<BudgetAlert> {
    state.alerts.values().rev().filter(|a| all || !a.acknowledged).map(|a| alert(state, a)).collect()
}

/// An act, as the audit has it.
pub fn act(record: OperatorRecord) -> AuditView {
    AuditView {
        at: record.at.to_string(),
        who: record.who,
        act: record.act,
        target: record.target,
        tokens: record.tokens,
        micro_usd: record.micro_usd,
        reason: record.reason,
        refused: record.refused,
    }
}

/// Whether dollars were nearer their limit than tokens.
fn by_cost(alert: &Alert) -> bool {
    let share = |used: u64, max: u64| {
        if max == 0 { 0 } else { u128::from(used) * 1_000_000 / u128::from(max) }
    };
    share(alert.micro_usd_used, alert.max_micro_usd) > share(alert.tokens_used, alert.max_tokens)
}

/// An alert.
pub fn alert(state: &State, alert: &Alert) -> BudgetAlert {
    let holds = state.policy.enforces() && state.policy.on_pause == OnPause::Hold;
    let is_unhooked = match &alert.budget_id {
        BudgetId::Session(id) => state.sessions.get(id).is_some_and(|session| session.unhooked),
        _ => false,
    };
    let figures = Figures {
        budget_id: alert.budget_id.to_string(),
        tokens_used: alert.tokens_used,
        max_tokens: alert.max_tokens,
        micro_usd_used: alert.micro_usd_used,
        max_micro_usd: alert.max_micro_usd,
        by_cost: by_cost(alert),
        estimated: alert.estimated,
    };
    BudgetAlert {
        alert_id: alert.alert_id.0.to_string(),
        budget_id: alert.budget_id.clone(),
        alert_type: alert.alert_type,
        message: match (alert.alert_type, &alert.trip) {
            (
                AlertType::IdleBurn | AlertType::DearTurn | AlertType::DearerModel | AlertType::MoreSubagents,
                _,
            ) => alarm(&figures.budget_id, alert.alarm.as_ref()),
            (AlertType::CircuitTripped, Some(trip)) => {
                answer::tripped(&figures.budget_id, &trip.to_string(), holds)
            }
            (AlertType::TooManyUnattended, Some(trip)) => {
                let why = answer::Why::TooManyUnattended;
                answer::circuit_open(&figures.budget_id, &trip.to_string(), why)
            }
            (AlertType::WarningThreshold, _) => answer::warned(&figures),
            (AlertType::BudgetExhausted, _) if is_unhooked => answer::reached_without_hooks(&figures),
            (AlertType::BudgetExhausted | AlertType::CircuitTripped, _) if holds => answer::held(&figures),
            (AlertType::BudgetExhausted | AlertType::CircuitTripped, _) => answer::reached(&figures),
            (AlertType::TooManyUnattended, None) => answer::shut(&figures, answer::Why::TooManyUnattended),
            (AlertType::UnhookedSession, _) => alarms::unhooked(&figures.budget_id),
            (AlertType::MeteringNotConfirmed, _) => {
                alarms::metering_not_confirmed(alert.model.as_deref().unwrap_or("of an unknown version"))
            }
            (AlertType::UnknownModel, _) => {
                alarms::unknown_model(alert.model.as_deref().unwrap_or("a model"))
            }
            (AlertType::PassphraseReset, _) => answer::PASSPHRASE_RESET.to_owned(),
        },
        utilization: alert.utilization,
        timestamp: alert.timestamp.to_string(),
        acknowledged: alert.acknowledged,
        agent: alert.agent.clone(),
    }
}

/// What an alarm says.
fn alarm(about: &str, alarm: Option<&Alarm>) -> String {
    match alarm {
        Some(Alarm::IdleBurn { minutes, tokens, micro_usd }) => {
            alarms::idle_burn(about, *minutes, *tokens, *micro_usd)
        }
        Some(Alarm::DearTurn { micro_usd, median }) => alarms::dear_turn(about, *micro_usd, *median),
        Some(Alarm::DearerModel { model, first }) => alarms::dearer_model(about, model, first),
        Some(Alarm::MoreSubagents { called, started }) => alarms::more_subagents(about, *called, *started),
        None => String::new(),
    }
}
