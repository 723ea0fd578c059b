//! A daemon that starts looser than it last ran keeps the stricter values until an operator accepts the others
//! (DESIGN 4): restarting it with other settings is no way round a limit.

use std::collections::{BTreeMap, BTreeSet};

use bursar_engine::policy::Policy;
use bursar_engine::usage::Weights;

use super::Config;
use super::keys::{KEYS, Key, lower};
use crate::view::{PendingView, SettingView};

/// The source of a value that was kept.
const LAST_RUN: &str = "last run";

/// The settings in force, and those that were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    /// In force.
    pub config: Config,
    /// As files and environment have them.
    asked: Config,
}

impl InForce {
    /// What is in force where the daemon last ran with `kept`; all that is asked for where it never ran.
    pub fn new(asked: Config, kept: Option<&BTreeMap<String, String>>) -> Self {
        let config = kept.map_or_else(|| asked.clone(), |kept| stricter(&asked, kept));
        Self { config, asked }
    }

    /// The settings once an operator has accepted them.
    #[must_use]
    pub fn accepted(&self) -> Self {
        Self { config: self.asked.clone(), asked: self.asked.clone() }
    }

    /// Every value in force, by name, as it would be written.
    pub fn values(&self) -> BTreeMap<String, String> {
        KEYS.iter().map(|key| (key.name.to_owned(), (key.get)(&self.config))).collect()
    }

    /// Every setting for people: its value in force, where that comes from, and what waits.
    pub fn settings(&self) -> Vec<SettingView> {
        let view = |(key, asked): (&Key, &SettingView)| {
            let value = (key.get)(&self.config);
            if value == asked.value {
                return asked.clone();
            }
            SettingView {
                name: asked.name.clone(),
                value,
                source: LAST_RUN.to_owned(),
                pending: Some(PendingView { value: asked.value.clone(), source: asked.source.clone() }),
            }
        };
        KEYS.iter().zip(&self.asked.settings).map(view).collect()
    }

    /// The settings that wait to be accepted.
    pub fn pending(&self) -> Vec<SettingView> {
        self.settings().into_iter().filter(|s| s.pending.is_some()).collect()
    }
}

/// Key by key the asked value where it is at least as tight as the kept one, else the kept one.
fn stricter(asked: &Config, kept: &BTreeMap<String, String>) -> Config {
    let mut old = Config::default();
    let known: BTreeSet<&str> = KEYS
        .iter()
        .filter(|key| kept.get(key.name).is_some_and(|value| take(&mut old, key, value)))
        .map(|key| key.name)
        .collect();
    let mut config = Config::default();
    for key in &KEYS {
        let value = if !known.contains(key.name) || (key.tighter)(asked, &old) {
            (key.get)(asked)
        } else {
            tightest_of_parts(key, asked, &old).unwrap_or_else(|| (key.get)(&old))
        };
        take(&mut config, key, &value);
    }
    // Each of the two is in order by itself; should their mixture not be, the stricter one stands as a whole.
    if config.policy.check().is_err() { old } else { config }
}

/// Sets a value that a configuration once had; one that another release wrote may not be understood.
fn take(config: &mut Config, key: &Key, value: &str) -> bool {
    if (key.get)(config) == value {
        return true;
    }
    let set = (key.set)(config, value);
    if let Err(why) = &set {
        tracing::warn!(setting = key.name, value, "the value of the last run is passed over: it {why}");
    }
    set.is_ok()
}

/// A value of several parts, each as tight as the tighter one: neither of the two may be it as a whole.
fn tightest_of_parts(key: &Key, asked: &Config, old: &Config) -> Option<String> {
    let mut config = Config::default();
    match key.name {
        "TOKEN_BUDGET_BY_TASK_TYPE" => {
            config.policy.by_task_type = tightest_types(&asked.policy, &old.policy);
        }
        "TOKEN_BUDGET_WEIGHTS" => {
            let (a, b) = (asked.policy.weights, old.policy.weights);
            config.policy.weights = Weights {
                input: a.input.max(b.input),
                output: a.output.max(b.output),
                cache_write: a.cache_write.max(b.cache_write),
                cache_read: a.cache_read.max(b.cache_read),
            };
        }
        _ => return None,
    }
    Some((key.get)(&config))
}

