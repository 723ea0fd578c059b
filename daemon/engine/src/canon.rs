//! One form for all JSON that means the same, fed to a hash: key order and the way a number is written are gone.
//!
//! The encoding is tagged and counted, so that nothing of one kind reads as something of another.

use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::mask::{LongNumbers, is_amount_label, is_id_label, masked};

/// The key of the object that stands for a string that was cut (`protocol/src/cut.rs`).
const CUT: &str = "$bursar_cut";

/// The longest number that is read as one. Not over the shortest string that is ever cut: else a numeric string and
/// the same one cut would differ.
const LONGEST_NUMBER_BYTES: usize = 128;

/// Keys that only tell time where a number stands behind them; in lower case, without `_`.
const TIME_KEYS: [&str; 13] = [
    "completedat",
    "createdat",
    "endedat",
    "endtime",
    "fetchedat",
    "finishedat",
    "startedat",
    "starttime",
    "timestamp",
    "timestampms",
    "timestamps",
    "ts",
    "updatedat",
];

/// How strings are taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strings {
    /// As they are; numeric ones as numbers.
    Exact,
    /// Without what differs each time; keys that only tell time are left out.
    Masked,
}

/// Reads JSON, each number as the string of its digits: what a caller sends as `"3"` and what it sends as `3` is then
/// one, and no floating-point number rounds it. None for what is no JSON or nested too deep.
pub(crate) fn read(text: &str) -> Option<Value> {
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    serde_json::from_str(&with_quoted_numbers(text)).ok()
}

/// JSON with quotes around its numbers.
fn with_quoted_numbers(json: &str) -> String {
    let mut out = String::with_capacity(json.len() + json.len() / 8);
    let mut rest = json;
    while let Some(next) = rest.chars().next() {
        let is_number = next == '-' || next.is_ascii_digit();
        let length = match next {
            '"' => string_length(rest),
            _ if is_number => rest.find(|c| !is_of_number(c)).unwrap_or(rest.len()),
            _ => rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit()).unwrap_or(rest.len()),
        };
        let (part, after) = rest.split_at(length);
        let quote = if is_number { "\"" } else { "" };
        out.extend([quote, part, quote]);
        rest = after;
    }
    out
}

fn is_of_number(c: char) -> bool {
    c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E')
}

/// The length of the JSON string at the beginning, with its quotes; all of it where the string has no end.
fn string_length(text: &str) -> usize {
    let mut is_escaped = false;
    let is_end = |(_, b): &(usize, u8)| {
        let ends = *b == b'"' && !is_escaped;
        is_escaped = *b == b'\\' && !is_escaped;
        ends
    };
    text.bytes().enumerate().skip(1).find(is_end).map_or(text.len(), |(at, _)| at + 1)
}

/// A number in the one form that all its writings share, exactly; none for any other text. JSON's grammar, so `007` and
/// `1.2.3` are none, and no zero with an exponent: `0e462097` is the beginning of a hash.
fn decimal(text: &str) -> Option<String> {
    if text.len() > LONGEST_NUMBER_BYTES {
        return None;
    }
    let (sign, rest) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (mantissa, power) = match rest.split_once(['e', 'E']) {
        Some((mantissa, power)) => (mantissa, Some(power.parse::<i32>().ok()?)),
        None => (rest, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (mantissa, ""),
    };
    let is_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let is_whole = whole == "0" || !(whole.is_empty() || whole.starts_with('0'));
    if !is_whole || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let all = format!("{whole}{fraction}");
    let digits = all.trim_end_matches('0');
    let shift = all.len() - digits.len();
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return power.is_none().then(|| "0".to_owned());
    }
    let power =
        i64::from(power.unwrap_or(0)) + i64::try_from(shift).ok()? - i64::try_from(fraction.len()).ok()?;
    Some(format!("{sign}{digits}e{power}"))
}

/// What stands for a cut string: its length and its hash.
fn cut(fields: &Map<String, Value>) -> Option<(u64, u128)> {
    let mark = fields.get(CUT).filter(|_| fields.len() == 1)?;
    let bytes = mark.get("bytes")?.as_str()?.parse().ok()?;
    let hash = mark.get("xxh3_128")?.as_str().filter(|hash| hash.len() == 32)?;
    Some((bytes, u128::from_str_radix(hash, 16).ok()?))
}

/// The beginning of a cut string, where `value` stands for one.
pub(crate) fn head(value: &Value) -> Option<&str> {
    let fields = value.as_object()?;
    cut(fields)?;
    fields.get(CUT)?.get("head")?.as_str()
}

/// Keys of objects whose own `id` is such an id.
const WITH_ID: [&str; 4] = ["message", "request", "call", "run"];

