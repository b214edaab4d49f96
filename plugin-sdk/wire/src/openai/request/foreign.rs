//! Top-level parameters in `extra` that are not this dialect's.
//!
//! `extra` keeps a client's keys under the names of its own dialect, without saying which
//! that is. A key that only another dialect defines would be refused by strict servers and
//! mean something else to lax ones: it is left out and named. Keys that nobody defines pass,
//! as this dialect's clients reach a server's own parameters that way.

use serde_json::Value;

/// Anthropic Messages.
const ANTHROPIC: &[&str] = &[
    "betas",
    "container",
    "context_management",
    "fallbacks",
    "inference_geo",
    "mcp_servers",
    "output_config",
    "speed",
    "thinking",
];
/// OpenAI Responses.
const RESPONSES: &[&str] = &[
    "background",
    "conversation",
    "include",
    "input",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "previous_response_id",
    "prompt",
    "text",
    "truncation",
];
/// OpenAI's older completions.
const COMPLETIONS: &[&str] = &["best_of", "echo", "suffix"];
/// Gemini.
const GEMINI: &[&str] = &["cachedContent", "generationConfig", "safetySettings"];

/// This dialect does not have the parameter, or not with that value.
pub(super) fn is_foreign(key: &str, value: &Value) -> bool {
    match key {
        // The payload holds one answer: more would be paid for and thrown away.
        "n" => value.as_u64() != Some(1),
        // Anthropic's word; the others are OpenAI's.
        "service_tier" => value == "standard_only",
        _ => [ANTHROPIC, RESPONSES, COMPLETIONS, GEMINI].iter().any(|keys| keys.contains(&key)),
    }
}
