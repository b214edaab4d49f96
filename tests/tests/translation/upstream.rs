//! The model behind every provider: says what it is told to say, on the wire of the path that
//! it is asked on, and embeds whatever it is given.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use torana_tests::provider::{Asked, Provider};
use torana_tests::script::Script;
use torana_tests::{anthropic, bedrock, cohere, gemini};

use super::embedding;
use super::openai_wire;
use super::saying::{
    CALL_ID, End, FAILURE, Failure, INPUT, OUTPUT, RETRY_AFTER, SIGNATURE, Saying, THOUGHT, TOOL,
    arguments,
};

/// The gateway's own tool for structured output begins so.
const STRUCTURE_TOOL: &str = "final_answer";

/// Where an OpenAI-like server puts reasoning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ThoughtPlace {
    /// It does not show any.
    Nowhere,
    ReasoningContent,
    Reasoning,
    /// OpenRouter's, with signatures.
    Details,
    /// Mistral's content part.
    Part,
    /// In the text, between tags.
    Tags,
}

/// A scripted model and what it is to say next.
pub(crate) struct Upstream {
    pub(crate) provider: Provider,
    saying: Arc<Mutex<Saying>>,
}

/// What is said, as far as wires have a place for it.
pub(crate) struct Spoken {
    pub(crate) thought: Option<&'static str>,
    pub(crate) signature: Option<&'static str>,
    pub(crate) text: Option<String>,
    pub(crate) calls: Vec<Call>,
    pub(crate) end: End,
    pub(crate) cached: u64,
}

pub(crate) struct Call {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) arguments: Value,
}

impl Upstream {
    pub(crate) fn start(place: ThoughtPlace) -> Self {
        let saying = Arc::new(Mutex::new(Saying::text()));
        let said = saying.clone();
        let provider = Provider::start(move |asked| {
            let saying = said.lock().unwrap().clone();
            respond(asked, &saying, place)
        });
        Self { provider, saying }
    }

    /// From now on it says this, and has not been asked anything.
    pub(crate) fn say(&self, saying: &Saying) {
        *self.saying.lock().unwrap() = saying.clone();
        self.provider.forget();
    }

    /// What it was asked last, tokens for Google's cloud aside.
    pub(crate) fn last_asked(&self) -> Option<Asked> {
        self.provider.asked().into_iter().rfind(|asked| !asked.path.ends_with("/token"))
    }
}

fn respond(asked: &Asked, saying: &Saying, place: ThoughtPlace) -> Script {
    let path = asked.path.split('?').next().unwrap_or_default();
    if path.ends_with("/token") {
        let token =
            json!({ "access_token": "scripted", "expires_in": 3600, "token_type": "Bearer" });
        return Script::json(200, &token);
    }
    if path.ends_with("count_tokens") || path.ends_with("count-tokens:rawPredict") {
        return Script::json(200, &json!({ "input_tokens": INPUT }));
    }
    if let Some(failure) = saying.failure {
        return failed(path, failure).header("retry-after", RETRY_AFTER);
    }
    if let Some(script) = embedding::respond(asked, path) {
        return script;
    }
    let spoken = Spoken::of(asked, saying);
    let has = |part: &str| path.contains(part);
    match path {
        _ if has("/converse") => bedrock::respond(asked, &converse(&spoken)),
        _ if has("enerateContent") => gemini::respond(asked, &generated(&spoken)),
        _ if path.ends_with("/v2/chat") => cohere::respond(asked, &cohered(&spoken)),
        _ if path.ends_with("/messages") || has("awPredict") => messages(asked, &spoken),
        _ if path.ends_with("/responses") => openai_wire::responses(asked, &spoken),
        _ if path.ends_with("/chat/completions") => openai_wire::chat(asked, &spoken, place),
        _ if path.ends_with("/completions") => openai_wire::completions(asked, &spoken),
        _ if path.ends_with("/invocations") => openai_wire::chat(asked, &spoken, place),
        _ if path.ends_with("/invocations-response-stream") => {
            let parts = openai_wire::chat_events(asked, &spoken, place);
            let part = |part: &String| bedrock::event("PayloadPart", part.as_bytes());
            bedrock::stream(&parts.iter().map(part).collect::<Vec<_>>())
        }
        _ => Script::json(404, &json!({ "error": { "message": format!("no {path} here") } })),
    }
}

