//! A chat request to the body that Anthropic takes.

use serde::Serialize;
use serde_json::{Map, Value};

use super::message::{Content, Conversation, WireMessage};
use super::thinking::{self, Thinking};
use super::tool::{self, WireTool};
use crate::chat::{OutputFormat, Request};
use crate::fields::Fields;

/// Keys of `extra` that Anthropic knows and the payload has no field for. `thinking` and
/// `output_config`, where given, win over what follows from `reasoning`.
const PASSED: [&str; 8] = [
    "cache_control",
    "container",
    "context_management",
    "fallbacks",
    "inference_geo",
    "mcp_servers",
    "speed",
    "thinking",
];

/// The body that asks `model`. `max_tokens`, which Anthropic insists on, is 4,096 beside
/// reasoning where the request sets none.
///
/// Temperature ends at 1 on this wire. With reasoning on, `temperature` and `top_k` are left
/// out, as Anthropic refuses them then.
pub fn encode(request: &Request, model: &str) -> Vec<u8> {
    let sampling = &request.sampling;
    let plan = thinking::plan(request.reasoning.as_ref(), sampling.max_output_tokens, model);
    let own_thinking = request.extra.contains_key("thinking");
    let free_sampling = !plan.thinks() && !own_thinking;
    let conversation = Conversation::of(&request.messages);
    let tools = tool::encode_all(&request.tools);
    let body = Body {
        model,
        max_tokens: plan.max_tokens,
        system: conversation.system,
        messages: conversation.messages,
        tool_choice: tool::encode_choice(request).filter(|_| !tools.is_empty()),
        tools,
        temperature: sampling.temperature.filter(|_| free_sampling).map(|value| value.min(1.0)),
        top_p: sampling.top_p,
        top_k: sampling.top_k.filter(|_| free_sampling),
        stop_sequences: sampling.stop.iter().filter(|text| !text.trim().is_empty()).collect(),
        metadata: user_id(request).map(|user_id| Metadata { user_id }),
        service_tier: service_tier(request),
        thinking: plan.thinking.filter(|_| !own_thinking),
        output_config: output_config(request, plan.effort.filter(|_| !own_thinking)),
        stream: request.stream,
        extra: passed(&request.extra),
    };
    serde_json::to_vec(&body).unwrap_or_default()
}

/// What the request asks for in `extra.betas`. The API takes it as a header,
/// `anthropic-beta`, with commas between.
pub fn betas(request: &Request) -> Vec<&str> {
    let betas = request.extra.get("betas").and_then(Value::as_array);
    betas.into_iter().flatten().filter_map(Value::as_str).collect()
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Content<'a>>,
    messages: Vec<WireMessage<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<WireTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop_sequences: Vec<&'a String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Thinking>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    output_config: Map<String, Value>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    user_id: &'a str,
}

/// Anthropic keeps no other metadata.
fn user_id(request: &Request) -> Option<&str> {
    let stated = request.metadata.get("user_id").and_then(Value::as_str);
    request.user.as_deref().or(stated)
}

/// OpenAI has a parameter of the same name with other words.
fn service_tier(request: &Request) -> Option<&str> {
    let tier = request.extra.get("service_tier").and_then(Value::as_str)?;
    matches!(tier, "auto" | "standard_only").then_some(tier)
}

fn output_config(request: &Request, effort: Option<&str>) -> Map<String, Value> {
    let mut config = Map::new();
    if let Some(OutputFormat::JsonSchema { schema, .. }) = &request.output_format {
        let format = serde_json::json!({"type": "json_schema", "schema": schema});
        config.insert("format".into(), format);
    }
    if let Some(effort) = effort {
        config.insert("effort".into(), effort.into());
    }
    for (key, value) in Fields::of(request.extra.get("output_config")).iter() {
        config.insert(key.clone(), value.clone());
    }
    config
}

fn passed(extra: &Map<String, Value>) -> Map<String, Value> {
    extra
        .iter()
        .filter(|(key, _)| PASSED.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}
