//! How much reasoning a word or a number of tokens stands for.
//!
//! Providers take one or the other. The scale is ours, as none is standardised: a step is
//! about fourfold at the low end and twofold at the high end, and 1,024 is the least that
//! Anthropic accepts.

use crate::chat::Reasoning;

/// Words in rising order, with the tokens that each may spend.
const SCALE: [(&str, u64); 6] = [
    ("minimal", 1_024),
    ("low", 2_048),
    ("medium", 8_192),
    ("high", 16_384),
    ("xhigh", 32_768),
    ("max", 32_768),
];

/// Tokens for a word; an unknown word counts as `medium`.
pub fn budget(effort: &str) -> u64 {
    if effort == "none" {
        return 0;
    }
    SCALE.iter().find(|(word, _)| *word == effort).map_or(8_192, |(_, tokens)| *tokens)
}

/// The weakest of `low`, `medium` and `high` that may spend so many tokens; `none` for 0.
pub fn word(budget: u64) -> &'static str {
    match budget {
        0 => "none",
        1..=2_048 => "low",
        2_049..=8_192 => "medium",
        _ => "high",
    }
}

/// Reasoning is asked to be off.
pub fn is_off(reasoning: &Reasoning) -> bool {
    reasoning.effort.as_deref() == Some("none") || reasoning.budget_tokens == Some(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_words_survive_the_way_through_tokens() {
        for effort in ["none", "low", "medium", "high"] {
            assert_eq!(word(budget(effort)), effort);
        }
    }
}
