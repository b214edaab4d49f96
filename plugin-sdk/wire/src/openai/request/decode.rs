//! A client's Chat Completions body to a chat request.
//!
//! Strict: a wrong type is refused with its place. Nothing that was sent is dropped: keys
//! without a field go to `extra`.

use serde_json::{Map, Value};

use super::super::DIALECT;
use super::{MAX_COMPLETION_TOKENS, message_decode, tool};
use crate::DecodeError;
use crate::chat::{OutputFormat, Reasoning, Request};
use crate::parameters;
use crate::pointer::{
    self, Path, array, boolean, count, object, string, take_optional_string, take_string,
};

/// The request that a client's body means.
pub fn decode(body: &[u8]) -> Result<Request, DecodeError> {
    let mut fields = pointer::body(body)?;

    let mut request = Request::default();
    let model = fields.shift_remove("model").unwrap_or(Value::Null);
    let messages = fields.shift_remove("messages").unwrap_or(Value::Null);
    let path = Path::Root.key("model");
    request.model = match model {
        Value::Null => return Err(path.missing("a string")),
        value => string(value, &path)?,
    };
    let path = Path::Root.key("messages");
    request.messages = match messages {
        Value::Null => return Err(path.missing("an array")),
        value => message_decode::decode_all(value, &path)?,
    };
    parameters::take_all(&mut request, fields, known)?;
    settle_limits(&mut request);
    Ok(request)
}

/// Takes a key that has a field; gives back what is to be kept in `extra`.
fn known(
    request: &mut Request,
    key: &str,
    value: Value,
    path: &Path<'_>,
) -> Result<Option<Value>, DecodeError> {
    match key {
        // vLLM's -1 for "off" is not a count: it stays as it is.
        "top_k" => match value.as_u64() {
            Some(top_k) => request.sampling.top_k = Some(top_k),
            None => return Ok(Some(value)),
        },
        MAX_COMPLETION_TOKENS => {
            count(&value, path)?;
            return Ok(Some(value));
        }
        "tools" => request.tools = tool::decode_all(value, path)?,
        "tool_choice" => request.tool_choice = Some(tool::decode_choice(value, path)?),
        "parallel_tool_calls" => request.parallel_tool_calls = Some(boolean(&value, path)?),
        "response_format" => return response_format(request, value, path),
        "reasoning_effort" => {
            let effort = string(value, path)?;
            request.reasoning.get_or_insert_default().effort = Some(effort);
        }
        "reasoning" => return reasoning(request, value, path),
        "stream" => request.stream = boolean(&value, path)?,
        "user" => request.user = Some(string(value, path)?),
        "metadata" => request.metadata = object(value, path)?,
        _ => return parameters::sampling_of_openai(&mut request.sampling, key, value, path),
    }
    Ok(None)
}

/// `max_completion_tokens` wins over the deprecated `max_tokens`; both are kept.
fn settle_limits(request: &mut Request) {
    let limit = request.extra.get(MAX_COMPLETION_TOKENS).and_then(Value::as_u64);
    if limit.is_some() {
        let older = std::mem::replace(&mut request.sampling.max_output_tokens, limit);
        if let Some(older) = older {
            request.extra.insert("max_tokens".into(), older.into());
        }
    }
}

/// Keys without a place stay in `extra`, as does a whole format that the payload cannot hold:
/// one of another type, or a schema format without its schema.
fn response_format(
    request: &mut Request,
    value: Value,
    path: &Path<'_>,
) -> Result<Option<Value>, DecodeError> {
    let mut format = object(value, path)?;
    let kind = match format.get("type") {
        None | Some(Value::Null) => return Err(path.key("type").missing("a string")),
        Some(Value::String(kind)) => kind.as_str(),
        Some(other) => return Err(path.key("type").mismatch("a string", other)),
    };
    let decoded = match kind {
        "text" => OutputFormat::Text,
        "json_object" => OutputFormat::JsonObject,
        "json_schema" => match json_schema(&mut format, &path.key("json_schema"))? {
            Some(decoded) => decoded,
            None => return Ok(Some(Value::Object(format))),
        },
        _ => return Ok(Some(Value::Object(format))),
    };
    format.shift_remove("type");
    request.output_format = Some(decoded);
    Ok((!format.is_empty()).then_some(Value::Object(format)))
}

fn json_schema(
    format: &mut Map<String, Value>,
    path: &Path<'_>,
) -> Result<Option<OutputFormat>, DecodeError> {
    let inner = match format.get_mut("json_schema") {
        None | Some(Value::Null) => return Err(path.missing("an object")),
        Some(Value::Object(inner)) => inner,
        Some(other) => return Err(path.mismatch("an object", other)),
    };
    if inner.get("schema").is_none_or(Value::is_null) {
        return Ok(None);
    }
    let schema = inner.shift_remove("schema").unwrap_or_default();
    let name = take_string(inner, "name", path)?;
    let description = take_optional_string(inner, "description", path)?;
    let strict = match inner.shift_remove("strict") {
        None | Some(Value::Null) => None,
        Some(value) => Some(boolean(&value, &path.key("strict"))?),
    };
    if inner.is_empty() {
        format.shift_remove("json_schema");
    }
    Ok(Some(OutputFormat::JsonSchema { name, description, schema, strict }))
}

/// OpenRouter's object. Kept whole in `extra`: it names the form and may have more keys.
fn reasoning(
    request: &mut Request,
    value: Value,
    path: &Path<'_>,
) -> Result<Option<Value>, DecodeError> {
    let Value::Object(fields) = &value else {
        return Ok(Some(value));
    };
    let mut decoded = Reasoning::default();
    if let Some(effort) = fields.get("effort").filter(|effort| !effort.is_null()) {
        decoded.effort = Some(string(effort.clone(), &path.key("effort"))?);
    }
    if let Some(budget) = fields.get("max_tokens").filter(|budget| !budget.is_null()) {
        decoded.budget_tokens = Some(count(budget, &path.key("max_tokens"))?);
    }
    if fields.get("enabled") == Some(&Value::Bool(false)) {
        decoded.budget_tokens = Some(0);
    }
    if decoded != Reasoning::default() {
        let effort = request.reasoning.take().and_then(|reasoning| reasoning.effort);
        decoded.effort = decoded.effort.or(effort);
        request.reasoning = Some(decoded);
    }
    Ok(Some(value))
}

pub(super) fn each<T>(
    value: Value,
    path: &Path<'_>,
    mut decode: impl FnMut(Value, &Path<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let items = array(value, path)?;
    let mut decoded = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        decoded.push(decode(item, &path.index(index))?);
    }
    Ok(decoded)
}

/// A value of this dialect alone.
pub(super) fn own(value: Value) -> (String, Value) {
    (DIALECT.into(), value)
}
