//! Whole answers on the Anthropic wire.

use serde_json::{Map, Value};

use super::usage::WireUsage;
use super::{DIALECT, error, finish};
use crate::chat::{Block, Response, Usage};
use crate::error::{CallError, CallErrorKind};

/// The response that a provider's body means.
///
/// # Errors
/// `MalformedResponse` for a body that is no message; the reported failure for an error.
pub fn decode(body: &[u8]) -> Result<Response, CallError> {
    let mut fields: Map<String, Value> = serde_json::from_slice(body)
        .map_err(|error| malformed(format!("the body is not a JSON object: {error}")))?;
    if fields.get("type").is_some_and(|kind| kind == "error") {
        return Err(error::decode_inner(fields.get("error").unwrap_or(&Value::Null)));
    }
    let Some(Value::Array(content)) = fields.shift_remove("content") else {
        return Err(malformed("the body has no array of content".into()));
    };
    let usage = fields.shift_remove("usage").filter(|usage| !usage.is_null());
    let usage: Option<WireUsage> = usage
        .map(serde_json::from_value)
        .transpose()
        .map_err(|error| malformed(format!("usage is not understood: {error}")))?;
    let mut response = Response {
        id: take_text(&mut fields, "id").unwrap_or_default(),
        model: take_text(&mut fields, "model").unwrap_or_default(),
        blocks: content.into_iter().map(block).collect(),
        finish_reason: take_text(&mut fields, "stop_reason").map(|reason| finish::decode(&reason)),
        usage: usage.map(Usage::from),
        extra: Map::new(),
    };
    fields.retain(|key, value| !value.is_null() && key != "type" && key != "role");
    response.extra = fields;
    Ok(response)
}

/// A content block that came whole.
pub(super) fn block(value: Value) -> Block {
    let Value::Object(mut fields) = value else {
        return Block::Other { dialect: DIALECT.into(), value };
    };
    let kind = fields.get("type").and_then(Value::as_str).unwrap_or_default();
    match kind {
        "text" => {
            let text = take_text(&mut fields, "text").unwrap_or_default();
            fields.retain(|key, value| key != "type" && !value.is_null());
            Block::Text { text, cache: None, extra: fields }
        }
        "thinking" => Block::Reasoning {
            text: take_text(&mut fields, "thinking").unwrap_or_default(),
            signature: take_text(&mut fields, "signature").filter(|text| !text.is_empty()),
            encrypted: None,
        },
        "redacted_thinking" => Block::Reasoning {
            text: String::new(),
            signature: None,
            encrypted: take_text(&mut fields, "data"),
        },
        "tool_use" => Block::ToolCall {
            id: take_text(&mut fields, "id").unwrap_or_default(),
            name: take_text(&mut fields, "name").unwrap_or_default(),
            arguments: fields.get("input").map_or_else(|| "{}".into(), Value::to_string),
            cache: None,
        },
        _ => Block::Other { dialect: DIALECT.into(), value: Value::Object(fields) },
    }
}

fn take_text(fields: &mut Map<String, Value>, key: &str) -> Option<String> {
    match fields.shift_remove(key) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

fn malformed(message: String) -> CallError {
    CallError::new(CallErrorKind::MalformedResponse, message)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::chat::FinishReason;
    use serde_json::json;

    #[test]
    fn every_block_of_a_message_finds_its_place() {
        let body = json!({
            "id": "msg", "type": "message", "role": "assistant", "model": "claude",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "sig"},
                {"type": "redacted_thinking", "data": "enc"},
                {"type": "text", "text": "hi", "citations": [{"url": "u"}]},
                {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
                {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
            ],
            "stop_reason": "tool_use", "stop_sequence": null, "container": {"id": "c"},
            "usage": {"input_tokens": 5, "cache_read_input_tokens": 7,
                "cache_creation_input_tokens": 11, "output_tokens": 13,
                "output_tokens_details": {"thinking_tokens": 2}},
        });
        let response = decode(body.to_string().as_bytes()).unwrap();
        assert_eq!(response.finish_reason, Some(FinishReason::ToolCalls));
        assert_eq!(
            response.usage,
            Some(Usage {
                input: 23,
                output: 13,
                cached_input: 7,
                cache_write: 11,
                reasoning: 2,
                ..Usage::default()
            })
        );
        assert_eq!(Value::from(response.extra), json!({"container": {"id": "c"}}));
        let citations = json!({"citations": [{"url": "u"}]}).as_object().unwrap().clone();
        let server_tool =
            json!({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}});
        assert_eq!(
            response.blocks,
            vec![
                Block::Reasoning {
                    text: "hm".into(),
                    signature: Some("sig".into()),
                    encrypted: None
                },
                Block::Reasoning {
                    text: String::new(),
                    signature: None,
                    encrypted: Some("enc".into())
                },
                Block::Text { text: "hi".into(), cache: None, extra: citations },
                Block::ToolCall {
                    id: "t".into(),
                    name: "f".into(),
                    arguments: r#"{"a":1}"#.into(),
                    cache: None
                },
                Block::Other { dialect: DIALECT.into(), value: server_tool },
            ]
        );
    }

    #[test]
    fn bodies_that_are_no_message_are_refused() {
        for body in ["", "[]", "{}", r#"{"content":"x"}"#] {
            assert_eq!(decode(body.as_bytes()).unwrap_err().kind, CallErrorKind::MalformedResponse);
        }
        let error =
            decode(br#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#);
        assert_eq!(error.unwrap_err().kind, CallErrorKind::Overloaded);
    }
}
