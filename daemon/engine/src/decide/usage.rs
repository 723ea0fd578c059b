//! Counting what lines, and hooks' payloads, tell of.

use crate::State;
use crate::command::Usage as Command;
use crate::decide::books::Books;
use crate::decide::{Decision, Reply};
use crate::event::Event;
use crate::ids::SessionId;
use crate::row::{PAYLOAD, Part, Row, Sighting};
use crate::session::Session;
use crate::time::Timestamp;
use crate::usage::Usage;

pub(super) fn decide(state: &State, command: &Command, now: Timestamp) -> Decision {
    let mut books = Books::new(state, now);
    for sighting in &command.rows {
        books.count(sighting, command);
    }
    if let (Some(file), Some(claim)) = (&command.file, &command.claim) {
        books.settling.claimed(state, &file.session, claim, now);
        books.ended_without_hooks(&file.session);
    }
    books.settle();
    let mut events = books.close();
    events.extend(command.file.clone().map(Event::File));
    Decision { reply: Reply::None, events }
}

impl Books<'_> {
    fn count(&mut self, seen: &Sighting, from: &Command) {
        if let Some(copy) = self.settling.copied(self.state, from, seen) {
            self.draws_on(copy, &seen.session);
        }
        let key = match &seen.message_id {
            Some(id) => id.clone(),
            None => self.payload_id(&seen.session),
        };
        let request = seen.request_id.as_deref();
        let old = self.row(&key, &from.known).or_else(|| {
            // Telemetry may have told of it first.
            self.reported_row(request?, &from.known)
        });
        match old {
            None => self.add_line(key, seen),
            // Only its owner's own transcript may lower what was counted; anybody else's word can only add.
            Some(old) if !is_the_owners(&old, from) && !adds(&old, seen) => {}
            Some(old) => self.correct(old, &key, seen),
        }
    }

    fn add_line(&mut self, key: String, seen: &Sighting) {
        let awaited = seen.request_id.as_deref().and_then(|request| self.no_longer_awaited(request));
        let row = Row::new(key, seen.session.clone(), seen.agent.clone(), seen.at);
        let row = Row { request_id: seen.request_id.clone(), ..row };
        let is_partial = seen.partial && awaited.is_none();
        let row = row.of_parts(Some(part(seen)), awaited);
        if is_partial {
            self.settling.known_in_part(self.state, &row, true);
        }
        self.add(row, true);
    }

    /// A further line of a request: the one with the greatest output wins, whole; on a tie the later one. Owner and
    /// date stay those of the first line; copies in forks and side questions are lines like any other.
    fn correct(&mut self, old: Row, key: &str, seen: &Sighting) {
        let line = old.line();
        let stays = line.as_ref().is_some_and(|line| {
            seen.usage.output < line.usage.output
                || (seen.usage == line.usage && seen.model == line.model)
                // A fork's copy with its usage set to 0 never stands for the message.
                || (seen.usage == Usage::default() && line.usage != Usage::default())
        });
        let was = line.as_ref().map_or(0, |line| line.usage.output);
        let line = if stays { line } else { Some(part(seen)) };
        let mut reported = old.reported().cloned();
        let mut row = old.clone();
        if row.request_id.is_none()
            && let Some(request) = &seen.request_id
        {
            row.request_id = Some(request.clone());
            reported = self.no_longer_awaited(request).or(reported);
        }
        let old = if old.message_id == *key { old } else { self.rename(old, key) };
        let row = Row { message_id: key.to_owned(), ..row.of_parts(line, reported) };
        let output = row.line().map_or(0, |line| line.usage.output);
        if seen.usage.output >= output && (!seen.partial || seen.usage.output > was) && row.told.is_none() {
            self.settling.known_in_part(self.state, &row, seen.partial);
        }
        self.replace(&old, row, true);
    }

    /// Of a session without hooks its client's last word is all that tells of its end.
    fn ended_without_hooks(&mut self, id: &SessionId) {
        let known = self.sessions.get(id).or_else(|| self.state.sessions.get(id));
        if let Some(session) = known.filter(|s| s.unhooked && s.ended.is_none()) {
            let session = Session { ended: Some(self.now), ..session.clone() };
            self.sessions.insert(id.clone(), session);
        }
    }

    /// The id of a request that has none: it came in a hook's payload.
    fn payload_id(&mut self, id: &SessionId) -> String {
        let session = self.sessions.get(id).or_else(|| self.state.sessions.get(id)).cloned();
        let Some(mut session) = session else { return format!("{PAYLOAD}{id}:?") };
        session.payload_rows = session.payload_rows.saturating_add(1);
        let message_id = format!("{PAYLOAD}{id}:{}", session.payload_rows);
        self.sessions.insert(id.clone(), session);
        message_id
    }
}

fn part(seen: &Sighting) -> Part {
    Part {
        model: seen.model.clone(),
        usage: seen.usage,
        micro_usd: seen.micro_usd,
        estimated: seen.estimated,
    }
}

/// Whether a reading is of a transcript of the row's session. What came in a hook's payload has no transcript.
fn is_the_owners(old: &Row, from: &Command) -> bool {
    match &from.file {
        Some(file) => file.session == old.session,
        None => !old.message_id.starts_with(PAYLOAD),
    }
}

/// Whether neither a kind of token nor the cost falls.
fn adds(old: &Row, seen: &Sighting) -> bool {
    old.usage.minus(seen.usage) == Usage::default() && seen.micro_usd >= old.micro_usd
}
