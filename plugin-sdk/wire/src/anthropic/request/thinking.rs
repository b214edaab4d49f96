//! How a wish for reasoning is put to a model, and how a client puts it.
//!
//! A model takes `thinking: {type: enabled, budget_tokens}`, below `max_tokens` and at least
//! 1,024, or `{type: adaptive}` with `output_config.effort`: see [`Model`]. Words and budgets
//! translate as in `effort.rs`: minimal 1,024, low 2,048, medium 8,192, high 16,384, xhigh
//! and max 32,768 tokens. A wish with neither leaves the amount to the model.

use serde::Serialize;

use super::model::Model;
use crate::chat::Reasoning;
use crate::effort;

/// `max_tokens` where the request sets none: enough for an answer of some pages, and what
/// every model allows. Reasoning comes on top.
pub(super) const DEFAULT_MAX_TOKENS: u64 = 4_096;
/// The least that Anthropic takes.
const LEAST_BUDGET: u64 = 1_024;
/// For a model that takes only a budget, where the wish names no amount.
const DEFAULT_EFFORT: &str = "medium";

/// `thinking`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Thinking {
    Disabled,
    Enabled {
        budget_tokens: u64,
    },
    Adaptive {
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
    /// The wish could not be followed.
    pub(super) dropped: bool,
}

impl Plan<'_> {
    /// The model will think, so that Anthropic refuses other sampling.
    pub(super) fn thinks(&self) -> bool {
        !matches!(self.thinking, None | Some(Thinking::Disabled))
    }

    /// The same request without thinking.
    pub(super) fn give_up(&mut self, limit: Option<u64>) {
        self.max_tokens = limit.unwrap_or(DEFAULT_MAX_TOKENS);
        self.thinking = None;
        self.effort = None;
        self.dropped = true;
    }
}

/// `limit` is the request's own, which holds: the budget gives way to it.
pub(super) fn plan<'a>(
    reasoning: Option<&'a Reasoning>,
    limit: Option<u64>,
    model: Model,
) -> Plan<'a> {
    let max_tokens = limit.unwrap_or(DEFAULT_MAX_TOKENS);
    let none = Plan { max_tokens, thinking: None, effort: None, dropped: false };
    let Some(reasoning) = reasoning else {
        return none;
    };
    let off = effort::is_off(reasoning);
    if !model.thinks() {
        return Plan { dropped: !off, ..none };
    }
    let word = reasoning.effort.as_deref().filter(|word| *word != "none");
    let effort = word.filter(|_| model.takes_effort()).map(|word| word_for(word, model));
    if off {
        return Plan { thinking: Some(Thinking::Disabled), effort, ..none };
    }
    let budget = reasoning.budget_tokens;
    if model.takes_effort() && (budget.is_none() || !model.takes_budget()) {
        let tokens = budget.unwrap_or_else(|| effort::budget(word.unwrap_or(DEFAULT_EFFORT)));
        let display = model.hides_thinking().then_some("summarized");
        return Plan {
            max_tokens: limit.unwrap_or(DEFAULT_MAX_TOKENS.saturating_add(tokens)),
            thinking: Some(Thinking::Adaptive { display }),
            effort: effort.or_else(|| budget.map(effort::word)),
            ..none
        };
    }
    let wanted = budget.unwrap_or_else(|| effort::budget(word.unwrap_or(DEFAULT_EFFORT)));
    match (fit(wanted.max(LEAST_BUDGET), budget.is_some(), limit), limit) {
        (Some(budget_tokens), limit) => Plan {
            max_tokens: limit.unwrap_or(DEFAULT_MAX_TOKENS.saturating_add(budget_tokens)),
            thinking: Some(Thinking::Enabled { budget_tokens }),
            effort,
            ..none
        },
        (None, _) => Plan { dropped: true, ..none },
    }
}

/// The budget that leaves room for an answer: what the request itself names as long as it is
/// allowed, else a fifth at least. Nothing where there is no room for the least of reasoning.
fn fit(budget: u64, is_named: bool, limit: Option<u64>) -> Option<u64> {
    match limit {
        None => Some(budget),
        Some(limit) if limit <= LEAST_BUDGET => None,
        Some(limit) if is_named && budget < limit => Some(budget),
        Some(limit) => Some(budget.min(limit - limit / 5).clamp(LEAST_BUDGET, limit - 1)),
    }
}

/// Anthropic knows `low` to `high`, `max`, and from 4.7 on `xhigh`.
fn word_for(word: &str, model: Model) -> &str {
    match word {
        "minimal" => "low",
        "xhigh" if !model.takes_xhigh() => "max",
        word => word,
    }
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

    fn plan<'a>(reasoning: Option<&'a Reasoning>, limit: Option<u64>, name: &str) -> Plan<'a> {
        super::plan(reasoning, limit, Model::of(name))
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
        assert!(plan_for(1_024).dropped);
        assert_eq!(plan_for(30_001).thinking, Some(Thinking::Enabled { budget_tokens: 30_000 }));
    }

    #[test]
    fn reasoning_switched_off_is_said_so() {
        for wish in [effort("none"), budget(0)] {
            let plan = plan(wish.as_ref(), None, "claude-opus-5");
            assert_eq!(plan.thinking, Some(Thinking::Disabled));
            assert!(!plan.thinks());
        }
    }

    #[test]
    fn wish_without_an_amount_leaves_it_to_the_model() {
        let wish = Some(Reasoning::default());
        let new = plan(wish.as_ref(), Some(9_000), "claude-opus-4-6");
        assert_eq!(new.thinking, Some(Thinking::Adaptive { display: None }));
        assert_eq!((new.effort, new.max_tokens), (None, 9_000));
        let old = plan(wish.as_ref(), None, "claude-sonnet-4-5");
        assert_eq!(old.thinking, Some(Thinking::Enabled { budget_tokens: 8_192 }));
    }

    #[test]
    fn model_that_cannot_think_is_not_asked_to() {
        let (on, off) = (effort("high"), effort("none"));
        let on = plan(on.as_ref(), None, "claude-3-5-haiku-latest");
        assert_eq!((on.thinking, on.dropped), (None, true));
        let off = plan(off.as_ref(), None, "claude-3-5-haiku-latest");
        assert_eq!((off.thinking, off.dropped), (None, false));
    }
}
