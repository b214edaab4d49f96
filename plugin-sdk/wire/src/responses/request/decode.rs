//! A client's Responses body to a chat request.
//!
//! Strict: a wrong type is refused with its place. Nothing that was sent is dropped: keys
//! without a field go to `extra`, as do `text.verbosity`, `reasoning.summary` and their like,
//! in what is left of their object.

use serde_json::{Map, Value};

use super::super::tool;
use super::item_decode;
use crate::DecodeError;
use crate::chat::{Block, Message, OutputFormat, Request, Role};
use crate::parameters::{self, left};
use crate::pointer::{
    self, Path, boolean, count, number, object, string, take_optional_string, take_string,
};

/// The request that a client's body means.
///
/// # Errors
/// Says where the body is wrong. A body without `input` is right: a stored prompt or an
/// earlier response may say it all.
pub fn decode(body: &[u8]) -> Result<Request, DecodeError> {
    let mut fields = pointer::body(body)?;
    let mut request =
        Request { model: take_string(&mut fields, "model", &Path::Root)?, ..Request::default() };
    if let Some(text) = take_optional_string(&mut fields, "instructions", &Path::Root)? {
        let blocks = vec![Block::text(text)];
        request.messages.push(Message { role: Role::System, blocks, name: None });
    }
    let has_source = ["prompt", "previous_response_id", "conversation"]
        .iter()
        .any(|key| fields.get(*key).is_some_and(|value| !value.is_null()));
    let path = Path::Root.key("input");
    match fields.shift_remove("input").filter(|input| !input.is_null()) {
        Some(input) => {
            let before = std::mem::take(&mut request.messages);
            request.messages = item_decode::decode_all(input, &path, before)?;
        }
        None if has_source => {}
        None => return Err(path.missing("a string or an array of items")),
    }
    parameters::take_all(&mut request, fields, known)?;
    Ok(request)
}

/// Takes a key that has a field; gives back what is to be kept in `extra`.
fn known(
    request: &mut Request,
    key: &str,
    value: Value,
    path: &Path<'_>,
) -> Result<Option<Value>, DecodeError> {
    let sampling = &mut request.sampling;
    match key {
        "temperature" => sampling.temperature = Some(number(&value, path)?),
        "top_p" => sampling.top_p = Some(number(&value, path)?),
        "max_output_tokens" => sampling.max_output_tokens = Some(count(&value, path)?),
        "tools" => request.tools = tool::decode_all(value, path)?,
        "tool_choice" => request.tool_choice = Some(tool::decode_choice(value, path)?),
        "parallel_tool_calls" => request.parallel_tool_calls = Some(boolean(&value, path)?),
        "text" => return text(request, value, path),
        "reasoning" => return reasoning(request, value, path),
        "stream" => request.stream = boolean(&value, path)?,
        "user" => request.user = Some(string(value, path)?),
        "metadata" => request.metadata = object(value, path)?,
        _ => return Ok(Some(value)),
    }
    Ok(None)
}

fn reasoning(
    request: &mut Request,
    value: Value,
    path: &Path<'_>,
) -> Result<Option<Value>, DecodeError> {
    let mut fields = object(value, path)?;
    if let Some(effort) = take_optional_string(&mut fields, "effort", path)? {
        request.reasoning.get_or_insert_default().effort = Some(effort);
    }
    Ok(left(fields))
}

/// A format that the payload cannot hold stays whole: one of another type, or a schema
/// format without its schema.
fn text(
    request: &mut Request,
    value: Value,
    path: &Path<'_>,
) -> Result<Option<Value>, DecodeError> {
    let mut fields = object(value, path)?;
    let path = path.key("format");
    if let Some(value) = fields.shift_remove("format").filter(|format| !format.is_null()) {
        let mut format = object(value, &path)?;
        let kind = match format.get("type") {
            None | Some(Value::Null) => return Err(path.key("type").missing("a string")),
            Some(Value::String(kind)) => kind.clone(),
            Some(other) => return Err(path.key("type").mismatch("a string", other)),
        };
        request.output_format = match kind.as_str() {
            "text" => Some(OutputFormat::Text),
            "json_object" => Some(OutputFormat::JsonObject),
            "json_schema" if format.get("schema").is_some_and(|schema| !schema.is_null()) => {
                Some(json_schema(&mut format, &path)?)
            }
            _ => None,
        };
        if request.output_format.is_some() {
            format.shift_remove("type");
        }
        if let Some(format) = left(format) {
            fields.insert("format".into(), format);
        }
    }
    Ok(left(fields))
}

fn json_schema(
    format: &mut Map<String, Value>,
    path: &Path<'_>,
) -> Result<OutputFormat, DecodeError> {
    let name = take_string(format, "name", path)?;
    let description = take_optional_string(format, "description", path)?;
    let schema = format.shift_remove("schema").unwrap_or_default();
    let strict = match format.shift_remove("strict") {
        None | Some(Value::Null) => None,
        Some(value) => Some(boolean(&value, &path.key("strict"))?),
    };
    Ok(OutputFormat::JsonSchema { name, description, schema, strict })
}
