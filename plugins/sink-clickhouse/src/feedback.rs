//! What a metric says of each variant.

use torana_plugin_sdk::sink::{FeedbackRequest, FeedbackRow, QueryError};

use crate::answer;
use crate::failure::Failure;
use crate::read::unavailable;
use crate::server::{Server, Transport};
use crate::statement::Statement;

/// Functions times variants; far more than there ever are.
const MOST_GROUPS: u32 = 10_000;

/// By function and variant; what has none comes first.
///
/// # Errors
///
/// A server that does not answer.
pub(crate) fn statistics<T: Transport>(
    server: &mut Server<T>,
    request: &FeedbackRequest,
) -> Result<Vec<FeedbackRow>, QueryError> {
    let answer = server.ask(statement(request)).map_err(unavailable)?;
    rows(&answer).map_err(unavailable)
}

/// The last value on each inference or episode, then what each variant has of them. Copies of
/// a row do not matter: the last of two equal ones is the same.
fn statement(request: &FeedbackRequest) -> Statement {
    let mut statement = Statement::default();
    let mut condition =
        format!("metric = {} AND value IS NOT NULL", statement.text(&request.metric));
    if let Some(function) = &request.function {
        condition += &format!(" AND function = {}", statement.text(function));
    }
    if let Some(since) = request.since_unix_ms {
        condition += &format!(" AND time_unix_ms >= {}", statement.unsigned(since));
    }
    if let Some(until) = request.until_unix_ms {
        condition += &format!(" AND time_unix_ms < {}", statement.unsigned(until));
    }
    // In a tuple, because argMax passes over NULL.
    let sql = format!(
        "SELECT last.1, last.2, count(), avg(last.3), varSampStable(last.3) FROM (
            SELECT argMax((function, variant, assumeNotNull(value)), (time_unix_ms, id)) AS last
            FROM feedback WHERE {condition}
            GROUP BY target, coalesce(if(target = 'episode', episode_id, inference_id), id)
        ) GROUP BY last.1, last.2 ORDER BY last.1 ASC NULLS FIRST, last.2 ASC NULLS FIRST
        LIMIT {MOST_GROUPS}"
    );
    statement.with(sql)
}

fn rows(answer: &[u8]) -> Result<Vec<FeedbackRow>, Failure> {
    let mut rows = Vec::new();
    for mut cells in answer::rows(answer)? {
        rows.push(FeedbackRow {
            function: cells.next()?.optional_text()?,
            variant: cells.next()?.optional_text()?,
            count: cells.next()?.unsigned()?,
            mean: cells.next()?.float()?.unwrap_or(0.0),
            // Of a single value: not a number.
            variance: cells.next()?.float()?.unwrap_or(0.0),
        });
    }
    Ok(rows)
}
