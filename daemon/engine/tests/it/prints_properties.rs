//! Properties of prints, over JSON of any shape.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bursar_engine::print::{Print, call, error, id, outcome};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Value, json};

/// JSON without bookkeeping at its top, whose strings are not numeric.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-4_i64..4).prop_map(Value::from),
        "[a-c]{0,3}".prop_map(Value::from),
        "\\PC{0,6}".prop_filter("numeric", |s| s.parse::<f64>().is_err()).prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map("[a-c]{0,2}", inner, 0..4).prop_map(|fields| json!(fields)),
        ]
    })
}

/// The same value, each object's keys written backwards.
fn backwards(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let sorted: BTreeMap<_, _> = fields.iter().collect();
            let parts: Vec<_> =
                sorted.iter().rev().map(|(k, v)| format!("{} : {}", json!(k), backwards(v))).collect();
            format!("{{ {} }}", parts.join(" , "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(backwards).collect::<Vec<_>>().join(",\n")),
        other => other.to_string(),
    }
}

fn print(value: &Value) -> Print {
    call("T", Some(&json!({ "v": value }).to_string()))
}

/// What looks ahead or back without bound takes more than a minute for one of these, what does not a tenth of a second.
#[test]
fn no_text_takes_long() {
    let pieces = [
        "1",
        "1 ",
        "1:",
        "1.1",
        "10:20:",
        "1,000",
        ",000",
        ",000a",
        "9h8m7s6ms",
        "2026-01-01-",
        "Jan 1 ",
        "Mon, ",
        "pid::",
        "[1] 1",
        "requestId=",
        "0x7f",
        "ab12",
        "/tmp/",
        "/",
        "file:///",
        "\u{1b}",
        "\u{1b}[",
        "\u{1b}]",
        "\u{1b}]a\u{7}",
        "é",
        "_",
        "\\",
    ];
    for piece in pieces {
        let text = json!(piece.repeat(240 * 1024 / piece.len())).to_string();
        let start = Instant::now();
        let print = outcome(true, Some(&text));
        let took = start.elapsed();
        assert!(took < Duration::from_secs(10), "{piece:?}: {took:?}");
        assert_ne!(print, call("T", Some(&text)));
    }
}

proptest! {
    #[test]
    fn the_order_of_keys_never_matters(value in value()) {
        let (one, other) = (value.to_string(), backwards(&value));
        prop_assert_eq!(call("T", Some(&one)), call("T", Some(&other)));
        prop_assert_eq!(outcome(true, Some(&one)), outcome(true, Some(&other)));
    }

    #[test]
    fn other_values_have_other_prints(a in value(), b in value()) {
        prop_assert_eq!(print(&a) == print(&b), a == b);
    }

    #[test]
    fn one_change_changes_the_print(a in value(), b in value(), c in value()) {
        prop_assert_eq!(print(&json!([a, b])) == print(&json!([b, a])), a == b);
        prop_assert_ne!(print(&json!([a, b, c])), print(&json!([a, [b, c]])));
        prop_assert_ne!(print(&json!([a, b])), print(&json!({ "0": a, "1": b })));
    }

    #[test]
    fn a_number_and_its_digits_are_one(n in any::<i64>(), fraction in 0_u32..1_000_000, zeros in 0_usize..4) {
        let zeros = "0".repeat(zeros);
        let (plain, exact) = (format!("{n}"), format!("{n}.{fraction:06}{zeros}"));
        let prints = |text: &str| (call("T", Some(&format!("[{text}]"))), call("T", Some(&format!("[\"{text}\"]"))));
        prop_assert_eq!(prints(&plain).0, prints(&plain).1);
        prop_assert_eq!(prints(&exact).0, prints(&exact).1);
        prop_assert_eq!(prints(&plain).0 == prints(&exact).1, fraction == 0);
        prop_assert_ne!(prints(&plain).0, prints(&format!("0{plain}")).1);
    }

    #[test]
    fn floating_point_numbers_that_differ_stay_different(x in any::<f64>().prop_filter("finite", |x| x.is_finite())) {
        let next = f64::from_bits(x.to_bits() ^ 1);
        let print = |x: f64| call("T", Some(&format!("[{}]", json!(x))));
        prop_assert_ne!(print(x), print(next));
    }

    #[test]
    fn no_text_makes_a_panic(text in ".{0,60}", json in "[\\[\\]{}\",:0-9eE.+\\- a\\\\u]{0,40}") {
        for text in [&text, &json] {
            prop_assert_eq!(call(text, Some(text)), call(text, Some(text)));
            prop_assert_ne!(outcome(true, Some(text)), outcome(false, Some(text)));
            prop_assert_eq!(error("T", text), error("T", text));
            prop_assert_ne!(id(text), call(text, None));
        }
    }

    #[test]
    fn how_long_it_took_never_matters_and_how_many_do(
        count in 0_u32..100_000, other in 0_u32..100_000, whole in 0_u32..5_000, cents in 0_u32..100,
    ) {
        let text = |n: u32, time: &str| outcome(true, Some(&json!(format!("{n} passed in {time}")).to_string()));
        prop_assert_eq!(text(count, "0.51s"), text(count, &format!("{whole}.{cents:02}s")));
        prop_assert_eq!(text(count, "0.51s") == text(other, "0.51s"), count == other);
    }
}
