//! Rows as spans. Each row is turned into spans without any other.
//!
//! | row | spans |
//! |---|---|
//! | inference | `POST {route}` (server): the client's request, with the row's own ids |
//! | | `{operation} {model}` (client), below it: the call of a model, if one was tried |
//! | model inference | `upstream {endpoint}` (client), below that: one attempt |
//! | feedback | `gen_ai.evaluation.result` (internal), a moment |
//!
//! `gen_ai.*` stands on the second level alone: receivers take each span with such attributes
//! for a generation and add up its tokens. What each attempt took is in its `torana.usage.*`,
//! those that failed included. Names follow
//! <https://github.com/open-telemetry/semantic-conventions-genai> as of November 2026
//! (`docs/gen-ai/client-inference.md`, `gen-ai-events.md`) and OpenTelemetry's HTTP spans;
//! `torana.*` are the rows' own names.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use torana_plugin_sdk::chat::{OutputFormat, Request, Response};
use torana_plugin_sdk::sink::{Row, RowKind};

use crate::attribute::{Attributes, of_json};
use crate::protocol::{Span, SpanKind, Status, StatusCode};
use crate::row::{Attempt, Failure, Feedback, Inference, Usage};
use crate::{content, id};

/// Sampled; whether the parent is remote is known (`SPAN_FLAGS_*` of trace.proto).
const FLAGS: u32 = 0x101;
const PARENT_IS_REMOTE: u32 = 0x200;

const NANOS_PER_MS: u64 = 1_000_000;

/// Of the text of an error.
const MOST_ERROR_CHARACTERS: usize = 1_000;

/// Why a row gives no spans.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// Its JSON is not that of such a row.
    NotARow(String),
    /// Neither an id of its own nor a UUID to take one from.
    NoId,
}

impl std::fmt::Display for Unusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotARow(error) => write!(f, "not a row of its kind: {error}"),
            Self::NoId => f.write_str("its id is no UUID, so that no span can have one"),
        }
    }
}

impl From<serde_json::Error> for Unusable {
    fn from(error: serde_json::Error) -> Self {
        Self::NotARow(error.to_string())
    }
}

/// The spans of a row; none for kinds that are no call: decisions, plugin events, snapshots.
pub(crate) fn of_row(row: &Row, with_content: bool) -> Result<Vec<Span>, Unusable> {
    match row.kind {
        RowKind::Inference => inference(row, with_content),
        RowKind::ModelInference => attempt(row, with_content),
        RowKind::Feedback => feedback(row, with_content),
        RowKind::Decision | RowKind::PluginEvent | RowKind::Snapshot => Ok(Vec::new()),
    }
}

fn inference(row: &Row, with_content: bool) -> Result<Vec<Span>, Unusable> {
    let it: Inference<'_> = serde_json::from_slice(&row.json)?;
    let trace = id::trace(it.trace_id.as_deref(), &row.id).ok_or(Unusable::NoId)?;
    let own = id::span(it.span_id.as_deref(), &row.id).ok_or(Unusable::NoId)?;
    let parent = id::parent(it.parent_span_id.as_deref());
    let times = times(row.time_unix_ms, it.total_ms);
    let mut server = Span {
        trace_id: trace.clone(),
        span_id: own.clone(),
        flags: if parent.is_some() { FLAGS | PARENT_IS_REMOTE } else { FLAGS },
        parent_span_id: parent.unwrap_or_default(),
        name: match route(&it.dialect) {
            Some(route) => format!("POST {route}"),
            None => "POST".to_owned(),
        },
        kind: SpanKind::Server.into(),
        attributes: request_attributes(&row.id, &it).into_list(),
        status: status(server_error(&it), with_content),
        ..Span::default()
    };
    (server.start_time_unix_nano, server.end_time_unix_nano) = times;
    if it.attempts == 0 {
        return Ok(vec![server]);
    }
    let (attributes, dropped) = generation_attributes(&it, with_content);
    let mut generation = Span {
        trace_id: trace,
        span_id: id::model_inference(&row.id),
        parent_span_id: own,
        flags: FLAGS,
        name: format!("{} {}", operation(&it.dialect), it.model),
        kind: SpanKind::Client.into(),
        attributes: attributes.into_list(),
        dropped_attributes_count: dropped,
        status: status(it.error.as_ref(), with_content),
        ..Span::default()
    };
    (generation.start_time_unix_nano, generation.end_time_unix_nano) = times;
    Ok(vec![server, generation])
}

