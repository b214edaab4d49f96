//! Tests of the adapter as a whole: golden files, recorded traffic, conversations there and
//! back, and properties of any input.

mod conversation;
mod golden;
mod property;
mod recordings;

use serde_json::Value;
use torana_plugin_sdk::chat::Request;
use torana_plugin_sdk::provider::{Built, Endpoint, HttpRequest, Provider};
use torana_plugin_sdk::wire::assemble::assemble;
use torana_plugin_sdk::wire::conformance;
use torana_plugin_sdk::{CallError, StreamEvent};

use crate::settings::Settings;
use crate::stream::Decoder;
use crate::{Gemini, settings};

fn endpoint(model: &str, platform: settings::Platform) -> Endpoint<Settings> {
    Endpoint { model: model.into(), settings: Settings { platform, ..Settings::default() } }
}

fn sent(endpoint: &Endpoint<Settings>, request: Request) -> Result<HttpRequest, CallError> {
    match Gemini::build(endpoint, request)? {
        Built::Send(sent) => Ok(sent),
        other => unreachable!("{other:?}"),
    }
}

fn decode(chunks: &[Value]) -> Vec<StreamEvent> {
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    for chunk in chunks {
        decoder.push(chunk.to_string().as_bytes(), &mut events);
    }
    decoder.finish(&mut events);
    events
}

/// Beside what the contract asks: one block at a time.
fn assert_well_formed(name: &str, events: &[StreamEvent]) {
    conformance::assert_well_formed(name, events);
    let edges = events.iter().filter_map(|event| match event {
        StreamEvent::BlockStart { .. } => Some(true),
        StreamEvent::BlockStop { .. } => Some(false),
        _ => None,
    });
    for (edge, is_start) in edges.zip([true, false].into_iter().cycle()) {
        assert_eq!(edge, is_start, "{name}: blocks lie within one another");
    }
}
