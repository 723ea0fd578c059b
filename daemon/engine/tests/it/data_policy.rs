//! The settings that the rules believe (DESIGN 4).

use bursar_engine::policy::{Limit, Policy};
use bursar_engine::ratio::Ratio;
use bursar_engine::usage::{MAX_TOKENS_PER_REQUEST, MICRO, Usage, Weights};

use crate::support::tokens_only;

#[test]
fn the_defaults_are_those_of_the_design() {
    let policy = Policy::default();
    assert_eq!(policy.check(), Ok(()));
    assert_eq!((policy.session, policy.task), (tokens_only(500_000), tokens_only(100_000)));
    assert_eq!(policy.subagent_tokens, 250_000);
    assert_eq!((policy.alert.0, policy.pause.0, policy.hard.0), (800_000, 1_000_000, 1_200_000));
    assert_eq!((policy.hold_s, policy.hold_unattended_s, policy.max_unattended_holds), (86_400, 900, 8));
    assert!(policy.enforces());
}

#[test]
fn thresholds_out_of_order_are_refused_with_the_name_of_the_first_wrong_one() {
    const ALERT: Option<&str> = Some("TOKEN_BUDGET_ALERT_THRESHOLD");
    const PAUSE: Option<&str> = Some("TOKEN_BUDGET_PAUSE_THRESHOLD");
    const HARD: Option<&str> = Some("TOKEN_BUDGET_HARD_THRESHOLD");
    let rows = [
        (0, 1_000_000, 1_200_000, ALERT),
        (1, 1, 1_000_000, None),
        (900_001, 900_000, 1_200_000, ALERT),
        (900_000, 900_000, 1_200_000, None),
        (800_000, 1_000_001, 1_200_000, PAUSE),
        (800_000, 1_000_000, 999_999, HARD),
        (800_000, 1_000_000, 1_000_000, None),
        (800_000, 1_000_000, 10_000_000, None),
        (800_000, 1_000_000, 10_000_001, HARD),
    ];
    for (alert, pause, hard, key) in rows {
        let policy =
            Policy { alert: Ratio(alert), pause: Ratio(pause), hard: Ratio(hard), ..Policy::default() };
        let refused = policy.check().err().map(|e| e.to_string());
        match (key, &refused) {
            (None, None) => {}
            (Some(key), Some(text)) if text.starts_with(key) => {}
            (_, _) => panic!("{alert} {pause} {hard}: {refused:?}, expected {key:?}"),
        }
    }
}

#[test]
fn a_task_types_limit_is_looked_up_and_others_get_the_default() {
    let policy = Policy { task: Limit { tokens: 77, micro_usd: 5 }, ..Policy::default() };
    let rows = [
        (Some("planning"), 50_000),
        (Some("implement"), 100_000),
        (Some("review"), 30_000),
        (Some("test"), 50_000),
        (Some("deploy"), 20_000),
        (Some("design"), 50_000),
        (Some("gardening"), 77),
        (None, 77),
    ];
    for (task_type, tokens) in rows {
        assert_eq!(policy.task_limit(task_type), Limit { tokens, micro_usd: 5 }, "{task_type:?}");
    }
}

#[test]
fn every_weighting_says_what_a_token_is() {
    let odd = Weights { input: MICRO / 2, output: 5 * MICRO, cache_write: 1_250_000, cache_read: 1 };
    let rows = [
        (Weights::default(), "tokens, cache reads free"),
        (Weights::RAW, "tokens, cache reads counted"),
        (odd, "weighted tokens (input 0.5, output 5, cache write 1.25, cache read 0.000001)"),
    ];
    for (weights, unit) in rows {
        assert_eq!(weights.unit(), unit);
    }
}

#[test]
fn a_request_has_at_most_a_billion_tokens_of_a_kind_and_a_weight_is_at_most_a_thousand() {
    assert_eq!((MAX_TOKENS_PER_REQUEST, Weights::MAX), (1_000_000_000, 1_000_000_000));
    let most = MAX_TOKENS_PER_REQUEST;
    let all =
        Usage { input: most, output: most, cache_write_5m: most, cache_write_1h: most, cache_read: most };
    assert!(all.is_plausible());
    for more in [
        Usage { input: most + 1, ..all },
        Usage { output: most + 1, ..all },
        Usage { cache_write_5m: most + 1, ..all },
        Usage { cache_write_1h: most + 1, ..all },
        Usage { cache_read: most + 1, ..all },
    ] {
        assert!(!more.is_plausible(), "{more:?}");
    }
}
