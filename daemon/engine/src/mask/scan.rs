//! A place in a text, moved on by what is found there. Every look ahead is bounded: an agent chooses the text.

use super::is_mark;

/// What is still to be read. Copied to go back.
#[derive(Clone, Copy)]
pub(super) struct Scan<'a>(pub(super) &'a str);

impl<'a> Scan<'a> {
    /// The next byte.
    pub(super) fn peek(self) -> Option<u8> {
        self.0.as_bytes().first().copied()
    }

    /// The run of bytes of a kind, of `min` to `max` bytes; none if it is shorter or longer. Kinds are ASCII.
    pub(super) fn run(&mut self, min: usize, max: usize, kind: impl Fn(u8) -> bool) -> Option<&'a str> {
        let most = max.saturating_add(1);
        let length = self.0.bytes().take(most).take_while(|b| kind(*b)).count();
        if length < min || length > max {
            return None;
        }
        let (run, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(run)
    }

    /// A run of `min` to `max` digits.
    pub(super) fn digits(&mut self, min: usize, max: usize) -> Option<&'a str> {
        self.run(min, max, |b| b.is_ascii_digit())
    }

    /// Digits whose value lies from `least` to `most`.
    pub(super) fn number(&mut self, (min, max): (usize, usize), least: u32, most: u32) -> Option<()> {
        let value: u32 = self.digits(min, max)?.parse().ok()?;
        (least..=most).contains(&value).then_some(())
    }

    /// Exactly this text.
    pub(super) fn literal(&mut self, text: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(text)?;
        Some(())
    }

    /// One of these characters.
    pub(super) fn one_of(&mut self, chars: &[u8]) -> Option<u8> {
        let next = self.peek().filter(|b| b.is_ascii() && chars.contains(b))?;
        self.0 = self.0.get(1..)?;
        Some(next)
    }

    /// Takes what `part` takes; where it takes nothing, the place stays.
    pub(super) fn maybe<T>(&mut self, part: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let before = *self;
        let taken = part(self);
        if taken.is_none() {
            *self = before;
        }
        taken
    }

    /// A word ends here.
    pub(super) fn end(self) -> Option<()> {
        (!self.0.starts_with(is_word)).then_some(())
    }
}

/// The length of the word that begins here.
pub(super) fn word(text: &str) -> usize {
    let is_plain = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    until(text, is_plain, |c| !is_word(c))
}

/// The length of what stands here before the next word or `/`.
pub(super) fn between(text: &str) -> usize {
    let is_plain = |b: &u8| b.is_ascii() && !b.is_ascii_alphanumeric() && !matches!(b, b'_' | b'/');
    until(text, is_plain, |c| c == '/' || is_word(c))
}

/// How far `ends` is true of no character. `is_plain` is true of ASCII alone, and of what `ends` is not: most text is
/// plain, and bytes are quicker than characters.
fn until(text: &str, is_plain: impl Fn(&u8) -> bool, ends: impl Fn(char) -> bool) -> usize {
    let plain = text.bytes().take_while(|b| is_plain(b)).count();
    plain + text[plain..].find(ends).unwrap_or(text.len() - plain)
}

/// Whether words have this character. A mark counts, as what it stands for did: masking again then finds nothing new.
pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || is_mark(c)
}
