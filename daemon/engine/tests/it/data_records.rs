//! The records that leave: `BudgetState`, `CircuitState`, `BudgetAlert` (DESIGN 4, 5).

use bursar_engine::alert::AlertType;
use bursar_engine::budget::{Budget, Counted, Status};
use bursar_engine::ids::BudgetId;
use bursar_engine::policy::{Limit, Policy};
use bursar_engine::ratio::Ratio;
use bursar_engine::records::{BreakerState, BudgetAlert, BudgetState, CircuitState};
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{from_str, json, to_string, to_value};

use crate::support::{START, bid};

fn budget(max: Limit, tokens: u64, micro_usd: u64) -> Budget {
    let mut budget = Budget::new(bid("session:s1"), max, &Policy::default(), "main".to_owned(), START);
    budget.used = Counted { micro_tokens: tokens * 1_000_000, micro_usd, estimated: 0 };
    budget
}

#[test]
fn utilization_is_the_greater_share_and_remaining_is_never_negative() {
    // limit in tokens, in micro-dollars; used of each; utilization in millionths, tokens remaining, dollars decide
    let rows = [
        (500_000, 0, 0, 0, 0, 500_000, false),
        (500_000, 0, 250_000, 0, 500_000, 250_000, false),
        (500_000, 0, 499_999, 0, 999_998, 1, false),
        (500_000, 0, 500_000, 0, 1_000_000, 0, false),
        (500_000, 0, 600_000, 0, 1_200_000, 0, false),
        // No limit: no share, nothing remaining to speak of.
        (0, 0, 0, 0, 0, 0, false),
        (0, 0, 123_456, 789, 0, 0, false),
        // Dollars alone.
        (0, 2_000_000, 9_000, 0, 0, 0, false),
        (0, 2_000_000, 9_000, 1_000_000, 500_000, 0, true),
        (0, 2_000_000, 9_000, 2_000_000, 1_000_000, 0, true),
        (0, 2_000_000, 9_000, 2_400_000, 1_200_000, 0, true),
        // The greater of both.
        (100_000, 2_000_000, 80_000, 500_000, 800_000, 20_000, false),
        (100_000, 2_000_000, 25_000, 1_000_000, 500_000, 75_000, true),
        (100_000, 2_000_000, 120_000, 2_200_000, 1_200_000, 0, false),
        (100_000, 2_000_000, 50_000, 1_000_000, 500_000, 50_000, false),
    ];
    for (tokens, micro_usd, used, cost, share, remaining, by_cost) in rows {
        let budget = budget(Limit { tokens, micro_usd }, used, cost);
        let state = BudgetState::of(&budget, "tokens");
        let got = (state.utilization.0, state.remaining, budget.by_cost());
        assert_eq!(got, (share, remaining, by_cost), "{used} of {tokens}, {cost} of {micro_usd}");
    }
}

#[test]
fn a_budgets_record_has_every_field() {
    let mut budget = budget(Limit { tokens: 1_000, micro_usd: 4_000 }, 900, 2_000);
    budget.id = bid("task:port-parser");
    budget.status = Status::Warning;
    budget.alert_threshold = Ratio(750_000);
    budget.last_updated = START.plus_ms(1_500);
    budget.task_description = Some("implement".to_owned());
    let expected = json!({
        "budget_id": "task:port-parser", "budget_type": "task",
        "max_tokens": 1_000, "tokens_used": 900, "max_micro_usd": 4_000, "micro_usd_used": 2_000,
        "alert_threshold": 0.75, "status": "warning",
        "started_at": "2026-11-24T16:00:00.000Z", "last_updated": "2026-11-24T16:00:01.500Z",
        "agent": "main", "task_description": "implement",
        "utilization": 0.9, "remaining": 100, "unit": "tokens, cache reads free",
        "cost_estimated": false, "lower_bound": false,
    });
    let state = BudgetState::of(&budget, &Policy::default().weights.unit());
    assert_eq!(to_value(state).unwrap(), expected);
}

