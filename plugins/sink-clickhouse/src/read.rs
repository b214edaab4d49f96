//! Reading back: a page of rows, or one inference with its attempts and feedback.
//!
//! Pages go by time and id, the tables' sorting key, so that a late page costs what the first
//! does and rows that arrive meanwhile shift nothing.
//!
//! Rows that were delivered twice are there twice until the server merges them. Lists and sums
//! read with `FINAL`: the server merges what overlaps while it reads, in the order of the
//! sorting key, and still skips by key, partition and index; grouping by id instead would hold
//! every id in memory. Where few rows are read by a name, `LIMIT 1 BY id` does.

use torana_plugin_sdk::sink::cursor::Cursor;
use torana_plugin_sdk::sink::{Order, Page, PageRequest, QueryError, RowFilter, Table};

use crate::answer;
use crate::condition::condition;
use crate::failure::Failure;
use crate::server::{Server, Transport};
use crate::statement::Statement;

const MAX_LIMIT: u32 = 1_000;
/// JSON of one answer, in bytes; a host takes 8 MiB of a plugin at once.
const MOST_BYTES: usize = 6 << 20;
/// An attempt as the contract has it where a body was too large to be kept.
const WITHOUT_BODIES: &str = "concat(
    if(raw_request_at <= raw_response_at,
        concat(substring(frame, 1, raw_request_at), if(raw_request_at = 0, '', 'null'),
            substring(frame, raw_request_at + 1, raw_response_at - raw_request_at),
            if(raw_response_at = 0, '', 'null'),
            substring(frame, raw_response_at + 1, length(frame) - raw_response_at - 1)),
        concat(substring(frame, 1, raw_response_at), if(raw_response_at = 0, '', 'null'),
            substring(frame, raw_response_at + 1, raw_request_at - raw_response_at),
            if(raw_request_at = 0, '', 'null'),
            substring(frame, raw_request_at + 1, length(frame) - raw_request_at - 1))),
    if(position(frame, '\"raw_truncated\":') = 0, ',\"raw_truncated\":true}', '}'))";
/// Attempts or rows of feedback that one inference is given back with.
const MOST_PARTS: u32 = 1_000;

/// A page of rows. May hold fewer rows than asked for, and still not be the last, when they
/// are too large to be handed over at once.
///
/// # Errors
///
/// A cursor of another table, another order or of somebody else; a server that does not answer.
pub(crate) fn list_rows<T: Transport>(
    server: &mut Server<T>,
    table: Table,
    filter: &RowFilter,
    page: &PageRequest,
) -> Result<Page, QueryError> {
    let cursor = match page.cursor.as_deref() {
        None => None,
        Some(text) => {
            Some(Cursor::decode(text, table, page.order).ok_or(QueryError::InvalidCursor)?)
        }
    };
    let limit = page.limit.clamp(1, MAX_LIMIT) as usize;
    let listing = listing(table, filter, page.order, cursor.as_ref(), limit)?;
    let answer = server.ask(listing).map_err(unavailable)?;
    take_page(&answer, table, page.order, limit).map_err(unavailable)
}

/// The inference as it was written, with its `model_inferences` in the order of attempts and
/// its `feedback` in the order of time. Where all of it is too large to be handed over, attempts
/// come without their raw bodies.
///
/// # Errors
///
/// A server that does not answer.
pub(crate) fn get_inference<T: Transport>(
    server: &mut Server<T>,
    id: &str,
) -> Result<Option<Vec<u8>>, QueryError> {
    let mut inference = Statement::default();
    let name = inference.text(id);
    let sql = format!("SELECT json, episode_id FROM inference WHERE id = {name} LIMIT 1");
    let answer = server.ask(inference.with(sql)).map_err(unavailable)?;
    let Some(mut cells) = answer::rows(&answer).map_err(unavailable)?.pop() else {
        return Ok(None);
    };
    let json = cells.next().and_then(answer::Cell::into_text).map_err(unavailable)?;
    let episode = cells.next().and_then(answer::Cell::optional_text).map_err(unavailable)?;
    let mut attempts = documents(server, attempts(id, "json")).map_err(unavailable)?;
    let feedback = documents(server, feedback(id, episode.as_deref())).map_err(unavailable)?;
    if json.len() + attempts.len() + feedback.len() > MOST_BYTES {
        attempts = documents(server, self::attempts(id, WITHOUT_BODIES)).map_err(unavailable)?;
    }
    let Some(open) = json.trim_end().strip_suffix('}') else {
        return Err(unavailable(Failure::Foreign));
    };
    // Spliced in as text: what the journal wrote stays as it wrote it.
    let comma = if open.trim() == "{" { "" } else { "," };
    let whole =
        format!("{open}{comma}\"model_inferences\":[{attempts}],\"feedback\":[{feedback}]}}");
    Ok(Some(whole.into_bytes()))
}

