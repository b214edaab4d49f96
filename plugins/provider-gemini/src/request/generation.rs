//! `generationConfig`: how tokens are drawn, how long to think, and the shape of the answer.

use serde::Serialize;
use serde_json::{Map, Value};
use torana_plugin_sdk::chat::{OutputFormat, Request};
use torana_plugin_sdk::wire::encoded::Dropped;

use super::extra::Extra;
use super::tool::{Tools, is_forced};
use crate::model::Model;
use crate::thinking::{self, ThinkingConfig};

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Config<'a> {
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<u64>,
    max_output_tokens: Option<u64>,
    stop_sequences: Option<Vec<&'a str>>,
    seed: Option<i32>,
    presence_penalty: Option<f64>,
    frequency_penalty: Option<f64>,
    response_mime_type: Option<&'static str>,
    response_json_schema: Option<&'a Value>,
    thinking_config: Option<ThinkingConfig>,
}

/// What the client wrote in Gemini's own words wins.
pub(super) fn encode(
    request: &Request,
    model: Model<'_>,
    tools: &Tools<'_>,
    extra: &mut Extra,
    dropped: &mut Dropped,
) -> Map<String, Value> {
    let sampling = &request.sampling;
    let stop: Vec<&str> =
        sampling.stop.iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
    // Google's seeds have 32 bits.
    let seed = sampling.seed.and_then(|seed| i32::try_from(seed).ok());
    dropped.note_if(sampling.seed.is_some() && seed.is_none(), "seed");
    let (response_mime_type, response_json_schema) = format(request, model, tools, dropped);
    let config = Config {
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        top_k: sampling.top_k,
        max_output_tokens: sampling.max_output_tokens,
        stop_sequences: (!stop.is_empty()).then_some(stop),
        seed,
        presence_penalty: sampling.presence_penalty,
        frequency_penalty: sampling.frequency_penalty,
        response_mime_type,
        response_json_schema,
        thinking_config: thinking(request, model, extra, dropped),
    };
    let mut fields = match serde_json::to_value(&config) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    fields.retain(|_, value| !value.is_null());
    for (key, value) in std::mem::take(&mut extra.generation) {
        fields.insert(key, value);
    }
    fields
}

fn thinking(
    request: &Request,
    model: Model<'_>,
    extra: &Extra,
    dropped: &mut Dropped,
) -> Option<ThinkingConfig> {
    let reasoning = request.reasoning.as_ref()?;
    if extra.generation.contains_key("thinkingConfig") {
        return None;
    }
    let plan = thinking::plan(reasoning, model);
    dropped.note_if(!plan.is_followed, "reasoning");
    plan.config
}

/// The type and the schema of the answer. A call that is forced leaves no answer to shape,
/// and Gemini refuses a shape beside it.
fn format<'a>(
    request: &'a Request,
    model: Model<'_>,
    tools: &Tools<'_>,
    dropped: &mut Dropped,
) -> (Option<&'static str>, Option<&'a Value>) {
    let schema = match &request.output_format {
        None | Some(OutputFormat::Text) => return (None, None),
        Some(OutputFormat::JsonObject) => None,
        Some(OutputFormat::JsonSchema { schema, .. }) => Some(schema),
    };
    if tools.has_functions && is_forced(request.tool_choice.as_ref()) {
        return (None, None);
    }
    if tools.has_functions && model.has_tools_or_json() {
        dropped.note("output_format");
        return (None, None);
    }
    (Some("application/json"), schema)
}
