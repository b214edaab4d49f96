//! `GET /v1/usage`: sums over records, by what they have in common and by time.
//!
//! One question for roll-ups and charts: `of` whole calls or attempts, `by` any dimensions,
//! in buckets of `interval`, of the records that the filters of `GET /v1/inferences` leave.
//! The store sums; what it means by each figure is its contract (`wit/sink`).

use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::inferences::filter::{self, Filters};
use super::inferences::moment;
use super::inferences::parameters::{BadParameter, bounded, choice, once, pairs};
use super::inferences::scope::Scope;
use super::inferences::store::Store;
use super::reply::{self, ReplyBody};
use crate::error::Cause;
use crate::gateway::Gateway;
use crate::plugin::sink::{Dimension, Spread, Table, UsageReport, UsageRequest, UsageRow};
use crate::snapshot::Snapshot;

/// Groups in one answer, unless `limit` says otherwise: a chart of a day by the minute for a
/// model or a month by the hour. At most, which is the contract's bound.
const DEFAULT_LIMIT: u32 = 1_000;
const MAX_LIMIT: u32 = 10_000;

/// Beside the filters.
const NAMES: [&str; 4] = ["of", "by", "interval", "limit"];

const TABLES: [(&str, Table); 2] =
    [("inference", Table::Inference), ("attempt", Table::ModelInference)];

const DIMENSIONS: [(&str, Dimension); 7] = [
    ("key", Dimension::Key),
    ("function", Dimension::Function),
    ("variant", Dimension::Variant),
    ("model", Dimension::Model),
    ("endpoint", Dimension::Endpoint),
    ("outcome", Dimension::Outcome),
    ("dialect", Dimension::Dialect),
];

const SECOND_MS: u64 = 1_000;

/// Units of an interval, in seconds. Weeks are left out: counted from 1970 they would begin
/// on Thursdays.
const UNITS: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];

/// The longest interval, in seconds: ten years, more than any store keeps.
const LONGEST_SECONDS: u64 = 3_660 * 86_400;

const INTERVAL: &str =
    "hour, day, or a number with s, m, h or d behind it, such as 15m, up to 3660d";

/// Sums over records.
pub async fn usage(
    gateway: &Gateway,
    snapshot: &Snapshot,
    scope: Scope<'_>,
    query: &str,
) -> Result<Response<ReplyBody>, Cause> {
    let mut request = parse(query)?;
    scope.narrow(&mut request.filter)?;
    let report = Store::of(gateway, snapshot)?.usage(&request).await?;
    let body = answer(&request.by, &report);
    Ok(reply::json(StatusCode::OK, body.to_string()))
}

fn parse(query: &str) -> Result<UsageRequest, BadParameter> {
    let mut filters = Filters::default();
    let (mut of, mut by, mut interval_ms, mut limit) = (None, None, None, None);
    for pair in pairs(query) {
        let (name, value) = pair?;
        if filters.take(&name, &value)? {
            continue;
        }
        match name.as_str() {
            "of" => once(&mut of, &name, choice(&name, &value, &TABLES)?)?,
            "by" => once(&mut by, &name, dimensions(&value)?)?,
            "interval" => {
                let bad = || BadParameter::value(&name, &value, INTERVAL);
                once(&mut interval_ms, &name, interval(&value).ok_or_else(bad)?)?;
            }
            "limit" => once(&mut limit, &name, bounded(&name, &value, 1..=MAX_LIMIT)?)?,
            _ => return Err(BadParameter::unknown(&name, &[&NAMES, &filter::NAMES])),
        }
    }
    let of = of.unwrap_or(Table::Inference);
    Ok(UsageRequest {
        of,
        filter: filters.finish(of)?,
        by: by.unwrap_or_default(),
        interval_ms,
        limit: limit.unwrap_or(DEFAULT_LIMIT),
    })
}

fn dimensions(list: &str) -> Result<Vec<Dimension>, BadParameter> {
    let mut dimensions = Vec::new();
    for word in list.split(',') {
        let dimension = choice("by", word, &DIMENSIONS)?;
        if dimensions.contains(&dimension) {
            return Err(BadParameter::value("by", list, format!("{word} only once")));
        }
        dimensions.push(dimension);
    }
    Ok(dimensions)
}

/// Milliseconds.
fn interval(text: &str) -> Option<u64> {
    let seconds = match text {
        "hour" => 3_600,
        "day" => 86_400,
        _ => UNITS.iter().find_map(|(unit, seconds)| {
            let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
            number.checked_mul(*seconds)
        })?,
    };
    (1..=LONGEST_SECONDS).contains(&seconds).then_some(seconds * SECOND_MS)
}

fn answer(by: &[Dimension], report: &UsageReport) -> Value {
    let rows: Vec<Value> = report.rows.iter().map(|row| described(by, row)).collect();
    json!({ "object": "list", "data": rows, "truncated": report.truncated })
}

