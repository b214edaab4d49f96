//! Tokens, cost and times, summed up by name and by time.

use torana_plugin_sdk::sink::{
    Dimension, QueryError, Spread, Table, UsageReport, UsageRequest, UsageRow,
};

use crate::answer::{self, Cells};
use crate::condition::condition;
use crate::failure::Failure;
use crate::read::{name, unavailable};
use crate::server::{Server, Transport};
use crate::statement::Statement;

const MAX_LIMIT: u32 = 10_000;
/// A second, the shortest bucket.
const SHORTEST_MS: u64 = 1_000;

/// In the order of the fields of [`UsageRow`]. quantileExact takes the value at position
/// floor(p × n) of the sorted values, as the contract defines it.
const FIGURES: &str = "count(), countIf(outcome = 'ok'), countIf(outcome = 'error'),
    countIf(outcome = 'cancelled'), sum(ifNull(input_tokens, 0)),
    sum(ifNull(cached_input_tokens, 0)), sum(ifNull(cache_write_tokens, 0)),
    sum(ifNull(output_tokens, 0)), sum(ifNull(reasoning_tokens, 0)), sum(ifNull(cost_usd, 0)),
    countIf(has_usage AND cost_usd IS NULL),
    countIf(outcome = 'ok' AND ttft_ms IS NOT NULL), avgIf(ttft_ms, outcome = 'ok'),
    quantileExactIf(0.5)(ttft_ms, outcome = 'ok'), quantileExactIf(0.95)(ttft_ms, outcome = 'ok'),
    countIf(outcome = 'ok' AND total_ms IS NOT NULL), avgIf(total_ms, outcome = 'ok'),
    quantileExactIf(0.5)(total_ms, outcome = 'ok'), quantileExactIf(0.95)(total_ms, outcome = 'ok')";

/// The sums of each group.
///
/// # Errors
///
/// A table without usage, an interval that is too short, or a server that does not answer.
pub(crate) fn report<T: Transport>(
    server: &mut Server<T>,
    request: &UsageRequest,
) -> Result<UsageReport, QueryError> {
    let limit = request.limit.clamp(1, MAX_LIMIT) as usize;
    let statement = statement(request, limit)?;
    let answer = server.ask(statement).map_err(unavailable)?;
    let mut rows = Vec::new();
    for cells in answer::rows(&answer).map_err(unavailable)? {
        rows.push(row(cells, request).map_err(unavailable)?);
    }
    let truncated = rows.len() > limit;
    rows.truncate(limit);
    Ok(UsageReport { rows, truncated })
}

fn statement(request: &UsageRequest, limit: usize) -> Result<Statement, QueryError> {
    if !matches!(request.of, Table::Inference | Table::ModelInference) {
        let message = format!("rows of {} have no usage", name(request.of));
        return Err(QueryError::Unsupported(message));
    }
    if request.interval_ms.is_some_and(|interval| interval < SHORTEST_MS) {
        let message = format!("an interval below {SHORTEST_MS} ms");
        return Err(QueryError::Unsupported(message));
    }
    let mut statement = Statement::default();
    let condition = condition(&mut statement, request.of, &request.filter)?;
    let mut groups: Vec<String> = Vec::new();
    if let Some(interval) = request.interval_ms {
        let interval = statement.unsigned(interval);
        groups.push(format!("intDiv(time_unix_ms, {interval}) * {interval}"));
    }
    let columns = request.by.iter().map(|dimension| column(request.of, *dimension).to_owned());
    groups.extend(columns);
    let figures = groups.iter().map(|group| format!("{group}, ")).collect::<String>() + FIGURES;
    let (grouping, order) = if groups.is_empty() {
        (String::new(), String::new())
    } else {
        let order: Vec<String> =
            groups.iter().map(|group| format!("{group} ASC NULLS FIRST")).collect();
        (format!("GROUP BY {}", groups.join(", ")), format!("ORDER BY {}", order.join(", ")))
    };
    // Without groups there is a sum also of nothing.
    let sql = format!(
        "SELECT {figures} FROM {} FINAL WHERE {condition} {grouping} HAVING count() > 0 \
         {order} LIMIT {}",
        name(request.of),
        limit + 1
    );
    Ok(statement.with(sql))
}

fn column(table: Table, dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Key => "key",
        Dimension::Function => "function",
        Dimension::Variant => "variant",
        Dimension::Model => "model",
        Dimension::Endpoint => "endpoint",
        Dimension::Outcome => "outcome",
        Dimension::Dialect if table == Table::Inference => "dialect",
        // Attempts have none.
        Dimension::Dialect => "CAST(NULL, 'Nullable(String)')",
    }
}

fn row(mut cells: Cells, request: &UsageRequest) -> Result<UsageRow, Failure> {
    let start_unix_ms = match request.interval_ms {
        Some(_) => Some(cells.next()?.unsigned()?),
        None => None,
    };
    let mut group = Vec::with_capacity(request.by.len());
    for _ in &request.by {
        group.push(cells.next()?.optional_text()?);
    }
    Ok(UsageRow {
        start_unix_ms,
        group,
        rows: cells.next()?.unsigned()?,
        ok: cells.next()?.unsigned()?,
        errors: cells.next()?.unsigned()?,
        cancelled: cells.next()?.unsigned()?,
        input_tokens: cells.next()?.unsigned()?,
        cached_input_tokens: cells.next()?.unsigned()?,
        cache_write_tokens: cells.next()?.unsigned()?,
        output_tokens: cells.next()?.unsigned()?,
        reasoning_tokens: cells.next()?.unsigned()?,
        cost_usd: cells.next()?.float()?.unwrap_or(0.0),
        unpriced: cells.next()?.unsigned()?,
        ttft: spread(&mut cells)?,
        total: spread(&mut cells)?,
    })
}

/// How many values, their mean and percentiles.
fn spread(cells: &mut Cells) -> Result<Option<Spread>, Failure> {
    let count = cells.next()?.unsigned()?;
    let mut figure = || Ok::<f64, Failure>(cells.next()?.float()?.unwrap_or(0.0));
    let spread = Spread { mean_ms: figure()?, p50_ms: figure()?, p95_ms: figure()? };
    Ok((count > 0).then_some(spread))
}
