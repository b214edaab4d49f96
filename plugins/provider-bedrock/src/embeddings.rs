//! Embeddings: InvokeModel with Titan's or Cohere's own body.
//!
//! Titan takes one text a call, Cohere many. OpenAI's `encoding_format` is the host's affair;
//! what else the model has no place for is named. Token counts come in a header, in Titan's
//! case in the body as well.

use serde_json::{Map, Value, json};
use torana_plugin_sdk::provider::{Endpoint, HttpRequest, HttpResponse};
use torana_plugin_sdk::wire::embeddings::request::texts;
use torana_plugin_sdk::wire::embeddings::response;
use torana_plugin_sdk::wire::encoded::{Dropped, unsupported};
use torana_plugin_sdk::{CallError, CallErrorKind};

use crate::family::Family;
use crate::settings::Settings;
use crate::{error, path};

const TOKENS: &str = "x-amzn-bedrock-input-token-count";

/// `request` is OpenAI's.
pub(crate) fn build(
    endpoint: &Endpoint<Settings>,
    request: &Value,
) -> Result<HttpRequest, CallError> {
    let texts = texts(request)?;
    let mut dropped = Dropped::default();
    let mut known = vec!["input", "model", "encoding_format", "dimensions"];
    let body = match endpoint.settings.family(&endpoint.model) {
        Family::Titan => titan(&endpoint.model, &texts, request, &mut dropped)?,
        Family::Cohere => {
            known.extend(["input_type", "truncate"]);
            cohere(&endpoint.settings, &texts, request)
        }
        _ => return Err(unsupported(&format!("embedding text with {}", endpoint.model))),
    };
    for key in request.as_object().into_iter().flat_map(Map::keys) {
        dropped.note_if(!known.contains(&key.as_str()), key);
    }
    let path = path::of(&endpoint.model, "invoke");
    let mut sent = HttpRequest::post_json(path, body.to_string().into_bytes());
    sent.dropped = dropped.into_names();
    Ok(sent.header("accept", "application/json"))
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
    let vectors = vectors(&body).ok_or_else(|| malformed("the body has no embeddings".into()))?;
    let counted = answer.header(TOKENS).and_then(|count| count.trim().parse::<u64>().ok());
    let stated = body.get("inputTextTokenCount").and_then(Value::as_u64);
    let tokens = stated.or(counted).unwrap_or_default();
    Ok(response::of_vectors(&endpoint.model, vectors, Some(tokens)))
}

/// The first version and the one for images have dimensions of their own.
fn titan(
    model: &str,
    texts: &[&str],
    request: &Value,
    dropped: &mut Dropped,
) -> Result<Value, CallError> {
    let [text] = texts else {
        return Err(unsupported("more than one text in a call of a Titan embedding model"));
    };
    let dimensions = request.get("dimensions").filter(|dimensions| !dimensions.is_null());
    Ok(match dimensions {
        None => json!({"inputText": text}),
        Some(dimensions) if model.contains("image") => {
            json!({"inputText": text, "embeddingConfig": {"outputEmbeddingLength": dimensions}})
        }
        Some(_) if model.contains("embed-text-v1") || model.contains("g1-text") => {
            dropped.note("dimensions");
            json!({"inputText": text})
        }
        Some(dimensions) => json!({"inputText": text, "dimensions": dimensions}),
    })
}

/// `output_dimension` is known from version 4 on; earlier ones refuse it.
fn cohere(settings: &Settings, texts: &[&str], request: &Value) -> Value {
    let stated = |key: &str| request.get(key).filter(|value| !value.is_null()).cloned();
    let input_type = stated("input_type").unwrap_or_else(|| settings.input_type.as_str().into());
    let mut body = json!({
        "texts": texts,
        "input_type": input_type,
        "embedding_types": ["float"],
    });
    if let Some(fields) = body.as_object_mut() {
        fields.extend(stated("truncate").map(|value| ("truncate".to_owned(), value)));
        fields.extend(stated("dimensions").map(|value| ("output_dimension".to_owned(), value)));
    }
    body
}

/// Titan gives one; Cohere a list, by type where types were asked for.
fn vectors(body: &Value) -> Option<Vec<&Value>> {
    let are_vectors = |values: &Vec<&Value>| values.iter().all(|value| response::is_vector(value));
    if let Some(vector) = body.get("embedding") {
        return Some(vec![vector]).filter(are_vectors);
    }
    let embeddings = body.get("embeddings")?;
    let list = embeddings.get("float").unwrap_or(embeddings).as_array()?;
    Some(list.iter().collect()).filter(are_vectors)
}

fn malformed(message: String) -> CallError {
    CallError::new(CallErrorKind::MalformedResponse, message)
}
