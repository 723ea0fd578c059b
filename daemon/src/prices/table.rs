//! The table of prices: a CSV file whose first line names its columns; lines that begin with `#` are comments.

use std::collections::{BTreeMap, BTreeSet};

use bursar_engine::time::Timestamp;
use bursar_engine::usage::Usage;

use super::Terms;
use crate::config::{millionths as decimal, parse_millionths};

/// The dearest price that may be set: 10,000 USD for a million tokens.
const MAX_PRICE: u64 = 10_000_000_000;

/// The greatest factor, in thousandths.
const MAX_FACTOR: u64 = 100_000;

/// A factor of one, in thousandths.
const ONCE: u64 = 1_000;

/// What a file must have, and what it may have.
const MUST: [&str; 6] = ["model", "input", "output", "cache_read", "cache_write_5m", "cache_write_1h"];
const MAY: [&str; 7] =
    ["above_input_tokens", "factor_above", "client_basis", "from", "factor_fast", "factor_us", "web_search"];

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// The first line does not name all columns.
    #[error("the first line must name the columns {all}; {0} is missing", all = MUST.join(","))]
    NoColumn(&'static str),
    /// A column that is none.
    #[error("there is no column {0:?}; there are {all}", all = MUST.into_iter().chain(MAY).collect::<Vec<_>>().join(","))]
    Unknown(String),
    /// A column twice.
    #[error("the column {0} stands there twice")]
    Twice(String),
    /// Another number of cells than columns.
    #[error("it has {found} cells, the first line {wanted}")]
    Cells {
        /// In this line.
        found: usize,
        /// In the first.
        wanted: usize,
    },
    /// A cell that does not read.
    #[error("{column} = {value:?} must be {wanted}")]
    Cell {
        /// The column.
        column: &'static str,
        /// What stands there.
        value: String,
        /// What would be right.
        wanted: &'static str,
    },
    /// A model twice from the same date on.
    #[error("{0} has a price from that date on already")]
    Again(String),
}

/// One model's prices. Micro-dollars for a million tokens; factors in thousandths; none: not said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Price {
    input: u64,
    output: u64,
    cache_read: u64,
    cache_write_5m: u64,
    cache_write_1h: u64,
    above: Option<(u64, u64)>,
    fast: Option<u64>,
    us: Option<u64>,
    web_search: Option<u64>,
}

impl Price {
    /// The price of a request that is under the tier's limit.
    pub(super) fn below_tier(&self) -> Self {
        Self { above: None, ..self.clone() }
    }

    /// Takes what is not said from another.
    pub(super) fn fill_from(&mut self, other: &Self) {
        self.fast = self.fast.or(other.fast);
        self.us = self.us.or(other.us);
        self.web_search = self.web_search.or(other.web_search);
    }

    /// Of each kind the dearer of the two, above any size of the context.
    #[must_use]
    pub(super) fn or_dearer(self, other: &Self) -> Self {
        let most = other.above.map_or(ONCE, |(_, factor)| factor);
        let dearer = |a: u64, b: u64| a.max(b.saturating_mul(most) / ONCE);
        Self {
            input: dearer(self.input, other.input),
            output: dearer(self.output, other.output),
            cache_read: dearer(self.cache_read, other.cache_read),
            cache_write_5m: dearer(self.cache_write_5m, other.cache_write_5m),
            cache_write_1h: dearer(self.cache_write_1h, other.cache_write_1h),
            above: None,
            fast: self.fast.max(other.fast),
            us: self.us.max(other.us),
            web_search: self.web_search.max(other.web_search),
        }
    }

    /// Whether no request costs less by this price than by the other.
    pub(super) fn is_as_dear_as(&self, other: &Self) -> bool {
        let kinds = |p: &Self| [p.input, p.output, p.cache_read, p.cache_write_5m, p.cache_write_1h];
        let at_least = |times: u64| {
            let pairs = kinds(self).into_iter().zip(kinds(other));
            pairs.into_iter().all(|(a, b)| a.saturating_mul(ONCE) >= b.saturating_mul(times))
        };
        let tier = match (self.above, other.above) {
            (_, None) => true,
            (Some((from, times)), Some((other_from, other_times))) => {
                from <= other_from && times >= other_times
            }
            (None, Some((_, times))) => at_least(times),
        };
        let factor = |f: Option<u64>| f.unwrap_or(ONCE);
        tier && at_least(ONCE)
            && factor(self.fast) >= factor(other.fast)
            && factor(self.us) >= factor(other.us)
            && self.web_search.unwrap_or(0) >= other.web_search.unwrap_or(0)
    }

