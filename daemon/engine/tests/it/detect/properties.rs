//! What holds for every stream of calls.

use std::collections::VecDeque;

use bursar_engine::command::Call;
use bursar_engine::detect::MAX_STEPS;
use bursar_engine::table::HookEvent;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::calls::Agent;
use crate::support::hook;

const TOOLS: [&str; 12] = [
    "Bash",
    "Read",
    "Grep",
    "Glob",
    "Edit",
    "Write",
    "WebFetch",
    "BashOutput",
    "TaskOutput",
    "mcp__x__find",
    "process",
    "Other",
];

/// A call that may repeat an earlier one: how many back, or a new one.
#[derive(Debug, Clone)]
struct Next {
    tool: usize,
    /// The same call as so many ago, with the same outcome or another.
    like: Option<(usize, bool)>,
    quick: bool,
    prompts: bool,
    joins: bool,
}

fn next() -> impl Strategy<Value = Next> {
    let like = prop::option::weighted(0.3, (1_usize..30, any::<bool>()));
    let flags = (prop::bool::weighted(0.7), prop::bool::weighted(0.01), prop::bool::weighted(0.3));
    (0..TOOLS.len(), like, flags).prop_map(|(tool, like, (quick, prompts, joins))| Next {
        tool,
        like,
        quick,
        prompts,
        joins,
    })
}

/// Which outcome the call of that number has: every third the same, whatever the call.
fn outcome(n: usize) -> usize {
    if n.is_multiple_of(3) { 2 } else { n }
}

/// Words of outcomes, some of which look like waiting.
fn words(n: usize) -> String {
    match n % 4 {
        0 => format!("status: running {n}"),
        1 => format!("still building, step {n}"),
        _ => format!("answer {n}"),
    }
}

/// More than 0.87 of any 30 in a row differ.
fn is_novel(pairs: &VecDeque<(usize, usize)>) -> bool {
    let mut all: Vec<_> = pairs.iter().collect();
    all.sort_unstable();
    all.dedup();
    all.len() * 100 > pairs.len() * 87
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Good calls of which more than 0.87 of any 30 differ in call or outcome, with results that are not empty, none a
    /// re-read, a subagent's or a todo call, at most 59 in 10 s and 999 a prompt: whatever the tools, nothing trips.
    #[test]
    fn a_stream_of_good_and_new_calls_never_trips(stream in vec(next(), 30..400)) {
        let mut agent = Agent::new();
        let mut made: Vec<(usize, usize, usize)> = Vec::new();
        let mut lately: VecDeque<(usize, usize)> = VecDeque::new();
        let mut message: Vec<(String, String, String)> = Vec::new();
        for (n, step) in stream.into_iter().enumerate() {
            let fresh = (step.tool, n, outcome(n));
            let (tool, call, outcome) = match step.like.and_then(|(back, same)| Some((made.len().checked_sub(back)?, same))) {
                Some((at, true)) => made[at],
                Some((at, false)) => (made[at].0, made[at].1, outcome(n)),
                None => fresh,
            };
            // Which lines are read is never the same, so that nothing is read again but with another outcome.
            let mut pair = (tool, call, outcome);
            let wanted = |pair: (usize, usize, usize)| {
                let mut window = lately.clone();
                window.push_back((pair.1, pair.2));
                while window.len() > MAX_STEPS {
                    window.pop_front();
                }
                is_novel(&window) && !(TOOLS[pair.0] == "Read" && pair.1 != n && pair.2 == made.iter().rev().find(|m| m.1 == pair.1).map_or(0, |m| m.2))
            };
            if !wanted(pair) {
                pair = fresh;
            }
            made.push(pair);
            lately.push_back((pair.1, pair.2));
            if lately.len() > MAX_STEPS {
                lately.pop_front();
            }
            let input = format!("{{\"file_path\":\"f{0}\",\"command\":\"c{0}\",\"pattern\":\"p{0}\",\"action\":\"poll\"}}", pair.1);
            message.push((TOOLS[pair.0].to_owned(), input, words(pair.2)));
            if step.joins && message.len() < 8 {
                continue;
            }
            // As quick as 59 in 10 s allow.
            agent.life.step_ms = (if step.quick { 170 } else { 4_000 }) * message.len() as u64;
            let calls: Vec<_> = message.iter().map(|(t, i, o)| (t.as_str(), i.as_str(), true, o.as_str())).collect();
            agent.at_once(&calls);
            prop_assert_eq!(agent.tripped(), None, "at {} of {:?}", n, calls);
            message.clear();
            if step.prompts {
                agent.tell(hook(HookEvent::HumanPrompt));
            }
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 8, ..ProptestConfig::with_cases(4) })]

    /// However an agent calls, what is kept of it stays small.
    #[test]
    fn what_is_kept_of_an_agent_is_bounded(seed in any::<u64>()) {
        let mut agent = Agent::under(|c| c.duplicate_threshold = 0);
        agent.life.step_ms = 1;
        let mut random = seed | 1;
        let mut any = |below: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            usize::try_from(random >> 8).unwrap() % below
        };
        let mut most = 0;
        for _ in 0..60 {
            let count = any(40) + 1;
            let calls: Vec<(String, String, bool, String)> = (0..count)
                .map(|_| {
                    let tool = TOOLS[any(12)].to_owned();
                    let input = format!("{{\"file_path\":\"f{}\",\"offset\":{},\"limit\":3}}", any(90), any(9_000));
                    (tool, input, any(3) > 0, format!("{} words {}", "long ".repeat(200), any(50)))
                })
                .collect();
            let calls: Vec<_> = calls.iter().map(|(t, i, ok, o)| (t.as_str(), i.as_str(), *ok, o.as_str())).collect();
            agent.at_once(&calls);
            let begun = Call::new(Some("never ended"), "Bash", "Bash".to_owned(), None);
            agent.hook(HookEvent::PreToolUse, vec![begun]);
            most = most.max(serde_json::to_string(agent.life.circuit()).unwrap().len());
            if agent.tripped().is_some() {
                agent.life.acknowledge();
            }
        }
        prop_assert!(most < 24 * 1_024, "{} bytes of JSON", most);
    }
}
