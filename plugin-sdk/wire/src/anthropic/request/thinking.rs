//! How a wish for reasoning is put to a model, which depends on the model's age.
//!
//! Until Claude 4.5 a model takes `thinking: {type: enabled, budget_tokens}`, below
//! `max_tokens` and at least 1,024. From 4.6 on it takes `{type: adaptive}` with
//! `output_config.effort`; 4.6 still takes a budget, 4.7 refuses it. A name without a
//! version is taken for a new model. Words and budgets translate as in `effort.rs`:
//! minimal 1,024, low 2,048, medium 8,192, high 16,384, xhigh and max 32,768 tokens.

use serde::Serialize;

use crate::chat::Reasoning;
use crate::effort;

/// `max_tokens` where the request sets none: enough for an answer of some pages, and what
/// every model allows. Reasoning comes on top.
pub(super) const DEFAULT_MAX_TOKENS: u64 = 4_096;
/// The least that Anthropic takes.
const LEAST_BUDGET: u64 = 1_024;

/// `thinking`.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Thinking {
    Disabled,
    Enabled {
        budget_tokens: u64,
    },
    Adaptive {
        /// From 4.7 on the text is left out unless it is asked for.
        #[serde(skip_serializing_if = "Option::is_none")]
        display: Option<&'static str>,
    },
}

/// What follows from a wish for reasoning.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan<'a> {
    pub(super) max_tokens: u64,
    pub(super) thinking: Option<Thinking>,
    /// `output_config.effort`.
    pub(super) effort: Option<&'a str>,
}

impl Plan<'_> {
    /// The model will think, so that Anthropic refuses other sampling.
    pub(super) fn thinks(&self) -> bool {
        !matches!(self.thinking, None | Some(Thinking::Disabled))
    }
}

/// `limit` is the request's own, which holds: the budget gives way to it.
pub(super) fn plan<'a>(
    reasoning: Option<&'a Reasoning>,
    limit: Option<u64>,
    model: &str,
) -> Plan<'a> {
    let max_tokens = limit.unwrap_or(DEFAULT_MAX_TOKENS);
    let none = Plan { max_tokens, thinking: None, effort: None };
    let Some(reasoning) = reasoning else {
        return none;
    };
    if effort::is_off(reasoning) {
        return Plan { thinking: Some(Thinking::Disabled), ..none };
    }
    let effort = reasoning.effort.as_deref();
    let Some(budget) = reasoning.budget_tokens.or(effort.map(effort::budget)) else {
        return none;
    };
    let budget = budget.max(LEAST_BUDGET);
    let version = version(model);
    let takes_effort = version.is_none_or(|version| version >= (4, 6));
    let takes_budget = version.is_some_and(|version| version <= (4, 6));
    if takes_effort && (effort.is_some() || !takes_budget) {
        let display = version.is_none_or(|version| version > (4, 6)).then_some("summarized");
        return Plan {
            max_tokens: limit.unwrap_or(DEFAULT_MAX_TOKENS.saturating_add(budget)),
            thinking: Some(Thinking::Adaptive { display }),
            effort: Some(
                effort.map_or_else(|| effort::word(budget), |word| word_for(word, version)),
            ),
        };
    }
    match limit {
        None => Plan {
            max_tokens: DEFAULT_MAX_TOKENS.saturating_add(budget),
            thinking: Some(Thinking::Enabled { budget_tokens: budget }),
            effort: None,
        },
        // No room for the least of reasoning beside an answer.
        Some(limit) if limit <= LEAST_BUDGET => none,
        Some(limit) => {
            // A fifth at least is left for the answer.
            let budget_tokens = budget.min(limit - limit / 5).clamp(LEAST_BUDGET, limit - 1);
            Plan {
                max_tokens: limit,
                thinking: Some(Thinking::Enabled { budget_tokens }),
                effort: None,
            }
        }
    }
}

