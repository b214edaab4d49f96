//! Tests of the adapter as a whole: golden files, recorded traffic, conversations there and
//! back, and properties of any input.

mod conversation;
mod golden;
mod property;
mod recordings;

use serde_json::Value;
use torana_plugin_sdk::chat::{Request, Response};
use torana_plugin_sdk::provider::{Built, Endpoint, HttpRequest, Provider};
use torana_plugin_sdk::wire::assemble::Assembler;
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

fn assemble(events: &[StreamEvent]) -> Response {
    let mut assembler = Assembler::default();
    events.iter().for_each(|event| assembler.push(event));
    assembler.finish()
}

/// Every block is started once, filled only while open, and stopped.
fn assert_well_formed(name: &str, events: &[StreamEvent]) {
    let mut open = None;
    let mut next = 0;
    for event in events {
        match event {
            StreamEvent::BlockStart { index, .. } => {
                assert_eq!((*index, open), (next, None), "{name}");
                open = Some(*index);
                next += 1;
            }
            StreamEvent::TextDelta { index, .. }
            | StreamEvent::ReasoningDelta { index, .. }
            | StreamEvent::ReasoningSignature { index, .. }
            | StreamEvent::ToolCallDelta { index, .. } => {
                assert_eq!(open, Some(*index), "{name}: delta to a block that is not open");
            }
            StreamEvent::BlockStop { index } => assert_eq!(open.take(), Some(*index), "{name}"),
            _ => {}
        }
    }
    let ends =
        |event: &&StreamEvent| matches!(event, StreamEvent::Finish(_) | StreamEvent::Failed(_));
    let ends = events.iter().filter(ends).count();
    assert!(ends <= 1, "{name}: it ends {ends} times");
    if matches!(events.last(), Some(StreamEvent::Finish(_))) {
        assert_eq!(open, None, "{name}: a block is left open");
    }
}
