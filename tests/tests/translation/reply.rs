//! What an answer says, in whichever dialect, whole or put together from a stream.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::client::Client;
use super::saying::{End, THOUGHT};

/// An answer as a client understands it.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) text: String,
    pub(crate) thought: String,
    /// Id, name and arguments.
    pub(crate) calls: Vec<(String, String, Value)>,
    pub(crate) end: Option<End>,
    pub(crate) input: u64,
    pub(crate) output: u64,
    pub(crate) cached: u64,
    /// Pieces of text, and of arguments, that came one after the other.
    pub(crate) text_pieces: usize,
    pub(crate) argument_pieces: usize,
}

/// What keeps an answer from being what it should be.
#[derive(Debug)]
pub(crate) struct Wrong(pub(crate) String);

impl Said {
    /// Of a whole body.
    pub(crate) fn whole(client: Client, body: &Value) -> Self {
        match client {
            Client::Chat => chat(body),
            Client::Completions => completion(body),
            Client::Responses => response(body),
            Client::Messages => message(body),
            Client::Embeddings => Self {
                input: body["usage"]["prompt_tokens"].as_u64().unwrap_or_default(),
                ..Self::default()
            },
        }
    }

    /// Of the events of a stream.
    ///
    /// # Errors
    /// What keeps it from being a whole answer.
    pub(crate) fn streamed(client: Client, events: &[String]) -> Result<Self, Wrong> {
        let is_done = |event: &&String| event.as_str() != "[DONE]";
        let events: Vec<Value> = events
            .iter()
            .filter(is_done)
            .map(|event| {
                serde_json::from_str(event).map_err(|_| Wrong(format!("not JSON: {event}")))
            })
            .collect::<Result<_, _>>()?;
        let failed = |event: &&Value| event["error"].is_object() || event["type"] == "error";
        if let Some(failed) = events.iter().find(failed) {
            return Err(Wrong(format!("the stream failed: {failed}")));
        }
        match client {
            Client::Chat => Ok(chat_stream(&events)),
            Client::Completions => Ok(completion_stream(&events)),
            Client::Responses => response_stream(&events),
            Client::Messages => message_stream(&events),
            Client::Embeddings => Err(Wrong("embeddings are not streamed".to_owned())),
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Arguments stand in a text that is JSON.
fn parsed(arguments: &Value) -> Value {
    serde_json::from_str(text(arguments)).unwrap_or_default()
}

fn word(reason: &Value, words: [&str; 3]) -> Option<End> {
    let ends = [End::Stop, End::Length, End::ToolCalls];
    words.iter().position(|word| reason == word).map(|at| ends[at])
}

fn chat(body: &Value) -> Said {
    let choice = &body["choices"][0];
    let message = &choice["message"];
    let mut said = Said {
        end: word(&choice["finish_reason"], ["stop", "length", "tool_calls"]),
        ..openai_usage(&body["usage"])
    };
    match &message["content"] {
        // Mistral's parts, as they stand.
        Value::Array(parts) => {
            for part in parts {
                said.text.push_str(text(&part["text"]));
                list(&part["thinking"]).for_each(|it| said.thought.push_str(text(&it["text"])));
            }
        }
        content => said.text = text(content).to_owned(),
    }
    let details = || list(&message["reasoning_details"]).map(|it| text(&it["text"])).collect();
    let places = [&message["reasoning_content"], &message["reasoning"]];
    let shown = places.into_iter().map(text).find(|shown| !shown.is_empty());
    if said.thought.is_empty() {
        said.thought = shown.map_or_else(details, str::to_owned);
    }
    for call in list(&message["tool_calls"]) {
        let function = &call["function"];
        let name = text(&function["name"]).to_owned();
        said.calls.push((text(&call["id"]).to_owned(), name, parsed(&function["arguments"])));
    }
    untag(&mut said);
    said
}

/// Tags of a server whose answer passes as it is stay where they are.
fn untag(said: &mut Said) {
    let tagged = format!("<think>\n{THOUGHT}\n</think>\n\n");
    if let Some(rest) = said.text.strip_prefix(&tagged) {
        said.text = rest.to_owned();
        said.thought = THOUGHT.to_owned();
    }
}

fn openai_usage(usage: &Value) -> Said {
    let count = |value: &Value| value.as_u64().unwrap_or_default();
    Said {
        input: count(&usage["prompt_tokens"]),
        output: count(&usage["completion_tokens"]),
        cached: count(&usage["prompt_tokens_details"]["cached_tokens"]),
        ..Said::default()
    }
}

fn chat_stream(events: &[Value]) -> Said {
    let mut message = json!({ "content": "" });
    let mut calls: BTreeMap<u64, Value> = BTreeMap::new();
    let (mut reason, mut usage) = (Value::Null, Value::Null);
    let (mut thought, mut pieces, mut text_pieces) = (String::new(), 0, 0);
    for event in events {
        let choice = &event["choices"][0];
        let delta = &choice["delta"];
        for part in list(&delta["content"]) {
            list(&part["thinking"]).for_each(|it| thought.push_str(text(&it["text"])));
        }
        let mut add = |key: &str, to: &str| {
            let more = text(&delta[key]);
            message[to] = json!(format!("{}{more}", text(&message[to])));
            !more.is_empty()
        };
        text_pieces += usize::from(add("content", "content"));
        let shown = add("reasoning_content", "reasoning") || add("reasoning", "reasoning");
        if !shown {
            list(&delta["reasoning_details"]).for_each(|it| thought.push_str(text(&it["text"])));
        }
        for more in list(&delta["tool_calls"]) {
            let index = more["index"].as_u64().unwrap_or_default();
            let call = calls.entry(index).or_insert_with(|| json!({ "function": {} }));
            if more["id"].is_string() {
                call["id"] = more["id"].clone();
            }
            if more["function"]["name"].is_string() {
                call["function"]["name"] = more["function"]["name"].clone();
            }
            let arguments = text(&more["function"]["arguments"]);
            let before = text(&call["function"]["arguments"]).to_owned();
            call["function"]["arguments"] = json!(before + arguments);
            pieces += usize::from(!arguments.is_empty());
        }
        if choice["finish_reason"].is_string() {
            reason = choice["finish_reason"].clone();
        }
        if event["usage"].is_object() {
            usage = event["usage"].clone();
        }
    }
    message["tool_calls"] = calls.into_values().collect();
    let choice = json!({ "message": message, "finish_reason": reason });
    let mut said = chat(&json!({ "choices": [choice], "usage": usage }));
    if said.thought.is_empty() {
        said.thought = thought;
    }
    Said { text_pieces, argument_pieces: pieces, ..said }
}

fn completion(body: &Value) -> Said {
    let choice = &body["choices"][0];
    let mut said = Said {
        text: text(&choice["text"]).to_owned(),
        end: word(&choice["finish_reason"], ["stop", "length", "tool_calls"]),
        ..openai_usage(&body["usage"])
    };
    untag(&mut said);
    said
}

fn completion_stream(events: &[Value]) -> Said {
    let texts = || events.iter().map(|event| text(&event["choices"][0]["text"]));
    let reasons = events.iter().map(|event| &event["choices"][0]["finish_reason"]);
    let usages = events.iter().map(|event| &event["usage"]);
    let reason = reasons.into_iter().rfind(|reason| reason.is_string());
    let usage = usages.into_iter().rfind(|usage| usage.is_object());
    let choice = json!({ "text": texts().collect::<String>(), "finish_reason": reason });
    let said = completion(&json!({ "choices": [choice], "usage": usage }));
    Said { text_pieces: texts().filter(|text| !text.is_empty()).count(), ..said }
}

fn response(body: &Value) -> Said {
    let count = |value: &Value| value.as_u64().unwrap_or_default();
    let usage = &body["usage"];
    let mut said = Said {
        input: count(&usage["input_tokens"]),
        output: count(&usage["output_tokens"]),
        cached: count(&usage["input_tokens_details"]["cached_tokens"]),
        ..Said::default()
    };
    for item in list(&body["output"]) {
        match text(&item["type"]) {
            "message" => {
                list(&item["content"]).for_each(|it| said.text.push_str(text(&it["text"])))
            }
            "reasoning" => {
                let parts = list(&item["summary"]).chain(list(&item["content"]));
                parts.for_each(|part| said.thought.push_str(text(&part["text"])));
            }
            "function_call" => {
                let name = text(&item["name"]).to_owned();
                let arguments = parsed(&item["arguments"]);
                said.calls.push((text(&item["call_id"]).to_owned(), name, arguments));
            }
            _ => {}
        }
    }
    let is_cut = body["incomplete_details"]["reason"] == "max_output_tokens";
    said.end = match text(&body["status"]) {
        "completed" if said.calls.is_empty() => Some(End::Stop),
        "completed" => Some(End::ToolCalls),
        "incomplete" if is_cut => Some(End::Length),
        _ => None,
    };
    said
}

fn response_stream(events: &[Value]) -> Result<Said, Wrong> {
    let of = |kind: &'static str| events.iter().filter(move |event| event["type"] == kind);
    let ends = ["response.completed", "response.incomplete"];
    let last = events.last().filter(|event| ends.contains(&text(&event["type"])));
    let last = last.ok_or_else(|| Wrong("the last event is no end".to_owned()))?;
    let said = response(&last["response"]);
    let joined = |kind| of(kind).map(|event| text(&event["delta"])).collect::<String>();
    if joined("response.output_text.delta") != said.text {
        return Err(Wrong("the deltas of the text are not the text".to_owned()));
    }
    let thoughts =
        joined("response.reasoning_summary_text.delta") + &joined("response.reasoning_text.delta");
    if thoughts != said.thought {
        return Err(Wrong("the deltas of the reasoning are not the reasoning".to_owned()));
    }
    Ok(Said {
        text_pieces: of("response.output_text.delta").count(),
        argument_pieces: of("response.function_call_arguments.delta").count(),
        ..said
    })
}

fn message(body: &Value) -> Said {
    let count = |key: &str| body["usage"][key].as_u64().unwrap_or_default();
    let cached = count("cache_read_input_tokens");
    let mut said = Said {
        end: word(&body["stop_reason"], ["end_turn", "max_tokens", "tool_use"]),
        input: count("input_tokens") + cached + count("cache_creation_input_tokens"),
        output: count("output_tokens"),
        cached,
        ..Said::default()
    };
    for block in list(&body["content"]) {
        match text(&block["type"]) {
            "text" => said.text.push_str(text(&block["text"])),
            "thinking" => said.thought.push_str(text(&block["thinking"])),
            "tool_use" => {
                let name = text(&block["name"]).to_owned();
                said.calls.push((text(&block["id"]).to_owned(), name, block["input"].clone()));
            }
            _ => {}
        }
    }
    said
}

fn message_stream(events: &[Value]) -> Result<Said, Wrong> {
    if events.last().is_none_or(|event| event["type"] != "message_stop") {
        return Err(Wrong("the last event is no end".to_owned()));
    }
    let mut body = events[0]["message"].clone();
    let mut blocks: BTreeMap<u64, (Value, String)> = BTreeMap::new();
    let (mut text_pieces, mut argument_pieces) = (0, 0);
    for event in events {
        let index = event["index"].as_u64().unwrap_or_default();
        let delta = &event["delta"];
        if event["type"] == "content_block_start" {
            blocks.insert(index, (event["content_block"].clone(), String::new()));
        }
        if let (Some((_, so_far)), "content_block_delta") =
            (blocks.get_mut(&index), text(&event["type"]))
        {
            for key in ["text", "thinking", "partial_json"] {
                so_far.push_str(text(&delta[key]));
            }
            text_pieces += usize::from(!text(&delta["text"]).is_empty());
            argument_pieces += usize::from(!text(&delta["partial_json"]).is_empty());
        }
        if event["type"] == "message_delta" {
            body["stop_reason"] = delta["stop_reason"].clone();
            for (key, value) in event["usage"].as_object().into_iter().flatten() {
                body["usage"][key] = value.clone();
            }
        }
    }
    let blocks = blocks.into_values().map(|(mut block, so_far)| {
        match text(&block["type"]).to_owned() {
            kind if kind == "tool_use" => {
                block["input"] = serde_json::from_str(&so_far).unwrap_or(json!({}));
            }
            kind => block[kind] = json!(so_far),
        }
        block
    });
    body["content"] = blocks.collect();
    Ok(Said { text_pieces, argument_pieces, ..message(&body) })
}
