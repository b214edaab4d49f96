//! Why an answer ended, in OpenAI's words and in ours.

use crate::chat::FinishReason;

/// Also takes the words of `function_call` times and of Mistral. Empty is no reason yet.
pub(super) fn decode(reason: &str) -> Option<FinishReason> {
    Some(match reason {
        "" => return None,
        "stop" => FinishReason::Stop,
        "length" | "model_length" => FinishReason::Length,
        "tool_calls" | "function_call" => FinishReason::ToolCalls,
        "content_filter" => FinishReason::ContentFilter,
        "refusal" => FinishReason::Refusal,
        other => FinishReason::Other(other.into()),
    })
}

/// OpenAI has no word for a refusal by the provider's safety system but `content_filter`.
/// Reasons of a provider's own pass as they are.
pub(super) fn encode(reason: &FinishReason) -> &str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::ContentFilter | FinishReason::Refusal => "content_filter",
        FinishReason::Other(reason) => reason,
    }
}
