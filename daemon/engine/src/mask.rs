//! Masking what differs each time although nothing else does: times, spans, ids, addresses, process numbers, temporary
//! paths. Small numbers stay: "9 failed" and then "8 failed" is progress.
//!
//! **Architecture invariant.** Linear in the text's length, whatever the text: one way through it, and at each word a
//! bounded look ahead. Masking what is masked changes nothing.

mod name;
mod scan;
mod span;
mod time;

use std::borrow::Cow;

use name::Label;
use scan::{Scan, is_word};

/// Stand for what was masked: private to us, so that no ordinary text looks masked.
const TIME: char = '\u{E000}';
const SPAN: char = '\u{E001}';
const ID: char = '\u{E002}';
const ADDRESS: char = '\u{E003}';
const PID: char = '\u{E004}';
const PATH: char = '\u{E005}';
const NUMBER: char = '\u{E006}';

/// Whether a key of an object names an id that is another each time.
pub(crate) fn is_id_label(key: &str) -> bool {
    name::ID_LABELS.contains(&key)
}

/// Whether a key of an object only says how long something took.
pub(crate) fn is_amount_label(key: &str) -> bool {
    name::is_amount(key.as_bytes())
}

fn is_mark(c: char) -> bool {
    (TIME..=NUMBER).contains(&c)
}

/// What happens to numbers of four and more digits that are nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LongNumbers {
    /// They stay: a size that grows is progress.
    Kept,
    /// They go: in the text of an error they are ids, offsets and ports.
    Masked,
}

/// The text without what differs each time.
pub(crate) fn masked(text: &str, numbers: LongNumbers) -> String {
    let text = without_escapes(text);
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    let mut last = None;
    while let Some(next) = rest.chars().next() {
        let before = &text[..text.len() - rest.len()];
        let found = if last.is_some_and(is_word) { None } else { token(before, next, rest, numbers) };
        let length = if let Some(token) = found {
            out.push_str(&rest[..token.kept]);
            out.push(token.mark);
            token.length
        } else {
            // A word without a token has none inside either, and what stands between words begins none but paths.
            let word = if is_word(next) { scan::word(rest) } else { next.len_utf8() };
            let length = word + scan::between(&rest[word..]);
            out.push_str(&rest[..length]);
            length
        };
        last = rest[..length].chars().next_back();
        rest = &rest[length..];
    }
    out
}

/// What gets a mark.
struct Token {
    /// Its length, in bytes.
    length: usize,
    /// How much of its beginning stays.
    kept: usize,
    mark: char,
}

/// Finds the end of what it knows.
type Rule = fn(&mut Scan<'_>) -> Option<()>;

/// What a word may begin.
const AT_WORDS: [(Rule, char); 4] =
    [(name::uuid, ID), (name::prefixed_id, ID), (name::hex_id, ID), (name::cell, ID)];

/// What a number may begin besides.
const AT_NUMBERS: [(Rule, char); 4] =
    [(name::address, ADDRESS), (span::duration, SPAN), (span::rate, SPAN), (span::epoch, TIME)];

/// The token that begins here, where no word goes on.
fn token(before: &str, next: char, rest: &str, numbers: LongNumbers) -> Option<Token> {
    if next == '/' {
        // Not the end of another path, unless that is the one of `file:///tmp/x`.
        let begins = !before.ends_with(name::is_path) || before.ends_with("://");
        return if begins { take(rest, 0, name::temporary_path, PATH) } else { None };
    }
    if !next.is_ascii_alphanumeric() {
        return None;
    }
    if let Some(id) = first(rest, &AT_WORDS) {
        return Some(id);
    }
    // The later parts of `1.2.3s` and `a.rs:10:20:30` are no times: what came before belongs to them.
    let goes_on =
        before.strip_suffix('.').is_some_and(|b| b.ends_with(|c: char| c.is_ascii_digit() || is_mark(c)));
    let date = || take(rest, 0, time::date, TIME);
    if next.is_ascii_digit() {
        let clock = || take(rest, 0, time::clock, TIME).filter(|_| !before.ends_with(':'));
        let timed = || date().or_else(clock).or_else(|| first(rest, &AT_NUMBERS));
        let found = if goes_on { None } else { timed() };
        let long = || take(rest, 0, span::long_number, NUMBER).filter(|_| numbers == LongNumbers::Masked);
        return found.or_else(long);
    }
    date().or_else(|| {
        let mut scan = Scan(rest);
        let label = name::label(&mut scan)?;
        let kept = rest.len() - scan.0.len();
        match label {
            Label::Id => take(rest, kept, name::labelled_id, ID),
            Label::Pid => take(rest, kept, name::pid, PID),
            Label::Span => take(rest, kept, time::minutes, SPAN),
            Label::Amount => {
                take(rest, kept, time::minutes, SPAN).or_else(|| take(rest, kept, name::amount, SPAN))
            }
            Label::Epoch => take(rest, kept, name::epoch, TIME),
        }
    })
}

fn first(rest: &str, rules: &[(Rule, char)]) -> Option<Token> {
    rules.iter().find_map(|(rule, mark)| take(rest, 0, *rule, *mark))
}

fn take(rest: &str, kept: usize, rule: Rule, mark: char) -> Option<Token> {
    let mut scan = Scan(rest.get(kept..)?);
    rule(&mut scan)?;
    Some(Token { length: rest.len() - scan.0.len(), kept, mark })
}

/// The text without the sequences that move a terminal's cursor and change its colours.
fn without_escapes(text: &str) -> Cow<'_, str> {
    if !text.contains(ESCAPE) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut parts = text.split(ESCAPE).peekable();
    out.extend(parts.next());
    while let Some(part) = parts.next() {
        out.push_str(&part[escape(part, parts.peek().is_some())..]);
    }
    Cow::Owned(out)
}

