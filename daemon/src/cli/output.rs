//! Everything that commands print. What comes from sessions is cleaned of control, escape and bidirectional characters.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use serde_json::json;

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// A colour that says the same as the word it is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// No colour.
    Plain,
    /// Good.
    Good,
    /// Look here.
    Warn,
    /// Stands still.
    Bad,
    /// Less important.
    Dim,
}

/// A command that failed: what was wrong, what to do, and how to exit.
#[derive(Debug)]
pub(super) struct Failure {
    /// 1 refused, 2 wrong use, 3 daemon away.
    pub(super) exit: u8,
    /// What was wrong.
    pub(super) message: String,
    /// What to do.
    pub(super) hint: String,
    /// The daemon's error, as it came.
    pub(super) json: Option<String>,
}

impl Failure {
    /// Nothing was done, and that is final.
    pub(super) fn refused(error: &str, message: &str, hint: &str) -> Self {
        Self::new(1, error, message, hint)
    }

    /// The command's words are off.
    pub(super) fn wrong_use(message: &str, hint: &str) -> Self {
        Self::new(2, "invalid", message, hint)
    }

    /// No daemon serves.
    pub(super) fn away() -> Self {
        Self::new(
            3,
            "daemon_away",
            "Bursar is not running.",
            "Start it with `bursar daemon`, or `bursar daemon --detach`.",
        )
    }

    /// Something serves, but does not answer as it should.
    pub(super) fn no_answer(why: &str) -> Self {
        Self::new(
            3,
            "daemon_away",
            &format!("The daemon does not answer: {why}"),
            "Look at its log, or restart it with `bursar daemon --detach --replace`.",
        )
    }

    fn new(exit: u8, error: &str, message: &str, hint: &str) -> Self {
        let json = json!({ "error": error, "message": message, "details": {} }).to_string();
        Self { exit, message: message.to_owned(), hint: hint.to_owned(), json: Some(json) }
    }
}

/// Where a command's words go.
#[derive(Debug)]
pub(super) struct Output {
    /// JSON instead of text.
    pub(super) json: bool,
    colour: bool,
}

impl Output {
    pub(super) fn new(json: bool, color: Color) -> Self {
        let colour = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        };
        Self { json, colour }
    }

    /// Whether colour is used.
    pub(super) fn colour(&self) -> bool {
        self.colour
    }

    /// A line of text; nothing where JSON is wanted.
    pub(super) fn line(&self, text: &str) {
        if !self.json {
            self.print(text);
        }
    }

    /// The daemon's JSON, where it is wanted; says whether it was.
    pub(super) fn json(&self, text: &str) -> bool {
        if self.json {
            self.print(text);
        }
        self.json
    }

    #[expect(clippy::unused_self, reason = "one way out")]
    fn print(&self, text: &str) {
        // A closed pipe is the reader's choice.
        let _ = writeln!(std::io::stdout().lock(), "{text}");
    }

    /// Says what went wrong, on standard error.
    pub(super) fn fail(&self, failure: &Failure) -> ExitCode {
        let mut err = std::io::stderr().lock();
        let _ = match (&failure.json, self.json) {
            (Some(json), true) => writeln!(err, "{json}"),
            _ if failure.hint.is_empty() => writeln!(err, "{}", clean(&failure.message)),
            _ => writeln!(err, "{}\n{}", clean(&failure.message), failure.hint),
        };
        ExitCode::from(failure.exit)
    }

    /// A text in a tone, where colour is used.
    pub(super) fn tint(&self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Good => "32",
            Tone::Warn => "33",
            Tone::Bad => "31",
            Tone::Dim => "2",
        };
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// A table: a header and rows of cells with their tones, in aligned columns; `right` names columns of numbers.
    pub(super) fn table(&self, header: &[&str], right: &[usize], rows: &[Vec<(Tone, String)>]) {
        let cleaned: Vec<Vec<(Tone, String)>> =
            rows.iter().map(|row| row.iter().map(|(tone, text)| (*tone, clean(text))).collect()).collect();
        let width = |i: usize| {
            let cells = cleaned.iter().map(|row| row.get(i).map_or(0, |(_, t)| t.chars().count()));
            cells.chain([header[i].chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..header.len()).map(width).collect();
        let head: Vec<(Tone, String)> = header.iter().map(|h| (Tone::Dim, (*h).to_owned())).collect();
        for row in std::iter::once(&head).chain(&cleaned) {
            let mut line = String::new();
            for (i, (tone, text)) in row.iter().enumerate() {
                let pad = " ".repeat(widths[i].saturating_sub(text.chars().count()));
                let text = self.tint(*tone, text);
                let last = i + 1 == row.len();
                // Writing to a String cannot fail.
                let _ = match (right.contains(&i), last) {
                    (true, false) => write!(line, "{pad}{text}  "),
                    (true, true) => write!(line, "{pad}{text}"),
                    (false, false) => write!(line, "{text}{pad}  "),
                    (false, true) => write!(line, "{text}"),
                };
            }
            self.line(line.trim_end());
        }
    }
}

/// Text without control, escape and bidirectional characters.
pub(super) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' => ' ',
            c if c.is_control() => '\u{fffd}',
            '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'
            | '\u{feff}'
            | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// A number as people read it: 512, 45k, 4.1M.
pub(super) fn short(n: u64) -> String {
    let with = |unit: u64, name: &str| {
        let tenths = n / (unit / 10);
        if tenths.is_multiple_of(10) || tenths >= 1_000 {
            format!("{}{name}", tenths / 10)
        } else {
            format!("{}.{}{name}", tenths / 10, tenths % 10)
        }
    };
    match n {
        0..1_000 => n.to_string(),
        1_000..1_000_000 => with(1_000, "k"),
        1_000_000..1_000_000_000 => with(1_000_000, "M"),
        _ => with(1_000_000_000, "G"),
    }
}

/// A time of RFC 3339 relative to now: `12 s ago`, `4 min ago`.
pub(super) fn ago(at: &str) -> String {
    let Ok(at) = at.parse::<jiff::Timestamp>() else { return clean(at) };
    let seconds = jiff::Timestamp::now().as_second() - at.as_second();
    match u64::try_from(seconds) {
        Ok(s) => format!("{} ago", span(s)),
        Err(_) => "just now".to_owned(),
    }
}

/// A span of time in its largest unit.
pub(super) fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::{clean, short};

    #[test]
    fn numbers_are_short() {
        for (n, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1k"),
            (45_300, "45.3k"),
            (512_000, "512k"),
            (999_999, "999k"),
            (4_100_000, "4.1M"),
            (2_000_000_000, "2G"),
        ] {
            assert_eq!(short(n), text);
        }
    }

    #[test]
    fn nothing_reaches_the_terminal_that_moves_it() {
        assert_eq!(clean("a\x1b]52;c;x\x07b\u{202e}c\nd"), "a\u{fffd}]52;c;x\u{fffd}b\u{fffd}c d");
    }
}