impl Spoken {
    fn of(asked: &Asked, saying: &Saying) -> Self {
        let mut spoken = Self {
            thought: saying.thought.then_some(THOUGHT),
            signature: saying.signed.then_some(SIGNATURE),
            text: saying.text.map(str::to_owned),
            calls: Vec::new(),
            end: saying.end(),
            cached: saying.cached_tokens(),
        };
        let call = |(id, arguments)| Call { id, name: TOOL.to_owned(), arguments };
        spoken.calls = saying.tool_calls().into_iter().map(call).collect();
        if saying.structure && asked.text().contains(STRUCTURE_TOOL) {
            let (id, name) = (CALL_ID.to_owned(), STRUCTURE_TOOL.to_owned());
            spoken.calls.push(Call { id, name, arguments: arguments(0) });
            spoken.end = End::ToolCalls;
        } else if saying.structure {
            spoken.text = Some(arguments(0).to_string());
        }
        spoken
    }
}

fn messages(asked: &Asked, spoken: &Spoken) -> Script {
    let mut blocks = Vec::new();
    if let Some(thought) = spoken.thought {
        let signature = spoken.signature.unwrap_or_default();
        blocks.push(json!({ "type": "thinking", "thinking": thought, "signature": signature }));
    }
    blocks.extend(spoken.text.as_deref().map(anthropic::text));
    blocks.extend(
        spoken.calls.iter().map(|call| anthropic::tool_use(&call.id, &call.name, &call.arguments)),
    );
    let mut message = anthropic::message(asked, &blocks);
    // On Vertex AI the model stands in the path.
    message["model"] = json!("claude-scripted");
    message["stop_reason"] = json!(end(spoken.end, ["end_turn", "max_tokens", "tool_use"]));
    message["usage"] = json!({ "input_tokens": INPUT - spoken.cached, "output_tokens": OUTPUT,
                               "cache_creation_input_tokens": 0,
                               "cache_read_input_tokens": spoken.cached });
    if asked.streams() || asked.path.contains("streamRawPredict") {
        return Script::sse().bytes(anthropic::sse(&anthropic::events(&message)));
    }
    Script::json(200, &message)
}

fn converse(spoken: &Spoken) -> Value {
    let mut content = Vec::new();
    if let Some(thought) = spoken.thought {
        let mut reasoning = json!({ "text": thought });
        if let Some(signature) = spoken.signature {
            reasoning["signature"] = json!(signature);
        }
        content.push(json!({ "reasoningContent": { "reasoningText": reasoning } }));
    }
    content.extend(spoken.text.as_ref().map(|text| json!({ "text": text })));
    content.extend(spoken.calls.iter().map(|call| {
        let Call { id, name, arguments } = call;
        json!({ "toolUse": { "toolUseId": id, "name": name, "input": arguments } })
    }));
    let usage = json!({ "inputTokens": INPUT - spoken.cached, "outputTokens": OUTPUT,
                        "totalTokens": INPUT + OUTPUT, "cacheReadInputTokens": spoken.cached,
                        "cacheWriteInputTokens": 0 });
    bedrock::answer(&content, end(spoken.end, ["end_turn", "max_tokens", "tool_use"]), &usage)
}

fn generated(spoken: &Spoken) -> Value {
    let mut parts = Vec::new();
    if let Some(thought) = spoken.thought {
        parts.push(json!({ "text": thought, "thought": true }));
    }
    parts.extend(spoken.text.as_ref().map(|text| json!({ "text": text })));
    for (position, call) in spoken.calls.iter().enumerate() {
        let Call { id, name, arguments } = call;
        let mut part = json!({ "functionCall": { "id": id, "name": name, "args": arguments } });
        // The first call of an answer is the one that is signed.
        if let Some(signature) = spoken.signature.filter(|_| position == 0) {
            part["thoughtSignature"] = json!(signature);
        }
        parts.push(part);
    }
    let usage = json!({ "promptTokenCount": INPUT, "candidatesTokenCount": OUTPUT,
                        "cachedContentTokenCount": spoken.cached,
                        "totalTokenCount": INPUT + OUTPUT });
    gemini::answer(&parts, end(spoken.end, ["STOP", "MAX_TOKENS", "STOP"]), &usage)
}

