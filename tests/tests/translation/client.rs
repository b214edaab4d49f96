//! What clients of each dialect send for a feature.

use serde_json::{Value, json};
use torana_tests::client::Request;

use super::feature::Feature;
use super::saying::{
    AUDIO, CALL_ID, IMAGE, IMAGE_URL, PDF, QUESTION, RESULT, SYSTEM, TOOL, TOOL_DESCRIPTION,
    arguments, schema,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    Chat,
    Responses,
    Messages,
    Completions,
    Embeddings,
}

/// Values of parameters: none of them anybody's default.
pub(crate) const MAX_TOKENS: u64 = 4321;
pub(crate) const TEMPERATURE: f64 = 0.625;
pub(crate) const TOP_P: f64 = 0.875;
pub(crate) const TOP_K: u64 = 21;
pub(crate) const STOP: &str = "where-to-stop";
pub(crate) const SEED: u64 = 4711;
pub(crate) const PENALTIES: (f64, f64) = (0.25, 0.75);
pub(crate) const DIMENSIONS: u64 = 256;
pub(crate) const TOP_LOGPROBS: u64 = 3;
pub(crate) const USER: &str = "who-is-asking";
pub(crate) const METADATA: &str = "what-it-is-for";
pub(crate) const FILE_NAME: &str = "seldom-read-paper";
pub(crate) const SCHEMA_NAME: &str = "place_of_interest";

impl Client {
    pub(crate) const ALL: [Self; 5] =
        [Self::Chat, Self::Responses, Self::Messages, Self::Completions, Self::Embeddings];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Chat => "OpenAI Chat Completions",
            Self::Responses => "OpenAI Responses",
            Self::Messages => "Anthropic Messages",
            Self::Completions => "OpenAI Completions (legacy)",
            Self::Embeddings => "OpenAI Embeddings",
        }
    }

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Responses => "/v1/responses",
            Self::Messages => "/v1/messages",
            Self::Completions => "/v1/completions",
            Self::Embeddings => "/v1/embeddings",
        }
    }

    /// A provider's route that takes this client's bodies.
    pub(crate) fn is_own_route(self, path: &str) -> bool {
        let path = path.split('?').next().unwrap_or_default();
        let at_vertex = path.contains("/publishers/anthropic/") && path.ends_with("awPredict");
        let own = self.path().trim_start_matches("/v1");
        match self {
            Self::Messages => {
                path.ends_with(own) || path.ends_with("/messages/count_tokens") || at_vertex
            }
            Self::Completions => path.ends_with(own) && !path.ends_with("/chat/completions"),
            _ => path.ends_with(own),
        }
    }

    pub(crate) fn request(self, body: &Value) -> Request {
        Request::post(self.path(), body)
    }

    /// What the dialect calls a parameter of the payload.
    pub(crate) fn parameter(self, name: &str) -> &str {
        match (self, name) {
            (Self::Chat, "output_format") => "response_format",
            (Self::Responses, "output_format") => "text.format",
            (Self::Messages, "output_format") => "output_config.format",
            (Self::Chat, "reasoning") => "reasoning_effort",
            (Self::Messages, "reasoning") => "thinking",
            (Self::Chat | Self::Messages | Self::Completions, "max_output_tokens") => "max_tokens",
            (Self::Messages, "stop") => "stop_sequences",
            (Self::Messages, "user") => "metadata.user_id",
            _ => name,
        }
    }

    /// The request that tries a feature; absent where the dialect has no such thing.
    pub(crate) fn question(self, feature: Feature, model: &str) -> Option<Value> {
        let mut body = match self {
            Self::Chat => chat(feature)?,
            Self::Responses => responses(feature)?,
            Self::Messages => messages(feature)?,
            Self::Completions => completions(feature)?,
            Self::Embeddings => embeddings(feature)?,
        };
        body["model"] = json!(model);
        Some(body)
    }

    /// The same as a stream, with usage at its end.
    pub(crate) fn streamed(self, body: &Value) -> Value {
        let mut body = body.clone();
        body["stream"] = json!(true);
        if matches!(self, Self::Chat | Self::Completions) {
            body["stream_options"] = json!({ "include_usage": true });
        }
        body
    }

    /// The next turn: what was answered goes back, with the result of the tool.
    pub(crate) fn next_turn(self, body: &Value, answer: &Value) -> Value {
        let mut next = body.clone();
        let turns = match self {
            Self::Responses => "input",
            _ => "messages",
        };
        let mut more = match self {
            Self::Responses => answer["output"].as_array().cloned().unwrap_or_default(),
            Self::Messages => vec![json!({ "role": "assistant", "content": answer["content"] })],
            _ => vec![answer["choices"][0]["message"].clone()],
        };
        more.push(self.result());
        next[turns].as_array_mut().unwrap().extend(more);
        next
    }

    fn result(self) -> Value {
        match self {
            Self::Responses => {
                json!({ "type": "function_call_output", "call_id": CALL_ID, "output": RESULT })
            }
            Self::Messages => json!({ "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": CALL_ID, "content": RESULT }
            ] }),
            _ => json!({ "role": "tool", "tool_call_id": CALL_ID, "content": RESULT }),
        }
    }
}

