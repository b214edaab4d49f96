//! From a file's shapes to a scenario: ranges, and what keys say of each other.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use toml::Spanned;
use torana_routing::price::Price;

use super::file::{self, Count, Number};
use super::{Endpoint, Limits, LogNormal, Place, ScenarioError, Values};

/// Endpoints are candidates of one decision; a policy is told all of them each time.
const MAX_ENDPOINTS: i64 = 256;
/// Larger than any figure that makes sense, small enough for durations and counts to hold.
const MAX_NUMBER: f64 = 1e9;
const MAX_CONCURRENCY: i64 = 1_000_000;
const MAX_ATTEMPTS: i64 = 32;
/// A log-normal wider than that has no mean anyone measures.
const MAX_SIGMA: f64 = 5.0;
const DEFAULT_CONGESTION_ABOVE: f64 = 0.6;

/// The text that numbers are checked in, for their lines.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

/// The numbers that a key takes.
#[derive(Clone, Copy)]
pub(super) enum Range {
    /// 0 up to a billion.
    NotNegative,
    /// Above 0 up to a billion.
    Positive,
    /// 0 to 1.
    Share,
    /// Above 0 up to 1.
    PositiveShare,
    Sigma,
    /// 1 up to a billion.
    Factor,
}

impl Range {
    fn holds(self, number: f64) -> bool {
        match self {
            Self::NotNegative => (0.0..=MAX_NUMBER).contains(&number),
            Self::Positive => number > 0.0 && number <= MAX_NUMBER,
            Self::Share => (0.0..=1.0).contains(&number),
            Self::PositiveShare => number > 0.0 && number <= 1.0,
            Self::Sigma => (0.0..=MAX_SIGMA).contains(&number),
            Self::Factor => (1.0..=MAX_NUMBER).contains(&number),
        }
    }

    fn said(self) -> &'static str {
        match self {
            Self::NotNegative => "a number from 0 to a billion",
            Self::Positive => "a number above 0, up to a billion",
            Self::Share => "a share from 0 to 1",
            Self::PositiveShare => "a share above 0, up to 1",
            Self::Sigma => "a number from 0 to 5",
            Self::Factor => "a factor from 1 to a billion",
        }
    }
}

