//! OpenAI's wires for the scripted model: chat, completions, Responses and errors. A stream is
//! made from the whole answer it says, so that both cannot differ.

use serde_json::{Value, json};
use torana_tests::chat::DONE;
use torana_tests::openai;
use torana_tests::provider::Asked;
use torana_tests::script::Script;

use super::saying::{End, FAILURE, Failure, INPUT, OUTPUT};
use super::upstream::{Call, Spoken, ThoughtPlace, end};

/// Characters of a delta.
const PIECE: usize = 5;

const ENDS: [&str; 3] = ["stop", "length", "tool_calls"];

pub(crate) fn chat(asked: &Asked, spoken: &Spoken, place: ThoughtPlace) -> Script {
    if asked.streams() {
        let script = Script::sse();
        let events = chat_events(asked, spoken, place);
        return events.into_iter().fold(script, |script, event| script.bytes(event));
    }
    let choice = json!({ "index": 0, "message": message(spoken, place), "logprobs": null,
                         "finish_reason": end(spoken.end, ENDS) });
    Script::json(200, &body(asked, "chat.completion", &json!([choice]), &usage(spoken)))
}

/// The lines of a streamed answer, each an event with its end.
pub(crate) fn chat_events(asked: &Asked, spoken: &Spoken, place: ThoughtPlace) -> Vec<String> {
    let message = message(spoken, place);
    let mut deltas = vec![json!({ "role": "assistant", "content": "" })];
    for key in ["reasoning_content", "reasoning"] {
        deltas.extend(pieces(&message[key]).map(|piece| json!({ key: piece })));
    }
    for detail in message["reasoning_details"].as_array().into_iter().flatten() {
        for piece in pieces(&detail["text"]) {
            let mut more = json!({ "type": detail["type"], "index": 0, "text": piece });
            more["format"] = detail["format"].clone();
            deltas.push(json!({ "reasoning_details": [more] }));
        }
        let mut last = detail.clone();
        last["text"] = json!("");
        deltas.push(json!({ "reasoning_details": [last] }));
    }
    for part in message["content"].as_array().into_iter().flatten() {
        deltas.extend(pieces(&part["thinking"][0]["text"]).map(|piece| {
            let thinking = json!([{ "type": "text", "text": piece }]);
            json!({ "content": [{ "type": "thinking", "thinking": thinking }] })
        }));
        deltas.extend(pieces(&part["text"]).map(|piece| json!({ "content": piece })));
    }
    deltas.extend(pieces(&message["content"]).map(|piece| json!({ "content": piece })));
    for (index, call) in message["tool_calls"].as_array().into_iter().flatten().enumerate() {
        let mut begun = call.clone();
        begun["index"] = json!(index);
        begun["function"]["arguments"] = json!("");
        deltas.push(json!({ "tool_calls": [begun] }));
        deltas.extend(pieces(&call["function"]["arguments"]).map(|piece| {
            let function = json!({ "arguments": piece });
            json!({ "tool_calls": [{ "index": index, "function": function }] })
        }));
    }
    let choice = |delta: Value, reason: Value| {
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": reason });
        body(asked, "chat.completion.chunk", &json!([choice]), &Value::Null)
    };
    let mut chunks: Vec<Value> = deltas.into_iter().map(|it| choice(it, Value::Null)).collect();
    chunks.push(choice(json!({}), json!(end(spoken.end, ENDS))));
    chunks.push(body(asked, "chat.completion.chunk", &json!([]), &usage(spoken)));
    lines(&chunks)
}

/// The older route, which knows text alone.
pub(crate) fn completions(asked: &Asked, spoken: &Spoken) -> Script {
    let reason = end(spoken.end, ENDS);
    let choice = |text: &str, reason: Value| json!([{ "index": 0, "text": text, "logprobs": null, "finish_reason": reason }]);
    let text = spoken.text.clone().unwrap_or_default();
    if !asked.streams() {
        let choices = choice(&text, json!(reason));
        return Script::json(200, &body(asked, "text_completion", &choices, &usage(spoken)));
    }
    let chunk = |choices: Value, usage: &Value| body(asked, "text_completion", &choices, usage);
    let texts = pieces(&json!(text)).map(|piece| chunk(choice(&piece, Value::Null), &Value::Null));
    let mut chunks: Vec<Value> = texts.collect();
    chunks.push(chunk(choice("", json!(reason)), &Value::Null));
    chunks.push(chunk(json!([]), &usage(spoken)));
    lines(&chunks).into_iter().fold(Script::sse(), |script, line| script.bytes(line))
}

