//! Sums by group and by time, with exact percentiles.
//!
//! One statement, so that all figures are of one moment. A group is known by the JSON array
//! of its start and names, which no two share; counts come as a JSON array too, so that the
//! largest report stays within the values that the host hands over at once.

use torana_plugin_sdk::host::sql::{Database, Statement, Value};
use torana_plugin_sdk::sink::{Dimension, QueryError, Spread, UsageReport, UsageRequest, UsageRow};

use crate::filter::{self, Conditions};
use crate::list::{foreign, unavailable};
use torana_plugin_sdk::sink::Table;

const MAX_GROUPS: u32 = 10_000;
/// Finer buckets are no statistics any more.
const MIN_INTERVAL_MS: u64 = 1_000;

/// Sums of the rows that `request.filter` passes.
///
/// # Errors
///
/// Another table than the two that have usage; a filter that the table cannot be asked with;
/// a database that does not answer.
pub(crate) fn report(
    database: &mut impl Database,
    request: &UsageRequest,
) -> Result<UsageReport, QueryError> {
    if !matches!(request.of, Table::Inference | Table::ModelInference) {
        let message = format!("{} has no usage", filter::name(request.of));
        return Err(QueryError::Unsupported(message));
    }
    if request.interval_ms.is_some_and(|interval| interval < MIN_INTERVAL_MS) {
        let message = format!("an interval below {MIN_INTERVAL_MS} ms");
        return Err(QueryError::Unsupported(message));
    }
    let limit = request.limit.clamp(1, MAX_GROUPS);
    let statement = statement(request, limit)?;
    let rows = database.query(&statement).map_err(|error| unavailable(&error))?.rows;
    let truncated = rows.len() > limit as usize;
    let rows = rows.into_iter().take(limit as usize).map(row);
    Ok(UsageReport { rows: rows.collect::<Result<_, _>>()?, truncated })
}

fn statement(request: &UsageRequest, limit: u32) -> Result<Statement, QueryError> {
    let mut conditions = Conditions::of(request.of, &request.filter)?;
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
    let (picked, group) = (picked.join(", "), group.join(", "));
    let limit = conditions.bind(i64::from(limit) + 1);
    let sql = format!(
        "WITH picked AS MATERIALIZED (
            SELECT {picked}, outcome, input_tokens, cached_input_tokens, cache_write_tokens,
                output_tokens, reasoning_tokens, cost_usd, unpriced, ttft_ms, total_ms
            FROM {table} {clause}),
        sums AS MATERIALIZED (
            SELECT {group}, json_array({group}) AS name, json_array(
                count(*), sum(outcome IS 'ok'), sum(outcome IS 'error'),
                sum(outcome IS 'cancelled'), {input}, {cached}, {cache_write}, {output},
                {reasoning}, sum(unpriced)) AS counts, total(cost_usd) AS cost_usd
            FROM picked GROUP BY {group} ORDER BY {group} LIMIT {limit}),
        ttft AS MATERIALIZED ({ttft}),
        whole AS MATERIALIZED ({whole})
        SELECT sums.name, sums.counts, sums.cost_usd, ttft.mean, ttft.p50, ttft.p95,
            whole.mean, whole.p50, whole.p95
        FROM sums LEFT JOIN ttft ON ttft.name = sums.name
        LEFT JOIN whole ON whole.name = sums.name
        ORDER BY {ordered}",
        table = filter::name(request.of),
        clause = conditions.clause(),
        input = tokens("input_tokens"),
        cached = tokens("cached_input_tokens"),
        cache_write = tokens("cache_write_tokens"),
        output = tokens("output_tokens"),
        reasoning = tokens("reasoning_tokens"),
        ttft = spread(&group, "ttft_ms"),
        whole = spread(&group, "total_ms"),
        ordered = group.split(", ").map(|it| format!("sums.{it}")).collect::<Vec<_>>().join(", "),
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

/// `sum` fails where whole numbers run over, and one provider's nonsense would make every
/// report fail; `total` is exact up to 2^53.
fn tokens(column: &str) -> String {
    format!("CAST(total({column}) AS INTEGER)")
}

/// Mean and percentiles of each group: the value at position floor(p × n), counted from 0.
fn spread(group: &str, column: &str) -> String {
    format!(
        "SELECT json_array({group}) AS name, avg(value) AS mean,
            max(iif(position = count * 50 / 100, value, NULL)) AS p50,
            max(iif(position = count * 95 / 100, value, NULL)) AS p95
        FROM (
            SELECT {group}, {column} AS value,
                row_number() OVER (PARTITION BY {group} ORDER BY {column}) - 1 AS position,
                count(*) OVER (PARTITION BY {group}) AS count
            FROM picked WHERE outcome = 'ok' AND {column} IS NOT NULL)
        GROUP BY {group}"
    )
}

fn row(row: Vec<Value>) -> Result<UsageRow, QueryError> {
    let mut values = row.into_iter();
    let (Some(Value::Text(name)), Some(Value::Text(counts)), Some(Value::Real(cost_usd))) =
        (values.next(), values.next(), values.next())
    else {
        return Err(foreign());
    };
    let (start_unix_ms, group) = group(&name).ok_or_else(foreign)?;
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
fn group(name: &str) -> Option<(Option<u64>, Vec<Option<String>>)> {
    let mut names: Vec<serde_json::Value> = serde_json::from_str(name).ok()?;
    if names.is_empty() {
        return None;
    }
    let start = names.remove(0).as_u64();
    Some((start, names.iter().map(|name| name.as_str().map(str::to_owned)).collect()))
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
