//! Sums by group and by time, with exact percentiles.
//!
//! One statement, so that all figures are of one moment. A group is known by the JSON array
//! of its start and names, which no two share; counts come as a JSON array too, so that the
//! largest report stays within the values that the host hands over at once.

use torana_plugin_sdk::host::sql::{Statement, Value};
use torana_plugin_sdk::sink::{
    Dimension, QueryError, Spread, Table, UsageReport, UsageRequest, UsageRow,
};

use crate::engine::Engine;
use crate::filter::{self, Conditions};
use crate::list::{foreign, unavailable};

const MAX_GROUPS: u32 = 10_000;
/// Finer buckets are no statistics any more.
const MIN_INTERVAL_MS: u64 = 1_000;

/// Sums of the rows that `request.filter` passes.
///
/// # Errors
///
/// Another table than the two that have usage; a filter that the table cannot be asked with;
/// a database that does not answer.
pub fn report(engine: &mut impl Engine, request: &UsageRequest) -> Result<UsageReport, QueryError> {
    if !matches!(request.of, Table::Inference | Table::ModelInference) {
        let message = format!("{} has no usage", filter::name(request.of));
        return Err(QueryError::Unsupported(message));
    }
    if request.interval_ms.is_some_and(|interval| interval < MIN_INTERVAL_MS) {
        let message = format!("an interval below {MIN_INTERVAL_MS} ms");
        return Err(QueryError::Unsupported(message));
    }
    let limit = request.limit.clamp(1, MAX_GROUPS);
    let statement = statement(engine, request, limit)?;
    let rows = engine.query(&statement).map_err(|error| unavailable(&error))?.rows;
    let truncated = rows.len() > limit as usize;
    let rows = rows.into_iter().take(limit as usize).map(|values| row(engine, values));
    Ok(UsageReport { rows: rows.collect::<Result<_, _>>()?, truncated })
}

fn statement(
    engine: &impl Engine,
    request: &UsageRequest,
    limit: u32,
) -> Result<Statement, QueryError> {
    let mut conditions = Conditions::of(engine, request.of, &request.filter)?;
    let start = match request.interval_ms {
        // Times are not negative, and so the remainder is not either.
        Some(interval) => {
            let interval = conditions.bind(interval);
            format!("time_unix_ms - time_unix_ms % {interval}")
        }
        None => "NULL".to_owned(),
    };
    let mut picked = vec![format!("{start} AS start")];
    let mut group = vec!["start".to_owned()];
    for (dimension, place) in request.by.iter().zip(1..) {
        picked.push(format!("{} AS name_{place}", column(request.of, *dimension)));
        group.push(format!("name_{place}"));
    }
    let by = |table: &str| {
        let column = |name: &String| format!("{table}{name} NULLS FIRST");
        group.iter().map(column).collect::<Vec<_>>().join(", ")
    };
    let (order, ordered) = (by(""), by("sums."));
    let (picked, group) = (picked.join(", "), group.join(", "));
    let name = engine.json_array(&group);
    let limit = conditions.bind(i64::from(limit) + 1);
    let sql = format!(
        "WITH picked AS MATERIALIZED (
            SELECT {picked}, outcome, input_tokens, cached_input_tokens, cache_write_tokens,
                output_tokens, reasoning_tokens, cost_usd, unpriced, ttft_ms, total_ms
            FROM {table} {clause}),
        sums AS MATERIALIZED (
            SELECT {group}, {name} AS name, {counts} AS counts,
                coalesce(sum({cost}), 0.0) AS cost_usd
            FROM picked GROUP BY {group} ORDER BY {order} LIMIT {limit}),
        ttft AS MATERIALIZED ({ttft}),
        whole AS MATERIALIZED ({whole})
        SELECT sums.name, sums.counts, sums.cost_usd, ttft.mean, ttft.p50, ttft.p95,
            whole.mean, whole.p50, whole.p95
        FROM sums LEFT JOIN ttft ON ttft.name = sums.name
        LEFT JOIN whole ON whole.name = sums.name
        ORDER BY {ordered}",
        table = engine.table(filter::name(request.of)),
        clause = conditions.clause(),
        cost = bounded("cost_usd"),
        counts = engine.json_array(&counts(engine)),
        ttft = spread(&name, &group, "ttft_ms"),
        whole = spread(&name, &group, "total_ms"),
    );
    Ok(Statement::new(sql, conditions.parameters))
}

