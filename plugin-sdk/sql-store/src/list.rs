//! Reading rows back: a page of one table, or an inference with all that belongs to it.
//!
//! Pages go by time and id, which an index holds, so that a late page costs what the first
//! does and rows that arrive meanwhile shift nothing. A page is found by its keys first; then
//! as many of its rows are read as may be handed over in one call.

use std::collections::HashMap;

use torana_plugin_sdk::host::sql::{Error, Statement, Value};
use torana_plugin_sdk::sink::cursor::Cursor;
use torana_plugin_sdk::sink::{Order, Page, PageRequest, QueryError, RowFilter, Table};

use crate::engine::Engine;
use crate::filter::{self, Conditions};
use crate::{members, schema};

const MAX_LIMIT: u32 = 1_000;
/// JSON of one answer, unless a single row has more. The host takes 8 MiB in one call.
pub(crate) const MAX_BYTES: i64 = 6 << 20;
/// Attempts or feedback that one inference is given back with; far more than there ever are.
const MAX_PARTS: u32 = 1_000;

/// Where a row is and what it weighs.
pub(crate) struct Key {
    time_unix_ms: u64,
    id: String,
    pub(crate) number: i64,
    bytes: i64,
}

/// The columns of a [`Key`].
pub(crate) const KEY: &str = "time_unix_ms, id, number, octet_length(json)";

/// A page of one table. May hold fewer rows than asked for, and still not be the last, when
/// they are too large to be handed over at once.
///
/// # Errors
///
/// A cursor of another table or order, or of somebody else; a filter that the table cannot
/// be asked with; a database that does not answer.
pub fn rows(
    engine: &mut impl Engine,
    table: Table,
    filter: &RowFilter,
    page: &PageRequest,
) -> Result<Page, QueryError> {
    let order = page.order;
    let cursor = match page.cursor.as_deref() {
        None => None,
        Some(text) => Some(Cursor::decode(text, table, order).ok_or(QueryError::InvalidCursor)?),
    };
    let limit = page.limit.clamp(1, MAX_LIMIT) as usize;
    let listing = keys_of(engine, table, filter, order, cursor.as_ref(), limit)?;
    let mut keys = keys(engine, &listing).map_err(|error| unavailable(&error))?;
    let found = keys.len();
    keys.truncate(fitting(&keys).min(limit));
    let last = keys.last().filter(|_| keys.len() < found);
    let next = last.map(|key| {
        let (time_unix_ms, id) = (key.time_unix_ms, key.id.clone());
        Cursor { order, table, time_unix_ms, id }.encode()
    });
    let items = documents(engine, filter::name(table), &keys);
    let items = items.map_err(|error| unavailable(&error))?;
    Ok(Page { items: items.into_iter().map(|(_, json)| json.into_bytes()).collect(), next })
}

/// The inference as it was written, with its `model_inferences` in the order of attempts and
/// its `feedback` by time, that of its episode included. Where all of it is too large to be
/// handed over, attempts come without their raw bodies.
///
/// # Errors
///
/// A database that does not answer.
pub fn inference(engine: &mut impl Engine, id: &str) -> Result<Option<Vec<u8>>, QueryError> {
    let whole = whole(engine, id).map_err(|error| unavailable(&error))?;
    let Some(Whole { inference, attempts, feedback }) = whole else { return Ok(None) };
    // Spliced in as text: what the journal wrote stays as it wrote it.
    let Some(open) = inference.trim_end().strip_suffix('}') else {
        return Err(QueryError::Unavailable(format!("inference {id} is no JSON object")));
    };
    let comma = if open.trim() == "{" { "" } else { "," };
    let (attempts, feedback) = (attempts.join(","), feedback.join(","));
    let whole =
        format!("{open}{comma}\"model_inferences\":[{attempts}],\"feedback\":[{feedback}]}}");
    Ok(Some(whole.into_bytes()))
}

/// JSON of an inference and of all that belongs to it.
struct Whole {
    inference: String,
    attempts: Vec<String>,
    feedback: Vec<String>,
}

