//! Tools and the choice among them.

use serde::Serialize;
use serde_json::{Value, json};

use super::super::DIALECT;
use crate::cache::CacheControl;
use crate::chat::{Request, Tool, ToolChoice};

/// An entry of `tools`.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum WireTool<'a> {
    Function {
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<&'a str>,
        input_schema: Schema<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        strict: Option<bool>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheControl<'a>>,
    },
    Other(&'a Value),
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Schema<'a> {
    Given(&'a Value),
    /// Of a function without parameters: a schema must be there.
    Empty {
        r#type: &'static str,
    },
}

pub(super) fn encode_all(tools: &[Tool]) -> Vec<WireTool<'_>> {
    tools.iter().filter_map(encode).collect()
}

fn encode(tool: &Tool) -> Option<WireTool<'_>> {
    match tool {
        Tool::Function { name, description, parameters, strict, cache } => {
            Some(WireTool::Function {
                name,
                description: description.as_deref(),
                input_schema: match parameters {
                    Some(schema) => Schema::Given(schema),
                    None => Schema::Empty { r#type: "object" },
                },
                strict: strict.filter(|strict| *strict),
                cache_control: cache.as_ref().map(CacheControl::from),
            })
        }
        Tool::Other { dialect, value } if dialect == DIALECT => Some(WireTool::Other(value)),
        Tool::Other { .. } => None,
    }
}

/// `tool_choice`, with the ban of parallel calls in it; only where there are tools.
pub(super) fn encode_choice(request: &Request) -> Option<Value> {
    let single = request.parallel_tool_calls == Some(false);
    let mut choice = match &request.tool_choice {
        None if single => json!({"type": "auto"}),
        None => return None,
        Some(ToolChoice::Auto) => json!({"type": "auto"}),
        Some(ToolChoice::None) => return Some(json!({"type": "none"})),
        Some(ToolChoice::Required) => json!({"type": "any"}),
        Some(ToolChoice::Tool { name }) => json!({"type": "tool", "name": name}),
        Some(ToolChoice::Other { dialect, value }) if dialect == DIALECT => value.clone(),
        Some(ToolChoice::Other { .. }) => return None,
    };
    if let Some(fields) = choice.as_object_mut().filter(|_| single) {
        fields.insert("disable_parallel_tool_use".into(), true.into());
    }
    Some(choice)
}
