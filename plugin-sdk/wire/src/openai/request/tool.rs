//! Tools and the choice among them, both ways.

use serde::Serialize;
use serde_json::{Map, Value};

use super::super::{DIALECT, FIELDS};
use super::decode::own;
use super::options::Options;
use crate::DecodeError;
use crate::cache::CacheControl;
use crate::chat::{CacheMarker, Tool, ToolChoice, is_carrier};
use crate::encoded::Dropped;
use crate::fields::Fields;
use crate::openai::part;
use crate::pointer::{Path, array, boolean, object, take_optional_string, take_string};

pub(super) fn decode_all(value: Value, path: &Path<'_>) -> Result<Vec<Tool>, DecodeError> {
    let items = array(value, path)?;
    let mut tools = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let path = path.index(index);
        let fields = object(item, &path)?;
        if fields.get("type").is_some_and(|kind| kind != "function") {
            let (dialect, value) = own(Value::Object(fields));
            tools.push(Tool::Other { dialect, value });
        } else {
            decode(fields, &path, &mut tools)?;
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
    let inner_path = path.key("function");
    let mut function = match fields.shift_remove("function") {
        None => return Err(inner_path.missing("an object")),
        Some(value) => object(value, &inner_path)?,
    };
    let name = take_string(&mut function, "name", &inner_path)?;
    let description = take_optional_string(&mut function, "description", &inner_path)?;
    let parameters = function.shift_remove("parameters").filter(|schema| !schema.is_null());
    let strict = match function.shift_remove("strict") {
        None | Some(Value::Null) => None,
        Some(value) => Some(boolean(&value, &inner_path.key("strict"))?),
    };
    let cache: Option<CacheMarker> = part::take_cache(&mut fields);
    tools.push(Tool::Function { name, description, parameters, strict, cache });
    if !function.is_empty() {
        fields.insert("function".into(), Value::Object(function));
    }
    if !fields.is_empty() {
        tools.push(Tool::Other { dialect: FIELDS.into(), value: Value::Object(fields) });
    }
    Ok(())
}

/// `any` is Mistral's word for `required`.
pub(super) fn decode_choice(value: Value, path: &Path<'_>) -> Result<ToolChoice, DecodeError> {
    let named = |value: &Value| {
        let fields = value.as_object()?;
        let function = fields.get("function")?.as_object()?;
        let name = function.get("name")?.as_str()?;
        let plain = fields.len() == 2 && function.len() == 1;
        (plain && fields.get("type")? == "function").then(|| name.to_owned())
    };
    Ok(match &value {
        Value::String(choice) => match choice.as_str() {
            "auto" => ToolChoice::Auto,
            "none" => ToolChoice::None,
            "required" | "any" => ToolChoice::Required,
            _ => return Err(path.mismatch("auto, none, required or an object", &value)),
        },
        Value::Object(_) => match named(&value) {
            Some(name) => ToolChoice::Tool { name },
            None => {
                let (dialect, value) = own(value);
                ToolChoice::Other { dialect, value }
            }
        },
        _ => return Err(path.mismatch("a string or an object", &value)),
    })
}

/// An entry of `tools`.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum WireTool<'a> {
    Function {
        r#type: &'static str,
        function: WireFunction<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheControl<'a>>,
        #[serde(flatten)]
        fields: Fields<'a>,
    },
    Other(&'a Value),
}

#[derive(Serialize)]
pub(super) struct WireFunction<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
    #[serde(flatten)]
    fields: Fields<'a>,
}

pub(super) fn encode_all<'a>(
    tools: &'a [Tool],
    options: &Options,
    dropped: &mut Dropped,
) -> Vec<WireTool<'a>> {
    let mut wire = Vec::with_capacity(tools.len());
    for (position, tool) in tools.iter().enumerate() {
        match tool {
            Tool::Function { name, description, parameters, strict, cache } => {
                let fields = match tools.get(position + 1) {
                    Some(Tool::Other { dialect, value }) if dialect == FIELDS => {
                        Fields::of(Some(value))
                    }
                    _ => Fields::default(),
                };
                dropped.note_if(cache.is_some() && !options.cache_control, "cache_control");
                dropped.note_if(*strict == Some(true) && !options.strict_tools, "tools.strict");
                wire.push(WireTool::Function {
                    r#type: "function",
                    function: WireFunction {
                        name,
                        description: description.as_deref(),
                        parameters: parameters.as_ref(),
                        strict: strict.filter(|_| options.strict_tools),
                        fields: fields.nested("function"),
                    },
                    cache_control: cache
                        .as_ref()
                        .filter(|_| options.cache_control)
                        .map(CacheControl::from),
                    fields: fields.except(&["function"]),
                });
            }
            Tool::Other { dialect, value } if dialect == DIALECT => {
                wire.push(WireTool::Other(value));
            }
            Tool::Other { dialect, .. } if is_carrier(dialect) => {}
            Tool::Other { value, .. } => {
                let kind = value.get("type").and_then(Value::as_str);
                dropped.note(format!("tools.{}", kind.unwrap_or("unknown")));
            }
        }
    }
    wire
}

/// `tool_choice`.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum WireChoice<'a> {
    Word(&'static str),
    Function { r#type: &'static str, function: Named<'a> },
    Other(&'a Value),
}

#[derive(Serialize)]
pub(super) struct Named<'a> {
    name: &'a str,
}

pub(super) fn encode_choice(choice: &ToolChoice) -> Option<WireChoice<'_>> {
    Some(match choice {
        ToolChoice::Auto => WireChoice::Word("auto"),
        ToolChoice::None => WireChoice::Word("none"),
        ToolChoice::Required => WireChoice::Word("required"),
        ToolChoice::Tool { name } => {
            WireChoice::Function { r#type: "function", function: Named { name } }
        }
        ToolChoice::Other { dialect, value } if dialect == DIALECT => WireChoice::Other(value),
        ToolChoice::Other { .. } => return None,
    })
}
