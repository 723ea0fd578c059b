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
    // Cargo's own arguments begin with dashes; any other names the part that is wanted.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let parts: [(&str, fn()); 5] = [
        ("decide", decide::run),
        ("detect", detect::run),
        ("hook", hook::run),
        ("decision", decision::run),
        ("first-read", first_read::run),
    ];
    for (_, run) in parts.iter().filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|w| w == name)) {
        run();
    }
}
