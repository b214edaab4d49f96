//! Reading a streamed answer on either route.
//!
//! The parser sees frames and no headers: counts that a server gives only there
//! (`usage_headers`) are lost for streams.

use torana_plugin_sdk::StreamEvent;
use torana_plugin_sdk::provider::{Frame, StreamParser};
use torana_plugin_sdk::wire::openai::think::Splitter;
use torana_plugin_sdk::wire::{openai, responses};

use crate::settings::{Api, Settings};

/// Reads one stream.
#[derive(Debug)]
pub(crate) struct Stream {
    decoder: Decoder,
    splitter: Option<Splitter>,
}

#[derive(Debug)]
enum Decoder {
    Chat(Box<openai::stream::Decoder>),
    Responses(responses::stream::Decoder),
}

impl Stream {
    pub(crate) fn new(settings: &Settings) -> Self {
        let decoder = match settings.api {
            Api::Chat => Decoder::Chat(Box::default()),
            Api::Responses => Decoder::Responses(responses::stream::Decoder::default()),
        };
        Self { decoder, splitter: settings.think_tags.then(Splitter::default) }
    }

    fn read(
        &mut self,
        events: &mut Vec<StreamEvent>,
        step: impl FnOnce(&mut Decoder, &mut Vec<StreamEvent>),
    ) {
        let Some(splitter) = &mut self.splitter else {
            return step(&mut self.decoder, events);
        };
        let mut decoded = Vec::new();
        step(&mut self.decoder, &mut decoded);
        decoded.into_iter().for_each(|event| splitter.push(event, events));
    }
}

impl StreamParser for Stream {
    fn push(&mut self, frame: &Frame, events: &mut Vec<StreamEvent>) {
        self.read(events, |decoder, events| match decoder {
            Decoder::Chat(decoder) => decoder.push(&frame.data, events),
            Decoder::Responses(decoder) => {
                decoder.push(frame.event.as_deref(), &frame.data, events);
            }
        });
    }

    fn finish(&mut self, events: &mut Vec<StreamEvent>) {
        self.read(events, |decoder, events| match decoder {
            Decoder::Chat(decoder) => decoder.finish(events),
            Decoder::Responses(decoder) => decoder.finish(events),
        });
        if let Some(splitter) = &mut self.splitter {
            splitter.finish(events);
        }
    }
}
