//! Generated types to and from the wire crate's, one place for all kinds.

use torana_wire::chat::{FinishReason, Usage};
use torana_wire::error::{CallError, CallErrorKind};
use torana_wire::event::{BlockKind, StreamEvent};

use super::bindings::host::torana::types::types;
use super::bindings::provider::exports::torana::provider::adapter;

impl From<types::CallErrorKind> for CallErrorKind {
    fn from(kind: types::CallErrorKind) -> Self {
        use types::CallErrorKind as Wit;
        match kind {
            Wit::RateLimited => Self::RateLimited,
            Wit::Overloaded => Self::Overloaded,
            Wit::Timeout => Self::Timeout,
            Wit::Authentication => Self::Authentication,
            Wit::Permission => Self::Permission,
            Wit::NotFound => Self::NotFound,
            Wit::InvalidRequest => Self::InvalidRequest,
            Wit::Unsupported => Self::Unsupported,
            Wit::ContextLength => Self::ContextLength,
            Wit::ContentFilter => Self::ContentFilter,
            Wit::Server => Self::Server,
            Wit::MalformedResponse => Self::MalformedResponse,
        }
    }
}

impl From<CallErrorKind> for types::CallErrorKind {
    fn from(kind: CallErrorKind) -> Self {
        match kind {
            CallErrorKind::RateLimited => Self::RateLimited,
            CallErrorKind::Overloaded => Self::Overloaded,
            CallErrorKind::Timeout => Self::Timeout,
            CallErrorKind::Authentication => Self::Authentication,
            CallErrorKind::Permission => Self::Permission,
            CallErrorKind::NotFound => Self::NotFound,
            CallErrorKind::InvalidRequest => Self::InvalidRequest,
            CallErrorKind::Unsupported => Self::Unsupported,
            CallErrorKind::ContextLength => Self::ContextLength,
            CallErrorKind::ContentFilter => Self::ContentFilter,
            CallErrorKind::Server => Self::Server,
            CallErrorKind::MalformedResponse => Self::MalformedResponse,
        }
    }
}

impl From<types::CallError> for CallError {
    fn from(error: types::CallError) -> Self {
        Self {
            kind: error.kind.into(),
            message: error.message,
            status: error.status,
            provider_code: error.provider_code,
            retry_after_ms: error.retry_after_ms,
        }
    }
}

impl From<types::Usage> for Usage {
    fn from(usage: types::Usage) -> Self {
        Self {
            input: usage.input,
            output: usage.output,
            cached_input: usage.cached_input,
            cache_write: usage.cache_write,
            reasoning: usage.reasoning,
            audio: usage.audio,
            cost_usd: usage.cost_usd,
            estimated: false,
        }
    }
}

impl From<Usage> for types::Usage {
    fn from(usage: Usage) -> Self {
        Self {
            input: usage.input,
            output: usage.output,
            cached_input: usage.cached_input,
            cache_write: usage.cache_write,
            reasoning: usage.reasoning,
            audio: usage.audio,
            cost_usd: usage.cost_usd,
        }
    }
}

fn finish_reason(reason: adapter::FinishReason) -> FinishReason {
    match reason {
        adapter::FinishReason::Stop => FinishReason::Stop,
        adapter::FinishReason::Length => FinishReason::Length,
        adapter::FinishReason::ToolCalls => FinishReason::ToolCalls,
        adapter::FinishReason::ContentFilter => FinishReason::ContentFilter,
        adapter::FinishReason::Refusal => FinishReason::Refusal,
        adapter::FinishReason::Other(reason) => FinishReason::Other(reason),
    }
}

/// JSON that does not parse is a malformed response of the adapter's making.
fn json(bytes: &[u8]) -> Result<serde_json::Value, CallError> {
    serde_json::from_slice(bytes).map_err(|error| {
        CallError::new(
            CallErrorKind::MalformedResponse,
            format!("the provider plugin gave an event that is not JSON: {error}"),
        )
    })
}

pub(super) fn event(event: adapter::StreamEvent) -> StreamEvent {
    use adapter::StreamEvent as Wit;
    let checked = |value: Result<StreamEvent, CallError>| value.unwrap_or_else(StreamEvent::Failed);
    match event {
        Wit::Started(started) => StreamEvent::Started { id: started.id, model: started.model },
        Wit::BlockStart(start) => checked(
            block_kind(start.kind).map(|kind| StreamEvent::BlockStart { index: start.index, kind }),
        ),
        Wit::TextDelta(delta) => StreamEvent::TextDelta { index: delta.index, text: delta.text },
        Wit::ReasoningDelta(delta) => {
            StreamEvent::ReasoningDelta { index: delta.index, text: delta.text }
        }
        Wit::ReasoningSignature(signed) => StreamEvent::ReasoningSignature {
            index: signed.index,
            signature: signed.text,
            dialect: signed.dialect,
        },
        Wit::ToolCallDelta(delta) => {
            StreamEvent::ToolCallDelta { index: delta.index, arguments: delta.text }
        }
        Wit::BlockStop(index) => StreamEvent::BlockStop { index },
        Wit::Usage(usage) => StreamEvent::Usage(usage.into()),
        Wit::Finish(reason) => StreamEvent::Finish(finish_reason(reason)),
        Wit::Failed(error) => StreamEvent::Failed(error.into()),
        Wit::Other(value) => checked(json(&value).map(StreamEvent::Other)),
    }
}

fn block_kind(kind: adapter::BlockKind) -> Result<BlockKind, CallError> {
    Ok(match kind {
        adapter::BlockKind::Text => BlockKind::Text,
        adapter::BlockKind::Reasoning => BlockKind::Reasoning,
        adapter::BlockKind::ToolCall(start) => {
            BlockKind::ToolCall { id: start.id, name: start.name }
        }
        adapter::BlockKind::Refusal => BlockKind::Refusal,
        adapter::BlockKind::Other(value) => BlockKind::Other(json(&value)?),
    })
}
