//! What happened in a session, read from its transcript: calls, what came of them, prompts and compactions, as the hooks
//! told of them or would have.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bursar_engine::time::Timestamp;
use bursar_protocol::hook_input::valid_id;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Happening, Made, What};
use crate::transcript::timestamp;

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    subtype: Cow<'a, str>,
    #[serde(borrow)]
    timestamp: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "isMeta")]
    is_meta: Option<&'a RawValue>,
    #[serde(borrow, rename = "isCompactSummary")]
    is_summary: Option<&'a RawValue>,
    #[serde(borrow, rename = "agentId")]
    agent_id: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "compactMetadata")]
    compact: Option<Compact<'a>>,
    #[serde(borrow, rename = "toolUseResult")]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<Message<'a>>,
}

#[derive(Deserialize)]
struct Compact<'a> {
    #[serde(borrow, default)]
    trigger: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_use_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
    is_error: Option<bool>,
}

/// Who hears of what happened.
type Tell<'a> = &'a mut dyn FnMut(Happening);

/// Reads transcripts line by line and tells of what happened, in the order in which it happened.
#[derive(Debug, Default)]
pub struct Reader {
    /// By agent, the message whose calls are under way.
    messages: BTreeMap<Option<String>, Open>,
    last: Timestamp,
}

#[derive(Debug, Default)]
struct Open {
    id: Option<String>,
    /// Calls that have not ended.
    made: Vec<Made>,
    /// Those that have.
    ended: Vec<(Made, Box<RawValue>)>,
}

/// What begins the result of a call that the client refused to make.
const REFUSED_CALL: &str = "<tool_use_error>";

impl Reader {
    /// Tells of a line of the file of `agent`, the main agent's where it is none. Lines that are not known are passed over.
    pub fn line(&mut self, line: &str, agent: Option<&str>, tell: Tell<'_>) {
        let Ok(raw) = serde_json::from_str::<Raw<'_>>(line) else { return };
        let agent = agent.or(raw.agent_id.as_deref()).filter(|id| valid_id(id)).map(str::to_owned);
        let at = raw.timestamp.as_deref().and_then(timestamp).unwrap_or(self.last);
        // A clock that was set back makes nothing happen earlier.
        self.last = self.last.max(at);
        let at = self.last;
        match (raw.kind.as_ref(), raw.subtype.as_ref()) {
            ("assistant", _) => self.assistant(&raw, agent.as_ref(), at, tell),
            ("user", _) => self.user(&raw, agent.as_ref(), at, tell),
            ("system", "compact_boundary") => {
                let by_itself = raw.compact.as_ref().is_none_or(|compact| compact.trigger != "manual");
                self.message_over(agent.as_ref(), at, tell);
                tell(Happening { at, agent, what: What::Compacts { by_itself } });
            }
            _ => {}
        }
    }

    /// Whether calls are under way.
    pub fn has_open_calls(&self) -> bool {
        self.messages.values().any(|open| !open.made.is_empty())
    }

    /// All lines have been read.
    pub fn end(&mut self, tell: Tell<'_>) {
        let agents: Vec<_> = self.messages.keys().cloned().collect();
        for agent in agents {
            self.message_over(agent.as_ref(), self.last, tell);
        }
    }

    fn assistant(&mut self, raw: &Raw<'_>, agent: Option<&String>, at: Timestamp, tell: Tell<'_>) {
        let Some(message) = &raw.message else { return };
        let id = message.id.as_deref().map(str::to_owned);
        let is_another = |open: &Open| id.is_none() || open.id != id;
        if self.messages.get(&agent.cloned()).is_some_and(is_another) {
            self.message_over(agent, at, tell);
        }
        for block in blocks(message.content) {
            let (Some(id), Some(name)) = (&block.id, &block.name) else { continue };
            if block.kind != "tool_use" || !valid_id(id) {
                continue;
            }
            let input = block.input.map_or_else(|| RawValue::NULL.to_owned(), ToOwned::to_owned);
            let made = Made { id: id.clone().into_owned(), tool: name.clone().into_owned(), input };
            let open = self.messages.entry(agent.cloned()).or_default();
            open.id = message.id.as_deref().map(str::to_owned);
            open.made.push(made.clone());
            tell(Happening { at, agent: agent.cloned(), what: What::Begins(made) });
        }
    }

