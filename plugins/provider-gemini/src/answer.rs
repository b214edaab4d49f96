//! Whole answers: one chunk of a stream, that holds everything.

use torana_plugin_sdk::chat::Response;
use torana_plugin_sdk::wire::assemble::Assembler;
use torana_plugin_sdk::{CallError, CallErrorKind, StreamEvent};

use crate::stream::Decoder;

/// The response that a provider's body means.
///
/// # Errors
///
/// `MalformedResponse` for a body that is no answer or says nothing; the reported failure
/// for an error.
pub(crate) fn decode(body: &[u8]) -> Result<Response, CallError> {
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    decoder.push(body, &mut events);
    decoder.finish(&mut events);
    let mut assembler = Assembler::default();
    for event in events {
        if let StreamEvent::Failed(error) = event {
            return Err(error);
        }
        assembler.push(&event);
    }
    if assembler.is_truncated() {
        return Err(malformed("the answer is larger than the gateway keeps of one"));
    }
    let response = assembler.finish();
    match response.blocks.is_empty() && response.finish_reason.is_none() {
        true => Err(malformed("the answer has neither content nor a reason for its end")),
        false => Ok(response),
    }
}

fn malformed(message: &str) -> CallError {
    CallError::new(CallErrorKind::MalformedResponse, message)
}
