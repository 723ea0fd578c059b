//! `bursar audit`: who did what, and what was refused.

use bursar_protocol::answer::dollars;
use bursar_protocol::message::Query;
use bursar_protocol::paths::Paths;

use super::client;
use super::output::{Failure, Output, Tone, ago, short};
use crate::view::{AuditList, AuditView};

pub(super) fn run(paths: &Paths, limit: u32, output: &Output) -> Result<(), Failure> {
    let (list, json): (AuditList, _) = client::query(paths, Query::Audit { limit })?;
    if output.json(&json) {
        return Ok(());
    }
    if list.acts.is_empty() {
        output.line("Nobody has acted yet.");
        return Ok(());
    }
    let row = |act: &AuditView| {
        let tokens = (act.tokens > 0).then(|| format!("+{}", short(act.tokens)));
        let usd = (act.micro_usd > 0).then(|| format!("+{}", dollars(act.micro_usd)));
        let given = tokens.into_iter().chain(usd).collect::<Vec<_>>().join(" ");
        let came_to = match &act.refused {
            None => (Tone::Plain, act.reason.clone()),
            Some(why) => (Tone::Warn, why.clone()),
        };
        vec![
            (Tone::Dim, ago(&act.at)),
            (Tone::Plain, act.who.clone()),
            (Tone::Plain, act.act.clone()),
            (Tone::Plain, act.target.clone()),
            (Tone::Plain, given),
            (Tone::Plain, if act.refused.is_some() { "refused" } else { "done" }.to_owned()),
            came_to,
        ]
    };
    let rows: Vec<_> = list.acts.iter().map(row).collect();
    output.table(&["when", "who", "act", "on", "given", "", "why"], &[4], &rows);
    Ok(())
}
