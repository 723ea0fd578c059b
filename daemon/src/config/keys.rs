//! Every setting once: its name, how it is read, how it is shown, and which of two values is the tighter one.

use std::collections::BTreeMap;
use std::path::Path;

use bursar_engine::detect::MAX_TIMES;
use bursar_engine::policy::{Mode, OnPause, Profile, StatusInPrompt};
use bursar_engine::ratio::Ratio;
use bursar_engine::usage::Weights;

use super::amount::{millionths, parse_amount, parse_dollars, parse_millionths};
use super::{Config, PRICES, mode_name, on_pause_name};
use crate::prices::Prices;

/// The longest hold that may be set, in seconds: the client takes time-outs of up to 30 days.
const MAX_HOLD_S: u64 = 30 * 86_400 - 60;

pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) set: fn(&mut Config, &str) -> Result<(), String>,
    pub(super) get: fn(&Config) -> String,
    /// Whether the first configuration's value is at least as tight as the second's.
    pub(super) tighter: fn(&Config, &Config) -> bool,
}

/// A limit is tighter when it is lower; 0 means none.
pub(super) fn lower(a: u64, b: u64) -> bool {
    b == 0 || (a > 0 && a <= b)
}

fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err("must be true or false".to_owned()),
    }
}

fn amount(text: &str) -> Result<u64, String> {
    parse_amount(text)
        .map_err(|_| "must be a whole number, not negative, such as 500000, 100k or 1.5M".to_owned())
}

fn usd(text: &str) -> Result<u64, String> {
    parse_dollars(text)
        .map_err(|_| "must be an amount in dollars, not negative, such as 5 or 0.25".to_owned())
}

fn seconds(text: &str, max: u64) -> Result<u64, String> {
    let n = text.parse().map_err(|_| "must be a whole number of seconds".to_owned())?;
    if n <= max { Ok(n) } else { Err(format!("must be at most {max} seconds")) }
}

fn ttl(text: &str) -> Result<u64, String> {
    seconds(text, u64::MAX)
        .and_then(|n| if n > 0 { Ok(n) } else { Err("must be more than 0 seconds".to_owned()) })
}

fn days(text: &str) -> Result<u32, String> {
    let days = text.parse().ok().filter(|n| (1..=36_500).contains(n));
    days.ok_or_else(|| "must be a number of days from 1 to 36500".to_owned())
}

/// Ports below 1024 are the system's.
fn port(text: &str) -> Result<u16, String> {
    let port = text.parse().ok().filter(|port| matches!(port, 0 | 1_024..));
    port.ok_or_else(|| "must be 0 (no HTTP) or a port from 1024 to 65535".to_owned())
}

fn ratio(text: &str) -> Result<Ratio, String> {
    let millionths = parse_millionths(text).and_then(|m| u32::try_from(m).ok());
    millionths.map(Ratio).ok_or_else(|| "must be a number such as 0.8".to_owned())
}

fn not_yet(what: &str) -> impl Fn(&str) -> Result<(), String> {
    let what = what.to_owned();
    move |text| {
        if amount(text)? == 0 {
            Ok(())
        } else {
            Err(format!("this version does not count {what} yet; leave it at 0"))
        }
    }
}

const BY_PROFILE: &str = "by profile";

fn by_profile(text: &str, read: impl Fn(&str) -> Result<u64, String>) -> Result<Option<u64>, String> {
    if text == BY_PROFILE { Ok(None) } else { read(text).map(Some) }
}

fn optional(n: Option<u64>) -> String {
    n.map_or_else(|| BY_PROFILE.to_owned(), |n| n.to_string())
}

macro_rules! no_effect_yet {
    ($name:literal, $what:literal) => {
        Key { name: $name, set: |_, v| not_yet($what)(v), get: |_| "0".to_owned(), tighter: |_, _| true }
    };
}

macro_rules! number {
    ($name:literal, $set:expr, $($field:ident).+, $tighter:expr) => {
        Key {
            name: $name,
            set: |c, v| { c.$($field).+ = $set(v)?; Ok(()) },
            get: |c| c.$($field).+.to_string(),
            tighter: |a, b| $tighter(a.$($field).+, b.$($field).+),
        }
    };
}

macro_rules! usd {
    ($name:literal, $of:ident) => {
        Key {
            name: $name,
            set: |c, v| {
                c.policy.$of.micro_usd = usd(v)?;
                Ok(())
            },
            get: |c| millionths(c.policy.$of.micro_usd),
            tighter: |a, b| lower(a.policy.$of.micro_usd, b.policy.$of.micro_usd),
        }
    };
}

macro_rules! share {
    ($name:literal, $field:ident) => {
        Key {
            name: $name,
            set: |c, v| {
                c.policy.$field = ratio(v)?;
                Ok(())
            },
            get: |c| c.policy.$field.as_f64().to_string(),
            tighter: |a, b| a.policy.$field <= b.policy.$field,
        }
    };
}