/// Responses: items, and events that build them up.
pub(crate) fn responses(asked: &Asked, spoken: &Spoken) -> Script {
    let response = response(asked, spoken);
    if !asked.streams() {
        return Script::json(200, &response);
    }
    let line = |(number, mut event): (usize, Value)| {
        event["sequence_number"] = json!(number);
        let name = event["type"].as_str().unwrap_or_default();
        format!("event: {name}\ndata: {event}\n\n")
    };
    let events = response_events(&response).into_iter().enumerate();
    events.map(line).fold(Script::sse(), |script, line| script.bytes(line))
}

/// OpenAI's error body.
pub(crate) fn error(failure: Failure) -> Value {
    let (kind, code) = match failure {
        Failure::RateLimit => ("rate_limit_error", "rate_limit_exceeded"),
        Failure::Authentication => ("invalid_request_error", "invalid_api_key"),
        Failure::ContextLength => ("invalid_request_error", "context_length_exceeded"),
        Failure::Server => ("server_error", "server_error"),
    };
    openai::error(FAILURE, kind, code)
}

pub(crate) fn call(call: &Call) -> Value {
    let Call { id, name, arguments } = call;
    let function = json!({ "name": name, "arguments": arguments.to_string() });
    json!({ "id": id, "type": "function", "function": function })
}

fn message(spoken: &Spoken, place: ThoughtPlace) -> Value {
    let mut message = json!({ "role": "assistant", "content": spoken.text, "refusal": null });
    if !spoken.calls.is_empty() {
        message["tool_calls"] = spoken.calls.iter().map(call).collect();
    }
    let Some(thought) = spoken.thought else { return message };
    let text = spoken.text.clone().unwrap_or_default();
    match place {
        ThoughtPlace::Nowhere => {}
        ThoughtPlace::ReasoningContent => message["reasoning_content"] = json!(thought),
        ThoughtPlace::Reasoning => message["reasoning"] = json!(thought),
        ThoughtPlace::Details => {
            let detail = json!({ "type": "reasoning.text", "text": thought, "index": 0,
                                 "signature": spoken.signature, "format": "anthropic-claude-v1" });
            message["reasoning_details"] = json!([detail]);
        }
        ThoughtPlace::Part => {
            let thinking = json!([{ "type": "text", "text": thought }]);
            message["content"] = json!([{ "type": "thinking", "thinking": thinking },
                                        { "type": "text", "text": text }]);
        }
        ThoughtPlace::Tags => {
            message["content"] = json!(format!("<think>\n{thought}\n</think>\n\n{text}"));
        }
    }
    message
}

fn usage(spoken: &Spoken) -> Value {
    json!({ "prompt_tokens": INPUT, "completion_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT,
            "prompt_tokens_details": { "cached_tokens": spoken.cached } })
}

fn body(asked: &Asked, object: &str, choices: &Value, usage: &Value) -> Value {
    json!({ "id": "scripted", "object": object, "created": 1_700_000_000,
            "model": asked.json()["model"], "choices": choices, "usage": usage })
}

fn lines(chunks: &[Value]) -> Vec<String> {
    let mut lines: Vec<String> = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
    lines.push(format!("data: {DONE}\n\n"));
    lines
}

