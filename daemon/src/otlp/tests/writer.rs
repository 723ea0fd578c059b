//! Writes records in both encodings.

use serde_json::{Value, json};

/// An attribute's value, as a test writes it.
#[derive(Debug, Clone)]
pub(super) enum Any {
    Text(String),
    Int(i64),
    Double(f64),
    Bool(bool),
    List(Vec<i64>),
}

impl Any {
    pub(super) fn json(&self) -> Value {
        match self {
            Self::Text(text) => json!({ "stringValue": text }),
            // As the encoding of protobuf in JSON has it.
            Self::Int(n) if n % 2 == 0 => json!({ "intValue": n.to_string() }),
            Self::Int(n) => json!({ "intValue": n }),
            Self::Double(d) => json!({ "doubleValue": d }),
            Self::Bool(b) => json!({ "boolValue": b }),
            Self::List(items) => {
                let values: Vec<_> = items.iter().map(|n| Self::Int(*n).json()).collect();
                json!({ "arrayValue": { "values": values } })
            }
        }
    }

    pub(super) fn protobuf(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => bytes(1, text.as_bytes()),
            Self::Int(n) => varint_field(3, n.cast_unsigned()),
            Self::Double(d) => [varint(4 << 3 | 1), d.to_le_bytes().to_vec()].concat(),
            Self::Bool(b) => varint_field(2, u64::from(*b)),
            Self::List(items) => {
                let values: Vec<u8> =
                    items.iter().flat_map(|n| bytes(1, &Self::Int(*n).protobuf())).collect();
                bytes(5, &values)
            }
        }
    }
}

fn varint(mut n: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while n >= 0x80 {
        out.push(u8::try_from(n & 0x7f).unwrap_or(0) | 0x80);
        n >>= 7;
    }
    out.push(u8::try_from(n).unwrap_or(0));
    out
}

fn varint_field(number: u64, value: u64) -> Vec<u8> {
    [varint(number << 3), varint(value)].concat()
}

pub(super) fn bytes(number: u64, value: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(value.len() as u64), value.to_vec()].concat()
}

/// A record, as a test writes it.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) nanos: u64,
    pub(super) body: Option<Any>,
    pub(super) attributes: Vec<(String, Any)>,
}

impl Record {
    pub(super) fn json(&self) -> Value {
        let attributes: Vec<_> =
            self.attributes.iter().map(|(k, v)| json!({ "value": v.json(), "key": k })).collect();
        let mut record =
            json!({ "attributes": attributes, "timeUnixNano": self.nanos.to_string(), "flags": 1 });
        if let Some(body) = &self.body {
            record["body"] = body.json();
        }
        record
    }

    pub(super) fn protobuf(&self) -> Vec<u8> {
        let mut out = [varint(1 << 3 | 1), self.nanos.to_le_bytes().to_vec()].concat();
        // A field that no version has yet, and one of each kind that is passed over.
        out.extend(varint_field(99, 7));
        out.extend([varint(8 << 3 | 5), vec![1, 2, 3, 4], bytes(9, b"trace")].concat());
        for (key, value) in &self.attributes {
            let pair = [bytes(1, key.as_bytes()), bytes(2, &value.protobuf())].concat();
            out.extend(bytes(6, &pair));
        }
        out.extend(self.body.iter().flat_map(|body| bytes(5, &body.protobuf())));
        out
    }
}

pub(super) fn as_json(records: &[Record]) -> Vec<u8> {
    let records: Vec<_> = records.iter().map(Record::json).collect();
    let scope = json!({ "scope": { "name": "x" }, "logRecords": records });
    json!({ "more": [], "resourceLogs": [{ "resource": {}, "scopeLogs": [scope, {}] }, {}] })
        .to_string()
        .into_bytes()
}

pub(super) fn as_protobuf(records: &[Record]) -> Vec<u8> {
    let records: Vec<u8> = records.iter().flat_map(|r| bytes(2, &r.protobuf())).collect();
    let scope = [bytes(1, &bytes(1, b"x")), records].concat();
    [bytes(1, &[bytes(1, b""), bytes(2, &scope), bytes(2, b"")].concat()), bytes(1, b"")].concat()
}
