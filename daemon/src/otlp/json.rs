//! OTLP as JSON.

use std::borrow::Cow;
use std::fmt;

use bursar_engine::time::Timestamp;
use serde::de::{Deserialize, Deserializer as _, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::event::{Draft, Scalar};
use super::{Batch, OtlpError};

#[derive(serde::Deserialize)]
struct Request<'a> {
    #[serde(borrow, rename = "resourceLogs")]
    resource_logs: Option<&'a RawValue>,
}

#[derive(serde::Deserialize)]
struct ResourceLogs<'a> {
    #[serde(borrow, rename = "scopeLogs")]
    scope_logs: Option<&'a RawValue>,
}

#[derive(serde::Deserialize)]
struct ScopeLogs<'a> {
    #[serde(borrow, rename = "logRecords")]
    log_records: Option<&'a RawValue>,
}

#[derive(serde::Deserialize)]
struct LogRecord<'a> {
    #[serde(borrow, rename = "timeUnixNano")]
    time: Option<&'a RawValue>,
    #[serde(borrow, rename = "observedTimeUnixNano")]
    observed: Option<&'a RawValue>,
    #[serde(borrow, rename = "eventName")]
    event_name: Option<&'a RawValue>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
    #[serde(borrow)]
    attributes: Option<&'a RawValue>,
}

#[derive(serde::Deserialize)]
struct KeyValue<'a> {
    #[serde(borrow, default)]
    key: Cow<'a, str>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
}

#[derive(serde::Deserialize)]
struct AnyValue<'a> {
    #[serde(borrow, rename = "stringValue")]
    text: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "intValue")]
    int: Option<&'a RawValue>,
    #[serde(borrow, rename = "doubleValue")]
    double: Option<&'a RawValue>,
}

/// Reads a batch; `now` dates what has no date that can be believed.
///
/// # Errors
/// [`OtlpError`]. A record that alone cannot be used is counted instead.
pub fn read(body: &[u8], now: Timestamp) -> Result<Batch, OtlpError> {
    let text = std::str::from_utf8(body).map_err(|e| OtlpError::Malformed(e.to_string()))?;
    let mut batch = Batch::default();
    let request: Request<'_> = parse(text)?;
    each(request.resource_logs, |resource| {
        each(parse::<ResourceLogs<'_>>(resource.get())?.scope_logs, |scope| {
            each(parse::<ScopeLogs<'_>>(scope.get())?.log_records, |record| {
                batch.admit()?;
                batch.add(draft(record).ok(), now);
                Ok(())
            })
        })
    })?;
    Ok(batch)
}

/// Reads an object; a list would do for serde too.
fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, OtlpError> {
    if !text.trim_start().starts_with('{') {
        return Err(OtlpError::Malformed("an object is missing".to_owned()));
    }
    serde_json::from_str(text).map_err(|e| OtlpError::Malformed(e.to_string()))
}

fn draft(record: &RawValue) -> Result<Draft<'_>, OtlpError> {
    let record: LogRecord<'_> = parse(record.get())?;
    let mut draft = Draft::default();
    draft.time = record.time.and_then(quoted_or_not);
    draft.observed = record.observed.and_then(quoted_or_not);
    draft.body = record.body.map(scalar);
    draft.event_name = record.event_name.map(|name| {
        serde_json::from_str(name.get()).map_or(Scalar::Other, |name| Scalar::Text(Cow::Owned(name)))
    });
    each(record.attributes, |attribute| {
        let KeyValue { key, value } = parse(attribute.get())?;
        if let Some(slot) = draft.slot(&key) {
            *slot = value.map(scalar);
        }
        Ok(())
    })?;
    Ok(draft)
}

fn scalar(value: &RawValue) -> Scalar<'_> {
    let Ok(value) = parse::<AnyValue<'_>>(value.get()) else { return Scalar::Other };
    match value {
        AnyValue { text: Some(text), .. } => Scalar::Text(text),
        AnyValue { int: Some(int), .. } => quoted_or_not(int).map_or(Scalar::Other, Scalar::Int),
        AnyValue { double: Some(double), .. } => quoted_or_not(double).map_or(Scalar::Other, Scalar::Double),
        AnyValue { text: None, int: None, double: None } => Scalar::Other,
    }
}

/// Numbers of 64 bits are text in this encoding, and plain numbers in that of JavaScript.
fn quoted_or_not<T: std::str::FromStr>(raw: &RawValue) -> Option<T> {
    let text = raw.get();
    text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text).parse().ok()
}

/// Does something with each item of a list, one by one, so that the list is never in memory.
fn each<'a>(
    list: Option<&'a RawValue>,
    mut f: impl FnMut(&'a RawValue) -> Result<(), OtlpError>,
) -> Result<(), OtlpError> {
    struct Items<'e, F>(F, &'e mut Option<OtlpError>);
    impl<'de, F: FnMut(&'de RawValue) -> Result<(), OtlpError>> Visitor<'de> for Items<'_, F> {
        type Value = ();
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }
        fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
            while let Some(item) = seq.next_element()? {
                if let Err(e) = (self.0)(item) {
                    *self.1 = Some(e);
                    return Err(A::Error::custom("given up"));
                }
            }
            Ok(())
        }
    }
    let Some(list) = list else { return Ok(()) };
    let mut failed = None;
    let mut reader = serde_json::Deserializer::from_str(list.get());
    let read = reader.deserialize_seq(Items(&mut f, &mut failed));
    read.map_err(|e| failed.unwrap_or_else(|| OtlpError::Malformed(e.to_string())))
}
