//! OTLP as protobuf, read where it stands: field by field, without tables made from its definition and without lists. A
//! usual decoder would build sixty times what a body of empty records holds.

use std::borrow::Cow;

use bursar_engine::time::Timestamp;

use super::event::{Draft, Scalar};
use super::{Batch, OtlpError};

/// Reads a batch; `now` dates what has no date that can be believed.
///
/// # Errors
/// [`OtlpError`]. A record that alone cannot be used is counted instead.
pub fn read(body: &[u8], now: Timestamp) -> Result<Batch, OtlpError> {
    let mut batch = Batch::default();
    for resource in messages(body, 1) {
        for scope in messages(resource?, 2) {
            for record in messages(scope?, 2) {
                batch.admit()?;
                batch.add(draft(record?).ok(), now);
            }
        }
    }
    Ok(batch)
}

fn draft(record: &[u8]) -> Result<Draft<'_>, OtlpError> {
    let mut draft = Draft::default();
    for field in Fields(record) {
        match field? {
            (1, Value::Fixed64(nanos)) => draft.time = Some(nanos),
            (11, Value::Fixed64(nanos)) => draft.observed = Some(nanos),
            (5, Value::Bytes(body)) => draft.body = Some(scalar(body)?),
            (6, Value::Bytes(attribute)) => set(&mut draft, attribute)?,
            (12, Value::Bytes(name)) => draft.event_name = Some(text(name)),
            _ => {}
        }
    }
    Ok(draft)
}

fn set<'a>(draft: &mut Draft<'a>, attribute: &'a [u8]) -> Result<(), OtlpError> {
    let (mut key, mut value) = (&b""[..], None);
    for field in Fields(attribute) {
        match field? {
            (1, Value::Bytes(bytes)) => key = bytes,
            (2, Value::Bytes(bytes)) => value = Some(bytes),
            _ => {}
        }
    }
    // A key that is no text is none of ours.
    if let Ok(key) = std::str::from_utf8(key)
        && let Some(slot) = draft.slot(key)
    {
        *slot = value.map(scalar).transpose()?;
    }
    Ok(())
}

fn scalar(value: &[u8]) -> Result<Scalar<'_>, OtlpError> {
    let mut scalar = Scalar::Other;
    for field in Fields(value) {
        scalar = match field? {
            (1, Value::Bytes(bytes)) => text(bytes),
            (3, Value::Varint(n)) => Scalar::Int(n.cast_signed()),
            (4, Value::Fixed64(bits)) => Scalar::Double(f64::from_bits(bits)),
            _ => Scalar::Other,
        };
    }
    Ok(scalar)
}

fn text(bytes: &[u8]) -> Scalar<'_> {
    std::str::from_utf8(bytes).map_or(Scalar::Other, |text| Scalar::Text(Cow::Borrowed(text)))
}

/// The embedded messages of one field.
fn messages(message: &[u8], wanted: u64) -> impl Iterator<Item = Result<&[u8], OtlpError>> {
    Fields(message).filter_map(move |field| match field {
        Ok((number, Value::Bytes(bytes))) if number == wanted => Some(Ok(bytes)),
        Ok(_) => None,
        Err(e) => Some(Err(e)),
    })
}

enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32,
    Bytes(&'a [u8]),
}

/// The fields of a message, in its order; after an error there are no more.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), OtlpError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or_else(|| OtlpError::Malformed("a field of the protobuf does not read".to_owned())))
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u64, Value<'a>)> {
        let tag = self.varint().filter(|tag| u32::try_from(*tag).is_ok())?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(*self.take(8)?.first_chunk::<8>()?)),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => {
                self.take(4)?;
                Value::Fixed32
            }
            // Groups, which no version of OTLP has, and what does not exist.
            _ => return None,
        };
        let number = tag >> 3;
        (number > 0).then_some((number, value))
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = *self.take(1)? else { return None };
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            if shift == 63 && bits > 1 {
                return None;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}
