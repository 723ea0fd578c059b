//! What a request costs at list prices, in micro-dollars: a table that is built in, and the operator's own in front of it.
//! Pure but for [`Prices::load`].

mod model;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use bursar_engine::time::Timestamp;
use bursar_engine::usage::Usage;
use serde::Deserialize;
use serde_json::value::RawValue;

pub use table::{LineError, Price};

/// Prices as the client itself reckons them.
const BUILT_IN: &str = include_str!("../../data/prices.csv");

/// How it is written that an operator has no prices.
const BUILT_IN_ALONE: &str = "built-in";

/// The most searches that one request may claim.
const MAX_WEB_SEARCHES: u64 = 10_000;

/// What a request says of its price beside its tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Terms {
    /// `usage.speed` is `fast`.
    pub fast: bool,
    /// `usage.inference_geo` is `us`.
    pub us: bool,
    /// `usage.server_tool_use.web_search_requests`.
    pub web_searches: u64,
}

impl Terms {
    /// From a usage's fields, as they stand there; what is of another type counts as absent.
    pub fn read(
        speed: Option<&RawValue>,
        inference_geo: Option<&RawValue>,
        server_tool_use: Option<&RawValue>,
    ) -> Self {
        let is = |raw: Option<&RawValue>, word: &str| {
            raw.and_then(|raw| serde_json::from_str::<String>(raw.get()).ok())
                .is_some_and(|text| text == word)
        };
        let tools = server_tool_use.and_then(|raw| serde_json::from_str::<ServerToolUse>(raw.get()).ok());
        Self {
            fast: is(speed, "fast"),
            us: is(inference_geo, "us"),
            web_searches: tools.and_then(|t| t.web_search_requests).unwrap_or(0),
        }
    }
}

#[derive(Deserialize)]
struct ServerToolUse {
    web_search_requests: Option<u64>,
}

/// A cost in micro-dollars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Micro-dollars, rounded half up once for the request, as the client rounds.
    pub micro_usd: u64,
    /// The model's price is not known: it is that of the dearest.
    pub estimated: bool,
}

/// A price file that cannot serve. The daemon does not start with it.
#[derive(Debug, thiserror::Error)]
pub enum PricesError {
    /// A bad line.
    #[error("{file}, line {line}: {why}")]
    Line {
        /// The file.
        file: PathBuf,
        /// The line's number, from 1.
        line: usize,
        /// What is wrong, and what would be right.
        why: LineError,
    },
    /// The file cannot be read.
    #[error("cannot read {file}: {source}")]
    Io {
        /// The file.
        file: PathBuf,
        /// What happened.
        source: std::io::Error,
    },
}

/// The prices of every known model, each from a date on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prices {
    models: BTreeMap<String, BTreeMap<Timestamp, Price>>,
    /// Other names of models.
    aliases: BTreeMap<String, String>,
    dearest: Price,
    /// The operator's rows.
    own: Vec<table::Row>,
}

impl Prices {
    /// The built-in prices alone.
    pub fn built_in() -> Self {
        let mut prices = Self {
            models: BTreeMap::new(),
            aliases: BTreeMap::new(),
            dearest: Price::default(),
            own: Vec::new(),
        };
        // What does not read is left out, and the test that reads it all fails.
        let (rows, _) = table::rows(BUILT_IN);
        for row in rows {
            prices.put(row);
        }
        prices.dearest = prices.find_dearest();
        prices
    }

