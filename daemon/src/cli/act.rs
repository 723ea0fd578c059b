//! What a human does: extend, finish, stop, reset, set.

use bursar_protocol::message::{Amount, OperatorAct};
use bursar_protocol::paths::Paths;
use clap::Args;

use super::output::{Failure, Output, short};
use super::{client, unlock};
use crate::config::{parse_amount, parse_dollars};
use crate::view::ActView;

/// Why, and under which id.
#[derive(Debug, Default, Args)]
pub(super) struct Words {
    /// Why, for the audit
    #[arg(long, default_value = "approved at the terminal")]
    reason: String,
    /// The act's id: the same act under the same id is done once
    #[arg(long)]
    request_id: Option<String>,
}

/// Why, where nothing is approved, and under which id.
#[derive(Debug, Default, Args)]
pub(super) struct PlainWords {
    /// Why, for the audit
    #[arg(long, default_value = "")]
    reason: String,
    /// The act's id: the same act under the same id is done once
    #[arg(long)]
    request_id: Option<String>,
}

impl From<PlainWords> for Words {
    fn from(words: PlainWords) -> Self {
        Self { reason: words.reason, request_id: words.request_id }
    }
}

/// What the operator says to the model.
#[derive(Debug, Default, Args)]
pub(super) struct Voice {
    /// Words for the model that goes on (at most 500 characters)
    #[arg(long, value_name = "TEXT")]
    say: Option<String>,
}

/// `bursar extend [ID] +100k`.
#[derive(Debug, Args)]
pub(super) struct ShortExtend {
    /// [ID] AMOUNT: +100k, 1.5M, 25% or '+$5' (in quotes: an unquoted $5 is the shell's); the id may be left out while one budget holds somebody
    #[arg(required = true, num_args = 1..=2, value_names = ["ID", "AMOUNT"])]
    id_and_amount: Vec<String>,
    #[command(flatten)]
    words: Words,
    #[command(flatten)]
    voice: Voice,
}

/// `bursar budget extend ID --tokens N --reason TEXT`.
#[derive(Debug, Args)]
pub(super) struct LongExtend {
    /// The budget; may be left out while one budget holds somebody
    id: Option<String>,
    /// Tokens to add: 100000, 100k, 1.5M
    #[arg(long)]
    tokens: Option<String>,
    /// Dollars to add, at list prices: 5, 0.25
    #[arg(long)]
    usd: Option<String>,
    #[command(flatten)]
    words: Words,
    #[command(flatten)]
    voice: Voice,
}

/// A budget that may be left out while one holds somebody, and words for the model.
#[derive(Debug, Args)]
pub(super) struct FinishArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    voice: Voice,
}

/// A budget that may be left out while one holds somebody.
#[derive(Debug, Args)]
pub(super) struct Target {
    /// The budget; may be left out while one budget holds somebody
    id: Option<String>,
    #[command(flatten)]
    words: Words,
}

/// A budget that must be named.
#[derive(Debug, Args)]
pub(super) struct NamedTarget {
    /// The budget
    id: String,
    #[command(flatten)]
    words: Words,
}

/// `bursar budget set`.
#[derive(Debug, Args)]
pub(super) struct SetArgs {
    /// The budget
    id: String,
    /// The limit in tokens; 0 means none
    #[arg(long)]
    tokens: Option<String>,
    /// The limit in dollars, at list prices; 0 means none
    #[arg(long)]
    usd: Option<String>,
    /// The share of the limit at which it warns: 0.8
    #[arg(long)]
    alert_threshold: Option<f64>,
    /// Pause it at once
    #[arg(long)]
    shut: bool,
    #[command(flatten)]
    words: Words,
}

pub(super) fn short_extend(paths: &Paths, args: &ShortExtend, output: &Output) -> Result<(), Failure> {
    let (id, amount) = match args.id_and_amount.as_slice() {
        [amount] => (None, amount),
        [id, amount] => (Some(id.as_str()), amount),
        _ => return Err(Failure::wrong_use("give an amount", "For example `bursar extend +100k`.")),
    };
    let amount = written_amount(amount)?;
    let budget_id = whole_id(paths, id)?;
    say(paths, OperatorAct::Extend { budget_id, amount }, &args.words, &args.voice, output)
}

/// `+100k`, `1.5M`, `25%`, `+$5`.
pub(super) fn written_amount(text: &str) -> Result<Amount, Failure> {
    let plain = text.strip_prefix('+').unwrap_or(text);
    if plain.is_empty() {
        let hint = "Write +100k or 25%, and dollars in quotes: '+$5'. Unquoted, $5 is the shell's own.";
        return Err(Failure::wrong_use(&format!("{text:?} is not an amount"), hint));
    }
    if plain.starts_with('$') {
        return Ok(Amount::Exact { tokens: 0, micro_usd: dollars(plain)? });
    }
    if let Some(percent) = plain.strip_suffix('%') {
        let percent = percent.parse().ok().filter(|p| (1..=10_000).contains(p));
        return percent
            .map(Amount::Percent)
            .ok_or_else(|| Failure::wrong_use(&format!("{text:?} is not a share"), "Write 25%."));
    }
    Ok(Amount::Exact { tokens: tokens(plain)?, micro_usd: 0 })
}