pub(super) static KEYS: [Key; 30] = [
    number!("TOKEN_BUDGET_ENABLED", boolean, policy.enabled, |a: bool, b: bool| a || !b),
    Key {
        name: "BURSAR_MODE",
        set: |c, v| {
            c.policy.mode = match v {
                "enforce" => Mode::Enforce,
                "observe" => Mode::Observe,
                _ => return Err("must be enforce or observe".to_owned()),
            };
            Ok(())
        },
        get: |c| mode_name(c.policy.mode).to_owned(),
        tighter: |a, b| a.policy.mode == Mode::Enforce || b.policy.mode == Mode::Observe,
    },
    Key {
        name: "TOKEN_BUDGET_ON_PAUSE",
        set: |c, v| {
            c.policy.on_pause = match v {
                "hold" => OnPause::Hold,
                "stop" => OnPause::Stop,
                "deny" => OnPause::Deny,
                "ask" => OnPause::Ask,
                _ => return Err("must be hold, stop, deny or ask".to_owned()),
            };
            Ok(())
        },
        get: |c| on_pause_name(c.policy.on_pause).to_owned(),
        tighter: |a, b| {
            // Stopping spends nothing and asks nobody; holding spends nothing; asking and denying spend.
            let rank = |p| match p {
                OnPause::Stop => 0,
                OnPause::Hold => 1,
                OnPause::Ask => 2,
                OnPause::Deny => 3,
            };
            rank(a.policy.on_pause) <= rank(b.policy.on_pause)
        },
    },
    number!("TOKEN_BUDGET_SESSION_DEFAULT", amount, policy.session.tokens, lower),
    number!("TOKEN_BUDGET_TASK_DEFAULT", amount, policy.task.tokens, lower),
    number!("TOKEN_BUDGET_SUBAGENT_DEFAULT", amount, policy.subagent_tokens, lower),
    Key {
        name: "TOKEN_BUDGET_BY_TASK_TYPE",
        set: |c, v| {
            let mut types = BTreeMap::new();
            for pair in v.split(',').map(str::trim).filter(|p| !p.is_empty()) {
                let (name, tokens) =
                    pair.split_once('=').ok_or_else(|| format!("{pair:?} must be TYPE=TOKENS"))?;
                types.insert(name.trim().to_owned(), amount(tokens.trim())?);
            }
            c.policy.by_task_type.extend(types);
            Ok(())
        },
        get: |c| {
            let pair = |(name, tokens): (&String, &u64)| format!("{name}={tokens}");
            c.policy.by_task_type.iter().map(pair).collect::<Vec<_>>().join(",")
        },
        tighter: |a, b| {
            // A type that one of them does not name has the default for tasks.
            let tokens = |c: &Config, name: &str| c.policy.task_limit(Some(name)).tokens;
            let mut names = a.policy.by_task_type.keys().chain(b.policy.by_task_type.keys());
            names.all(|name| lower(tokens(a, name), tokens(b, name)))
        },
    },
    usd!("TOKEN_BUDGET_SESSION_USD", session),
    usd!("TOKEN_BUDGET_TASK_USD", task),
    no_effect_yet!("TOKEN_BUDGET_HOST_DAY", "a host's day"),
    no_effect_yet!("TOKEN_BUDGET_HOST_DAY_USD", "a host's day"),
    share!("TOKEN_BUDGET_ALERT_THRESHOLD", alert),
    share!("TOKEN_BUDGET_PAUSE_THRESHOLD", pause),
    share!("TOKEN_BUDGET_HARD_THRESHOLD", hard),
    Key {
        name: "TOKEN_BUDGET_WEIGHTS",
        set: |c, v| {
            c.policy.weights = weights(v)?;
            Ok(())
        },
        get: |c| {
            let w = c.policy.weights;
            format!(
                "input={},output={},cache_write={},cache_read={}",
                millionths(w.input),
                millionths(w.output),
                millionths(w.cache_write),
                millionths(w.cache_read)
            )
        },
        tighter: |a, b| {
            let (a, b) = (a.policy.weights, b.policy.weights);
            a.input >= b.input
                && a.output >= b.output
                && a.cache_write >= b.cache_write
                && a.cache_read >= b.cache_read
        },
    },
    // A cheaper model spends more of a limit in dollars.
    Key {
        name: PRICES,
        set: |c, v| {
            c.prices = Prices::from_line(v)?;
            Ok(())
        },
        get: |c| c.prices.to_line(),
        tighter: |a, b| a.prices.is_as_dear_as(&b.prices),
    },
    number!("TOKEN_BUDGET_HOLD_SECONDS", |v| seconds(v, MAX_HOLD_S), policy.hold_s, |a, b| a <= b),
    number!(
        "TOKEN_BUDGET_HOLD_SECONDS_UNATTENDED",
        |v| seconds(v, MAX_HOLD_S),
        policy.hold_unattended_s,
        |a, b| a <= b
    ),
    Key {
        name: "BURSAR_GUARDRAILS_VIEW",
        set: |c, v| {
            c.guardrails_view = match v {
                "never" => None,
                folder if Path::new(folder).is_absolute() => Some(folder.into()),
                _ => return Err("must be never, or the absolute path of a folder such as /tmp".to_owned()),
            };
            Ok(())
        },
        get: |c| c.guardrails_view.as_ref().map_or_else(|| "never".to_owned(), |p| p.display().to_string()),
        tighter: |_, _| true,
    },
    number!("BURSAR_PORT", port, port, |_, _| true),
    number!("TOKEN_BUDGET_TTL", ttl, mirror_ttl_s, |_, _| true),
    Key {
        name: "TOKEN_BUDGET_STATUS_IN_PROMPT",
        set: |c, v| {
            c.policy.status_in_prompt = match v {
                "always" => StatusInPrompt::Always,
                "warning" => StatusInPrompt::Warning,
                "never" => StatusInPrompt::Never,
                _ => return Err("must be always, warning or never".to_owned()),
            };
            Ok(())
        },
        get: |c| {
            match c.policy.status_in_prompt {
                StatusInPrompt::Always => "always",
                StatusInPrompt::Warning => "warning",
                StatusInPrompt::Never => "never",
            }
            .to_owned()
        },
        tighter: |_, _| true,
    },
    number!("CIRCUIT_BREAKER_ENABLED", boolean, policy.circuits.enabled, |a: bool, b: bool| a || !b),
    Key {
        name: "CIRCUIT_BREAKER_PROFILE",
        set: |c, v| {
            c.policy.circuits.profile = match v {
                "evidence" => Profile::Evidence,
                "strict" => Profile::Strict,
                "off" => Profile::Off,
                _ => return Err("must be evidence, strict or off".to_owned()),
            };
            Ok(())
        },
        get: |c| c.policy.circuits.profile.name().to_owned(),
        tighter: |a, b| {
            let rank = |p| match p {
                Profile::Strict => 0,
                Profile::Evidence => 1,
                Profile::Off => 2,
            };
            rank(a.policy.circuits.profile) <= rank(b.policy.circuits.profile)
        },
    },
    Key {
        name: "CIRCUIT_BREAKER_MAX_ITERATIONS",
        set: |c, v| {
            c.policy.circuits.max_iterations = by_profile(v, amount)?;
            Ok(())
        },
        get: |c| optional(c.policy.circuits.max_iterations),
        tighter: |a, b| lower(a.policy.circuits.literal_iterations(), b.policy.circuits.literal_iterations()),
    },
    number!("CIRCUIT_BREAKER_DUPLICATE_THRESHOLD", amount, policy.circuits.duplicate_threshold, lower),
    number!(
        "CIRCUIT_BREAKER_RAPID_FIRE_WINDOW",
        |v| seconds(v, 86_400),
        policy.circuits.rapid_fire_window_s,
        |a, b| a >= b
    ),
    Key {
        name: "CIRCUIT_BREAKER_RAPID_FIRE_THRESHOLD",
        set: |c, v| {
            c.policy.circuits.rapid_fire_threshold = by_profile(v, |v| match amount(v)? {
                calls if calls <= MAX_TIMES as u64 => Ok(calls),
                _ => Err(format!("must be at most {MAX_TIMES}")),
            })?;
            Ok(())
        },
        get: |c| optional(c.policy.circuits.rapid_fire_threshold),
        tighter: |a, b| lower(a.policy.circuits.literal_rapid_fire(), b.policy.circuits.literal_rapid_fire()),
    },
    number!("CIRCUIT_BREAKER_COOLDOWN", |v| seconds(v, 86_400), policy.circuits.cooldown_s, |a, b| a >= b),
    // What is forgotten begins again at zero.
    number!("BURSAR_RETENTION_DAYS", days, retention_days, |a, b| a >= b),
];

fn weights(text: &str) -> Result<Weights, String> {
    match text {
        "raw" => return Ok(Weights::RAW),
        "priced" => return Ok(Weights::PRICED),
        _ => {}
    }
    let mut weights = Weights::default();
    for pair in text.split(',').map(str::trim) {
        let (kind, weight) = pair
            .split_once('=')
            .ok_or_else(|| format!("{pair:?} must be KIND=WEIGHT, or all of it raw or priced"))?;
        let millionths = parse_millionths(weight.trim()).filter(|w| *w <= Weights::MAX).ok_or_else(|| {
            format!("the weight of {kind} must be a number from 0 to 1000 with at most six decimals")
        })?;
        match kind.trim() {
            "input" => weights.input = millionths,
            "output" => weights.output = millionths,
            "cache_write" => weights.cache_write = millionths,
            "cache_read" => weights.cache_read = millionths,
            _ => return Err(format!("{kind:?} must be input, output, cache_write or cache_read")),
        }
    }
    Ok(weights)
}
