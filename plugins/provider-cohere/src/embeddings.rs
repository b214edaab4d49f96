//! Embeddings: `/v2/embed`, from and to OpenAI's shape.
//!
//! Cohere wants to know what a vector is for: `input_type`, from the request, else from the
//! settings. OpenAI's `encoding_format` is the host's affair.

use serde_json::{Map, Value, json};
use torana_plugin_sdk::provider::{Endpoint, HttpRequest, HttpResponse};
use torana_plugin_sdk::wire::embeddings::request::texts;
use torana_plugin_sdk::wire::embeddings::response;
use torana_plugin_sdk::wire::encoded::{Dropped, unsupported};
use torana_plugin_sdk::{CallError, CallErrorKind};

use crate::{Settings, error};

/// Texts that Cohere takes in one call.
const MAX_TEXTS: usize = 96;
/// Parameters of Cohere that pass as they are.
const PASSED: [&str; 3] = ["truncate", "max_tokens", "priority"];
const KNOWN: [&str; 5] = ["input", "model", "encoding_format", "dimensions", "input_type"];

/// `request` is OpenAI's.
pub(crate) fn build(
    endpoint: &Endpoint<Settings>,
    request: &Value,
) -> Result<HttpRequest, CallError> {
    let texts = texts(request)?;
    if texts.len() > MAX_TEXTS {
        return Err(unsupported(&format!("more than {MAX_TEXTS} texts in a call for embeddings")));
    }
    let stated = |key: &str| request.get(key).filter(|value| !value.is_null()).cloned();
    let input_type = stated("input_type");
    let mut body = Map::from_iter([
        ("model".to_owned(), endpoint.model.as_str().into()),
        ("texts".to_owned(), json!(texts)),
        (
            "input_type".to_owned(),
            input_type.unwrap_or_else(|| endpoint.settings.input_type.as_str().into()),
        ),
        ("embedding_types".to_owned(), json!(["float"])),
    ]);
    body.extend(stated("dimensions").map(|value| ("output_dimension".to_owned(), value)));
    body.extend(PASSED.iter().filter_map(|key| Some(((*key).to_owned(), stated(key)?))));
    let mut dropped = Dropped::default();
    for key in request.as_object().into_iter().flat_map(Map::keys) {
        let key = key.as_str();
        dropped.note_if(!KNOWN.contains(&key) && !PASSED.contains(&key), key);
    }
    let body = Value::Object(body).to_string().into_bytes();
    let sent = HttpRequest::post_json(&endpoint.settings.embed_path, body);
    Ok(HttpRequest { dropped: dropped.into_names(), ..sent })
}

/// To OpenAI's answer.
pub(crate) fn parse(
    endpoint: &Endpoint<Settings>,
    answer: &HttpResponse,
) -> Result<Value, CallError> {
    if !answer.is_success() {
        return Err(error::decode(answer));
    }
    let body: Value = serde_json::from_slice(&answer.body)
        .map_err(|error| malformed(format!("the body is not JSON: {error}")))?;
    let vectors = body
        .pointer("/embeddings/float")
        .and_then(Value::as_array)
        .filter(|vectors| vectors.iter().all(response::is_vector))
        .ok_or_else(|| malformed("the body has no embeddings of floats".into()))?;
    let tokens = body.pointer("/meta/billed_units/input_tokens").and_then(Value::as_f64);
    // The cast saturates.
    let tokens = tokens.unwrap_or_default() as u64;
    Ok(response::of_vectors(&endpoint.model, vectors, Some(tokens)))
}

fn malformed(message: String) -> CallError {
    CallError::new(CallErrorKind::MalformedResponse, message)
}
