//! What `bursar replay` says: an object a line for programs, tables and a summary for people.

use bursar_engine::detect::Detector;
use bursar_engine::policy::{Limit, Profile};
use bursar_protocol::answer::{dollars, grouped};
use serde_json::json;

use super::super::output::{Failure, Output, Tone, short};
use super::super::show::{dim, plain};
use crate::replay::Seen;
use crate::replay::files::ReplayError;
use crate::replay::purse::Spent;
use crate::replay::scenario::Scenario;
use crate::replay::session::Told;

/// Without `--all`, all sessions are listed up to so many.
const LISTED: usize = 20;

type Row = Vec<(Tone, String)>;

/// What was told so far.
pub(super) struct Report<'a> {
    output: &'a Output,
    profile: Profile,
    limit: Option<Limit>,
    all: bool,
    scenarios: Vec<Row>,
    sessions: Vec<(bool, Row)>,
    unlike: usize,
    tripped: usize,
    warned: usize,
    paused: usize,
    after: (u64, u64),
    calls: u64,
    prompts: u64,
    failed: usize,
}

impl<'a> Report<'a> {
    pub(super) fn new(output: &'a Output, profile: Profile, limit: Option<Limit>, all: bool) -> Self {
        Self {
            output,
            profile,
            limit,
            all,
            scenarios: Vec::new(),
            sessions: Vec::new(),
            unlike: 0,
            tripped: 0,
            warned: 0,
            paused: 0,
            after: (0, 0),
            calls: 0,
            prompts: 0,
            failed: 0,
        }
    }

    /// A scenario, and what came of it.
    pub(super) fn scenario(&mut self, scenario: &Scenario, seen: &Seen) {
        let warned_at = seen.warned.first().map(|(at, _)| *at);
        let object = json!({
            "name": scenario.name,
            "tripped": seen.tripped_at.is_some(),
            "at_call": seen.tripped_at,
            "warned_at": warned_at,
            "detector": seen.detector.map(Detector::name),
            "reopened_at": seen.reopened_at,
            "closed_at": seen.closed_at,
        });
        if self.output.json(&object.to_string()) {
            return;
        }
        let differs = scenario.differs(seen);
        self.unlike += usize::from(differs.is_some());
        let verdict = match (scenario.expect.is_some(), differs) {
            (false, _) => dim(""),
            (true, None) => (Tone::Good, "as expected".to_owned()),
            (true, Some(what)) => (Tone::Bad, what.to_owned()),
        };
        self.scenarios.push(vec![
            plain(scenario.name.clone()),
            outcome(seen),
            plain(number(seen.tripped_at)),
            plain(detector(seen)),
            plain(number(warned_at)),
            plain(number(seen.reopened_at)),
            plain(number(seen.closed_at)),
            verdict,
        ]);
    }

    /// All scenarios were told.
    pub(super) fn end_of_scenarios(&mut self) {
        let rows = std::mem::take(&mut self.scenarios);
        if rows.is_empty() {
            return;
        }
        let header =
            ["scenario", "outcome", "at call", "detector", "warned at", "reopened", "closed", "expected"];
        self.output.table(&header, &[2, 4, 5, 6], &rows);
        let unlike = match self.unlike {
            0 => "none differs from what it expects".to_owned(),
            1 => "1 differs from what it expects".to_owned(),
            n => format!("{n} differ from what they expect"),
        };
        self.output.line(&format!("Scenarios: {}; {unlike} ({} rules).", rows.len(), self.profile.name()));
    }

    /// A session, and what came of it.
    pub(super) fn session(&mut self, name: &str, told: &Told) {
        let Told { seen, spent } = told;
        self.calls += seen.calls;
        self.prompts += seen.prompts;
        self.tripped += usize::from(seen.tripped_at.is_some());
        self.warned += usize::from(!seen.warned.is_empty());
        if let Some((spent, paused)) = spent.as_ref().and_then(|s| Some((s, s.paused?))) {
            self.paused += 1;
            self.after.0 += spent.tokens.saturating_sub(paused.tokens);
            self.after.1 += spent.micro_usd.saturating_sub(paused.micro_usd);
        }
        if self.output.json(&self.object(name, told).to_string()) {
            return;
        }
        let tells = seen.tripped_at.is_some()
            || !seen.warned.is_empty()
            || spent.is_some_and(|spent| spent.paused.is_some());
        let mut row = vec![
            plain(name.to_owned()),
            plain(grouped(seen.calls)),
            plain(grouped(seen.prompts)),
            outcome(seen),
            plain(number(seen.tripped_at)),
            plain(detector(seen)),
            plain(seen.warned.len().to_string()),
        ];
        if self.limit.is_some() {
            row.extend(self.of_budget(spent.as_ref()));
        }
        row.push(plain(seen.why.clone().unwrap_or_default()));
        self.sessions.push((tells, row));
    }

