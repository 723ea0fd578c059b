use std::collections::HashMap;
use std::path::Path;

use bursar_engine::policy::{CircuitPolicy, Mode, OnPause};
use bursar_engine::ratio::Ratio;
use bursar_engine::usage::Weights;

use super::{Config, InForce};

fn load(env: &[(&str, &str)], system: &str, user: &str) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        if !text.is_empty() {
            std::fs::write(&path, text).unwrap();
        }
        path
    };
    let (system, user) = (write("system.toml", system), write("user.toml", user));
    let env: HashMap<&str, &str> = env.iter().copied().collect();
    Config::from_sources(|k| env.get(k).map(|v| (*v).to_owned()), &system, &user).map_err(|e| e.to_string())
}

fn from_env(env: &[(&str, &str)]) -> Result<Config, String> {
    load(env, "", "")
}

#[test]
fn the_defaults_are_the_designs() {
    let config = from_env(&[]).unwrap();
    let p = &config.policy;
    assert!(p.enabled && p.mode == Mode::Enforce && p.on_pause == OnPause::Hold);
    assert_eq!((p.session.tokens, p.task.tokens, p.subagent_tokens), (500_000, 100_000, 250_000));
    assert_eq!((p.alert, p.pause, p.hard), (Ratio(800_000), Ratio::ONE, Ratio(1_200_000)));
    assert_eq!((p.hold_s, p.hold_unattended_s), (86_400, 900));
    assert_eq!(p.weights, Weights::default());
    assert_eq!(p.circuits, CircuitPolicy::default());
    assert!(config.settings.iter().all(|s| s.source == "default"));
}

#[test]
fn the_readme_names_every_setting_and_its_default() {
    let readme = include_str!("../../../README.md");
    for setting in from_env(&[]).unwrap().settings {
        let named = format!("`{}`", setting.name);
        let at = readme.find(&named).unwrap_or_else(|| panic!("the README does not name {named}"));
        let row = readme[at..].lines().next().unwrap();
        let has_a_row = readme[..at].ends_with("| ");
        assert!(
            !has_a_row || row.contains(&format!("| {} |", setting.value)),
            "{named} is {}: {row}",
            setting.value
        );
    }
}

#[test]
fn each_task_type_has_its_budget() {
    let policy = from_env(&[("TOKEN_BUDGET_BY_TASK_TYPE", "review=7k, own=3")]).unwrap().policy;
    let tokens = |t: Option<&str>| policy.task_limit(t).tokens;
    for (name, limit) in [("planning", 50_000), ("implement", 100_000), ("review", 7_000), ("test", 50_000)] {
        assert_eq!(tokens(Some(name)), limit, "{name}");
    }
    assert_eq!((tokens(Some("own")), tokens(Some("unheard-of")), tokens(None)), (3, 100_000, 100_000));
}

#[test]
fn booleans_read_in_every_usual_way() {
    for (text, value) in [
        ("true", true),
        ("1", true),
        ("yes", true),
        ("ON", true),
        ("false", false),
        ("0", false),
        ("No", false),
        ("off", false),
    ] {
        assert_eq!(from_env(&[("TOKEN_BUDGET_ENABLED", text)]).unwrap().policy.enabled, value, "{text}");
    }
    assert!(from_env(&[("TOKEN_BUDGET_ENABLED", "maybe")]).is_err());
}

