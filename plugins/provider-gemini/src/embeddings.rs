//! Embeddings: OpenAI's request to Google's, and Google's three answers to OpenAI's.
//!
//! AI Studio has `batchEmbedContents`. Vertex has `predict` for its older models and, from
//! `gemini-embedding-2` on, `embedContent` for one input at a time. Tokens in place of text
//! are refused: nobody but their maker can read them. An answer without counts has no usage.

use serde::Serialize;
use serde_json::{Map, Value, json};
use torana_plugin_sdk::provider::{Endpoint, HttpRequest};
use torana_plugin_sdk::wire::embeddings::request::texts;
use torana_plugin_sdk::wire::embeddings::response;
use torana_plugin_sdk::wire::encoded::{Dropped, unsupported};
use torana_plugin_sdk::{CallError, CallErrorKind};

use crate::model::Model;
use crate::settings::{Platform, Settings};

/// Texts in one call, as Google bounds a batch on AI Studio; Vertex bounds it at 250.
const MAX_INPUTS: [(Platform, usize); 2] = [(Platform::AiStudio, 100), (Platform::Vertex, 250)];

/// OpenAI's embeddings request to the provider's.
///
/// # Errors
///
/// `Unsupported` for tokens and for more texts than one call takes; `InvalidRequest` for a
/// body without a text.
pub(crate) fn build(
    endpoint: &Endpoint<Settings>,
    request: Value,
) -> Result<HttpRequest, CallError> {
    let platform = endpoint.settings.platform;
    let inputs = texts(&request)?;
    let most = MAX_INPUTS.iter().find(|(of, _)| *of == platform).map_or(1, |(_, most)| *most);
    if inputs.len() > most {
        return Err(unsupported(&format!("embedding more than {most} texts at once")));
    }
    let options = Options::of(&request);
    let model = &endpoint.model;
    let (method, body) = match platform {
        Platform::AiStudio => {
            let resource = match model.contains('/') {
                true => model.clone(),
                false => format!("models/{model}"),
            };
            let of = |text: &&str| options.content(text, Some(&resource));
            let requests: Vec<Value> = inputs.iter().map(of).collect();
            ("batchEmbedContents", json!({ "requests": requests }))
        }
        Platform::Vertex if Model::of(model).embeds_content() => match inputs.as_slice() {
            [text] => ("embedContent", options.content(text, None)),
            _ => return Err(unsupported("embedding more than one text at once")),
        },
        Platform::Vertex => ("predict", options.instances(&inputs)),
    };
    let body = serde_json::to_vec(&body)
        .map_err(|error| CallError::new(CallErrorKind::InvalidRequest, error.to_string()))?;
    let request = HttpRequest::post_json(endpoint.settings.path(model, method)?, body);
    Ok(HttpRequest { dropped: options.dropped.into_names(), ..request })
}

/// The provider's answer in OpenAI's shape.
///
/// # Errors
///
/// `MalformedResponse` for a body that holds no embeddings.
pub(crate) fn parse(model: &str, body: &[u8]) -> Result<Value, CallError> {
    let malformed = |message: String| CallError::new(CallErrorKind::MalformedResponse, message);
    let answer: Value = serde_json::from_slice(body)
        .map_err(|error| malformed(format!("the body is not JSON: {error}")))?;
    let list = |key: &str| answer.get(key).and_then(Value::as_array);
    let found: Vec<&Value> = match (list("embeddings"), list("predictions")) {
        (Some(items), _) => items.iter().collect(),
        (None, Some(items)) => items.iter().filter_map(|item| item.get("embeddings")).collect(),
        (None, None) => answer.get("embedding").into_iter().collect(),
    };
    let vectors = found
        .iter()
        .map(|embedding| embedding.get("values").filter(|values| values.is_array()))
        .collect::<Option<Vec<_>>>()
        .filter(|vectors| !vectors.is_empty())
        .ok_or_else(|| malformed("the body holds no embeddings".into()))?;
    Ok(response::of_vectors(model, vectors, tokens(&answer, &found)))
}

fn tokens(answer: &Value, embeddings: &[&Value]) -> Option<u64> {
    let whole = answer.get("usageMetadata").and_then(|usage| usage.get("promptTokenCount"));
    if let Some(tokens) = whole.and_then(Value::as_u64) {
        return Some(tokens);
    }
    embeddings
        .iter()
        .map(|embedding| {
            let count = embedding.get("statistics")?.get("token_count")?;
            // Vertex counts in floats.
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "saturates"
            )]
            count.as_u64().or_else(|| count.as_f64().map(|count| count as u64))
        })
        .sum()
}

/// What a request says beside its texts.
#[derive(Default)]
struct Options<'a> {
    dimensions: Option<&'a Value>,
    task_type: Option<&'a Value>,
    title: Option<&'a Value>,
    auto_truncate: Option<&'a Value>,
    dropped: Dropped,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Content<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    content: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dimensionality: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_type: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a Value>,
}

impl<'a> Options<'a> {
    fn of(request: &'a Value) -> Self {
        let mut options = Self::default();
        for (key, value) in request.as_object().into_iter().flatten() {
            match key.as_str() {
                // The host turns floats into what the client asked for.
                "model" | "input" | "encoding_format" => {}
                _ if value.is_null() => {}
                "dimensions" => options.dimensions = Some(value),
                "task_type" | "taskType" => options.task_type = Some(value),
                "title" => options.title = Some(value),
                "auto_truncate" | "autoTruncate" => options.auto_truncate = Some(value),
                other => options.dropped.note(other),
            }
        }
        options
    }

    fn content(&self, text: &str, model: Option<&str>) -> Value {
        let content = Content {
            model,
            content: json!({"parts": [{"text": text}]}),
            output_dimensionality: self.dimensions,
            task_type: self.task_type,
            title: self.title,
        };
        serde_json::to_value(content).unwrap_or_default()
    }

    fn instances(&self, inputs: &[&str]) -> Value {
        let some = |pairs: &[(&str, Option<&Value>)]| -> Map<String, Value> {
            let pairs = pairs.iter().filter_map(|(key, value)| Some((*key, (*value)?)));
            pairs.map(|(key, value)| (key.to_owned(), value.clone())).collect()
        };
        let instance = |text: &&str| {
            let mut instance = some(&[("task_type", self.task_type), ("title", self.title)]);
            instance.insert("content".into(), (*text).into());
            Value::Object(instance)
        };
        let instances: Vec<Value> = inputs.iter().map(instance).collect();
        let parameters = some(&[
            ("outputDimensionality", self.dimensions),
            ("autoTruncate", self.auto_truncate),
        ]);
        match parameters.is_empty() {
            true => json!({ "instances": instances }),
            false => json!({"instances": instances, "parameters": parameters}),
        }
    }
}
