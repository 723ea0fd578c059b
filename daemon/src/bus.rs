//! Carries facts to whoever shows or forwards them, after their commit. A slow or dead reader never delays a verdict: it
//! falls behind, is told so, and reads the state anew.

use std::sync::Arc;

use bursar_engine::Event;
use tokio::sync::broadcast;

/// How many decisions a reader may be behind before it has to read the state anew.
const CAPACITY: usize = 4_096;

/// The facts of one decision, committed.
pub type Committed = Arc<[Event]>;

/// The way out for all subscribers.
#[derive(Debug, Clone)]
pub struct Bus(broadcast::Sender<Committed>);

impl Default for Bus {
    fn default() -> Self {
        Self(broadcast::channel(CAPACITY).0)
    }
}

impl Bus {
    /// Tells all who listen; nobody need.
    pub fn publish(&self, events: Committed) {
        let _ = self.0.send(events);
    }

    /// Listens from now on.
    pub fn subscribe(&self) -> Feed {
        Feed(self.0.subscribe())
    }
}

/// One subscriber's end.
#[derive(Debug)]
pub struct Feed(broadcast::Receiver<Committed>);

/// What a subscriber hears.
#[derive(Debug, Clone)]
pub enum Heard {
    /// Facts, in the order of their decisions.
    Facts(Committed),
    /// Some were missed: what they said stands in the state.
    Missed,
}

impl Feed {
    /// The next facts; none once the bus is gone.
    pub async fn next(&mut self) -> Option<Heard> {
        match self.0.recv().await {
            Ok(events) => Some(Heard::Facts(events)),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(Heard::Missed),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
