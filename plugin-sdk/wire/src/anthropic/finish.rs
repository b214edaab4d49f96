//! Why an answer ended, in Anthropic's words and in ours.

use crate::chat::FinishReason;

pub(super) fn decode(reason: &str) -> FinishReason {
    match reason {
        "end_turn" | "stop_sequence" => FinishReason::Stop,
        "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
        "tool_use" => FinishReason::ToolCalls,
        "refusal" => FinishReason::Refusal,
        other => FinishReason::Other(other.into()),
    }
}

/// Anthropic has one word for the model's refusal and for the provider's filter. Reasons of a
/// provider's own pass as they are, as do Anthropic's `pause_turn` and `compaction`.
pub(super) fn encode(reason: &FinishReason) -> &str {
    match reason {
        FinishReason::Stop => "end_turn",
        FinishReason::Length => "max_tokens",
        FinishReason::ToolCalls => "tool_use",
        FinishReason::ContentFilter | FinishReason::Refusal => "refusal",
        FinishReason::Other(reason) => reason,
    }
}

/// The word says more than our reason: it is kept in the response's `extra.stop_reason`.
pub(super) fn is_finer(reason: &str) -> bool {
    reason != encode(&decode(reason))
}

/// The finer word where one was kept and still fits.
pub(super) fn word<'a>(reason: &'a FinishReason, kept: Option<&'a str>) -> &'a str {
    kept.filter(|kept| decode(kept) == *reason).unwrap_or_else(|| encode(reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_anthropic_survives() {
        let words = [
            "end_turn",
            "max_tokens",
            "stop_sequence",
            "tool_use",
            "pause_turn",
            "compaction",
            "refusal",
            "model_context_window_exceeded",
        ];
        for original in words {
            let reason = decode(original);
            let kept = is_finer(original).then_some(original);
            assert_eq!(word(&reason, kept), original);
        }
        assert_eq!(word(&FinishReason::Length, Some("stop_sequence")), "max_tokens");
    }
}
