//! Names that are new every time: ids, addresses, process numbers, temporary paths.

use super::scan::Scan;

/// What ids of messages, calls and requests begin with. A list, since `test_20260101` names something that stays.
const PREFIXES: [&str; 14] = [
    "msg", "toolu", "srvtoolu", "req", "call", "resp", "chatcmpl", "cmpl", "evt", "sess", "session",
    "thread", "trace", "span",
];

/// Words before an id that has no shape of its own, and keys of one, whatever its shape: in lower case, letters alone.
pub(super) const ID_LABELS: [&str; 17] = [
    "requestid",
    "messageid",
    "platformmessageid",
    "callid",
    "toolcallid",
    "runid",
    "eventid",
    "deliveryid",
    "receiptid",
    "fileid",
    "pollid",
    "traceid",
    "spanid",
    "sessionid",
    "agentid",
    "tooluseid",
    "correlationid",
];

/// Words before a process number. A number in brackets alone may as well be an index or a count.
const PID_LABELS: [&str; 4] = ["pid", "ppid", "tid", "pgid"];

/// Words before a span by the clock without seconds' fraction: `ETA 0:45`.
const SPAN_LABELS: [&str; 2] = ["eta", "took"];

/// Words before seconds or milliseconds since 1970.
const EPOCH_LABELS: [&str; 9] = [
    "ts",
    "timestamp",
    "epoch",
    "unixtime",
    "servertime",
    "updatedat",
    "createdat",
    "startedat",
    "checkedat",
];

/// Where temporary files lie.
const TEMPORARY: [&str; 5] =
    ["/tmp/", "/var/tmp/", "/private/tmp/", "/var/folders/", "/private/var/folders/"];

/// Ends of keys of spans: a number behind one says how long something took. In lower case, letters alone.
const AMOUNT_ENDS: [&str; 15] = [
    "duration",
    "elapsed",
    "latency",
    "uptime",
    "walltime",
    "cputime",
    "waittime",
    "totaltime",
    "elapsedtime",
    "responsetime",
    "executiontime",
    "seconds",
    "secs",
    "millis",
    "minutes",
];

/// What stands before `ms` in such a key: `items` and `params` end so too.
const BEFORE_MS: [&str; 7] = ["duration", "elapsed", "latency", "took", "time", "delay", "age"];

/// Whether this is the key of a span.
pub(super) fn is_amount(key: &[u8]) -> bool {
    let ends = |word: &[u8], ends: &[&str]| ends.iter().any(|end| word.ends_with(end.as_bytes()));
    ends(key, &AMOUNT_ENDS) || key.strip_suffix(b"ms").is_some_and(|rest| ends(rest, &BEFORE_MS))
}

/// The longest label, in bytes with what stands between its words.
const LONGEST_LABEL: usize = 24;

/// What a label announces.
pub(super) enum Label {
    Id,
    Pid,
    Span,
    Amount,
    Epoch,
}

/// A word that says what the number or id behind it is, with what stands between them.
pub(super) fn label(scan: &mut Scan<'_>) -> Option<Label> {
    let word = scan.run(2, LONGEST_LABEL, |b| b.is_ascii_alphabetic() || matches!(b, b'_' | b'-'))?;
    let mut letters = [0; LONGEST_LABEL];
    let mut length = 0;
    for (place, letter) in letters.iter_mut().zip(word.bytes().filter(u8::is_ascii_alphabetic)) {
        *place = letter.to_ascii_lowercase();
        length += 1;
    }
    let word = letters.get(..length)?;
    let kinds = [
        (&ID_LABELS[..], Label::Id),
        (&PID_LABELS, Label::Pid),
        (&SPAN_LABELS, Label::Span),
        (&EPOCH_LABELS, Label::Epoch),
    ];
    let known = kinds.into_iter().find(|(words, _)| words.iter().any(|known| known.as_bytes() == word));
    let kind = known.map(|(_, kind)| kind).or_else(|| is_amount(word).then_some(Label::Amount))?;
    scan.run(1, 4, |b| matches!(b, b' ' | b':' | b'=' | b'#' | b'"' | b'\'' | b'('))?;
    Some(kind)
}

/// A process number, where a label says so.
pub(super) fn pid(scan: &mut Scan<'_>) -> Option<()> {
    scan.digits(1, 10)?;
    scan.end()
}

/// A span without a unit, where a label says that it is one.
pub(super) fn amount(scan: &mut Scan<'_>) -> Option<()> {
    scan.digits(1, 12)?;
    scan.maybe(|s| {
        s.literal(".")?;
        s.digits(1, 12)
    });
    scan.end()
}

/// Seconds, or parts of them, since 1970, where a label says so: from 2001 on.
pub(super) fn epoch(scan: &mut Scan<'_>) -> Option<()> {
    scan.digits(10, 19)?;
    scan.end()
}

