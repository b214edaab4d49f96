//! The Anthropic Messages wire, in both directions.
//!
//! As a provider's wire (decoders are tolerant) and as a client's dialect (decoders are strict
//! and point at the mistake). Content of a kind that the payload does not know (server tools,
//! code execution, search results …) passes as [`DIALECT`] blocks, in its place, and is sent
//! back to Anthropic as it came. What a known block or tool has beyond the payload's fields
//! stands in a [`FIELDS`] block before it. Facts: Anthropic's API reference of 2026, the types
//! of its Python package 2.12, and recorded traffic.

pub mod error;
mod field;
mod finish;
pub mod request;
pub mod response;
mod sealed;
pub mod stream;
mod usage;

pub use crate::openai::Identity;

/// `dialect` of a content block, tool or tool choice kept as it stood, and of reasoning that
/// only Anthropic can read.
pub const DIALECT: &str = "anthropic-messages";
/// `dialect` of further fields of the block or tool just after. (Before it, so that a stream
/// can write them with the block's first event.) A `"type": "document"` among them makes a
/// document of the text that follows.
pub const FIELDS: &str = "anthropic-messages-fields";
/// `dialect` of further fields of the message that the block stands in. A `"role": "system"`
/// among them says that the client wrote its instructions into the conversation.
pub const MESSAGE_FIELDS: &str = "anthropic-messages-message-fields";
