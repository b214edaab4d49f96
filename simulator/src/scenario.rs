//! Scenarios: a world of endpoints, the requests that come, what goes wrong, and what counts.
//!
//! A scenario is read from TOML (every key: docs/simulation.md):
//!
//! ```toml
//! [[endpoints]]
//! name = "swift/chat"
//! price = { input = 0.6, output = 2.4 }           # US dollars for a million tokens
//! ttft_ms = { median = 350, sigma = 0.4 }
//! tokens_per_s = 110
//! concurrency = 40
//!
//! [arrivals]
//! trace = "requests.csv"                          # relative to this file
//!
//! [[faults.written]]
//! start_s = 60
//! end_s = 120
//! endpoint = "swift/chat"
//! kind = "error"
//!
//! [faults.generated]
//! per_hour = { single = 12, flap = 1 }
//! ```
//!
//! Nothing here is drawn while a run goes on: the same file, files it names and seed give the
//! same scenario. A file with a mistake is refused with the line; nothing is guessed.

mod check;
pub(crate) mod draws;
mod error;
mod events;
mod file;

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use toml::de::{DeTable, DeValue};
use torana_routing::price::Price;

pub use crate::arrivals::Arrival;
pub use crate::fault::{Fault, FaultKind};
pub use error::{Place, ScenarioError};

use check::{Range, Source};

/// A scenario is written by hand; what is long is a trace, in a file of its own.
const MAX_FILE: u64 = 1 << 20;
const DEFAULT_SLO_MS: f64 = 3_000.0;

/// A world and what happens in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    pub name: String,
    /// At least one.
    pub endpoints: Vec<Endpoint>,
    /// In the order of their time; at least one.
    pub arrivals: Vec<Arrival>,
    /// In the order of their start.
    pub faults: Vec<Fault>,
    pub values: Values,
    /// A first token later than this is a miss.
    pub slo_ttft: Duration,
    pub limits: Limits,
}

impl Scenario {
    /// Reads a scenario and the trace that it names. The seed is for what is generated.
    pub fn load(path: &Path, seed: u64) -> Result<Self, ScenarioError> {
        Self::read(path, seed, None)
    }

    /// As `load`, with other arrivals, in order, than those the file names: what it says of
    /// arrivals is not used, and may be absent.
    pub fn load_with_arrivals(
        path: &Path,
        seed: u64,
        arrivals: Vec<Arrival>,
    ) -> Result<Self, ScenarioError> {
        Self::read(path, seed, Some(arrivals))
    }

    /// A scenario without a file, without faults, and with the usual values and limits.
    pub fn new(
        name: impl Into<String>,
        endpoints: Vec<Endpoint>,
        arrivals: Vec<Arrival>,
    ) -> Result<Self, ScenarioError> {
        if endpoints.is_empty() {
            return Err(ScenarioError::Nothing("endpoints"));
        }
        if arrivals.is_empty() {
            return Err(ScenarioError::Nothing("arrivals"));
        }
        Ok(Self {
            name: name.into(),
            endpoints,
            arrivals,
            faults: Vec::new(),
            values: Values::default(),
            slo_ttft: check::milliseconds(DEFAULT_SLO_MS),
            limits: Limits::default(),
        })
    }

    /// From the start of the run to its last arrival.
    pub fn horizon(&self) -> Duration {
        self.arrivals.last().map(|arrival| arrival.at).unwrap_or_default()
    }

    fn read(path: &Path, seed: u64, arrivals: Option<Vec<Arrival>>) -> Result<Self, ScenarioError> {
        let text = text(path)?;
        let source = Source { path, text: &text };
        let file: file::File = toml::from_str(&text).map_err(|error| not_toml(source, error))?;
        let endpoints = source.endpoints(&file.endpoints)?;
        let arrivals = match (arrivals, &file.arrivals) {
            (Some(arrivals), _) => arrivals,
            (None, Some(table)) => source.arrivals(table, seed)?,
            (None, None) => {
                let start = toml::Spanned::new(0..0, ());
                return Err(source.wrong(&start, "arrivals", "absent", "a table `[arrivals]`"));
            }
        };
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let name = file.name.as_ref().map(|name| name.as_ref().clone());
        let mut scenario = Self::new(name.or(stem).unwrap_or_default(), endpoints, arrivals)?;
        let slo = file.slo_ttft_ms.as_ref();
        scenario.slo_ttft =
            check::milliseconds(source.or("slo_ttft_ms", slo, Range::Positive, DEFAULT_SLO_MS)?);
        scenario.values = source.values(&file.values)?;
        scenario.limits = source.limits(&file.limits)?;
        scenario.faults =
            source.faults(&file.faults, &scenario.endpoints, scenario.horizon(), seed)?;
        Ok(scenario)
    }
}