fn attempt(row: &Row, with_content: bool) -> Result<Vec<Span>, Unusable> {
    let it: Attempt = serde_json::from_slice(&row.json)?;
    let mut attributes = Attributes::default();
    attributes.set("http.response.status_code", it.status);
    attributes.set("error.type", it.error.as_ref().map(error_type));
    attributes.set("torana.id", Some(&*row.id));
    attributes.set("torana.inference_id", Some(&*row.inference_id));
    attributes.set("torana.endpoint", Some(&*it.endpoint));
    attributes.set("torana.attempt", it.attempt);
    attributes.set("torana.reason", it.reason);
    attributes.set("torana.outcome", Some(it.outcome));
    attributes.set("torana.key", it.key);
    attributes.set("torana.function", it.function);
    attributes.set("torana.variant", it.variant);
    attributes.set("torana.model", it.model);
    attributes.set("torana.episode_id", it.episode_id);
    attributes.set("torana.ttft_ms", it.ttft_ms);
    attributes.set("torana.cost_usd", it.cost_usd);
    attributes.set("torana.cost_source", it.cost_source);
    if let Some(usage) = &it.usage {
        attributes.set("torana.usage.input", usage.input);
        attributes.set("torana.usage.output", usage.output);
        attributes.set("torana.usage.cached_input", usage.cached_input);
        attributes.set("torana.usage.cache_write", usage.cache_write);
        attributes.set("torana.usage.reasoning", usage.reasoning);
        attributes.set("torana.usage.estimated", usage.estimated);
    }
    let (start_time_unix_nano, end_time_unix_nano) = times(row.time_unix_ms, it.total_ms);
    Ok(vec![Span {
        trace_id: id::trace(it.trace_id.as_deref(), &row.inference_id).ok_or(Unusable::NoId)?,
        span_id: id::span(it.span_id.as_deref(), &row.id).ok_or(Unusable::NoId)?,
        parent_span_id: id::model_inference(&row.inference_id),
        flags: FLAGS,
        name: format!("upstream {}", it.endpoint),
        kind: SpanKind::Client.into(),
        start_time_unix_nano,
        end_time_unix_nano,
        attributes: attributes.into_list(),
        status: status(it.error.as_ref(), with_content),
        ..Span::default()
    }])
}

/// The event `gen_ai.evaluation.result`: a span of its own, since the one that it is about has
/// been sent long before.
fn feedback(row: &Row, with_content: bool) -> Result<Vec<Span>, Unusable> {
    let it: Feedback = serde_json::from_slice(&row.json)?;
    let about =
        it.inference_id.as_deref().or(it.episode_id.as_deref()).unwrap_or(&row.inference_id);
    let trace_id = id::trace(it.trace_id.as_deref(), about).ok_or(Unusable::NoId)?;
    let is_text = matches!(&it.value, Json::String(_) | Json::Array(_) | Json::Object(_));
    let mut attributes = Attributes::default();
    attributes.set("gen_ai.evaluation.name", Some(&*it.metric));
    attributes.set("gen_ai.evaluation.score.value", score(&it.value));
    attributes.set("gen_ai.evaluation.score.label", it.value.as_bool().map(label));
    if is_text && with_content {
        attributes.set("gen_ai.evaluation.explanation", of_json(&it.value));
    }
    attributes.set("torana.id", Some(&*row.id));
    attributes.set("torana.target", it.target);
    attributes.set("torana.inference_id", it.inference_id.as_deref());
    attributes.set("torana.episode_id", it.episode_id.as_deref());
    attributes.set("torana.key", it.key);
    attributes.set("torana.function", it.function);
    attributes.set("torana.variant", it.variant);
    tags(&mut attributes, &it.tags);
    let (start_time_unix_nano, end_time_unix_nano) = times(row.time_unix_ms, 0.0);
    Ok(vec![Span {
        trace_id,
        span_id: id::span(None, &row.id).ok_or(Unusable::NoId)?,
        parent_span_id: it.inference_id.as_deref().map(id::model_inference).unwrap_or_default(),
        flags: FLAGS,
        name: "gen_ai.evaluation.result".to_owned(),
        kind: SpanKind::Internal.into(),
        start_time_unix_nano,
        end_time_unix_nano,
        attributes: attributes.into_list(),
        dropped_attributes_count: u32::from(is_text && !with_content),
        ..Span::default()
    }])
}

