//! A client's status line asks what to show, and tells what its client has counted.

use bursar_engine::ids::SessionId;
use bursar_protocol::status_line::StatusLine;

use super::commands::{Response, error, text};
use crate::serve::Service;
use crate::view::line::LineView;
use crate::views;

/// What is shown of a session. It is asked each second, so nothing is read or written for it.
pub fn show(service: &Service, said: &StatusLine) -> Response {
    let Ok(session) = SessionId::new(said.session_id.clone()) else {
        return error(400, "invalid", "no session id");
    };
    let (heard, now) = (service.heard_of(&session), service.host.clock().now());
    let mut view = service.host.look(|state| views::line::line(state, &session, said, &heard));
    // Of sessions that no hook named nothing is kept: anybody may ask.
    if view.known {
        let budget = view.budget.as_ref().map_or_else(String::new, |b| b.budget_id.to_string());
        let used = view.budget.as_ref().map_or(0, |b| b.tokens_used);
        service.statuses.take(&session, said, (&budget, used), now);
        pace(&mut view, service.statuses.pace(&session, used, now));
    }
    (200, text(&view))
}

fn pace(view: &mut LineView, per_minute: Option<u64>) {
    view.per_minute = per_minute.filter(|n| *n > 0);
    let left = view.budget.as_ref().filter(|b| b.max_tokens > 0).map(|b| b.remaining);
    view.seconds_left = left.zip(view.per_minute).map(|(left, pace)| left.saturating_mul(60) / pace);
}