impl Source<'_> {
    pub(super) fn wrong<T>(
        self,
        at: &Spanned<T>,
        key: impl Into<String>,
        found: impl ToString,
        expected: impl Into<Cow<'static, str>>,
    ) -> ScenarioError {
        ScenarioError::Value {
            place: Place::of_byte(self.path, self.text, at.span().start),
            key: key.into(),
            found: found.to_string(),
            expected: expected.into(),
        }
    }

    pub(super) fn number(
        self,
        key: &str,
        number: &Number,
        range: Range,
    ) -> Result<f64, ScenarioError> {
        let found = *number.as_ref();
        if range.holds(found) {
            Ok(found)
        } else {
            Err(self.wrong(number, key, found, range.said()))
        }
    }

    pub(super) fn or(
        self,
        key: &str,
        number: Option<&Number>,
        range: Range,
        default: f64,
    ) -> Result<f64, ScenarioError> {
        number.map_or(Ok(default), |number| self.number(key, number, range))
    }

    fn optional(self, key: &str, number: Option<&Number>) -> Result<Option<f64>, ScenarioError> {
        number.map(|number| self.number(key, number, Range::NotNegative)).transpose()
    }

    pub(super) fn count(
        self,
        key: &str,
        count: &Count,
        least: i64,
        most: i64,
    ) -> Result<u32, ScenarioError> {
        let found = *count.as_ref();
        let fits = u32::try_from(found).ok().filter(|_| (least..=most).contains(&found));
        fits.ok_or_else(|| {
            self.wrong(count, key, found, format!("an integer from {least} to {most}"))
        })
    }

    pub(super) fn log_normal(
        self,
        key: &str,
        of: &file::LogNormal,
    ) -> Result<LogNormal, ScenarioError> {
        Ok(LogNormal {
            median: self.number(&format!("{key}.median"), &of.median, Range::Positive)?,
            sigma: self.number(&format!("{key}.sigma"), &of.sigma, Range::Sigma)?,
        })
    }

    pub(super) fn values(self, table: &file::Values) -> Result<Values, ScenarioError> {
        let default = Values::default();
        let number = |key, number: &Option<Number>, default| {
            self.or(key, number.as_ref(), Range::NotNegative, default)
        };
        Ok(Values {
            ttft_usd_per_s: number(
                "values.ttft_usd_per_s",
                &table.ttft_usd_per_s,
                default.ttft_usd_per_s,
            )?,
            stream_usd_per_s: number(
                "values.stream_usd_per_s",
                &table.stream_usd_per_s,
                default.stream_usd_per_s,
            )?,
            failure_penalty_s: number(
                "values.failure_penalty_s",
                &table.failure_penalty_s,
                default.failure_penalty_s,
            )?,
        })
    }

    pub(super) fn limits(self, table: &file::Limits) -> Result<Limits, ScenarioError> {
        let default = Limits::default();
        let number = |key: &str, number: &Option<Number>, range, default| {
            self.or(&format!("limits.{key}"), number.as_ref(), range, default)
        };
        let attempts = table.max_attempts.as_ref();
        let attempts =
            attempts.map(|count| self.count("limits.max_attempts", count, 1, MAX_ATTEMPTS));
        let timeout = default.first_token_timeout.as_secs_f64() * 1e3;
        let timeout = number(
            "first_token_timeout_ms",
            &table.first_token_timeout_ms,
            Range::Positive,
            timeout,
        )?;
        Ok(Limits {
            max_attempts: attempts
                .transpose()?
                .map_or(default.max_attempts, |count| count as usize),
            first_token_timeout: milliseconds(timeout),
            retry_share: number(
                "retry_share",
                &table.retry_share,
                Range::Share,
                default.retry_share,
            )?,
            retry_per_s: number(
                "retry_per_s",
                &table.retry_per_s,
                Range::NotNegative,
                default.retry_per_s,
            )?,
            hedge_share: number(
                "hedge_share",
                &table.hedge_share,
                Range::Share,
                default.hedge_share,
            )?,
            hedge_burst: number(
                "hedge_burst",
                &table.hedge_burst,
                Range::NotNegative,
                default.hedge_burst,
            )?,
        })
    }

    pub(super) fn endpoints(
        self,
        tables: &[file::Endpoint],
    ) -> Result<Vec<Endpoint>, ScenarioError> {
        let start = Spanned::new(0..0, ());
        if tables.is_empty() {
            return Err(self.wrong(&start, "endpoints", "absent", "at least one `[[endpoints]]`"));
        }
        let mut names = HashSet::new();
        let mut endpoints = Vec::new();
        for (position, table) in tables.iter().enumerate() {
            let name = table.name.as_ref();
            let parts = name
                .split_once('/')
                .is_some_and(|(provider, model)| !provider.is_empty() && !model.is_empty());
            let quoted = format!("`{name}`");
            if !parts {
                return Err(self.wrong(
                    &table.name,
                    "endpoints.name",
                    quoted,
                    "a name as `provider/model`",
                ));
            }
            if !names.insert(name.as_str()) {
                return Err(self.wrong(
                    &table.name,
                    "endpoints.name",
                    quoted,
                    "a name that no endpoint above has",
                ));
            }
            if position as i64 >= MAX_ENDPOINTS {
                let expected = format!("at most {MAX_ENDPOINTS} endpoints");
                return Err(self.wrong(&table.name, "endpoints", tables.len(), expected));
            }
            endpoints.push(self.endpoint(table)?);
        }
        Ok(endpoints)
    }

    fn endpoint(self, table: &file::Endpoint) -> Result<Endpoint, ScenarioError> {
        let key = |key: &str| format!("endpoints.{key}");
        let or = |name, number: &Option<Number>, range, default| {
            self.or(&key(name), number.as_ref(), range, default)
        };
        Ok(Endpoint {
            name: table.name.as_ref().clone(),
            region: table.region.clone(),
            price: self.price(&table.price)?,
            ttft_ms: self.log_normal(&key("ttft_ms"), &table.ttft_ms)?,
            tokens_per_s: self.number(
                &key("tokens_per_s"),
                &table.tokens_per_s,
                Range::Positive,
            )?,
            error_rate: or("error_rate", &table.error_rate, Range::Share, 0.0)?,
            concurrency: self.count(&key("concurrency"), &table.concurrency, 1, MAX_CONCURRENCY)?,
            congestion_above: or(
                "congestion_above",
                &table.congestion_above,
                Range::PositiveShare,
                DEFAULT_CONGESTION_ABOVE,
            )?,
            weight: or("weight", &table.weight, Range::Positive, 1.0)?,
        })
    }

    fn price(self, table: &file::Price) -> Result<Price, ScenarioError> {
        Ok(Price {
            input: self.number("endpoints.price.input", &table.input, Range::NotNegative)?,
            output: self.number("endpoints.price.output", &table.output, Range::NotNegative)?,
            cached_input: self
                .optional("endpoints.price.cached_input", table.cached_input.as_ref())?,
            cache_write: self
                .optional("endpoints.price.cache_write", table.cache_write.as_ref())?,
            request: self.optional("endpoints.price.request", table.request.as_ref())?,
            ..Price::default()
        })
    }
}

pub(super) fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

pub(super) fn milliseconds(milliseconds: f64) -> Duration {
    seconds(milliseconds / 1e3)
}