fn chat(feature: Feature) -> Option<Value> {
    let text = json!({ "type": "text", "text": QUESTION });
    let with = |part: Value| json!([{ "role": "user", "content": [text, part] }]);
    let user = json!({ "role": "user", "content": QUESTION });
    let mut body = json!({ "messages": [user] });
    let picture = |url: String| json!({ "type": "image_url", "image_url": { "url": url } });
    match feature {
        Feature::System => {
            body["messages"] = json!([{ "role": "system", "content": SYSTEM }, user]);
        }
        Feature::Image => {
            body["messages"] = with(picture(format!("data:image/png;base64,{IMAGE}")))
        }
        Feature::ImageUrl => body["messages"] = with(picture(IMAGE_URL.to_owned())),
        Feature::Pdf | Feature::FileName => {
            let data = format!("data:application/pdf;base64,{PDF}");
            let file = json!({ "filename": format!("{FILE_NAME}.pdf"), "file_data": data });
            body["messages"] = with(json!({ "type": "file", "file": file }));
        }
        Feature::Audio => {
            let audio = json!({ "data": AUDIO, "format": "wav" });
            body["messages"] = with(json!({ "type": "input_audio", "input_audio": audio }));
        }
        Feature::ToolResults => {
            let function = json!({ "name": TOOL, "arguments": arguments(0).to_string() });
            let call = json!({ "id": CALL_ID, "type": "function", "function": function });
            let called = json!({ "role": "assistant", "content": null, "tool_calls": [call] });
            body["messages"] = json!([user, called, Client::Chat.result()]);
        }
        Feature::ToolChoice => {
            body["tool_choice"] = json!({ "type": "function", "function": { "name": TOOL } });
        }
        Feature::StructuredOutput | Feature::SchemaName => {
            let schema = json!({ "name": SCHEMA_NAME, "schema": schema(), "strict": true });
            body["response_format"] = json!({ "type": "json_schema", "json_schema": schema });
        }
        Feature::Effort | Feature::Signature => body["reasoning_effort"] = json!("high"),
        Feature::TopK => body["top_k"] = json!(TOP_K),
        Feature::ImageDetail => {
            let mut part = picture(format!("data:image/png;base64,{IMAGE}"));
            part["image_url"]["detail"] = json!("low");
            body["messages"] = with(part);
        }
        Feature::User => body["user"] = json!(USER),
        Feature::Metadata => body["metadata"] = json!({ "purpose": METADATA }),
        Feature::OneCall => body["parallel_tool_calls"] = json!(false),
        Feature::Logprobs => {
            body["logprobs"] = json!(true);
            body["top_logprobs"] = json!(TOP_LOGPROBS);
        }
        Feature::CountTokens | Feature::CacheMarks | Feature::ToolError => return None,
        other => sampling(other, &mut body)?,
    }
    if uses_tools(feature) {
        let mut function = json!({ "name": TOOL, "description": TOOL_DESCRIPTION,
                                   "parameters": schema() });
        if feature == Feature::StrictTool {
            function["strict"] = json!(true);
        }
        body["tools"] = json!([{ "type": "function", "function": function }]);
    }
    Some(body)
}

