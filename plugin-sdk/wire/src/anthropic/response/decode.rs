//! A provider's whole answer to a response.

use serde_json::{Map, Value};

use crate::anthropic::field::{carrier, take_text};
use crate::anthropic::usage::WireUsage;
use crate::anthropic::{DIALECT, error, finish};
use crate::chat::{Block, Response};
use crate::error::{CallError, CallErrorKind};

/// The response that a provider's body means. Of `usage` and `stop_reason`, what the payload
/// cannot hold stands in `extra` under the same names.
///
/// # Errors
/// `MalformedResponse` for a body that is no message; the reported failure for an error.
pub fn decode(body: &[u8]) -> Result<Response, CallError> {
    let mut fields: Map<String, Value> = serde_json::from_slice(body)
        .map_err(|error| malformed(format!("the body is not a JSON object: {error}")))?;
    if fields.get("type").is_some_and(|kind| kind == "error") {
        return Err(error::decode_inner(fields.get("error").unwrap_or(&Value::Null)));
    }
    // A refusal before the first token may come with null.
    let content = match fields.shift_remove("content") {
        Some(Value::Array(content)) => content,
        Some(Value::Null) if fields.contains_key("stop_reason") => Vec::new(),
        _ => return Err(malformed("the body has no array of content".into())),
    };
    let usage = match fields.shift_remove("usage") {
        None | Some(Value::Null) => None,
        Some(Value::Object(counts)) => {
            let mut usage = WireUsage::default();
            usage.update(counts);
            Some(usage)
        }
        Some(_) => return Err(malformed("usage is not an object".into())),
    };
    let reason = take_text(&mut fields, "stop_reason");
    let mut response = Response {
        id: take_text(&mut fields, "id").unwrap_or_default(),
        model: take_text(&mut fields, "model").unwrap_or_default(),
        blocks: Vec::with_capacity(content.len()),
        finish_reason: reason.as_deref().map(finish::decode),
        usage: usage.as_ref().map(WireUsage::counts),
        extra: Map::new(),
    };
    for value in content {
        let (before, block) = block(value);
        response.blocks.extend(before);
        response.blocks.push(block);
    }
    fields.retain(|key, value| !value.is_null() && key != "type" && key != "role");
    keep(&mut fields, reason, usage);
    response.extra = fields;
    Ok(response)
}

/// What `extra` keeps of the reason and the usage.
pub(in crate::anthropic) fn keep(
    extra: &mut Map<String, Value>,
    reason: Option<String>,
    usage: Option<WireUsage>,
) {
    if let Some(reason) = reason.filter(|reason| finish::is_finer(reason)) {
        extra.insert("stop_reason".into(), reason.into());
    }
    let rest = usage.map(WireUsage::rest).unwrap_or_default();
    if !rest.is_empty() {
        extra.insert("usage".into(), rest.into());
    }
}

/// A content block that came whole, and before it what it has beyond the payload's fields.
pub(in crate::anthropic) fn block(value: Value) -> (Option<Block>, Block) {
    let Value::Object(mut fields) = value else {
        return (None, Block::Other { dialect: DIALECT.into(), value });
    };
    let kind = fields.get("type").and_then(Value::as_str).unwrap_or_default();
    let block = match kind {
        "text" => {
            let text = take_text(&mut fields, "text").unwrap_or_default();
            Block::Text { text, cache: None, extra: take_citations(&mut fields) }
        }
        "thinking" => Block::Reasoning {
            text: take_text(&mut fields, "thinking").unwrap_or_default(),
            signature: take_text(&mut fields, "signature").filter(|text| !text.is_empty()),
            encrypted: None,
            dialect: Some(DIALECT.into()),
        },
        "redacted_thinking" => Block::Reasoning {
            text: String::new(),
            signature: None,
            encrypted: take_text(&mut fields, "data"),
            dialect: Some(DIALECT.into()),
        },
        "tool_use" => {
            let input = fields.shift_remove("input").filter(|input| !input.is_null());
            Block::ToolCall {
                id: take_text(&mut fields, "id").unwrap_or_default(),
                name: take_text(&mut fields, "name").unwrap_or_default(),
                arguments: input.map_or_else(|| "{}".into(), |input| input.to_string()),
                cache: None,
            }
        }
        _ => {
            let value = Value::Object(fields);
            return (None, Block::Other { dialect: DIALECT.into(), value });
        }
    };
    fields.shift_remove("type");
    (carrier(fields), block)
}

/// The citations of a text, as the fields of its block.
pub(in crate::anthropic) fn take_citations(fields: &mut Map<String, Value>) -> Map<String, Value> {
    let citations = fields.shift_remove("citations").filter(|list| !is_nothing(list));
    citations.into_iter().map(|citations| ("citations".to_owned(), citations)).collect()
}

/// No citation: Anthropic begins a text that may get some with an empty list.
pub(in crate::anthropic) fn is_nothing(list: &Value) -> bool {
    list.is_null() || list.as_array().is_some_and(Vec::is_empty)
}

fn malformed(message: String) -> CallError {
    CallError::new(CallErrorKind::MalformedResponse, message)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::anthropic::FIELDS;
    use crate::chat::{FinishReason, Usage};
    use serde_json::json;

    #[test]
    fn every_block_of_a_message_finds_its_place() {
        let body = json!({
            "id": "msg", "type": "message", "role": "assistant", "model": "claude",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "sig"},
                {"type": "redacted_thinking", "data": "enc"},
                {"type": "text", "text": "hi", "citations": [{"url": "u"}]},
                {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}, "caller": {"type": "direct"}},
                {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
            ],
            "stop_reason": "tool_use", "stop_sequence": null, "container": {"id": "c"},
            "usage": {"input_tokens": 5, "service_tier": "standard", "cache_read_input_tokens": 7,
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
        assert_eq!(
            Value::from(response.extra),
            json!({"container": {"id": "c"}, "usage": {"service_tier": "standard"}})
        );
        let citations = json!({"citations": [{"url": "u"}]}).as_object().unwrap().clone();
        let server_tool =
            json!({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}});
        assert_eq!(
            response.blocks,
            vec![
                Block::Reasoning {
                    text: "hm".into(),
                    signature: Some("sig".into()),
                    encrypted: None,
                    dialect: Some(DIALECT.into()),
                },
                Block::Reasoning {
                    text: String::new(),
                    signature: None,
                    encrypted: Some("enc".into()),
                    dialect: Some(DIALECT.into()),
                },
                Block::Text { text: "hi".into(), cache: None, extra: citations },
                Block::Other {
                    dialect: FIELDS.into(),
                    value: json!({"caller": {"type": "direct"}})
                },
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
