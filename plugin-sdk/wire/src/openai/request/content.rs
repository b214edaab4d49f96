//! Content of a message, and what of it a server takes.

use serde::Serialize;
use serde_json::Value;

use super::super::details::DETAIL;
use super::super::{DIALECT, TOOL_CALL};
use super::options::{Input, Options};
use crate::chat::{Block, Role, is_carrier};
use crate::encoded::{Dropped, unsupported};
use crate::error::CallError;
use crate::openai::part::Part;

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Content<'a> {
    Null,
    Text(&'a str),
    Parts(Vec<Part<'a>>),
}

impl<'a> Content<'a> {
    pub(super) fn of(mut parts: Vec<Part<'a>>) -> Self {
        match (parts.pop(), parts.is_empty()) {
            (None, _) => Self::Null,
            (Some(only), true) => match only.plain_text() {
                Some(text) => Self::Text(text),
                None => Self::Parts(vec![only]),
            },
            (Some(last), false) => {
                parts.push(last);
                Self::Parts(parts)
            }
        }
    }

    /// Where null is not allowed.
    pub(super) fn or_empty(self) -> Self {
        match self {
            Self::Null => Self::Text(""),
            content => content,
        }
    }
}

/// The blocks that are content parts here, without the marks the server does not take.
pub(super) fn parts<'a>(blocks: &'a [Block], options: &Options) -> Vec<Part<'a>> {
    let with_next = blocks.iter().enumerate().map(|(at, block)| (block, blocks.get(at + 1)));
    with_next
        .filter_map(|(block, next)| Part::of(block, next))
        .map(|part| part.asked(options.cache_control))
        .collect()
}

/// Refuses what would change the question if it were left out, and notes lost cache markers.
pub(super) fn check(
    role: Role,
    block: &Block,
    options: &Options,
    dropped: &mut Dropped,
) -> Result<(), CallError> {
    match block {
        Block::Text { cache, .. } => {
            dropped.note_if(cache.is_some() && !options.cache_control, "cache_control");
        }
        Block::Media { kind, source, cache, .. } => {
            dropped.note_if(cache.is_some() && !options.cache_control, "cache_control");
            let input = Input::of(*kind, source);
            if !options.inputs.contains(&input) {
                return Err(unsupported(input.feature()));
            }
        }
        Block::ToolCall { cache, .. } => dropped.note_if(cache.is_some(), "cache_control"),
        Block::ToolResult { blocks, cache, is_error, .. } => {
            dropped.note_if(cache.is_some(), "cache_control");
            dropped.note_if(*is_error, "is_error");
            for block in blocks {
                check(Role::Tool, block, options, dropped)?;
            }
        }
        Block::Other { dialect, value } if role != Role::Assistant && !is_own(dialect) => {
            let kind = value.get("type").and_then(Value::as_str).unwrap_or("unknown");
            return Err(unsupported(&format!("{kind} content of {dialect}")));
        }
        Block::Reasoning { .. } | Block::Refusal { .. } | Block::Other { .. } => {}
    }
    Ok(())
}

fn is_own(dialect: &str) -> bool {
    is_carrier(dialect) || [DIALECT, TOOL_CALL, DETAIL].contains(&dialect)
}
