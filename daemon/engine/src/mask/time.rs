//! Points in time, and spans by the clock, as tools print them. Not `10:20` alone: that is as often a line and a column, and
//! a finding that moves is progress.

use super::is_mark;
use super::scan::Scan;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const ZONES: [&str; 16] = [
    "UTC", "GMT", "CET", "CEST", "EST", "EDT", "CST", "CDT", "MST", "MDT", "PST", "PDT", "BST", "IST", "JST",
    "Z",
];

/// A date, with the time of day if one follows.
pub(super) fn date(scan: &mut Scan<'_>) -> Option<()> {
    scan.maybe(|s| {
        name(s, &WEEKDAYS)?;
        s.maybe(|s| s.literal(","));
        s.literal(" ")
    });
    let kinds = [iso, compact, numeric, day_first, month_first];
    kinds.iter().find_map(|kind| scan.maybe(*kind))?;
    scan.end()
}

/// `2026-01-01`, `2026/01/01T10:00:00.5Z`.
fn iso(s: &mut Scan<'_>) -> Option<()> {
    year(s)?;
    let between = s.one_of(b"-/")?;
    s.number((1, 2), 1, 12)?;
    s.one_of(&[between])?;
    s.number((1, 2), 1, 31)?;
    time_after(s);
    Some(())
}

/// `20260101T100000Z`.
fn compact(s: &mut Scan<'_>) -> Option<()> {
    s.digits(8, 8)?;
    s.literal("T")?;
    s.digits(6, 6)?;
    fraction(s);
    s.maybe(zone);
    Some(())
}

/// `01/31/2026`, `31.1.2026`.
fn numeric(s: &mut Scan<'_>) -> Option<()> {
    s.number((1, 2), 1, 31)?;
    let between = s.one_of(b"-/.")?;
    s.number((1, 2), 1, 31)?;
    s.one_of(&[between])?;
    year(s)?;
    time_after(s);
    Some(())
}

/// `1 Jan 2026`, `01/Jan/2026:10:00:00 +0000`.
fn day_first(s: &mut Scan<'_>) -> Option<()> {
    s.number((1, 2), 1, 31)?;
    let between = s.one_of(b" -/")?;
    name(s, &MONTHS)?;
    s.one_of(&[between])?;
    year(s)?;
    time_after(s);
    Some(())
}

/// `Jan  1 10:00`, `Jan 1, 2026`, `Jan  1 10:00:00 UTC 2026`. A month and a day alone may be words.
fn month_first(s: &mut Scan<'_>) -> Option<()> {
    name(s, &MONTHS)?;
    s.literal(" ")?;
    s.maybe(|s| s.literal(" "));
    s.number((1, 2), 1, 31)?;
    let late_year = |s: &mut Scan<'_>| {
        s.maybe(|s| s.literal(","));
        s.literal(" ")?;
        s.maybe(|s| s.literal(" "));
        year(s)?;
        s.end()
    };
    if s.maybe(late_year).is_some() {
        time_after(s);
    } else {
        s.literal(" ")?;
        of_day(s)?;
        s.maybe(late_year);
    }
    Some(())
}

fn year(s: &mut Scan<'_>) -> Option<()> {
    s.number((4, 4), 1900, 2199)
}

/// One of these names, in full or its first three letters.
fn name(s: &mut Scan<'_>, names: &[&str]) -> Option<()> {
    // Most words begin no name, and this is all that is looked at of them.
    s.peek().filter(u8::is_ascii_uppercase)?;
    let word = s.run(3, 9, |b| b.is_ascii_alphabetic())?;
    names.iter().any(|n| *n == word || n.get(..3) == Some(word)).then_some(())
}

/// The time of day after a date.
fn time_after(s: &mut Scan<'_>) {
    s.maybe(|s| {
        s.maybe(|s| s.literal(","));
        s.one_of(b"T :_")?;
        of_day(s)
    });
}

/// `10:00`, `10:00:00.5`, `9:30 PM`, `10:00+02:00`: what follows a date needs no seconds.
fn of_day(s: &mut Scan<'_>) -> Option<()> {
    s.number((1, 2), 0, 23)?;
    s.literal(":")?;
    s.number((2, 2), 0, 59)?;
    if s.maybe(seconds).is_some() {
        fraction(s);
    }
    s.maybe(half);
    s.maybe(zone);
    s.end()?;
    no_more_colons(*s)
}

/// A time of day or a span by the clock: with seconds (`1:00:00`), a fraction (`0:01.23`), a half or a zone.
pub(super) fn clock(scan: &mut Scan<'_>) -> Option<()> {
    scan.digits(1, 3)?;
    scan.literal(":")?;
    scan.number((2, 2), 0, 59)?;
    let is_full = scan.maybe(seconds).is_some();
    let is_exact = fraction(scan).is_some();
    let has_half = scan.maybe(half).is_some();
    let has_zone = scan.maybe(zone).is_some();
    (is_full || is_exact || has_half || has_zone).then_some(())?;
    scan.end()?;
    no_more_colons(*scan)
}

/// `0:45` too, where a word before it says that it is a span.
pub(super) fn minutes(scan: &mut Scan<'_>) -> Option<()> {
    if scan.maybe(clock).is_some() {
        return Some(());
    }
    scan.digits(1, 3)?;
    scan.literal(":")?;
    scan.number((2, 2), 0, 59)?;
    scan.end()?;
    no_more_colons(*scan)
}

/// More numbers with colons than a time has are an address of some kind.
fn no_more_colons(mut scan: Scan<'_>) -> Option<()> {
    let goes_on =
        scan.literal(":").is_some() && scan.0.starts_with(|c: char| c.is_ascii_digit() || is_mark(c));
    (!goes_on).then_some(())
}

fn seconds(s: &mut Scan<'_>) -> Option<()> {
    s.literal(":")?;
    s.number((2, 2), 0, 60)
}

/// `.123456`, or `,123` as Python's logs have it; not the beginning of another word.
fn fraction(s: &mut Scan<'_>) -> Option<()> {
    s.maybe(|s| {
        let (min, max) = if s.one_of(b".,")? == b',' { (3, 3) } else { (1, 12) };
        s.digits(min, max)?;
        let ahead = *s;
        let ends = ahead.end().and_then(|()| no_more_colons(ahead));
        ends.or_else(|| half(&mut { ahead })).or_else(|| zone(&mut { ahead }))
    })
}

/// `AM`, ` pm`.
fn half(s: &mut Scan<'_>) -> Option<()> {
    s.maybe(|s| s.literal(" "));
    let word = s.run(2, 2, |b| b.is_ascii_alphabetic())?;
    ["am", "pm"].iter().any(|h| word.eq_ignore_ascii_case(h)).then_some(())?;
    s.end()
}

/// `Z`, ` UTC`, `+02:00`, ` -0500`.
fn zone(s: &mut Scan<'_>) -> Option<()> {
    s.maybe(|s| s.literal(" "));
    if s.one_of(b"+-").is_some() {
        s.number((2, 2), 0, 14)?;
        s.maybe(|s| s.literal(":"));
        s.number((2, 2), 0, 59)?;
        s.end()?;
        return no_more_colons(*s);
    }
    let word = s.run(1, 4, |b| b.is_ascii_uppercase())?;
    ZONES.contains(&word).then_some(())?;
    s.end()
}