#[test]
fn a_budgets_type_is_its_kind_and_task_for_a_subagent() {
    let rows = [
        ("session:a", "session"),
        ("agent:a", "task"),
        ("task:a", "task"),
        ("project:a", "project"),
        ("host:a", "host"),
        ("fleet:a", "fleet"),
    ];
    for (id, budget_type) in rows {
        let budget = Budget::new(bid(id), Limit::default(), &Policy::default(), String::new(), START);
        assert_eq!(BudgetState::of(&budget, "").budget_type, budget_type, "{id}");
    }
}

#[test]
fn a_circuits_record_is_written_in_each_state() {
    for (state, word) in [
        (BreakerState::Closed, "closed"),
        (BreakerState::Open, "open"),
        (BreakerState::HalfOpen, "half_open"),
    ] {
        let open = state == BreakerState::Open;
        let circuit = CircuitState {
            circuit_id: "agent:a1".to_owned(),
            state,
            iteration_count: 12,
            max_iterations: 1_000,
            duplicate_call_count: 5,
            duplicate_threshold: 5,
            last_tool_call: Some("9f86d081".to_owned()),
            trip_reason: open.then(|| "The same call 5 times.".to_owned()),
            tripped_at: open.then(|| START.to_string()),
            last_updated: START.to_string(),
            agent: "Explore".to_owned(),
        };
        let expected = json!({
            "circuit_id": "agent:a1", "state": word,
            "iteration_count": 12, "max_iterations": 1_000,
            "duplicate_call_count": 5, "duplicate_threshold": 5, "last_tool_call": "9f86d081",
            "trip_reason": open.then_some("The same call 5 times."),
            "tripped_at": open.then_some("2026-11-24T16:00:00.000Z"),
            "last_updated": "2026-11-24T16:00:00.000Z", "agent": "Explore",
        });
        assert_eq!(to_value(&circuit).unwrap(), expected);
        assert_eq!(from_str::<CircuitState>(&to_string(&circuit).unwrap()).unwrap(), circuit);
    }
}

#[test]
fn an_alert_is_written_for_each_type() {
    for (alert_type, word) in [
        (AlertType::WarningThreshold, "warning_threshold"),
        (AlertType::BudgetExhausted, "budget_exhausted"),
        (AlertType::CircuitTripped, "circuit_tripped"),
        (AlertType::TooManyUnattended, "too_many_unattended"),
        (AlertType::PassphraseReset, "passphrase_reset"),
        (AlertType::UnknownModel, "unknown_model"),
    ] {
        let alert = BudgetAlert {
            alert_id: "7".to_owned(),
            budget_id: bid("session:s1"),
            alert_type,
            message: "session:s1 has used 402,000 of 500,000 tokens.".to_owned(),
            utilization: Ratio(804_000),
            timestamp: START.to_string(),
            acknowledged: false,
            agent: "main".to_owned(),
        };
        let expected = json!({
            "alert_id": "7", "budget_id": "session:s1", "alert_type": word,
            "message": "session:s1 has used 402,000 of 500,000 tokens.", "utilization": 0.804,
            "timestamp": "2026-11-24T16:00:00.000Z", "acknowledged": false, "agent": "main",
        });
        assert_eq!(to_value(alert).unwrap(), expected);
    }
}

#[test]
fn what_is_no_share_no_status_and_no_type_is_refused() {
    for text in ["-0.1", "1e9", "\"0.8\"", "null"] {
        assert!(from_str::<Ratio>(text).is_err(), "{text}");
    }
    assert!(from_str::<Status>("\"Active\"").is_err());
    assert!(from_str::<BreakerState>("\"half-open\"").is_err());
    assert!(from_str::<AlertType>("\"warning\"").is_err());
}

fn any_status() -> impl Strategy<Value = Status> {
    prop_oneof![Just(Status::Active), Just(Status::Warning), Just(Status::Paused), Just(Status::Exhausted)]
}

