//! A chat request to the body of `/v2/chat`.

use serde::Serialize;
use serde_json::{Map, Value, json};
use torana_plugin_sdk::chat::{OutputFormat, Request, Tool, ToolChoice, is_carrier};
use torana_plugin_sdk::wire::effort;
use torana_plugin_sdk::wire::encoded::{Dropped, Encoded};
use torana_plugin_sdk::{CallError, CallErrorKind};

use super::message::{self, WireMessage};

/// Keys of `extra` that are parameters of Cohere.
const PASSED: [&str; 7] = [
    "documents",
    "citation_options",
    "safety_mode",
    "strict_tools",
    "logprobs",
    "priority",
    "thinking",
];
/// The most that `p` may be; other providers' 1 means the same: no limit.
const MAX_P: f64 = 0.99;

/// The body that asks `model`. `reasons`: the model takes `thinking`.
pub(crate) fn encode(request: &Request, model: &str, reasons: bool) -> Result<Encoded, CallError> {
    let mut dropped = Dropped::default();
    let sampling = &request.sampling;
    let extra = &request.extra;
    let tools = tools(request, &mut dropped);
    let body = Body {
        model,
        messages: message::encode_all(&request.messages, reasons, &mut dropped)?,
        strict_tools: strict_tools(request, &mut dropped),
        tool_choice: tool_choice(request, tools.len(), &mut dropped),
        tools,
        response_format: response_format(request),
        thinking: thinking(request, reasons, &mut dropped),
        max_tokens: sampling.max_output_tokens,
        temperature: sampling.temperature,
        p: sampling.top_p.map(|p| p.min(MAX_P)),
        k: sampling.top_k,
        stop_sequences: &sampling.stop,
        seed: sampling.seed.filter(|seed| *seed >= 0),
        frequency_penalty: sampling.frequency_penalty,
        presence_penalty: sampling.presence_penalty,
        stream: request.stream,
        passed: extra
            .iter()
            .filter(|(key, _)| PASSED.contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
    };
    dropped.note_if(sampling.seed.is_some_and(|seed| seed < 0), "seed");
    dropped.note_if(request.parallel_tool_calls == Some(false), "parallel_tool_calls");
    dropped.note_if(request.user.is_some(), "user");
    dropped.note_if(!request.metadata.is_empty(), "metadata");
    for key in extra.keys() {
        dropped.note_if(!PASSED.contains(&key.as_str()), key);
    }
    let body = serde_json::to_vec(&body).map_err(|error| {
        let message = format!("the request cannot be written as JSON: {error}");
        CallError::new(CallErrorKind::InvalidRequest, message)
    })?;
    Ok(Encoded { body, dropped: dropped.into_names() })
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<WireMessage<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<WireTool<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    strict_tools: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    k: Option<u64>,
    #[serde(skip_serializing_if = "no_texts")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    stream: bool,
    #[serde(flatten)]
    passed: Map<String, Value>,
}

fn no_texts(texts: &&[String]) -> bool {
    texts.is_empty()
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum WireTool<'a> {
    Function { function: Function<'a> },
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    parameters: Parameters<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Parameters<'a> {
    Given(&'a Value),
    /// Of a function without parameters: a schema must be there.
    Empty {
        r#type: &'static str,
        properties: Map<String, Value>,
    },
}

/// All tools, or the one that must be called.
fn tools<'a>(request: &'a Request, dropped: &mut Dropped) -> Vec<WireTool<'a>> {
    let only = match &request.tool_choice {
        Some(ToolChoice::Tool { name }) => Some(name),
        _ => None,
    };
    let mut tools = Vec::with_capacity(request.tools.len());
    for tool in &request.tools {
        match tool {
            Tool::Function { name, .. } if only.is_some_and(|only| only != name) => {}
            Tool::Function { name, description, parameters, cache, .. } => {
                dropped.note_if(cache.is_some(), "cache_control");
                let parameters = match parameters {
                    Some(schema) => Parameters::Given(schema),
                    None => Parameters::Empty { r#type: "object", properties: Map::new() },
                };
                let description = description.as_deref();
                tools.push(WireTool::Function {
                    function: Function { name, description, parameters },
                });
            }
            // No tool, but what a dialect says beside the one before.
            Tool::Other { dialect, .. } if is_carrier(dialect) => {}
            Tool::Other { value, .. } => {
                let kind = value.get("type").and_then(Value::as_str).unwrap_or("other");
                dropped.note(format!("tools.{kind}"));
            }
        }
    }
    tools
}

/// Cohere is strict with all tools or with none.
fn strict_tools(request: &Request, dropped: &mut Dropped) -> bool {
    let mut wishes = request.tools.iter().filter_map(|tool| match tool {
        Tool::Function { strict, .. } => Some(*strict == Some(true)),
        Tool::Other { .. } => None,
    });
    let any = wishes.clone().any(|strict| strict);
    let all = wishes.all(|strict| strict);
    let stated = request.extra.contains_key("strict_tools");
    dropped.note_if(any && !all && !stated, "tools.strict");
    any && all && !stated
}

fn tool_choice(request: &Request, tools: usize, dropped: &mut Dropped) -> Option<&'static str> {
    match request.tool_choice.as_ref()? {
        ToolChoice::Auto => None,
        ToolChoice::None => Some("NONE"),
        ToolChoice::Required => Some("REQUIRED"),
        ToolChoice::Tool { .. } if tools > 0 => Some("REQUIRED"),
        ToolChoice::Tool { .. } | ToolChoice::Other { .. } => {
            dropped.note("tool_choice");
            None
        }
    }
}

fn response_format(request: &Request) -> Option<Value> {
    match request.output_format.as_ref()? {
        OutputFormat::Text => None,
        OutputFormat::JsonObject => Some(json!({"type": "json_object"})),
        OutputFormat::JsonSchema { schema, .. } => {
            Some(json!({"type": "json_object", "json_schema": schema}))
        }
    }
}

/// What the client wrote for Cohere itself passes instead. Words stand for tokens as
/// everywhere in Torana.
fn thinking(request: &Request, reasons: bool, dropped: &mut Dropped) -> Option<Value> {
    let wish = request.reasoning.as_ref()?;
    let off = effort::is_off(wish);
    if request.extra.contains_key("thinking") {
        return None;
    }
    if !reasons {
        dropped.note_if(!off, "reasoning");
        return None;
    }
    if off {
        return Some(json!({"type": "disabled"}));
    }
    let budget = wish.budget_tokens.or(wish.effort.as_deref().map(effort::budget))?;
    Some(json!({"type": "enabled", "token_budget": budget}))
}
