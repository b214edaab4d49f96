//! Parameters that a server refuses or calls otherwise.
//!
//! By their names in the chat payload (`seed`, `tools`, `name` of a message …) or as keys of
//! `extra`. Only for requests that are translated: a body that is passed on stays as it is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use torana_plugin_sdk::chat::{OutputFormat, Request};

/// Takes out what the server refuses: the names of what was there.
pub(crate) fn leave_out(request: &mut Request, names: &[String]) -> BTreeSet<String> {
    names.iter().filter(|name| take(request, name).is_some()).cloned().collect()
}

/// Gives parameters the names that the server knows. What the client itself wrote under such
/// a name stays.
pub(crate) fn rename(request: &mut Request, names: &BTreeMap<String, String>) {
    for (name, here) in names {
        if let Some(value) = take(request, name) {
            request.extra.entry(here.clone()).or_insert(value);
        }
    }
}

/// Takes one out, if it is set.
fn take(request: &mut Request, name: &str) -> Option<Value> {
    let sampling = &mut request.sampling;
    match name {
        "temperature" => sampling.temperature.take().map(Value::from),
        "top_p" => sampling.top_p.take().map(Value::from),
        "top_k" => sampling.top_k.take().map(Value::from),
        "max_output_tokens" => sampling.max_output_tokens.take().map(Value::from),
        "seed" => sampling.seed.take().map(Value::from),
        "presence_penalty" => sampling.presence_penalty.take().map(Value::from),
        "frequency_penalty" => sampling.frequency_penalty.take().map(Value::from),
        "stop" => {
            let stop = std::mem::take(&mut sampling.stop);
            (!stop.is_empty()).then(|| stop.into())
        }
        "tools" => {
            let tools = std::mem::take(&mut request.tools);
            request.tool_choice = request.tool_choice.take().filter(|_| tools.is_empty());
            (!tools.is_empty()).then(|| json!(tools))
        }
        "tool_choice" => request.tool_choice.take().map(|choice| json!(choice)),
        "parallel_tool_calls" => request.parallel_tool_calls.take().map(Value::from),
        // Text is what an answer is anyway.
        "output_format" => request
            .output_format
            .take()
            .filter(|format| *format != OutputFormat::Text)
            .map(|format| json!(format)),
        "reasoning" => {
            let object = request.extra.shift_remove("reasoning");
            request.reasoning.take().map(|reasoning| json!(reasoning)).or(object)
        }
        "user" => request.user.take().map(Value::from),
        "metadata" => {
            let metadata = std::mem::replace(&mut request.metadata, Map::new());
            (!metadata.is_empty()).then_some(Value::Object(metadata))
        }
        "name" => {
            let names: Vec<_> =
                request.messages.iter_mut().filter_map(|message| message.name.take()).collect();
            (!names.is_empty()).then(|| names.into())
        }
        key => request.extra.shift_remove(key),
    }
}
