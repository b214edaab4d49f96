//! What a server on this wire takes, where it is not what OpenAI's description says.
//!
//! The default sends everything a client of this dialect said, under the names it used: one
//! that goes out as it came in. Adapters for a certain provider say what that provider
//! documents.

use crate::chat::{MediaKind, MediaSource};

/// What a server takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The name of the limit on output tokens.
    pub limit: LimitName,
    /// Streamed requests ask for usage at the end. Off: no `stream_options` at all.
    pub stream_options: bool,
    /// Where the model's earlier reasoning goes.
    pub reasoning: ReasoningPlace,
    /// The wish to reason is OpenRouter's object `reasoning`, which has room for a budget of
    /// tokens. Off: `reasoning_effort`, unless the client used the object.
    pub reasoning_object: bool,
    /// Markers for prompt caching, as Anthropic spells them.
    pub cache_control: bool,
    /// `strict` of a function.
    pub strict_tools: bool,
    /// The role `developer`. Off: it is sent as `system`.
    pub developer_role: bool,
    /// Media in a tool's result. Off: it follows in a message of the user.
    pub tool_media: bool,
    /// Media that the server reads.
    pub inputs: Vec<Input>,
    /// Top-level parameters that are otherwise another dialect's, such as `thinking`.
    pub accepts: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limit: LimitName::AsWritten,
            stream_options: true,
            reasoning: ReasoningPlace::AsWritten,
            reasoning_object: false,
            cache_control: true,
            strict_tools: true,
            developer_role: true,
            tool_media: true,
            inputs: Input::ALL.to_vec(),
            accepts: Vec::new(),
        }
    }
}

/// What the limit on output tokens is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitName {
    /// `max_completion_tokens` if the client used that, else `max_tokens`.
    AsWritten,
    MaxTokens,
    /// OpenAI's reasoning models take no other.
    MaxCompletionTokens,
}

/// Where a message of the assistant has its reasoning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReasoningPlace {
    /// Where the client had it; `reasoning_content` if it used another dialect.
    AsWritten,
    /// Nowhere: the server does not want it back.
    Nowhere,
    /// DeepSeek's name, which most took over.
    ReasoningContent,
    Reasoning,
    /// OpenRouter's list, with signatures and encrypted parts.
    ReasoningDetails,
    /// Mistral's content part.
    Thinking,
}

/// A kind of media in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    Image,
    Audio,
    AudioUrl,
    Video,
    File,
    FileUrl,
}

impl Input {
    pub const ALL: [Self; 6] =
        [Self::Image, Self::Audio, Self::AudioUrl, Self::Video, Self::File, Self::FileUrl];

    pub(super) fn of(kind: MediaKind, source: &MediaSource) -> Self {
        match (kind, source) {
            (MediaKind::Image, _) => Self::Image,
            (MediaKind::Video, _) => Self::Video,
            (MediaKind::Audio, MediaSource::Url { .. }) => Self::AudioUrl,
            (MediaKind::Audio, _) => Self::Audio,
            (MediaKind::File, MediaSource::Url { .. }) => Self::FileUrl,
            (MediaKind::File, _) => Self::File,
        }
    }

    /// As a noun, for a message.
    pub(super) fn feature(self) -> &'static str {
        match self {
            Self::Image => "image input",
            Self::Audio => "audio input",
            Self::AudioUrl => "audio input by URL",
            Self::Video => "video input",
            Self::File => "file input",
            Self::FileUrl => "file input by URL",
        }
    }
}