pub(crate) fn unavailable(failure: Failure) -> QueryError {
    QueryError::Unavailable(failure.to_string())
}

/// The name of a table of the store.
pub(crate) fn name(table: Table) -> &'static str {
    match table {
        Table::Inference => "inference",
        Table::ModelInference => "model_inference",
        Table::Feedback => "feedback",
        Table::Decision => "decision",
        Table::PluginEvent => "plugin_event",
        Table::Snapshot => "snapshot",
    }
}

/// Finds one row more than `limit`, which tells whether there is a next page, and reads the
/// JSON of those that fit: columns time, id, JSON, and how many were found.
fn listing(
    table: Table,
    filter: &RowFilter,
    order: Order,
    cursor: Option<&Cursor>,
    limit: usize,
) -> Result<Statement, QueryError> {
    let mut statement = Statement::default();
    let mut condition = condition(&mut statement, table, filter)?;
    let (beyond, direction) = match order {
        Order::NewestFirst => ("<", "DESC"),
        Order::OldestFirst => (">", "ASC"),
    };
    if let Some(cursor) = cursor {
        let (time, id) = (statement.unsigned(cursor.time_unix_ms), statement.text(&cursor.id));
        // The first half alone lets the server skip by its sorting key.
        condition += &format!(
            " AND time_unix_ms {beyond}= {time} AND (time_unix_ms, id) {beyond} ({time}, {id})"
        );
    }
    let order = format!("time_unix_ms {direction}, id {direction}");
    let (table, found) = (name(table), limit + 1);
    let sql = format!(
        "SELECT time_unix_ms, id, json, found FROM (
            SELECT time_unix_ms, id, json, count() OVER () AS found,
                row_number() OVER (ORDER BY {order}) AS place,
                sum(length(json)) OVER (ORDER BY {order} ROWS UNBOUNDED PRECEDING) AS bytes
            FROM {table} FINAL
            WHERE (time_unix_ms, id) IN (
                SELECT time_unix_ms, id FROM {table} FINAL WHERE {condition}
                ORDER BY {order} LIMIT {found}
            )
        ) WHERE place = 1 OR bytes <= {MOST_BYTES} ORDER BY {order}"
    );
    Ok(statement.with(sql))
}

fn take_page(answer: &[u8], table: Table, order: Order, limit: usize) -> Result<Page, Failure> {
    let mut items = Vec::new();
    let (mut last, mut found) = (None, 0);
    for mut cells in answer::rows(answer)?.into_iter().take(limit) {
        let time_unix_ms = cells.next()?.unsigned()?;
        let id = cells.next()?.into_text()?;
        items.push(cells.next()?.into_text()?.into_bytes());
        found = cells.next()?.unsigned()?;
        last = Some(Cursor { table, order, time_unix_ms, id });
    }
    let is_last = found <= items.len() as u64;
    let next = last.filter(|_| !is_last).map(|cursor| cursor.encode());
    Ok(Page { items, next })
}

/// `json`: what to read of each.
fn attempts(id: &str, json: &str) -> Statement {
    let mut attempts = Statement::default();
    let id = attempts.text(id);
    let sql = format!(
        "SELECT document FROM (
            SELECT attempt, time_unix_ms, id, {json} AS document FROM model_inference
            WHERE inference_id = {id} LIMIT 1 BY id
        ) ORDER BY attempt ASC NULLS FIRST, time_unix_ms, id LIMIT {MOST_PARTS}"
    );
    attempts.with(sql)
}

fn feedback(id: &str, episode: Option<&str>) -> Statement {
    let mut feedback = Statement::default();
    let id = feedback.text(id);
    let on_episode = match episode {
        Some(episode) => {
            format!("OR target = 'episode' AND episode_id = {}", feedback.text(episode))
        }
        None => String::new(),
    };
    let sql = format!(
        "SELECT json FROM (
            SELECT time_unix_ms, id, json FROM feedback
            WHERE target = 'inference' AND inference_id = {id} {on_episode} LIMIT 1 BY id
        ) ORDER BY time_unix_ms, id LIMIT {MOST_PARTS}"
    );
    feedback.with(sql)
}

/// The only column of an answer, with commas between.
fn documents<T: Transport>(
    server: &mut Server<T>,
    statement: Statement,
) -> Result<String, Failure> {
    let mut documents = Vec::new();
    for mut cells in answer::rows(&server.ask(statement)?)? {
        documents.push(cells.next()?.into_text()?);
    }
    Ok(documents.join(","))
}