    /// What a request costs in micro-dollars, rounded half up once.
    pub(super) fn cost(&self, usage: Usage, terms: Terms) -> u64 {
        // Numbers are bounded (a billion tokens of each kind, MAX_PRICE, MAX_FACTOR): nothing overflows 128 bits.
        let of = |tokens: u64, price: u64| u128::from(tokens) * u128::from(price);
        let tokens = of(usage.input, self.input)
            + of(usage.output, self.output)
            + of(usage.cache_read, self.cache_read)
            + of(usage.cache_write_5m, self.cache_write_5m)
            + of(usage.cache_write_1h, self.cache_write_1h);
        let sent = usage.context().saturating_sub(usage.output);
        let above = self.above.filter(|(limit, _)| sent > *limit).map(|(_, factor)| factor);
        let fast = self.fast.filter(|_| terms.fast);
        let us = self.us.filter(|_| terms.us);
        let once = u128::from(ONCE);
        let factors = [above, fast, us].into_iter().fold(1, |all, f| all * u128::from(f.unwrap_or(ONCE)));
        let searches = of(terms.web_searches, self.web_search.unwrap_or(0));
        // Both in millionths of a billionth of a micro-dollar.
        let whole = 1_000_000 * once * once * once;
        let cost = (tokens.saturating_mul(factors).saturating_add(searches.saturating_mul(whole)))
            .saturating_add(whole / 2)
            / whole;
        u64::try_from(cost).unwrap_or(u64::MAX)
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) model: String,
    /// The client's own name for it.
    pub(super) basis: Option<String>,
    /// From when on; 0: from the beginning.
    pub(super) from: Timestamp,
    pub(super) price: Price,
}

/// Rows in one line: a row's cells in the order of all columns, rows divided by blanks.
pub(super) fn to_line(rows: &[Row]) -> String {
    rows.iter().map(to_cells).collect::<Vec<_>>().join(" ")
}

fn to_cells(row: &Row) -> String {
    let p = &row.price;
    let factor = |f: Option<u64>| f.map(|f| decimal(f * 1_000)).unwrap_or_default();
    let day =
        |at: Timestamp| if at == Timestamp(0) { String::new() } else { at.to_string()[..10].to_owned() };
    [
        row.model.clone(),
        decimal(p.input),
        decimal(p.output),
        decimal(p.cache_read),
        decimal(p.cache_write_5m),
        decimal(p.cache_write_1h),
        p.above.map(|(tokens, _)| tokens.to_string()).unwrap_or_default(),
        factor(p.above.map(|(_, factor)| factor)),
        row.basis.clone().unwrap_or_default(),
        day(row.from),
        factor(p.fast),
        factor(p.us),
        p.web_search.map(decimal).unwrap_or_default(),
    ]
    .join(",")
}

/// What [`to_line`] wrote.
pub(super) fn from_line(line: &str) -> Result<Vec<Row>, LineError> {
    let columns: Vec<&str> = MUST.into_iter().chain(MAY).collect();
    line.split(' ').map(|cells| row(&columns, cells)).collect()
}

/// The rows up to the first bad line, and that line's number with what is wrong with it.
pub(super) fn rows(text: &str) -> (Vec<Row>, Option<(usize, LineError)>) {
    let lines = text.lines().enumerate().map(|(i, line)| (i + 1, line.trim()));
    let mut lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let mut rows = Vec::new();
    let Some((first, header)) = lines.next() else { return (rows, None) };
    let columns: Vec<&str> = cells(header);
    if let Err(why) = check(&columns) {
        return (rows, Some((first, why)));
    }
    let mut seen = BTreeSet::new();
    for (number, line) in lines {
        match row(&columns, line) {
            Ok(row) if !seen.insert((row.model.clone(), row.from)) => {
                return (rows, Some((number, LineError::Again(row.model))));
            }
            Ok(row) => rows.push(row),
            Err(why) => return (rows, Some((number, why))),
        }
    }
    (rows, None)
}

