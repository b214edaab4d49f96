//! A chat request to the body of Converse and ConverseStream, which are the same.

use serde::Serialize;
use serde_json::{Map, Value, json};
use torana_plugin_sdk::chat::{OutputFormat, Request};
use torana_plugin_sdk::wire::encoded::{Dropped, Encoded};
use torana_plugin_sdk::{CallError, CallErrorKind};

use super::message::{Content, Conversation, WireMessage};
use super::thinking;
use super::tool::{self, ToolConfig};
use crate::family::Family;
use crate::settings::{Settings, StructuredOutput};

/// Keys of `extra` that are top-level fields of Converse.
const PASSED: [&str; 4] = [
    "guardrailConfig",
    "performanceConfig",
    "promptVariables",
    "additionalModelResponseFieldPaths",
];
/// Keys of `extra` that Claude takes beyond Converse, as Anthropic's clients send them.
const CLAUDE: [&str; 3] = ["thinking", "output_config", "context_management"];
/// Limits of `requestMetadata`.
const MAX_METADATA: usize = 16;
const MAX_METADATA_LENGTH: usize = 256;

/// The body that asks `model`.
///
/// Temperature ends at 1 here. With reasoning on, Claude refuses `temperature` and `top_k`,
/// which are then left out and named.
pub(crate) fn encode(
    request: &Request,
    model: &str,
    settings: &Settings,
) -> Result<Encoded, CallError> {
    let family = settings.family(model);
    let mut dropped = Dropped::default();
    let plan = thinking::plan(request, family, model);
    dropped.note_if(plan.left_out, "reasoning");
    let conversation = Conversation::of(&request.messages, family, &mut dropped)?;
    let strict = settings.structured_output == StructuredOutput::JsonSchema;
    let body = Body {
        tool_config: tool::config(request, family, strict, &mut dropped),
        system: conversation.system,
        messages: conversation.messages,
        inference_config: inference_config(request, &plan, &mut dropped),
        output_config: output_config(request, settings, &mut dropped)?,
        service_tier: service_tier(request, &mut dropped),
        request_metadata: request_metadata(request, &mut dropped),
        additional_model_request_fields: additional(request, family, plan, &mut dropped),
        passed: passed(request, family, &mut dropped),
    };
    let sampling = &request.sampling;
    dropped.note_if(sampling.seed.is_some(), "seed");
    dropped.note_if(sampling.presence_penalty.is_some(), "presence_penalty");
    dropped.note_if(sampling.frequency_penalty.is_some(), "frequency_penalty");
    dropped.note_if(request.user.is_some(), "user");
    dropped.note_if(request.parallel_tool_calls == Some(false), "parallel_tool_calls");
    Ok(Encoded { body: to_bytes(&body)?, dropped: dropped.into_names() })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Content<'a>>,
    messages: Vec<WireMessage<'a>>,
    #[serde(skip_serializing_if = "InferenceConfig::is_empty")]
    inference_config: InferenceConfig<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<Value>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    request_metadata: Map<String, Value>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    additional_model_request_fields: Map<String, Value>,
    #[serde(flatten)]
    passed: Map<String, Value>,
}

#[derive(Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct InferenceConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop_sequences: Vec<&'a str>,
}

impl InferenceConfig<'_> {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn inference_config<'a>(
    request: &'a Request,
    plan: &thinking::Plan,
    dropped: &mut Dropped,
) -> InferenceConfig<'a> {
    let sampling = &request.sampling;
    let free = !plan.fixes_sampling;
    dropped.note_if(!free && sampling.temperature.is_some(), "temperature");
    // Beside reasoning Claude takes 0.95 to 1 only.
    let top_p = sampling.top_p.filter(|top_p| free || *top_p >= 0.95);
    dropped.note_if(top_p != sampling.top_p, "top_p");
    let blank = |text: &&String| text.trim().is_empty();
    dropped.note_if(sampling.stop.iter().any(|text| blank(&text)), "stop");
    InferenceConfig {
        max_tokens: plan.max_tokens,
        temperature: sampling.temperature.filter(|_| free).map(|value| value.min(1.0)),
        top_p,
        stop_sequences: sampling
            .stop
            .iter()
            .filter(|text| !blank(text))
            .map(String::as_str)
            .collect(),
    }
}

