//! A chat request to the body that a provider on the OpenAI wire takes.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Map, Value};

use super::format::WireFormat;
use super::message_encode::{self, WireMessage};
use super::options::{LimitName, Options};
use super::tool::{self, WireChoice, WireTool};
use super::{MAX_COMPLETION_TOKENS, foreign};
use crate::chat::{Reasoning, Request};
use crate::effort;
use crate::encoded::{Dropped, Encoded};
use crate::error::CallError;
use crate::fields::Fields;

/// The body that asks `model`, everything under the names the client used. A streamed request
/// also asks for usage at the end.
///
/// # Errors
/// `Unsupported` for content of another dialect.
pub fn encode(request: &Request, model: &str) -> Result<Encoded, CallError> {
    encode_with(request, model, &Options::default())
}

/// The body that asks `model`, as the server takes it.
///
/// A reasoning budget has no name on this wire but in OpenRouter's object; elsewhere, without
/// an effort, it is sent as the effort that it comes near to: up to 2,048 tokens `low`, up to
/// 8,192 `medium`, above `high`.
///
/// # Errors
/// `Unsupported` for content of another dialect, and for media that the server does not read.
pub fn encode_with(
    request: &Request,
    model: &str,
    options: &Options,
) -> Result<Encoded, CallError> {
    let mut dropped = Dropped::default();
    let sampling = &request.sampling;
    let extra = Fields::new(&request.extra);
    let limit = sampling.max_output_tokens;
    let renamed = limit.is_some()
        && match options.limit {
            LimitName::AsWritten => extra.get(MAX_COMPLETION_TOKENS).is_some(),
            LimitName::MaxTokens => false,
            LimitName::MaxCompletionTokens => true,
        };
    let reasoning = WireReasoning::of(request.reasoning.as_ref(), extra.get("reasoning"), options);
    let tools = tool::encode_all(&request.tools, options, &mut dropped);
    let has_lost_all_tools = tools.is_empty() && !request.tools.is_empty();
    let tool_choice = tool_choice(request, has_lost_all_tools, &mut dropped);
    let body = Body {
        model,
        messages: message_encode::encode_all(&request.messages, options, &mut dropped)?,
        tool_choice,
        tools,
        parallel_tool_calls: request.parallel_tool_calls.filter(|_| !has_lost_all_tools),
        response_format: request
            .output_format
            .as_ref()
            .map(|format| WireFormat::of(format, Fields::of(extra.get("response_format")))),
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        top_k: sampling.top_k,
        max_tokens: limit.filter(|_| !renamed),
        max_completion_tokens: limit.filter(|_| renamed),
        stop: &sampling.stop,
        seed: sampling.seed,
        presence_penalty: sampling.presence_penalty,
        frequency_penalty: sampling.frequency_penalty,
        reasoning_effort: reasoning.effort,
        reasoning: reasoning.object,
        stream: request.stream,
        stream_options: (request.stream && options.stream_options).then(|| StreamOptions {
            include_usage: true,
            fields: Fields::of(extra.get("stream_options")).except(&["include_usage"]),
        }),
        user: request.user.as_deref(),
        metadata: &request.metadata,
        extra: Extra::of(request, options, renamed, &mut dropped),
    };
    let body = serde_json::to_vec(&body).unwrap_or_default();
    Ok(Encoded { body, dropped: dropped.into_names() })
}

/// A choice among tools that were all left out would be refused.
fn tool_choice<'a>(
    request: &'a Request,
    has_lost_all_tools: bool,
    dropped: &mut Dropped,
) -> Option<WireChoice<'a>> {
    let choice = request.tool_choice.as_ref()?;
    let encoded = tool::encode_choice(choice).filter(|_| !has_lost_all_tools);
    dropped.note_if(encoded.is_none(), "tool_choice");
    encoded
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<WireMessage<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<WireTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<WireChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<WireFormat<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    metadata: &'a Map<String, Value>,
    #[serde(flatten)]
    extra: Extra<'a>,
}

#[derive(Serialize)]
struct StreamOptions<'a> {
    include_usage: bool,
    #[serde(flatten)]
    fields: Fields<'a>,
}