fn whole(engine: &mut impl Engine, id: &str) -> Result<Option<Whole>, Error> {
    let [inference, model_inference, said] =
        ["inference", "model_inference", "feedback"].map(|table| engine.table(table));
    let place = engine.place(1);
    let stored = Value::from(&*engine.stored(id));
    let mut parts = |sql: String| keys(engine, &Statement::new(sql, vec![stored.clone()]));
    let found = parts(format!("SELECT {KEY} FROM {inference} WHERE id = {place}"))?;
    let attempts = parts(format!(
        "SELECT {KEY} FROM {model_inference} WHERE inference_id = {place} \
         ORDER BY attempt NULLS FIRST, time_unix_ms, id LIMIT {MAX_PARTS}"
    ))?;
    let feedback = parts(format!(
        "SELECT said.time_unix_ms, said.id, said.number, octet_length(said.json) \
         FROM {inference} AS call JOIN {said} AS said \
         ON said.target_id IN (call.id, call.episode_id) \
         AND said.target_id = CASE said.target WHEN 'inference' THEN call.id \
                              ELSE call.episode_id END \
         WHERE call.id = {place} ORDER BY said.time_unix_ms, said.id LIMIT {MAX_PARTS}"
    ))?;
    let Some((_, inference)) = documents(engine, "inference", &found)?.pop() else {
        return Ok(None);
    };
    let bytes: i64 = [&found, &attempts, &feedback].into_iter().flatten().map(|it| it.bytes).sum();
    let attempts = if bytes <= MAX_BYTES {
        documents(engine, "model_inference", &attempts)?
    } else {
        bodiless(engine, &attempts)?
    };
    let feedback = documents(engine, "feedback", &feedback)?;
    let json = |rows: Vec<(i64, String)>| rows.into_iter().map(|(_, json)| json).collect();
    Ok(Some(Whole { inference, attempts: json(attempts), feedback: json(feedback) }))
}

/// Attempts as the contract has them where a body was too large to be kept: one by one, since
/// together they are too much to be handed over.
fn bodiless(engine: &mut impl Engine, keys: &[Key]) -> Result<Vec<(i64, String)>, Error> {
    let mut attempts = Vec::with_capacity(keys.len());
    for key in keys {
        for (number, json) in documents(engine, "model_inference", std::slice::from_ref(key))? {
            let bodies = ["raw_request", "raw_response"];
            let json = members::changed(&json, &bodies, &[("raw_truncated", "true")]);
            attempts.extend(json.ok().map(|json| (number, json)));
        }
    }
    Ok(attempts)
}

/// Asks for the keys of a page: of one row more than `limit`, which tells whether there is a
/// next page.
///
/// # Errors
///
/// A filter that the table cannot be asked with.
pub fn keys_of(
    engine: &impl Engine,
    table: Table,
    filter: &RowFilter,
    order: Order,
    cursor: Option<&Cursor>,
    limit: usize,
) -> Result<Statement, QueryError> {
    let mut conditions = Conditions::of(engine, table, filter)?;
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
        "SELECT {KEY} FROM {} {} \
         ORDER BY time_unix_ms {direction}, id {direction} LIMIT {limit}",
        engine.table(filter::name(table)),
        conditions.clause(),
    );
    Ok(Statement::new(sql, conditions.parameters))
}

pub(crate) fn keys(engine: &mut impl Engine, statement: &Statement) -> Result<Vec<Key>, Error> {
    let rows = engine.query(statement)?.rows;
    let key = |row: Vec<Value>| match <[Value; 4]>::try_from(row) {
        Ok(
            [
                Value::Integer(time_unix_ms),
                Value::Text(id),
                Value::Integer(number),
                Value::Integer(bytes),
            ],
        ) => {
            let time_unix_ms = u64::try_from(time_unix_ms).unwrap_or_default();
            Ok(Key { time_unix_ms, id: engine.restored(id), number, bytes })
        }
        _ => Err(Error::Statement(FOREIGN.to_owned())),
    };
    rows.into_iter().map(key).collect()
}

/// How many of these may be handed over at once; at least one.
pub(crate) fn fitting(keys: &[Key]) -> usize {
    let mut bytes = 0_i64;
    let fits = |key: &&Key| {
        bytes = bytes.saturating_add(key.bytes);
        bytes <= MAX_BYTES
    };
    keys.iter().take_while(fits).count().max(1)
}

/// Number and JSON of the rows, in the order of their keys. One that went since its key was
/// read is left out.
pub(crate) fn documents(
    engine: &mut impl Engine,
    table: &str,
    keys: &[Key],
) -> Result<Vec<(i64, String)>, Error> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let numbers: Vec<String> = keys.iter().map(|key| key.number.to_string()).collect();
    let sql = format!(
        "SELECT number, json FROM {} WHERE number IN ({})",
        engine.table(table),
        engine.numbers(&engine.place(1)),
    );
    let statement = Statement::new(sql, vec![format!("[{}]", numbers.join(",")).into()]);
    let mut documents = HashMap::with_capacity(keys.len());
    for row in engine.query(&statement)?.rows {
        let Ok([Value::Integer(number), Value::Text(json)]) = <[Value; 2]>::try_from(row) else {
            return Err(Error::Statement(FOREIGN.to_owned()));
        };
        documents.insert(number, json);
    }
    let document = |key: &Key| documents.remove(&key.number).map(|json| (key.number, json));
    Ok(keys.iter().filter_map(document).collect())
}

/// The database's refusal, as the contract has it.
pub(crate) fn unavailable(error: &Error) -> QueryError {
    QueryError::Unavailable(schema::words(error))
}

/// Of rows that this plugin did not write.
const FOREIGN: &str = "the table holds rows of another shape";

pub(crate) fn foreign() -> QueryError {
    QueryError::Unavailable(FOREIGN.into())
}