fn response(asked: &Asked, spoken: &Spoken) -> Value {
    let mut output = Vec::new();
    if let Some(thought) = spoken.thought {
        let mut item = json!({ "type": "reasoning", "id": "rs_scripted",
                               "summary": [{ "type": "summary_text", "text": thought }] });
        if let Some(signature) = spoken.signature {
            item["encrypted_content"] = json!(signature);
        }
        output.push(item);
    }
    let is_cut = spoken.end == End::Length;
    if let Some(text) = &spoken.text {
        let content = json!([{ "type": "output_text", "text": text, "annotations": [] }]);
        let status = if is_cut { "incomplete" } else { "completed" };
        output.push(json!({ "type": "message", "id": "msg_scripted", "role": "assistant",
                            "status": status, "content": content }));
    }
    for call in &spoken.calls {
        output.push(json!({ "type": "function_call", "id": format!("fc_{}", call.id),
                            "call_id": call.id, "name": call.name, "status": "completed",
                            "arguments": call.arguments.to_string() }));
    }
    let details = is_cut.then(|| json!({ "reason": "max_output_tokens" }));
    json!({
        "id": "resp_scripted", "object": "response", "created_at": 1_700_000_000,
        "status": if is_cut { "incomplete" } else { "completed" }, "incomplete_details": details,
        "error": null, "model": asked.json()["model"], "output": output,
        "parallel_tool_calls": true, "tools": [], "tool_choice": "auto", "metadata": {},
        "usage": { "input_tokens": INPUT, "output_tokens": OUTPUT,
                   "total_tokens": INPUT + OUTPUT,
                   "input_tokens_details": { "cached_tokens": spoken.cached },
                   "output_tokens_details": { "reasoning_tokens": 0 } },
    })
}

fn response_events(response: &Value) -> Vec<Value> {
    let mut begun = response.clone();
    begun["status"] = json!("in_progress");
    begun["output"] = json!([]);
    begun["usage"] = Value::Null;
    let mut events = vec![
        json!({ "type": "response.created", "response": begun }),
        json!({ "type": "response.in_progress", "response": begun }),
    ];
    for (index, item) in response["output"].as_array().into_iter().flatten().enumerate() {
        item_events(index, item, &mut events);
    }
    let end = match response["status"].as_str() {
        Some("incomplete") => "response.incomplete",
        _ => "response.completed",
    };
    events.push(json!({ "type": end, "response": response }));
    events
}

fn item_events(index: usize, item: &Value, events: &mut Vec<Value>) {
    let id = &item["id"];
    let event = |kind: &str, more: Value| {
        let mut event = json!({ "type": format!("response.{kind}"), "output_index": index });
        for (key, value) in more.as_object().into_iter().flatten() {
            event[key] = value.clone();
        }
        event
    };
    let mut begun = item.clone();
    // The kind of item, what stands in it while it is empty, its text, and its part's events.
    let (place, empty, text, part) = match item["type"].as_str() {
        Some("reasoning") => ("summary", json!([]), &item["summary"][0]["text"], "summary"),
        Some("message") => ("content", json!([]), &item["content"][0]["text"], "content"),
        _ => ("arguments", json!(""), &item["arguments"], ""),
    };
    begun[place] = empty;
    begun["status"] = json!("in_progress");
    events.push(event("output_item.added", json!({ "item": begun })));
    let position = format!("{part}_index");
    let (delta, done, part_event, key) = match part {
        "summary" => (
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part",
            "text",
        ),
        "content" => ("output_text.delta", "output_text.done", "content_part", "text"),
        _ => ("function_call_arguments.delta", "function_call_arguments.done", "", "arguments"),
    };
    let at = |mut more: Value| {
        more["item_id"] = id.clone();
        if !part.is_empty() {
            more[&position] = json!(0);
        }
        more
    };
    if !part.is_empty() {
        let mut empty = item[place][0].clone();
        empty["text"] = json!("");
        events.push(event(&format!("{part_event}.added"), at(json!({ "part": empty }))));
    }
    events.extend(pieces(text).map(|piece| event(delta, at(json!({ "delta": piece })))));
    events.push(event(done, at(json!({ key: text }))));
    if !part.is_empty() {
        let whole = at(json!({ "part": item[place][0] }));
        events.push(event(&format!("{part_event}.done"), whole));
    }
    events.push(event("output_item.done", json!({ "item": item })));
}

fn pieces(text: &Value) -> impl Iterator<Item = String> + use<> {
    let characters: Vec<char> = text.as_str().unwrap_or_default().chars().collect();
    let pieces: Vec<String> = characters.chunks(PIECE).map(|it| it.iter().collect()).collect();
    pieces.into_iter()
}