    fn user(&mut self, raw: &Raw<'_>, agent: Option<&String>, at: Timestamp, tell: Tell<'_>) {
        let Some(content) = raw.message.as_ref().and_then(|message| message.content) else { return };
        let is = |flag: Option<&RawValue>| flag.is_some_and(|flag| flag.get() == "true");
        if !content.get().starts_with('[') {
            let text = serde_json::from_str::<Cow<'_, str>>(content.get()).unwrap_or_default();
            if agent.is_none() && !is(raw.is_meta) && !is(raw.is_summary) {
                self.prompt(&text, at, tell);
            }
            return;
        }
        let blocks = blocks(Some(content));
        let results = blocks.iter().filter(|block| block.kind == "tool_result").count();
        for block in &blocks {
            match block.kind.as_ref() {
                "tool_result" => {
                    let result = raw.result.filter(|_| results == 1);
                    self.result(block, result, agent, at, tell);
                }
                "text" if agent.is_none() && results == 0 && !is(raw.is_meta) => {
                    self.prompt(block.text.as_deref().unwrap_or_default(), at, tell);
                    return;
                }
                _ => {}
            }
        }
    }

    /// Words of a person, as far as they are: what the client writes in their place is passed over.
    fn prompt(&mut self, text: &str, at: Timestamp, tell: Tell<'_>) {
        let is_notification = text.starts_with("<task-notification>");
        let is_command = text.starts_with("<command-message>");
        let is_clients = text.starts_with('<') && !is_command || text.starts_with("[Request interrupted");
        if is_clients && !is_notification {
            return;
        }
        self.message_over(None, at, tell);
        tell(Happening { at, agent: None, what: What::Prompt { human: !is_notification } });
    }

    /// A call has ended. What the client hands to its hooks stands beside what the model reads, where it succeeded.
    fn result(
        &mut self,
        block: &Block<'_>,
        result: Option<&RawValue>,
        agent: Option<&String>,
        at: Timestamp,
        tell: Tell<'_>,
    ) {
        let Some(open) = self.messages.get_mut(&agent.cloned()) else { return };
        let Some(place) = open.made.iter().position(|m| Some(m.id.as_str()) == block.tool_use_id.as_deref())
        else {
            return;
        };
        let made = open.made.remove(place);
        let read = block.content.map_or_else(|| RawValue::NULL.to_owned(), ToOwned::to_owned);
        let ok = block.is_error != Some(true);
        let response =
            if ok { result.filter(|r| r.get().starts_with('{')).map(ToOwned::to_owned) } else { None };
        let response = response.unwrap_or_else(|| read.clone());
        let text = serde_json::from_str::<Cow<'_, str>>(read.get()).unwrap_or_default();
        let ran =
            ok || !(text.starts_with(REFUSED_CALL) || bursar_engine::print::is_refusal(Some(read.get())));
        open.ended.push((made.clone(), read));
        if ran {
            tell(Happening { at, agent: agent.cloned(), what: What::Ends { made, ok, response } });
        }
    }

    fn message_over(&mut self, agent: Option<&String>, at: Timestamp, tell: Tell<'_>) {
        let open = self.messages.remove(&agent.cloned()).unwrap_or_default();
        if !open.ended.is_empty() {
            tell(Happening { at, agent: agent.cloned(), what: What::Message(open.ended) });
        }
    }
}

/// The blocks of a message. One that is not as it should be is passed over.
fn blocks(content: Option<&RawValue>) -> Vec<Block<'_>> {
    let blocks: Vec<&RawValue> = content.and_then(|c| serde_json::from_str(c.get()).ok()).unwrap_or_default();
    blocks.into_iter().filter_map(|block| serde_json::from_str(block.get()).ok()).collect()
}