fn request_attributes(id: &str, it: &Inference<'_>) -> Attributes {
    let mut attributes = Attributes::default();
    attributes.set("http.request.method", Some("POST"));
    attributes.set("http.route", route(&it.dialect));
    // Nothing was answered to a client that went away: 499 is the record's word for it.
    attributes.set("http.response.status_code", it.status.filter(|status| *status != 499));
    attributes.set("error.type", server_error(it).map(error_type));
    attributes.set("torana.inference_id", Some(id));
    attributes.set("torana.dialect", Some(&*it.dialect));
    attributes.set("torana.key", it.key.as_deref());
    attributes.set("torana.function", it.function.as_deref());
    attributes.set("torana.variant", it.variant.as_deref());
    attributes.set("torana.model", Some(&*it.model));
    attributes.set("torana.endpoint", it.endpoint.as_deref());
    attributes.set("torana.outcome", Some(&*it.outcome));
    attributes.set("torana.episode_id", it.episode_id.as_deref());
    attributes.set("torana.generation", it.generation);
    attributes.set("torana.snapshot", it.snapshot.as_deref());
    attributes.set("torana.stream", Some(it.stream));
    attributes.set("torana.attempts", Some(it.attempts));
    attributes.set("torana.overhead_us", it.overhead_us);
    attributes.set("torana.cost_usd", it.cost_usd);
    attributes.set("torana.cost_source", it.cost_source.as_deref());
    tags(&mut attributes, &it.tags);
    attributes
}

/// Those of the model's call, and how many were left out for their length.
fn generation_attributes(it: &Inference<'_>, with_content: bool) -> (Attributes, u32) {
    let response: Option<Response> =
        it.response.and_then(|text| serde_json::from_str(text.get()).ok());
    let request = it.request.and_then(|text| content::request(&it.dialect, text.get()));
    let (provider, endpoint_model) = match it.endpoint.as_deref().and_then(|it| it.split_once('/'))
    {
        Some((provider, model)) => (Some(provider), Some(model)),
        None => (None, None),
    };
    let answered = response.as_ref().map(|response| &*response.model).filter(|it| !it.is_empty());
    let response_id = response.as_ref().map(|response| &*response.id).filter(|it| !it.is_empty());
    let mut attributes = Attributes::default();
    attributes.set("gen_ai.operation.name", Some(operation(&it.dialect)));
    attributes.set("gen_ai.provider.name", Some(provider.map_or("unknown", provider_name)));
    attributes.set("gen_ai.request.model", Some(&*it.model));
    attributes.set("gen_ai.request.stream", it.stream.then_some(true));
    let is_ok = it.error.is_none();
    let answered = answered.or(endpoint_model.filter(|_| is_ok));
    attributes.set("gen_ai.response.model", answered);
    attributes.set("gen_ai.response.id", it.response_id.as_deref().or(response_id));
    let reasons = it.finish_reason.as_deref().map(|reason| vec![reason]);
    attributes.set("gen_ai.response.finish_reasons", reasons);
    let first_chunk = it.ttft_ms.filter(|_| it.stream).map(|ms| ms / 1e3);
    attributes.set("gen_ai.response.time_to_first_chunk", first_chunk);
    attributes.set("error.type", it.error.as_ref().map(error_type));
    if let Some(usage) = &it.usage {
        usage_attributes(&mut attributes, usage);
    }
    attributes.set("torana.endpoint", it.endpoint.as_deref());
    attributes.set("torana.cost_usd", it.cost_usd);
    if let Some(request) = &request {
        parameters(&mut attributes, request);
    }
    let mut dropped = 0;
    if with_content {
        dropped = messages(&mut attributes, &it.dialect, request.as_ref(), response.as_ref());
    }
    (attributes, dropped)
}

fn usage_attributes(attributes: &mut Attributes, usage: &Usage) {
    let some = |count: Option<u64>| count.filter(|count| *count > 0);
    attributes.set("gen_ai.usage.input_tokens", usage.input);
    attributes.set("gen_ai.usage.output_tokens", usage.output);
    attributes.set("gen_ai.usage.cache_read.input_tokens", some(usage.cached_input));
    attributes.set("gen_ai.usage.cache_write.input_tokens", some(usage.cache_write));
    attributes.set("gen_ai.usage.reasoning.output_tokens", some(usage.reasoning));
    attributes.set("torana.usage.estimated", usage.estimated);
}

