//! Puts a variant into the call: its model, its system message, its parameters.
//!
//! The system template is minijinja; its variables are the request's `metadata`, which every
//! OpenAI SDK can send. A variable that is not there is an error that names it, not an empty
//! string in a prompt. The body stays in the client's dialect: each has its own place for a
//! system message.

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::assign::Assigned;
use super::decode::Call;
use super::patch::patch;
use crate::config::Template;
use crate::dialect::Dialect;
use crate::error::Cause;

/// Replaces model, system message and parameters in the call's body.
pub fn render(assigned: &Assigned<'_>, call: &mut Call) -> Result<(), Cause> {
    let settings = assigned.settings;
    let given: Given = serde_json::from_slice(&call.body).map_err(Cause::InvalidJson)?;
    let mut patches: Vec<(&str, Vec<u8>)> =
        vec![("model", json!(settings.model).to_string().into())];
    let mut default = |key, given: bool, value: Option<Value>| {
        if let (true, false, Some(value)) = (call.dialect.is_chat(), given, value) {
            patches.push((key, value.to_string().into()));
        }
    };
    default("temperature", given.temperature.is_some(), settings.temperature.map(Value::from));
    default("top_p", given.top_p.is_some(), settings.top_p.map(Value::from));
    let limited = call.max_output_tokens.is_some();
    let limit = call.dialect.parameter("max_output_tokens").to_owned();
    default(&limit, limited, settings.max_output_tokens.map(Value::from));
    call.max_output_tokens = call.max_output_tokens.or(settings.max_output_tokens);
    if let Some(template) = &settings.system {
        patches.push(with_system(assigned, template, call)?);
    }
    let borrowed: Vec<(&str, Option<&[u8]>)> =
        patches.iter().map(|(key, value)| (*key, Some(value.as_slice()))).collect();
    let body = patch(&call.body, &borrowed).map_err(Cause::InvalidJson)?;
    call.body = Bytes::from(body);
    call.model.clone_from(&settings.model);
    Ok(())
}

/// Parameters that the client set itself: its word counts for more than the variant's.
#[derive(Deserialize)]
struct Given {
    temperature: Option<IgnoredAny>,
    top_p: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Parts<'a> {
    #[serde(borrow, default)]
    messages: Vec<&'a RawValue>,
    instructions: Option<Value>,
    system: Option<Value>,
    metadata: Option<Map<String, Value>>,
}

/// The key of the body that holds system messages, and its new value.
fn with_system<'a>(
    assigned: &Assigned<'_>,
    template: &Template,
    call: &Call,
) -> Result<(&'a str, Vec<u8>), Cause> {
    let parts: Parts<'_> =
        serde_json::from_slice(&call.body).map_err(|error| Cause::InvalidRequest {
            param: Some("metadata".into()),
            message: format!("metadata: {error}"),
        })?;
    let system = rendered(assigned, template, parts.metadata.unwrap_or_default())?;
    Ok(match call.dialect {
        Dialect::OpenaiChat => {
            let first = json!({ "role": "system", "content": system }).to_string();
            let messages = parts.messages.into_iter().map(RawValue::get);
            let messages: Vec<&str> = std::iter::once(first.as_str()).chain(messages).collect();
            ("messages", format!("[{}]", messages.join(",")).into_bytes())
        }
        Dialect::OpenaiResponses => {
            ("instructions", joined(system, parts.instructions).to_string().into_bytes())
        }
        Dialect::AnthropicMessages | Dialect::AnthropicCountTokens => {
            ("system", joined(system, parts.system).to_string().into_bytes())
        }
        Dialect::OpenaiCompletions | Dialect::OpenaiEmbeddings => {
            return Err(Cause::InvalidRequest {
                param: Some("model".into()),
                message: format!(
                    "model: variant {} of function {} has a system message, for which this \
                     route has no place; use /v1/chat/completions",
                    assigned.variant, assigned.function
                ),
            });
        }
    })
}

/// The variant's system message before the client's own, which is text or a list of blocks.
fn joined(system: String, own: Option<Value>) -> Value {
    match own {
        Some(Value::String(own)) => format!("{system}\n\n{own}").into(),
        Some(Value::Array(own)) => {
            let first = json!({ "type": "text", "text": system });
            std::iter::once(first).chain(own).collect()
        }
        _ => system.into(),
    }
}

fn rendered(
    assigned: &Assigned<'_>,
    template: &Template,
    variables: Map<String, Value>,
) -> Result<String, Cause> {
    let mut environment = minijinja::Environment::new();
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    // A template is the operator's, but a loop over a client's metadata is not.
    environment.set_fuel(Some(100_000));
    environment.render_str(&template.text, minijinja::value::Serde(variables)).map_err(|source| {
        Cause::Template {
            function: assigned.function.clone(),
            variant: assigned.variant.clone(),
            source,
        }
    })
}
