//! Tools, and which of them must or may be called.

use serde::Serialize;
use serde_json::{Map, Value, json};
use torana_plugin_sdk::chat::{Request, Tool, ToolChoice, is_carrier};
use torana_plugin_sdk::wire::encoded::Dropped;
use torana_plugin_sdk::wire::openai;

use crate::DIALECT;

/// Google's own tools, as a client of whatever dialect may name one: `{"googleSearch": {}}`.
const OWN: [&str; 8] = [
    "googleSearch",
    "googleSearchRetrieval",
    "googleMaps",
    "enterpriseWebSearch",
    "urlContext",
    "codeExecution",
    "computerUse",
    "fileSearch",
];

/// What becomes of a request's tools.
pub(super) struct Tools<'a> {
    pub(super) entries: Vec<Entry<'a>>,
    pub(super) has_functions: bool,
}

/// An entry of `tools`.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Entry<'a> {
    #[serde(rename_all = "camelCase")]
    Functions {
        function_declarations: Vec<Declaration<'a>>,
    },
    Other(&'a Value),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Declaration<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters_json_schema: Option<&'a Value>,
}

pub(super) fn encode_all<'a>(tools: &'a [Tool], dropped: &mut Dropped) -> Tools<'a> {
    let mut functions = Vec::new();
    let mut entries = Vec::new();
    for tool in tools {
        match tool {
            Tool::Function { name, description, parameters, cache, strict } => {
                dropped.note_if(cache.is_some(), "cache_control");
                dropped.note_if(*strict == Some(true), "tools.strict");
                functions.push(Declaration {
                    name,
                    description: description.as_deref(),
                    parameters_json_schema: parameters.as_ref().filter(|it| !is_empty(it)),
                });
            }
            Tool::Other { dialect, value } if dialect == DIALECT || is_own(value) => {
                entries.push(Entry::Other(value));
            }
            Tool::Other { dialect, .. } if is_carrier(dialect) => {}
            Tool::Other { value, .. } => {
                let kind = value.get("type").and_then(Value::as_str).unwrap_or("unknown");
                dropped.note(format!("tools.{kind}"));
            }
        }
    }
    let has_functions = !functions.is_empty();
    if has_functions {
        entries.insert(0, Entry::Functions { function_declarations: functions });
    }
    Tools { entries, has_functions }
}

fn is_own(value: &Value) -> bool {
    let known = |key: &String| OWN.contains(&super::extra::camel(key).as_str());
    value.as_object().is_some_and(|fields| fields.len() == 1 && fields.keys().all(known))
}

/// An object without properties, which older models refuse, says no more than no schema.
fn is_empty(schema: &Value) -> bool {
    let Some(fields) = schema.as_object() else {
        return true;
    };
    fields.iter().all(|(key, value)| match key.as_str() {
        "type" => value == "object",
        "properties" => value.as_object().is_none_or(Map::is_empty),
        "required" => value.as_array().is_none_or(Vec::is_empty),
        "additionalProperties" => value == false,
        "$schema" | "title" | "description" => true,
        _ => false,
    })
}

/// `toolConfig`. Gemini refuses a choice where there are no functions.
pub(super) fn encode_config(
    request: &Request,
    tools: &Tools<'_>,
    streams_arguments: bool,
    dropped: &mut Dropped,
) -> Map<String, Value> {
    let choice = match &request.tool_choice {
        Some(choice) if tools.has_functions => {
            let encoded = encode_choice(choice);
            dropped.note_if(encoded.is_none(), "tool_choice");
            encoded
        }
        Some(ToolChoice::Auto | ToolChoice::None) | None => None,
        Some(_) => {
            dropped.note("tool_choice");
            None
        }
    };
    let mut calling = match choice {
        Some(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    if streams_arguments && tools.has_functions {
        calling.insert("streamFunctionCallArguments".into(), true.into());
    }
    match calling.is_empty() {
        true => Map::new(),
        false => Map::from_iter([("functionCallingConfig".to_owned(), calling.into())]),
    }
}

fn encode_choice(choice: &ToolChoice) -> Option<Value> {
    Some(match choice {
        ToolChoice::Auto => json!({"mode": "AUTO"}),
        ToolChoice::None => json!({"mode": "NONE"}),
        ToolChoice::Required => json!({"mode": "ANY"}),
        ToolChoice::Tool { name } => json!({"mode": "ANY", "allowedFunctionNames": [name]}),
        ToolChoice::Other { dialect, value } if dialect == DIALECT => value.clone(),
        ToolChoice::Other { dialect, value } if dialect == openai::DIALECT => allowed(value)?,
        ToolChoice::Other { .. } => return None,
    })
}

/// OpenAI's `{"type": "allowed_tools", "allowed_tools": {mode, tools}}`. `VALIDATED` is the
/// mode that takes names and leaves the model free to answer in text.
fn allowed(value: &Value) -> Option<Value> {
    let allowed = value.get("allowed_tools")?;
    let name = |tool: &Value| Some(tool.get("function")?.get("name")?.as_str()?.to_owned());
    let tools = allowed.get("tools")?.as_array()?;
    let names = tools.iter().map(name).collect::<Option<Vec<_>>>()?;
    let mode = match allowed.get("mode")?.as_str()? {
        "required" => "ANY",
        _ => "VALIDATED",
    };
    Some(json!({"mode": mode, "allowedFunctionNames": names}))
}

/// The answer can only be a call.
pub(super) fn is_forced(choice: Option<&ToolChoice>) -> bool {
    choice
        .and_then(encode_choice)
        .is_some_and(|choice| choice.get("mode").is_some_and(|mode| mode == "ANY"))
}