const ESCAPE: char = '\u{1B}';

/// How much of the text behind an escape character belongs to it; `more` where another one follows.
fn escape(part: &str, more: bool) -> usize {
    let bytes = part.as_bytes();
    match bytes.first() {
        Some(b'[') => {
            let inside = bytes[1..].iter().take_while(|b| (0x20..=0x3F).contains(*b)).count();
            match bytes.get(1 + inside) {
                Some(0x40..=0x7E) => inside + 2,
                _ => 0,
            }
        }
        // A title or a link ends with a bell or the next escape; an unfinished one hides nothing.
        Some(b']') => {
            let inside = bytes.iter().take_while(|b| !matches!(**b, 0x07 | b'\n')).count();
            match bytes.get(inside) {
                Some(0x07) => inside + 1,
                None if more => inside,
                _ => 0,
            }
        }
        Some(b'(' | b')') if bytes.get(1).is_some_and(u8::is_ascii_graphic) => 2,
        Some(b'\\' | b'=' | b'>' | b'7' | b'8' | b'c' | b'D' | b'E' | b'H' | b'M') => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::{LongNumbers, is_mark, masked};

    /// Pieces of tokens and what stands between them, so that their combinations come up.
    const PIECES: [&str; 76] = [
        " ",
        " ",
        " ",
        ":",
        ":",
        ".",
        ".",
        ",",
        "-",
        "-",
        "/",
        "/",
        "_",
        "=",
        "[",
        "]",
        "(",
        "\n",
        "\"",
        "T",
        "Z",
        "s",
        "m",
        "h",
        "ms",
        "µs",
        "a",
        "x",
        "é",
        "1",
        "9",
        "10",
        "12",
        "59",
        "123",
        "000",
        "2026",
        "20260101",
        "100000",
        "12345",
        "1700000000",
        "1700000000123",
        "1,200",
        "3.21s",
        "1m 02s",
        "10:20",
        "10:20:30",
        "0:45",
        "2026-01-01",
        "Jan",
        "Mon",
        "May 5",
        "PM",
        "UTC",
        "+02:00",
        "MB/s",
        "/s",
        "min",
        "pid ",
        "requestId",
        "took ",
        "msg_",
        "msg_01ab23cd",
        "toolu_",
        "0x",
        "7f3c2a1b4d30",
        "550e8400-e29b-41d4-a716-446655440000",
        "deadbeef",
        "/tmp/",
        "/tmp/a",
        "/var/folders/",
        "file://",
        "\u{1b}",
        "\u{1b}[31m",
        "\u{1b}]0;t\u{7}",
        "\u{e000}",
    ];

    #[test]
    fn what_is_masked_is_seen() {
        let row = |text: &str, wanted: &str| {
            let out = masked(text, LongNumbers::Kept);
            let shown: String = out.chars().map(|c| if is_mark(c) { '~' } else { c }).collect();
            assert_eq!(shown, wanted, "{text:?}");
        };
        row("9 failed, 10 passed in 0.51s", "9 failed, 10 passed in ~");
        row("Mon, 05 Jan 2026 10:00:00 GMT end", "~ end");
        row("[2026-01-01 10:00:00] pid=1000 up", "[~] pid=~ up");
        row("see /tmp/a/b.md: \u{1b}[1mbold\u{1b}[0m", "see ~: bold");
        row("a.rs:10:20 12:30 1.2.3 10.5.0.12 0:45", "a.rs:10:20 12:30 1.2.3 10.5.0.12 0:45");
        row("\u{1b}]0;title\u{7}a \u{1b}]8;;http://x\u{1b}\\b \u{1b}]unfinished", "a b ]unfinished");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]

        #[test]
        fn masking_what_is_masked_changes_nothing(pieces in vec(select(&PIECES[..]), 0..14), other in ".{0,8}") {
            for numbers in [LongNumbers::Kept, LongNumbers::Masked] {
                let once = masked(&(pieces.concat() + &other), numbers);
                prop_assert_eq!(&masked(&once, numbers), &once);
            }
        }
    }
}
