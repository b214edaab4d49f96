//! The dialects and routes that clients speak, one value for each, and everything that
//! depends on which it is: how a body is read ([`head`]), how an answer is written
//! ([`encode`]), how a provider's own bytes are watched on their way through ([`watch`]).
//!
//! The codecs are `torana_wire`'s. A stage of the request asks its [`Dialect`]; few match on
//! one (where a system message stands, what an id looks like). A dialect is added here.

pub mod encode;
pub mod head;
pub mod watch;

use torana_wire::chat::Request;
use torana_wire::{DecodeError, anthropic, completions, openai, responses};

use crate::plugin::provider::Wire;

/// What a client speaks, and what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    OpenaiChat,
    OpenaiCompletions,
    OpenaiResponses,
    OpenaiEmbeddings,
    AnthropicMessages,
    AnthropicCountTokens,
}

impl Dialect {
    /// The name in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenaiChat => openai::DIALECT,
            Self::OpenaiCompletions => "openai-completions",
            Self::OpenaiResponses => responses::DIALECT,
            Self::OpenaiEmbeddings => "openai-embeddings",
            Self::AnthropicMessages => anthropic::DIALECT,
            Self::AnthropicCountTokens => "anthropic-count-tokens",
        }
    }

    /// The provider's route that takes this body as it is.
    pub fn wire(self) -> Wire {
        match self {
            Self::OpenaiChat => Wire::OpenaiChat,
            Self::OpenaiCompletions => Wire::OpenaiCompletions,
            Self::OpenaiResponses => Wire::OpenaiResponses,
            Self::OpenaiEmbeddings => Wire::OpenaiEmbeddings,
            Self::AnthropicMessages => Wire::AnthropicMessages,
            Self::AnthropicCountTokens => Wire::AnthropicCountTokens,
        }
    }

    /// Errors and model lists have Anthropic's shape.
    pub fn is_anthropic(self) -> bool {
        matches!(self, Self::AnthropicMessages | Self::AnthropicCountTokens)
    }

    /// The answer is a conversation's next turn: it has a chat payload.
    pub fn is_chat(self) -> bool {
        !matches!(self, Self::OpenaiEmbeddings | Self::AnthropicCountTokens)
    }

    /// `stream_options.include_usage` asks for usage at the end of a stream.
    pub fn asks_for_usage(self) -> bool {
        matches!(self, Self::OpenaiChat | Self::OpenaiCompletions)
    }

    /// The chat payload that a body means.
    ///
    /// # Errors
    /// Where the body is of the wrong shape. Embeddings have no chat payload.
    pub fn decode(self, body: &[u8]) -> Result<Request, DecodeError> {
        match self {
            Self::OpenaiChat | Self::OpenaiEmbeddings => openai::request::decode(body),
            Self::OpenaiCompletions => completions::request::decode(body),
            Self::OpenaiResponses => responses::request::decode(body),
            Self::AnthropicMessages => anthropic::request::decode(body),
            Self::AnthropicCountTokens => anthropic::request::decode_to_count(body),
        }
    }

    /// What the dialect calls a parameter of the chat payload.
    pub fn parameter(self, name: &str) -> &str {
        match (self, name) {
            (Self::OpenaiChat, "output_format") => "response_format",
            (Self::OpenaiResponses, "output_format") => "text.format",
            (Self::AnthropicMessages, "output_format") => "output_config.format",
            (Self::OpenaiChat, "reasoning") => "reasoning_effort",
            (Self::AnthropicMessages, "reasoning") => "thinking",
            (Self::OpenaiResponses, "max_output_tokens") => name,
            (_, "max_output_tokens") => "max_tokens",
            (Self::AnthropicMessages, "stop") => "stop_sequences",
            (Self::AnthropicMessages, "user") => "metadata.user_id",
            _ => name,
        }
    }

    /// The name that OpenAI's chat requests have for a key of this dialect's.
    pub fn chat_parameter(self, key: &str) -> &str {
        match (self, key) {
            (Self::OpenaiResponses, "text") => "response_format",
            (Self::OpenaiResponses, "max_output_tokens") => "max_tokens",
            (Self::OpenaiResponses, "input" | "instructions") => "messages",
            (Self::AnthropicMessages, "output_config") => "response_format",
            (Self::AnthropicMessages, "thinking") => "reasoning",
            (Self::AnthropicMessages, "stop_sequences") => "stop",
            (Self::AnthropicMessages, "system") => "messages",
            (Self::OpenaiCompletions, "prompt") | (Self::OpenaiEmbeddings, "input") => "messages",
            _ => key,
        }
    }

    /// Where the schema of a structured answer stands.
    pub fn schema_place(self) -> &'static str {
        match self {
            Self::OpenaiResponses => "text.format.schema",
            Self::AnthropicMessages | Self::AnthropicCountTokens => "output_config.format.schema",
            _ => "response_format.json_schema.schema",
        }
    }

    /// Where a place in the body is wrong, as the dialect's own errors name it.
    pub fn place(self, pointer: &str) -> String {
        pointer.trim_start_matches('/').replace('/', ".")
    }
}