/// The schema is a string of JSON here. A schema that reaches an adapter which promised no
/// more than a tool has no place.
fn output_config(
    request: &Request,
    settings: &Settings,
    dropped: &mut Dropped,
) -> Result<Option<Value>, CallError> {
    let native = settings.structured_output == StructuredOutput::JsonSchema;
    match &request.output_format {
        None | Some(OutputFormat::Text) => Ok(None),
        Some(OutputFormat::JsonSchema { name, description, schema, .. }) if native => {
            let mut definition = Map::new();
            definition.insert("name".into(), name.as_str().into());
            if let Some(description) = description.as_deref().filter(|text| !text.is_empty()) {
                definition.insert("description".into(), description.into());
            }
            let schema = String::from_utf8(to_bytes(schema)?).map_err(unwritable)?;
            definition.insert("schema".into(), schema.into());
            let structure = json!({"jsonSchema": definition});
            let format = json!({"type": "json_schema", "structure": structure});
            Ok(Some(json!({"textFormat": format})))
        }
        Some(_) => {
            dropped.note("output_format");
            Ok(None)
        }
    }
}

/// Bedrock's own `serviceTier`, else OpenAI's `service_tier` where the word means the same.
fn service_tier(request: &Request, dropped: &mut Dropped) -> Option<Value> {
    if let Some(own) = request.extra.get("serviceTier") {
        dropped.note_if(request.extra.contains_key("service_tier"), "service_tier");
        return Some(own.clone());
    }
    let stated = request.extra.get("service_tier")?;
    match stated.as_str() {
        Some(tier @ ("flex" | "priority")) => Some(json!({"type": tier})),
        Some("auto" | "default") => None,
        _ => {
            dropped.note("service_tier");
            None
        }
    }
}

/// `requestMetadata`, which marks the call in Bedrock's logs, from the client's own pairs.
/// Pairs that AWS would refuse the whole call for are left out.
fn request_metadata(request: &Request, dropped: &mut Dropped) -> Map<String, Value> {
    let mut pairs = Map::new();
    for (key, value) in &request.metadata {
        let fits = value.as_str().is_some_and(is_metadata) && !key.is_empty() && is_metadata(key);
        match fits && pairs.len() < MAX_METADATA {
            true => {
                pairs.insert(key.clone(), value.clone());
            }
            false => dropped.note("metadata"),
        }
    }
    match request.extra.get("requestMetadata") {
        Some(Value::Object(own)) => pairs.extend(own.clone()),
        Some(_) => dropped.note("requestMetadata"),
        None => {}
    }
    pairs
}

fn is_metadata(text: &str) -> bool {
    let allowed = |character: char| {
        character.is_ascii_alphanumeric()
            || character.is_ascii_whitespace()
            || ":_@$#=/+,-.".contains(character)
    };
    text.len() <= MAX_METADATA_LENGTH && text.chars().all(allowed)
}

/// What goes to the model's maker as it is. What the client wrote itself counts most.
fn additional(
    request: &Request,
    family: Family,
    plan: thinking::Plan,
    dropped: &mut Dropped,
) -> Map<String, Value> {
    let mut fields = plan.fields;
    if let Some(top_k) = request.sampling.top_k {
        match family {
            Family::Claude if plan.fixes_sampling => dropped.note("top_k"),
            Family::Claude | Family::Mistral => {
                fields.insert("top_k".into(), top_k.into());
            }
            Family::Cohere => {
                fields.insert("k".into(), top_k.into());
            }
            Family::Nova => {
                fields.insert("inferenceConfig".into(), json!({"topK": top_k}));
            }
            Family::Titan | Family::GptOss | Family::Other => dropped.note("top_k"),
        }
    }
    let extra = &request.extra;
    if family == Family::Claude {
        if let Some(betas) = extra.get("betas") {
            fields.insert("anthropic_beta".into(), betas.clone());
        }
        for key in CLAUDE {
            fields.extend(extra.get(key).map(|value| (key.to_owned(), value.clone())));
        }
    }
    match extra.get("additionalModelRequestFields") {
        Some(Value::Object(own)) => fields.extend(own.clone()),
        Some(_) => dropped.note("additionalModelRequestFields"),
        None => {}
    }
    fields
}

fn passed(request: &Request, family: Family, dropped: &mut Dropped) -> Map<String, Value> {
    let elsewhere = |key: &str| {
        let own =
            ["serviceTier", "service_tier", "requestMetadata", "additionalModelRequestFields"];
        own.contains(&key) || family == Family::Claude && (key == "betas" || CLAUDE.contains(&key))
    };
    let mut passed = Map::new();
    for (key, value) in &request.extra {
        match key.as_str() {
            key if PASSED.contains(&key) => {
                passed.insert(key.to_owned(), value.clone());
            }
            key => dropped.note_if(!elsewhere(key), key),
        }
    }
    passed
}

fn to_bytes(value: &impl Serialize) -> Result<Vec<u8>, CallError> {
    serde_json::to_vec(value).map_err(unwritable)
}

fn unwritable(error: impl std::fmt::Display) -> CallError {
    let message = format!("the request cannot be written as JSON: {error}");
    CallError::new(CallErrorKind::InvalidRequest, message)
}
