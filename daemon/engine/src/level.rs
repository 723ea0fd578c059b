//! How far a budget is used: shares, levels, and what is missing.

use serde::{Deserialize, Serialize};

use crate::budget::Budget;
use crate::policy::{Limit, Policy};
use crate::ratio::Ratio;
use crate::usage::MICRO;

/// What a row counts: millionths of a weighted token, and micro-dollars.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Millionths of a weighted token.
    pub micro_tokens: u64,
    /// Micro-dollars.
    pub micro_usd: u64,
    /// Requests whose cost is an estimate.
    #[serde(default)]
    pub estimated: u64,
}

impl Counted {
    /// The sum; saturates.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            micro_tokens: self.micro_tokens.saturating_add(other.micro_tokens),
            micro_usd: self.micro_usd.saturating_add(other.micro_usd),
            estimated: self.estimated.saturating_add(other.estimated),
        }
    }
}

/// How far a budget is used, whatever its history says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Below the alert threshold.
    Below,
    /// At the alert threshold.
    Alert,
    /// At the pause threshold.
    Pause,
    /// At the hard threshold.
    Hard,
}

impl Budget {
    /// Whole tokens used, rounded up.
    pub fn tokens_used(&self) -> u64 {
        self.used.micro_tokens.div_ceil(MICRO)
    }

    /// Whole tokens left; none without a limit. Never negative.
    pub fn tokens_left(&self) -> Option<u64> {
        (self.max.tokens > 0).then(|| self.max.tokens.saturating_sub(self.tokens_used()))
    }

    /// Whole tokens left until it pauses; none without a limit. Never negative.
    pub fn tokens_until_pause(&self, policy: &Policy) -> Option<u64> {
        let pauses_at = u128::from(self.max.tokens) * u128::from(policy.pause.0) / 1_000_000;
        let pauses_at = u64::try_from(pauses_at).unwrap_or(u64::MAX);
        (self.max.tokens > 0).then(|| pauses_at.saturating_sub(self.tokens_used()))
    }

    /// Micro-dollars left until it pauses; none without such a limit. Never negative.
    pub fn micro_usd_until_pause(&self, policy: &Policy) -> Option<u64> {
        let pauses_at = u128::from(self.max.micro_usd) * u128::from(policy.pause.0) / 1_000_000;
        let pauses_at = u64::try_from(pauses_at).unwrap_or(u64::MAX);
        (self.max.micro_usd > 0).then(|| pauses_at.saturating_sub(self.used.micro_usd))
    }

    /// The greater of the shares used of tokens and dollars; 0 without a limit.
    pub fn utilization(&self) -> Ratio {
        self.token_utilization().max(self.cost_utilization())
    }

    /// Whether dollars are nearer their limit than tokens.
    pub fn by_cost(&self) -> bool {
        self.cost_utilization() > self.token_utilization()
    }

    fn token_utilization(&self) -> Ratio {
        share(u128::from(self.used.micro_tokens), u128::from(self.max.tokens) * u128::from(MICRO))
    }

    fn cost_utilization(&self) -> Ratio {
        share(u128::from(self.used.micro_usd), u128::from(self.max.micro_usd))
    }

    /// The higher of the levels of tokens and dollars.
    pub(crate) fn level(&self, policy: &Policy) -> Level {
        let tokens = self.level_of(
            self.used.micro_tokens,
            self.max.tokens.saturating_mul(MICRO),
            self.alert_base.micro_tokens,
            policy,
        );
        tokens.max(self.level_of(self.used.micro_usd, self.max.micro_usd, self.alert_base.micro_usd, policy))
    }

    fn level_of(&self, used: u64, max: u64, alert_base: u64, policy: &Policy) -> Level {
        if max == 0 {
            return Level::Below;
        }
        if policy.hard.reached(used, max) {
            Level::Hard
        } else if policy.pause.reached(used, max) {
            Level::Pause
        } else if used >= alert_base
            && self.alert_threshold.reached(used - alert_base, max.saturating_sub(alert_base))
        {
            Level::Alert
        } else {
            Level::Below
        }
    }

    /// Whole tokens and micro-dollars that must be added before it is open again; zero where it is open.
    pub fn missing(&self, policy: &Policy) -> Limit {
        let (used_usd, pause) = (u128::from(self.used.micro_usd), u128::from(policy.pause.0));
        // The least limit L with used < pause · L, that is L > used / pause.
        let least = |used: u128| used * 1_000_000 / pause + 1;
        let short = |max: u64, least: u128| {
            if max == 0 {
                0
            } else {
                u64::try_from(least.saturating_sub(u128::from(max))).unwrap_or(u64::MAX)
            }
        };
        let tokens_least = u128::from(self.used.micro_tokens) / pause + 1;
        Limit {
            tokens: short(self.max.tokens, tokens_least),
            micro_usd: short(self.max.micro_usd, least(used_usd)),
        }
    }
}

fn share(used: u128, limit: u128) -> Ratio {
    if limit == 0 {
        return Ratio(0);
    }
    Ratio(u32::try_from(used * 1_000_000 / limit).unwrap_or(u32::MAX))
}
