//! A chat request to the body that a provider on the OpenAI wire takes.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Map, Value};

use super::MAX_COMPLETION_TOKENS;
use super::message_encode::{self, WireMessage};
use super::tool::{self, WireChoice, WireTool};
use crate::chat::{OutputFormat, Reasoning, Request};
use crate::effort;
use crate::fields::Fields;

/// The body that asks `model`. A streamed request also asks for usage at the end.
///
/// A reasoning budget has no name on this wire; without an effort it is sent as the effort
/// that it comes near to: up to 2,048 tokens `low`, up to 8,192 `medium`, above `high`.
pub fn encode(request: &Request, model: &str) -> Vec<u8> {
    let sampling = &request.sampling;
    let extra = Fields::new(&request.extra);
    let limit = sampling.max_output_tokens;
    let renamed = limit.is_some() && extra.get(MAX_COMPLETION_TOKENS).is_some();
    let reasoning = WireReasoning::of(request.reasoning.as_ref(), extra.get("reasoning"));
    let body = Body {
        model,
        messages: message_encode::encode_all(&request.messages),
        tools: tool::encode_all(&request.tools),
        tool_choice: request.tool_choice.as_ref().and_then(tool::encode_choice),
        parallel_tool_calls: request.parallel_tool_calls,
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
        stream_options: request.stream.then(|| StreamOptions {
            include_usage: true,
            fields: Fields::of(extra.get("stream_options")).except(&["include_usage"]),
        }),
        user: request.user.as_deref(),
        metadata: &request.metadata,
        extra: Extra { fields: extra, request, renamed },
    };
    serde_json::to_vec(&body).unwrap_or_default()
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

/// `extra` without the keys that [`Body`] has written.
struct Extra<'a> {
    fields: Fields<'a>,
    request: &'a Request,
    renamed: bool,
}

impl Extra<'_> {
    fn is_written(&self, key: &str) -> bool {
        let request = self.request;
        let sampling = &request.sampling;
        match key {
            "model" | "messages" => true,
            "tools" => !request.tools.is_empty(),
            "tool_choice" => request.tool_choice.is_some(),
            "parallel_tool_calls" => request.parallel_tool_calls.is_some(),
            "response_format" => request.output_format.is_some(),
            "temperature" => sampling.temperature.is_some(),
            "top_p" => sampling.top_p.is_some(),
            "top_k" => sampling.top_k.is_some(),
            "max_tokens" => sampling.max_output_tokens.is_some() && !self.renamed,
            MAX_COMPLETION_TOKENS => self.renamed,
            "stop" => !sampling.stop.is_empty(),
            "seed" => sampling.seed.is_some(),
            "presence_penalty" => sampling.presence_penalty.is_some(),
            "frequency_penalty" => sampling.frequency_penalty.is_some(),
            "reasoning_effort" => request.reasoning.is_some(),
            "reasoning" => self.fields.get("reasoning").is_some_and(Value::is_object),
            "stream" | "stream_options" => request.stream,
            "user" => request.user.is_some(),
            "metadata" => !request.metadata.is_empty(),
            _ => false,
        }
    }
}

impl Serialize for Extra<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in self.fields.iter().filter(|(key, _)| !self.is_written(key)) {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// `reasoning_effort`, or OpenRouter's `reasoning` where the client used that.
struct WireReasoning<'a> {
    effort: Option<&'a str>,
    object: Option<Map<String, Value>>,
}

impl<'a> WireReasoning<'a> {
    fn of(reasoning: Option<&'a Reasoning>, client: Option<&Value>) -> Self {
        let mut object = client.and_then(Value::as_object).cloned();
        let Some(reasoning) = reasoning else {
            return Self { effort: None, object };
        };
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

#[derive(Serialize)]
struct WireFormat<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    json_schema: Option<WireSchema<'a>>,
    #[serde(flatten)]
    fields: Fields<'a>,
}

#[derive(Serialize)]
struct WireSchema<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    schema: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
    #[serde(flatten)]
    fields: Fields<'a>,
}

impl<'a> WireFormat<'a> {
    fn of(format: &'a OutputFormat, fields: Fields<'a>) -> Self {
        let (r#type, json_schema) = match format {
            OutputFormat::Text => ("text", None),
            OutputFormat::JsonObject => ("json_object", None),
            OutputFormat::JsonSchema { name, description, schema, strict } => (
                "json_schema",
                Some(WireSchema {
                    name,
                    description: description.as_deref(),
                    schema,
                    strict: *strict,
                    fields: fields.nested("json_schema").except(&[
                        "name",
                        "description",
                        "schema",
                        "strict",
                    ]),
                }),
            ),
        };
        Self { r#type, json_schema, fields: fields.except(&["type", "json_schema"]) }
    }
}