/// How the answer was asked for, as far as it says nothing of the conversation.
fn parameters(attributes: &mut Attributes, request: &Request) {
    let sampling = &request.sampling;
    attributes.set("gen_ai.request.max_tokens", sampling.max_output_tokens);
    attributes.set("gen_ai.request.temperature", sampling.temperature);
    attributes.set("gen_ai.request.top_p", sampling.top_p);
    attributes.set("gen_ai.request.top_k", sampling.top_k);
    attributes.set("gen_ai.request.seed", sampling.seed);
    attributes.set("gen_ai.request.presence_penalty", sampling.presence_penalty);
    attributes.set("gen_ai.request.frequency_penalty", sampling.frequency_penalty);
    let effort = request.reasoning.as_ref().and_then(|reasoning| reasoning.effort.as_deref());
    attributes.set("gen_ai.request.reasoning.level", effort);
    let output = request.output_format.as_ref().map(|format| match format {
        OutputFormat::Text => "text",
        OutputFormat::JsonObject | OutputFormat::JsonSchema { .. } => "json",
    });
    attributes.set("gen_ai.output.type", output);
}

/// Gives how many were left out for their length.
fn messages(
    attributes: &mut Attributes,
    dialect: &str,
    request: Option<&Request>,
    response: Option<&Response>,
) -> u32 {
    let mut texts = Vec::new();
    if let Some(request) = request {
        let (instructions, conversation) = content::split(dialect, request);
        if !instructions.is_empty() {
            texts.push(("gen_ai.system_instructions", content::instructions(instructions)));
        }
        texts.push(("gen_ai.input.messages", content::input(conversation)));
    }
    if let Some(response) = response {
        texts.push(("gen_ai.output.messages", content::output(response)));
    }
    let mut dropped = 0;
    for (name, value) in texts {
        let text = content::text(&value);
        dropped += u32::from(text.is_none());
        attributes.set(name, text);
    }
    dropped
}

fn tags(attributes: &mut Attributes, tags: &BTreeMap<String, String>) {
    for (name, value) in tags {
        attributes.set(format!("torana.tags.{name}"), Some(&**value));
    }
}

fn score(value: &Json) -> Option<f64> {
    value.as_f64().or_else(|| value.as_bool().map(|it| if it { 1.0 } else { 0.0 }))
}

fn label(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

/// The conventions for HTTP: what a client did wrong is no error of the server's span.
fn server_error<'a>(it: &'a Inference<'_>) -> Option<&'a Failure> {
    let is_clients = it.status.is_some_and(|status| (400..500).contains(&status));
    it.error.as_ref().filter(|_| !is_clients)
}

/// Messages of providers may quote the conversation.
fn status(error: Option<&Failure>, with_content: bool) -> Option<Status> {
    error.map(|error| {
        let words = if with_content { &*error.message } else { error_type(error) };
        Status {
            message: words.chars().take(MOST_ERROR_CHARACTERS).collect(),
            code: StatusCode::Error.into(),
        }
    })
}

/// The code, of which there is a bounded list, rather than the message.
fn error_type(error: &Failure) -> &str {
    match (&*error.code, &*error.kind) {
        ("", "") => "_OTHER",
        ("", kind) => kind,
        (code, _) => code,
    }
}

/// Start and end, in nanoseconds. A duration that is no number counts as 0.
fn times(start_unix_ms: u64, total_ms: f64) -> (u64, u64) {
    let start = start_unix_ms.saturating_mul(NANOS_PER_MS);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast of a float saturates, and no number is 0"
    )]
    let length = (total_ms * 1e6) as u64;
    (start, start.saturating_add(length))
}

fn route(dialect: &str) -> Option<&'static str> {
    Some(match dialect {
        "openai-chat" => "/v1/chat/completions",
        "openai-completions" => "/v1/completions",
        "openai-responses" => "/v1/responses",
        "openai-embeddings" => "/v1/embeddings",
        "anthropic-messages" => "/v1/messages",
        _ => return None,
    })
}

fn operation(dialect: &str) -> &'static str {
    match dialect {
        "openai-completions" => "text_completion",
        "openai-embeddings" => "embeddings",
        _ => "chat",
    }
}

/// The conventions' word for a provider that goes by the name of a preset; others as they are.
fn provider_name(provider: &str) -> &str {
    match provider {
        "azure" => "azure.ai.openai",
        "bedrock" => "aws.bedrock",
        "gemini" => "gcp.gemini",
        "vertex-anthropic" | "vertex-gemini" | "vertex-gemini-global" => "gcp.vertex_ai",
        "mistral" => "mistral_ai",
        "moonshot" => "moonshot_ai",
        "xai" => "x_ai",
        other => other,
    }
}
