//! From a filter to the conditions of a statement. What a table does not have matches nothing.
//!
//! Values are always bound, never written into the text. Tags and words of inferences are
//! looked up beside the table and not through it (`+` keeps the planner from driving by
//! them): it walks the index by time either way, and stops at the end of the page.

use torana_plugin_sdk::host::sql::Value;
use torana_plugin_sdk::sink::words::Words;
use torana_plugin_sdk::sink::{Comparison, MetricFilter, QueryError, RowFilter, Table};

/// As the contract says.
const MAX_CONDITIONS: usize = 16;
/// More words are no search any more; bounds the statement.
const MAX_WORDS: usize = 64;

/// The name of a table in the database.
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

/// Conditions that must all hold, with what is bound to their places.
#[derive(Debug, Default)]
pub(crate) struct Conditions {
    conditions: Vec<String>,
    pub(crate) parameters: Vec<Value>,
}

impl Conditions {
    /// # Errors
    ///
    /// More tags, metrics or words than a question may have; words of rows that have none.
    pub(crate) fn of(table: Table, filter: &RowFilter) -> Result<Self, QueryError> {
        if filter.tags.len().max(filter.metrics.len()) > MAX_CONDITIONS {
            let most = format!("more than {MAX_CONDITIONS} tags or metrics in one filter");
            return Err(QueryError::Unsupported(most));
        }
        let mut conditions = Self::default();
        conditions.times(filter.since_unix_ms, filter.until_unix_ms);
        conditions.columns(table, filter);
        match table {
            Table::Inference => conditions.of_inferences(filter),
            Table::ModelInference | Table::Feedback => conditions.of_their_inference(table, filter),
            Table::Decision | Table::PluginEvent | Table::Snapshot => {
                if !(filter.tags.is_empty() && filter.metrics.is_empty()) {
                    conditions.push("FALSE");
                }
            }
        }
        if let Some(text) = &filter.text {
            conditions.words(table, text)?;
        }
        Ok(conditions)
    }

    pub(crate) fn push(&mut self, condition: impl Into<String>) {
        self.conditions.push(condition.into());
    }

    /// Its place in the statement.
    pub(crate) fn bind(&mut self, value: impl Into<Value>) -> String {
        self.parameters.push(value.into());
        format!("?{}", self.parameters.len())
    }

    /// At or after the first, before the second.
    pub(crate) fn times(&mut self, since_unix_ms: Option<u64>, until_unix_ms: Option<u64>) {
        for (comparison, time) in [(">=", since_unix_ms), ("<", until_unix_ms)] {
            if let Some(time) = time {
                let place = self.bind(time);
                self.push(format!("time_unix_ms {comparison} {place}"));
            }
        }
    }

    /// `WHERE …`, or nothing.
    pub(crate) fn clause(&self) -> String {
        match self.conditions.as_slice() {
            [] => String::new(),
            conditions => format!("WHERE {}", conditions.join(" AND ")),
        }
    }

    fn columns(&mut self, table: Table, filter: &RowFilter) {
        let is_inference = table == Table::Inference;
        let is_call = is_inference || table == Table::ModelInference;
        let is_about_calls = is_call || table == Table::Feedback;
        for (column, value, is_there) in [
            ("key", &filter.key, is_about_calls),
            ("function", &filter.function, is_about_calls),
            ("variant", &filter.variant, is_about_calls),
            ("model", &filter.model, is_call),
            ("endpoint", &filter.endpoint, is_call),
            ("outcome", &filter.outcome, is_call),
            ("episode_id", &filter.episode_id, is_about_calls),
            ("response_id", &filter.response_id, is_inference),
        ] {
            match value {
                None => {}
                Some(value) if is_there => {
                    let place = self.bind(value.as_str());
                    self.push(format!("{column} = {place}"));
                }
                Some(_) => self.push("FALSE"),
            }
        }
    }

    fn of_inferences(&mut self, filter: &RowFilter) {
        for (name, value) in &filter.tags {
            let (name, value) = (self.bind(name.as_str()), self.bind(value.as_str()));
            self.push(format!(
                "+number IN (SELECT number FROM inference_tag WHERE name = {name} AND value = {value})"
            ));
        }
        for metric in &filter.metrics {
            let condition = self.metric("inference", metric);
            self.push(condition);
        }
    }

    fn of_their_inference(&mut self, table: Table, filter: &RowFilter) {
        if filter.tags.is_empty() && filter.metrics.is_empty() {
            return;
        }
        let mut those = vec![format!("call.id = {}.inference_id", name(table))];
        for (name, value) in &filter.tags {
            let (name, value) = (self.bind(name.as_str()), self.bind(value.as_str()));
            those.push(format!(
                "EXISTS (SELECT 1 FROM inference_tag AS tag WHERE tag.name = {name} \
                 AND tag.value = {value} AND tag.number = call.number)"
            ));
        }
        for metric in &filter.metrics {
            those.push(self.metric("call", metric));
        }
        let those = those.join(" AND ");
        self.push(format!("EXISTS (SELECT 1 FROM inference AS call WHERE {those})"));
    }

    /// The last value on the inference, or else on its episode. A last value that is no number
    /// compares with nothing.
    fn metric(&mut self, inference: &str, filter: &MetricFilter) -> String {
        let comparison = match filter.comparison {
            Comparison::Equal => "=",
            Comparison::Less => "<",
            Comparison::AtMost => "<=",
            Comparison::Greater => ">",
            Comparison::AtLeast => ">=",
        };
        let (metric, value) = (self.bind(filter.metric.as_str()), self.bind(filter.value));
        format!(
            "(SELECT said.value FROM feedback AS said \
             WHERE said.target_id IN ({inference}.id, {inference}.episode_id) \
             AND said.metric = {metric} \
             AND said.target_id IS iif(said.target = 'inference', {inference}.id, \
                                       {inference}.episode_id) \
             ORDER BY said.target = 'inference' DESC, said.time_unix_ms DESC, said.id DESC \
             LIMIT 1) {comparison} {value}"
        )
    }

    /// Every word is quoted, so that none is an operator; words have no quotes of their own.
    fn words(&mut self, table: Table, text: &str) -> Result<(), QueryError> {
        if table != Table::Inference {
            let message = "only inferences are found by the words of their text";
            return Err(QueryError::Unsupported(message.to_owned()));
        }
        let words = Words::of(text);
        if words.len() > MAX_WORDS {
            let message = format!("{} words, but a search has at most {MAX_WORDS}", words.len());
            return Err(QueryError::Unsupported(message));
        }
        if !words.is_empty() {
            let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
            let place = self.bind(quoted.join(" AND "));
            self.push(format!(
                "+number IN (SELECT rowid FROM inference_text WHERE inference_text MATCH {place})"
            ));
        }
        Ok(())
    }
}
