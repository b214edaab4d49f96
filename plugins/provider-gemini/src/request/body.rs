//! The body as a whole.

use serde::Serialize;
use serde_json::{Map, Value};
use torana_plugin_sdk::chat::Request;
use torana_plugin_sdk::provider::Endpoint;
use torana_plugin_sdk::wire::encoded::{Dropped, Encoded};
use torana_plugin_sdk::{CallError, CallErrorKind};

use super::contents::{Content, Conversation};
use super::extra::Extra;
use super::part::Target;
use super::{generation, tool};
use crate::model::Model;
use crate::settings::Settings;

/// The body that asks the endpoint's model.
///
/// # Errors
///
/// `Unsupported` for content that Gemini has no place for, `InvalidRequest` for a tool's
/// result that answers no call.
pub(crate) fn encode(
    request: &Request,
    endpoint: &Endpoint<Settings>,
) -> Result<Encoded, CallError> {
    let settings = &endpoint.settings;
    let model = Model::of(&endpoint.model);
    let target = Target { platform: settings.platform, model };
    let mut dropped = Dropped::default();
    let mut extra = Extra::of(request, settings.platform, &mut dropped);
    let conversation = Conversation::of(&request.messages, target, &mut dropped)?;
    let (system, contents) = conversation.into_parts();
    let tools = tool::encode_all(&request.tools, &mut dropped);
    let streams_arguments = request.stream && settings.streams_arguments(model);
    let config = tool::encode_config(request, &tools, streams_arguments, &mut dropped);
    let generation = generation::encode(request, model, &tools, &mut extra, &mut dropped);
    dropped.note_if(request.parallel_tool_calls == Some(false), "parallel_tool_calls");
    dropped.note_if(request.user.is_some(), "user");
    dropped.note_if(!request.metadata.is_empty(), "metadata");
    let body = Body {
        contents,
        system_instruction: system,
        tools: tools.entries,
        tool_config: extra.merge_tool_config(config),
        generation_config: generation,
        extra: extra.top,
    };
    let body = serde_json::to_vec(&body)
        .map_err(|error| CallError::new(CallErrorKind::InvalidRequest, error.to_string()))?;
    Ok(Encoded { body, dropped: dropped.into_names() })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    contents: Vec<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_instruction: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<tool::Entry<'a>>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    tool_config: Map<String, Value>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    generation_config: Map<String, Value>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}
