//! What several modules need.

use std::collections::BTreeMap;
use std::time::Duration;

use bursar_tests::api::{RequestLog, Usage};
use bursar_tests::client::{ClientResult, ModelUsage};
use bursar_tests::recorder::Recorder;
use bursar_tests::settings::Settings;
use bursar_tests::world::World;

/// For what comes by itself, on a slow machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A request's usage that no other request of a test has, with something of each kind.
pub(crate) fn usage(n: u64) -> Usage {
    Usage::plain(10 + n, 100 + 3 * n).cached(1000 * n, 50 + 7 * n, 20 + n)
}

/// A request's usage that takes 1,000 tokens from a budget.
pub(crate) fn thousand() -> Usage {
    Usage::plain(100, 200).cached(5000, 600, 100)
}

/// The client and the API agree to the token, kind by kind and model by model.
#[track_caller]
pub(crate) fn assert_same_totals(result: &ClientResult, log: &RequestLog) {
    let sent: BTreeMap<String, ModelUsage> =
        log.usage_by_model().into_iter().map(|(model, usage)| (model, usage.into())).collect();
    assert_eq!(result.model_usage, sent, "the client's own totals (left) against what the API sent (right)");
}

/// A world with settings that register nothing.
pub(crate) fn bare() -> World {
    let world = World::new();
    Settings::new().write(&world.settings());
    world
}

/// A world whose settings register one recording hook for every event.
pub(crate) fn recorded() -> (World, Recorder) {
    let world = World::new();
    let recorder = Recorder::new(world.root(), "recorder");
    recorder.register(Settings::new()).write(&world.settings());
    (world, recorder)
}
