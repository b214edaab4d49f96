//! The OpenAI Chat Completions wire, in both directions.
//!
//! As a provider's wire (most servers speak it, each a little differently: decoders are
//! tolerant) and as a client's dialect (decoders are strict and point at the mistake).
//! What the chat payload has no field for travels beside it and is written back by
//! [`request::encode`]; other wires leave it out. The names below say where it belongs.
//! Facts: OpenAI's API description and recorded traffic of a dozen compatible servers.

mod details;
pub mod error;
pub(crate) mod finish;
mod part;
pub mod request;
pub mod response;
pub mod stream;
mod text;
pub mod think;
pub(crate) mod usage;

/// `dialect` of a content part, tool or tool choice kept as it stood.
pub const DIALECT: &str = "openai-chat";
/// `dialect` of an entry of `tool_calls` kept as it stood.
pub const TOOL_CALL: &str = "openai-chat-tool-call";
/// `dialect` of further fields of the block or tool just before.
pub const FIELDS: &str = "openai-chat-fields";
/// `dialect` of further fields of the message that the block stands in.
pub const MESSAGE_FIELDS: &str = "openai-chat-message-fields";

/// What an answer to a client says of itself.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    pub id: &'a str,
    /// The model as the client knows it.
    pub model: &'a str,
    /// Seconds since 1970-01-01T00:00:00Z.
    pub created: u64,
}