fn responses(feature: Feature) -> Option<Value> {
    let text = json!({ "type": "input_text", "text": QUESTION });
    let with = |part: Value| json!([{ "role": "user", "content": [text, part] }]);
    let user = json!({ "role": "user", "content": [text] });
    let mut body = json!({ "input": [user], "store": false });
    let picture = |url: String| json!({ "type": "input_image", "image_url": url });
    match feature {
        Feature::System => body["instructions"] = json!(SYSTEM),
        Feature::Image => body["input"] = with(picture(format!("data:image/png;base64,{IMAGE}"))),
        Feature::ImageUrl => body["input"] = with(picture(IMAGE_URL.to_owned())),
        Feature::Pdf | Feature::FileName => {
            let data = format!("data:application/pdf;base64,{PDF}");
            let file = json!({ "type": "input_file", "filename": format!("{FILE_NAME}.pdf"), "file_data": data });
            body["input"] = with(file);
        }
        Feature::Audio => {
            let audio = json!({ "data": AUDIO, "format": "wav" });
            body["input"] = with(json!({ "type": "input_audio", "input_audio": audio }));
        }
        Feature::ToolResults => {
            let call = json!({ "type": "function_call", "call_id": CALL_ID, "name": TOOL,
                               "arguments": arguments(0).to_string() });
            body["input"] = json!([user, call, Client::Responses.result()]);
        }
        Feature::ToolChoice => body["tool_choice"] = json!({ "type": "function", "name": TOOL }),
        Feature::StructuredOutput | Feature::SchemaName => {
            let format = json!({ "type": "json_schema", "name": SCHEMA_NAME, "schema": schema(),
                                 "strict": true });
            body["text"] = json!({ "format": format });
        }
        Feature::Effort => body["reasoning"] = json!({ "effort": "high" }),
        Feature::Signature => {
            body["reasoning"] = json!({ "effort": "high", "summary": "auto" });
            body["include"] = json!(["reasoning.encrypted_content"]);
        }
        Feature::MaxTokens => body["max_output_tokens"] = json!(MAX_TOKENS),
        Feature::ImageDetail => {
            let mut part = picture(format!("data:image/png;base64,{IMAGE}"));
            part["detail"] = json!("low");
            body["input"] = with(part);
        }
        Feature::User => body["user"] = json!(USER),
        Feature::Metadata => body["metadata"] = json!({ "purpose": METADATA }),
        Feature::OneCall => body["parallel_tool_calls"] = json!(false),
        Feature::Logprobs => {
            body["top_logprobs"] = json!(TOP_LOGPROBS);
            body["include"] = json!(["message.output_text.logprobs"]);
        }
        Feature::TopK | Feature::Stop | Feature::Seed | Feature::Penalties => return None,
        Feature::CountTokens | Feature::CacheMarks | Feature::ToolError => return None,
        other => sampling(other, &mut body)?,
    }
    if uses_tools(feature) {
        body["tools"] = json!([{ "type": "function", "name": TOOL, "parameters": schema(),
                                 "description": TOOL_DESCRIPTION,
                                 "strict": feature == Feature::StrictTool }]);
    }
    Some(body)
}

