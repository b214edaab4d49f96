//! Where in a client's body something is wrong, and what was expected there.
//!
//! A [`Path`] lives on the stack while a body is walked and becomes text only when there is
//! something to complain about, so that a good body pays nothing for it.

use std::fmt;

use serde_json::{Map, Value};

/// Characters of a wrong string that are quoted back: enough to recognise it.
const QUOTED: usize = 40;

/// A client's body that could not be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError {
    /// JSON pointer (RFC 6901) of the offending value; empty for the whole body.
    pub pointer: String,
    /// What is expected and what was found.
    pub message: String,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pointer.as_str() {
            "" => formatter.write_str(&self.message),
            pointer => write!(formatter, "at {pointer}: {}", self.message),
        }
    }
}

impl std::error::Error for DecodeError {}

/// The way from the root of a body to the value at hand.
#[derive(Clone, Copy)]
pub(crate) enum Path<'a> {
    Root,
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl<'a> Path<'a> {
    pub(crate) fn key(&'a self, key: &'a str) -> Path<'a> {
        Path::Key(self, key)
    }

    pub(crate) fn index(&'a self, index: usize) -> Path<'a> {
        Path::Index(self, index)
    }

    /// Complains that `found` stands here where `expected` should.
    pub(crate) fn mismatch(&self, expected: &str, found: &Value) -> DecodeError {
        self.error(format!("expected {expected}, found {}", describe(found)))
    }

    pub(crate) fn missing(&self, expected: &str) -> DecodeError {
        self.error(format!("expected {expected}, found nothing"))
    }

    pub(crate) fn error(&self, message: String) -> DecodeError {
        let mut pointer = String::new();
        self.render(&mut pointer);
        DecodeError { pointer, message }
    }

    fn render(&self, pointer: &mut String) {
        match self {
            Path::Root => {}
            Path::Key(parent, key) => {
                parent.render(pointer);
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Path::Index(parent, index) => {
                parent.render(pointer);
                pointer.push('/');
                pointer.push_str(&index.to_string());
            }
        }
    }
}

/// The fields of a body, which must be a JSON object.
pub(crate) fn body(body: &[u8]) -> Result<Map<String, Value>, DecodeError> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| Path::Root.error(format!("the body is not JSON: {error}")))?;
    object(value, &Path::Root)
}

pub(crate) fn object(value: Value, path: &Path<'_>) -> Result<Map<String, Value>, DecodeError> {
    match value {
        Value::Object(map) => Ok(map),
        other => Err(path.mismatch("an object", &other)),
    }
}

pub(crate) fn array(value: Value, path: &Path<'_>) -> Result<Vec<Value>, DecodeError> {
    match value {
        Value::Array(items) => Ok(items),
        other => Err(path.mismatch("an array", &other)),
    }
}

pub(crate) fn string(value: Value, path: &Path<'_>) -> Result<String, DecodeError> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(path.mismatch("a string", &other)),
    }
}

pub(crate) fn boolean(value: &Value, path: &Path<'_>) -> Result<bool, DecodeError> {
    value.as_bool().ok_or_else(|| path.mismatch("true or false", value))
}

pub(crate) fn number(value: &Value, path: &Path<'_>) -> Result<f64, DecodeError> {
    value.as_f64().ok_or_else(|| path.mismatch("a number", value))
}

pub(crate) fn count(value: &Value, path: &Path<'_>) -> Result<u64, DecodeError> {
    value.as_u64().ok_or_else(|| path.mismatch("a whole number of 0 or more", value))
}

pub(crate) fn integer(value: &Value, path: &Path<'_>) -> Result<i64, DecodeError> {
    value.as_i64().ok_or_else(|| path.mismatch("a whole number", value))
}

/// Removes a key that must hold a string.
pub(crate) fn take_string(
    map: &mut Map<String, Value>,
    key: &str,
    path: &Path<'_>,
) -> Result<String, DecodeError> {
    take_optional_string(map, key, path)?.ok_or_else(|| path.key(key).missing("a string"))
}

/// Removes a key that holds a string or null, or is absent.
pub(crate) fn take_optional_string(
    map: &mut Map<String, Value>,
    key: &str,
    path: &Path<'_>,
) -> Result<Option<String>, DecodeError> {
    match map.shift_remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => string(value, &path.key(key)).map(Some),
    }
}

fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => format!("the number {value}"),
        Value::String(text) if text.chars().count() > QUOTED => {
            format!("the string \"{}…\"", text.chars().take(QUOTED).collect::<String>())
        }
        Value::String(text) => format!("the string \"{text}\""),
        Value::Array(items) => format!("an array of {}", items.len()),
        Value::Object(_) => "an object".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pointer_is_escaped_and_error_says_found_and_expected() {
        let root = Path::Root;
        let messages = root.key("mess/ages~");
        let error = messages.index(3).mismatch("a string", &json!([1, 2]));
        assert_eq!(error.pointer, "/mess~1ages~0/3");
        assert_eq!(error.to_string(), "at /mess~1ages~0/3: expected a string, found an array of 2");
    }

    #[test]
    fn long_strings_are_quoted_in_part() {
        let error = Path::Root.mismatch("a number", &json!("ä".repeat(100)));
        assert_eq!(error.message.chars().filter(|c| *c == 'ä').count(), QUOTED);
    }
}
