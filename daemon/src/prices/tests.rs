use std::path::Path;

use bursar_engine::time::Timestamp;
use bursar_engine::usage::{MAX_TOKENS_PER_REQUEST, Usage};
use proptest::prelude::*;

use super::{BUILT_IN, Cost, Prices, Terms, table};

const NOW: Timestamp = Timestamp(1_795_600_000_000);
const HEADER: &str = "model,input,output,cache_read,cache_write_5m,cache_write_1h";

fn usage(input: u64, output: u64, cached: [u64; 3]) -> Usage {
    Usage { input, output, cache_read: cached[0], cache_write_5m: cached[1], cache_write_1h: cached[2] }
}

fn cost_of(prices: &Prices, model: &str, usage: Usage, terms: Terms) -> (u64, bool) {
    let Cost { micro_usd, estimated } = prices.cost(model, usage, terms, NOW);
    (micro_usd, estimated)
}

fn cost(model: &str, usage: Usage, terms: Terms) -> u64 {
    let (micro_usd, estimated) = cost_of(&Prices::built_in(), model, usage, terms);
    assert!(!estimated, "{model} is known");
    micro_usd
}

fn with(text: &str) -> Result<Prices, String> {
    Prices::with(text, Path::new("/home/me/prices.csv")).map_err(|e| e.to_string())
}

#[test]
fn the_built_in_table_reads_whole() {
    let (rows, bad) = table::rows(BUILT_IN);
    assert_eq!(bad, None);
    assert_eq!(rows.len(), 23);
    assert!(BUILT_IN.starts_with("# List prices in USD per million tokens, measured in November 2026"));
}

#[test]
fn requests_cost_what_the_client_reckons() {
    let (plain, fast) = (Terms::default(), Terms { fast: true, ..Terms::default() });
    let us = Terms { us: true, ..Terms::default() };
    let thousand = usage(1_000, 1_000, [0, 0, 0]);
    for (model, usage, terms, micro_usd) in [
        ("claude-opus-5-5", usage(101, 11, [0, 0, 900]), plain, 7_824),
        ("claude-opus-5-5", usage(3_006, 306, [1_900, 0, 750]), plain, 24_524),
        ("claude-opus-5-5", thousand, fast, 48_000),
        ("claude-opus-4-6", thousand, fast, 180_000),
        ("claude-sonnet-5-5", thousand, fast, 12_000),
        ("claude-opus-5-5", thousand, us, 26_400),
        ("claude-opus-5-5", thousand, Terms { fast: true, us: true, web_searches: 3 }, 82_800),
        ("claude-opus-4-6", thousand, Terms { web_searches: 2, ..plain }, 50_000),
        // Rounded half up, once for the request.
        ("claude-haiku-5-5", usage(0, 1, [0, 0, 0]), plain, 1),
        ("claude-haiku-5-5", usage(0, 1, [99, 0, 0]), plain, 1),
        ("claude-haiku-5-5", usage(0, 1, [100, 0, 0]), plain, 2),
        ("claude-opus-5-5", usage(0, 0, [2, 0, 0]), plain, 0),
        ("claude-opus-5-5", usage(0, 0, [3, 0, 0]), plain, 1),
        // The tier: above, not at; by all that was sent; output too.
        ("claude-haiku-5-5", usage(100_000, 10, [0, 0, 0]), plain, 10_005),
        ("claude-haiku-5-5", usage(1, 10, [100_000, 0, 0]), plain, 5_026),
        ("claude-haiku-5-5", usage(0, 1_000, [0, 60_000, 40_001]), plain, 80_001),
        (
            "claude-haiku-5-5",
            usage(100_001, 10, [0, 0, 0]),
            Terms { fast: true, us: true, web_searches: 1 },
            65_028,
        ),
    ] {
        assert_eq!(cost(model, usage, terms), micro_usd, "{model} {usage:?} {terms:?}");
    }
}

