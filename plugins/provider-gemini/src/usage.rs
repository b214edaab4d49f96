//! `usageMetadata` to token counts.
//!
//! Google counts thoughts beside the candidates and the prompts of its own tools beside the
//! prompt; here both are part of the whole. Counts that are missing or no counts are 0.

use serde_json::{Map, Value};
use torana_plugin_sdk::Usage;

/// Nothing if there is no count in it: the first chunks of a Vertex stream name only the
/// kind of traffic.
pub(crate) fn decode(metadata: &Map<String, Value>) -> Option<Usage> {
    let count = |key: &str| metadata.get(key).and_then(Value::as_u64).unwrap_or(0);
    let (prompt, candidates) = (count("promptTokenCount"), count("candidatesTokenCount"));
    let (thoughts, total) = (count("thoughtsTokenCount"), count("totalTokenCount"));
    let input = prompt.saturating_add(count("toolUsePromptTokenCount"));
    // Gemma's candidates include the thoughts already: the total tells.
    let within = thoughts > 0 && total == input.saturating_add(candidates);
    let output = if within { candidates } else { candidates.saturating_add(thoughts) };
    let audio = ["promptTokensDetails", "toolUsePromptTokensDetails", "candidatesTokensDetails"]
        .iter()
        .map(|key| audio_tokens(metadata.get(*key)))
        .fold(0, u64::saturating_add);
    (input > 0 || output > 0).then_some(Usage {
        input,
        output,
        cached_input: count("cachedContentTokenCount"),
        reasoning: thoughts,
        audio,
        ..Usage::default()
    })
}

fn audio_tokens(details: Option<&Value>) -> u64 {
    let details = details.and_then(Value::as_array);
    details
        .into_iter()
        .flatten()
        .filter(|detail| detail.get("modality").is_some_and(|modality| modality == "AUDIO"))
        .filter_map(|detail| detail.get("tokenCount").and_then(Value::as_u64))
        .fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    fn decoded(metadata: Value) -> Option<Usage> {
        decode(metadata.as_object().unwrap())
    }

    #[test]
    fn thoughts_and_prompts_of_tools_are_part_of_the_totals() {
        let usage = decoded(json!({
            "promptTokenCount": 55, "candidatesTokenCount": 51, "totalTokenCount": 251,
            "toolUsePromptTokenCount": 89, "thoughtsTokenCount": 56, "cachedContentTokenCount": 20,
            "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 7}, {"modality": "TEXT"}],
        }));
        let expected = Usage {
            input: 144,
            output: 107,
            cached_input: 20,
            reasoning: 56,
            audio: 7,
            ..Usage::default()
        };
        assert_eq!(usage, Some(expected));
    }

    #[test]
    fn thoughts_that_the_candidates_include_are_not_counted_twice() {
        let usage = decoded(json!({"promptTokenCount": 10, "candidatesTokenCount": 30,
            "thoughtsTokenCount": 20, "totalTokenCount": 40}));
        assert_eq!(usage.map(|usage| (usage.output, usage.reasoning)), Some((30, 20)));
    }

    #[test]
    fn metadata_without_counts_is_no_usage() {
        assert_eq!(decoded(json!({"trafficType": "ON_DEMAND"})), None);
        assert_eq!(decoded(json!({"promptTokenCount": null, "totalTokenCount": "7"})), None);
    }
}
