//! From a filter to the conditions of a statement. What a table does not have matches nothing.
//!
//! Values are always bound, never written into the text.

use torana_plugin_sdk::host::sql::Value;
use torana_plugin_sdk::sink::words::Words;
use torana_plugin_sdk::sink::{Comparison, MetricFilter, QueryError, RowFilter, Table};

use crate::engine::Engine;

/// As the contract says.
const MAX_CONDITIONS: usize = 16;
/// More words are no search any more; bounds the statement.
const MAX_WORDS: usize = 64;

/// The name of a table in the database.
pub fn name(table: Table) -> &'static str {
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
pub(crate) struct Conditions<'a, E> {
    engine: &'a E,
    conditions: Vec<String>,
    pub(crate) parameters: Vec<Value>,
}

impl<'a, E: Engine> Conditions<'a, E> {
    /// None yet: everything passes.
    pub(crate) fn new(engine: &'a E) -> Self {
        Self { engine, conditions: Vec::new(), parameters: Vec::new() }
    }

    /// # Errors
    ///
    /// More tags, metrics or words than a question may have; words of rows that have none.
    pub(crate) fn of(engine: &'a E, table: Table, filter: &RowFilter) -> Result<Self, QueryError> {
        if filter.tags.len().max(filter.metrics.len()) > MAX_CONDITIONS {
            let most = format!("more than {MAX_CONDITIONS} tags or metrics in one filter");
            return Err(QueryError::Unsupported(most));
        }
        let mut conditions = Self::new(engine);
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
        let value = match value.into() {
            Value::Text(text) => self.engine.stored(&text).as_ref().into(),
            other => other,
        };
        self.parameters.push(value);
        self.engine.place(self.parameters.len())
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
                    self.push(self.engine.is(column, &place));
                }
                Some(_) => self.push("FALSE"),
            }
        }
    }

    fn of_inferences(&mut self, filter: &RowFilter) {
        for condition in self.tags_and_metrics("inference", filter) {
            self.push(condition);
        }
    }

    fn of_their_inference(&mut self, table: Table, filter: &RowFilter) {
        if filter.tags.is_empty() && filter.metrics.is_empty() {
            return;
        }
        let mut those = vec![format!("call.id = {}.inference_id", name(table))];
        those.extend(self.tags_and_metrics("call", filter));
        let (inference, those) = (self.engine.table("inference"), those.join(" AND "));
        self.push(format!("EXISTS (SELECT 1 FROM {inference} AS call WHERE {those})"));
    }

    fn tags_and_metrics(&mut self, call: &str, filter: &RowFilter) -> Vec<String> {
        let mut conditions = Vec::new();
        for (name, value) in &filter.tags {
            let (name, value) = (self.bind(name.as_str()), self.bind(value.as_str()));
            conditions.push(self.engine.is_tagged(call, &name, &value));
        }
        for metric in &filter.metrics {
            conditions.push(self.metric(call, metric));
        }
        conditions
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
            "(SELECT said.value FROM {feedback} AS said \
             WHERE said.target_id IN ({inference}.id, {inference}.episode_id) \
             AND said.metric = {metric} \
             AND said.target_id = CASE said.target WHEN 'inference' THEN {inference}.id \
                                  ELSE {inference}.episode_id END \
             ORDER BY said.target = 'inference' DESC, said.time_unix_ms DESC, said.id DESC \
             LIMIT 1) {comparison} {value}",
            feedback = self.engine.table("feedback"),
        )
    }

    fn words(&mut self, table: Table, text: &str) -> Result<(), QueryError> {
        if table != Table::Inference {
            let message = "only inferences are found by the words of their text";
            return Err(QueryError::Unsupported(message.to_owned()));
        }
        if !self.engine.has_text_index() {
            let message = "this store keeps no words to be found by: its text_index is false";
            return Err(QueryError::Unsupported(message.to_owned()));
        }
        let words = Words::of(text);
        if words.len() > MAX_WORDS {
            let message = format!("{} words, but a search has at most {MAX_WORDS}", words.len());
            return Err(QueryError::Unsupported(message));
        }
        if !words.is_empty() {
            let place = self.bind(self.engine.sought(&words));
            self.push(self.engine.has_words(&place));
        }
        Ok(())
    }
}
