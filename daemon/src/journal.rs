//! What happened, for people: a line in the daemon's log for each hold, alert and act, and for `bursar hooks` how each
//! hold ended. A subscriber like any other: it hears of facts once they are committed.

use std::sync::Arc;

use bursar_engine::Event;
use bursar_engine::event::OperatorRecord;
use bursar_engine::hold::{Hold, HoldEnd};

use crate::bus::{Feed, Heard};
use crate::serve::Service;
use crate::view::VerdictView;
use crate::views;

/// Writes the journal until the bus is gone.
pub async fn run(mut feed: Feed, service: Arc<Service>) {
    while let Some(heard) = feed.next().await {
        match heard {
            Heard::Facts(events) => events.iter().for_each(|event| note(&service, event)),
            Heard::Missed => tracing::warn!("the journal fell behind; what it missed stands in the store"),
        }
    }
}

fn note(service: &Service, event: &Event) {
    match event {
        Event::Hold(hold) => note_hold(service, hold),
        Event::Alert(alert) => tracing::warn!(
            alert = alert.alert_id.0,
            "{}",
            service.host.look(|state| views::alert(state, alert)).message
        ),
        Event::Operator(record) => note_act(record),
        Event::Session(_)
        | Event::Agent(_)
        | Event::Budget(_)
        | Event::Circuit(_)
        | Event::Row(_)
        | Event::Totals { .. }
        | Event::File(_)
        | Event::Runs(_)
        | Event::Joined { .. }
        | Event::Awaited(_)
        | Event::NotAwaited { .. }
        | Event::AlertAcknowledged { .. }
        | Event::RolledUp { .. }
        | Event::Forgotten(_)
        | Event::TaskForgotten(_)
        | Event::HistoryEnded { .. }
        | Event::Protection(_)
        | Event::Configured { .. } => {}
    }
}

fn note_hold(service: &Service, hold: &Hold) {
    let (id, session, agent, by) = (hold.id.0, hold.session.as_str(), hold.agent.as_str(), &hold.blocker);
    let Some(end) = hold.end else {
        tracing::info!(hold = id, session, agent, %by, "held until {}", hold.deadline);
        return;
    };
    tracing::info!(hold = id, session, agent, %by, "hold ended: {}", end.name());
    service.verdicts.push(VerdictView {
        at: hold.ended_at.unwrap_or(hold.started).to_string(),
        session_id: hold.session.to_string(),
        agent: hold.agent.to_string(),
        event: hold.event.name().to_owned(),
        tool: hold.tool.clone(),
        verdict: match end {
            HoldEnd::Extended | HoldEnd::FinishUp | HoldEnd::Acknowledged | HoldEnd::Released => "allow",
            HoldEnd::Declined | HoldEnd::RanOut => "stop",
            HoldEnd::ClientGone => "gone",
        }
        .to_owned(),
        would: None,
        reason: Some(format!("the hold ended: {}", end.name().replace('_', " "))),
        micros: 0,
    });
}

fn note_act(record: &OperatorRecord) {
    let (act, target, who) = (record.act.as_str(), record.target.as_str(), record.who.as_str());
    match &record.refused {
        None => tracing::info!(act, target, who, reason = record.reason, "done"),
        Some(why) => tracing::warn!(act, who, "not done: {why}"),
    }
}
