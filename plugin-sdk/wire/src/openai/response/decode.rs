//! A provider's whole answer to a response.

use serde_json::{Map, Value};

use super::super::{FIELDS, MESSAGE_FIELDS, TOOL_CALL, details, error, finish, part};
use crate::chat::{Block, Response, Usage};
use crate::error::{CallError, CallErrorKind};
use crate::openai::usage::WireUsage;
use crate::pointer::Path;

/// The response that a provider's body means.
///
/// # Errors
/// `MalformedResponse` for a body that is no completion; the reported failure for a body
/// with an `error` in it, which some providers send with status 200.
pub fn decode(body: &[u8]) -> Result<Response, CallError> {
    let mut fields: Map<String, Value> = serde_json::from_slice(body)
        .map_err(|error| malformed(format!("the body is not a JSON object: {error}")))?;
    match fields.shift_remove("error") {
        None | Some(Value::Null) => {}
        Some(inner) => return Err(error::decode_inner(inner)),
    }
    let Some(Value::Array(choices)) = fields.shift_remove("choices") else {
        return Err(malformed("the body has no array of choices"));
    };
    let is_first = |choice: &Value| choice.get("index").is_none_or(|index| *index == 0);
    let position = choices.iter().position(is_first).unwrap_or_default();
    let Some(Value::Object(mut choice)) = choices.into_iter().nth(position) else {
        return Err(malformed("the body has no choice"));
    };
    fail_if_broken(&mut choice)?;
    let Some(Value::Object(message)) = choice.shift_remove("message") else {
        return Err(malformed("the first choice has no message"));
    };
    let usage = fields.shift_remove("usage").filter(|usage| !usage.is_null());
    let usage: Option<WireUsage> = usage
        .map(serde_json::from_value)
        .transpose()
        .map_err(|error| malformed(format!("usage is not understood: {error}")))?;
    let mut response = Response {
        id: take_text(&mut fields, "id").unwrap_or_default(),
        model: take_text(&mut fields, "model").unwrap_or_default(),
        blocks: blocks(message, choice.shift_remove("logprobs"))?,
        finish_reason: take_text(&mut choice, "finish_reason")
            .and_then(|reason| finish::decode(&reason)),
        usage: usage.map(Usage::from),
        extra: Map::new(),
    };
    for known in ["object", "created"] {
        fields.shift_remove(known);
    }
    fields.retain(|_, value| !value.is_null());
    response.extra = fields;
    Ok(response)
}

/// OpenRouter reports what befell one choice inside that choice.
fn fail_if_broken(choice: &mut Map<String, Value>) -> Result<(), CallError> {
    if let Some(inner) = choice.shift_remove("error").filter(|error| !error.is_null()) {
        return Err(error::decode_inner(inner));
    }
    let reason = choice.get("finish_reason").and_then(Value::as_str).unwrap_or_default();
    finish::failure(reason).map_or(Ok(()), Err)
}

fn blocks(
    mut message: Map<String, Value>,
    logprobs: Option<Value>,
) -> Result<Vec<Block>, CallError> {
    let mut blocks = Vec::new();
    message.shift_remove("role");
    let reasoning = take_text(&mut message, "reasoning_content");
    let reasoning = reasoning.or_else(|| take_text(&mut message, "reasoning"));
    let reasoning = reasoning.filter(|text| !text.is_empty());
    match message.shift_remove(details::KEY) {
        Some(Value::Array(entries)) if !entries.is_empty() => {
            blocks = details::decode_all(entries);
            // The details are what counts where the two disagree.
            let _ = details::merge_text(&mut blocks, &reasoning.unwrap_or_default());
        }
        _ => blocks.extend(reasoning.map(Block::reasoning)),
    }
    match message.shift_remove("content") {
        Some(Value::String(text)) if !text.is_empty() => blocks.push(Block::text(text)),
        Some(Value::Array(parts)) => {
            for item in parts {
                content_part(item, &mut blocks)?;
            }
        }
        _ => {}
    }
    annotate(&mut blocks, &mut message, logprobs);
    if let Some(text) = take_text(&mut message, "refusal").filter(|text| !text.is_empty()) {
        blocks.push(Block::Refusal { text });
    }
    if let Some(Value::Array(calls)) = message.shift_remove("tool_calls") {
        for (ordinal, call) in calls.into_iter().enumerate() {
            tool_call(call, ordinal, &mut blocks)?;
        }
    }
    if let Some(Value::Array(images)) = message.shift_remove("images") {
        for image in images {
            content_part(image, &mut blocks)?;
        }
    }
    message.retain(|_, value| !is_empty(value));
    if !message.is_empty() {
        let value = Value::Object(message);
        blocks.push(Block::Other { dialect: MESSAGE_FIELDS.into(), value });
    }
    Ok(blocks)
}

/// Mistral's `thinking` parts hold parts in turn.
fn content_part(item: Value, blocks: &mut Vec<Block>) -> Result<(), CallError> {
    if item.get("type").is_some_and(|kind| kind == "thinking") {
        let text = match item.get("thinking") {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(parts)) => {
                parts.iter().filter_map(|part| part.get("text")?.as_str()).collect()
            }
            _ => String::new(),
        };
        blocks.push(Block::reasoning(text));
        return Ok(());
    }
    part::decode(item, &Path::Root, blocks)
        .map_err(|error| malformed(format!("a content part is not understood: {error}")))
}