/// How one endpoint behaves when nothing is wrong.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Endpoint {
    /// `provider/model`, unique.
    pub name: String,
    pub region: Option<String>,
    pub price: Price,
    /// Time to the first token without congestion, in milliseconds.
    pub ttft_ms: LogNormal,
    /// Output tokens a second after the first.
    pub tokens_per_s: f64,
    /// Share of requests that fail with a server error, from 0 to 1.
    pub error_rate: f64,
    /// Requests at once; one more is refused as rate-limited.
    pub concurrency: u32,
    /// Share of `concurrency` above which first tokens come later, up to 1: never.
    pub congestion_above: f64,
    /// The operator's weight.
    pub weight: f64,
}

impl Endpoint {
    /// What a policy is told of it before the first request.
    pub fn row(&self) -> torana_routing::policy::Endpoint {
        let (provider, model) = self.name.split_once('/').unwrap_or((&self.name, ""));
        torana_routing::policy::Endpoint {
            name: self.name.clone(),
            provider: provider.to_owned(),
            model: model.to_owned(),
            weight: self.weight,
            price_input: Some(self.price.input),
            price_output: Some(self.price.output),
            price_cached_input: self.price.cached_input,
            context_window: None,
        }
    }
}

/// A log-normal distribution: `median × exp(sigma × normal)`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LogNormal {
    pub median: f64,
    pub sigma: f64,
}

impl LogNormal {
    /// The value for a standard normal deviate.
    pub fn value(self, normal: f64) -> f64 {
        self.median * (self.sigma * normal).exp()
    }

    pub fn mean(self) -> f64 {
        self.median * (self.sigma * self.sigma / 2.0).exp()
    }
}

/// What time and failure are worth, so that they add up with the cost of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Values {
    /// US dollars for a second until the first token.
    pub ttft_usd_per_s: f64,
    /// US dollars for a second from the first token to the last.
    pub stream_usd_per_s: f64,
    /// A request that fails counts as one whose first token took so many seconds.
    pub failure_penalty_s: f64,
}

/// The operator's bounds on a request.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Limits {
    pub max_attempts: usize,
    pub first_token_timeout: Duration,
    /// Fallbacks as a share of requests, and so many a second besides.
    pub retry_share: f64,
    pub retry_per_s: f64,
    /// Hedges as a share of requests, and so many at once.
    pub hedge_share: f64,
    pub hedge_burst: f64,
}

impl Default for Values {
    fn default() -> Self {
        Self { ttft_usd_per_s: 3e-4, stream_usd_per_s: 0.0, failure_penalty_s: 30.0 }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_attempts: 4,
            first_token_timeout: Duration::from_secs(60),
            retry_share: 0.2,
            retry_per_s: 10.0,
            hedge_share: 0.05,
            hedge_burst: 10.0,
        }
    }
}

fn text(path: &Path) -> Result<String, ScenarioError> {
    let unreadable = |source| ScenarioError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_FILE {
        return Err(ScenarioError::TooLarge { path: path.to_owned(), limit: MAX_FILE });
    }
    Ok(text)
}

fn not_toml(source: Source<'_>, error: toml::de::Error) -> ScenarioError {
    let byte = error.span().map_or(0, |span| span.start);
    let key = DeTable::parse(source.text).ok().and_then(|table| key_at(table.as_ref(), byte));
    let place = Place::of_byte(source.path, source.text, byte);
    ScenarioError::Toml { place, key, source: Box::new(error) }
}

/// The innermost key whose name or value is at a byte, with dots.
fn key_at(table: &DeTable<'_>, byte: usize) -> Option<String> {
    let (key, value) = table.iter().find(|(key, value)| {
        key.span().contains(&byte) || value.span().contains(&byte) || holds(value.as_ref(), byte)
    })?;
    let inner = match value.as_ref() {
        DeValue::Table(table) => key_at(table, byte),
        DeValue::Array(items) => items.iter().find_map(|item| match item.as_ref() {
            DeValue::Table(table) => key_at(table, byte),
            _ => None,
        }),
        _ => None,
    };
    let key = key.as_ref();
    Some(inner.map_or_else(|| key.to_string(), |inner| format!("{key}.{inner}")))
}

/// Whether something within is at a byte: the parts of a `[table]` may stand apart.
fn holds(value: &DeValue<'_>, byte: usize) -> bool {
    match value {
        DeValue::Table(table) => key_at(table, byte).is_some(),
        DeValue::Array(items) => {
            items.iter().any(|item| item.span().contains(&byte) || holds(item.as_ref(), byte))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
