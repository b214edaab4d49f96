//! A chat request to the body that a provider on the Responses wire takes.

use serde_json::{Map, Value, json};

use super::super::tool;
use super::item_encode;
use crate::chat::{Block, OutputFormat, Request, Role};
use crate::effort;
use crate::encoded::{Dropped, Encoded};
use crate::error::CallError;

/// Parameters of other dialects that clients send, and that OpenAI refuses as unknown here.
const FOREIGN: [&str; 27] = [
    "audio",
    "betas",
    "cache_control",
    "container",
    "fallbacks",
    "function_call",
    "functions",
    "generation_config",
    "inference_geo",
    "logit_bias",
    "max_tokens",
    "mcp_servers",
    "min_p",
    "modalities",
    "n",
    "output_config",
    "prediction",
    "reasoning_format",
    "repetition_penalty",
    "response_format",
    "safety_settings",
    "speed",
    "suffix",
    "thinking",
    "thinking_config",
    "top_a",
    "web_search_options",
];

/// Keys of OpenRouter's `reasoning` that say what [`crate::chat::Reasoning`] says.
const REASONING_AMOUNT: [&str; 4] = ["effort", "enabled", "exclude", "max_tokens"];

const ENCRYPTED: &str = "reasoning.encrypted_content";
const LOGPROBS: &str = "message.output_text.logprobs";

/// The body that asks `model`.
///
/// A model that reasons is asked for its reasoning in encrypted form and to keep nothing, so
/// that the conversation goes on from what the client sends back; unless the request itself
/// says what is to be kept or refers to what was. A reasoning budget is sent as the effort
/// that it comes near to.
///
/// # Errors
/// `Unsupported` for content that the wire has no place for, such as video.
pub fn encode(request: &Request, model: &str) -> Result<Encoded, CallError> {
    let mut dropped = Dropped::default();
    let instructions = instructions(request);
    let rest = request.messages.get(usize::from(instructions.is_some())..).unwrap_or_default();
    let mut body = Map::new();
    let mut put = |key: &str, value: Value| {
        if !value.is_null() {
            body.insert(key.into(), value);
        }
    };
    put("model", model.into());
    put("instructions", json!(instructions));
    let first = request.messages.first().and_then(|first| first.blocks.first());
    let is_cached = matches!(first, Some(Block::Text { cache: Some(_), .. }));
    dropped.note_if(is_cached, "cache_control");
    let items = item_encode::encode_all(rest, &mut dropped)?;
    let refers = refers_to_stored(request) || request.extra.contains_key("prompt");
    if !items.is_empty() || !refers {
        put("input", items.into());
    }
    let tools = tool::encode_all(&request.tools, &mut dropped);
    if !tools.is_empty() {
        put("tools", tools.into());
    }
    let choice = request.tool_choice.as_ref();
    put("tool_choice", json!(choice.and_then(|choice| tool::encode_choice(choice, &mut dropped))));
    put("parallel_tool_calls", json!(request.parallel_tool_calls));
    put("max_output_tokens", json!(request.sampling.max_output_tokens));
    put("temperature", json!(request.sampling.temperature));
    put("top_p", json!(request.sampling.top_p));
    put("text", json!(text(request)));
    put("reasoning", json!(reasoning(request)));
    put("user", json!(request.user));
    if !request.metadata.is_empty() {
        put("metadata", Value::Object(request.metadata.clone()));
    }
    if request.stream {
        put("stream", true.into());
    }
    note_sampling(request, &mut dropped);
    extras(request, &mut body, &mut dropped);
    keep_reasoning(request, model, &mut body);
    let body = serde_json::to_vec(&body).unwrap_or_default();
    Ok(Encoded { body, dropped: dropped.into_names() })
}

/// `instructions`: the first message, if that is plain text of the system.
pub(in crate::responses) fn instructions(request: &Request) -> Option<&str> {
    let first = request.messages.first().filter(|message| message.role == Role::System)?;
    match first.blocks.as_slice() {
        [Block::Text { text, extra, .. }] if extra.is_empty() && first.name.is_none() => Some(text),
        _ => None,
    }
}

/// `reasoning`, if anything is to be said of it.
pub(in crate::responses) fn reasoning(request: &Request) -> Option<Map<String, Value>> {
    let mut fields = Map::new();
    let asked = request.reasoning.as_ref();
    let effort = asked.and_then(|asked| {
        asked.effort.as_deref().or_else(|| asked.budget_tokens.map(effort::word))
    });
    if let Some(effort) = effort {
        fields.insert("effort".into(), effort.into());
    }
    let further = request.extra.get("reasoning").and_then(Value::as_object);
    for (key, value) in further.into_iter().flatten() {
        if !REASONING_AMOUNT.contains(&key.as_str()) {
            fields.insert(key.clone(), value.clone());
        }
    }
    (!fields.is_empty()).then_some(fields)
}

/// `text` as a response has it.
pub(in crate::responses) fn text_or_default(request: &Request) -> Value {
    let mut fields = text(request).unwrap_or_default();
    fields.entry("format").or_insert_with(|| json!({"type": "text"}));
    Value::Object(fields)
}

