//! JSON as the client writes it. JavaScript cuts strings between the halves of a surrogate pair and writes the half as
//! an escape; Rust's strings cannot hold it. What an agent makes the client write must not become unreadable here.

use serde::de::DeserializeOwned;

/// Reads a value; a half of a surrogate pair counts as U+FFFD. None for what is no such value, or nested too deep.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_str(text).ok().or_else(|| serde_json::from_str(&mended(text)?).ok())
}

/// The text with U+FFFD for each half of a pair that stands alone; none where there is no such half.
fn mended(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(step) = text.get(at..)?.find('\\') {
        let escape = at + step;
        at = escape + 2;
        let Some(unit) = unit_at(text, escape) else { continue };
        at = escape + UNIT_BYTES;
        let is_pair = (0xD800..0xDC00).contains(&unit)
            && unit_at(text, at).is_some_and(|next| (0xDC00..0xE000).contains(&next));
        if is_pair {
            at += UNIT_BYTES;
        } else if (0xD800..0xE000).contains(&unit) {
            out.push_str(&text[copied..escape]);
            out.push_str("\\ufffd");
            copied = at;
        }
    }
    (copied > 0).then(|| out + &text[copied..])
}

/// The length of `\uXXXX`.
const UNIT_BYTES: usize = 6;

/// The UTF-16 unit of the `\uXXXX` that stands there, if one does.
fn unit_at(text: &str, at: usize) -> Option<u16> {
    u16::from_str_radix(text.get(at..at + UNIT_BYTES)?.strip_prefix("\\u")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::{mended, read};

    #[test]
    fn a_half_of_a_pair_becomes_a_replacement_and_all_else_stays() {
        for (text, wanted) in [
            (r#""\ud83d""#, Some("\u{FFFD}")),
            (r#""a\udc00b""#, Some("a\u{FFFD}b")),
            (r#""\ud83d\ud83d\ude00""#, Some("\u{FFFD}\u{1F600}")),
            (r#""\ud83d\n\uDE00""#, Some("\u{FFFD}\n\u{FFFD}")),
            (r#""\ud83d\ude00""#, Some("\u{1F600}")),
            (r#""\\ud83d \\\ud83d""#, Some("\\ud83d \\\u{FFFD}")),
            (r#""ä\ud83dä""#, Some("ä\u{FFFD}ä")),
            (r#""\ud83""#, None),
            (r#""\ud83d"#, None),
            (r#""\"#, None),
            ("", None),
        ] {
            assert_eq!(read::<String>(text).as_deref(), wanted, "{text}");
        }
        assert_eq!(mended(r#""\ud83d\ude00 \u00e4 \\""#), None);
    }
}
