//! Tools and the choice among them (`toolConfig`).
//!
//! Converse refuses a conversation with calls or results in it and no `toolConfig`, and has no
//! choice "none". So without such blocks "none" sends no tools; with them the tools stay and
//! the choice is left out and named. A conversation whose request has no tools any more gets
//! the names that were called, without parameters.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Value, json};
use torana_plugin_sdk::chat::{Block, Request, Tool, ToolChoice, is_carrier};
use torana_plugin_sdk::wire::encoded::Dropped;

use super::message::CachePoint;
use crate::DIALECT;
use crate::family::Family;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolConfig<'a> {
    tools: Vec<Entry<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Entry<'a> {
    #[serde(rename_all = "camelCase")]
    ToolSpec {
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<&'a str>,
        input_schema: Schema<'a>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        strict: bool,
    },
    CachePoint(CachePoint<'a>),
    #[serde(untagged)]
    Other(&'a Value),
}

#[derive(Serialize)]
struct Schema<'a> {
    json: Parameters<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Parameters<'a> {
    Given(&'a Value),
    /// Of a function without parameters: a schema must be there.
    Empty {
        r#type: &'static str,
    },
}

/// `strict`: the models of this provider take strict tools.
pub(super) fn config<'a>(
    request: &'a Request,
    family: Family,
    strict: bool,
    dropped: &mut Dropped,
) -> Option<ToolConfig<'a>> {
    let speaks_of_tools = request.messages.iter().flat_map(|it| &it.blocks).any(is_tool_block);
    let banned = request.tool_choice == Some(ToolChoice::None);
    if banned && !speaks_of_tools {
        return None;
    }
    let mut tools = Vec::with_capacity(request.tools.len());
    for tool in &request.tools {
        push(tool, family, strict, &mut tools, dropped);
    }
    if tools.is_empty() && speaks_of_tools {
        tools.extend(called(request).into_iter().map(bare));
    }
    if tools.is_empty() {
        return None;
    }
    let tool_choice = choice(request, dropped);
    Some(ToolConfig { tools, tool_choice })
}

fn is_tool_block(block: &Block) -> bool {
    matches!(block, Block::ToolCall { .. } | Block::ToolResult { .. })
}

fn push<'a>(
    tool: &'a Tool,
    family: Family,
    takes_strict: bool,
    tools: &mut Vec<Entry<'a>>,
    dropped: &mut Dropped,
) {
    match tool {
        Tool::Function { name, description, parameters, strict, cache } => {
            let strict = *strict == Some(true);
            dropped.note_if(strict && !takes_strict, "tools.strict");
            tools.push(Entry::ToolSpec {
                name,
                description: description.as_deref().filter(|text| !text.is_empty()),
                input_schema: Schema {
                    json: match parameters {
                        Some(schema) => Parameters::Given(schema),
                        None => Parameters::Empty { r#type: "object" },
                    },
                },
                strict: strict && takes_strict,
            });
            match cache {
                // Nova caches messages only.
                Some(marker) if family == Family::Claude => {
                    tools.push(Entry::CachePoint(CachePoint::new(marker, family)));
                }
                Some(_) => dropped.note("cache_control"),
                None => {}
            }
        }
        Tool::Other { dialect, value } if dialect == DIALECT => tools.push(Entry::Other(value)),
        // No tool, but what a dialect says beside the one before.
        Tool::Other { dialect, .. } if is_carrier(dialect) => {}
        Tool::Other { value, .. } => {
            let kind = value.get("type").and_then(Value::as_str).unwrap_or("other");
            dropped.note(format!("tools.{kind}"));
        }
    }
}

fn choice(request: &Request, dropped: &mut Dropped) -> Option<Value> {
    match request.tool_choice.as_ref()? {
        ToolChoice::Auto => Some(json!({"auto": {}})),
        ToolChoice::Required => Some(json!({"any": {}})),
        ToolChoice::Tool { name } => Some(json!({"tool": {"name": name}})),
        ToolChoice::Other { dialect, value } if dialect == DIALECT => Some(value.clone()),
        ToolChoice::None | ToolChoice::Other { .. } => {
            dropped.note("tool_choice");
            None
        }
    }
}

/// Names of the tools that the conversation speaks of.
fn called(request: &Request) -> BTreeSet<&str> {
    let blocks = request.messages.iter().flat_map(|message| &message.blocks);
    let mut names: BTreeSet<&str> = blocks
        .filter_map(|block| match block {
            Block::ToolCall { name, .. } => Some(name.as_str()),
            _ => None,
        })
        .collect();
    if names.is_empty() {
        // Results of calls that the client left out of the conversation.
        names.insert("tool");
    }
    names
}

fn bare(name: &str) -> Entry<'_> {
    let input_schema = Schema { json: Parameters::Empty { r#type: "object" } };
    Entry::ToolSpec { name, description: None, input_schema, strict: false }
}