fn cohered(spoken: &Spoken) -> Value {
    let mut content = Vec::new();
    if let Some(thought) = spoken.thought {
        content.push(json!({ "type": "thinking", "thinking": thought }));
    }
    content.extend(spoken.text.as_ref().map(|text| json!({ "type": "text", "text": text })));
    let calls: Vec<Value> = spoken.calls.iter().map(openai_wire::call).collect();
    let usage = json!({ "billed_units": { "input_tokens": INPUT, "output_tokens": OUTPUT },
                        "tokens": { "input_tokens": INPUT + 500, "output_tokens": OUTPUT + 2 },
                        "cached_tokens": spoken.cached });
    let reason = end(spoken.end, ["COMPLETE", "MAX_TOKENS", "TOOL_CALL"]);
    cohere::answer(&content, &calls, reason, &usage)
}

/// The word for an end: stop, length, tool calls.
pub(crate) fn end(end: End, words: [&'static str; 3]) -> &'static str {
    let [stop, length, tool_calls] = words;
    match end {
        End::Stop => stop,
        End::Length => length,
        End::ToolCalls => tool_calls,
    }
}

/// Every provider's own way to say that it failed.
fn failed(path: &str, failure: Failure) -> Script {
    let statuses = [429, 401, 400, 500];
    let at = failure as usize;
    let status = statuses[at];
    let anthropic_kinds =
        ["rate_limit_error", "authentication_error", "invalid_request_error", "api_error"];
    let too_long = format!("prompt is too long: 210000 tokens > 200000 maximum ({FAILURE})");
    if path.contains("/converse") || path.contains("/invoke") && !path.contains("/invocations") {
        let exceptions = ["Throttling", "UnrecognizedClient", "Validation", "InternalServer"];
        let status = if failure == Failure::Authentication { 403 } else { status };
        let message = match failure {
            Failure::ContextLength => format!("Input is too long for requested model. {FAILURE}"),
            _ => FAILURE.to_owned(),
        };
        let exception = format!("{}Exception", exceptions[at]);
        return bedrock::error(status, &exception, &json!({ "message": message }));
    }
    if path.contains("/endpoints/") {
        return sagemaker_failed(failure, status);
    }
    if path.contains("generateContent")
        || path.contains("GenerateContent")
        || path.contains("mbedContent")
        || path.ends_with(":predict")
    {
        let names = ["RESOURCE_EXHAUSTED", "UNAUTHENTICATED", "INVALID_ARGUMENT", "INTERNAL"];
        let message = match failure {
            Failure::ContextLength => format!(
                "The input token count (1200000) exceeds the maximum number of tokens allowed \
                 (1048576). {FAILURE}"
            ),
            _ => FAILURE.to_owned(),
        };
        return Script::json(status, &gemini::error(status, names[at], &message));
    }
    if path.contains("/v2/") {
        let message = match failure {
            Failure::ContextLength => format!("too many tokens: size limit exceeded. {FAILURE}"),
            _ => FAILURE.to_owned(),
        };
        return Script::json(status, &json!({ "id": "scripted", "message": message }));
    }
    if path.ends_with("/messages") || path.contains("awPredict") {
        let message = if failure == Failure::ContextLength { too_long } else { FAILURE.to_owned() };
        return Script::json(status, &anthropic::error(anthropic_kinds[at], &message));
    }
    Script::json(status, &openai_wire::error(failure))
}

/// Of the platform itself, but for what only the container can know.
fn sagemaker_failed(failure: Failure, status: u16) -> Script {
    let exceptions =
        ["ThrottlingException", "UnrecognizedClientException", "ModelError", "InternalFailure"];
    let exception = exceptions[failure as usize];
    if failure != Failure::ContextLength {
        return bedrock::error(status, exception, &json!({ "Message": FAILURE }));
    }
    let original = openai_wire::error(failure).to_string();
    let body = json!({ "ErrorCode": "CLIENT_ERROR_FROM_MODEL", "OriginalStatusCode": 400,
                       "OriginalMessage": original, "Message": "Received client error (400)" });
    bedrock::error(424, exception, &body)
}
