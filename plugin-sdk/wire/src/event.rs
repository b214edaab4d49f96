//! One step of a streamed answer, and a whole answer put together from such steps.
//!
//! The Rust face of `stream-event` in `wit/provider/provider.wit`.

use serde_json::Value;

use crate::chat::{FinishReason, Usage};
use crate::error::CallError;

/// One step of a streamed answer. Deltas go only to a block that was started and not
/// stopped. A stream that ends without [`StreamEvent::Finish`] is broken, however it looks.
#[derive(Debug, Clone, PartialEq)]
pub enum StreamEvent {
    /// First of all, once.
    Started {
        /// The provider's id of the response; empty if it has none.
        id: String,
        /// The model that answers, in the provider's words.
        model: String,
    },
    /// A block begins. `index` counts from 0.
    BlockStart {
        index: u32,
        kind: BlockKind,
    },
    /// More of a text or refusal block.
    TextDelta {
        index: u32,
        text: String,
    },
    /// More of a reasoning block.
    ReasoningDelta {
        index: u32,
        text: String,
    },
    /// The signature that a reasoning block must be sent back with.
    ReasoningSignature {
        index: u32,
        signature: String,
        /// Whose signature it is, such as `anthropic-messages`: nobody else accepts it. Empty:
        /// unknown.
        dialect: String,
    },
    /// A piece of the JSON text of a tool call's arguments.
    ToolCallDelta {
        index: u32,
        arguments: String,
    },
    BlockStop {
        index: u32,
    },
    /// Totals so far; a later one replaces an earlier one.
    Usage(Usage),
    Finish(FinishReason),
    /// The provider reported a failure inside the stream. Nothing follows.
    Failed(CallError),
    /// An event that has no place above.
    ///
    /// Two shapes mean something to everybody: `{"index": n, "extra": {…}}` adds fields to
    /// the text block `n` (citations, annotations, log probabilities), `{"extra": {…}}` adds
    /// top-level fields to the response. Arrays add up, other values replace.
    Other(Value),
}

/// What a block that begins will hold.
#[derive(Debug, Clone, PartialEq)]
pub enum BlockKind {
    Text,
    Reasoning,
    ToolCall {
        id: String,
        name: String,
    },
    Refusal,
    /// A whole block that has no deltas: the canonical JSON of a [`crate::chat::Block`], such
    /// as `Other`, `Media` or an encrypted `Reasoning`.
    Other(Value),
}