fn cells(line: &str) -> Vec<&str> {
    line.split(',').map(str::trim).collect()
}

fn check(columns: &[&str]) -> Result<(), LineError> {
    if let Some(missing) = MUST.into_iter().find(|c| !columns.contains(c)) {
        return Err(LineError::NoColumn(missing));
    }
    for (i, column) in columns.iter().enumerate() {
        if !MUST.contains(column) && !MAY.contains(column) {
            return Err(LineError::Unknown((*column).to_owned()));
        }
        if columns[..i].contains(column) {
            return Err(LineError::Twice((*column).to_owned()));
        }
    }
    Ok(())
}

/// A line's cells by their columns.
struct Cells<'a>(BTreeMap<&'a str, &'a str>);

impl Cells<'_> {
    fn text(&self, column: &str) -> Option<&str> {
        self.0.get(column).copied().filter(|cell| !cell.is_empty())
    }

    fn read<T>(
        &self,
        column: &'static str,
        wanted: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, LineError> {
        let Some(text) = self.text(column) else { return Ok(None) };
        let bad = || LineError::Cell { column, value: text.to_owned(), wanted };
        read(text).map(Some).ok_or_else(bad)
    }

    fn price(&self, column: &'static str) -> Result<Option<u64>, LineError> {
        let usd = |text: &str| parse_millionths(text).filter(|price| *price <= MAX_PRICE);
        self.read(column, "a price in USD such as 0.25, at most 10000, with at most six decimals", usd)
    }

    fn must(&self, column: &'static str) -> Result<u64, LineError> {
        let missing =
            || LineError::Cell { column, value: String::new(), wanted: "a price in USD such as 0.25" };
        self.price(column)?.ok_or_else(missing)
    }

    fn factor(&self, column: &'static str) -> Result<Option<u64>, LineError> {
        let thousandths = |text: &str| {
            let millionths = parse_millionths(text).filter(|m| m % 1_000 == 0)?;
            Some(millionths / 1_000).filter(|f| (ONCE..=MAX_FACTOR).contains(f))
        };
        self.read(column, "a number from 1 to 100 with at most three decimals", thousandths)
    }
}

fn row(columns: &[&str], line: &str) -> Result<Row, LineError> {
    let found = cells(line);
    if found.len() != columns.len() {
        return Err(LineError::Cells { found: found.len(), wanted: columns.len() });
    }
    let cells = Cells(columns.iter().copied().zip(found).collect());
    let is_name = |text: &str| text.len() <= 128 && text.bytes().all(|b| b.is_ascii_graphic());
    let name = |column| cells.read(column, "a model's name", |t| is_name(t).then(|| t.to_ascii_lowercase()));
    let nameless = LineError::Cell { column: "model", value: String::new(), wanted: "a model's name" };
    let above = cells.read("above_input_tokens", "a number of tokens", |t| t.parse().ok())?;
    let factor = cells.factor("factor_above")?;
    let above = match (above, factor) {
        (Some(above), Some(factor)) => Some((above, factor)),
        (None, None) => None,
        _ => {
            let wanted = "given together with above_input_tokens";
            let value = cells.text("factor_above").unwrap_or_default().to_owned();
            return Err(LineError::Cell { column: "factor_above", value, wanted });
        }
    };
    Ok(Row {
        model: name("model")?.ok_or(nameless)?,
        basis: name("client_basis")?,
        from: cells.read("from", "a date such as 2026-11-01", day)?.unwrap_or(Timestamp(0)),
        price: Price {
            input: cells.must("input")?,
            output: cells.must("output")?,
            cache_read: cells.must("cache_read")?,
            cache_write_5m: cells.must("cache_write_5m")?,
            cache_write_1h: cells.must("cache_write_1h")?,
            above,
            fast: cells.factor("factor_fast")?,
            us: cells.factor("factor_us")?,
            web_search: cells.price("web_search")?,
        },
    })
}

/// A day's first instant in UTC.
fn day(text: &str) -> Option<Timestamp> {
    let _: jiff::civil::Date = text.parse().ok().filter(|_| text.len() == "2026-11-01".len())?;
    let at: jiff::Timestamp = format!("{text}T00:00:00Z").parse().ok()?;
    u64::try_from(at.as_millisecond()).ok().map(Timestamp)
}