/// `text`, if anything is to be said of it. `verbosity` stands at the top in Chat Completions.
fn text(request: &Request) -> Option<Map<String, Value>> {
    let further = request.extra.get("text").and_then(Value::as_object);
    let mut fields = Map::new();
    if let Some(format) = &request.output_format {
        let mut format = wire_format(format);
        let left = further.and_then(|further| further.get("format")).and_then(Value::as_object);
        for (key, value) in left.into_iter().flatten() {
            format.entry(key.clone()).or_insert_with(|| value.clone());
        }
        fields.insert("format".into(), Value::Object(format));
    }
    for (key, value) in further.into_iter().flatten() {
        fields.entry(key.clone()).or_insert_with(|| value.clone());
    }
    if let Some(verbosity) = request.extra.get("verbosity") {
        fields.entry("verbosity").or_insert_with(|| verbosity.clone());
    }
    (!fields.is_empty()).then_some(fields)
}

fn wire_format(format: &OutputFormat) -> Map<String, Value> {
    let mut fields = Map::new();
    let mut put = |key: &str, value: Value| {
        if !value.is_null() {
            fields.insert(key.into(), value);
        }
    };
    match format {
        OutputFormat::Text => put("type", "text".into()),
        OutputFormat::JsonObject => put("type", "json_object".into()),
        OutputFormat::JsonSchema { name, description, schema, strict } => {
            put("type", "json_schema".into());
            put("name", name.as_str().into());
            put("description", json!(description));
            put("schema", schema.clone());
            put("strict", json!(strict));
        }
    }
    fields
}

fn note_sampling(request: &Request, dropped: &mut Dropped) {
    let sampling = &request.sampling;
    dropped.note_if(sampling.top_k.is_some(), "top_k");
    dropped.note_if(!sampling.stop.is_empty(), "stop");
    dropped.note_if(sampling.seed.is_some(), "seed");
    dropped.note_if(sampling.presence_penalty.is_some(), "presence_penalty");
    dropped.note_if(sampling.frequency_penalty.is_some(), "frequency_penalty");
}

/// `extra`, without what is written already and what other dialects mean by it.
fn extras(request: &Request, body: &mut Map<String, Value>, dropped: &mut Dropped) {
    let limited = request.sampling.max_output_tokens.is_some();
    for (key, value) in &request.extra {
        let says_nothing = match key.as_str() {
            "text" | "reasoning" | "verbosity" => true,
            // Chat Completions: the limit under its newer name.
            "max_completion_tokens" | "max_tokens" => limited,
            "n" => *value == json!(1),
            "modalities" => *value == json!(["text"]),
            "logprobs" => true,
            _ => false,
        };
        if says_nothing {
            if key == "logprobs" && *value == Value::Bool(true) {
                include(body, LOGPROBS);
            }
            continue;
        }
        let is_foreign = match key.as_str() {
            key if FOREIGN.contains(&key) => true,
            "max_completion_tokens" => true,
            // Anthropic has parameters of the same names.
            "context_management" => !value.is_array(),
            "service_tier" => value == "standard_only",
            _ => false,
        };
        match (key.as_str(), value) {
            _ if is_foreign => dropped.note(key.as_str()),
            ("stream_options", Value::Object(options)) => stream_options(options, request, body),
            ("include", Value::Array(names)) => {
                names.iter().filter_map(Value::as_str).for_each(|name| include(body, name));
            }
            (key, value) => {
                body.entry(key).or_insert_with(|| value.clone());
            }
        }
    }
}

/// Usage comes at the end of every stream here; asking for it is an error.
fn stream_options(options: &Map<String, Value>, request: &Request, body: &mut Map<String, Value>) {
    let mut options = options.clone();
    options.shift_remove("include_usage");
    if request.stream && !options.is_empty() {
        body.insert("stream_options".into(), Value::Object(options));
    }
}

fn include(body: &mut Map<String, Value>, name: &str) {
    let names = body.entry("include").or_insert_with(|| Value::Array(Vec::new()));
    if let Value::Array(names) = names
        && !names.iter().any(|known| known == name)
    {
        names.push(name.into());
    }
}

fn keep_reasoning(request: &Request, model: &str, body: &mut Map<String, Value>) {
    let is_off = request.reasoning.as_ref().is_some_and(effort::is_off);
    let reasons = !is_off && (request.reasoning.is_some() || is_reasoning_model(model));
    if reasons && !refers_to_stored(request) && !request.extra.contains_key("store") {
        body.insert("store".into(), false.into());
        include(body, ENCRYPTED);
    }
}

/// The provider is to keep something, or has kept it.
fn refers_to_stored(request: &Request) -> bool {
    let is_set = |key: &str| {
        request.extra.get(key).is_some_and(|value| !value.is_null() && *value != json!(false))
    };
    ["background", "conversation", "previous_response_id"].iter().any(|key| is_set(key))
}

/// OpenAI's names of models that reason: `o1` and later, `gpt-5` and later, Codex. Others
/// refuse to be asked for encrypted reasoning.
fn is_reasoning_model(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    let mut characters = name.chars();
    let series = match (characters.next(), characters.next()) {
        (Some('o'), Some(digit)) => digit.is_ascii_digit(),
        _ => false,
    };
    let generation = name.strip_prefix("gpt-").map(|rest| {
        let digits = rest.split(|character: char| !character.is_ascii_digit()).next();
        digits.and_then(|digits| digits.parse::<u32>().ok()).unwrap_or(0)
    });
    let is_chat = name.contains("-chat");
    series || name.contains("codex") || (generation.is_some_and(|number| number >= 5) && !is_chat)
}