/// An id of any shape, where a label says so.
pub(super) fn labelled_id(scan: &mut Scan<'_>) -> Option<()> {
    let id = scan.run(2, 128, |b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))?;
    id.bytes().any(|b| b.is_ascii_digit()).then_some(())?;
    scan.end()
}

/// `550e8400-e29b-41d4-a716-446655440000`.
pub(super) fn uuid(scan: &mut Scan<'_>) -> Option<()> {
    for (i, length) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        if i > 0 {
            scan.literal("-")?;
        }
        scan.run(length, length, |b| b.is_ascii_hexdigit())?;
    }
    scan.end()
}

/// `0x7f3c2a1b4d30`. Short ones are flags and offsets; Windows' codes of failure (`0x80070005`, `0xC0000005`) have eight
/// digits and say what went wrong.
pub(super) fn address(scan: &mut Scan<'_>) -> Option<()> {
    scan.literal("0x")?;
    let digits = scan.run(6, 16, |b| b.is_ascii_hexdigit())?;
    let is_code = digits.len() == 8 && digits.starts_with(['8', 'c', 'C']);
    (!is_code).then_some(())?;
    scan.end()
}

/// `toolu_01AbC…`, `chatcmpl-9x…`: a known prefix and at least eight letters and digits.
pub(super) fn prefixed_id(scan: &mut Scan<'_>) -> Option<()> {
    if scan.maybe(short_session).is_some() {
        return Some(());
    }
    let prefix = scan.run(3, 8, |b| b.is_ascii_lowercase())?;
    scan.one_of(b"_-")?;
    PREFIXES.contains(&prefix).then_some(())?;
    let id = scan.run(8, 128, |b| b.is_ascii_alphanumeric() || b == b'_')?;
    id.bytes().any(|b| b.is_ascii_digit()).then_some(())?;
    scan.end()
}

/// `sess-3`: nothing else is called so.
fn short_session(scan: &mut Scan<'_>) -> Option<()> {
    scan.literal("sess")?;
    scan.one_of(b"_-")?;
    scan.digits(1, 10)?;
    scan.end()
}

/// Twelve and more hex digits, letters and numbers mixed: ids of traces, containers, requests. Not those as long as a
/// SHA-1 or SHA-2: a digest says what a content is, and a new one is progress; nor git's short hashes, for the same.
pub(super) fn hex_id(scan: &mut Scan<'_>) -> Option<()> {
    let digits = scan.run(12, 256, |b| b.is_ascii_hexdigit())?;
    let is_digest = matches!(digits.len(), 40 | 56 | 64 | 96 | 128);
    let is_mixed =
        digits.bytes().any(|b| b.is_ascii_digit()) && digits.bytes().any(|b| b.is_ascii_alphabetic());
    (is_mixed && !is_digest).then_some(())?;
    scan.end()
}

/// A path below a place for temporary files, to its end; and where a client keeps a result that was too long, under a
/// name that is another each time.
pub(super) fn temporary_path(scan: &mut Scan<'_>) -> Option<()> {
    let place = TEMPORARY.iter().find_map(|place| scan.maybe(|s| s.literal(place)));
    let length = scan.0.find(|c| !is_path(c)).unwrap_or(scan.0.len());
    let path = scan.0.get(..length).filter(|path| !path.is_empty())?;
    if place.is_none() && !(path.len() <= LONGEST_PATH && path.contains(KEPT_RESULTS)) {
        return None;
    }
    scan.0 = scan.0.get(length..)?;
    Some(())
}

/// The folder where clients keep results that were too long to show.
const KEPT_RESULTS: &str = "/tool-results/";

/// The longest path that is looked through, in bytes.
const LONGEST_PATH: usize = 1_024;

/// `In[5]`, `Out[12]`: cells of a notebook are counted up with each that is run.
pub(super) fn cell(scan: &mut Scan<'_>) -> Option<()> {
    scan.maybe(|s| s.literal("In")).or_else(|| scan.literal("Out"))?;
    scan.maybe(|s| s.literal(" "));
    scan.literal("[")?;
    scan.digits(1, 6)?;
    scan.literal("]")
}

/// Whether a path goes on with this character. What quotes, lists, and ends sentences or lines around paths does not.
pub(super) fn is_path(c: char) -> bool {
    let ends = matches!(
        c,
        '"' | '\''
            | '`'
            | '<'
            | '>'
            | '('
            | ')'
            | '['
            | ']'
            | '{'
            | '}'
            | ','
            | ';'
            | ':'
            | '|'
            | '='
            | '*'
            | '?'
            | '&'
            | '$'
            | '!'
            | '\\'
    );
    !ends && !c.is_whitespace() && !c.is_control()
}