/// Anthropic knows `low` to `high`, `max`, and from 4.7 on `xhigh`.
fn word_for(word: &str, version: Option<(u32, u32)>) -> &str {
    match word {
        "minimal" => "low",
        "xhigh" if version == Some((4, 6)) => "max",
        word => word,
    }
}

/// Of a name such as `claude-opus-4-7-20260416`, `claude-3-7-sonnet-latest`,
/// `anthropic.claude-sonnet-5-v1:0` or `claude-opus-4.6`. A number of more than two digits
/// is a date.
fn version(model: &str) -> Option<(u32, u32)> {
    let rest = model.split_once("claude-").map(|(_, rest)| rest)?;
    let mut numbers = rest
        .split(['-', '.', '@', ':'])
        .skip_while(|piece| !is_version(piece))
        .take_while(|piece| is_version(piece))
        .filter_map(|piece| piece.parse().ok());
    let major = numbers.next()?;
    Some((major, numbers.next().unwrap_or(0)))
}

fn is_version(piece: &str) -> bool {
    matches!(piece.len(), 1 | 2) && piece.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effort(word: &str) -> Option<Reasoning> {
        Some(Reasoning { effort: Some(word.into()), budget_tokens: None })
    }

    fn budget(tokens: u64) -> Option<Reasoning> {
        Some(Reasoning { effort: None, budget_tokens: Some(tokens) })
    }

    #[test]
    fn versions_are_read_from_names() {
        assert_eq!(version("claude-opus-4-7-20260416"), Some((4, 7)));
        assert_eq!(version("claude-sonnet-4-20250514"), Some((4, 0)));
        assert_eq!(version("claude-3-7-sonnet-latest"), Some((3, 7)));
        assert_eq!(version("us.anthropic.claude-sonnet-4-5-20250929-v1:0"), Some((4, 5)));
        assert_eq!(version("claude-opus-5"), Some((5, 0)));
        assert_eq!(version("claude-mythos-preview"), None);
    }

    #[test]
    fn old_models_get_a_budget_below_max_tokens() {
        let wish = effort("medium");
        let plan = plan(wish.as_ref(), None, "claude-sonnet-4-5");
        assert_eq!(plan.thinking, Some(Thinking::Enabled { budget_tokens: 8_192 }));
        assert_eq!((plan.max_tokens, plan.effort), (8_192 + DEFAULT_MAX_TOKENS, None));
    }

    #[test]
    fn new_models_get_adaptive_thinking_with_an_effort() {
        let (wish, tokens) = (effort("minimal"), budget(5_000));
        let by_word = plan(wish.as_ref(), Some(100), "claude-opus-4-8");
        assert_eq!(by_word.thinking, Some(Thinking::Adaptive { display: Some("summarized") }));
        assert_eq!((by_word.effort, by_word.max_tokens), (Some("low"), 100));
        let by_budget = plan(tokens.as_ref(), None, "claude-fable-5");
        assert_eq!(by_budget.effort, Some("medium"));
        let between = plan(tokens.as_ref(), None, "claude-opus-4-6");
        assert_eq!(between.thinking, Some(Thinking::Enabled { budget_tokens: 5_000 }));
    }

    #[test]
    fn own_limit_of_the_request_holds() {
        let wish = budget(30_000);
        let plan_for = |limit| plan(wish.as_ref(), Some(limit), "claude-sonnet-4-5");
        assert_eq!(plan_for(10_000).thinking, Some(Thinking::Enabled { budget_tokens: 8_000 }));
        assert_eq!(plan_for(10_000).max_tokens, 10_000);
        assert_eq!(plan_for(1_025).thinking, Some(Thinking::Enabled { budget_tokens: 1_024 }));
        assert_eq!(plan_for(1_024).thinking, None);
    }

    #[test]
    fn reasoning_switched_off_is_said_so() {
        for wish in [effort("none"), budget(0)] {
            let plan = plan(wish.as_ref(), None, "claude-opus-5");
            assert_eq!(plan.thinking, Some(Thinking::Disabled));
            assert!(!plan.thinks());
        }
    }
}
