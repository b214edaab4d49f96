//! Reading rows back: a page of one table, or an inference with all that belongs to it.
//!
//! Pages go by time and id, which an index holds, so that a late page costs what the first
//! does and rows that arrive meanwhile shift nothing. A page is found by its keys first; then
//! as many of its rows are read as may be handed over in one call.

use std::collections::HashMap;

use torana_plugin_sdk::host::sql::{Database, Error, Statement, Value};
use torana_plugin_sdk::sink::{Order, Page, PageRequest, QueryError, RowFilter, Table};

use crate::cursor::Cursor;
use crate::filter::{self, Conditions};
use crate::schema;

const MAX_LIMIT: u32 = 1_000;
/// JSON of one answer, unless a single row has more. The host takes 8 MiB in one call.
const MAX_BYTES: i64 = 6 << 20;
/// Attempts or feedback that one inference is given back with; far more than there ever are.
const MAX_PARTS: u32 = 1_000;

/// Where a row is and what it weighs.
struct Key {
    time_unix_ms: i64,
    id: String,
    number: i64,
    bytes: i64,
}

/// A page of one table. May hold fewer rows than asked for, and still not be the last, when
/// they are too large to be handed over at once.
///
/// # Errors
///
/// A cursor of another table or order, or of somebody else; a filter that the table cannot
/// be asked with; a database that does not answer.
pub(crate) fn rows(
    database: &mut impl Database,
    table: Table,
    filter: &RowFilter,
    page: &PageRequest,
) -> Result<Page, QueryError> {
    let order = page.order;
    let cursor = match page.cursor.as_deref().map(Cursor::decode) {
        None => None,
        Some(Some(cursor)) if cursor.order == order && cursor.table == table => Some(cursor),
        Some(_) => return Err(QueryError::InvalidCursor),
    };
    let limit = page.limit.clamp(1, MAX_LIMIT) as usize;
    let mut keys = keys(database, &listing(table, filter, order, cursor.as_ref(), limit)?)?;
    let found = keys.len();
    keys.truncate(fitting(&keys).min(limit));
    let last = keys.last().filter(|_| keys.len() < found);
    let next = last.map(|key| {
        let (time_unix_ms, id) = (key.time_unix_ms, key.id.clone());
        Cursor { order, table, time_unix_ms, id }.encode()
    });
    let items = documents(database, filter::name(table), "json", &keys)?;
    Ok(Page { items: items.into_iter().map(String::into_bytes).collect(), next })
}

/// The inference as it was written, with its `model_inferences` in the order of attempts and
/// its `feedback` by time, that of its episode included. Where all of it is too large to be
/// handed over, attempts come without their raw bodies.
///
/// # Errors
///
/// A database that does not answer.
pub(crate) fn inference(
    database: &mut impl Database,
    id: &str,
) -> Result<Option<Vec<u8>>, QueryError> {
    let mut parts = |sql: &str| keys(database, &Statement::new(sql, vec![id.into()]));
    let found =
        parts("SELECT time_unix_ms, id, number, octet_length(json) FROM inference WHERE id = ?1")?;
    let attempts = parts(&format!(
        "SELECT time_unix_ms, id, number, octet_length(json) FROM model_inference \
         WHERE inference_id = ?1 ORDER BY attempt, time_unix_ms, id LIMIT {MAX_PARTS}"
    ))?;
    let feedback = parts(&format!(
        "SELECT said.time_unix_ms, said.id, said.number, octet_length(said.json) \
         FROM inference AS call JOIN feedback AS said \
         ON said.target_id IN (call.id, call.episode_id) \
         AND said.target_id IS iif(said.target = 'inference', call.id, call.episode_id) \
         WHERE call.id = ?1 ORDER BY said.time_unix_ms, said.id LIMIT {MAX_PARTS}"
    ))?;
    let Some(whole) = documents(database, "inference", "json", &found)?.pop() else {
        return Ok(None);
    };
    let bytes: i64 = [&found, &attempts, &feedback].into_iter().flatten().map(|it| it.bytes).sum();
    let bodies = if bytes <= MAX_BYTES { "json" } else { WITHOUT_BODIES };
    let attempts = documents(database, "model_inference", bodies, &attempts)?.join(",");
    let feedback = documents(database, "feedback", "json", &feedback)?.join(",");
    // Spliced in as text: what the journal wrote stays as it wrote it.
    let Some(open) = whole.trim_end().strip_suffix('}') else {
        return Err(QueryError::Unavailable(format!("inference {id} is no JSON object")));
    };
    let comma = if open.trim() == "{" { "" } else { "," };
    let whole =
        format!("{open}{comma}\"model_inferences\":[{attempts}],\"feedback\":[{feedback}]}}");
    Ok(Some(whole.into_bytes()))
}