#[test]
fn a_model_is_known_by_every_name_that_the_client_takes() {
    let million = usage(1_000_000, 0, [0, 0, 0]);
    for (name, usd) in [
        ("claude-opus-4-5-20251101", 5),
        ("claude-opus-4-5", 5),
        ("claude-opus-5-5-20260101", 4),
        ("claude-opus-5-5[1m]", 4),
        ("CLAUDE-OPUS-5-5", 4),
        ("us.anthropic.claude-opus-4-5-20251101-v1:0", 5),
        ("anthropic.claude-opus-5-5-v1:0", 4),
        ("bedrock/eu.anthropic.claude-sonnet-4-5-20250929-v1:0", 3),
        ("anthropic/claude-opus-5-5", 4),
        ("claude-opus-4-5@20251101", 5),
        ("claude-sonnet-4-0", 3),
        ("claude-sonnet-4", 3),
        ("claude-opus-4", 15),
    ] {
        assert_eq!(cost(name, million, Terms::default()), usd * 1_000_000, "{name}");
    }
}

#[test]
fn an_unknown_model_is_dear_and_marked() {
    let prices = Prices::built_in();
    let all = Terms { fast: true, us: true, web_searches: 1 };
    for name in ["claude-opus-6", "gpt-5", "unknown", "", "claude-", "-20251101", "claude-opus-5-5-preview"] {
        let (micro_usd, estimated) = cost_of(&prices, name, usage(1_000_000, 0, [0, 0, 0]), Terms::default());
        assert_eq!((micro_usd, estimated), (15_000_000, true), "{name}");
        // Six times the dearest output, in the US.
        let (micro_usd, _) = cost_of(&prices, name, usage(0, 1_000, [0, 0, 0]), all);
        assert_eq!(micro_usd, 75_000 * 66 / 10 + 10_000, "{name}");
    }
}

#[test]
fn an_operators_file_goes_first_and_its_prices_have_dates() {
    let text = format!(
        "# ours\n{HEADER},from\nours/model,1,2,3,4,5,\nclaude-opus-4-5,7,7,7,7,7,\nclaude-opus-5-5,1,1,1,1,1,2026-12-01\n\n"
    );
    let prices = with(&text).unwrap();
    let million = usage(1_000_000, 0, [0, 0, 0]);
    let at = |model: &str, day: &str| {
        let at: jiff::Timestamp = format!("{day}T00:00:00Z").parse().unwrap();
        let at = Timestamp(u64::try_from(at.as_millisecond()).unwrap());
        prices.cost(model, million, Terms::default(), at).micro_usd / 1_000_000
    };
    assert_eq!(cost_of(&prices, "ours/model", million, Terms::default()), (1_000_000, false));
    assert_eq!(at("claude-opus-4-5-20251101", "2026-01-01"), 7);
    assert_eq!((at("claude-opus-5-5", "2026-11-30"), at("claude-opus-5-5", "2026-12-01")), (4, 1));
    // What it does not say of a model that is known stays.
    let fast = Terms { fast: true, ..Terms::default() };
    assert_eq!(prices.cost("claude-opus-5-5", million, fast, Timestamp(u64::MAX)).micro_usd, 2_000_000);
    let dear = with(&format!("{HEADER}\nx,100,1,1,1,1\n")).unwrap();
    // A name that was free of another price is taken: that is cheaper.
    let aliased = with(&format!("{HEADER},client_basis\nx,0,0,0,0,0,claude-opus-4-5")).unwrap();
    assert!(!aliased.is_as_dear_as(&Prices::built_in()));
    assert_eq!(cost_of(&dear, "y", million, Terms::default()), (100_000_000, true));
    for empty in ["", "# nothing\n", HEADER] {
        assert_eq!(with(empty).unwrap(), Prices::built_in());
    }
}

