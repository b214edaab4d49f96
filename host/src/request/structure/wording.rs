//! What the gateway says to a model, in the operator's stead: short, and the same every time,
//! so that a provider's prompt cache holds.

use serde_json::Value;

use super::schema::Mismatch;

/// The description of our tool.
pub(super) fn tool(name: &str, description: Option<&str>) -> String {
    let what = description.map(|text| format!(": {text}")).unwrap_or_default();
    format!(
        "Gives the final answer to the user, `{name}`{what}. Call it once, with the whole answer."
    )
}

/// Asks for JSON; `schema` is what it must match.
pub(super) fn prompt(schema: Option<&Value>, has_tools: bool) -> String {
    let when = if has_tools { "Unless you call a tool, answer" } else { "Answer" };
    let only = "no explanation, no code fence";
    match schema {
        None => format!("{when} with one JSON object and nothing else: {only}."),
        Some(schema) => format!(
            "{when} with one JSON object that matches this JSON Schema, and nothing else: {only}. \
             It is the object that is wanted, not the schema.\n\n{schema}"
        ),
    }
}

/// Says what is wrong with an answer.
pub(super) fn correction(errors: &[Mismatch]) -> String {
    let lines: String = errors.iter().map(|error| format!("\n- {error}")).collect();
    format!(
        "That answer does not match the required JSON Schema:{lines}\n\
         Give the whole answer again with these errors corrected, and nothing else."
    )
}
