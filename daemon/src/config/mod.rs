//! The configuration: `/etc/bursar/config.toml`, the user's file, the environment; one name for each setting.

mod amount;
mod kept;
mod keys;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bursar_engine::policy::{Mode, OnPause, Policy, PolicyError};

use crate::prices::{Prices, PricesError};
use crate::view::SettingView;
use keys::{KEYS, Key};

pub use amount::{AmountError, parse_amount, parse_dollars};
pub(crate) use amount::{millionths, parse_millionths};
pub use kept::InForce;

/// The configuration that an administrator sets for all users of a machine.
pub const SYSTEM_FILE: &str = "/etc/bursar/config.toml";

/// The port that clients find in their settings: "BURSA" on a telephone's keys, given to nobody, and below those that
/// systems hand out to connections.
pub const DEFAULT_PORT: u16 = 28_772;
/// The operator's own prices, beside the configuration file; as a setting, what stands in it.
const PRICES: &str = "prices.csv";

/// A value that cannot serve. The daemon does not start with it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A bad value.
    #[error("{key} = {value:?} ({origin}): {why}")]
    Value {
        /// The setting.
        key: String,
        /// What was written.
        value: String,
        /// Where.
        origin: String,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// A setting that does not exist.
    #[error("{file}: there is no setting {key}{}", hint.map(|h| format!("; did you mean {h}?")).unwrap_or_default())]
    Unknown {
        /// The file.
        file: String,
        /// What was written.
        key: String,
        /// The nearest setting.
        hint: Option<&'static str>,
    },
    /// A file that is no TOML.
    #[error("{file}: {why}")]
    File {
        /// The file.
        file: String,
        /// What the parser says.
        why: String,
    },
    /// Values that contradict each other.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The file of prices.
    #[error(transparent)]
    Prices(#[from] PricesError),
}

/// A whole, valid configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// What the rules need.
    pub policy: Policy,
    /// `BURSAR_RETENTION_DAYS`: history is kept so long.
    pub retention_days: u32,
    /// `TOKEN_BUDGET_TTL` in seconds: the Redis mirror's alone, used once there is one.
    pub mirror_ttl_s: u64,
    /// `BURSAR_GUARDRAILS_VIEW`: the folder of the view files for other hooks; none: no such files.
    pub guardrails_view: Option<PathBuf>,
    /// `BURSAR_PORT`: HTTP is served there, on loopback; 0: it is not.
    pub port: u16,
    /// What requests cost.
    pub prices: Prices,
    /// Every setting and where it comes from.
    pub settings: Vec<SettingView>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            retention_days: 400,
            mirror_ttl_s: 86_400,
            guardrails_view: None,
            port: DEFAULT_PORT,
            prices: Prices::built_in(),
            settings: Vec::new(),
        }
    }
}

impl Config {
    /// Loads the configuration from the system's file, the user's file and the environment that `env` knows.
    ///
    /// # Errors
    /// [`ConfigError`], naming the setting, its value and its source.
    pub fn load(env: impl Fn(&str) -> Option<String>, user_file: &Path) -> Result<Self, ConfigError> {
        Self::from_sources(env, Path::new(SYSTEM_FILE), user_file)
    }

    /// As [`Config::load`], with the system's file elsewhere.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn from_sources(
        env: impl Fn(&str) -> Option<String>,
        system_file: &Path,
        user_file: &Path,
    ) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        let mut origins: BTreeMap<&str, String> = BTreeMap::new();
        for (key, value) in read(user_file)? {
            config.set(key, &value, &user_file.display().to_string())?;
            origins.insert(key.name, user_file.display().to_string());
        }
        let own_prices = user_file.with_file_name(PRICES);
        config.prices = Prices::load(&own_prices)?;
        if config.prices != Prices::built_in() {
            origins.insert(PRICES, own_prices.display().to_string());
        }
        for key in &KEYS {
            if let Some(value) = env(key.name).filter(|v| !v.is_empty()) {
                config.set(key, &value, "environment")?;
                origins.insert(key.name, "environment".to_owned());
            }
        }
        // The administrator's values stand; what the user set may only be tighter.
        for (key, value) in read(system_file)? {
            let mut system = config.clone();
            system.set(key, &value, &system_file.display().to_string())?;
            let user_is_tighter = origins.contains_key(key.name) && (key.tighter)(&config, &system);
            if !user_is_tighter {
                config = system;
                origins.insert(key.name, system_file.display().to_string());
            }
        }
        config.policy.check()?;
        config.settings = KEYS.iter().map(|key| config.view(key, &origins)).collect();
        Ok(config)
    }

    fn set(&mut self, key: &Key, value: &str, origin: &str) -> Result<(), ConfigError> {
        (key.set)(self, value.trim()).map_err(|why| ConfigError::Value {
            key: key.name.to_owned(),
            value: value.to_owned(),
            origin: origin.to_owned(),
            why,
        })
    }

    fn view(&self, key: &Key, origins: &BTreeMap<&str, String>) -> SettingView {
        SettingView {
            name: key.name.to_owned(),
            value: (key.get)(self),
            source: origins.get(key.name).cloned().unwrap_or_else(|| "default".to_owned()),
            pending: None,
        }
    }
}

/// The settings of a file; none where it is not there.
fn read(file: &Path) -> Result<Vec<(&'static Key, String)>, ConfigError> {
    let name = || file.display().to_string();
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(ConfigError::File { file: name(), why: e.to_string() }),
    };
    let table: toml::Table =
        text.parse().map_err(|e: toml::de::Error| ConfigError::File { file: name(), why: e.to_string() })?;
    table
        .into_iter()
        .map(|(key, value)| match KEYS.iter().find(|k| k.name == key) {
            Some(known) => Ok((known, plain(&value))),
            None => Err(ConfigError::Unknown { file: name(), hint: nearest(&key), key }),
        })
        .collect()
}

/// A value as it would stand in the environment: a table as `key=value,…`.
fn plain(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Table(table) => {
            table.iter().map(|(k, v)| format!("{k}={}", plain(v))).collect::<Vec<_>>().join(",")
        }
        other => other.to_string(),
    }
}

/// The setting whose name differs from `key` in the fewest letters, if not in many.
fn nearest(key: &str) -> Option<&'static str> {
    let near = KEYS.iter().map(|k| (distance(&key.to_uppercase(), k.name), k.name)).min()?;
    (near.0 <= 5).then_some(near.1)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let step = (diagonal + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], step);
        }
    }
    row[b.len()]
}

pub(crate) fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "enforce",
        Mode::Observe => "observe",
    }
}

pub(crate) fn on_pause_name(on_pause: OnPause) -> &'static str {
    match on_pause {
        OnPause::Hold => "hold",
        OnPause::Stop => "stop",
        OnPause::Deny => "deny",
        OnPause::Ask => "ask",
    }
}

#[cfg(test)]
mod tests;
