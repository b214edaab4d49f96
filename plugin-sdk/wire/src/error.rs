//! A failed call to a provider, in the terms the host decides on.
//!
//! The Rust face of `call-error` in `wit/types/types.wit`.

use serde::{Deserialize, Serialize};

/// A failed call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallError {
    pub kind: CallErrorKind,
    /// For people; the provider's own words where there are any.
    pub message: String,
    /// The provider's HTTP status, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The provider's own code, such as `context_length_exceeded`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_code: Option<String>,
    /// How long the provider asked to be left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// What went wrong at a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallErrorKind {
    RateLimited,
    Overloaded,
    Timeout,
    Authentication,
    Permission,
    NotFound,
    InvalidRequest,
    /// The endpoint cannot take a feature of the request; another may.
    Unsupported,
    ContextLength,
    ContentFilter,
    Server,
    MalformedResponse,
}

impl CallErrorKind {
    /// The name used in rows, metrics and error bodies.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::Timeout => "timeout",
            Self::Authentication => "authentication",
            Self::Permission => "permission",
            Self::NotFound => "not_found",
            Self::InvalidRequest => "invalid_request",
            Self::Unsupported => "unsupported",
            Self::ContextLength => "context_length",
            Self::ContentFilter => "content_filter",
            Self::Server => "server",
            Self::MalformedResponse => "malformed_response",
        }
    }
}

impl CallError {
    pub fn new(kind: CallErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            status: None,
            provider_code: None,
            retry_after_ms: None,
        }
    }
}
