//! Tools and the choice among them, both ways.
//!
//! A function is flat here. It is strict unless it says otherwise, which is the other way
//! round in every other dialect: a function that says nothing keeps a `strict: null` in
//! [`FIELDS`] and says nothing again; one from elsewhere says `strict: false`.

use serde_json::{Map, Value, json};

use super::{DIALECT, FIELDS};
use crate::DecodeError;
use crate::chat::{Tool, ToolChoice};
use crate::encoded::Dropped;
use crate::pointer::{Path, array, boolean, object, take_optional_string, take_string};

pub(super) fn decode_all(value: Value, path: &Path<'_>) -> Result<Vec<Tool>, DecodeError> {
    let items = array(value, path)?;
    let mut tools = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let path = path.index(index);
        let fields = object(item, &path)?;
        match fields.get("type") {
            Some(Value::String(kind)) if kind == "function" => decode(fields, &path, &mut tools)?,
            Some(Value::String(_)) => {
                let value = Value::Object(fields);
                tools.push(Tool::Other { dialect: DIALECT.into(), value });
            }
            Some(other) => return Err(path.key("type").mismatch("a string", other)),
            None => return Err(path.key("type").missing("a string")),
        }
    }
    Ok(tools)
}

fn decode(
    mut fields: Map<String, Value>,
    path: &Path<'_>,
    tools: &mut Vec<Tool>,
) -> Result<(), DecodeError> {
    fields.shift_remove("type");
    let name = take_string(&mut fields, "name", path)?;
    let description = take_optional_string(&mut fields, "description", path)?;
    let parameters = fields.shift_remove("parameters").filter(|schema| !schema.is_null());
    let strict = match fields.shift_remove("strict") {
        None | Some(Value::Null) => None,
        Some(value) => Some(boolean(&value, &path.key("strict"))?),
    };
    fields.retain(|_, value| !value.is_null());
    if strict.is_none() {
        fields.insert("strict".into(), Value::Null);
    }
    tools.push(Tool::Function { name, description, parameters, strict, cache: None });
    if !fields.is_empty() {
        tools.push(Tool::Other { dialect: FIELDS.into(), value: Value::Object(fields) });
    }
    Ok(())
}

pub(super) fn decode_choice(value: Value, path: &Path<'_>) -> Result<ToolChoice, DecodeError> {
    let named = |fields: &Map<String, Value>| {
        let name = fields.get("name")?.as_str()?;
        let is_function = fields.get("type").is_some_and(|kind| kind == "function");
        (fields.len() == 2 && is_function).then(|| name.to_owned())
    };
    Ok(match &value {
        Value::String(choice) => match choice.as_str() {
            "auto" => ToolChoice::Auto,
            "none" => ToolChoice::None,
            "required" => ToolChoice::Required,
            _ => return Err(path.mismatch("auto, none, required or an object", &value)),
        },
        Value::Object(fields) => match named(fields) {
            Some(name) => ToolChoice::Tool { name },
            None => ToolChoice::Other { dialect: DIALECT.into(), value },
        },
        _ => return Err(path.mismatch("a string or an object", &value)),
    })
}

/// Tools of other dialects are left out and named.
pub(super) fn encode_all(tools: &[Tool], dropped: &mut Dropped) -> Vec<Value> {
    let mut wire = Vec::with_capacity(tools.len());
    for (position, tool) in tools.iter().enumerate() {
        match tool {
            Tool::Function { .. } => wire.push(encode(tool, tools.get(position + 1), dropped)),
            Tool::Other { dialect, value } if dialect == DIALECT => wire.push(value.clone()),
            Tool::Other { dialect, .. } if dialect.ends_with("-fields") => {}
            Tool::Other { value, .. } => {
                let kind = value.get("type").or_else(|| value.get("name")).and_then(Value::as_str);
                dropped.note(format!("tools.{}", kind.unwrap_or("unknown")));
            }
        }
    }
    wire
}

fn encode(tool: &Tool, next: Option<&Tool>, dropped: &mut Dropped) -> Value {
    let Tool::Function { name, description, parameters, strict, cache } = tool else {
        return Value::Null;
    };
    dropped.note_if(cache.is_some(), "cache_control");
    let fields = match next {
        Some(Tool::Other { dialect, value: Value::Object(fields) }) if dialect == FIELDS => {
            Some(fields)
        }
        _ => None,
    };
    let mut wire = Map::new();
    wire.insert("type".into(), "function".into());
    wire.insert("name".into(), name.as_str().into());
    if let Some(description) = description {
        wire.insert("description".into(), description.as_str().into());
    }
    let empty = || json!({"type": "object", "properties": {}});
    wire.insert("parameters".into(), parameters.clone().unwrap_or_else(empty));
    let says_nothing = fields.is_some_and(|fields| fields.contains_key("strict"));
    if strict.is_some() || !says_nothing {
        wire.insert("strict".into(), strict.unwrap_or(false).into());
    }
    for (key, value) in fields.into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        wire.entry(key.clone()).or_insert_with(|| value.clone());
    }
    Value::Object(wire)
}

/// A choice of another dialect is left out and named.
pub(super) fn encode_choice(choice: &ToolChoice, dropped: &mut Dropped) -> Option<Value> {
    Some(match choice {
        ToolChoice::Auto => "auto".into(),
        ToolChoice::None => "none".into(),
        ToolChoice::Required => "required".into(),
        ToolChoice::Tool { name } => json!({"type": "function", "name": name}),
        ToolChoice::Other { dialect, value } if dialect == DIALECT => value.clone(),
        ToolChoice::Other { .. } => {
            dropped.note("tool_choice");
            return None;
        }
    })
}