fn messages(feature: Feature) -> Option<Value> {
    let text = json!({ "type": "text", "text": QUESTION });
    let with = |part: Value| json!([{ "role": "user", "content": [text, part] }]);
    let user = json!({ "role": "user", "content": QUESTION });
    let mut body = json!({ "messages": [user], "max_tokens": 8192 });
    let inline =
        |kind: &str, data: &str| json!({ "type": "base64", "media_type": kind, "data": data });
    match feature {
        Feature::System => body["system"] = json!(SYSTEM),
        Feature::Image => {
            body["messages"] =
                with(json!({ "type": "image", "source": inline("image/png", IMAGE) }));
        }
        Feature::ImageUrl => {
            let source = json!({ "type": "url", "url": IMAGE_URL });
            body["messages"] = with(json!({ "type": "image", "source": source }));
        }
        Feature::Pdf | Feature::FileName => {
            let source = inline("application/pdf", PDF);
            let part = json!({ "type": "document", "source": source, "title": FILE_NAME });
            body["messages"] = with(part);
        }
        Feature::ToolResults | Feature::ToolError => {
            let call = json!({ "type": "tool_use", "id": CALL_ID, "name": TOOL,
                               "input": arguments(0) });
            let called = json!({ "role": "assistant", "content": [call] });
            let mut result = Client::Messages.result();
            if feature == Feature::ToolError {
                result["content"][0]["is_error"] = json!(true);
            }
            body["messages"] = json!([user, called, result]);
        }
        Feature::ToolChoice => body["tool_choice"] = json!({ "type": "tool", "name": TOOL }),
        Feature::SchemaName => return None,
        Feature::StructuredOutput => {
            let format = json!({ "type": "json_schema", "schema": schema() });
            body["output_config"] = json!({ "format": format });
        }
        Feature::Effort | Feature::Signature => {
            body["thinking"] = json!({ "type": "enabled", "budget_tokens": 4096 });
        }
        Feature::TopK => body["top_k"] = json!(TOP_K),
        Feature::Stop => body["stop_sequences"] = json!([STOP]),
        Feature::User => body["metadata"] = json!({ "user_id": USER }),
        Feature::OneCall => {
            body["tool_choice"] = json!({ "type": "auto", "disable_parallel_tool_use": true });
        }
        Feature::CacheMarks => {
            let cache = json!({ "type": "ephemeral" });
            body["system"] = json!([{ "type": "text", "text": SYSTEM, "cache_control": cache }]);
        }
        Feature::Seed | Feature::Penalties | Feature::Audio => return None,
        Feature::Metadata | Feature::Logprobs | Feature::ImageDetail => return None,
        Feature::CountTokens => body["max_tokens"] = Value::Null,
        other => sampling(other, &mut body)?,
    }
    if uses_tools(feature) {
        body["tools"] = json!([{ "name": TOOL, "description": TOOL_DESCRIPTION,
                                 "input_schema": schema() }]);
        if feature == Feature::StrictTool {
            body["tools"][0]["strict"] = json!(true);
        }
    }
    Some(body)
}

fn completions(feature: Feature) -> Option<Value> {
    let mut body = json!({ "prompt": QUESTION });
    let is_known = matches!(
        feature,
        Feature::Text
            | Feature::Stream
            | Feature::CachedTokens
            | Feature::Length
            | Feature::MaxTokens
            | Feature::Temperature
            | Feature::TopP
            | Feature::Stop
            | Feature::Seed
            | Feature::Penalties
            | Feature::RateLimit
            | Feature::Authentication
            | Feature::ContextLength
            | Feature::ServerError
    );
    if !is_known {
        return None;
    }
    sampling(feature, &mut body)?;
    Some(body)
}

fn embeddings(feature: Feature) -> Option<Value> {
    let mut body = json!({ "input": QUESTION, "encoding_format": "float" });
    match feature {
        Feature::Vector | Feature::RateLimit | Feature::Authentication | Feature::ServerError => {}
        Feature::Base64 => body["encoding_format"] = json!("base64"),
        Feature::Several => body["input"] = json!([QUESTION, SYSTEM]),
        Feature::Dimensions => body["dimensions"] = json!(DIMENSIONS),
        _ => return None,
    }
    Some(body)
}

/// Parameters that go by one name; nothing for features that are the answer's alone.
fn sampling(feature: Feature, body: &mut Value) -> Option<()> {
    match feature {
        Feature::MaxTokens => body["max_tokens"] = json!(MAX_TOKENS),
        Feature::Temperature => body["temperature"] = json!(TEMPERATURE),
        Feature::TopP => body["top_p"] = json!(TOP_P),
        Feature::Stop => body["stop"] = json!([STOP]),
        Feature::Seed => body["seed"] = json!(SEED),
        Feature::Penalties => {
            body["presence_penalty"] = json!(PENALTIES.0);
            body["frequency_penalty"] = json!(PENALTIES.1);
        }
        Feature::Vector | Feature::Base64 | Feature::Several | Feature::Dimensions => return None,
        _ => {}
    }
    Some(())
}

fn uses_tools(feature: Feature) -> bool {
    matches!(
        feature,
        Feature::Tools
            | Feature::ParallelCalls
            | Feature::StreamedArguments
            | Feature::ToolResults
            | Feature::ToolChoice
            | Feature::Signature
            | Feature::OneCall
            | Feature::StrictTool
            | Feature::ToolError
    )
}
