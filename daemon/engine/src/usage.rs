//! Tokens, kept apart by kind, and the weights that make one number of them.

use serde::{Deserialize, Serialize};

/// The greatest number of tokens of one kind that a single request may claim; more is a hostile or broken number.
pub const MAX_TOKENS_PER_REQUEST: u64 = 1_000_000_000;

/// Millionths of a token: what budgets add up, so that fractional weights are exact.
pub const MICRO: u64 = 1_000_000;

/// The tokens of one request, or a sum of requests. Sums saturate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Input that was neither read from nor written to the cache.
    pub input: u64,
    /// Output.
    pub output: u64,
    /// Written to the cache for five minutes, and what the client did not divide.
    pub cache_write_5m: u64,
    /// Written to the cache for an hour.
    pub cache_write_1h: u64,
    /// Read from the cache.
    pub cache_read: u64,
}

impl Usage {
    /// The sum, kind by kind.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.with(other, u64::saturating_add)
    }

    /// The greater of each kind; what was written to the cache is taken as a whole, since not everybody who tells of it
    /// divides it.
    #[must_use]
    pub fn greatest(self, other: Self) -> Self {
        let written = self.cache_write().max(other.cache_write());
        let cache_write_1h = self.cache_write_1h.max(other.cache_write_1h);
        Self {
            input: self.input.max(other.input),
            output: self.output.max(other.output),
            cache_write_5m: written - cache_write_1h,
            cache_write_1h,
            cache_read: self.cache_read.max(other.cache_read),
        }
    }

    /// The difference, kind by kind, never below zero.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        self.with(other, u64::saturating_sub)
    }

    /// What this total has beyond another one, kind by kind, never below zero. What was written to the cache is compared
    /// as a whole: some clients (2.1.310; no longer 2.1.326) do not divide it in their own totals, and do in their lines.
    #[must_use]
    pub fn beyond(self, other: Self) -> Self {
        let kinds = self.minus(other);
        let written = self.cache_write().saturating_sub(other.cache_write());
        let cache_write_1h = kinds.cache_write_1h.min(written);
        Self { cache_write_5m: written - cache_write_1h, cache_write_1h, ..kinds }
    }

    /// All that was written to the cache.
    pub fn cache_write(self) -> u64 {
        self.cache_write_5m.saturating_add(self.cache_write_1h)
    }

    /// The size of the context after this request: everything that the next one sends again.
    pub fn context(self) -> u64 {
        self.input
            .saturating_add(self.cache_write())
            .saturating_add(self.cache_read)
            .saturating_add(self.output)
    }

    /// Whether every number is one that a request can have.
    pub fn is_plausible(self) -> bool {
        [self.input, self.output, self.cache_write_5m, self.cache_write_1h, self.cache_read]
            .into_iter()
            .all(|n| n <= MAX_TOKENS_PER_REQUEST)
    }

    fn with(self, other: Self, op: fn(u64, u64) -> u64) -> Self {
        Self {
            input: op(self.input, other.input),
            output: op(self.output, other.output),
            cache_write_5m: op(self.cache_write_5m, other.cache_write_5m),
            cache_write_1h: op(self.cache_write_1h, other.cache_write_1h),
            cache_read: op(self.cache_read, other.cache_read),
        }
    }
}

/// What a token of each kind counts in a budget, in millionths of a token (DESIGN 3.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weights {
    /// Input.
    pub input: u64,
    /// Output.
    pub output: u64,
    /// Cache writes of either kind.
    pub cache_write: u64,
    /// Cache reads.
    pub cache_read: u64,
}

impl Default for Weights {
    fn default() -> Self {
        Self { input: MICRO, output: MICRO, cache_write: MICRO, cache_read: 0 }
    }
}

impl Weights {
    /// Every token counts once, cache reads too.
    pub const RAW: Self = Self { input: MICRO, output: MICRO, cache_write: MICRO, cache_read: MICRO };

    /// In units of one input token's price, as most models are priced: output five times, a five-minute cache write 1.25
    /// times, a cache read a tenth. A limit in dollars is the exact one.
    pub const PRICED: Self =
        Self { input: MICRO, output: 5 * MICRO, cache_write: 1_250_000, cache_read: 100_000 };

    /// The greatest weight that may be set: 1,000 tokens for one.
    pub const MAX: u64 = 1_000 * MICRO;

    /// What a request counts, in millionths of a token. Saturates.
    pub fn weigh(&self, usage: Usage) -> u64 {
        let part = |tokens: u64, weight: u64| u128::from(tokens) * u128::from(weight);
        let sum = part(usage.input, self.input)
            + part(usage.output, self.output)
            + part(usage.cache_write(), self.cache_write)
            + part(usage.cache_read, self.cache_read);
        u64::try_from(sum).unwrap_or(u64::MAX)
    }

    /// The unit in words, as every budget shows it.
    pub fn unit(&self) -> String {
        if *self == Self::default() {
            return "tokens, cache reads free".to_owned();
        }
        if *self == Self::RAW {
            return "tokens, cache reads counted".to_owned();
        }
        if *self == Self::PRICED {
            return "input tokens' worth (output 5, cache write 1.25, cache read 0.1)".to_owned();
        }
        let show = |w: u64| {
            let text = format!("{}.{:06}", w / MICRO, w % MICRO);
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        };
        format!(
            "weighted tokens (input {}, output {}, cache write {}, cache read {})",
            show(self.input),
            show(self.output),
            show(self.cache_write),
            show(self.cache_read)
        )
    }
}

impl Totals {
    /// The sums.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.with(other, Usage::plus, u64::saturating_add)
    }

    /// The differences, never below zero.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        self.with(other, Usage::minus, u64::saturating_sub)
    }

    fn with(self, other: Self, tokens: fn(Usage, Usage) -> Usage, op: fn(u64, u64) -> u64) -> Self {
        Self {
            usage: tokens(self.usage, other.usage),
            micro_usd: op(self.micro_usd, other.micro_usd),
            requests: op(self.requests, other.requests),
            estimated: op(self.estimated, other.estimated),
        }
    }
}

/// Totals of one agent on one model in one session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Tokens.
    pub usage: Usage,
    /// Micro-dollars.
    pub micro_usd: u64,
    /// Requests.
    pub requests: u64,
    /// Those of them whose cost is an estimate.
    #[serde(default)]
    pub estimated: u64,
}
