//! Tools and the choice among them, both ways.

use serde::Serialize;
use serde_json::{Value, json};

use crate::DecodeError;
use crate::anthropic::field::{is_carrier, take_cache, tool_carried, tool_carrier};
use crate::anthropic::{DIALECT, FIELDS};
use crate::cache::CacheControl;
use crate::chat::{Request, Tool, ToolChoice};
use crate::encoded::Dropped;
use crate::fields::Fields;
use crate::pointer::{Path, array, boolean, object, take_optional_string, take_string};

pub(super) fn decode_all(value: Value, path: &Path<'_>) -> Result<Vec<Tool>, DecodeError> {
    let items = array(value, path)?;
    let mut tools = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        decode(item, &path.index(index), &mut tools)?;
    }
    Ok(tools)
}

/// A tool of the client's own; Anthropic's tools, with a type of theirs, pass as they are.
fn decode(item: Value, path: &Path<'_>, tools: &mut Vec<Tool>) -> Result<(), DecodeError> {
    let mut fields = object(item, path)?;
    match fields.get("type") {
        None | Some(Value::Null) => {}
        Some(Value::String(kind)) if kind == "custom" => {}
        Some(Value::String(_)) => {
            tools.push(Tool::Other { dialect: DIALECT.into(), value: Value::Object(fields) });
            return Ok(());
        }
        Some(other) => return Err(path.key("type").mismatch("a string", other)),
    }
    fields.shift_remove("type");
    let name = take_string(&mut fields, "name", path)?;
    let description = take_optional_string(&mut fields, "description", path)?;
    let schema_path = path.key("input_schema");
    let parameters = match fields.shift_remove("input_schema") {
        None | Some(Value::Null) => return Err(schema_path.missing("an object")),
        Some(value) => Some(Value::Object(object(value, &schema_path)?)),
    };
    let strict = match fields.shift_remove("strict") {
        None | Some(Value::Null) => None,
        Some(value) => Some(boolean(&value, &path.key("strict"))?),
    };
    let cache = take_cache(&mut fields);
    tools.extend(tool_carrier(fields));
    tools.push(Tool::Function { name, description, parameters, strict, cache });
    Ok(())
}

/// The choice, and whether several calls are allowed beside it.
pub(super) fn decode_choice(
    value: Value,
    path: &Path<'_>,
) -> Result<(ToolChoice, Option<bool>), DecodeError> {
    let whole = value.clone();
    let mut fields = object(value, path)?;
    let kind = take_string(&mut fields, "type", path)?;
    let single = match fields.shift_remove("disable_parallel_tool_use") {
        None | Some(Value::Null) => None,
        Some(value) => Some(boolean(&value, &path.key("disable_parallel_tool_use"))?),
    };
    let choice = match kind.as_str() {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Required,
        "none" => ToolChoice::None,
        "tool" => ToolChoice::Tool { name: take_string(&mut fields, "name", path)? },
        _ => ToolChoice::Other { dialect: DIALECT.into(), value: whole.clone() },
    };
    let choice = match fields.is_empty() {
        true => choice,
        false => ToolChoice::Other { dialect: DIALECT.into(), value: whole },
    };
    Ok((choice, single.map(|single| !single)))
}

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
        #[serde(flatten)]
        fields: Fields<'a>,
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

pub(super) fn encode_all<'a>(tools: &'a [Tool], dropped: &mut Dropped) -> Vec<WireTool<'a>> {
    let previous = std::iter::once(None).chain(tools.iter().map(Some));
    previous.zip(tools).filter_map(|(before, tool)| encode(before, tool, dropped)).collect()
}

const WRITTEN: &[&str] = &["name", "description", "input_schema", "strict", "cache_control"];

fn encode<'a>(
    before: Option<&'a Tool>,
    tool: &'a Tool,
    dropped: &mut Dropped,
) -> Option<WireTool<'a>> {
    match tool {
        Tool::Function { name, description, parameters, strict, cache } => {
            let fields = Fields::of(tool_carried(before));
            // A marker that the payload cannot hold stands among the fields.
            let written = if cache.is_some() { WRITTEN } else { WRITTEN.split_at(4).0 };
            Some(WireTool::Function {
                name,
                description: description.as_deref(),
                input_schema: match parameters {
                    Some(schema) => Schema::Given(schema),
                    None => Schema::Empty { r#type: "object" },
                },
                // False is what holds anyway, and older models refuse the key.
                strict: strict.filter(|strict| *strict),
                cache_control: cache.as_ref().map(CacheControl::from),
                fields: fields.except(written),
            })
        }
        Tool::Other { dialect, value } if dialect == DIALECT => Some(WireTool::Other(value)),
        Tool::Other { dialect, .. } if dialect == FIELDS => None,
        Tool::Other { dialect, value } if is_carrier(dialect) => {
            let said = value.as_object().into_iter().flatten();
            for (key, value) in said.filter(|(key, _)| *key != "function") {
                dropped.note_if(!value.is_null(), &format!("tools.{key}"));
            }
            None
        }
        Tool::Other { value, .. } => {
            let kind = value.get("type").and_then(Value::as_str).unwrap_or("unknown");
            dropped.note(format!("tools.{kind}"));
            None
        }
    }
}

/// `tool_choice`, with the ban of parallel calls in it; only where there are tools.
pub(super) fn encode_choice(
    request: &Request,
    has_tools: bool,
    dropped: &mut Dropped,
) -> Option<Value> {
    let single = request.parallel_tool_calls == Some(false);
    let wanted = request.tool_choice.as_ref();
    if !has_tools {
        // Of no tool none can be called: only a forced call is lost.
        let forced = !matches!(wanted, None | Some(ToolChoice::Auto | ToolChoice::None));
        dropped.note_if(forced, "tool_choice");
        return None;
    }
    let mut choice = match wanted {
        None if single => json!({"type": "auto"}),
        None => return None,
        Some(ToolChoice::Auto) => json!({"type": "auto"}),
        Some(ToolChoice::None) => return Some(json!({"type": "none"})),
        Some(ToolChoice::Required) => json!({"type": "any"}),
        Some(ToolChoice::Tool { name }) => json!({"type": "tool", "name": name}),
        Some(ToolChoice::Other { dialect, value }) if dialect == DIALECT => value.clone(),
        Some(ToolChoice::Other { .. }) => {
            dropped.note("tool_choice");
            return single.then(|| json!({"type": "auto", "disable_parallel_tool_use": true}));
        }
    };
    if let (Some(parallel), Some(fields)) = (request.parallel_tool_calls, choice.as_object_mut()) {
        fields.insert("disable_parallel_tool_use".into(), (!parallel).into());
    }
    Some(choice)
}

/// A tool must be called: Anthropic refuses thinking beside that.
pub(super) fn is_forced(request: &Request) -> bool {
    matches!(request.tool_choice, Some(ToolChoice::Required | ToolChoice::Tool { .. }))
}
