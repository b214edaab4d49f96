//! Which records are meant: the same filters, by the same names, for every route that reads
//! and for `torana export`.
//!
//! A filter holds against the contract of the stores (`wit/sink`): what a store need not
//! understand is refused here, with the reason.

use uuid::Uuid;

use super::moment;
use super::parameters::{BadParameter, choice, once};
use crate::plugin::sink::{Comparison, EVERYTHING, MetricFilter, RowFilter, Table};

/// The names of all filters.
pub const NAMES: [&str; 13] = [
    "key",
    "function",
    "variant",
    "model",
    "endpoint",
    "outcome",
    "episode_id",
    "response_id",
    "tag",
    "metric",
    "text",
    "since",
    "until",
];

/// Tags and metrics of one question: the contract's bound.
const MOST: usize = 16;

const OUTCOMES: [(&str, &str); 4] =
    [("ok", "ok"), ("error", "error"), ("cancelled", "cancelled"), (LOST, LOST)];

/// Of attempts alone.
const LOST: &str = "lost";

/// Longest first: `>=` begins like `>`.
const COMPARISONS: [(&str, Comparison); 5] = [
    (">=", Comparison::AtLeast),
    ("<=", Comparison::AtMost),
    (">", Comparison::Greater),
    ("<", Comparison::Less),
    ("=", Comparison::Equal),
];

const METRIC: &str = "a metric, one of = < <= > >=, and a number, true or false, such as \
                      score>=0.5";

/// Filters as they are read, one by one.
#[derive(Debug)]
pub struct Filters(RowFilter);

impl Default for Filters {
    fn default() -> Self {
        Self(EVERYTHING)
    }
}

impl Filters {
    /// Takes a filter; `false` where the name is none of a filter.
    ///
    /// # Errors
    /// A value that the filter cannot have.
    pub fn take(&mut self, name: &str, value: &str) -> Result<bool, BadParameter> {
        let filter = &mut self.0;
        let slot = match name {
            "key" => &mut filter.key,
            "function" => &mut filter.function,
            "variant" => &mut filter.variant,
            "model" => &mut filter.model,
            "endpoint" => &mut filter.endpoint,
            "outcome" => &mut filter.outcome,
            "episode_id" => &mut filter.episode_id,
            "response_id" => &mut filter.response_id,
            "text" => &mut filter.text,
            "tag" => return self.tag(value).map(|()| true),
            "metric" => return self.metric(value).map(|()| true),
            "since" => return moment(&mut filter.since_unix_ms, name, value).map(|()| true),
            "until" => return moment(&mut filter.until_unix_ms, name, value).map(|()| true),
            _ => return Ok(false),
        };
        once(slot, name, checked(name, value)?)?;
        Ok(true)
    }

    /// The whole filter, for rows of `table`.
    ///
    /// # Errors
    /// Filters that exclude each other, or that rows of this kind do not have.
    pub fn finish(self, table: Table) -> Result<RowFilter, BadParameter> {
        let filter = self.0;
        let known = of(table);
        if let Some(name) = given(&filter).find(|name| !known.contains(name)) {
            return Err(BadParameter::Misplaced { name, known: known.join(", ") });
        }
        if filter.outcome.as_deref() == Some(LOST) && !matches!(table, Table::ModelInference) {
            let expected = "one of ok, error, cancelled; attempts alone are lost";
            return Err(BadParameter::value("outcome", LOST, expected));
        }
        if let (Some(since), Some(until)) = (filter.since_unix_ms, filter.until_unix_ms)
            && until <= since
        {
            let found = moment::rfc3339(until).unwrap_or_else(|| until.to_string());
            return Err(BadParameter::value("until", &found, "a time after since"));
        }
        Ok(filter)
    }

    fn tag(&mut self, value: &str) -> Result<(), BadParameter> {
        let tags = &mut self.0.tags;
        let bad = |expected| BadParameter::value("tag", value, expected);
        let (name, wanted) = value
            .split_once(':')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| bad("a name, a colon and a value, such as customer:42"))?;
        if tags.len() == MOST {
            return Err(bad("no more than 16 tags"));
        }
        tags.push((name.to_owned(), wanted.to_owned()));
        Ok(())
    }

    fn metric(&mut self, value: &str) -> Result<(), BadParameter> {
        let metrics = &mut self.0.metrics;
        let wanted = metric(value).ok_or_else(|| BadParameter::value("metric", value, METRIC))?;
        if metrics.len() == MOST {
            return Err(BadParameter::value("metric", value, "no more than 16 metrics"));
        }
        metrics.push(wanted);
        Ok(())
    }
}

/// Filters that rows of a kind can match.
fn of(table: Table) -> Vec<&'static str> {
    let lacks: &[&str] = match table {
        Table::Inference => &[],
        Table::ModelInference => &["text", "response_id"],
        Table::Feedback => &["text", "response_id", "model", "endpoint", "outcome"],
        Table::Decision | Table::PluginEvent | Table::Snapshot => return vec!["since", "until"],
    };
    NAMES.into_iter().filter(|name| !lacks.contains(name)).collect()
}

/// The names of what is set.
fn given(filter: &RowFilter) -> impl Iterator<Item = &'static str> {
    let set = [
        filter.key.is_some(),
        filter.function.is_some(),
        filter.variant.is_some(),
        filter.model.is_some(),
        filter.endpoint.is_some(),
        filter.outcome.is_some(),
        filter.episode_id.is_some(),
        filter.response_id.is_some(),
        !filter.tags.is_empty(),
        !filter.metrics.is_empty(),
        filter.text.is_some(),
        filter.since_unix_ms.is_some(),
        filter.until_unix_ms.is_some(),
    ];
    NAMES.into_iter().zip(set).filter_map(|(name, set)| set.then_some(name))
}

fn checked(name: &str, value: &str) -> Result<String, BadParameter> {
    if value.is_empty() {
        return Err(BadParameter::value(name, value, "a value, or the parameter left out"));
    }
    match name {
        "outcome" => choice(name, value, &OUTCOMES).map(str::to_owned),
        "episode_id" => {
            let id = Uuid::try_parse(value);
            let id = id.map_err(|_| BadParameter::value(name, value, "a UUID"))?;
            Ok(id.to_string())
        }
        "text" if !value.chars().any(char::is_alphanumeric) => {
            Err(BadParameter::value(name, value, "at least one word of letters or digits"))
        }
        _ => Ok(value.to_owned()),
    }
}

fn moment(slot: &mut Option<u64>, name: &str, value: &str) -> Result<(), BadParameter> {
    let at = moment::parse(value);
    once(slot, name, at.ok_or_else(|| BadParameter::value(name, value, moment::EXPECTED))?)
}

/// `score>=0.5`; a boolean counts as 0 or 1.
fn metric(text: &str) -> Option<MetricFilter> {
    let (name, rest) = text.split_at_checked(text.find(['<', '>', '='])?)?;
    let (comparison, value) = COMPARISONS.iter().find_map(|(sign, comparison)| {
        rest.strip_prefix(sign).map(|value| (*comparison, value.trim()))
    })?;
    let name = name.trim();
    let value = match value {
        "true" => 1.0,
        "false" => 0.0,
        number => number.parse().ok().filter(|number: &f64| number.is_finite())?,
    };
    (!name.is_empty()).then(|| MetricFilter { metric: name.to_owned(), comparison, value })
}

#[cfg(test)]
mod tests;
