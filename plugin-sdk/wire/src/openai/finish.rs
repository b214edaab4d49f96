//! Why an answer ended, in OpenAI's words and in ours.

use crate::chat::FinishReason;
use crate::error::{CallError, CallErrorKind};

/// Reasons that say the answer broke off: OpenRouter's and Mistral's `error`, DeepSeek's
/// `insufficient_system_resource`. Such an answer must not look whole.
pub(crate) fn failure(reason: &str) -> Option<CallError> {
    let kind = match reason {
        "error" => CallErrorKind::Server,
        "insufficient_system_resource" => CallErrorKind::Overloaded,
        _ => return None,
    };
    let mut error = CallError::new(kind, "the provider broke off the answer");
    error.provider_code = Some(reason.to_owned());
    Some(error)
}

/// Also takes the words of `function_call` times, of Mistral (`model_length`), Together (`eos`)
/// and Hugging Face (`eos_token`, `stop_sequence`). Empty is no reason yet.
pub(crate) fn decode(reason: &str) -> Option<FinishReason> {
    Some(match reason {
        "" => return None,
        "stop" | "eos" | "eos_token" | "stop_sequence" => FinishReason::Stop,
        "length" | "model_length" => FinishReason::Length,
        "tool_calls" | "function_call" => FinishReason::ToolCalls,
        "content_filter" => FinishReason::ContentFilter,
        "refusal" => FinishReason::Refusal,
        other => FinishReason::Other(other.into()),
    })
}

/// OpenAI has no word for a refusal by the provider's safety system but `content_filter`.
/// Reasons of a provider's own pass as they are.
pub(crate) fn encode(reason: &FinishReason) -> &str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::ContentFilter | FinishReason::Refusal => "content_filter",
        FinishReason::Other(reason) => reason,
    }
}