fn any_budget_id() -> impl Strategy<Value = BudgetId> {
    ("(session|agent|task|project|host|fleet)", "[a-zA-Z0-9_:-][a-zA-Z0-9._:-]{0,127}")
        .prop_map(|(kind, name)| bid(&format!("{kind}:{name}")))
}

fn any_share() -> impl Strategy<Value = Ratio> {
    prop_oneof![any::<u32>(), 0_u32..2_000_000].prop_map(Ratio)
}

prop_compose! {
    fn any_budget_state()(
        ids in (any_budget_id(), ".*"),
        amounts in any::<(u64, u64, u64, u64, u64)>(),
        shares in (any_share(), any_share()),
        status in any_status(),
        texts in (".*", ".*", ".*", any::<Option<String>>(), ".*"),
    ) -> BudgetState {
        BudgetState {
            budget_id: ids.0, budget_type: ids.1,
            max_tokens: amounts.0, tokens_used: amounts.1, max_micro_usd: amounts.2, micro_usd_used: amounts.3,
            alert_threshold: shares.0, status,
            started_at: texts.0, last_updated: texts.1, agent: texts.2, task_description: texts.3,
            utilization: shares.1, remaining: amounts.4, unit: texts.4, cost_estimated: amounts.0 % 2 == 0,
            lower_bound: amounts.1 % 2 == 0,
        }
    }
}

prop_compose! {
    fn any_circuit_state()(
        state in prop_oneof![Just(BreakerState::Closed), Just(BreakerState::Open), Just(BreakerState::HalfOpen)],
        counts in any::<(u64, u64, u64, u64)>(),
        maybe in any::<(Option<String>, Option<String>, Option<String>)>(),
        texts in (".*", ".*", ".*"),
    ) -> CircuitState {
        CircuitState {
            circuit_id: texts.0, state,
            iteration_count: counts.0, max_iterations: counts.1,
            duplicate_call_count: counts.2, duplicate_threshold: counts.3,
            last_tool_call: maybe.0, trip_reason: maybe.1, tripped_at: maybe.2,
            last_updated: texts.1, agent: texts.2,
        }
    }
}

prop_compose! {
    fn any_budget_alert()(
        budget_id in any_budget_id(),
        alert_type in prop_oneof![
            Just(AlertType::WarningThreshold), Just(AlertType::BudgetExhausted),
            Just(AlertType::CircuitTripped), Just(AlertType::TooManyUnattended),
        ],
        utilization in any_share(),
        acknowledged in any::<bool>(),
        texts in (".*", ".*", ".*", ".*"),
    ) -> BudgetAlert {
        BudgetAlert {
            alert_id: texts.0, budget_id, alert_type, message: texts.1, utilization,
            timestamp: texts.2, acknowledged, agent: texts.3,
        }
    }
}

fn round_trips<T>(record: &T) -> Result<(), TestCaseError>
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let text = to_string(record).unwrap();
    let back: T = from_str(&text).map_err(|e| TestCaseError::fail(format!("{e} in {text}")))?;
    prop_assert_eq!(&back, record);
    prop_assert_eq!(to_string(&back).unwrap(), text);
    Ok(())
}

proptest! {
    #[test]
    fn budgets_round_trip_through_json(record in any_budget_state()) {
        round_trips(&record)?;
    }

    #[test]
    fn circuits_round_trip_through_json(record in any_circuit_state()) {
        round_trips(&record)?;
    }

    #[test]
    fn alerts_round_trip_through_json(record in any_budget_alert()) {
        round_trips(&record)?;
    }

    #[test]
    fn the_record_of_any_budget_round_trips(
        limit in (0_u64..10, 0_u64..10),
        used in any::<(u64, u64)>(),
        status in any_status(),
    ) {
        let mut budget = budget(Limit { tokens: limit.0, micro_usd: limit.1 }, 0, 0);
        budget.used = Counted { micro_tokens: used.0, micro_usd: used.1, estimated: used.0 % 3 };
        budget.status = status;
        round_trips(&BudgetState::of(&budget, "tokens"))?;
        round_trips(&budget)?;
    }
}
