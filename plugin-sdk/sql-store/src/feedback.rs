//! What a metric says of each variant: count, mean and variance of its last values.

use torana_plugin_sdk::host::sql::{Statement, Value};
use torana_plugin_sdk::sink::{FeedbackRequest, FeedbackRow, QueryError};

use crate::engine::Engine;
use crate::filter::Conditions;
use crate::list::{foreign, unavailable};
use crate::usage::bounded;

/// Groups beyond this are refused by the host's bound on values (100,000) with 5 columns.
const MAX_GROUPS: u32 = 10_000;

/// By function and variant, an absent name before every other. Of each inference or episode
/// counts the last value within the time that is asked for, by time and then id.
///
/// # Errors
///
/// A database that does not answer.
pub fn statistics(
    engine: &mut impl Engine,
    request: &FeedbackRequest,
) -> Result<Vec<FeedbackRow>, QueryError> {
    let mut conditions = Conditions::new(engine);
    let metric = conditions.bind(request.metric.as_str());
    conditions.push(format!("metric = {metric} AND value IS NOT NULL"));
    if let Some(function) = &request.function {
        let function = conditions.bind(function.as_str());
        conditions.push(format!("function = {function}"));
    }
    conditions.times(request.since_unix_ms, request.until_unix_ms);
    // In two passes, mean first: the sum of squares less the square of the sum loses digits.
    let sql = format!(
        "WITH ranked AS (
            SELECT function, variant, {value} AS value, row_number() OVER (
                PARTITION BY target, coalesce(target_id, id)
                ORDER BY time_unix_ms DESC, id DESC) AS place
            FROM {feedback} {clause}),
        centred AS (
            SELECT function, variant, value,
                avg(value) OVER (PARTITION BY function, variant) AS mean
            FROM ranked WHERE place = 1)
        SELECT function, variant, count(*), avg(value),
            CASE WHEN count(*) > 1
                THEN sum((value - mean) * (value - mean)) / (count(*) - 1) ELSE 0.0 END
        FROM centred GROUP BY function, variant
        ORDER BY function NULLS FIRST, variant NULLS FIRST LIMIT {MAX_GROUPS}",
        value = bounded("value"),
        feedback = engine.table("feedback"),
        clause = conditions.clause(),
    );
    let statement = Statement::new(sql, conditions.parameters);
    let rows = engine.query(&statement).map_err(|error| unavailable(&error))?.rows;
    rows.into_iter().map(|values| row(engine, values)).collect()
}

fn row(engine: &impl Engine, row: Vec<Value>) -> Result<FeedbackRow, QueryError> {
    let Ok([function, variant, Value::Integer(count), Value::Real(mean), Value::Real(variance)]) =
        <[Value; 5]>::try_from(row)
    else {
        return Err(foreign());
    };
    Ok(FeedbackRow {
        function: name(engine, function)?,
        variant: name(engine, variant)?,
        count: u64::try_from(count).map_err(|_| foreign())?,
        mean,
        variance,
    })
}

fn name(engine: &impl Engine, value: Value) -> Result<Option<String>, QueryError> {
    match value {
        Value::Null => Ok(None),
        Value::Text(name) => Ok(Some(engine.restored(name))),
        _ => Err(foreign()),
    }
}
