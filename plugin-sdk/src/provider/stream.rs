//! Reading streamed answers: what an adapter implements, and what the SDK has ready.
//!
//! The host cuts the bytes into frames; a parser turns frames into events, in order, and
//! must give the same events however the frames are batched.

use torana_wire::{anthropic, openai};

use super::Frame;
use crate::{CallError, CallErrorKind, StreamEvent};

/// Turns the frames of one streamed answer into events.
pub trait StreamParser {
    /// The next frame. Pushes whatever events it completes.
    fn push(&mut self, frame: &Frame, events: &mut Vec<StreamEvent>);

    /// The provider closed the stream. Pushes whatever is still owed; a stream that is not
    /// complete must not look so.
    fn finish(&mut self, events: &mut Vec<StreamEvent>);
}

/// For an adapter that never sends: any stream is a failure.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoStream;

impl StreamParser for NoStream {
    fn push(&mut self, _: &Frame, events: &mut Vec<StreamEvent>) {
        self.finish(events);
    }

    fn finish(&mut self, events: &mut Vec<StreamEvent>) {
        events.push(StreamEvent::Failed(CallError::new(
            CallErrorKind::MalformedResponse,
            "this adapter expects no stream",
        )));
    }
}

/// OpenAI's `chat.completion.chunk` frames.
impl StreamParser for openai::stream::Decoder {
    fn push(&mut self, frame: &Frame, events: &mut Vec<StreamEvent>) {
        Self::push(self, &frame.data, events);
    }

    fn finish(&mut self, events: &mut Vec<StreamEvent>) {
        Self::finish(self, events);
    }
}

/// The events of Anthropic's messages stream.
impl StreamParser for anthropic::stream::Decoder {
    fn push(&mut self, frame: &Frame, events: &mut Vec<StreamEvent>) {
        Self::push(self, frame.event.as_deref(), &frame.data, events);
    }

    fn finish(&mut self, events: &mut Vec<StreamEvent>) {
        Self::finish(self, events);
    }
}
