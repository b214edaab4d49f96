//! Why an answer ended, in Converse's words (`StopReason`).
//!
//! `malformed_model_output` and `malformed_tool_use` stay as they are: the answer ended, but
//! not well, and no reason of ours says that.

use torana_plugin_sdk::chat::FinishReason;

pub(crate) fn decode(reason: &str) -> FinishReason {
    match reason {
        "end_turn" | "stop_sequence" => FinishReason::Stop,
        "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
        "tool_use" => FinishReason::ToolCalls,
        "guardrail_intervened" | "content_filtered" => FinishReason::ContentFilter,
        "refusal" => FinishReason::Refusal,
        other => FinishReason::Other(other.into()),
    }
}