fn described(by: &[Dimension], row: &UsageRow) -> Value {
    let mut fields = Map::new();
    let mut put = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    put("start", row.start_unix_ms.and_then(moment::rfc3339).into());
    put("start_unix_ms", row.start_unix_ms.into());
    for (dimension, value) in by.iter().zip(&row.group) {
        put(name(*dimension), value.clone().into());
    }
    put("rows", row.rows.into());
    put("ok", row.ok.into());
    put("errors", row.errors.into());
    put("cancelled", row.cancelled.into());
    put("input_tokens", row.input_tokens.into());
    put("cached_input_tokens", row.cached_input_tokens.into());
    put("cache_write_tokens", row.cache_write_tokens.into());
    put("output_tokens", row.output_tokens.into());
    put("reasoning_tokens", row.reasoning_tokens.into());
    put("cost_usd", row.cost_usd.into());
    put("unpriced", row.unpriced.into());
    put("ttft_ms", spread(row.ttft.as_ref()));
    put("total_ms", spread(row.total.as_ref()));
    fields.into()
}

fn name(dimension: Dimension) -> &'static str {
    DIMENSIONS.iter().find(|(_, known)| *known == dimension).map_or("", |(name, _)| *name)
}

fn spread(spread: Option<&Spread>) -> Value {
    spread
        .map_or(Value::Null, |it| json!({ "mean": it.mean_ms, "p50": it.p50_ms, "p95": it.p95_ms }))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_read_with_its_dimensions_interval_and_filters() {
        let request =
            parse("of=attempt&by=endpoint,model&interval=15m&limit=7&key=k&since=5").unwrap();
        assert_eq!(request.of, Table::ModelInference);
        assert_eq!(request.by, [Dimension::Endpoint, Dimension::Model]);
        assert_eq!((request.interval_ms, request.limit), (Some(900_000), 7));
        assert_eq!(request.filter.key.as_deref(), Some("k"));
        let request = parse("").unwrap();
        assert_eq!((request.of, request.limit), (Table::Inference, 1_000));
        assert!(request.by.is_empty() && request.interval_ms.is_none());
    }

    #[test]
    fn an_interval_is_a_word_or_a_number_with_its_unit() {
        for (text, seconds) in
            [("hour", 3_600), ("day", 86_400), ("1s", 1), ("90s", 90), ("7d", 604_800)]
        {
            assert_eq!(interval(text), Some(seconds * 1_000), "{text}");
        }
        for text in
            ["", "0s", "week", "1w", "s", "-1h", "1.5h", "15", "3661d", "99999999999999999999d"]
        {
            assert_eq!(interval(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (query, said) in [
            ("of=calls", "of: found \"calls\"; expected one of inference, attempt"),
            ("by=colour", "by: found \"colour\"; expected one of key, function, variant, model,"),
            ("by=", "by: found \"\"; expected one of"),
            ("by=model,model", "by: found \"model,model\"; expected model only once"),
            ("by=model&by=key", "by: there is already one"),
            ("interval=week", "interval: found \"week\"; expected hour, day, or a number"),
            ("limit=10001", "limit: found \"10001\"; expected an integer from 1 to 10000"),
            ("of=attempt&text=x", "text: rows of this kind have none; expected one of key,"),
            ("cursor=x", "cursor: unknown parameter; there are of, by, interval, limit, key,"),
        ] {
            let found = parse(query).unwrap_err().to_string();
            assert!(found.starts_with(said), "{query}: {found}");
        }
    }

    #[test]
    fn a_row_has_its_dimensions_by_name_and_null_for_what_there_is_none_of() {
        let row = UsageRow {
            start_unix_ms: Some(1_795_392_000_000),
            group: vec![Some("m".into()), None],
            rows: 3,
            ok: 2,
            errors: 1,
            cancelled: 0,
            input_tokens: 10,
            cached_input_tokens: 4,
            cache_write_tokens: 1,
            output_tokens: 5,
            reasoning_tokens: 2,
            cost_usd: 0.25,
            unpriced: 1,
            ttft: None,
            total: Some(Spread { mean_ms: 2.0, p50_ms: 1.5, p95_ms: 3.0 }),
        };
        let report = UsageReport { rows: vec![row], truncated: true };
        let answer = answer(&[Dimension::Model, Dimension::Key], &report);
        assert_eq!(
            answer,
            json!({
                "object": "list",
                "data": [{
                    "start": "2026-11-23T00:00:00.000Z", "start_unix_ms": 1_795_392_000_000_u64,
                    "model": "m", "key": null,
                    "rows": 3, "ok": 2, "errors": 1, "cancelled": 0,
                    "input_tokens": 10, "cached_input_tokens": 4, "cache_write_tokens": 1,
                    "output_tokens": 5, "reasoning_tokens": 2,
                    "cost_usd": 0.25, "unpriced": 1,
                    "ttft_ms": null, "total_ms": { "mean": 2.0, "p50": 1.5, "p95": 3.0 },
                }],
                "truncated": true,
            })
        );
    }
}