fn tightest_types(asked: &Policy, old: &Policy) -> BTreeMap<String, u64> {
    let names: BTreeSet<&String> = asked.by_task_type.keys().chain(old.by_task_type.keys()).collect();
    let limit = |name: &String| {
        let (a, b) = (asked.task_limit(Some(name)).tokens, old.task_limit(Some(name)).tokens);
        if lower(a, b) { a } else { b }
    };
    // What the asked one leaves to the default for tasks is named only where the kept one is tighter.
    names
        .into_iter()
        .map(|name| (name.clone(), limit(name)))
        .filter(|(name, tokens)| asked.by_task_type.contains_key(name) || *tokens != asked.task.tokens)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{InForce, KEYS};
    use crate::config::Config;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::path::Path;

    fn load(values: &[(&'static str, String)]) -> Config {
        let nowhere = Path::new("/nonexistent");
        let value = |key: &str| values.iter().find(|(name, _)| *name == key).map(|(_, v)| v.clone());
        Config::from_sources(value, nowhere, nowhere).unwrap()
    }

    fn values(config: Config) -> BTreeMap<String, String> {
        InForce::new(config, None).values()
    }

    fn one(key: &'static str, value: &str) -> Config {
        load(&[(key, value.to_owned())])
    }

    #[test]
    fn the_first_run_takes_everything() {
        let first = InForce::new(one("TOKEN_BUDGET_SESSION_DEFAULT", "0"), None);
        assert_eq!((first.config.policy.session.tokens, first.pending().len()), (0, 0));
    }

    #[test]
    fn what_is_looser_waits_and_what_is_tighter_or_does_not_matter_is_taken() {
        for (key, before, asked, in_force) in [
            ("TOKEN_BUDGET_SESSION_DEFAULT", "500000", "900000", "500000"),
            ("TOKEN_BUDGET_SESSION_DEFAULT", "500000", "0", "500000"),
            ("TOKEN_BUDGET_SESSION_DEFAULT", "500000", "400000", "400000"),
            ("TOKEN_BUDGET_SESSION_DEFAULT", "0", "400000", "400000"),
            ("TOKEN_BUDGET_ENABLED", "true", "false", "true"),
            ("TOKEN_BUDGET_ENABLED", "false", "true", "true"),
            ("BURSAR_MODE", "enforce", "observe", "enforce"),
            ("TOKEN_BUDGET_ON_PAUSE", "hold", "deny", "hold"),
            ("TOKEN_BUDGET_ON_PAUSE", "hold", "stop", "stop"),
            ("TOKEN_BUDGET_HARD_THRESHOLD", "1.2", "5", "1.2"),
            ("BURSAR_RETENTION_DAYS", "400", "500", "500"),
            ("CIRCUIT_BREAKER_MAX_ITERATIONS", "100", "0", "100"),
        ] {
            let now = InForce::new(one(key, asked), Some(&values(one(key, before))));
            assert_eq!(now.values()[key], in_force, "{key} from {before} to {asked}");
            let pending: Vec<_> =
                now.pending().into_iter().map(|s| (s.name, s.pending.unwrap().value)).collect();
            let waits = in_force != one(key, asked).settings.iter().find(|s| s.name == key).unwrap().value;
            assert_eq!(pending.len(), usize::from(waits), "{key} from {before} to {asked}: {pending:?}");
            assert_eq!(now.accepted().values()[key], values(one(key, asked))[key]);
            assert_eq!(now.accepted().pending(), []);
        }
    }

    #[test]
    fn a_setting_that_did_not_exist_or_does_not_read_is_taken() {
        let mut kept = values(Config::default());
        kept.remove("TOKEN_BUDGET_SESSION_DEFAULT");
        kept.insert("TOKEN_BUDGET_ON_PAUSE".to_owned(), "sleep".to_owned());
        kept.insert("OF_ANOTHER_RELEASE".to_owned(), "1".to_owned());
        let asked = load(&[
            ("TOKEN_BUDGET_SESSION_DEFAULT", "900000".to_owned()),
            ("TOKEN_BUDGET_ON_PAUSE", "deny".to_owned()),
        ]);
        let now = InForce::new(asked.clone(), Some(&kept));
        assert_eq!(now.values(), values(asked));
    }

    #[test]
    fn each_part_of_a_value_is_as_tight_as_the_tighter_one() {
        let kept = values(one("TOKEN_BUDGET_BY_TASK_TYPE", "review=5,test=10"));
        let asked = one("TOKEN_BUDGET_BY_TASK_TYPE", "review=10,test=5,own=900000");
        let policy = InForce::new(asked, Some(&kept)).config.policy;
        let tokens = |name| policy.task_limit(Some(name)).tokens;
        assert_eq!((tokens("review"), tokens("test"), tokens("own")), (5, 5, policy.task.tokens));
        let kept = values(one("TOKEN_BUDGET_WEIGHTS", "input=2,output=1"));
        let weights =
            InForce::new(one("TOKEN_BUDGET_WEIGHTS", "input=1,output=3"), Some(&kept)).config.policy.weights;
        assert_eq!((weights.input, weights.output), (2_000_000, 3_000_000));
    }

    fn any_config() -> impl Strategy<Value = Config> {
        let limit = || prop::sample::select(vec!["0", "5", "100", "100000", "900000"]);
        let share = |of: &'static [&'static str]| prop::sample::select(of.to_vec());
        let types =
            prop::sample::select(vec!["", "review=5,own=0", "own=7", "review=900k,test=5", "other=100000"]);
        let weights =
            prop::sample::select(vec!["raw", "input=1", "input=2,output=0.5", "cache_read=0.1,output=3"]);
        let words = (
            prop::sample::select(vec!["true", "false"]),
            prop::sample::select(vec!["enforce", "observe"]),
            prop::sample::select(vec!["hold", "stop", "deny", "ask"]),
        );
        let shares = (share(&["0.1", "0.5"]), share(&["0.5", "1"]), share(&["1", "1.2", "9"]));
        (limit(), limit(), limit(), types, weights, words, shares).prop_map(
            |(session, task, subagent, types, weights, words, shares)| {
                load(&[
                    ("TOKEN_BUDGET_SESSION_DEFAULT", session.to_owned()),
                    ("TOKEN_BUDGET_TASK_DEFAULT", task.to_owned()),
                    ("TOKEN_BUDGET_SUBAGENT_DEFAULT", subagent.to_owned()),
                    ("TOKEN_BUDGET_HOLD_SECONDS", session.to_owned()),
                    ("TOKEN_BUDGET_BY_TASK_TYPE", types.to_owned()),
                    ("TOKEN_BUDGET_WEIGHTS", weights.to_owned()),
                    ("TOKEN_BUDGET_ENABLED", words.0.to_owned()),
                    ("BURSAR_MODE", words.1.to_owned()),
                    ("TOKEN_BUDGET_ON_PAUSE", words.2.to_owned()),
                    ("TOKEN_BUDGET_ALERT_THRESHOLD", shares.0.to_owned()),
                    ("TOKEN_BUDGET_PAUSE_THRESHOLD", shares.1.to_owned()),
                    ("TOKEN_BUDGET_HARD_THRESHOLD", shares.2.to_owned()),
                    ("CIRCUIT_BREAKER_DUPLICATE_THRESHOLD", task.to_owned()),
                ])
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_in_force_is_never_looser_than_what_was_or_what_is_asked_for(
            before in any_config(), asked in any_config(), third in any_config(),
        ) {
            let first = InForce::new(asked.clone(), Some(&values(before.clone())));
            for key in &KEYS {
                prop_assert!((key.tighter)(&first.config, &before), "{} against the last run", key.name);
                // The system's file is part of what is asked for, and stands above the rest of it.
                prop_assert!((key.tighter)(&first.config, &asked), "{} against what is asked for", key.name);
            }
            prop_assert!(first.config.policy.check().is_ok());
            // A restart of a restart loosens nothing either.
            let second = InForce::new(third, Some(&first.values()));
            for key in &KEYS {
                prop_assert!((key.tighter)(&second.config, &first.config), "{} at the second restart", key.name);
            }
            // The same settings again change nothing.
            let again = InForce::new(asked, Some(&first.values()));
            prop_assert_eq!(again.values(), first.values());
        }
    }
}
