//! Counting what telemetry tells of. It can add to what lines showed, and never takes anything away.

use crate::State;
use crate::command::Reports;
use crate::decide::Decision;
use crate::decide::Reply;
use crate::decide::books::Books;
use crate::event::Event;
use crate::reported::{Awaited, MAX_AWAITED, Report, reported_key};
use crate::row::{MAX_ROWS_PER_COMMAND, Part, Row};
use crate::time::Timestamp;

pub(super) fn decide(state: &State, command: &Reports, now: Timestamp) -> Decision {
    let mut books = Books::new(state, now);
    for report in &command.reports {
        books.report(report, &command.known);
    }
    books.settle();
    Decision { reply: Reply::None, events: books.close() }
}

/// Requests whose line did not come in time count without it. Never in sessions whose lines carry no request id, since
/// theirs may have come.
pub(super) fn overdue(state: &State, now: Timestamp) -> Vec<Event> {
    let mut books = Books::new(state, now);
    for awaited in state.awaited.values().filter(|a| a.until() <= now).take(MAX_ROWS_PER_COMMAND) {
        books.awaited.insert(awaited.report.request_id.clone(), None);
        if !state.runs.get(&awaited.report.session).is_some_and(|runs| runs.has_lines_without_request) {
            books.count_reported(&awaited.report);
        }
    }
    books.settle();
    books.close()
}

impl Books<'_> {
    fn report(&mut self, report: &Report, known: &[Row]) {
        if let Some(old) = self.row_of_request(&report.request_id, known) {
            let reported = greatest(old.reported(), &report.part);
            let row = old.clone().of_parts(old.line(), Some(reported));
            return self.replace(&old, row, report.writes_lines);
        }
        if !report.writes_lines {
            return self.count_reported(report);
        }
        let awaited = self.awaited(&report.request_id);
        let since = awaited.as_ref().map_or(self.now, |a| a.since);
        let part = greatest(awaited.as_ref().map(|a| &a.report.part), &report.part);
        let report = Report { part, ..report.clone() };
        let count = self.state.awaited.len() + self.awaited.values().flatten().count();
        if awaited.is_none() && count >= MAX_AWAITED {
            return self.count_reported(&report);
        }
        self.awaited.insert(report.request_id.clone(), Some(Awaited { report, since }));
    }

    fn count_reported(&mut self, report: &Report) {
        let key = reported_key(&report.request_id);
        let row = Row::new(key, report.session.clone(), report.agent.clone(), report.at);
        let row = Row { request_id: Some(report.request_id.clone()), ..row };
        self.add(row.of_parts(None, Some(report.part.clone())), report.writes_lines);
    }

    /// What is awaited of a request.
    fn awaited(&self, request_id: &str) -> Option<Awaited> {
        match self.awaited.get(request_id) {
            Some(here) => here.clone(),
            None => self.state.awaited.get(request_id).cloned(),
        }
    }

    /// A request's line has come: what telemetry told of it before, if it did.
    pub(super) fn no_longer_awaited(&mut self, request_id: &str) -> Option<Part> {
        let awaited = self.awaited(request_id)?;
        self.awaited.insert(request_id.to_owned(), None);
        Some(awaited.report.part)
    }
}

/// Of a request told of twice the greater of each kind, whatever came first.
fn greatest(old: Option<&Part>, new: &Part) -> Part {
    let Some(old) = old else { return new.clone() };
    Part {
        // Any rule will do that has no order in it.
        model: old.model.clone().max(new.model.clone()),
        usage: old.usage.greatest(new.usage),
        micro_usd: old.micro_usd.max(new.micro_usd),
        estimated: old.estimated && new.estimated,
    }
}
