//! What the pretend model answers, in order, and what each answer costs.

/// Tokens of one request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usage {
    pub(super) input: u64,
    pub(super) output: u64,
    pub(super) cache_write: u64,
    pub(super) cache_read: u64,
}

/// One answer of the model: words, and one call of a tool.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) says: &'static str,
    pub(super) call: Call,
    pub(super) usage: Usage,
}

/// A call, and how it pretends to end.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) tool: &'static str,
    pub(super) input: &'static [(&'static str, &'static str)],
    /// As it is shown: its argument.
    pub(super) shown: &'static str,
    pub(super) result: &'static str,
    pub(super) fails: bool,
}

/// The model that pretends to answer.
pub(super) const MODEL: &str = "claude-opus-5-5";

/// What the agent is asked for.
pub(super) const PROMPT: &str = "make the cart tests pass";

const fn usage(output: u64, cache_write: u64, cache_read: u64) -> Usage {
    Usage { input: 5, output, cache_write, cache_read }
}

const fn read(
    says: &'static str,
    input: &'static [(&str, &str)],
    shown: &'static str,
    usage: Usage,
) -> Answer {
    let call = Call { tool: "Read", input, shown, result: "1\texport …", fails: false };
    Answer { says, call, usage }
}

const fn edit(
    says: &'static str,
    input: &'static [(&str, &str)],
    shown: &'static str,
    usage: Usage,
) -> Answer {
    let call = Call { tool: "Edit", input, shown, result: "The file has been updated.", fails: false };
    Answer { says, call, usage }
}

const fn fails(
    says: &'static str,
    input: &'static [(&str, &str)],
    shown: &'static str,
    usage: Usage,
) -> Answer {
    let result = "Exit code 1\n1 failed: cart > sums its lines; see test.log";
    Answer { says, call: Call { tool: "Bash", input, shown, result, fails: true }, usage }
}

/// The work up to the limit: 20,000 tokens are used up by the last of these.
pub(super) const WORK: [Answer; 5] = [
    read("I read the cart first.", &[("file_path", "src/cart.ts")], "src/cart.ts", usage(415, 6_380, 0)),
    read(
        "The prices come from here.",
        &[("file_path", "src/price.ts")],
        "src/price.ts",
        usage(395, 3_400, 6_380),
    ),
    fails("Now the tests.", &[("command", "npm test")], "npm test", usage(520, 4_075, 9_780)),
    edit(
        "The sum is rounded too early.",
        &[("file_path", "src/price.ts"), ("old_string", "round(a) + b"), ("new_string", "round(a + b)")],
        "src/price.ts",
        usage(965, 1_130, 13_855),
    ),
    fails("Once more.", &[("command", "npm test")], "npm test", usage(610, 3_385, 14_985)),
];

/// The loop: the same call, with the same outcome, again and again.
pub(super) const LOOP: [Answer; 5] =
    [again(18_370), again(18_750), again(19_130), again(19_510), again(19_890)];

const fn again(cache_read: u64) -> Answer {
    fails("Again.", &[("command", "npm test -- cart")], "npm test -- cart", usage(215, 380, cache_read))
}

/// What it does once it has been told to do something else.
pub(super) const WAY_OUT: [Answer; 2] = [
    read("The log says which line.", &[("file_path", "test.log")], "test.log", usage(240, 655, 20_270)),
    edit(
        "The expected sum in the test was wrong.",
        &[("file_path", "test/cart.ts"), ("old_string", "10.00"), ("new_string", "10.01")],
        "test/cart.ts",
        usage(430, 665, 20_925),
    ),
];

/// Its last words, without a call.
pub(super) const LAST_WORDS: (&str, Usage) = ("The cart tests pass.", usage(160, 335, 21_590));
