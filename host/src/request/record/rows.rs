//! The shapes of rows, as `docs/data-model.md` describes them.

use std::sync::Arc;

use serde::Serialize;
use torana_routing::execution::Reason;
use torana_routing::price::CostSource;
use torana_wire::chat::Usage;
use uuid::Uuid;

use super::super::tags::Tags;
use super::super::tool_calls::InvalidToolCall;
use super::super::trace::{SpanId, TraceId};
use super::{ErrorFields, content};
use crate::routing::decision::Decision;

/// An inference row, as `docs/data-model.md` describes it.
#[derive(Serialize)]
pub(super) struct InferenceFields<'a> {
    pub(super) id: Uuid,
    pub(super) time_unix_ms: u64,
    pub(super) dialect: &'static str,
    pub(super) key: Option<&'a str>,
    pub(super) function: Option<&'a str>,
    pub(super) variant: Option<&'a str>,
    pub(super) model: &'a str,
    pub(super) endpoint: Option<&'a str>,
    pub(super) outcome: &'static str,
    pub(super) episode_id: Option<Uuid>,
    /// Before `tags`: stores that blank expired content look for it by its text.
    pub(super) content: &'static str,
    pub(super) tags: &'a Tags,
    pub(super) response_id: Option<&'a str>,
    pub(super) trace_id: TraceId,
    pub(super) span_id: SpanId,
    pub(super) parent_span_id: Option<SpanId>,
    pub(super) generation: u64,
    pub(super) snapshot: &'a str,
    pub(super) stream: bool,
    pub(super) status: u16,
    pub(super) usage: Option<&'a Usage>,
    pub(super) cost_usd: Option<f64>,
    pub(super) cost_source: Option<CostSource>,
    pub(super) finish_reason: Option<String>,
    pub(super) ttft_ms: Option<f64>,
    pub(super) total_ms: f64,
    pub(super) overhead_us: u64,
    pub(super) attempts: usize,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub(super) dropped_params: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) invalid_tool_calls: Vec<InvalidCallFields<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) invalid_output: Vec<String>,
    #[serde(skip_serializing_if = "<[Resumed]>::is_empty")]
    pub(super) resumed: &'a [Resumed],
    pub(super) error: Option<ErrorFields>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) redacted: bool,
    /// Absent where it is a body of the row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request: Option<content::Shown<'a>>,
    pub(super) response: content::Shown<'a>,
    pub(super) decision: Option<&'a Decision>,
}

/// Where an answer was gone on with.
#[derive(Serialize)]
pub(super) struct Resumed {
    pub(super) endpoint: Arc<str>,
    pub(super) after_characters: usize,
}

/// A tool call that does not fit its schema.
#[derive(Serialize)]
pub(super) struct InvalidCallFields<'a> {
    pub(super) id: &'a str,
    pub(super) name: &'a str,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl<'a> InvalidCallFields<'a> {
    /// `quotes`: the message may show what was answered.
    pub(super) fn of(call: &'a InvalidToolCall, quotes: bool) -> Self {
        let InvalidToolCall { id, name, reason } = call;
        let message = content::remark(reason.to_string(), quotes);
        Self { id, name, reason: reason.as_str(), message }
    }
}

/// A model-inference row, as `docs/data-model.md` describes it, but for its bodies.
#[derive(Serialize)]
pub(super) struct AttemptFields<'a> {
    pub(super) id: Uuid,
    pub(super) inference_id: Uuid,
    pub(super) time_unix_ms: u64,
    pub(super) key: Option<&'a str>,
    pub(super) function: Option<&'a str>,
    pub(super) variant: Option<&'a str>,
    pub(super) model: &'a str,
    pub(super) endpoint: &'a str,
    pub(super) episode_id: Option<Uuid>,
    pub(super) trace_id: TraceId,
    pub(super) span_id: SpanId,
    pub(super) stream: bool,
    pub(super) attempt: u32,
    pub(super) reason: Reason,
    pub(super) outcome: &'static str,
    pub(super) status: Option<u16>,
    pub(super) ttft_ms: Option<f64>,
    pub(super) total_ms: f64,
    pub(super) usage: Option<&'a Usage>,
    pub(super) cost_usd: Option<f64>,
    pub(super) cost_source: Option<CostSource>,
    pub(super) error: Option<ErrorFields>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) raw_truncated: bool,
}