    /// The built-in prices with an operator's file in front of them, where there is one.
    ///
    /// # Errors
    /// [`PricesError`], naming the file and the line.
    pub fn load(file: &Path) -> Result<Self, PricesError> {
        match fs::read_to_string(file) {
            Ok(text) => Self::with(&text, file),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Self::built_in()),
            Err(source) => Err(PricesError::Io { file: file.to_owned(), source }),
        }
    }

    /// The built-in prices with those of `text` in front of them. A model that it names has its prices alone, unless every
    /// line of the model has a date: then what was before the first of them stays.
    ///
    /// # Errors
    /// [`PricesError::Line`].
    pub fn with(text: &str, file: &Path) -> Result<Self, PricesError> {
        match table::rows(text) {
            (rows, None) => Ok(Self::with_rows(rows)),
            (_, Some((line, why))) => Err(PricesError::Line { file: file.to_owned(), line, why }),
        }
    }

    fn with_rows(rows: Vec<table::Row>) -> Self {
        let mut prices = Self::built_in();
        prices.own.clone_from(&rows);
        let built_in = Self::built_in();
        let rows: Vec<table::Row> = rows.into_iter().map(|row| built_in.completed(row)).collect();
        for row in rows.iter().filter(|row| row.from == Timestamp(0)) {
            prices.models.remove(&row.model);
        }
        for row in rows {
            prices.put(row);
        }
        prices.dearest = prices.find_dearest();
        prices
    }

    /// The operator's rows in one line, as the settings of the last run are kept.
    pub fn to_line(&self) -> String {
        if self.own.is_empty() { BUILT_IN_ALONE.to_owned() } else { table::to_line(&self.own) }
    }

    /// What [`Self::to_line`] wrote.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_line(line: &str) -> Result<Self, String> {
        if line == BUILT_IN_ALONE {
            return Ok(Self::built_in());
        }
        table::from_line(line).map(Self::with_rows).map_err(|e| e.to_string())
    }

    /// Whether no request costs less by these prices than by the others.
    pub fn is_as_dear_as(&self, other: &Self) -> bool {
        let names = |of: &Self| of.models.keys().chain(of.aliases.keys()).cloned().collect::<BTreeSet<_>>();
        let names: BTreeSet<String> = names(self).union(&names(other)).cloned().collect();
        let times = || self.models.values().chain(other.models.values()).flat_map(BTreeMap::keys);
        let times: BTreeSet<&Timestamp> = times().collect();
        let price = |of: &Self, name: &str, at: Timestamp| of.find(name, at).unwrap_or(&of.dearest).clone();
        self.dearest.is_as_dear_as(&other.dearest)
            && names.iter().all(|name| {
                times.iter().all(|at| price(self, name, **at).is_as_dear_as(&price(other, name, **at)))
            })
    }

    /// An operator's row under the name that the model has here, with what it does not say.
    fn completed(&self, mut row: table::Row) -> table::Row {
        row.price.fill_from(self.find(&row.model, row.from).unwrap_or(&self.dearest));
        if let Some(name) = self.aliases.get(&row.model).filter(|_| !self.models.contains_key(&row.model)) {
            row.model.clone_from(name);
        }
        row
    }

    fn put(&mut self, row: table::Row) {
        for alias in row.basis.iter().cloned().chain(model::undated(&row.model).map(str::to_owned)) {
            self.aliases.insert(alias, row.model.clone());
        }
        self.models.entry(row.model).or_default().insert(row.from, row.price);
    }

    /// The dearest of each kind over all models and times.
    fn find_dearest(&self) -> Price {
        let all = self.models.values().flat_map(BTreeMap::values);
        all.fold(Price::default(), Price::or_dearer)
    }

    /// The price of a model at a time, under any of the names that the client takes for it.
    fn find(&self, model: &str, at: Timestamp) -> Option<&Price> {
        model::names(model).iter().find_map(|name| {
            let of = |name: &str| self.models.get(name).or_else(|| self.models.get(self.aliases.get(name)?));
            let dated = of(name)?;
            // A time before the first price is a matter of its first price.
            dated.range(..=at).next_back().or_else(|| dated.first_key_value()).map(|(_, price)| price)
        })
    }

    /// What a request costs.
    pub fn cost(&self, model: &str, usage: Usage, terms: Terms, at: Timestamp) -> Cost {
        let known = self.find(model, at);
        let terms = Terms { web_searches: terms.web_searches.min(MAX_WEB_SEARCHES), ..terms };
        Cost { micro_usd: known.unwrap_or(&self.dearest).cost(usage, terms), estimated: known.is_none() }
    }

    /// What many requests on a model together cost where the operator's own price for it goes before the client's figure;
    /// none where it has no price of the operator's. None of them is taken for one above a tier's limit.
    pub fn own_cost(&self, model: &str, usage: Usage, at: Timestamp) -> Option<u64> {
        let is_own = |name: &String| {
            let known = if self.models.contains_key(name) { Some(name) } else { self.aliases.get(name) };
            known.is_some_and(|known| self.own.iter().any(|row| row.model == *known))
        };
        model::names(model).iter().find(|name| is_own(name))?;
        Some(self.find(model, at)?.below_tier().cost(usage, Terms::default()))
    }

    /// The most that a request of that usage can cost on any of these models; on any at all where none is named.
    pub fn most<'a>(&self, models: impl Iterator<Item = &'a str>, usage: Usage, at: Timestamp) -> u64 {
        let terms = Terms { fast: true, us: true, web_searches: 0 };
        let most = models.map(|model| self.cost(model, usage, terms, at).micro_usd).max();
        most.unwrap_or_else(|| self.dearest.cost(usage, terms))
    }
}

impl Default for Prices {
    fn default() -> Self {
        Self::built_in()
    }
}

#[cfg(test)]
mod tests;
