//! The dialects that clients speak, side by side: a request in each, an upstream that answers
//! in the dialect of whichever route it is asked on, and what an answer says, whole or
//! streamed, so that one test can be held against all of them.
//!
//! Shapes: OpenAI's API reference (chat, completions, responses, embeddings) and Anthropic's
//! (messages, count_tokens).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::anthropic;
use crate::client::{Reply, Request};
use crate::openai::{self, TEXT};
use crate::provider::Asked;
use crate::script::Script;

/// A route on which a model answers in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dialect {
    Chat,
    Completions,
    Responses,
    Messages,
}

/// What an answer says, whatever it is written in.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Said {
    pub text: String,
    /// Names and arguments.
    pub calls: Vec<(String, Value)>,
    /// Input and output tokens.
    pub usage: Option<(u64, u64)>,
}

impl Dialect {
    pub const ALL: [Self; 4] = [Self::Chat, Self::Completions, Self::Responses, Self::Messages];

    /// Those that know tools.
    pub const WITH_TOOLS: [Self; 3] = [Self::Chat, Self::Responses, Self::Messages];

    pub fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Responses => "/v1/responses",
            Self::Messages => "/v1/messages",
        }
    }

    /// An ordinary question.
    pub fn body(self, model: &str) -> Value {
        let messages = json!([{ "role": "user", "content": "hello" }]);
        match self {
            Self::Chat => json!({ "model": model, "messages": messages }),
            Self::Completions => json!({ "model": model, "prompt": "hello" }),
            Self::Responses => json!({ "model": model, "input": "hello" }),
            Self::Messages => json!({ "model": model, "max_tokens": 100, "messages": messages }),
        }
    }

    /// The same, streamed, with usage where it has to be asked for.
    pub fn streaming(self, model: &str) -> Value {
        let mut body = self.body(model);
        body["stream"] = json!(true);
        if matches!(self, Self::Chat | Self::Completions) {
            body["stream_options"] = json!({ "include_usage": true });
        }
        body
    }

    /// Offers the tool `weather`, which takes a `city`.
    ///
    /// # Panics
    ///
    /// For completions, which know no tools.
    pub fn with_tool(self, mut body: Value) -> Value {
        let schema = json!({ "type": "object", "required": ["city"],
                             "properties": { "city": { "type": "string" } } });
        body["tools"] = match self {
            Self::Chat => json!([{ "type": "function",
                "function": { "name": "weather", "parameters": schema } }]),
            Self::Responses => {
                json!([{ "type": "function", "name": "weather", "parameters": schema }])
            }
            Self::Messages => json!([{ "name": "weather", "input_schema": schema }]),
            Self::Completions => panic!("completions have no tools"),
        };
        body
    }

    pub fn request(self, body: &Value) -> Request {
        let request = Request::post(self.path(), body);
        match self {
            Self::Messages => request.header("anthropic-version", "2023-06-01"),
            _ => request,
        }
    }

    /// What only a stream that is complete has in it.
    pub fn end_marker(self) -> &'static str {
        match self {
            Self::Chat | Self::Completions => "data: [DONE]",
            Self::Responses => "\"type\":\"response.completed\"",
            Self::Messages => "\"type\":\"message_stop\"",
        }
    }

    /// The data of its event is the end of a stream.
    pub fn ends(self, data: &str) -> bool {
        match self {
            Self::Chat | Self::Completions => data == "[DONE]",
            Self::Responses => data.contains("\"type\":\"response.completed\""),
            Self::Messages => data.contains("\"type\":\"message_stop\""),
        }
    }

    /// The message of an event that reports a failure in this dialect.
    pub fn failure(self, data: &str) -> Option<String> {
        let event: Value = serde_json::from_str(data).ok()?;
        let message = match (self, event["type"].as_str()) {
            (Self::Responses, Some("error")) => &event["message"],
            (Self::Responses, Some("response.failed")) => &event["response"]["error"]["message"],
            (Self::Messages, Some("error")) => &event["error"]["message"],
            (Self::Chat | Self::Completions, _) => &event["error"]["message"],
            _ => return None,
        };
        message.as_str().map(str::to_owned)
    }

    /// What a whole answer says.
    #[track_caller]
    pub fn said(self, reply: &Reply) -> Said {
        let body = reply.json();
        match self {
            Self::Chat => {
                let message = &body["choices"][0]["message"];
                let calls = list(&message["tool_calls"]).map(|call| {
                    let function = &call["function"];
                    (text(&function["name"]), parsed(&function["arguments"]))
                });
                let (text, calls) = (text(&message["content"]), calls.collect());
                Said { text, calls, usage: counts(&body["usage"], "prompt", "completion") }
            }
            Self::Completions => Said {
                text: text(&body["choices"][0]["text"]),
                calls: Vec::new(),
                usage: counts(&body["usage"], "prompt", "completion"),
            },
            Self::Responses => said_in_items(&body),
            Self::Messages => said_in_blocks(&body),
        }
    }

    /// What the events of a stream say, put together as this dialect's clients do.
    pub fn said_in(self, events: &[String]) -> Said {
        let events: Vec<Value> =
            events.iter().filter_map(|data| serde_json::from_str(data).ok()).collect();
        match self {
            Self::Chat | Self::Completions => said_in_chunks(self, &events),
            Self::Responses => {
                let last = events.iter().rfind(|event| event["type"] == "response.completed");
                let whole = last.map(|event| said_in_items(&event["response"])).unwrap_or_default();
                let deltas = events.iter().filter(|it| it["type"] == "response.output_text.delta");
                let streamed: String = deltas.map(|event| text(&event["delta"])).collect();
                assert!(last.is_none() || streamed == whole.text, "{streamed:?} is {whole:?}");
                Said { text: streamed, ..whole }
            }
            Self::Messages => said_in_message_events(&events),
        }
    }

    /// The code for programs of an error body, which has to be this dialect's.
    #[track_caller]
    pub fn error_code(self, reply: &Reply) -> String {
        let code = match self {
            Self::Messages => anthropic_code(reply),
            Self::Chat | Self::Completions | Self::Responses => {
                reply.error("code").as_str().map(str::to_owned)
            }
        };
        code.unwrap_or_else(|| panic!("no code for programs: {reply}"))
    }

    /// The message of an error body.
    #[track_caller]
    pub fn error_message(self, reply: &Reply) -> String {
        let body = reply.json();
        let message = body["error"]["message"].as_str();
        message.unwrap_or_else(|| panic!("no message: {reply}")).to_owned()
    }
}

