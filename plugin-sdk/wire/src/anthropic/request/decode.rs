//! A client's Messages body to a chat request.
//!
//! Strict: a wrong type is refused with its place. Nothing that was sent is dropped: keys
//! without a field go to `extra`, as does what `thinking`, `output_config` and `metadata` say
//! beyond the payload's fields.

use serde_json::Value;

use super::{message_decode, tool};
use crate::DecodeError;
use crate::chat::{OutputFormat, Reasoning, Request};
use crate::parameters::{self, left};
use crate::pointer::{
    self, Path, boolean, count, number, object, string, take_optional_string, take_string,
};

/// OpenAI's name for a schema, which it insists on and Anthropic does not have.
const SCHEMA_NAME: &str = "output";

/// The request that a client's body means.
///
/// # Errors
/// Where the body is of the wrong shape. `model`, `max_tokens` and `messages` must be there.
pub fn decode(body: &[u8]) -> Result<Request, DecodeError> {
    let request = decode_to_count(body)?;
    match request.sampling.max_output_tokens {
        Some(_) => Ok(request),
        None => Err(Path::Root.key("max_tokens").missing("a whole number of 0 or more")),
    }
}

/// The same for `/messages/count_tokens`, where `max_tokens` has no place.
///
/// # Errors
/// Where the body is of the wrong shape. `model` and `messages` must be there.
pub fn decode_to_count(body: &[u8]) -> Result<Request, DecodeError> {
    let mut fields = pointer::body(body)?;
    let mut request =
        Request { model: take_string(&mut fields, "model", &Path::Root)?, ..Request::default() };
    if request.model.is_empty() {
        return Err(Path::Root.key("model").error("expected a model's name, found nothing".into()));
    }
    let path = Path::Root.key("messages");
    let messages = match fields.shift_remove("messages") {
        None | Some(Value::Null) => return Err(path.missing("an array")),
        Some(value) => message_decode::decode_all(value, &path)?,
    };
    if let Some(value) = fields.shift_remove("system").filter(|value| !value.is_null()) {
        let system = message_decode::system(value, &Path::Root.key("system"))?;
        request.messages.extend(system);
    }
    request.messages.extend(messages);
    // Before `output_config`, whose `format` is today's name for it.
    let older = fields.shift_remove("output_format").filter(|value| !value.is_null());
    if let Some(value) = older {
        let rest = format(&mut request, value, &Path::Root.key("output_format"))?;
        request.extra.extend(rest.map(|rest| ("output_format".to_owned(), rest)));
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
        "max_tokens" => sampling.max_output_tokens = Some(count(&value, path)?),
        "temperature" => sampling.temperature = Some(number(&value, path)?),
        "top_p" => sampling.top_p = Some(number(&value, path)?),
        "top_k" => sampling.top_k = Some(count(&value, path)?),
        "stop_sequences" => sampling.stop = message_decode::strings(value, path)?,
        "stream" => request.stream = boolean(&value, path)?,
        "tools" => request.tools = tool::decode_all(value, path)?,
        "tool_choice" => {
            let (choice, parallel) = tool::decode_choice(value, path)?;
            request.tool_choice = Some(choice);
            request.parallel_tool_calls = parallel;
        }
        "metadata" => {
            let mut metadata = object(value, path)?;
            request.user = take_optional_string(&mut metadata, "user_id", path)?;
            request.metadata = metadata;
        }
        "thinking" => return thinking(request, value, path),
        "output_config" => return output_config(request, value, path),
        "service_tier" => return string(value, path).map(|tier| Some(tier.into())),
        _ => return Ok(Some(value)),
    }
    Ok(None)
}

/// Off is a budget of 0, on without an amount leaves it to the model. A kind that is not
/// known is kept whole and wins over what is understood.
fn thinking(
    request: &mut Request,
    value: Value,
    path: &Path<'_>,
) -> Result<Option<Value>, DecodeError> {
    let mut fields = object(value, path)?;
    let kind = take_string(&mut fields, "type", path)?;
    let budget = match kind.as_str() {
        "disabled" => Some(0),
        "adaptive" => None,
        "enabled" => {
            let path = path.key("budget_tokens");
            match fields.shift_remove("budget_tokens") {
                None | Some(Value::Null) => {
                    return Err(path.missing("a whole number of 0 or more"));
                }
                Some(value) => Some(count(&value, &path)?),
            }
        }
        _ => {
            fields.insert("type".into(), kind.into());
            return Ok(Some(fields.into()));
        }
    };
    request.reasoning.get_or_insert_default().budget_tokens = budget;
    Ok(left(fields))
}

fn output_config(
    request: &mut Request,
    value: Value,
    path: &Path<'_>,
) -> Result<Option<Value>, DecodeError> {
    let mut fields = object(value, path)?;
    if let Some(effort) = take_optional_string(&mut fields, "effort", path)? {
        request.reasoning.get_or_insert_with(Reasoning::default).effort = Some(effort);
    }
    if let Some(value) = fields.shift_remove("format").filter(|value| !value.is_null()) {
        let left = format(request, value, &path.key("format"))?;
        fields.extend(left.map(|left| ("format".to_owned(), left)));
    }
    Ok(left(fields))
}

/// A format of a type that is not known is kept whole.
fn format(
    request: &mut Request,
    value: Value,
    path: &Path<'_>,
) -> Result<Option<Value>, DecodeError> {
    let mut fields = object(value, path)?;
    let kind = take_string(&mut fields, "type", path)?;
    if kind != "json_schema" {
        fields.insert("type".into(), kind.into());
        return Ok(Some(fields.into()));
    }
    let schema = match fields.shift_remove("schema") {
        None | Some(Value::Null) => return Err(path.key("schema").missing("an object")),
        Some(schema) => Value::Object(object(schema, &path.key("schema"))?),
    };
    let name = SCHEMA_NAME.to_owned();
    request.output_format =
        Some(OutputFormat::JsonSchema { name, description: None, schema, strict: None });
    Ok(left(fields))
}