fn tokens(text: &str) -> Result<u64, Failure> {
    parse_amount(text).map_err(|e| Failure::wrong_use(&e.to_string(), ""))
}

fn dollars(text: &str) -> Result<u64, Failure> {
    let bad = || Failure::wrong_use(&format!("{text:?} is not an amount of dollars"), "Write 5, $5 or 0.25.");
    parse_dollars(text).map_err(|_| bad())
}

pub(super) fn long_extend(paths: &Paths, args: &LongExtend, output: &Output) -> Result<(), Failure> {
    if args.tokens.is_none() && args.usd.is_none() {
        let hint = "For example `--tokens 100k` or `--usd 5`.";
        return Err(Failure::wrong_use("give the tokens or the dollars to add", hint));
    }
    let amount = Amount::Exact {
        tokens: args.tokens.as_deref().map_or(Ok(0), tokens)?,
        micro_usd: args.usd.as_deref().map_or(Ok(0), dollars)?,
    };
    let budget_id = whole_id(paths, args.id.as_deref())?;
    say(paths, OperatorAct::Extend { budget_id, amount }, &args.words, &args.voice, output)
}

pub(super) fn finish(paths: &Paths, args: &FinishArgs, output: &Output) -> Result<(), Failure> {
    let budget_id = whole_id(paths, args.target.id.as_deref())?;
    say(paths, OperatorAct::Finish { budget_id }, &args.target.words, &args.voice, output)
}

pub(super) fn decline(paths: &Paths, target: &Target, output: &Output) -> Result<(), Failure> {
    let budget_id = whole_id(paths, target.id.as_deref())?;
    act(paths, OperatorAct::Decline { budget_id }, &target.words, output)
}

pub(super) fn reset(paths: &Paths, target: &NamedTarget, output: &Output) -> Result<(), Failure> {
    let budget_id = client::budget_id(paths, &target.id)?;
    act(paths, OperatorAct::Reset { budget_id }, &target.words, output)
}

pub(super) fn set(paths: &Paths, args: &SetArgs, output: &Output) -> Result<(), Failure> {
    if args.tokens.is_none() && args.usd.is_none() && args.alert_threshold.is_none() && !args.shut {
        return Err(Failure::wrong_use(
            "nothing to set",
            "Give --tokens, --usd, --alert-threshold or --shut.",
        ));
    }
    let threshold = match args.alert_threshold {
        None => None,
        Some(share) => Some(
            bursar_engine::ratio::Ratio::from_f64(share)
                .filter(|r| r.0 > 0 && r.0 <= 1_000_000)
                .ok_or_else(|| Failure::wrong_use("the alert threshold must be above 0 and at most 1", ""))?
                .0,
        ),
    };
    let act_to_do = OperatorAct::Set {
        budget_id: client::budget_id(paths, &args.id)?,
        max_tokens: args.tokens.as_deref().map(tokens).transpose()?,
        max_micro_usd: args.usd.as_deref().map(dollars).transpose()?,
        alert_threshold_millionths: threshold,
        shut: args.shut,
    };
    act(paths, act_to_do, &args.words, output)
}

fn whole_id(paths: &Paths, id: Option<&str>) -> Result<Option<String>, Failure> {
    id.map(|id| client::budget_id(paths, id)).transpose()
}

/// Does an act and says what is now true.
pub(super) fn act(paths: &Paths, act: OperatorAct, words: &Words, output: &Output) -> Result<(), Failure> {
    say(paths, act, words, &Voice::default(), output)
}

/// As [`act`], with words for the model that goes on.
pub(super) fn say(
    paths: &Paths,
    act: OperatorAct,
    words: &Words,
    voice: &Voice,
    output: &Output,
) -> Result<(), Failure> {
    let mut frame = unlock::frame(act, &words.reason);
    frame.say.clone_from(&voice.say);
    if let Some(id) = &words.request_id {
        frame.request_id.clone_from(id);
    }
    let json = unlock::act(paths, frame)?;
    if output.json(&json) {
        return Ok(());
    }
    let done: ActView = serde_json::from_str(&json)
        .map_err(|e| Failure::no_answer(&format!("its answer does not read ({e})")))?;
    output.line(&super::output::clean(&done.message));
    for command in &done.resume_with {
        output.line(&format!(
            "Nobody waits there any more: go on in its terminal, or with `{}`.",
            super::output::clean(command)
        ));
    }
    if done.released > 0 && done.context_tokens > 0 && done.act == "extend" {
        let context = short(done.context_tokens);
        output.line(&format!(
            "Going on sends a context of about {context} tokens again; after a long hold it is cached anew."
        ));
    }
    Ok(())
}
