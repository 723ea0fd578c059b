//! What the client makes of a hook's answer.

use serde_json::Value;

use super::client::Answered;

/// What a hook's answer says, to the model or to the person.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// The model reads this.
    pub(super) text: Option<String>,
    /// The turn ends, and why.
    pub(super) stops: Option<String>,
}

impl Told {
    /// Reads it as the client does; what does not read says nothing.
    pub(super) fn by(answered: &Answered) -> Self {
        let said: Value = serde_json::from_str(&answered.stdout).unwrap_or_default();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let refused = || (answered.exit == Some(2)).then(|| answered.stderr.clone());
        let blocked = || text(&said["reason"]).filter(|_| said["decision"] == "block");
        let stopped = text(&said["stopReason"]).filter(|_| said["continue"] == false);
        Self {
            text: text(&said["hookSpecificOutput"]["additionalContext"]),
            stops: stopped.or_else(blocked).or_else(refused),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Answered, Told};
    use bursar_protocol::answer::{Say, answer};
    use bursar_protocol::hook_input::Event;

    #[test]
    fn every_way_to_say_no_ends_the_turn_and_a_text_does_not() {
        let told = |say: Say<'_>| {
            let said = answer(Event::PostToolBatch, false, say);
            Told::by(&Answered { exit: Some(said.exit.into()), stdout: said.stdout, stderr: said.stderr })
        };
        let no = Some("no".to_owned());
        for say in [Say::Stop("no"), Say::Refuse("no"), Say::Deny("no")] {
            assert_eq!(told(say), Told { text: None, stops: no.clone() }, "{say:?}");
        }
        assert_eq!(told(Say::Text("no")), Told { text: no, stops: None });
        assert_eq!(told(Say::Allow), Told::default());
    }
}
