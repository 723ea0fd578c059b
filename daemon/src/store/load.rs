//! Loading the state from its tables.

use std::sync::Arc;

use bursar_engine::acts::MAX_ACTS;
use bursar_engine::alert::{Alert, MAX_ALERTS};
use bursar_engine::budget::Budget;
use bursar_engine::circuit::Circuit;
use bursar_engine::event::OperatorRecord;
use bursar_engine::hold::Hold;
use bursar_engine::ids::{AgentKey, SessionId};
use bursar_engine::policy::Policy;
use bursar_engine::reported::Awaited;
use bursar_engine::row::{FileProgress, Row};
use bursar_engine::runs::Runs;
use bursar_engine::session::{Agent, Session};
use bursar_engine::state::MAX_ENDED_HOLDS;
use bursar_engine::time::Timestamp;
use bursar_engine::usage::{Totals, Usage};
use bursar_engine::{Event, State};
use serde::de::DeserializeOwned;

use super::{Store, StoreError};

impl Store {
    /// The state as it was committed last, under a policy.
    ///
    /// # Errors
    /// [`StoreError`]: nothing is ever passed over silently.
    pub fn load(&self, policy: Policy) -> Result<State, StoreError> {
        let mut state = State::new(policy);
        state.protection = self.protection()?;
        for s in self.bodies::<Session>("sessions", "SELECT body FROM sessions")? {
            state.sessions.insert(s.id.clone(), s);
        }
        for a in self.bodies::<Agent>("agents", "SELECT body FROM agents")? {
            state.agents.insert((a.session.clone(), a.key.clone()), a);
        }
        for b in self.bodies::<Budget>("budgets", "SELECT body FROM budgets")? {
            state.budgets.insert(b.id.clone(), b);
        }
        for c in self.bodies::<Circuit>("circuits", "SELECT body FROM circuits")? {
            state.circuits.insert(c.id.clone(), Arc::new(c));
        }
        for r in self.bodies::<Runs>("runs", "SELECT body FROM runs")? {
            state.runs.insert(r.session.clone(), r);
        }
        for a in self.bodies::<Awaited>("awaited", "SELECT body FROM awaited")? {
            state.awaited.insert(a.report.request_id.clone(), a);
        }
        for f in self.bodies::<FileProgress>("files", "SELECT body FROM files")? {
            state.files.insert(f.path.clone(), f);
        }
        let ended = format!(
            "SELECT body FROM holds WHERE ended IS NULL UNION ALL \
             SELECT body FROM (SELECT body FROM holds WHERE ended IS NOT NULL ORDER BY id DESC LIMIT {MAX_ENDED_HOLDS})"
        );
        for h in self.bodies::<Hold>("holds", &ended)? {
            state.holds.insert(h.id, h);
        }
        let newest = format!("SELECT body FROM alerts ORDER BY id DESC LIMIT {MAX_ALERTS}");
        for a in self.bodies::<Alert>("alerts", &newest)? {
            state.alerts.insert(a.alert_id, a);
        }
        self.load_rolled_up(&mut state)?;
        let latest = format!("SELECT record FROM audit ORDER BY seq DESC LIMIT {MAX_ACTS}");
        let acts = self.bodies::<OperatorRecord>("audit", &latest)?;
        acts.iter().rev().for_each(|act| state.evolve(&Event::Operator(act.clone())));
        state.next_hold = self.next("SELECT coalesce(max(id), 0) + 1 FROM holds")?;
        state.next_alert = self.next("SELECT coalesce(max(id), 0) + 1 FROM alerts")?;
        self.load_totals(&mut state)?;
        Ok(state)
    }

    fn bodies<T: DeserializeOwned>(&self, table: &'static str, sql: &str) -> Result<Vec<T>, StoreError> {
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        let mut bodies = Vec::new();
        while let Some(row) = rows.next()? {
            let text = row.get_ref(0)?.as_str().map_err(|e| record(table, &e))?;
            bodies.push(serde_json::from_str(text).map_err(|e| record(table, &e))?);
        }
        Ok(bodies)
    }

    fn next(&self, sql: &str) -> Result<u64, StoreError> {
        Ok(self.connection.query_row(sql, [], |r| r.get::<_, u64>(0))?)
    }

    fn load_rolled_up(&self, state: &mut State) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare("SELECT session, before_ms FROM rolled_up")?;
        let mut rows = statement.query([])?;
        while let Some(r) = rows.next()? {
            let session = SessionId::new(r.get::<_, String>(0)?).map_err(|e| record("rolled_up", &e))?;
            state.rolled_up.insert(session, Timestamp(r.get(1)?));
        }
        Ok(())
    }

    fn load_totals(&self, state: &mut State) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare(
            "SELECT session, agent, model, input, output, cache_write_5m, cache_write_1h, cache_read, micro_usd, \
             requests, estimated FROM totals",
        )?;
        let mut rows = statement.query([])?;
        while let Some(r) = rows.next()? {
            let session = SessionId::new(r.get::<_, String>(0)?).map_err(|e| record("totals", &e))?;
            let agent = AgentKey::try_from(r.get::<_, String>(1)?).map_err(|e| record("totals", &e))?;
            let totals = totals(r)?;
            state.totals.insert((session, agent, r.get(2)?), totals);
        }
        Ok(())
    }
}

/// A ledger row, in the order of columns of [`super::Reader::rows`].
pub(super) fn row(r: &rusqlite::Row<'_>) -> Result<Row, StoreError> {
    let charged: String = r.get(12)?;
    let told: Option<String> = r.get(14)?;
    Ok(Row {
        message_id: r.get(0)?,
        request_id: r.get(1)?,
        session: SessionId::new(r.get::<_, String>(2)?).map_err(|e| record("rows", &e))?,
        agent: AgentKey::try_from(r.get::<_, String>(3)?).map_err(|e| record("rows", &e))?,
        model: r.get(4)?,
        usage: usage(r, 5)?,
        micro_usd: r.get(10)?,
        at: Timestamp(r.get(11)?),
        charged: serde_json::from_str(&charged).map_err(|e| record("rows", &e))?,
        estimated: r.get(13)?,
        told: told.map(|told| serde_json::from_str(&told)).transpose().map_err(|e| record("rows", &e))?,
    })
}

/// Totals of a model, in the order of columns of the tables of sums.
pub(super) fn totals(r: &rusqlite::Row<'_>) -> Result<Totals, StoreError> {
    Ok(Totals { usage: usage(r, 3)?, micro_usd: r.get(8)?, requests: r.get(9)?, estimated: r.get(10)? })
}

fn usage(r: &rusqlite::Row<'_>, from: usize) -> Result<Usage, StoreError> {
    Ok(Usage {
        input: r.get(from)?,
        output: r.get(from + 1)?,
        cache_write_5m: r.get(from + 2)?,
        cache_write_1h: r.get(from + 3)?,
        cache_read: r.get(from + 4)?,
    })
}

fn record(table: &'static str, why: &dyn std::fmt::Display) -> StoreError {
    StoreError::Record { table, why: why.to_string() }
}