/// Whether a field differs each time though nothing else does: it only tells time, or is the id of a message, a call, a
/// run. `of` is the key of the object that it stands in.
fn is_volatile(of: &str, key: &str, value: &Value) -> bool {
    let Value::String(text) = value else { return false };
    let key: String =
        key.chars().filter(|c| *c != '_' && *c != '-').map(|c| c.to_ascii_lowercase()).collect();
    let tells_time = TIME_KEYS.contains(&key.as_str()) || is_amount_label(&key);
    is_id_label(&key) || (key == "id" && WITH_ID.contains(&of)) || (tells_time && decimal(text).is_some())
}

/// How often JSON is looked for in a text of JSON. An agent chooses the text, and each level may be nested as deep as JSON
/// is read at all: more of them would be a question of the stack.
const MAX_NESTED: u8 = 2;

/// The JSON object or array that a text is, as tools print theirs.
pub(crate) fn nested(text: &str) -> Option<Value> {
    let text = text.trim_ascii();
    let is_one =
        (text.starts_with('{') && text.ends_with('}')) || (text.starts_with('[') && text.ends_with(']'));
    if is_one { read(text) } else { None }
}

/// What is hashed so far.
pub(crate) struct Canon {
    hash: Xxh3,
    strings: Strings,
    /// In so many texts of JSON it is at present.
    nested: u8,
}

impl Canon {
    /// Begins with what kind of thing this is, so that nothing of one kind equals anything of another.
    pub(crate) fn new(kind: &str, strings: Strings) -> Self {
        let mut canon = Self { hash: Xxh3::new(), strings, nested: 0 };
        canon.exact(kind);
        canon
    }

    pub(crate) fn finish(self) -> u64 {
        self.hash.digest()
    }

    /// A string as it is.
    pub(crate) fn exact(&mut self, text: &str) {
        self.hashed(text.len() as u64, xxh3_128(text.as_bytes()));
    }

    /// A string, as this one's strings are taken.
    pub(crate) fn string(&mut self, text: &str) {
        match self.strings {
            Strings::Masked => match Some(text).filter(|_| self.nested < MAX_NESTED).and_then(nested) {
                Some(value) => {
                    self.nested += 1;
                    self.tag(b'j', 0);
                    self.value(&value);
                    self.nested -= 1;
                }
                None => self.exact(&masked(text, LongNumbers::Kept)),
            },
            Strings::Exact => match decimal(text) {
                Some(number) => {
                    self.tag(b'n', number.len() as u64);
                    self.hash.update(number.as_bytes());
                }
                None => self.exact(text),
            },
        }
    }

    /// A value that [`read`] gave.
    pub(crate) fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.tag(b'z', 0),
            Value::Bool(is) => self.tag(b'b', u64::from(*is)),
            Value::Number(number) => self.string(&number.to_string()),
            Value::String(text) => self.string(text),
            Value::Array(items) => {
                self.tag(b'[', items.len() as u64);
                for item in items {
                    self.value(item);
                }
            }
            Value::Object(fields) => self.fields(fields, |_| true),
        }
    }

    /// The value of a field.
    fn field(&mut self, key: &str, value: &Value) {
        self.exact(key);
        match value {
            Value::Object(fields) => self.fields_of(key, fields, |_| true),
            value => self.value(value),
        }
    }

    /// An object's fields, those that `keep` keeps; or the string that it stands for.
    pub(crate) fn fields(&mut self, fields: &Map<String, Value>, keep: impl Fn(&str) -> bool) {
        self.fields_of("", fields, keep);
    }

    fn fields_of(&mut self, of: &str, fields: &Map<String, Value>, keep: impl Fn(&str) -> bool) {
        // Nothing can be masked inside what was cut: its hash is of the whole, and its ends are not the whole.
        if let Some((bytes, hash)) = cut(fields) {
            return self.hashed(bytes, hash);
        }
        let is_kept = |(key, value): &(&String, &Value)| {
            keep(key) && !(self.strings == Strings::Masked && is_volatile(of, key, value))
        };
        let mut kept: Vec<_> = fields.iter().filter(is_kept).collect();
        // Sorted already, unless another crate makes serde_json keep the order.
        kept.sort_unstable_by_key(|(key, _)| *key);
        self.tag(b'{', kept.len() as u64);
        for (key, value) in kept {
            self.field(key, value);
        }
    }

    fn hashed(&mut self, bytes: u64, hash: u128) {
        self.tag(b's', bytes);
        self.hash.update(&hash.to_le_bytes());
    }

    fn tag(&mut self, tag: u8, count: u64) {
        self.hash.update(&[tag]);
        self.hash.update(&count.to_le_bytes());
    }
}