    fn object(&self, name: &str, told: &Told) -> serde_json::Value {
        let Told { seen, spent } = told;
        let warned: Vec<_> =
            seen.warned.iter().map(|(at, d)| json!({"at_call": at, "detector": d.name()})).collect();
        let mut object = json!({
            "session": name,
            "calls": seen.calls,
            "prompts": seen.prompts,
            "tripped": seen.tripped_at.is_some(),
            "at_call": seen.tripped_at,
            "detector": seen.detector.map(Detector::name),
            "warnings": warned.len(),
            "warned": warned,
            "why": seen.why,
        });
        if let Some(limit) = self.limit {
            let spent = spent.unwrap_or_default();
            object["budget"] = json!({
                "max_tokens": limit.tokens,
                "max_micro_usd": limit.micro_usd,
                "tokens_used": spent.tokens,
                "micro_usd_used": spent.micro_usd,
                "warned_at_call": spent.warned_at,
                "paused_at_call": spent.paused.map(|p| p.at_call),
                "paused_at": spent.paused.map(|p| p.at.to_string()),
                "tokens_when_paused": spent.paused.map(|p| p.tokens),
                "micro_usd_when_paused": spent.paused.map(|p| p.micro_usd),
            });
        }
        object
    }

    fn of_budget(&self, spent: Option<&Spent>) -> [(Tone, String); 2] {
        let by_cost = self.limit.is_some_and(|limit| limit.tokens == 0);
        let figure = |tokens: u64, micro_usd: u64| if by_cost { dollars(micro_usd) } else { short(tokens) };
        let Some(spent) = spent else { return [plain(""), plain("")] };
        let paused = match spent.paused {
            Some(p) => (Tone::Warn, format!("call {} at {}", p.at_call, figure(p.tokens, p.micro_usd))),
            None => dim("–"),
        };
        [plain(figure(spent.tokens, spent.micro_usd)), paused]
    }

    /// Something could not be told; the rest is.
    pub(super) fn failed(&mut self, e: &ReplayError) {
        self.failed += 1;
        // The last word, the exit code, is the whole run's.
        eprintln!("bursar: {e}");
    }

    /// All was told.
    pub(super) fn end(self, passed_over: usize) -> Result<(), Failure> {
        let listed = self.all || self.sessions.len() <= LISTED;
        let rows: Vec<Row> =
            self.sessions.iter().filter(|(tells, _)| listed || *tells).map(|(_, row)| row.clone()).collect();
        let left_out = self.sessions.len() - rows.len();
        if !rows.is_empty() {
            let mut header =
                vec!["session", "calls", "prompts", "outcome", "at call", "detector", "warnings"];
            let mut right = vec![1, 2, 4, 6];
            if self.limit.is_some() {
                header.extend(["spent", "paused"]);
                right.push(7);
            }
            header.push("why");
            self.output.table(&header, &right, &rows);
        }
        if left_out > 0 {
            self.output.line(&format!("{left_out} more with nothing to tell: --all lists them."));
        }
        if !self.sessions.is_empty() {
            self.output.line(&format!(
                "Sessions: {}, with {} prompts and {} calls. Tripped: {}. Warned: {} ({} rules).",
                grouped(self.sessions.len() as u64),
                grouped(self.prompts),
                grouped(self.calls),
                self.tripped,
                self.warned,
                self.profile.name()
            ));
        }
        if let Some(limit) = self.limit.filter(|_| !self.sessions.is_empty()) {
            let (limit, after) = match limit.tokens {
                0 => (dollars(limit.micro_usd), dollars(self.after.1)),
                tokens => (short(tokens), format!("{} tokens", short(self.after.0))),
            };
            self.output.line(&format!(
                "With a limit of {limit} a session: {} held until somebody says yes; {after} were spent after that.",
                self.paused
            ));
        }
        if passed_over > 0 {
            self.output.line(&format!(
                "Files that are neither transcripts nor scenarios: {passed_over}, passed over."
            ));
        }
        if self.failed > 0 {
            let message = format!("{} could not be told again.", self.failed);
            return Err(Failure::refused("unreadable", &message, "The lines above say which, and why."));
        }
        Ok(())
    }
}

fn outcome(seen: &Seen) -> (Tone, String) {
    match (seen.tripped_at, seen.warned.is_empty()) {
        (Some(_), _) => (Tone::Bad, "trips".to_owned()),
        (None, false) => (Tone::Warn, "warns".to_owned()),
        (None, true) => (Tone::Good, "goes on".to_owned()),
    }
}

fn number(n: Option<u64>) -> String {
    n.map_or_else(String::new, grouped)
}

fn detector(seen: &Seen) -> String {
    seen.detector.map_or_else(String::new, |d| d.name().to_owned())
}
