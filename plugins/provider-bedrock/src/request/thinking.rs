//! How a wish for reasoning is put to a model, which is each maker's own affair.
//!
//! Claude up to 4.5 takes `thinking: {type: enabled, budget_tokens}`; 4.6 takes that too, and
//! like its successors, which refuse a budget, `{type: adaptive}` with an effort. Nova 2 takes
//! `reasoningConfig`, gpt-oss `reasoning_effort`. Of any other model nothing is known: the wish
//! is left out and named. Words and budgets translate as everywhere in Torana: see
//! [`effort`].

use serde_json::{Map, Value, json};
use torana_plugin_sdk::chat::{Reasoning, Request, ToolChoice};
use torana_plugin_sdk::wire::effort;

use crate::family::{Family, claude_version};

/// Tokens for the answer beside reasoning, where the request sets no limit.
const ANSWER_TOKENS: u64 = 4_096;
/// The least that Claude takes.
const LEAST_BUDGET: u64 = 1_024;

/// What follows from a wish for reasoning.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    pub(super) max_tokens: Option<u64>,
    /// Of `additionalModelRequestFields`.
    pub(super) fields: Map<String, Value>,
    /// The model thinks, and refuses to be told how to draw tokens.
    pub(super) fixes_sampling: bool,
    /// There was a wish that nothing came of.
    pub(super) left_out: bool,
}

pub(super) fn plan(request: &Request, family: Family, model: &str) -> Plan {
    let limit = request.sampling.max_output_tokens;
    let none = Plan { max_tokens: limit, ..Plan::default() };
    let own = request.extra.contains_key("thinking");
    match &request.reasoning {
        // What the client wrote for Claude itself passes, and says what the model will do.
        _ if own && family == Family::Claude => {
            let kind = request.extra.get("thinking").and_then(|own| own.get("type"));
            Plan { fixes_sampling: kind.is_none_or(|kind| kind != "disabled"), ..none }
        }
        None => none,
        Some(Reasoning { effort: None, budget_tokens: None }) => none,
        Some(wish) => match family {
            Family::Claude => claude(wish, request, claude_version(model), none),
            Family::Nova if model.contains("nova-2") => nova(wish, request, none),
            Family::GptOss => gpt_oss(wish, none),
            _ => Plan { left_out: !effort::is_off(wish), ..none },
        },
    }
}

fn claude(wish: &Reasoning, request: &Request, version: Option<(u32, u32)>, none: Plan) -> Plan {
    let adapts = version.is_none_or(|version| version >= (4, 6));
    if effort::is_off(wish) {
        // Older models think only when they are asked to.
        let fields = match adapts {
            true => Map::from_iter([("thinking".into(), json!({"type": "disabled"}))]),
            false => Map::new(),
        };
        return Plan { fields, ..none };
    }
    // Claude refuses to be forced to a tool and to think at once; the tool is what the client
    // cannot do without.
    let forced =
        matches!(request.tool_choice, Some(ToolChoice::Required | ToolChoice::Tool { .. }));
    if forced || version.is_some_and(|version| version < (3, 7)) {
        return Plan { left_out: true, ..none };
    }
    let effort = wish.effort.as_deref();
    let budget = budget(wish).max(LEAST_BUDGET);
    let takes_budget = version.is_some_and(|version| version <= (4, 6));
    let (thinking, effort) = match adapts && (effort.is_some() || !takes_budget) {
        true => (json!({"type": "adaptive"}), Some(word(effort, budget))),
        false => match budget_beside(none.max_tokens, budget) {
            Some(tokens) => (json!({"type": "enabled", "budget_tokens": tokens}), None),
            None => return Plan { left_out: true, ..none },
        },
    };
    let mut fields = Map::from_iter([("thinking".to_owned(), thinking)]);
    if let Some(effort) = effort {
        fields.insert("output_config".into(), json!({"effort": effort}));
    }
    let max_tokens = none.max_tokens.or(Some(budget.saturating_add(ANSWER_TOKENS)));
    Plan { max_tokens, fields, fixes_sampling: true, left_out: false }
}

/// The budget must stay below the limit, which is the client's: a fifth of it is left for the
/// answer. Absent where there is no room for the least of reasoning.
fn budget_beside(limit: Option<u64>, budget: u64) -> Option<u64> {
    match limit {
        None => Some(budget),
        Some(limit) if limit <= LEAST_BUDGET => None,
        Some(limit) => {
            let most = limit.saturating_sub(limit / 5).min(limit.saturating_sub(1));
            Some(budget.min(most).max(LEAST_BUDGET))
        }
    }
}

/// `high` excludes every other limit and parameter, so that a request which sets one gets
/// `medium`.
fn nova(wish: &Reasoning, request: &Request, none: Plan) -> Plan {
    let config = match effort::is_off(wish) {
        true => json!({"type": "disabled"}),
        false => {
            let sampling = &request.sampling;
            let limited = sampling.max_output_tokens.is_some()
                || sampling.temperature.is_some()
                || sampling.top_p.is_some();
            let effort = match three_words(wish) {
                "high" if limited => "medium",
                effort => effort,
            };
            json!({"type": "enabled", "maxReasoningEffort": effort})
        }
    };
    Plan { fields: Map::from_iter([("reasoningConfig".into(), config)]), ..none }
}

/// Cannot be switched off; `low` is the nearest.
fn gpt_oss(wish: &Reasoning, none: Plan) -> Plan {
    let off = effort::is_off(wish);
    let effort = if off { "low" } else { three_words(wish) };
    let fields = Map::from_iter([("reasoning_effort".into(), effort.into())]);
    Plan { fields, left_out: off, ..none }
}

fn budget(wish: &Reasoning) -> u64 {
    let by_word = || effort::budget(wish.effort.as_deref().unwrap_or("medium"));
    wish.budget_tokens.unwrap_or_else(by_word)
}

/// Claude's words: from `low` to `high`, and `max`.
fn word(effort: Option<&str>, budget: u64) -> &'static str {
    match effort {
        Some("minimal" | "low") => "low",
        Some("medium") => "medium",
        Some("high") => "high",
        Some("xhigh" | "max") => "max",
        _ => effort::word(budget),
    }
}

fn three_words(wish: &Reasoning) -> &'static str {
    match word(wish.effort.as_deref(), budget(wish)) {
        "max" => "high",
        word => word,
    }
}
