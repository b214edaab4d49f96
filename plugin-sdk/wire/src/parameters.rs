//! Top-level parameters of a client's body, as all dialects decode them.
//!
//! A parameter that is null was not sent. One that the payload has a field for goes there,
//! which each dialect decides by its own names; whatever is left of it, and any other, goes to
//! `extra` under its own name, so that nothing that was sent is dropped.

use serde_json::{Map, Value};

use crate::DecodeError;
use crate::chat::{Request, Sampling};
use crate::pointer::{Path, count, integer, number, string};

/// Takes the top-level `fields` of a body into `request`. `known` takes the value of a key
/// that has a field and gives back what is to be kept in `extra`.
pub(crate) fn take_all(
    request: &mut Request,
    fields: Map<String, Value>,
    known: impl Fn(&mut Request, &str, Value, &Path<'_>) -> Result<Option<Value>, DecodeError>,
) -> Result<(), DecodeError> {
    for (key, value) in fields {
        if value.is_null() {
            continue;
        }
        let path = Path::Root.key(&key);
        if let Some(value) = known(request, &key, value, &path)? {
            request.extra.insert(key, value);
        }
    }
    Ok(())
}

/// What is left of an object, if anything is.
pub(crate) fn left(mut fields: Map<String, Value>) -> Option<Value> {
    fields.retain(|_, value| !value.is_null());
    (!fields.is_empty()).then_some(Value::Object(fields))
}

/// Takes what Chat Completions and Completions both have; gives back any other value.
pub(crate) fn sampling_of_openai(
    sampling: &mut Sampling,
    key: &str,
    value: Value,
    path: &Path<'_>,
) -> Result<Option<Value>, DecodeError> {
    match key {
        "temperature" => sampling.temperature = Some(number(&value, path)?),
        "top_p" => sampling.top_p = Some(number(&value, path)?),
        "max_tokens" => sampling.max_output_tokens = Some(count(&value, path)?),
        "seed" => sampling.seed = Some(integer(&value, path)?),
        "presence_penalty" => sampling.presence_penalty = Some(number(&value, path)?),
        "frequency_penalty" => sampling.frequency_penalty = Some(number(&value, path)?),
        "stop" => sampling.stop = stop(value, path)?,
        _ => return Ok(Some(value)),
    }
    Ok(None)
}

fn stop(value: Value, path: &Path<'_>) -> Result<Vec<String>, DecodeError> {
    match value {
        Value::String(text) => Ok(vec![text]),
        Value::Array(items) => {
            let items = items.into_iter().enumerate();
            items.map(|(at, item)| string(item, &path.index(at))).collect()
        }
        other => Err(path.mismatch("a string or an array of strings", &other)),
    }
}
