//! Between the generated types and those of `torana-wire`, field by field.
//!
//! Nothing is lost and nothing invented; whatever is JSON on one side is encoded here.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use torana_wire::chat::FinishReason;

use crate::bindings::host::types;
use crate::bindings::provider::exports::torana::provider::adapter;
use crate::bindings::router::exports::torana::router::policy;
use crate::provider::{Built, Forwarded, PacedEvent, Patch};
use crate::router::Outcome;
use crate::{BlockKind, CallError, CallErrorKind, StreamEvent, Usage};

pub(crate) fn built(built: Built) -> Result<adapter::Built, CallError> {
    Ok(match built {
        Built::Send(request) => adapter::Built::Send(request),
        Built::Answer { response, after } => adapter::Built::Answer(adapter::LocalAnswer {
            response: json(&response)?,
            after_us: microseconds(after),
        }),
        Built::AnswerStream(events) => {
            adapter::Built::AnswerStream(events.into_iter().map(paced_event).collect())
        }
    })
}

pub(crate) fn forwarded(forwarded: Forwarded) -> Result<adapter::Forwarded, CallError> {
    let patches: Result<_, CallError> = forwarded.patches.into_iter().map(patch).collect();
    Ok(adapter::Forwarded {
        method: forwarded.method,
        path: forwarded.path,
        headers: forwarded.headers,
        patches: patches?,
    })
}

pub(crate) fn stream_event(event: StreamEvent) -> adapter::StreamEvent {
    use adapter::StreamEvent as To;
    let delta = |index, text| adapter::Delta { index, text };
    match event {
        StreamEvent::Started { id, model } => To::Started(adapter::Started { id, model }),
        StreamEvent::BlockStart { index, kind } => {
            To::BlockStart(adapter::BlockStart { index, kind: block_kind(kind) })
        }
        StreamEvent::TextDelta { index, text } => To::TextDelta(delta(index, text)),
        StreamEvent::ReasoningDelta { index, text } => To::ReasoningDelta(delta(index, text)),
        StreamEvent::ReasoningSignature { index, signature, dialect } => {
            To::ReasoningSignature(adapter::Signature { index, text: signature, dialect })
        }
        StreamEvent::ToolCallDelta { index, arguments } => {
            To::ToolCallDelta(delta(index, arguments))
        }
        StreamEvent::BlockStop { index } => To::BlockStop(index),
        StreamEvent::Usage(usage) => To::Usage(usage_to_host(usage)),
        StreamEvent::Finish(reason) => To::Finish(finish_reason(reason)),
        StreamEvent::Failed(error) => To::Failed(call_error(error)),
        StreamEvent::Other(value) => To::Other(text(&value)),
    }
}

pub(crate) fn call_error(error: CallError) -> types::CallError {
    types::CallError {
        kind: call_error_kind(error.kind),
        message: error.message,
        status: error.status,
        provider_code: error.provider_code,
        retry_after_ms: error.retry_after_ms,
    }
}

pub(crate) fn outcome(outcome: policy::Outcome) -> Outcome {
    Outcome {
        endpoint: outcome.endpoint,
        now_unix_ms: outcome.now_unix_ms,
        error: outcome.error.map(call_error_kind_from_host),
        ttft_ms: outcome.ttft_ms,
        total_ms: outcome.total_ms,
        usage: usage_from_host(outcome.usage),
    }
}

/// # Errors
///
/// Only for a value whose own encoder fails.
pub(crate) fn json(value: &impl Serialize) -> Result<Vec<u8>, CallError> {
    serde_json::to_vec(value).map_err(|error| {
        CallError::new(
            CallErrorKind::MalformedResponse,
            format!("cannot be written as JSON: {error}"),
        )
    })
}

fn paced_event(paced: PacedEvent) -> adapter::PacedEvent {
    adapter::PacedEvent { after_us: microseconds(paced.after), event: stream_event(paced.event) }
}

fn patch(patch: Patch) -> Result<adapter::Patch, CallError> {
    Ok(adapter::Patch { key: patch.key, value: patch.value.as_ref().map(json).transpose()? })
}

fn block_kind(kind: BlockKind) -> adapter::BlockKind {
    match kind {
        BlockKind::Text => adapter::BlockKind::Text,
        BlockKind::Reasoning => adapter::BlockKind::Reasoning,
        BlockKind::ToolCall { id, name } => {
            adapter::BlockKind::ToolCall(adapter::ToolCallStart { id, name })
        }
        BlockKind::Refusal => adapter::BlockKind::Refusal,
        BlockKind::Other(value) => adapter::BlockKind::Other(text(&value)),
    }
}

fn finish_reason(reason: FinishReason) -> adapter::FinishReason {
    match reason {
        FinishReason::Stop => adapter::FinishReason::Stop,
        FinishReason::Length => adapter::FinishReason::Length,
        FinishReason::ToolCalls => adapter::FinishReason::ToolCalls,
        FinishReason::ContentFilter => adapter::FinishReason::ContentFilter,
        FinishReason::Refusal => adapter::FinishReason::Refusal,
        FinishReason::Other(reason) => adapter::FinishReason::Other(reason),
    }
}

fn usage_to_host(usage: Usage) -> types::Usage {
    types::Usage {
        input: usage.input,
        output: usage.output,
        cached_input: usage.cached_input,
        cache_write: usage.cache_write,
        reasoning: usage.reasoning,
        audio: usage.audio,
        cost_usd: usage.cost_usd,
    }
}

fn usage_from_host(usage: types::Usage) -> Usage {
    Usage {
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

/// Pairs the two enumerations once, for both directions.
macro_rules! call_error_kinds {
    ($($kind:ident),*) => {
        fn call_error_kind(kind: CallErrorKind) -> types::CallErrorKind {
            match kind { $(CallErrorKind::$kind => types::CallErrorKind::$kind),* }
        }

        fn call_error_kind_from_host(kind: types::CallErrorKind) -> CallErrorKind {
            match kind { $(types::CallErrorKind::$kind => CallErrorKind::$kind),* }
        }
    };
}

call_error_kinds!(
    RateLimited,
    Overloaded,
    Timeout,
    Authentication,
    Permission,
    NotFound,
    InvalidRequest,
    Unsupported,
    ContextLength,
    ContentFilter,
    Server,
    MalformedResponse
);

fn text(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
