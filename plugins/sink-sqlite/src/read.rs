//! Reading back: a page of inferences, or one with its attempts.
//!
//! Pages go by time and id, which an index holds, so that a late page costs what the first
//! does and rows that arrive meanwhile shift nothing.

use torana_plugin_sdk::host::sql::{Database, Error, Rows, Statement, Value};
use torana_plugin_sdk::sink::{Order, Page, PageRequest, QueryError, RowFilter};

use crate::cursor::Cursor;
use crate::schema;

const MAX_LIMIT: u32 = 1_000;
/// Attempts that one inference is given back with; a plan has far fewer steps.
const MAX_ATTEMPTS: u32 = 1_000;

/// A page of inferences. May hold fewer rows than asked for, and still not be the last, when
/// they are too large to be read at once.
///
/// # Errors
///
/// A cursor of another order or of somebody else; a database that does not answer.
pub(crate) fn list_inferences(
    database: &mut impl Database,
    filter: &RowFilter,
    page: &PageRequest,
) -> Result<Page, QueryError> {
    let cursor = match page.cursor.as_deref().map(Cursor::decode) {
        None => None,
        Some(Some(cursor)) if cursor.order == page.order => Some(cursor),
        Some(_) => return Err(QueryError::InvalidCursor),
    };
    let mut limit = page.limit.clamp(1, MAX_LIMIT);
    loop {
        let statement = listing(filter, page.order, cursor.as_ref(), limit);
        match database.query(&statement) {
            Ok(rows) => return self::page(rows, page.order, limit as usize),
            Err(Error::TooLarge) if limit > 1 => limit /= 2,
            Err(error) => return Err(unavailable(&error)),
        }
    }
}

/// The inference as it was written, with its `model_inferences` in the order of attempts.
///
/// # Errors
///
/// A database that does not answer.
pub(crate) fn get_inference(
    database: &mut impl Database,
    id: &str,
) -> Result<Option<Vec<u8>>, QueryError> {
    let inference = "SELECT json FROM inference WHERE id = ?1";
    let Some(inference) = documents(database, inference, id)?.pop() else {
        return Ok(None);
    };
    let attempts = format!(
        "SELECT json FROM model_inference WHERE inference_id = ?1 \
         ORDER BY attempt, time_unix_ms, id LIMIT {MAX_ATTEMPTS}"
    );
    let attempts = documents(database, &attempts, id)?.join(",");
    // Spliced in as text: what the journal wrote stays as it wrote it.
    let Some(open) = inference.trim_end().strip_suffix('}') else {
        return Err(QueryError::Unavailable(format!("inference {id} is no JSON object")));
    };
    let comma = if open.trim() == "{" { "" } else { "," };
    let whole = format!("{open}{comma}\"model_inferences\":[{attempts}]}}");
    Ok(Some(whole.into_bytes()))
}

/// One row more than `limit`, which tells whether there is a next page.
fn listing(filter: &RowFilter, order: Order, cursor: Option<&Cursor>, limit: u32) -> Statement {
    let mut conditions: Vec<String> = Vec::new();
    let mut parameters: Vec<Value> = Vec::new();
    let mut bind = |value: Value| {
        parameters.push(value);
        format!("?{}", parameters.len())
    };
    for (column, value) in [
        ("function", &filter.function),
        ("variant", &filter.variant),
        ("model", &filter.model),
        ("endpoint", &filter.endpoint),
        ("outcome", &filter.outcome),
        ("episode_id", &filter.episode_id),
    ] {
        if let Some(value) = value {
            conditions.push(format!("{column} = {}", bind(value.as_str().into())));
        }
    }
    if let Some(since) = filter.since_unix_ms {
        conditions.push(format!("time_unix_ms >= {}", bind(since.into())));
    }
    if let Some(until) = filter.until_unix_ms {
        conditions.push(format!("time_unix_ms < {}", bind(until.into())));
    }
    let (beyond, direction) = match order {
        Order::NewestFirst => ("<", "DESC"),
        Order::OldestFirst => (">", "ASC"),
    };
    if let Some(cursor) = cursor {
        let time = bind(cursor.time_unix_ms.into());
        let id = bind(cursor.id.as_str().into());
        conditions.push(format!("(time_unix_ms, id) {beyond} ({time}, {id})"));
    }
    let limit = bind((i64::from(limit) + 1).into());
    let filters = match conditions.as_slice() {
        [] => String::new(),
        conditions => format!("WHERE {} ", conditions.join(" AND ")),
    };
    let sql = format!(
        "SELECT time_unix_ms, id, json FROM inference {filters}\
         ORDER BY time_unix_ms {direction}, id {direction} LIMIT {limit}"
    );
    Statement::new(sql, parameters)
}

fn page(rows: Rows, order: Order, limit: usize) -> Result<Page, QueryError> {
    let is_last = rows.rows.len() <= limit;
    let mut items = Vec::with_capacity(limit.min(rows.rows.len()));
    let mut last = None;
    for row in rows.rows.into_iter().take(limit) {
        let Ok([Value::Integer(time_unix_ms), Value::Text(id), Value::Text(json)]) =
            <[Value; 3]>::try_from(row)
        else {
            return Err(foreign());
        };
        items.push(json.into_bytes());
        last = Some(Cursor { order, time_unix_ms, id });
    }
    let next = last.filter(|_| !is_last).map(|cursor| cursor.encode());
    Ok(Page { items, next })
}

fn documents(database: &mut impl Database, sql: &str, id: &str) -> Result<Vec<String>, QueryError> {
    let rows = database.query(&Statement::new(sql, vec![id.into()]));
    let rows = rows.map_err(|error| unavailable(&error))?.rows;
    let document = |row: Vec<Value>| match row.into_iter().next() {
        Some(Value::Text(json)) => Ok(json),
        _ => Err(foreign()),
    };
    rows.into_iter().map(document).collect()
}

fn unavailable(error: &Error) -> QueryError {
    QueryError::Unavailable(schema::words(error))
}

fn foreign() -> QueryError {
    QueryError::Unavailable("the table holds rows of another shape".into())
}
