//! Amounts as people write them: `500000`, `100k`, `1.5M`, `$5`.

/// An amount that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an amount; write 500000, 100k or 1.5M")]
pub struct AmountError(pub String);

/// A whole number, with `k` or `M` and up to six decimals; `_` and `,` between digits are passed over.
///
/// # Errors
/// [`AmountError`] for anything else, fractions of one included.
pub fn parse_amount(text: &str) -> Result<u64, AmountError> {
    let bad = || AmountError(text.to_owned());
    let plain: String = text.chars().filter(|c| !matches!(c, '_' | ',')).collect();
    let (digits, factor) = match plain.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1_000),
        None => match plain.strip_suffix(['m', 'M']) {
            Some(digits) => (digits, 1_000_000),
            None => (plain.as_str(), 1),
        },
    };
    let millionths = parse_millionths(digits).ok_or_else(bad)?;
    let exact = millionths.checked_mul(factor).ok_or_else(bad)?;
    if exact % 1_000_000 == 0 { Ok(exact / 1_000_000) } else { Err(bad()) }
}

/// Dollars with up to six decimals, as micro-dollars; a leading `$` is passed over.
///
/// # Errors
/// [`AmountError`].
pub fn parse_dollars(text: &str) -> Result<u64, AmountError> {
    let digits = text.strip_prefix('$').unwrap_or(text);
    parse_millionths(digits).ok_or_else(|| AmountError(text.to_owned()))
}

/// A decimal number with up to six decimals, in millionths.
pub(crate) fn parse_millionths(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(part) || part.len() > 6 {
        return None;
    }
    let fraction: u64 = format!("{part:0<6}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(fraction)
}

/// Millionths as a decimal number, exact.
pub(crate) fn millionths(n: u64) -> String {
    let text = format!("{}.{:06}", n / 1_000_000, n % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::{parse_amount, parse_dollars};

    #[test]
    fn reads_what_people_write() {
        for (text, amount) in
            [("0", 0), ("500000", 500_000), ("100k", 100_000), ("1.5M", 1_500_000), ("1,000", 1_000)]
        {
            assert_eq!(parse_amount(text), Ok(amount), "{text}");
        }
        for text in ["", "-1", "k", "1.5", "1.2345678M", "1e3", "100kk", "99999999999999999999M", " 1"] {
            assert!(parse_amount(text).is_err(), "{text}");
        }
        assert_eq!(parse_dollars("$5"), Ok(5_000_000));
        assert_eq!(parse_dollars("0.25"), Ok(250_000));
    }
}
