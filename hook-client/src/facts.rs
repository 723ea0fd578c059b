//! What the client's environment says, forwarded as facts. They attribute; faking one only tightens.

use bursar_protocol::cut;
use bursar_protocol::message::HookFrame;

use crate::args::Args;

/// The longest value that is forwarded, in bytes.
const MAX_VALUE_BYTES: usize = 1_024;

/// The frame of a payload.
pub(crate) fn frame(args: &Args, payload: &[u8]) -> HookFrame {
    let (cut, payload) = cut::cut(payload);
    HookFrame {
        event: args.event.clone(),
        timeout_s: args.timeout_s,
        attended: var("CLAUDE_CODE_SESSION_ATTENDED").as_deref() != Some("0"),
        ci: var("CI").is_some(),
        project_dir: var("CLAUDE_PROJECT_DIR"),
        client_pid: var("CLAUDE_PID").and_then(|pid| pid.parse().ok()),
        task_id: var("BURSAR_TASK_ID"),
        task_type: var("BURSAR_TASK_TYPE"),
        agent: var("BURSAR_AGENT"),
        cut,
        payload: payload.into_owned(),
    }
}

fn var(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| (1..=MAX_VALUE_BYTES).contains(&value.len()))
}
