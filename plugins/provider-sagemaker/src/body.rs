//! Bodies: OpenAI's, with the container's name for the model.

use std::collections::BTreeSet;

use serde_json::Value;
use torana_plugin_sdk::chat::Request;
use torana_plugin_sdk::provider::Endpoint;
use torana_plugin_sdk::wire::embeddings::response::is_vector;
use torana_plugin_sdk::wire::encoded::Encoded;
use torana_plugin_sdk::wire::openai;
use torana_plugin_sdk::{CallError, CallErrorKind};

use crate::settings::{Hosted, Settings};

/// The body of a chat request.
pub(crate) fn encode(
    mut request: Request,
    endpoint: &Endpoint<Settings>,
) -> Result<Encoded, CallError> {
    let settings = &endpoint.settings;
    let lacks = match settings.hosted {
        Hosted::Tgi => without_what_tgi_ignores(&mut request),
        Hosted::Openai => Vec::new(),
    };
    let encoded = openai::request::encode(&request, settings.model(&endpoint.model))?;
    let dropped: BTreeSet<String> =
        encoded.dropped.into_iter().chain(lacks.into_iter().map(str::to_owned)).collect();
    Ok(Encoded { dropped: dropped.into_iter().collect(), ..encoded })
}

/// OpenAI's request with the container's model, and with floats for an answer.
pub(crate) fn embeddings(
    mut request: Value,
    endpoint: &Endpoint<Settings>,
) -> Result<Vec<u8>, CallError> {
    let Some(fields) = request.as_object_mut() else {
        let message = "the request is not a JSON object";
        return Err(CallError::new(CallErrorKind::InvalidRequest, message));
    };
    fields.insert("model".into(), endpoint.settings.model(&endpoint.model).into());
    if fields.contains_key("encoding_format") {
        fields.insert("encoding_format".into(), "float".into());
    }
    Ok(request.to_string().into_bytes())
}

pub(crate) fn decode_embeddings(body: &[u8]) -> Result<Value, CallError> {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let has_vector = |item: &Value| item.get("embedding").is_some_and(is_vector);
    match answer.get("data").and_then(Value::as_array) {
        Some(data) if data.iter().all(has_vector) => Ok(answer),
        _ => {
            let message = "the body has no embeddings of floats";
            Err(CallError::new(CallErrorKind::MalformedResponse, message))
        }
    }
}

/// TGI reads over keys that it does not know, without a word.
fn without_what_tgi_ignores(request: &mut Request) -> Vec<&'static str> {
    // TGI knows the older name of the limit only, which is the codec's without this.
    request.extra.remove("max_completion_tokens");
    let present = [
        ("top_k", request.sampling.top_k.take().is_some()),
        ("reasoning", request.reasoning.take().is_some()),
        ("parallel_tool_calls", request.parallel_tool_calls.take() == Some(false)),
        ("user", request.user.take().is_some()),
        ("metadata", !std::mem::take(&mut request.metadata).is_empty()),
    ];
    present.into_iter().filter(|(_, present)| *present).map(|(name, _)| name).collect()
}