/// Annotations and log probabilities belong to the text.
fn annotate(blocks: &mut [Block], message: &mut Map<String, Value>, logprobs: Option<Value>) {
    let text = blocks.iter_mut().find_map(|block| match block {
        Block::Text { extra, .. } => Some(extra),
        _ => None,
    });
    let Some(extra) = text else { return };
    let annotations = message.shift_remove("annotations");
    for (key, value) in [("annotations", annotations), ("logprobs", logprobs)] {
        if let Some(value) = value.filter(|value| !is_empty(value)) {
            extra.insert(key.into(), value);
        }
    }
}

/// A call without an id gets one, from its place in the answer.
fn tool_call(call: Value, ordinal: usize, blocks: &mut Vec<Block>) -> Result<(), CallError> {
    let Value::Object(mut call) = call else {
        return Err(malformed("a tool call is not an object"));
    };
    let Some(Value::Object(mut function)) = call.shift_remove("function") else {
        let value = Value::Object(call);
        blocks.push(Block::Other { dialect: TOOL_CALL.into(), value });
        return Ok(());
    };
    let id = take_text(&mut call, "id").filter(|id| !id.is_empty());
    let arguments = match function.shift_remove("arguments") {
        Some(Value::String(text)) => text,
        None | Some(Value::Null) => String::new(),
        // Ollama and its kin give the object itself.
        Some(value) => value.to_string(),
    };
    blocks.push(Block::ToolCall {
        id: id.unwrap_or_else(|| format!("call_{ordinal}")),
        name: take_text(&mut function, "name").unwrap_or_default(),
        arguments,
        cache: None,
    });
    call.retain(|key, value| key != "type" && key != "index" && !value.is_null());
    if !call.is_empty() {
        blocks.push(Block::Other { dialect: FIELDS.into(), value: Value::Object(call) });
    }
    Ok(())
}

fn take_text(fields: &mut Map<String, Value>, key: &str) -> Option<String> {
    match fields.get_mut(key) {
        Some(Value::String(text)) => {
            let text = std::mem::take(text);
            fields.shift_remove(key);
            Some(text)
        }
        _ => None,
    }
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

fn malformed(message: impl Into<String>) -> CallError {
    CallError::new(CallErrorKind::MalformedResponse, message)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::chat::FinishReason;
    use serde_json::json;

    fn decode_value(value: &Value) -> Result<Response, CallError> {
        decode(value.to_string().as_bytes())
    }

    #[test]
    fn every_part_of_an_answer_finds_its_block() {
        let response = decode_value(&json!({
            "id": "c1", "object": "chat.completion", "created": 1, "model": "m",
            "system_fingerprint": "fp", "service_tier": null,
            "choices": [{"index": 0, "finish_reason": "function_call",
                "logprobs": {"content": [{"token": "a"}]},
                "message": {"role": "assistant", "content": "hi", "reasoning": "hm", "refusal": "no",
                    "annotations": [{"type": "url_citation"}], "audio": {"id": 1},
                    "tool_calls": [
                        {"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                        {"type": "function", "function": {"name": "g", "arguments": {"a": 1}}}]}}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 4}
        }))
        .unwrap();
        assert_eq!(response.finish_reason, Some(FinishReason::ToolCalls));
        assert_eq!(response.extra, *json!({"system_fingerprint": "fp"}).as_object().unwrap());
        let text = json!({"annotations": [{"type": "url_citation"}], "logprobs": {"content": [{"token": "a"}]}});
        assert_eq!(
            response.blocks,
            vec![
                Block::reasoning("hm"),
                Block::Text {
                    text: "hi".into(),
                    cache: None,
                    extra: text.as_object().unwrap().clone()
                },
                Block::Refusal { text: "no".into() },
                Block::ToolCall {
                    id: "t".into(),
                    name: "f".into(),
                    arguments: "{}".into(),
                    cache: None
                },
                Block::ToolCall {
                    id: "call_1".into(),
                    name: "g".into(),
                    arguments: r#"{"a":1}"#.into(),
                    cache: None
                },
                Block::Other { dialect: MESSAGE_FIELDS.into(), value: json!({"audio": {"id": 1}}) },
            ]
        );
    }

    #[test]
    fn choice_that_broke_off_is_a_failure() {
        let body = |choice: Value| json!({"choices": [choice]});
        let broken = [
            (json!({"error": {"code": 502, "message": "died"}}), CallErrorKind::Overloaded),
            (
                json!({"message": {"content": "half"}, "finish_reason": "error"}),
                CallErrorKind::Server,
            ),
            (
                json!({"message": {}, "finish_reason": "insufficient_system_resource"}),
                CallErrorKind::Overloaded,
            ),
        ];
        for (choice, kind) in broken {
            assert_eq!(decode_value(&body(choice)).unwrap_err().kind, kind);
        }
    }

    #[test]
    fn first_choice_is_the_one_with_index_0() {
        let choice =
            |index: u8| json!({"index": index, "message": {"content": format!("{index}")}});
        let response = decode_value(&json!({"choices": [choice(1), choice(0)]})).unwrap();
        assert_eq!(response.blocks, vec![Block::text("0")]);
    }

    #[test]
    fn error_with_status_200_is_a_failure() {
        let error = decode_value(&json!({"error": {"code": 429, "message": "later"}})).unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (CallErrorKind::RateLimited, "later"));
    }

    #[test]
    fn bodies_that_are_no_completion_are_malformed() {
        for body in ["", "[]", "{}", r#"{"choices":[]}"#, r#"{"choices":[{}]}"#, "<html>"] {
            let error = decode(body.as_bytes()).unwrap_err();
            assert_eq!(error.kind, CallErrorKind::MalformedResponse, "{body}");
        }
    }
}
