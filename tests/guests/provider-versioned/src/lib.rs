//! Answers every request with `MARKER`, which a test overwrites in the component's bytes
//! to get another version of the same plugin.
//!
//! A stream says the marker `REPEATS` times, so that a stream served by two versions would
//! show both.

use std::hint::black_box;
use std::time::Duration;

use torana_plugin_sdk::chat::{Block, FinishReason, Request, Response};
use torana_plugin_sdk::provider::{
    Built, CredentialScheme, Endpoint, Info, NoStream, PacedEvent, Provider,
};
use torana_plugin_sdk::{BlockKind, CallError, NoSettings, SettingsError, StreamEvent, Usage};

/// Long enough that the compiler keeps it as data. `tests/src/guest.rs` knows it too.
const MARKER: &str = "torana-test-marker-version-one";

const REPEATS: u32 = 5;

/// Long enough that reloads fall into a stream.
const PAUSE: Duration = Duration::from_millis(4);

struct Versioned;

impl Provider for Versioned {
    type Settings = NoSettings;
    type Stream = NoStream;

    fn describe(_: &NoSettings) -> Result<Info, SettingsError> {
        Ok(Info::new([], CredentialScheme::None))
    }

    fn build(endpoint: &Endpoint<NoSettings>, request: Request) -> Result<Built, CallError> {
        let text = black_box(MARKER);
        if request.stream {
            return Ok(Built::AnswerStream(stream(&endpoint.model, text)));
        }
        Ok(Built::Answer {
            response: Response {
                id: "versioned".into(),
                model: endpoint.model.clone(),
                blocks: vec![Block::text(text)],
                finish_reason: Some(FinishReason::Stop),
                usage: Some(usage()),
                ..Response::default()
            },
            after: Duration::ZERO,
        })
    }

    fn stream(_: &Endpoint<NoSettings>) -> NoStream {
        NoStream
    }
}

fn stream(model: &str, text: &str) -> Vec<PacedEvent> {
    let delta = || StreamEvent::TextDelta { index: 0, text: format!("{text} ") };
    let mut events = vec![
        StreamEvent::Started { id: "versioned".into(), model: model.to_owned() },
        StreamEvent::BlockStart { index: 0, kind: BlockKind::Text },
    ];
    events.extend((0..REPEATS).map(|_| delta()));
    events.push(StreamEvent::BlockStop { index: 0 });
    events.push(StreamEvent::Usage(usage()));
    events.push(StreamEvent::Finish(FinishReason::Stop));
    events.into_iter().map(|event| PacedEvent { after: PAUSE, event }).collect()
}

fn usage() -> Usage {
    Usage { input: 1, output: u64::from(REPEATS), ..Usage::default() }
}

torana_plugin_sdk::export_provider!(Versioned);