/// `extra` without the keys that [`Body`] has written and without those of other dialects.
struct Extra<'a> {
    request: &'a Request,
    options: &'a Options,
    renamed: bool,
}

impl<'a> Extra<'a> {
    fn of(
        request: &'a Request,
        options: &'a Options,
        renamed: bool,
        dropped: &mut Dropped,
    ) -> Self {
        let extra = Self { request, options, renamed };
        for (key, value) in request.extra.iter().filter(|(key, _)| !extra.is_written(key)) {
            dropped.note_if(!extra.is_taken(key, value), key);
        }
        extra
    }

    fn is_taken(&self, key: &str, value: &Value) -> bool {
        match key {
            _ if self.options.accepts.iter().any(|accepted| accepted == key) => true,
            "cache_control" => self.options.cache_control,
            _ => !foreign::is_foreign(key, value),
        }
    }

    fn is_written(&self, key: &str) -> bool {
        let request = self.request;
        let sampling = &request.sampling;
        let limits = self.options.limit != LimitName::AsWritten;
        match key {
            "model" | "messages" => true,
            "tools" => !request.tools.is_empty(),
            "tool_choice" => request.tool_choice.is_some(),
            "parallel_tool_calls" => request.parallel_tool_calls.is_some(),
            "response_format" => request.output_format.is_some(),
            "temperature" => sampling.temperature.is_some(),
            "top_p" => sampling.top_p.is_some(),
            "top_k" => sampling.top_k.is_some(),
            // Where the server has one name, the other one is the same limit again.
            "max_tokens" => limits || sampling.max_output_tokens.is_some() && !self.renamed,
            MAX_COMPLETION_TOKENS => limits || self.renamed,
            "stop" => !sampling.stop.is_empty(),
            "seed" => sampling.seed.is_some(),
            "presence_penalty" => sampling.presence_penalty.is_some(),
            "frequency_penalty" => sampling.frequency_penalty.is_some(),
            "reasoning_effort" => request.reasoning.is_some(),
            "reasoning" => request.extra.get("reasoning").is_some_and(Value::is_object),
            "stream" => request.stream,
            "stream_options" => request.stream || !self.options.stream_options,
            "user" => request.user.is_some(),
            "metadata" => !request.metadata.is_empty(),
            _ => false,
        }
    }
}

impl Serialize for Extra<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in &self.request.extra {
            if !self.is_written(key) && self.is_taken(key, value) {
                map.serialize_entry(key, value)?;
            }
        }
        map.end()
    }
}

/// `reasoning_effort`, or OpenRouter's `reasoning` where the client or the server uses that.
struct WireReasoning<'a> {
    effort: Option<&'a str>,
    object: Option<Map<String, Value>>,
}

impl<'a> WireReasoning<'a> {
    fn of(reasoning: Option<&'a Reasoning>, client: Option<&Value>, options: &Options) -> Self {
        let mut object = client.and_then(Value::as_object).cloned();
        let Some(reasoning) = reasoning else {
            return Self { effort: None, object };
        };
        if options.reasoning_object && object.is_none() {
            return Self { effort: None, object: Some(openrouter(reasoning)) };
        }
        let effort = reasoning.effort.as_deref();
        let budget = reasoning.budget_tokens;
        let Some(fields) = &mut object else {
            let effort = effort.or_else(|| budget.map(effort::word));
            return Self { effort, object };
        };
        if let (Some(place), Some(budget)) = (fields.get_mut("max_tokens"), budget) {
            *place = budget.into();
        }
        let unplaced = match (fields.get_mut("effort"), effort) {
            (Some(place), Some(effort)) => {
                *place = effort.into();
                None
            }
            (_, effort) => effort,
        };
        Self { effort: unplaced, object }
    }
}

/// It takes an effort or a budget, not both; a budget is the more precise of the two.
fn openrouter(reasoning: &Reasoning) -> Map<String, Value> {
    let (key, value) = match (&reasoning.effort, reasoning.budget_tokens) {
        _ if effort::is_off(reasoning) => ("enabled", false.into()),
        (_, Some(budget)) => ("max_tokens", budget.into()),
        (Some(effort), None) => ("effort", effort.as_str().into()),
        (None, None) => ("enabled", true.into()),
    };
    Map::from_iter([(key.to_owned(), value)])
}
