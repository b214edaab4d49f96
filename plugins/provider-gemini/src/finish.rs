//! Why an answer ended, from Google's words to ours.
//!
//! Reasons without a counterpart keep Google's word in lower case.

use torana_plugin_sdk::chat::FinishReason;

/// `has_calls`: the answer holds a tool call. Google says `STOP` then too.
pub(crate) fn decode(word: &str, has_calls: bool) -> FinishReason {
    match word {
        "STOP" if has_calls => FinishReason::ToolCalls,
        "STOP" => FinishReason::Stop,
        "MAX_TOKENS" => FinishReason::Length,
        "SAFETY"
        | "RECITATION"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "MODEL_ARMOR"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION" => FinishReason::ContentFilter,
        other => FinishReason::Other(other.to_ascii_lowercase()),
    }
}

/// The model wrote something that Google itself could not read.
pub(crate) fn is_unreadable(word: &str) -> bool {
    matches!(
        word,
        "MALFORMED_FUNCTION_CALL"
            | "MALFORMED_RESPONSE"
            | "UNEXPECTED_TOOL_CALL"
            | "TOO_MANY_TOOL_CALLS"
            | "MISSING_THOUGHT_SIGNATURE"
    )
}
