//! What a connection needs of the daemon.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bursar_engine::ids::SessionId;
use bursar_protocol::paths::Paths;

use crate::canary::Canary;
use crate::config::InForce;
use crate::guard::Guard;
use crate::host::Host;
use crate::http::Standing;
use crate::past::Past;
use crate::statuses::Statuses;
use crate::tailer::Tailer;
use crate::telemetry::Telemetry;
use crate::view::VerdictView;
use crate::views::Heard;

/// How many views are made at once.
pub const QUERIES_AT_ONCE: usize = 2;

/// How many verdicts are remembered for `bursar hooks`.
const REMEMBERED_VERDICTS: usize = 1_000;

/// The daemon, as its connections see it.
#[derive(Debug)]
pub struct Service {
    /// Hot state.
    pub host: Arc<Host>,
    /// The reader of transcripts.
    pub tailer: Arc<Tailer>,
    /// Where things are.
    pub paths: Paths,
    /// The settings in force, and those that wait.
    pub settings: Mutex<InForce>,
    /// Who is unlocked.
    pub guard: Guard,
    /// The right to ask for a view, of which few are made at once.
    pub queries: tokio::sync::Semaphore,
    /// Since when it serves, RFC 3339.
    pub since: String,
    /// The last verdicts.
    pub verdicts: VerdictLog,
    /// What clients tell of their requests themselves.
    pub telemetry: Arc<Telemetry>,
    /// What is expected of clients.
    pub canary: Canary,
    /// The agents whose past is known.
    pub past: Past,
    /// What clients tell their status lines.
    pub statuses: Statuses,
    /// Whether HTTP is served.
    pub http: Arc<Standing>,
}

impl Service {
    /// What the sensors tell beside the ledger.
    pub fn heard(&self) -> Heard {
        let costs = self.statuses.costs(self.host.clock().now());
        Heard { gaps: self.telemetry.gaps(), costs }
    }

    /// As [`Service::heard`], of one session alone.
    pub fn heard_of(&self, session: &SessionId) -> Heard {
        let cost = self.statuses.cost(session, self.host.clock().now());
        let gap = self.telemetry.gap(session);
        let of = |session: &SessionId| session.clone();
        Heard {
            gaps: gap.map(|gap| (of(session), gap)).into_iter().collect(),
            costs: cost.map(|cost| (of(session), cost)).into_iter().collect(),
        }
    }

    /// The settings. Keep it short.
    pub fn settings(&self) -> MutexGuard<'_, InForce> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last verdicts, oldest first, for people who ask why. Not kept over a restart.
#[derive(Debug, Default)]
pub struct VerdictLog(Mutex<VecDeque<VerdictView>>);

impl VerdictLog {
    /// Remembers a verdict.
    pub fn push(&self, verdict: VerdictView) {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if log.len() == REMEMBERED_VERDICTS {
            log.pop_front();
        }
        log.push_back(verdict);
    }

    /// The newest `limit` verdicts, newest first.
    pub fn newest(&self, limit: usize) -> Vec<VerdictView> {
        let log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.iter().rev().take(limit).cloned().collect()
    }
}
