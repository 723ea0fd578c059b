//! Refusals: context for programs, a sentence for people, one shape for both.

use std::error::Error;

use bursar_engine::budget::Status;
use bursar_engine::error::{BudgetExceededError, CircuitOpenError, ErrorBody, OperatorError};
use bursar_engine::hold::Blocker;
use serde_json::{Value, json, to_value};

use crate::support::bid;

fn exceeded() -> BudgetExceededError {
    BudgetExceededError {
        budget_id: bid("session:s1"),
        tokens_used: 512_000,
        max_tokens: 500_000,
        micro_usd_used: 3,
        max_micro_usd: 4,
        status: Status::Paused,
    }
}

fn open() -> CircuitOpenError {
    CircuitOpenError {
        circuit_id: "agent:a1".to_owned(),
        trip_reason: "The same call 5 times.".to_owned(),
        iteration_count: 12,
        max_iterations: 50,
    }
}

#[test]
fn an_exceeded_budget_says_which_how_far_and_where_it_stands() {
    let error = exceeded();
    let expected = json!({
        "error": "budget_exceeded",
        "message": "session:s1 has used 512000 of 500000 tokens and is paused",
        "details": {
            "budget_id": "session:s1", "tokens_used": 512_000, "max_tokens": 500_000,
            "micro_usd_used": 3, "max_micro_usd": 4, "status": "paused",
        },
    });
    assert_eq!(to_value(ErrorBody::from(&error)).unwrap(), expected);
}

#[test]
fn an_open_circuit_says_which_and_why() {
    let expected = json!({
        "error": "circuit_open",
        "message": "circuit agent:a1 is open: The same call 5 times.",
        "details": {
            "circuit_id": "agent:a1", "trip_reason": "The same call 5 times.",
            "iteration_count": 12, "max_iterations": 50,
        },
    });
    assert_eq!(to_value(ErrorBody::from(&open())).unwrap(), expected);
}

#[test]
fn they_are_errors_like_any_other_and_keep_their_context() {
    let errors: [Box<dyn Error + Send + Sync>; 2] = [Box::new(exceeded()), Box::new(open())];
    assert_eq!(errors[0].downcast_ref::<BudgetExceededError>(), Some(&exceeded()));
    assert_eq!(errors[1].downcast_ref::<CircuitOpenError>(), Some(&open()));
    assert!(errors[1].source().is_none());
}

#[test]
fn every_refused_act_has_its_word_its_status_and_its_object() {
    let budget = || bid("task:t1");
    let of_budget = || json!({ "budget_id": "task:t1" });
    let none = || json!({});
    let rows: [(OperatorError, &str, u16, Value, &str); 9] = [
        (OperatorError::NotFound("budget task:t1".to_owned()), "not_found", 404, none(), "task:t1"),
        (OperatorError::NobodyWaits, "nobody_waits", 409, none(), "nobody waits"),
        (
            OperatorError::Several(vec![Blocker::Budget(budget()), Blocker::Budget(bid("session:s1"))]),
            "ambiguous",
            409,
            json!({ "budgets": ["task:t1", "session:s1"], "circuits": [] }),
            "task:t1, session:s1",
        ),
        (OperatorError::NothingGiven, "invalid", 400, none(), "more than 0"),
        (
            OperatorError::NoLimit { budget: budget(), unit: "dollars" },
            "invalid",
            400,
            of_budget(),
            "task:t1 has no limit in dollars",
        ),
        (
            OperatorError::TooMuch { budget: budget(), max: 1_000_000, unit: "tokens" },
            "invalid",
            400,
            of_budget(),
            "at most 1000000 tokens to task:t1",
        ),
        (
            OperatorError::TooMuch { budget: budget(), max: 100_250_000, unit: "micro-dollars" },
            "invalid",
            400,
            of_budget(),
            "at most $100.25 to task:t1",
        ),
        (OperatorError::AlreadyFinishing(budget()), "conflict", 409, of_budget(), "already granted"),
        (OperatorError::Refused("Refused: locked.".to_owned()), "forbidden", 403, none(), "Refused: locked."),
    ];
    for (error, word, status, details, part) in rows {
        let body = ErrorBody::from(&error);
        assert_eq!((body.error, error.status(), &body.details), (word, status, &details));
        assert!(body.message.contains(part), "{} does not say {part:?}", body.message);
    }
}
