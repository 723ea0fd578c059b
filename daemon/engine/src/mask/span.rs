//! Spans of time, rates and clock counts: numbers that say how long, not what.

use super::scan::Scan;

/// Units of spans from the greatest down: alone or glued to their number, and spelled out.
const UNITS: [(&[&str], &[&str]); 8] = [
    (&["w"], &["week", "weeks"]),
    (&["d"], &["day", "days"]),
    (&["h"], &["hr", "hrs", "hour", "hours"]),
    (&["m"], &["min", "mins", "minute", "minutes"]),
    (&[], &["s", "sec", "secs", "second", "seconds"]),
    (&[], &["ms", "msec", "msecs", "millis", "millisecond", "milliseconds"]),
    (&[], &["us", "µs", "μs", "usec", "usecs", "microsecond", "microseconds"]),
    (&[], &["ns", "nsec", "nanos", "nanosecond", "nanoseconds"]),
];

/// `3.21s`, `120 ms`, `1m 02.5s`, `1,200 milliseconds`: one span, whatever its parts.
pub(super) fn duration(scan: &mut Scan<'_>) -> Option<()> {
    let (mut rank, mut glued) = part(scan)?;
    let mut whole = None;
    loop {
        if scan.end().is_some() {
            whole = Some(*scan);
        }
        let more = scan.maybe(|s| {
            if !glued {
                s.literal(" ")?;
            }
            part(s).filter(|(next, _)| *next > rank)
        });
        let Some(next) = more else { break };
        (rank, glued) = next;
    }
    *scan = whole?;
    Some(())
}

/// A number and its unit, as the unit's rank; whether the next part follows without a space.
fn part(scan: &mut Scan<'_>) -> Option<(usize, bool)> {
    amount(scan)?;
    let is_apart = scan.maybe(|s| s.literal(" ")).is_some();
    // µ and μ have two bytes each.
    let is_letter = |b: u8| b.is_ascii_alphabetic() || matches!(b, 0xC2 | 0xB5 | 0xCE | 0xBC);
    let word = scan.run(1, 12, is_letter)?;
    let is_unit = |(short, long): &(&[&str], &[&str])| {
        (!is_apart && short.contains(&word))
            || long.contains(&word)
            || (word.len() > 2 && long.iter().any(|unit| unit.eq_ignore_ascii_case(word)))
    };
    let rank = UNITS.iter().position(is_unit)?;
    let glued = scan.peek().is_some_and(|b| b.is_ascii_digit());
    if !glued {
        scan.end()?;
    }
    Some((rank, glued))
}

/// `12.3 MB/s`, `10it/s`: how fast is how long, turned over.
pub(super) fn rate(scan: &mut Scan<'_>) -> Option<()> {
    amount(scan)?;
    let is_apart = scan.maybe(|s| s.literal(" ")).is_some();
    scan.run(usize::from(is_apart), 6, |b| b.is_ascii_alphabetic())?;
    scan.literal("/")?;
    let word = scan.run(1, 6, |b| b.is_ascii_lowercase())?;
    ["s", "sec", "second", "min"].contains(&word).then_some(())?;
    scan.end()
}

/// A count of seconds since 1970 as programs print it: in milliseconds or finer, or with a fraction. Ten digits alone
/// may be a size, and a size that grows is progress.
pub(super) fn epoch(scan: &mut Scan<'_>) -> Option<()> {
    let digits = scan.digits(10, 19)?;
    let is_our_time = ("15".."22").contains(&digits.get(..2)?);
    let is_exact = match digits.len() {
        10 => scan.literal(".").and_then(|()| scan.digits(1, 9)).is_some(),
        13 | 16 | 19 => true,
        _ => false,
    };
    (is_our_time && is_exact).then_some(())?;
    scan.end()
}

/// `12`, `1,200`, `0.48`.
fn amount(scan: &mut Scan<'_>) -> Option<()> {
    scan.digits(1, 15)?;
    groups(scan, false);
    scan.maybe(|s| {
        s.literal(".")?;
        s.digits(1, 15)
    });
    Some(())
}

/// How many `,000` follow, no word going on behind them if they are to be `whole`. Bounded, or a list of them would be
/// read from each of its places to its end.
fn groups(scan: &mut Scan<'_>, whole: bool) -> usize {
    let group = |s: &mut Scan<'_>| {
        s.literal(",")?;
        s.digits(3, 3)?;
        if whole { s.end() } else { Some(()) }
    };
    (0..5).take_while(|_| scan.maybe(group).is_some()).count()
}

/// A number of four and more digits, with or without commas: ids, offsets and sizes, in the text of an error.
pub(super) fn long_number(scan: &mut Scan<'_>) -> Option<()> {
    let digits = scan.digits(1, usize::MAX)?.len();
    let is_long = digits >= 4 || groups(scan, true) > 0;
    scan.maybe(|s| {
        s.literal(".")?;
        s.digits(1, usize::MAX)?;
        s.end()
    });
    is_long.then_some(())?;
    scan.end()
}
