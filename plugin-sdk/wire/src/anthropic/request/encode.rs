//! A chat request to the body that Anthropic takes.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::message::{Content, Conversation, WireMessage};
use super::model::Model;
use super::parameters;
use super::thinking::{self, Plan, Thinking};
use super::tool::{self, WireTool};
use crate::chat::{OutputFormat, Request};
use crate::encoded::{Dropped, Encoded};
use crate::error::CallError;
use crate::fields::{Fields, accumulate};

/// The body that asks `model`. `max_tokens`, which Anthropic insists on, is 4,096 beside
/// reasoning where the request sets none.
///
/// Thinking gives way where Anthropic refuses it: beside a forced call of a tool, and, for
/// models that think by budget, in answer to calls that were made without thinking.
///
/// # Errors
/// `Unsupported` for content that Anthropic has no place for.
pub fn encode(request: &Request, model: &str) -> Result<Encoded, CallError> {
    encode_for(request, model, (Some(model), None))
}

/// The same for a platform that has the model in its path and wants `anthropic_version`, such
/// as `vertex-2023-10-16`, in the body.
///
/// # Errors
/// As [`encode`].
pub fn encode_hosted(request: &Request, model: &str, version: &str) -> Result<Encoded, CallError> {
    encode_for(request, model, (None, Some(version)))
}

/// What the request asks for in `extra.betas`. The API takes it as a header,
/// `anthropic-beta`, with commas between.
pub fn betas(request: &Request) -> Vec<&str> {
    let betas = request.extra.get("betas").and_then(Value::as_array);
    betas.into_iter().flatten().filter_map(Value::as_str).collect()
}

fn encode_for(
    request: &Request,
    name: &str,
    (model, anthropic_version): (Option<&str>, Option<&str>),
) -> Result<Encoded, CallError> {
    let mut dropped = Dropped::default();
    parameters::note_homeless(request, &mut dropped);
    let sampling = &request.sampling;
    let conversation = Conversation::of(&request.messages, &mut dropped)?;
    let tools = tool::encode_all(&request.tools, &mut dropped);
    let traits = Model::of(name);
    let plan = plan(request, traits, &conversation);
    dropped.note_if(plan.dropped, "reasoning");
    let own_thinking = own_thinking(request);
    let thinks = plan.thinks()
        || own_thinking.is_some_and(|own| own.get("type") != Some(&json!("disabled")));
    let tuned = parameters::tune(sampling, thinks, traits, &mut dropped);
    let body = Body {
        model,
        anthropic_version,
        max_tokens: plan.max_tokens,
        system: conversation.system,
        messages: conversation.messages,
        tool_choice: tool::encode_choice(request, !tools.is_empty(), &mut dropped),
        tools,
        temperature: tuned.temperature,
        top_p: tuned.top_p,
        top_k: tuned.top_k,
        stop_sequences: parameters::stop_sequences(sampling, &mut dropped),
        metadata: parameters::user_id(request).map(|user_id| Metadata { user_id }),
        service_tier: parameters::service_tier(request),
        thinking: thinking_fields(request, &plan),
        output_config: output_config(request, plan.effort),
        stream: request.stream,
        extra: parameters::passed(&request.extra),
    };
    let body = serde_json::to_vec(&body).unwrap_or_default();
    Ok(Encoded { body, dropped: dropped.into_names() })
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    anthropic_version: Option<&'a str>,
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
    #[serde(skip_serializing_if = "Map::is_empty")]
    thinking: Map<String, Value>,
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

/// `extra.thinking` where it is whole: the client's own word, which wins over what follows
/// from `reasoning`.
fn own_thinking(request: &Request) -> Option<&Map<String, Value>> {
    let fields = request.extra.get("thinking")?.as_object()?;
    fields.contains_key("type").then_some(fields)
}

fn plan<'a>(request: &'a Request, model: Model, conversation: &Conversation<'_>) -> Plan<'a> {
    let limit = request.sampling.max_output_tokens;
    let mut plan = thinking::plan(request.reasoning.as_ref(), limit, model);
    if own_thinking(request).is_some() {
        plan.thinking = None;
        plan.effort = None;
        plan.dropped = false;
        return plan;
    }
    let by_budget = matches!(plan.thinking, Some(Thinking::Enabled { .. }));
    let broken = by_budget && conversation.continues_without_thinking();
    if plan.thinks() && (broken || tool::is_forced(request)) {
        plan.give_up(limit);
    }
    plan
}

/// `thinking`, with what the client said beside the payload's fields.
fn thinking_fields(request: &Request, plan: &Plan<'_>) -> Map<String, Value> {
    if let Some(own) = own_thinking(request) {
        return own.clone();
    }
    let planned = plan.thinking.as_ref().and_then(|planned| serde_json::to_value(planned).ok());
    let Some(Value::Object(mut fields)) = planned else {
        return Map::new();
    };
    for (key, value) in Fields::of(request.extra.get("thinking")).iter() {
        fields.insert(key.clone(), value.clone());
    }
    fields
}

/// `extra.output_config` wins where both say something.
fn output_config(request: &Request, effort: Option<&str>) -> Map<String, Value> {
    let mut config = Map::new();
    if let Some(effort) = effort {
        config.insert("effort".into(), effort.into());
    }
    if let Some(OutputFormat::JsonSchema { schema, .. }) = &request.output_format {
        config.insert("format".into(), json!({"type": "json_schema", "schema": schema}));
    }
    let stated = request.extra.get("output_config").and_then(Value::as_object);
    accumulate(&mut config, stated.cloned().unwrap_or_default());
    config
}
