//! `thinkingConfig`: how long a model is to think, and that its thoughts are to be shown.
//!
//! The payload has words and tokens, Gemini has tokens (2.5) or levels (3 and later). The
//! scale between them is the one that the codecs of the gateway share. A wish that the model
//! cannot follow, such as not to think at all, is named as left out while the nearest is asked.

use serde::Serialize;
use torana_plugin_sdk::chat::Reasoning;
use torana_plugin_sdk::wire::effort;

use crate::model::{Model, Thinking};

/// `generationConfig.thinkingConfig`. Only one of budget and level may be set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ThinkingConfig {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    include_thoughts: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_budget: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_level: Option<&'static str>,
}

/// What is sent, and whether the wish is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) config: Option<ThinkingConfig>,
    pub(crate) is_followed: bool,
}

pub(crate) fn plan(reasoning: &Reasoning, model: Model<'_>) -> Plan {
    let tokens = reasoning.budget_tokens.or(reasoning.effort.as_deref().map(effort::budget));
    let off = tokens == Some(0);
    let config = |budget, level| ThinkingConfig {
        include_thoughts: !off,
        thinking_budget: budget,
        thinking_level: level,
    };
    let (config, is_followed) = match (model.thinking(), tokens) {
        (Thinking::Never, _) => (None, off),
        (Thinking::Fixed, tokens) => (Some(config(None, None)), tokens.is_none()),
        (_, None) => (Some(config(None, None)), true),
        (Thinking::Budget { least, can_be_off, .. }, Some(0)) => {
            (Some(config(Some(if can_be_off { 0 } else { least }), None)), can_be_off)
        }
        (Thinking::Budget { least, most, .. }, Some(tokens)) => {
            (Some(config(Some(tokens.clamp(least, most)), None)), true)
        }
        // `MINIMAL` is as near to off as these models come.
        (Thinking::Level { minimal, medium }, Some(tokens)) => {
            (Some(config(None, Some(level(tokens, minimal, medium)))), !off || minimal)
        }
    };
    // Nothing in it to say.
    let config = config.filter(|config| *config != ThinkingConfig::default());
    Plan { config, is_followed }
}

/// The level that a number of tokens comes near to, among those that the model has.
fn level(tokens: u64, minimal: bool, medium: bool) -> &'static str {
    match tokens {
        0..=1_024 if minimal => "MINIMAL",
        0..=2_048 => "LOW",
        2_049..=8_192 if medium => "MEDIUM",
        _ => "HIGH",
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use serde_json::{Value, json};

    use super::*;

    fn by_word(effort: &str, model: &str) -> (Value, bool) {
        let effort = Some(effort.to_owned());
        planned(Reasoning { effort, budget_tokens: None }, model)
    }

    fn by_tokens(tokens: u64, model: &str) -> (Value, bool) {
        planned(Reasoning { effort: None, budget_tokens: Some(tokens) }, model)
    }

    fn planned(reasoning: Reasoning, model: &str) -> (Value, bool) {
        let plan = plan(&reasoning, Model::of(model));
        (serde_json::to_value(plan.config).unwrap(), plan.is_followed)
    }

    #[test]
    fn third_generation_gets_levels() {
        let level = |level: &str| (json!({"includeThoughts": true, "thinkingLevel": level}), true);
        assert_eq!(by_word("minimal", "gemini-3-flash-preview"), level("MINIMAL"));
        assert_eq!(by_word("minimal", "gemini-3.8-flash"), level("LOW"));
        assert_eq!(by_word("medium", "gemini-3.1-pro-preview"), level("MEDIUM"));
        assert_eq!(by_word("medium", "gemini-3-pro-preview"), level("HIGH"));
        assert_eq!(by_word("max", "gemini-3.8-flash"), level("HIGH"));
        assert_eq!(by_tokens(5_000, "gemini-3.8-flash"), level("MEDIUM"));
    }

    #[test]
    fn second_generation_gets_tokens_within_its_bounds() {
        let budget =
            |tokens: u64| (json!({"includeThoughts": true, "thinkingBudget": tokens}), true);
        assert_eq!(by_word("low", "gemini-2.5-flash"), budget(2_048));
        assert_eq!(by_tokens(50_000, "gemini-2.5-flash"), budget(24_576));
        assert_eq!(by_tokens(50_000, "gemini-2.5-pro"), budget(32_768));
        assert_eq!(by_tokens(1, "gemini-2.5-flash-lite"), budget(512));
    }

    #[test]
    fn thinking_that_cannot_be_switched_off_is_reported() {
        let off = |model| by_word("none", model);
        assert_eq!(off("gemini-2.5-flash"), (json!({"thinkingBudget": 0}), true));
        assert_eq!(off("gemini-2.5-pro"), (json!({"thinkingBudget": 128}), false));
        assert_eq!(off("gemini-3.8-flash"), (json!({"thinkingLevel": "LOW"}), false));
        assert_eq!(off("gemini-3-flash-preview"), (json!({"thinkingLevel": "MINIMAL"}), true));
        assert_eq!(off("gemini-2.0-flash"), (Value::Null, true));
    }

    #[test]
    fn model_that_does_not_think_gets_no_configuration() {
        assert_eq!(by_word("high", "gemini-2.0-flash"), (Value::Null, false));
        let thoughts = json!({"includeThoughts": true});
        assert_eq!(by_word("high", "gemini-3-pro-image-preview"), (thoughts, false));
    }
}
