//! The ids of the tool calls that stand in a message's content.
//!
//! What its blocks hold is never parsed: an agent can make it as deep as it likes, or put half of a surrogate pair into
//! it, and its request still counts.

use std::borrow::Cow;
use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The most tool calls that are taken from one line.
const MAX_CALLS_PER_LINE: usize = 256;

/// The most characters of a call's id.
const MAX_ID_CHARS: usize = 128;

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
}

impl Block<'_> {
    fn call(self) -> Option<String> {
        let id = self.id.filter(|_| self.kind == "tool_use")?;
        Some(id.chars().take(MAX_ID_CHARS).collect())
    }
}

/// The calls of content as clients write it, read on the one way through its line; any other is an error.
pub(super) struct Usual(Vec<String>);

/// The calls of whatever stands there as content: blocks that are none are passed over.
pub(super) struct Any(Vec<String>);

impl From<Usual> for Vec<String> {
    fn from(calls: Usual) -> Self {
        calls.0
    }
}

impl From<Any> for Vec<String> {
    fn from(calls: Any) -> Self {
        calls.0
    }
}

impl<'de> Deserialize<'de> for Usual {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(Blocks)
    }
}

struct Blocks;

impl<'de> Visitor<'de> for Blocks {
    type Value = Usual;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of blocks")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut blocks: A) -> Result<Usual, A::Error> {
        let mut calls = Vec::new();
        while let Some(block) = blocks.next_element::<Block<'de>>()? {
            calls.extend(block.call().filter(|_| calls.len() < MAX_CALLS_PER_LINE));
        }
        Ok(Usual(calls))
    }
}

impl<'de> Deserialize<'de> for Any {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let content = <&RawValue>::deserialize(from)?;
        let blocks: Vec<&RawValue> = serde_json::from_str(content.get()).unwrap_or_default();
        let read = blocks.into_iter().filter_map(|block| serde_json::from_str::<Block<'_>>(block.get()).ok());
        Ok(Self(read.filter_map(Block::call).take(MAX_CALLS_PER_LINE).collect()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::{Any, Usual};

    const BLOCKS: [&str; 9] = [
        r#"{"type":"tool_use","id":"toolu_1","name":"Bash","input":{"id":"x","type":"tool_use"}}"#,
        r#"{"id":"a\n\u00e9b","input":[[{"a":"\ud83d"}]],"type":"tool_use"}"#,
        r#"{"type":"tool_use","id":null}"#,
        r#"{"type":"text","text":"id","id":"t"}"#,
        "{}",
        r#"{"type":"tool_use","type":"text","id":"twice"}"#,
        r#"{"type":3,"id":"x"}"#,
        r#"[{"type":"tool_use","id":"y"}]"#,
        "7",
    ];

    #[test]
    fn what_no_client_writes_hides_no_call() {
        let content = format!("[{}]", BLOCKS.join(","));
        assert!(serde_json::from_str::<Usual>(&content).is_err());
        let Any(calls) = serde_json::from_str(&content).expect("JSON");
        assert_eq!(calls, ["toolu_1", "a\n\u{e9}b"]);
    }

    proptest! {
        #[test]
        fn both_ways_come_to_the_same(blocks in vec(select(&BLOCKS[..5]), 0..300)) {
            let content = format!("[{}]", blocks.join(", "));
            let Usual(one) = serde_json::from_str(&content).expect("usual blocks");
            let Any(other) = serde_json::from_str(&content).expect("JSON");
            prop_assert_eq!(one, other);
        }
    }
}
