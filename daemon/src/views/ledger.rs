//! Where a session's total comes from, and what is missing in it.

use bursar_engine::ids::SessionId;
use bursar_engine::ratio::Ratio;
use bursar_engine::row::{PAYLOAD, Row};
use bursar_engine::run::{BACKGROUND, Begins, ByModel, Run};
use bursar_engine::runs::Runs;
use bursar_engine::sensed::Tally;
use bursar_engine::session::Session;
use bursar_engine::usage::Usage;

use bursar_protocol::answer::dollars;

use super::{Heard, usage};
use crate::statuses::Cost;
use crate::view::{LedgerView, RowView, RunView, SensorView, SessionView, SourcesView};

/// The share of what a session's clients say that is accounted for.
pub(super) fn coverage(session: &SessionId, runs: Option<&Runs>, heard: &Heard) -> Option<Ratio> {
    let share = |(accounted, said): (u64, u64)| {
        let millionths = u128::from(accounted.min(said)) * 1_000_000 / u128::from(said.max(1));
        Ratio(u32::try_from(millionths).unwrap_or(u32::MAX))
    };
    let runs = runs?;
    let told = runs.coverage().map(share);
    let live = heard.costs.get(session).and_then(|cost| live(runs, cost));
    let shown = live.map(|live| share((live.counted, live.said)));
    match (told, shown) {
        (Some(told), Some(shown)) => Some(told.min(shown)),
        (told, shown) => told.or(shown),
    }
}

/// The run under way, in micro-dollars.
struct Live {
    /// What was counted of it.
    counted: u64,
    /// What its client's status line says beyond what it began with.
    said: u64,
    /// That much is more than rounding, and lines have had their time.
    is_short: bool,
}

/// What a client's status line shows of its run, while nothing else of the client does. It says no tokens, so it adds
/// nothing to the ledger: it only tells how much is missing there.
fn live(runs: &Runs, cost: &Cost) -> Option<Live> {
    let run = runs.runs.last().filter(|run| run.ended.is_none() && run.claimed.is_none() && !run.overlaps)?;
    let sum = |all: &ByModel| all.values().fold(0_u64, |sum, spent| sum.saturating_add(spent.micro_usd));
    let said = cost.micro_usd.saturating_sub(sum(run.base.as_ref()?));
    let counted = sum(&run.counted);
    // A request's cost is rounded to a micro-dollar here, and not there.
    let rounding = runs.sensed.lines.rows.saturating_add(runs.sensed.reported_only.rows);
    (said > 0).then_some(Live {
        counted,
        said,
        is_short: cost.stands && said > counted.saturating_add(rounding),
    })
}

fn sensor(tally: Tally) -> SensorView {
    SensorView { rows: tally.rows, tokens: usage(tally.usage) }
}

/// What each sensor told of.
pub(super) fn sources(runs: &Runs) -> SourcesView {
    let background = || runs.runs.iter().flat_map(|run| run.background.values());
    let settlement = Tally {
        rows: background().count() as u64,
        usage: background().fold(Usage::default(), |sum, row| sum.plus(row.usage)),
    };
    SourcesView {
        transcript: sensor(runs.sensed.lines),
        telemetry: sensor(runs.sensed.reported),
        telemetry_only: sensor(runs.sensed.reported_only),
        settlement: sensor(settlement),
    }
}

/// One run.
pub(super) fn run(run: &Run) -> RunView {
    let sum = |all: &mut dyn Iterator<Item = Usage>| all.fold(Usage::default(), Usage::plus);
    RunView {
        number: run.number,
        begins: run.begins,
        began_at: run.began.to_string(),
        ended_at: run.ended.map(|t| t.to_string()),
        settled: !run.is_unsettled() && run.says().is_some(),
        overlaps: run.overlaps,
        counted: usage(sum(&mut run.counted.values().map(|s| s.usage))),
        reported: usage(run.reported),
        background: usage(sum(&mut run.background.values().map(|r| r.usage))),
    }
}

