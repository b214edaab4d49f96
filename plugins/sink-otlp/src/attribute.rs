//! Attributes of a span: set where a value is known, left out where it is not.

use serde_json::Value as Json;

use crate::protocol::{AnyValue, KeyValue, List, Value};

/// The attributes of one span or resource. Names have to be unique.
#[derive(Debug, Default)]
pub(crate) struct Attributes(Vec<KeyValue>);

impl Attributes {
    /// Nothing where there is no value.
    pub(crate) fn set<V: Into<Value>>(&mut self, name: impl Into<String>, value: Option<V>) {
        if let Some(value) = value {
            let value = AnyValue { value: Some(value.into()) };
            self.0.push(KeyValue { key: name.into(), value: Some(value) });
        }
    }

    pub(crate) fn into_list(self) -> Vec<KeyValue> {
        self.0
    }
}

/// A JSON value as an attribute; arrays and objects as JSON text, `null` as nothing.
pub(crate) fn of_json(value: &Json) -> Option<Value> {
    Some(match value {
        Json::Null => return None,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match number.as_i64() {
            Some(integer) => Value::Integer(integer),
            None => Value::Number(number.as_f64()?),
        },
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(_) | Json::Object(_) => Value::Text(value.to_string()),
    })
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

/// OTLP has no unsigned integers.
impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<Vec<&str>> for Value {
    fn from(texts: Vec<&str>) -> Self {
        let values = texts.into_iter().map(|text| AnyValue { value: Some(text.into()) });
        Self::List(List { values: values.collect() })
    }
}
