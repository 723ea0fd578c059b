//! What the demo prints: plain lines of at most 80 columns, whatever they are printed on.

use std::io::Write as _;

/// The widest line; a terminal is hardly ever narrower.
const COLUMNS: usize = 80;

/// How far what belongs to a step stands in.
const INDENT: &str = "   ";

/// How many cells the meter has.
const METER: u64 = 16;

/// A colour that says the same as the word it is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    Plain,
    Bold,
    Good,
    Warn,
    Bad,
    Dim,
}

/// Prints, in colour or not.
#[derive(Debug)]
pub(super) struct Voice {
    colour: bool,
}

impl Voice {
    pub(super) fn new(colour: bool) -> Self {
        Self { colour }
    }

    /// An empty line.
    pub(super) fn gap(&self) {
        self.print(Ink::Plain, "");
    }

    /// A paragraph.
    pub(super) fn say(&self, text: &str) {
        self.wrapped(Ink::Plain, "", "", text);
    }

    /// The heading of a step.
    pub(super) fn heading(&self, number: usize, text: &str) {
        self.gap();
        self.wrapped(Ink::Bold, &format!("{number}. "), INDENT, text);
    }

    /// A paragraph within a step.
    pub(super) fn tell(&self, ink: Ink, text: &str) {
        self.wrapped(ink, INDENT, INDENT, text);
    }

    /// A label, and a text that stands beside it.
    pub(super) fn labelled(&self, ink: Ink, label: &str, text: &str) {
        let hang = " ".repeat(INDENT.len() + label.chars().count() + 1);
        for (i, line) in text.lines().enumerate() {
            let first = if i == 0 { format!("{INDENT}{label} ") } else { hang.clone() };
            self.wrapped(ink, &first, &hang, line);
        }
    }

    /// A command that a person can copy: whole, or continued as shells continue lines, and never wrapped.
    pub(super) fn command(&self, program: &str, arguments: &str) {
        self.gap();
        for line in command_lines(program, arguments) {
            self.print(Ink::Bold, &format!("{INDENT}  {line}"));
        }
        self.gap();
    }

    /// What a command printed. A row that is too long goes on below the beginning of its last column.
    pub(super) fn output(&self, text: &str) {
        let hang = text.lines().next().map_or(0, last_column);
        for (i, line) in text.lines().enumerate() {
            let is_row = i > 0 && line.contains("  ") && hang > 0;
            let hang = " ".repeat(INDENT.len() + if is_row { hang } else { 0 });
            self.wrapped(Ink::Plain, INDENT, &hang, line);
        }
    }

    /// How far a budget is used: `what` on the left, a meter, the figures.
    pub(super) fn meter(&self, what: &str, used: u64, max: u64) {
        let grouped = bursar_protocol::answer::grouped;
        let filled = used.saturating_mul(METER).checked_div(max).unwrap_or_default().min(METER);
        let ink = match used.saturating_mul(100) / max.max(1) {
            0..80 => Ink::Good,
            80..100 => Ink::Warn,
            _ => Ink::Bad,
        };
        let cells = |cell: &str, n: u64| cell.repeat(usize::try_from(n).unwrap_or_default());
        let bar = self.tint(ink, &cells("█", filled)) + &self.tint(Ink::Dim, &cells("░", METER - filled));
        let figures = format!("{:>6} of {} tokens", grouped(used), grouped(max));
        self.print(Ink::Plain, &format!("{INDENT}{what:<35}{bar}  {figures}"));
    }

    fn wrapped(&self, ink: Ink, first: &str, hang: &str, text: &str) {
        for line in wrap(first, hang, text) {
            self.print(ink, &line);
        }
    }

    #[expect(clippy::unused_self, reason = "one way out")]
    fn write(&self, line: &str) {
        // A closed pipe is the reader's choice.
        let _ = writeln!(std::io::stdout().lock(), "{}", line.trim_end());
    }

    fn print(&self, ink: Ink, line: &str) {
        self.write(&self.tint(ink, line));
    }

    fn tint(&self, ink: Ink, text: &str) -> String {
        let code = match ink {
            Ink::Plain => return text.to_owned(),
            Ink::Bold => "1",
            Ink::Good => "32",
            Ink::Warn => "33",
            Ink::Bad => "31",
            Ink::Dim => "2",
        };
        if self.colour && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A command as it is printed: on one line where it fits.
pub(super) fn command_lines(program: &str, arguments: &str) -> Vec<String> {
    let whole = format!("{program} {arguments}");
    if INDENT.len() + 2 + whole.chars().count() <= COLUMNS {
        vec![whole]
    } else {
        vec![format!("{program} \\"), format!("  {arguments}")]
    }
}

/// Where the last column of a table begins, by its header: behind the last two blanks.
fn last_column(header: &str) -> usize {
    header.rfind("  ").map_or(0, |at| header[..at + 2].chars().count())
}

/// Breaks a text at blanks so that no line is wider than [`COLUMNS`]; blanks inside a line stay as they are, and a command
/// in backticks stays whole.
fn wrap(first: &str, hang: &str, text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = first.to_owned();
    let mut is_empty = true;
    let mut is_code = false;
    let is_break = |c: char| {
        is_code ^= c == '`';
        c == ' ' && !is_code
    };
    for word in text.split(is_break) {
        let room = COLUMNS.saturating_sub(line.chars().count());
        let needs = word.chars().count() + usize::from(!is_empty);
        if !is_empty && needs > room {
            lines.push(std::mem::replace(&mut line, hang.to_owned()));
            is_empty = true;
        }
        // Blanks at which a line was broken are not carried over.
        if is_empty && word.is_empty() && !lines.is_empty() {
            continue;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::{COLUMNS, command_lines, last_column, wrap};

    #[test]
    fn lines_are_broken_at_blanks_and_tables_keep_theirs() {
        let text = "word ".repeat(40);
        let lines = wrap("1. ", "   ", text.trim_end());
        assert!(lines.len() > 2 && lines.iter().all(|l| l.chars().count() <= COLUMNS), "{lines:?}");
        assert!(lines[1..].iter().all(|l| l.starts_with("   word")), "{lines:?}");
        assert_eq!(wrap("", "", "a   b  c"), ["a   b  c"]);
        let code = format!("{} `bursar circuit list` shows", "x".repeat(70));
        assert_eq!(wrap("", "", &code)[1], "`bursar circuit list` shows");
        assert_eq!(wrap("", "", ""), [""]);
        let long = "/".repeat(100);
        assert_eq!(wrap("", " ", &format!("see {long}")), ["see", &format!(" {long}")]);
    }

    #[test]
    fn a_row_goes_on_below_its_last_column() {
        assert_eq!(last_column("project  agent  held by"), 16);
        assert_eq!(last_column("no table"), 0);
    }

    #[test]
    fn a_long_command_is_continued_as_shells_do() {
        assert_eq!(command_lines("bursar", "extend +10k"), ["bursar extend +10k"]);
        let program = format!("/{}", "x".repeat(70));
        assert_eq!(command_lines(&program, "extend +10k"), [format!("{program} \\"), "  extend +10k".into()]);
    }
}