/// What is known to be missing in a session's total, a sentence each; `bad_lines` of its files could not be used.
pub(super) fn missing(session: &Session, runs: Option<&Runs>, bad_lines: u64, heard: &Heard) -> Vec<String> {
    let mut missing = Vec::new();
    let all = runs.map_or(&[][..], |runs| &runs.runs);
    if runs.is_none_or(Runs::begins_unseen) {
        missing.push(
            "Its beginning was not seen here: what its client spent beside its lines is not known."
                .to_owned(),
        );
    }
    if runs.is_some_and(|runs| runs.lacks_older) {
        missing.push(
            "Of a run that is too old to be kept it is not known what it spent beside its lines.".to_owned(),
        );
    }
    missing.extend(all.iter().filter(|run| run.is_unsettled()).map(why_unsettled));
    if bad_lines > 0 {
        missing.push(format!("{bad_lines} lines of its transcripts could not be used."));
    }
    // What its client says at its end is its whole total.
    if session.unconfirmed && all.last().is_none_or(|run| run.says().is_none()) {
        missing.push(
            "Its client's metering is not confirmed: messages without usage, or calls without their batch."
                .to_owned(),
        );
    }
    let gap = heard.gaps.get(&session.id).copied().unwrap_or(0);
    // A settled run has made up for it.
    if gap > 0 && all.last().is_some_and(|run| run.says().is_none()) {
        missing.push(format!("{gap} events of its telemetry did not arrive."));
    }
    let live = runs.zip(heard.costs.get(&session.id)).and_then(|(runs, cost)| live(runs, cost));
    if let Some(live) = live.filter(|live| live.is_short) {
        let (said, counted) = (dollars(live.said), dollars(live.counted));
        missing.push(format!(
            "Its client's status line says {said} since this run began, of which {counted} are counted; its end settles the rest."
        ));
    }
    missing
}

fn why_unsettled(run: &Run) -> String {
    let begins = match run.begins {
        Begins::Startup => "startup",
        Begins::Resume => "resume",
        Begins::Fork => "fork",
        Begins::Clear => "clear",
    };
    let why = if run.overlaps {
        "another process was on the session at the same time, and what either says of itself cannot be told apart"
    } else if !run.partial.is_empty() && run.ended.is_none() {
        "an answer's line was written before the answer's end, so its output is known in part"
    } else if run.claimed.is_none() && run.ended.is_some() {
        "its client ended without a word (killed?), so what it spent beside its lines is missing"
    } else if run.base.is_none() {
        "what its client had counted before is not known, so neither is what it spent beside its lines"
    } else {
        "its telemetry has stopped, so what it spends beside its lines is not seen until its end"
    };
    format!("Run {} ({begins}, {}): {why}.", run.number, run.began)
}

/// A session, request by request.
pub fn explain(
    session: &Session,
    view: &SessionView,
    runs: Option<&Runs>,
    rows: &[Row],
    heard: &Heard,
) -> LedgerView {
    LedgerView {
        session_id: session.id.to_string(),
        rows: rows.iter().map(row).collect(),
        more: (rows.len() as u64) < view.requests,
        usage: view.usage,
        cost_micro_usd: view.cost_micro_usd,
        cost_estimated: view.cost_estimated,
        lower_bound: view.lower_bound,
        coverage: view.coverage,
        missing: missing(session, runs, view.bad_lines, heard),
    }
}

fn row(row: &Row) -> RowView {
    let source = match (row.reported().is_some(), row.line().is_some()) {
        (true, true) => "both",
        (true, false) => "telemetry",
        _ if row.message_id.starts_with(BACKGROUND) => "settlement",
        _ if row.message_id.starts_with(PAYLOAD) => "payload",
        _ => "transcript",
    };
    RowView {
        at: row.at.to_string(),
        agent: row.agent.to_string(),
        model: row.model.clone(),
        message_id: row.message_id.clone(),
        request_id: row.request_id.clone(),
        source: source.to_owned(),
        usage: usage(row.usage),
        cost_micro_usd: row.micro_usd,
        cost_estimated: row.estimated,
        budget_ids: row.charged.iter().map(|charge| charge.budget.to_string()).collect(),
    }
}