/// An attempt as the contract has it where a body was too large to be kept.
const WITHOUT_BODIES: &str = "json_set(json, '$.raw_request', NULL, '$.raw_response', NULL, \
                              '$.raw_truncated', json('true'))";

/// One row more than `limit`, which tells whether there is a next page.
fn listing(
    table: Table,
    filter: &RowFilter,
    order: Order,
    cursor: Option<&Cursor>,
    limit: usize,
) -> Result<Statement, QueryError> {
    let mut conditions = Conditions::of(table, filter)?;
    let (beyond, direction) = match order {
        Order::NewestFirst => ("<", "DESC"),
        Order::OldestFirst => (">", "ASC"),
    };
    if let Some(cursor) = cursor {
        let time = conditions.bind(cursor.time_unix_ms);
        let id = conditions.bind(cursor.id.as_str());
        conditions.push(format!("(time_unix_ms, id) {beyond} ({time}, {id})"));
    }
    let limit = conditions.bind(i64::try_from(limit + 1).unwrap_or(i64::MAX));
    let sql = format!(
        "SELECT time_unix_ms, id, number, octet_length(json) FROM {} {} \
         ORDER BY time_unix_ms {direction}, id {direction} LIMIT {limit}",
        filter::name(table),
        conditions.clause(),
    );
    Ok(Statement::new(sql, conditions.parameters))
}

fn keys(database: &mut impl Database, statement: &Statement) -> Result<Vec<Key>, QueryError> {
    let rows = database.query(statement).map_err(|error| unavailable(&error))?.rows;
    let key = |row: Vec<Value>| match <[Value; 4]>::try_from(row) {
        Ok(
            [
                Value::Integer(time_unix_ms),
                Value::Text(id),
                Value::Integer(number),
                Value::Integer(bytes),
            ],
        ) => Ok(Key { time_unix_ms, id, number, bytes }),
        _ => Err(foreign()),
    };
    rows.into_iter().map(key).collect()
}

/// How many of these may be handed over at once; at least one.
fn fitting(keys: &[Key]) -> usize {
    let mut bytes = 0_i64;
    let fits = |key: &&Key| {
        bytes = bytes.saturating_add(key.bytes);
        bytes <= MAX_BYTES
    };
    keys.iter().take_while(fits).count().max(1)
}

/// The rows in the order of their keys. One that went since its key was read is left out.
fn documents(
    database: &mut impl Database,
    table: &str,
    json: &str,
    keys: &[Key],
) -> Result<Vec<String>, QueryError> {
    let numbers: Vec<i64> = keys.iter().map(|key| key.number).collect();
    if numbers.is_empty() {
        return Ok(Vec::new());
    }
    let numbers = serde_json::to_string(&numbers).map_err(|_| foreign())?;
    let sql = format!(
        "SELECT number, {json} FROM {table} WHERE number IN (SELECT value FROM json_each(?1))"
    );
    let rows = database.query(&Statement::new(sql, vec![numbers.into()]));
    let mut documents = HashMap::with_capacity(keys.len());
    for row in rows.map_err(|error| unavailable(&error))?.rows {
        let Ok([Value::Integer(number), Value::Text(json)]) = <[Value; 2]>::try_from(row) else {
            return Err(foreign());
        };
        documents.insert(number, json);
    }
    Ok(keys.iter().filter_map(|key| documents.remove(&key.number)).collect())
}

/// The database's refusal, as the contract has it.
pub(crate) fn unavailable(error: &Error) -> QueryError {
    QueryError::Unavailable(schema::words(error))
}

/// For rows that this plugin did not write.
pub(crate) fn foreign() -> QueryError {
    QueryError::Unavailable("the table holds rows of another shape".into())
}