/// Attempts are made in the provider's dialect: theirs is not the client's.
fn column(of: Table, dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Key => "key",
        Dimension::Function => "function",
        Dimension::Variant => "variant",
        Dimension::Model => "model",
        Dimension::Endpoint => "endpoint",
        Dimension::Outcome => "outcome",
        Dimension::Dialect if of == Table::Inference => "dialect",
        Dimension::Dialect => "NULL",
    }
}

/// Not beyond what can be summed and squared: PostgreSQL fails where a number runs over, and one
/// that nobody means would make every report fail.
pub(crate) fn bounded(column: &str) -> String {
    format!(
        "CASE WHEN {column} > 1e100 THEN 1e100 WHEN {column} < -1e100 THEN -1e100 \
         WHEN abs({column}) < 1e-100 THEN 0.0 ELSE {column} END"
    )
}

fn counts(engine: &impl Engine) -> String {
    let mut counts = vec!["count(*)".to_owned()];
    for outcome in ["ok", "error", "cancelled"] {
        counts.push(format!("count(*) FILTER (WHERE outcome = '{outcome}')"));
    }
    for column in [
        "input_tokens",
        "cached_input_tokens",
        "cache_write_tokens",
        "output_tokens",
        "reasoning_tokens",
    ] {
        counts.push(engine.whole_sum(column));
    }
    counts.push("count(*) FILTER (WHERE unpriced)".to_owned());
    counts.join(", ")
}

/// Mean and percentiles of each group: the value at position floor(p × n), counted from 0.
fn spread(name: &str, group: &str, column: &str) -> String {
    format!(
        "SELECT {name} AS name, avg(value) AS mean,
            max(value) FILTER (WHERE place = rows * 50 / 100) AS p50,
            max(value) FILTER (WHERE place = rows * 95 / 100) AS p95
        FROM (
            SELECT {group}, {column} AS value,
                row_number() OVER (PARTITION BY {group} ORDER BY {column}) - 1 AS place,
                count(*) OVER (PARTITION BY {group}) AS rows
            FROM picked WHERE outcome = 'ok' AND {column} IS NOT NULL) AS ranked
        GROUP BY {group}"
    )
}

fn row(engine: &impl Engine, row: Vec<Value>) -> Result<UsageRow, QueryError> {
    let mut values = row.into_iter();
    let (Some(Value::Text(name)), Some(Value::Text(counts)), Some(Value::Real(cost_usd))) =
        (values.next(), values.next(), values.next())
    else {
        return Err(foreign());
    };
    let (start_unix_ms, group) = group(engine, &name).ok_or_else(foreign)?;
    let [
        rows,
        ok,
        errors,
        cancelled,
        input_tokens,
        cached_input_tokens,
        cache_write_tokens,
        output_tokens,
        reasoning_tokens,
        unpriced,
    ]: [u64; 10] = serde_json::from_str(&counts).map_err(|_| foreign())?;
    Ok(UsageRow {
        start_unix_ms,
        group,
        rows,
        ok,
        errors,
        cancelled,
        input_tokens,
        cached_input_tokens,
        cache_write_tokens,
        output_tokens,
        reasoning_tokens,
        cost_usd,
        unpriced,
        ttft: three(&mut values),
        total: three(&mut values),
    })
}

/// `[start, name, …]`
fn group(engine: &impl Engine, name: &str) -> Option<(Option<u64>, Vec<Option<String>>)> {
    let mut names: Vec<serde_json::Value> = serde_json::from_str(name).ok()?;
    if names.is_empty() {
        return None;
    }
    let start = names.remove(0).as_u64();
    let restored = |name: &serde_json::Value| Some(engine.restored(name.as_str()?.to_owned()));
    Some((start, names.iter().map(restored).collect()))
}

fn three(values: &mut impl Iterator<Item = Value>) -> Option<Spread> {
    let figures = [values.next(), values.next(), values.next()];
    match figures {
        [Some(Value::Real(mean_ms)), Some(Value::Real(p50_ms)), Some(Value::Real(p95_ms))] => {
            Some(Spread { mean_ms, p50_ms, p95_ms })
        }
        _ => None,
    }
}
