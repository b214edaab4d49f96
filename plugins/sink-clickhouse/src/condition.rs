//! From a filter to a condition.
//!
//! A row that lacks a key has NULL there, or its table has no such column: both match nothing.
//! Attempts and feedback are matched by the tags and metrics of their inference, which is
//! looked up.

use torana_plugin_sdk::sink::words::Words;
use torana_plugin_sdk::sink::{Comparison, MetricFilter, QueryError, RowFilter, Table};

use crate::statement::Statement;

/// Tags, and metrics, of one filter, as the contract says.
const MOST_PAIRS: usize = 16;
/// More words are no search any more.
const MOST_WORDS: usize = 64;

/// What has to hold of the rows of `table`: a condition of SQL.
///
/// # Errors
///
/// More tags, metrics or words than a question may have; text is looked for elsewhere than in
/// inferences.
pub(crate) fn condition(
    statement: &mut Statement,
    table: Table,
    filter: &RowFilter,
) -> Result<String, QueryError> {
    if filter.tags.len().max(filter.metrics.len()) > MOST_PAIRS {
        let message = format!("more than {MOST_PAIRS} tags or metrics in one filter");
        return Err(QueryError::Unsupported(message));
    }
    let mut all = vec!["true".to_owned()];
    for (column, value) in keys(filter) {
        if let Some(value) = value {
            all.push(if has(table, column) {
                format!("{column} = {}", statement.text(value))
            } else {
                "false".to_owned()
            });
        }
    }
    if let Some(since) = filter.since_unix_ms {
        all.push(format!("time_unix_ms >= {}", statement.unsigned(since)));
    }
    if let Some(until) = filter.until_unix_ms {
        all.push(format!("time_unix_ms < {}", statement.unsigned(until)));
    }
    if let Some(text) = &filter.text {
        all.push(text_condition(statement, table, text)?);
    }
    if !filter.tags.is_empty() || !filter.metrics.is_empty() {
        all.push(of_inference(statement, table, filter));
    }
    Ok(all.join(" AND "))
}

fn keys(filter: &RowFilter) -> [(&'static str, Option<&String>); 8] {
    [
        ("key", filter.key.as_ref()),
        ("function", filter.function.as_ref()),
        ("variant", filter.variant.as_ref()),
        ("model", filter.model.as_ref()),
        ("endpoint", filter.endpoint.as_ref()),
        ("outcome", filter.outcome.as_ref()),
        ("episode_id", filter.episode_id.as_ref()),
        ("response_id", filter.response_id.as_ref()),
    ]
}

/// Whether rows of the table have the key.
fn has(table: Table, column: &str) -> bool {
    match table {
        Table::Inference => true,
        Table::ModelInference => column != "response_id",
        Table::Feedback => matches!(column, "key" | "function" | "variant" | "episode_id"),
        Table::Decision | Table::PluginEvent | Table::Snapshot => false,
    }
}

fn text_condition(
    statement: &mut Statement,
    table: Table,
    text: &str,
) -> Result<String, QueryError> {
    if table != Table::Inference {
        let message = "only inferences can be searched for text";
        return Err(QueryError::Unsupported(message.to_owned()));
    }
    let words = Words::of(text);
    if words.len() > MOST_WORDS {
        let message = format!("{} words, but a search has at most {MOST_WORDS}", words.len());
        return Err(QueryError::Unsupported(message));
    }
    // No words at all occur everywhere.
    if words.is_empty() {
        return Ok("true".to_owned());
    }
    Ok(format!("hasAll(words, {})", statement.words(&words.sorted())))
}

/// Tags and metrics. Copies of an inference do not matter where only its id is asked for.
fn of_inference(statement: &mut Statement, table: Table, filter: &RowFilter) -> String {
    let mut all = Vec::new();
    for (name, value) in &filter.tags {
        let (name, value) = (statement.text(name), statement.text(value));
        all.push(format!("mapContains(tags, {name}) AND tags[{name}] = {value}"));
    }
    for metric in &filter.metrics {
        all.push(metric_condition(statement, metric));
    }
    let condition = all.join(" AND ");
    match table {
        Table::Inference => condition,
        Table::ModelInference | Table::Feedback => {
            format!("inference_id IN (SELECT id FROM inference WHERE {condition})")
        }
        Table::Decision | Table::PluginEvent | Table::Snapshot => "false".to_owned(),
    }
}

/// The last value on the inference, or where it has none, on its episode. A last value that is
/// no number compares with nothing; in a tuple, because argMax passes over NULL.
fn metric_condition(statement: &mut Statement, filter: &MetricFilter) -> String {
    let metric = statement.text(&filter.metric);
    let value = statement.float(filter.value);
    let compared = match filter.comparison {
        Comparison::Equal => "=",
        Comparison::Less => "<",
        Comparison::AtMost => "<=",
        Comparison::Greater => ">",
        Comparison::AtLeast => ">=",
    };
    let given = |target: &str, subject: &str| {
        format!(
            "SELECT assumeNotNull({subject}) FROM feedback WHERE metric = {metric} \
             AND target = '{target}' AND {subject} IS NOT NULL"
        )
    };
    let (inferences, episodes) =
        (given("inference", "inference_id"), given("episode", "episode_id"));
    let last = |subject: &str| {
        format!(
            "GROUP BY {subject} HAVING argMax(tuple(value), (time_unix_ms, id)).1 {compared} {value}"
        )
    };
    format!(
        "(id IN ({inferences} {}) OR id NOT IN ({inferences}) AND episode_id IN ({episodes} {}))",
        last("inference_id"),
        last("episode_id"),
    )
}