#[test]
fn a_bad_value_is_refused_with_its_name_and_source() {
    for (key, value) in [
        ("TOKEN_BUDGET_SESSION_DEFAULT", "-1"),
        ("TOKEN_BUDGET_SESSION_DEFAULT", "lots"),
        ("TOKEN_BUDGET_ALERT_THRESHOLD", "1.5"),
        ("TOKEN_BUDGET_ALERT_THRESHOLD", "0"),
        ("TOKEN_BUDGET_ALERT_THRESHOLD", "x"),
        ("TOKEN_BUDGET_PAUSE_THRESHOLD", "1.01"),
        ("TOKEN_BUDGET_HARD_THRESHOLD", "0.9"),
        ("TOKEN_BUDGET_HARD_THRESHOLD", "11"),
        ("TOKEN_BUDGET_ON_PAUSE", "sleep"),
        ("TOKEN_BUDGET_WEIGHTS", "input=-1"),
        ("TOKEN_BUDGET_WEIGHTS", "dear"),
        ("TOKEN_BUDGET_BY_TASK_TYPE", "review"),
        ("TOKEN_BUDGET_HOLD_SECONDS", "forever"),
        ("TOKEN_BUDGET_SESSION_USD", "-5"),
        ("TOKEN_BUDGET_TASK_USD", "five"),
        ("TOKEN_BUDGET_TASK_USD", "0.0000001"),
        ("TOKEN_BUDGET_HOST_DAY", "5"),
        ("TOKEN_BUDGET_HOST_DAY_USD", "5"),
        ("BURSAR_MODE", "strict"),
        ("CIRCUIT_BREAKER_PROFILE", "lax"),
        ("CIRCUIT_BREAKER_COOLDOWN", "-3"),
        ("BURSAR_PORT", "80"),
        ("BURSAR_PORT", "65536"),
        ("BURSAR_PORT", "off"),
    ] {
        let error = from_env(&[(key, value)]).expect_err(value);
        assert!(error.contains(key), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn weights_are_exact_to_the_millionth() {
    let weights = |text| from_env(&[("TOKEN_BUDGET_WEIGHTS", text)]).unwrap().policy.weights;
    assert_eq!(weights("raw"), Weights::RAW);
    assert_eq!(weights("priced"), Weights::PRICED);
    assert!(weights("priced").unit().starts_with("input tokens' worth"));
    let own = weights("output=5,cache_read=0.1");
    assert_eq!((own.input, own.output, own.cache_read), (1_000_000, 5_000_000, 100_000));
}

#[test]
fn limits_in_dollars_are_exact_and_written_as_they_are_read() {
    let keys = ["TOKEN_BUDGET_SESSION_USD", "TOKEN_BUDGET_TASK_USD"];
    for (text, micro_usd, shown) in [
        ("5", 5_000_000, "5"),
        ("$0.25", 250_000, "0.25"),
        ("12.345678", 12_345_678, "12.345678"),
        ("0", 0, "0"),
    ] {
        let config = from_env(&keys.map(|key| (key, text))).unwrap();
        let (session, task) = (config.policy.session, config.policy.task_limit(Some("review")));
        assert_eq!((session.tokens, session.micro_usd), (500_000, micro_usd));
        assert_eq!((task.tokens, task.micro_usd), (30_000, micro_usd));
        for key in keys {
            let setting = config.settings.iter().find(|s| s.name == key).unwrap();
            assert_eq!(setting.value, shown, "{key} = {text}");
        }
        // A restart keeps the stricter one.
        let ran = InForce::new(config.clone(), None).values();
        let looser = from_env(&[(keys[0], "20")]).unwrap();
        let in_force = InForce::new(looser, Some(&ran)).config.policy.session.micro_usd;
        assert_eq!(in_force, if micro_usd == 0 { 20_000_000 } else { micro_usd });
    }
}

#[test]
fn cheaper_prices_wait_to_be_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let config = |row: &str| {
        let text = format!("model,input,output,cache_read,cache_write_5m,cache_write_1h\n{row}\n");
        std::fs::write(dir.path().join("prices.csv"), text).unwrap();
        let nowhere = Path::new("/nonexistent");
        Config::from_sources(|_| None, nowhere, &dir.path().join("config.toml"))
    };
    let first = InForce::new(config("mine,2,2,1,2,2").unwrap(), None);
    let (cheap, dear) = (config("mine,1,2,1,2,2").unwrap(), config("mine,3,2,1,2,2").unwrap());
    let now = InForce::new(cheap.clone(), Some(&first.values()));
    assert_eq!(now.config.prices, first.config.prices);
    let pending = now.pending().remove(0);
    assert_eq!((pending.name.as_str(), pending.value.as_str()), ("prices.csv", "mine,2,2,1,2,2,,,,,,,"));
    assert!(pending.pending.unwrap().source.ends_with("/prices.csv"));
    assert_eq!(now.accepted().config.prices, cheap.prices);
    assert_eq!(InForce::new(dear.clone(), Some(&first.values())).config.prices, dear.prices);
    // Without the file an own model is unknown, which is dearer.
    assert!(InForce::new(from_env(&[]).unwrap(), Some(&first.values())).pending().is_empty());
    let error = config("mine,1").unwrap_err().to_string();
    assert!(error.contains("prices.csv, line 2: it has 2 cells"), "{error}");
}

#[test]
fn the_environment_goes_before_the_users_file() {
    let user = "TOKEN_BUDGET_SESSION_DEFAULT = 7\nTOKEN_BUDGET_ALERT_THRESHOLD = 0.5\n[TOKEN_BUDGET_BY_TASK_TYPE]\nreview = 9\n";
    let config = load(&[("TOKEN_BUDGET_SESSION_DEFAULT", "8")], "", user).unwrap();
    assert_eq!((config.policy.session.tokens, config.policy.alert), (8, Ratio(500_000)));
    assert_eq!(config.policy.task_limit(Some("review")).tokens, 9);
    let source = |name: &str| config.settings.iter().find(|s| s.name == name).unwrap().source.clone();
    assert_eq!(source("TOKEN_BUDGET_SESSION_DEFAULT"), "environment");
    assert!(source("TOKEN_BUDGET_ALERT_THRESHOLD").ends_with("user.toml"));
}

#[test]
fn the_administrators_values_may_only_be_tightened() {
    let system = "TOKEN_BUDGET_SESSION_DEFAULT = 100\nTOKEN_BUDGET_ON_PAUSE = \"hold\"\n";
    let tokens = |env: &[(&str, &str)]| load(env, system, "").unwrap().policy.session.tokens;
    assert_eq!(tokens(&[]), 100);
    assert_eq!(tokens(&[("TOKEN_BUDGET_SESSION_DEFAULT", "50")]), 50);
    assert_eq!(tokens(&[("TOKEN_BUDGET_SESSION_DEFAULT", "500")]), 100);
    assert_eq!(tokens(&[("TOKEN_BUDGET_SESSION_DEFAULT", "0")]), 100);
    let deny = load(&[("TOKEN_BUDGET_ON_PAUSE", "deny")], system, "").unwrap();
    assert_eq!(deny.policy.on_pause, OnPause::Hold);
}

#[test]
fn the_last_run_and_the_administrator_are_both_kept_to() {
    let last_run = |tokens: &str| {
        let ran = from_env(&[("TOKEN_BUDGET_SESSION_DEFAULT", tokens)]).unwrap();
        InForce::new(ran, None).values()
    };
    for (kept, system, user, in_force) in
        [("900", "100", "500", 100), ("100", "900", "500", 100), ("900", "500", "100", 100)]
    {
        let system = format!("TOKEN_BUDGET_SESSION_DEFAULT = {system}\n");
        let asked = load(&[("TOKEN_BUDGET_SESSION_DEFAULT", user)], &system, "").unwrap();
        let tokens = InForce::new(asked, Some(&last_run(kept))).config.policy.session.tokens;
        assert_eq!(tokens, in_force, "kept {kept}, {system}, user {user}");
    }
}

#[test]
fn an_unknown_setting_in_a_file_is_refused_with_the_nearest_name() {
    let error = load(&[], "", "TOKEN_BUDGET_SESION_DEFAULT = 1").unwrap_err();
    assert!(error.contains("did you mean TOKEN_BUDGET_SESSION_DEFAULT?"), "{error}");
    assert!(load(&[], "", "not toml").is_err());
    assert!(Config::from_sources(|_| None, Path::new("/nonexistent"), Path::new("/nonexistent")).is_ok());
}
