//! Why an answer ended, in Cohere's words.
//!
//! `ERROR` and `TIMEOUT` say that it did not end: they are failures, whatever came before.

use torana_plugin_sdk::chat::FinishReason;
use torana_plugin_sdk::{CallError, CallErrorKind};

/// # Errors
///
/// The failure that `reason` stands for; `words` are the provider's, if it gave any.
pub(crate) fn decode(reason: &str, words: Option<&str>) -> Result<FinishReason, CallError> {
    let failed = |kind, message: &str| {
        let error = CallError::new(kind, words.unwrap_or(message));
        Err(CallError { provider_code: Some(reason.into()), ..error })
    };
    Ok(match reason {
        "COMPLETE" | "STOP_SEQUENCE" => FinishReason::Stop,
        "MAX_TOKENS" | "ERROR_LIMIT" => FinishReason::Length,
        "TOOL_CALL" => FinishReason::ToolCalls,
        "ERROR_TOXIC" => FinishReason::ContentFilter,
        "ERROR" => return failed(CallErrorKind::Server, "the provider could not finish"),
        "TIMEOUT" => return failed(CallErrorKind::Timeout, "the provider ran out of time"),
        other => FinishReason::Other(other.into()),
    })
}
