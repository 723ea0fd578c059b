//! What Claude Code tells its status line program, as far as it matters here: parsed once, by the program itself.

use serde::{Deserialize, Serialize};

use crate::hook_input::valid_id;
use crate::json;

/// More than any session has cost, in dollars: a greater number is none.
const MAX_USD: f64 = 1e9;

/// The client's word on its session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusLine {
    /// The session, checked by [`valid_id`].
    pub session_id: String,
    /// What the client has counted on it in all, background requests included, in micro-dollars at list prices.
    pub micro_usd: Option<u64>,
    /// The plan's five-hour window, where the user is on a plan.
    pub five_hour: Option<PlanWindow>,
    /// The plan's seven-day window.
    pub seven_day: Option<PlanWindow>,
}

/// How much of a plan's window is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanWindow {
    /// The share that is used, in millionths; over a million where more than the plan's is.
    pub used_millionths: u32,
    /// When it begins anew, in seconds since 1970.
    pub resets_at: Option<u64>,
}

#[derive(Deserialize)]
struct Raw {
    session_id: Option<String>,
    cost: Option<serde_json::Value>,
    rate_limits: Option<serde_json::Value>,
}

impl StatusLine {
    /// Reads the JSON that the client writes; none where it names no session. What has another shape counts as absent.
    pub fn parse(text: &str) -> Option<Self> {
        let raw: Raw = json::read(text)?;
        let session_id = raw.session_id.filter(|id| valid_id(id))?;
        let usd = raw.cost.as_ref().and_then(|cost| cost.get("total_cost_usd")?.as_f64());
        let window = |name: &str| window(raw.rate_limits.as_ref()?.get(name)?);
        Some(Self {
            session_id,
            micro_usd: usd.and_then(micro_usd),
            five_hour: window("five_hour"),
            seven_day: window("seven_day"),
        })
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
fn micro_usd(usd: f64) -> Option<u64> {
    (0.0..=MAX_USD).contains(&usd).then(|| (usd * 1e6).round() as u64)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
fn window(raw: &serde_json::Value) -> Option<PlanWindow> {
    let percent = raw.get("used_percentage")?.as_f64().filter(|p| (0.0..=1_000.0).contains(p))?;
    let resets_at = raw.get("resets_at").and_then(serde_json::Value::as_u64);
    Some(PlanWindow { used_millionths: (percent * 10_000.0).round() as u32, resets_at })
}

#[cfg(test)]
mod tests {
    use super::{PlanWindow, StatusLine};

    #[test]
    fn what_the_client_says_is_read() {
        let text = r#"{"session_id":"s1","cost":{"total_cost_usd":0.047268,"total_duration_ms":1},"context_window":{"x":1},
            "rate_limits":{"five_hour":{"used_percentage":42.5,"resets_at":1795455222},"seven_day":{"used_percentage":7}},"new":[]}"#;
        let window = |used_millionths, resets_at| Some(PlanWindow { used_millionths, resets_at });
        let said = StatusLine {
            session_id: "s1".to_owned(),
            micro_usd: Some(47_268),
            five_hour: window(425_000, Some(1_795_455_222)),
            seven_day: window(70_000, None),
        };
        assert_eq!(StatusLine::parse(text), Some(said));
    }

    #[test]
    fn what_has_another_shape_counts_as_absent() {
        for odd in [
            r#""cost":3"#,
            r#""cost":{"total_cost_usd":-1},"rate_limits":null"#,
            r#""cost":{"total_cost_usd":1e300},"rate_limits":{"five_hour":{"used_percentage":-3}}"#,
            r#""cost":{"total_cost_usd":"1"},"rate_limits":{"five_hour":7}"#,
            r#""x":"\ud83d""#,
        ] {
            let said = StatusLine::parse(&format!(r#"{{"session_id":"s1",{odd}}}"#)).expect(odd);
            assert_eq!((said.micro_usd, said.five_hour, said.seven_day), (None, None, None), "{odd}");
        }
        for none in ["", "{}", "[]", r#"{"session_id":"../x"}"#, r#"{"session_id":3}"#, "nonsense"] {
            assert_eq!(StatusLine::parse(none), None, "{none}");
        }
    }
}
