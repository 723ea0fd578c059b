//! The names of one model. Providers put regions and makers before it, dates and versions after it; the client prices all
//! of them alike (measured with client 2.1.330), and so do we.

/// The names under which a model may stand in the table, the nearest first.
pub(super) fn names(model: &str) -> Vec<String> {
    let mut names = vec![model.to_owned()];
    let mut add = |name: &str| {
        if !name.is_empty() && !names.iter().any(|n| n == name) {
            names.push(name.to_owned());
        }
    };
    let lower = model.to_ascii_lowercase();
    // `claude-opus-5-5[1m]`: the size of its window.
    let plain = lower.split('[').next().unwrap_or(&lower);
    add(plain);
    // `anthropic/claude-…`, `bedrock/eu.anthropic.claude-…`
    let plain = plain.rsplit('/').next().unwrap_or(plain);
    let plain = plain.rsplit_once("anthropic.").map_or(plain, |(_, name)| name);
    let plain = unversioned(plain);
    add(plain);
    // `claude-opus-4-5@20251101`
    let dashed = plain.replacen('@', "-", 1);
    add(&dashed);
    if let Some(undated) = undated(&dashed) {
        add(undated);
    }
    names
}

/// Without Bedrock's `-v1:0`.
fn unversioned(name: &str) -> &str {
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit() || b == b':');
    match name.rsplit_once("-v") {
        Some((head, version)) if digits(version) => head,
        _ => name,
    }
}

/// Without a date such as `-20251101`; none where there is none.
pub(super) fn undated(name: &str) -> Option<&str> {
    let (head, date) = name.rsplit_once('-')?;
    (date.len() == 8 && date.bytes().all(|b| b.is_ascii_digit())).then_some(head)
}
