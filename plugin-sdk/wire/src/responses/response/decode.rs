//! A provider's whole answer to a response.

use serde_json::{Map, Value};

use super::super::failure::{self, malformed};
use super::super::usage;
use super::output;
use crate::chat::{Block, FinishReason, Response};
use crate::error::{CallError, CallErrorKind};

/// What a response repeats of its request, or says of itself in other words here.
const REPEATED: [&str; 36] = [
    "background",
    "completed_at",
    "created_at",
    "error",
    "frequency_penalty",
    "id",
    "incomplete_details",
    "input",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "model",
    "object",
    "output",
    "output_text",
    "parallel_tool_calls",
    "presence_penalty",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "status",
    "store",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "usage",
    "user",
];

/// The response that a provider's body means.
///
/// # Errors
/// `MalformedResponse` for a body that is no response; the reported failure for a response
/// that failed or was cancelled.
pub fn decode(body: &[u8]) -> Result<Response, CallError> {
    let mut fields: Map<String, Value> = serde_json::from_slice(body)
        .map_err(|error| malformed(format!("the body is not a JSON object: {error}")))?;
    if let Some(error) = fields.get("error").filter(|error| !error.is_null()) {
        return Err(failure::decode(error));
    }
    match fields.get("status").and_then(Value::as_str) {
        Some("failed") => return Err(failure::decode(&Value::Null)),
        Some("cancelled") => {
            let message = "the provider cancelled the response";
            return Err(CallError::new(CallErrorKind::Server, message));
        }
        _ => {}
    }
    let Some(Value::Array(items)) = fields.shift_remove("output") else {
        return Err(malformed("the body has no array of output"));
    };
    let mut blocks = Vec::new();
    for item in items {
        output::item(item, &mut blocks);
    }
    let text = |key: &str| fields.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(Response {
        id: text("id"),
        model: text("model"),
        finish_reason: Some(finish_reason(&fields, has_calls(&blocks))),
        usage: fields.get("usage").and_then(usage::decode),
        extra: extra(fields),
        blocks,
    })
}

/// Why an answer of these fields ended. One that runs in the background has not ended: its
/// status is the reason then.
pub(in crate::responses) fn finish_reason(
    fields: &Map<String, Value>,
    has_calls: bool,
) -> FinishReason {
    match fields.get("status").and_then(Value::as_str) {
        Some("incomplete") => {
            let details = fields.get("incomplete_details");
            let reason = details.and_then(|details| details.get("reason")).and_then(Value::as_str);
            match reason {
                Some("max_output_tokens" | "max_tokens") => FinishReason::Length,
                Some("content_filter") => FinishReason::ContentFilter,
                reason => FinishReason::Other(reason.unwrap_or("incomplete").to_owned()),
            }
        }
        Some(status @ ("queued" | "in_progress")) => FinishReason::Other(status.to_owned()),
        _ if has_calls => FinishReason::ToolCalls,
        _ => FinishReason::Stop,
    }
}

/// Top-level fields that the answer alone has.
pub(in crate::responses) fn extra(mut fields: Map<String, Value>) -> Map<String, Value> {
    fields.retain(|key, value| !value.is_null() && !REPEATED.contains(&key.as_str()));
    fields
}

fn has_calls(blocks: &[Block]) -> bool {
    blocks.iter().any(|block| matches!(block, Block::ToolCall { .. }))
}
