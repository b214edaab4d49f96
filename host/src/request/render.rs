//! Puts a variant into the call: its model, its system message, its parameters.
//!
//! The system template is minijinja; its variables are the request's `metadata`, which every
//! OpenAI SDK can send. A variable that is not there is an error that names it, not an empty
//! string in a prompt.

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::assign::Assigned;
use super::decode::{self, ChatCall};
use crate::config::Template;
use crate::error::Cause;

/// Replaces model, system message and parameters in the call's body.
pub fn render(assigned: &Assigned<'_>, call: &mut ChatCall) -> Result<(), Cause> {
    let settings = assigned.settings;
    let given: Given = serde_json::from_slice(&call.body).map_err(Cause::InvalidJson)?;
    let mut patches: Vec<(&str, Vec<u8>)> =
        vec![("model", json!(settings.model).to_string().into())];
    let mut default = |key, given: bool, value: Option<Value>| {
        if let (false, Some(value)) = (given, value) {
            patches.push((key, value.to_string().into()));
        }
    };
    default("temperature", given.temperature.is_some(), settings.temperature.map(Value::from));
    default("top_p", given.top_p.is_some(), settings.top_p.map(Value::from));
    let limited = call.max_output_tokens.is_some();
    default("max_tokens", limited, settings.max_output_tokens.map(Value::from));
    call.max_output_tokens = call.max_output_tokens.or(settings.max_output_tokens);
    if let Some(template) = &settings.system {
        patches.push(("messages", with_system(assigned, template, &call.body)?));
    }
    let borrowed: Vec<(&str, Option<&[u8]>)> =
        patches.iter().map(|(key, value)| (*key, Some(value.as_slice()))).collect();
    let body = decode::patch(&call.body, &borrowed).map_err(Cause::InvalidJson)?;
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
    #[serde(borrow)]
    messages: Vec<&'a RawValue>,
    metadata: Option<Map<String, Value>>,
}

fn with_system(
    assigned: &Assigned<'_>,
    template: &Template,
    body: &[u8],
) -> Result<Vec<u8>, Cause> {
    let parts: Parts<'_> = serde_json::from_slice(body).map_err(|error| Cause::InvalidRequest {
        param: Some("metadata".into()),
        message: format!("metadata: {error}"),
    })?;
    let mut environment = minijinja::Environment::new();
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    // A template is the operator's, but a loop over a client's metadata is not.
    environment.set_fuel(Some(100_000));
    let system = environment
        .render_str(&template.text, minijinja::value::Serde(parts.metadata.unwrap_or_default()))
        .map_err(|source| Cause::Template {
            function: assigned.function.clone(),
            variant: assigned.variant.clone(),
            source,
        })?;
    let system = json!({ "role": "system", "content": system }).to_string();
    let mut messages = Vec::with_capacity(body.len() + system.len());
    messages.push(b'[');
    messages.extend_from_slice(system.as_bytes());
    for message in parts.messages {
        messages.push(b',');
        messages.extend_from_slice(message.get().as_bytes());
    }
    messages.push(b']');
    Ok(messages)
}
