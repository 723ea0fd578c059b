//! The same call failing, whatever it says, with nothing between that changes anything.

use serde::{Deserialize, Serialize};

use super::tally::Tally;
use super::trail::Ended;
use super::{Detector, Finding};
use crate::policy::CircuitPolicy;
use crate::print::Kind;

/// So many warn (DETECTION).
const WARNS: u64 = 4;
/// So many trip (DETECTION).
const TRIPS: u64 = 7;

/// How often which calls have failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Failing(Tally);

impl Failing {
    /// A good edit, or a command that came to something new, may have mended what fails; reading and searching does not.
    pub(super) fn note(&mut self, ended: &Ended<'_>, policy: &CircuitPolicy) -> Option<Finding> {
        let call = ended.call.print;
        if ended.outcome.ok {
            let changes = match ended.call.kind {
                Kind::Edit(_) => true,
                Kind::Shell { .. } | Kind::Subagent | Kind::Other => ended.is_new,
                Kind::Read(_) | Kind::Search | Kind::Todo { .. } | Kind::Wait | Kind::Poll => false,
            };
            if changes {
                self.0.clear();
            } else {
                self.0.remove(call);
            }
            return None;
        }
        if ended.again_in_message {
            return None;
        }
        let count = self.0.count(call);
        let trips = policy.at_least(TRIPS);
        (count >= WARNS)
            .then(|| Finding::of_calls(Detector::FailingCall, count >= trips, count, call).with_calls([call]))
    }
}