/// The detailed code where there is one, else the class, which every error has.
fn anthropic_code(reply: &Reply) -> Option<String> {
    let body = reply.json();
    assert_eq!(body["type"], "error", "not Anthropic's shape: {reply}");
    let error = &body["error"];
    assert!(error["message"].is_string(), "no message: {reply}");
    let detail = error["details"]["error_code"].as_str();
    detail.or_else(|| error["type"].as_str()).map(str::to_owned)
}

/// Answers [`TEXT`] on every route, in the route's own dialect.
pub fn respond(asked: &Asked) -> Script {
    let path = asked.path.split('?').next().unwrap_or_default();
    match path {
        _ if path.ends_with("/chat/completions") => openai::respond(asked),
        _ if path.ends_with("/completions") => completions(asked, TEXT),
        _ if path.ends_with("/responses") => responses(asked, TEXT),
        _ if path.ends_with("/embeddings") => Script::json(200, &embeddings()),
        _ if path.ends_with("/messages") => anthropic::respond(asked, &[anthropic::text(TEXT)]),
        _ if path.ends_with("/count_tokens") => Script::json(200, &json!({ "input_tokens": 42 })),
        _ => Script::json(404, &openai::error("no such route", "invalid_request_error", "route")),
    }
}

/// The bytes of a whole stream that says [`TEXT`], end marker included, by its events.
pub fn stream_events(dialect: Dialect) -> Vec<Vec<u8>> {
    match dialect {
        Dialect::Chat => data_events(&openai::events(TEXT)),
        Dialect::Completions => data_events(&completion_chunks(TEXT)),
        Dialect::Responses => {
            let events = response_events(TEXT);
            events.iter().map(|event| anthropic::sse(std::slice::from_ref(event))).collect()
        }
        Dialect::Messages => {
            let events = anthropic::events(&message(TEXT));
            events.iter().map(|event| anthropic::sse(std::slice::from_ref(event))).collect()
        }
    }
}

fn message(text: &str) -> Value {
    json!({ "id": "msg_scripted", "type": "message", "role": "assistant", "model": "scripted",
            "content": [anthropic::text(text)], "stop_reason": "end_turn", "stop_sequence": null,
            "usage": { "input_tokens": 11, "output_tokens": 7 } })
}

