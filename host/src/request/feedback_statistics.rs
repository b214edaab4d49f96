//! `GET /v1/feedback/statistics`: how the variants of functions do by one metric.
//!
//! The contract of the stores sums over all keys, so that only a caller who may read all of
//! them gets an answer.

use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::inferences::moment;
use super::inferences::parameters::{BadParameter, once, pairs};
use super::inferences::scope::Scope;
use super::inferences::store::Store;
use super::reply::{self, ReplyBody};
use crate::error::Cause;
use crate::gateway::Gateway;
use crate::plugin::sink::{FeedbackRequest, FeedbackRow};
use crate::snapshot::Snapshot;

const NAMES: [&str; 4] = ["metric", "function", "since", "until"];

/// Count, mean and variance of a metric, by function and variant.
pub async fn statistics(
    gateway: &Gateway,
    snapshot: &Snapshot,
    scope: Scope<'_>,
    query: &str,
) -> Result<Response<ReplyBody>, Cause> {
    let request = parse(query)?;
    scope.all()?;
    let rows = Store::of(gateway, snapshot)?.feedback(&request).await?;
    Ok(reply::json(StatusCode::OK, answer(&request.metric, &rows).to_string()))
}

fn parse(query: &str) -> Result<FeedbackRequest, BadParameter> {
    let (mut metric, mut function, mut since, mut until) = (None, None, None, None);
    for pair in pairs(query) {
        let (name, value) = pair?;
        let at = || {
            moment::parse(&value)
                .ok_or_else(|| BadParameter::value(&name, &value, moment::EXPECTED))
        };
        match name.as_str() {
            "metric" | "function" if value.is_empty() => {
                return Err(BadParameter::value(&name, &value, "a name"));
            }
            "metric" => once(&mut metric, &name, value)?,
            "function" => once(&mut function, &name, value)?,
            "since" => once(&mut since, &name, at()?)?,
            "until" => once(&mut until, &name, at()?)?,
            _ => return Err(BadParameter::unknown(&name, &[&NAMES])),
        }
    }
    let missing = BadParameter::Missing { name: "metric", expected: "the name of a metric" };
    Ok(FeedbackRequest {
        metric: metric.ok_or(missing)?,
        function,
        since_unix_ms: since,
        until_unix_ms: until,
    })
}

fn answer(metric: &str, rows: &[FeedbackRow]) -> Value {
    let described = |row: &FeedbackRow| {
        json!({
            "function": row.function,
            "variant": row.variant,
            "count": row.count,
            "mean": row.mean,
            "variance": row.variance,
        })
    };
    let rows: Vec<Value> = rows.iter().map(described).collect();
    json!({ "object": "list", "metric": metric, "data": rows })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_asked_for_by_name() {
        let request = parse("metric=score&function=f&since=1970-01-02&until=9").unwrap();
        assert_eq!((request.metric.as_str(), request.function.as_deref()), ("score", Some("f")));
        assert_eq!((request.since_unix_ms, request.until_unix_ms), (Some(86_400_000), Some(9)));
        for (query, said) in [
            ("", "metric: there is none; expected the name of a metric"),
            ("metric=", "metric: found \"\"; expected a name"),
            ("metric=a&metric=b", "metric: there is already one"),
            ("metric=a&since=x", "since: found \"x\"; expected Unix milliseconds"),
            ("metric=a&key=k", "key: unknown parameter; there are metric, function, since, until"),
        ] {
            let found = parse(query).unwrap_err().to_string();
            assert!(found.starts_with(said), "{query}: {found}");
        }
    }

    #[test]
    fn an_answer_has_one_row_for_each_variant() {
        let variant = Some("v".to_owned());
        let row = FeedbackRow { function: None, variant, count: 2, mean: 0.5, variance: 0.5 };
        let described = json!({
            "function": null, "variant": "v", "count": 2, "mean": 0.5, "variance": 0.5,
        });
        let expected = json!({ "object": "list", "metric": "score", "data": [described] });
        assert_eq!(answer("score", &[row]), expected);
    }
}
