//! Speed, as ratios against fixed peers in the same run: `make bench`.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints, and ends where something is missing"
)]

mod decide;
mod decision;
mod detect;
mod first_read;
mod hook;
mod served;

use std::path::PathBuf;
use std::time::Duration;

/// The folder of the release builds and of `do-nothing`, from `.ci/bench`.
fn binaries() -> PathBuf {
    std::env::var_os("BURSAR_BENCH_BIN")
        .map(PathBuf::from)
        .expect("run `make bench`, which builds what is measured")
}

/// A distribution of spans of time.
struct Spans(Vec<Duration>);

impl Spans {
    fn new(mut spans: Vec<Duration>) -> Self {
        spans.sort_unstable();
        Self(spans)
    }

    fn at(&self, share: f64) -> Duration {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length")]
        let index = (self.0.len() as f64 * share) as usize;
        self.0[index.min(self.0.len() - 1)]
    }

    fn p50(&self) -> Duration {
        self.at(0.50)
    }

    fn p99(&self) -> Duration {
        self.at(0.99)
    }
}

fn micros(span: Duration) -> f64 {
    span.as_nanos() as f64 / 1_000.0
}

fn main() {
    // Cargo's test harness asks every bench to list itself.
    if std::env::args().any(|arg| arg == "--list") {
        return;
    }
    decide::run();
    detect::run();
    hook::run();
    decision::run();
    first_read::run();
}