fn data_events(events: &[String]) -> Vec<Vec<u8>> {
    let mut bytes: Vec<Vec<u8>> =
        events.iter().map(|data| format!("data: {data}\n\n").into_bytes()).collect();
    bytes.push(b"data: [DONE]\n\n".to_vec());
    bytes
}

/// A legacy completion, streamed or whole as it was asked for.
pub fn completions(asked: &Asked, text: &str) -> Script {
    if asked.streams() {
        return Script::sse().bytes(openai::sse_done(&completion_chunks(text)));
    }
    let choices = json!([{ "index": 0, "text": text, "finish_reason": "stop", "logprobs": null }]);
    Script::json(200, &completion(choices, &usage()))
}

fn completion(choices: Value, usage: &Value) -> Value {
    json!({ "id": "cmpl-scripted", "object": "text_completion", "created": 1_700_000_000,
            "model": "scripted-2024", "choices": choices, "usage": usage,
            "x_unknown": { "kept": [1, 2.50] } })
}

fn completion_chunks(text: &str) -> Vec<String> {
    let chunk = |text: &str, finish: Value| {
        let choice = json!([{ "index": 0, "text": text, "finish_reason": finish }]);
        completion(choice, &Value::Null).to_string()
    };
    let characters: Vec<char> = text.chars().collect();
    let pieces = characters.chunks(4).map(|piece| piece.iter().collect::<String>());
    let mut chunks: Vec<String> = pieces.map(|piece| chunk(&piece, Value::Null)).collect();
    chunks.push(chunk("", json!("stop")));
    chunks.push(completion(json!([]), &usage()).to_string());
    chunks
}

