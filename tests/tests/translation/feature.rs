//! What a client may ask for or be given, each a column of the tables.

use super::saying::{Failure, Saying};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Feature {
    Text,
    Stream,
    System,
    Image,
    ImageUrl,
    Pdf,
    Audio,
    Tools,
    ParallelCalls,
    StreamedArguments,
    ToolResults,
    ToolChoice,
    StructuredOutput,
    Effort,
    Reasoning,
    Signature,
    CachedTokens,
    Length,
    MaxTokens,
    Temperature,
    TopP,
    TopK,
    Stop,
    Seed,
    Penalties,
    RateLimit,
    Authentication,
    ContextLength,
    ServerError,
    CountTokens,
    // Of embeddings.
    Vector,
    Base64,
    Several,
    Dimensions,
    // The fine print.
    User,
    Metadata,
    OneCall,
    StrictTool,
    CacheMarks,
    ToolError,
    Logprobs,
    ImageDetail,
    FileName,
    SchemaName,
}

impl Feature {
    /// In the order of the columns.
    pub(crate) const ALL: [(Self, &str); 44] = [
        (Self::Vector, "vector"),
        (Self::Base64, "base64"),
        (Self::Several, "several inputs"),
        (Self::Dimensions, "dimensions"),
        (Self::Text, "text"),
        (Self::Stream, "stream"),
        (Self::System, "system prompt"),
        (Self::Image, "image"),
        (Self::ImageUrl, "image by URL"),
        (Self::Pdf, "PDF"),
        (Self::Audio, "audio"),
        (Self::Tools, "tools"),
        (Self::ParallelCalls, "parallel calls"),
        (Self::StreamedArguments, "streamed arguments"),
        (Self::ToolResults, "tool results"),
        (Self::ToolChoice, "tool choice"),
        (Self::StructuredOutput, "structured output"),
        (Self::Effort, "reasoning asked for"),
        (Self::Reasoning, "reasoning given"),
        (Self::Signature, "signature, two turns"),
        (Self::CachedTokens, "cached tokens"),
        (Self::Length, "cut by length"),
        (Self::MaxTokens, "max tokens"),
        (Self::Temperature, "temperature"),
        (Self::TopP, "top_p"),
        (Self::TopK, "top_k"),
        (Self::Stop, "stop"),
        (Self::Seed, "seed"),
        (Self::Penalties, "penalties"),
        (Self::RateLimit, "429, retry-after"),
        (Self::Authentication, "401"),
        (Self::ContextLength, "context length"),
        (Self::ServerError, "5xx"),
        (Self::CountTokens, "count tokens"),
        (Self::User, "user"),
        (Self::Metadata, "metadata"),
        (Self::OneCall, "no parallel calls"),
        (Self::StrictTool, "strict tool"),
        (Self::CacheMarks, "cache control"),
        (Self::ToolError, "tool error"),
        (Self::Logprobs, "logprobs"),
        (Self::ImageDetail, "image detail"),
        (Self::FileName, "file name"),
        (Self::SchemaName, "schema name"),
    ];

    pub(crate) fn title(self) -> &'static str {
        Self::ALL.iter().find(|(feature, _)| *feature == self).map_or("", |(_, title)| title)
    }

    /// It stands in a table of its own.
    pub(crate) fn is_fine_print(self) -> bool {
        self as usize >= Self::User as usize
    }

    /// What the model says when this is tried.
    pub(crate) fn saying(self) -> Saying {
        let text = Saying::text();
        let failing = |failure| Saying { failure: Some(failure), ..Saying::text() };
        match self {
            Self::Tools | Self::ToolChoice | Self::StreamedArguments => {
                Saying { calls: 1, text: None, ..text }
            }
            Self::ParallelCalls => Saying { calls: 2, text: None, ..text },
            Self::StructuredOutput | Self::SchemaName => {
                Saying { structure: true, text: None, ..text }
            }
            Self::Reasoning => Saying { thought: true, ..text },
            Self::Signature => Saying { thought: true, signed: true, calls: 1, text: None, ..text },
            Self::CachedTokens => Saying { cached: true, ..text },
            Self::Length => Saying { cut_short: true, ..text },
            Self::RateLimit => failing(Failure::RateLimit),
            Self::Authentication => failing(Failure::Authentication),
            Self::ContextLength => failing(Failure::ContextLength),
            Self::ServerError => failing(Failure::Server),
            _ => text,
        }
    }

    /// It is tried as a stream too: then both have to hold.
    pub(crate) fn is_streamed(self) -> bool {
        matches!(
            self,
            Self::Stream
                | Self::Tools
                | Self::ParallelCalls
                | Self::StreamedArguments
                | Self::StructuredOutput
                | Self::Reasoning
                | Self::CachedTokens
                | Self::Length
                | Self::RateLimit
        )
    }

    /// There is nothing to see in a whole answer.
    pub(crate) fn is_only_streamed(self) -> bool {
        matches!(self, Self::Stream | Self::StreamedArguments)
    }

    /// The names, in the payload, of parameters that may be left out and reported for it.
    pub(crate) fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::ToolChoice => &["tool_choice"],
            Self::Tools => &["tools"],
            Self::StructuredOutput => &["output_format"],
            Self::Effort => &["reasoning"],
            Self::MaxTokens => &["max_output_tokens"],
            Self::Temperature => &["temperature"],
            Self::TopP => &["top_p"],
            Self::TopK => &["top_k"],
            Self::Stop => &["stop"],
            Self::Seed => &["seed"],
            Self::Penalties => &["presence_penalty", "frequency_penalty"],
            Self::Dimensions => &["dimensions"],
            Self::ParallelCalls | Self::StreamedArguments => &["tools"],
            Self::User => &["user"],
            Self::Metadata => &["metadata"],
            Self::OneCall => &["parallel_tool_calls", "tools"],
            Self::StrictTool => &["tools.strict", "tools"],
            Self::ToolError => &["is_error"],
            Self::CacheMarks => &["cache_control"],
            Self::Logprobs => &["logprobs", "top_logprobs"],
            _ => &[],
        }
    }

    /// Words of a refusal that name it.
    pub(crate) fn nouns(self) -> &'static [&'static str] {
        match self {
            Self::Image | Self::ImageUrl | Self::ImageDetail => &["image"],
            Self::Pdf | Self::FileName => &["file", "document", "PDF"],
            Self::Audio => &["audio"],
            _ => &[],
        }
    }
}
