//! Names that others choose, and shares.

use bursar_engine::ids::{AgentKey, BudgetId, MAX_NAME_BYTES, SessionId, is_name, to_name};
use bursar_engine::ratio::Ratio;
use bursar_engine::time::Timestamp;
use proptest::prelude::*;
use serde_json::{from_str, from_value, json, to_string, to_value};

use crate::support::{bid, sid};

#[test]
fn budget_ids_of_all_six_kinds_parse_and_print() {
    let rows = [
        ("session:4f2c-9", BudgetId::Session(sid("4f2c-9"))),
        ("agent:a1b2", BudgetId::Agent("a1b2".to_owned())),
        ("task:port-parser", BudgetId::Task("port-parser".to_owned())),
        ("project:bursar", BudgetId::Project("bursar".to_owned())),
        ("host:build.example", BudgetId::Host("build.example".to_owned())),
        ("fleet:ci", BudgetId::Fleet("ci".to_owned())),
        // Only the first colon divides.
        ("task:epic:7", BudgetId::Task("epic:7".to_owned())),
    ];
    for (text, id) in rows {
        assert_eq!(bid(text), id);
        assert_eq!(id.to_string(), text);
        assert_eq!(format!("{}:{}", id.kind(), id.name()), text);
        assert_eq!(to_value(&id).unwrap(), json!(text));
        assert_eq!(from_value::<BudgetId>(json!(text)).unwrap(), id);
    }
}

#[test]
fn what_is_no_budget_id_is_refused_everywhere() {
    let long = format!("session:{}", "x".repeat(MAX_NAME_BYTES + 1));
    let bad = [
        "",
        "session",
        "session:",
        ":x",
        "Session:x",
        "circuit:x",
        " session:x",
        "session: x",
        "session:a/b",
        "session:../x",
        "session:.x",
        "task:a b",
        "task:ä",
        "task:a\n",
        "task:a\"b",
        long.as_str(),
    ];
    for text in bad {
        let error = text.parse::<BudgetId>().unwrap_err();
        assert!(error.to_string().contains("is not a budget id"), "{error}");
        assert!(from_value::<BudgetId>(json!(text)).is_err(), "{text:?} in JSON");
    }
    assert!(format!("session:{}", "x".repeat(MAX_NAME_BYTES)).parse::<BudgetId>().is_ok());
}

#[test]
fn a_session_is_named_like_nothing_that_leads_out_of_a_folder() {
    for text in ["", ".", "..", ".hidden", "a/b", "a b", "a\0b", "é"] {
        assert!(SessionId::new(text).is_err(), "{text:?}");
        assert!(from_value::<SessionId>(json!(text)).is_err(), "{text:?} in JSON");
    }
    assert_eq!(SessionId::new("01JC.a_b-c:d").unwrap().as_str(), "01JC.a_b-c:d");
}

#[test]
fn an_agent_is_main_or_a_subagent() {
    assert_eq!(AgentKey::new(None).unwrap(), AgentKey::Main);
    assert_eq!(AgentKey::new(Some("main")).unwrap(), AgentKey::Main);
    let sub = AgentKey::new(Some("a1")).unwrap();
    assert_eq!((sub.sub(), sub.as_str(), AgentKey::Main.as_str()), (Some("a1"), "a1", "main"));
    assert!(AgentKey::new(Some("")).is_err());
    for key in [AgentKey::Main, sub] {
        assert_eq!(from_str::<AgentKey>(&to_string(&key).unwrap()).unwrap(), key);
    }
}

#[test]
fn a_name_is_made_of_any_text() {
    let long = "y".repeat(MAX_NAME_BYTES + 50);
    let rows = [
        ("port-parser", "port-parser"),
        ("fix the build", "fix-the-build"),
        ("../../etc", "-.-..-etc"),
        ("", "unnamed"),
        (long.as_str(), &long[..MAX_NAME_BYTES]),
    ];
    for (text, name) in rows {
        assert_eq!(to_name(text), name);
    }
}

#[test]
fn a_share_is_reached_exactly() {
    // share in millionths, used, limit, reached
    let rows = [
        (800_000, 399_999, 500_000, false),
        (800_000, 400_000, 500_000, true),
        (1, 0, u64::MAX, false),
        (1_000_000, u64::MAX - 1, u64::MAX, false),
        (1_000_000, u64::MAX, u64::MAX, true),
        // A third of three is one; a millionth less than a third is too.
        (333_333, 1, 3, true),
        (333_334, 1, 3, false),
    ];
    for (share, used, limit, reached) in rows {
        assert_eq!(Ratio(share).reached(used, limit), reached, "{share} of {limit} at {used}");
    }
}

#[test]
fn time_is_never_negative_and_never_wraps() {
    assert_eq!(Timestamp(5).since(Timestamp(9)), 0);
    assert_eq!(Timestamp(9).since(Timestamp(5)), 4);
    assert_eq!(Timestamp(u64::MAX).plus_ms(1), Timestamp(u64::MAX));
}

proptest! {
    #[test]
    fn what_parses_as_a_budget_id_prints_the_same(text in "(session|agent|task|host|x):[a-z.: ]{0,9}|.{0,20}") {
        if let Ok(id) = text.parse::<BudgetId>() {
            prop_assert_eq!(id.to_string(), text);
        }
    }

    #[test]
    fn a_name_made_of_any_text_is_one_and_stays(text in ".{0,200}") {
        let name = to_name(&text);
        prop_assert!(is_name(&name), "{name:?}");
        prop_assert_eq!(to_name(&name), name);
    }

    #[test]
    fn a_share_survives_json_to_the_millionth(millionths in any::<u32>()) {
        let text = to_string(&Ratio(millionths)).unwrap();
        prop_assert_eq!(from_str::<Ratio>(&text).ok(), Some(Ratio(millionths)), "{}", text);
    }
}