fn usage() -> Value {
    json!({ "prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18 })
}

/// Two embeddings, with numbers whose spelling would not survive a parser.
pub fn embeddings() -> Value {
    let embedding = |index: u32| json!({ "object": "embedding", "index": index, "embedding": [0.25, -1.5, 1e-7] });
    json!({ "object": "list", "data": [embedding(0), embedding(1)], "model": "scripted-2024",
            "usage": { "prompt_tokens": 5, "total_tokens": 5 }, "x_unknown": "kept" })
}

/// The id of a response that a provider made.
pub const PROVIDERS_RESPONSE: &str = "resp_677efb5139a88190b512bc3fef8e535d";

/// A response, streamed or whole as it was asked for.
pub fn responses(asked: &Asked, text: &str) -> Script {
    if asked.streams() {
        Script::sse().bytes(anthropic::sse(&response_events(text)))
    } else {
        Script::json(200, &response("completed", &json!([item(text, "completed")])))
    }
}

fn response(status: &str, output: &Value) -> Value {
    json!({
        "id": PROVIDERS_RESPONSE, "object": "response", "created_at": 1_700_000_000,
        "status": status, "error": null, "incomplete_details": null, "model": "scripted-2024",
        "output": output, "parallel_tool_calls": true, "tool_choice": "auto", "tools": [],
        "usage": if status == "completed" {
            json!({ "input_tokens": 11, "input_tokens_details": { "cached_tokens": 0 },
                    "output_tokens": 7, "output_tokens_details": { "reasoning_tokens": 0 },
                    "total_tokens": 18 })
        } else { Value::Null },
        "x_unknown": "kept",
    })
}

fn item(text: &str, status: &str) -> Value {
    let content = match text {
        "" => json!([]),
        text => json!([{ "type": "output_text", "text": text, "annotations": [] }]),
    };
    json!({ "id": "msg_1", "type": "message", "status": status, "role": "assistant",
            "content": content })
}

fn response_events(text: &str) -> Vec<Value> {
    let begun = response("in_progress", &json!([]));
    let place = |kind: &str| json!({ "type": kind, "item_id": "msg_1", "output_index": 0, "content_index": 0 });
    let mut events = vec![
        json!({ "type": "response.created", "response": begun }),
        json!({ "type": "response.in_progress", "response": begun }),
        json!({ "type": "response.output_item.added", "output_index": 0,
                "item": item("", "in_progress") }),
    ];
    let part = |text: &str| json!({ "type": "output_text", "text": text, "annotations": [] });
    let with = |mut event: Value, key: &str, value: Value| {
        event[key] = value;
        event
    };
    events.push(with(place("response.content_part.added"), "part", part("")));
    let characters: Vec<char> = text.chars().collect();
    for piece in characters.chunks(4) {
        let piece: String = piece.iter().collect();
        events.push(with(place("response.output_text.delta"), "delta", json!(piece)));
    }
    events.push(with(place("response.output_text.done"), "text", json!(text)));
    events.push(with(place("response.content_part.done"), "part", part(text)));
    events.push(json!({ "type": "response.output_item.done", "output_index": 0,
                        "item": item(text, "completed") }));
    let whole = response("completed", &json!([item(text, "completed")]));
    events.push(json!({ "type": "response.completed", "response": whole }));
    for (number, event) in events.iter_mut().enumerate() {
        event["sequence_number"] = json!(number);
    }
    events
}

fn said_in_items(body: &Value) -> Said {
    let mut said = Said { usage: counts(&body["usage"], "input", "output"), ..Said::default() };
    for item in list(&body["output"]) {
        match item["type"].as_str() {
            Some("message") => {
                said.text.extend(list(&item["content"]).map(|part| text(&part["text"])));
            }
            Some("function_call") => {
                said.calls.push((text(&item["name"]), parsed(&item["arguments"])));
            }
            _ => {}
        }
    }
    said
}

fn said_in_blocks(body: &Value) -> Said {
    let mut said = Said { usage: counts(&body["usage"], "input", "output"), ..Said::default() };
    for block in list(&body["content"]) {
        match block["type"].as_str() {
            Some("text") => said.text.push_str(&text(&block["text"])),
            Some("tool_use") => said.calls.push((text(&block["name"]), block["input"].clone())),
            _ => {}
        }
    }
    said
}

fn said_in_chunks(dialect: Dialect, events: &[Value]) -> Said {
    let mut said = Said::default();
    let mut calls: BTreeMap<u64, (String, String)> = BTreeMap::new();
    for event in events {
        let choice = &event["choices"][0];
        said.text.push_str(&match dialect {
            Dialect::Completions => text(&choice["text"]),
            _ => text(&choice["delta"]["content"]),
        });
        for call in list(&choice["delta"]["tool_calls"]) {
            let entry = calls.entry(call["index"].as_u64().unwrap_or_default()).or_default();
            entry.0.push_str(&text(&call["function"]["name"]));
            entry.1.push_str(&text(&call["function"]["arguments"]));
        }
        said.usage = counts(&event["usage"], "prompt", "completion").or(said.usage);
    }
    let calls = calls.into_values().map(|(name, arguments)| (name, parsed(&json!(arguments))));
    said.calls = calls.collect();
    said
}

fn said_in_message_events(events: &[Value]) -> Said {
    let mut said = Said::default();
    let mut arguments: BTreeMap<u64, (String, String)> = BTreeMap::new();
    let (mut input, mut output) = (None, None);
    for event in events {
        let index = event["index"].as_u64().unwrap_or_default();
        let delta = &event["delta"];
        match event["type"].as_str() {
            Some("content_block_start") if event["content_block"]["type"] == "tool_use" => {
                let name = text(&event["content_block"]["name"]);
                arguments.insert(index, (name, String::new()));
            }
            Some("content_block_delta") => {
                said.text.push_str(&text(&delta["text"]));
                if let Some((_, so_far)) = arguments.get_mut(&index) {
                    so_far.push_str(&text(&delta["partial_json"]));
                }
            }
            _ => {}
        }
        for usage in [&event["message"]["usage"], &event["usage"]] {
            input = usage["input_tokens"].as_u64().filter(|it| *it > 0).or(input);
            output = usage["output_tokens"].as_u64().or(output);
        }
    }
    said.usage = input.zip(output);
    let calls = arguments.into_values().map(|(name, arguments)| {
        let arguments = if arguments.is_empty() { "{}".to_owned() } else { arguments };
        (name, parsed(&json!(arguments)))
    });
    said.calls = calls.collect();
    said
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// JSON in a string; what is none stays the string.
fn parsed(value: &Value) -> Value {
    value.as_str().and_then(|it| serde_json::from_str(it).ok()).unwrap_or_else(|| value.clone())
}

fn counts(usage: &Value, input: &str, output: &str) -> Option<(u64, u64)> {
    let count = |name: &str| usage[format!("{name}_tokens")].as_u64();
    Some((count(input)?, count(output)?))
}
