//! What a block, tool or message has beyond the payload's fields.
//!
//! Carriers are blocks of a dialect that ends in `-fields`: they are no content, and a wire
//! that does not know them leaves them out.

use serde_json::{Map, Value};

use super::FIELDS;
pub(super) use crate::chat::is_carrier;
use crate::chat::{Block, CacheMarker, Tool};

/// The carrier for what is left of a block, unless nothing is. Nulls say nothing.
pub(super) fn carrier(mut fields: Map<String, Value>) -> Option<Block> {
    fields.retain(|_, value| !value.is_null());
    let value = Value::Object(fields);
    (value != Value::Object(Map::new())).then(|| Block::Other { dialect: FIELDS.into(), value })
}

/// The same for a tool.
pub(super) fn tool_carrier(fields: Map<String, Value>) -> Option<Tool> {
    match carrier(fields) {
        Some(Block::Other { dialect, value }) => Some(Tool::Other { dialect, value }),
        _ => None,
    }
}

/// What the block before says about this one.
pub(super) fn carried(before: Option<&Block>) -> Option<&Value> {
    match before {
        Some(Block::Other { dialect, value }) if dialect == FIELDS => Some(value),
        _ => None,
    }
}

/// What the tool before says about this one.
pub(super) fn tool_carried(before: Option<&Tool>) -> Option<&Value> {
    match before {
        Some(Tool::Other { dialect, value }) if dialect == FIELDS => Some(value),
        _ => None,
    }
}

/// Each block with the one before it.
pub(super) fn with_previous(blocks: &[Block]) -> impl Iterator<Item = (Option<&Block>, &Block)> {
    std::iter::once(None).chain(blocks.iter().map(Some)).zip(blocks)
}

/// `cache_control`; left where it is if it says more than the payload can hold.
pub(super) fn take_cache(fields: &mut Map<String, Value>) -> Option<CacheMarker> {
    let control = fields.get("cache_control")?.as_object()?;
    let ttl = control.get("ttl").filter(|ttl| !ttl.is_null());
    let known = control.keys().all(|key| key == "type" || key == "ttl")
        && control.get("type")? == "ephemeral"
        && ttl.is_none_or(Value::is_string);
    let marker = CacheMarker { ttl: ttl.and_then(Value::as_str).map(str::to_owned) };
    if !known {
        return None;
    }
    fields.shift_remove("cache_control");
    Some(marker)
}

/// A string, if it is one.
pub(super) fn take_text(fields: &mut Map<String, Value>, key: &str) -> Option<String> {
    match fields.shift_remove(key) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}