#[test]
fn the_operators_own_price_of_many_requests_knows_no_tier() {
    let many = usage(300_000, 0, [0, 0, 0]);
    assert_eq!(Prices::built_in().own_cost("claude-haiku-5-5", many, NOW), None);
    let prices = with(&format!("{HEADER}\nclaude-haiku-5-5,2,10,0.1,2.5,4")).unwrap();
    assert_eq!(prices.own_cost("claude-haiku-5-5", many, NOW), Some(600_000));
    assert_eq!(prices.own_cost("claude-haiku-5-5[1m]", many, NOW), Some(600_000));
    assert_eq!(prices.own_cost("claude-opus-5-5", many, NOW), None);
}

#[test]
fn a_file_in_one_line_reads_back() {
    let text = format!(
        "{HEADER},above_input_tokens,factor_above,client_basis,from,factor_fast,factor_us,web_search\n\
         a,1,2.5,0.000001,4,5,100,1.5,b,2026-12-01,3,1.25,0.02\nc,1,2,3,4,5,,,,,,,\n"
    );
    let prices = with(&text).unwrap();
    let line = prices.to_line();
    assert_eq!(line, "a,1,2.5,0.000001,4,5,100,1.5,b,2026-12-01,3,1.25,0.02 c,1,2,3,4,5,,,,,,,");
    assert_eq!(Prices::from_line(&line), Ok(prices));
    assert_eq!(Prices::from_line(&Prices::built_in().to_line()), Ok(Prices::built_in()));
    for bad in ["", "x", "a,1,2,3,4,5,,,,,,,  c"] {
        assert!(Prices::from_line(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_bad_line_is_refused_with_file_line_and_reason() {
    for (line, says) in [
        ("x,1,2,3,4", "line 3: it has 5 cells, the first line 6"),
        ("x,-1,2,3,4,5", "line 3: input = \"-1\" must be a price in USD such as 0.25"),
        ("x,1,,3,4,5", "line 3: output = \"\" must be a price"),
        ("x,1,10000.01,3,4,5", "line 3: output = \"10000.01\""),
        ("x,1,1e3,3,4,5", "line 3: output = \"1e3\""),
        (",1,2,3,4,5", "line 3: model = \"\" must be a model's name"),
        ("claude-opus-5-5,1,2,3,4,5\nclaude-opus-5-5,1,2,3,4,5", "line 4: claude-opus-5-5 has a price"),
    ] {
        let error = with(&format!("\n{HEADER}\n{line}\n")).expect_err(line);
        assert!(error.starts_with("/home/me/prices.csv, ") && error.contains(says), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    for (header, says) in [
        ("model,input", "line 1: the first line must name the columns model,input,"),
        (&format!("{HEADER},colour"), "line 1: there is no column \"colour\""),
        (&format!("{HEADER},from,from"), "line 1: the column from stands there twice"),
    ] {
        let error = with(header).expect_err(header);
        assert!(error.contains(says), "{error}");
    }
    for (column, value) in
        [("from", "yesterday"), ("from", "2026-13-01"), ("factor_above", "5"), ("above_input_tokens", "5")]
    {
        assert!(with(&format!("{HEADER},{column}\nx,1,2,3,4,5,{value}")).is_err(), "{column} {value}");
    }
    for value in ["0.5", "0", "101", "1.0001"] {
        assert!(with(&format!("{HEADER},factor_fast\nx,1,2,3,4,5,{value}")).is_err(), "{value}");
    }
}

fn any_model() -> impl Strategy<Value = String> {
    let known: Vec<String> = table::rows(BUILT_IN).0.into_iter().map(|row| row.model).collect();
    prop_oneof![prop::sample::select(known), "[ -~]{0,40}"]
}

/// Small files whose prices are near each other, so that some of them are as dear as others.
fn any_prices() -> impl Strategy<Value = Prices> {
    let model = prop::sample::select(vec!["claude-opus-5-5", "claude-haiku-5-5", "mine", "claude-opus-4-5"]);
    let price = || prop::sample::select(vec!["0", "2", "5", "100"]);
    let rest = prop::sample::select(vec![
        ",,,,,",
        ",,2026-12-01,,,",
        "1000,2,,,,",
        "2000,3,,2,,",
        ",,,9,0.5,",
        ",,,,,claude-sonnet-4-6",
        ",,,,,claude-opus-4-6",
    ]);
    let row = (model, price(), price(), price(), rest).prop_map(|(model, input, output, cached, rest)| {
        (model, format!("{model},{input},{output},{cached},{cached},{cached},{rest}"))
    });
    prop::collection::btree_map(Just(()), row, 0..2).prop_map(|rows| {
        let rows: Vec<String> = rows.into_values().map(|(_, row)| row).collect();
        let more = "above_input_tokens,factor_above,from,factor_fast,web_search,client_basis";
        with(&format!("{HEADER},{more}\n{}", rows.join("\n"))).unwrap()
    })
}

fn any_usage() -> impl Strategy<Value = Usage> {
    let tokens = || prop_oneof![0_u64..1_000, 0_u64..200_000, 0..=MAX_TOKENS_PER_REQUEST];
    (tokens(), tokens(), [tokens(), tokens(), tokens()]).prop_map(|(i, o, cached)| usage(i, o, cached))
}

fn any_terms() -> impl Strategy<Value = Terms> {
    (any::<bool>(), any::<bool>(), any::<u64>()).prop_map(|(fast, us, web_searches)| Terms {
        fast,
        us,
        web_searches,
    })
}

proptest! {
    #[test]
    fn a_cost_grows_with_every_kind_and_is_never_free(
        model in any_model(), one in any_usage(), more in any_usage(), terms in any_terms(),
    ) {
        let prices = Prices::built_in();
        let of = |usage, terms| prices.cost(&model, usage, terms, NOW).micro_usd;
        let base = of(one, terms);
        prop_assert!(of(one.plus(more), terms) >= base);
        for kind in [
            Usage { input: 1, ..Usage::default() },
            Usage { output: 1, ..Usage::default() },
            Usage { cache_read: 1, ..Usage::default() },
            Usage { cache_write_5m: 1, ..Usage::default() },
            Usage { cache_write_1h: 1, ..Usage::default() },
        ] {
            prop_assert!(of(one.plus(kind), terms) >= base);
            // A hundred tokens of the cheapest kind cost something, whoever is asked.
            let hundred = (0..100).fold(Usage::default(), |sum, _| sum.plus(kind));
            prop_assert!(of(hundred, terms) > 0, "{:?}", hundred);
        }
        let unsaid = of(one, Terms::default());
        prop_assert!(unsaid <= base);
        // Nothing is dearer than the dearest.
        prop_assert!(base <= prices.cost("no-such-model", one, terms, NOW).micro_usd);
        let without_searches = of(one, Terms { web_searches: 0, ..terms });
        prop_assert!(without_searches <= prices.most([model.as_str()].into_iter(), one, NOW));
    }

    #[test]
    fn what_is_as_dear_costs_no_less(
        one in any_prices(), other in any_prices(), usage in any_usage(), terms in any_terms(),
        model in prop_oneof![
            prop::sample::select(vec!["mine", "claude-opus-4-5", "claude-haiku-4-5"]).prop_map(str::to_owned),
            any_model()
        ],
        at in prop::sample::select(vec![0, NOW.0, 1_900_000_000_000]),
    ) {
        prop_assert!(one.is_as_dear_as(&one));
        if one.is_as_dear_as(&other) {
            let of = |prices: &Prices| prices.cost(&model, usage, terms, Timestamp(at)).micro_usd;
            prop_assert!(of(&one) >= of(&other), "{} and {}", one.to_line(), other.to_line());
        }
        prop_assert_eq!(Prices::from_line(&one.to_line()), Ok(one));
    }

    #[test]
    fn no_file_makes_it_panic(text in "[a-z0-9,.#\n-]{0,200}", at in any::<u64>()) {
        for text in [text.clone(), format!("{HEADER}\n{text}")] {
            if let Ok(prices) = with(&text) {
                prices.cost("x", usage(1, 2, [3, 4, 5]), Terms::default(), Timestamp(at));
            }
        }
    }
}
