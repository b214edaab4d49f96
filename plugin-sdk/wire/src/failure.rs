//! What a provider's error means, from its status, code and words.
//!
//! Shared by the error decoders of all wires. A status says most; codes and, where a
//! provider gives no code, a few well-known phrases make it precise. Unknown is not guessed:
//! it keeps the meaning of its status.

use crate::error::{CallError, CallErrorKind};

/// Characters kept by [`excerpt`].
const KEPT_CHARACTERS: usize = 300;

/// A provider's account of a failure. Empty where it gave nothing.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) message: String,
    pub(crate) code: String,
    /// The provider's class of errors, such as `invalid_request_error`.
    pub(crate) class: String,
}

impl Account {
    /// `status` 0 stands for a failure reported inside an answer that began well.
    pub(crate) fn into_error(self, status: u16, retry_after_ms: Option<u64>) -> CallError {
        let status = match status {
            0..=299 => self.code.parse().ok().filter(|code| (400..600).contains(code)),
            status => Some(status),
        };
        let kind = self.kind(status);
        let message = match self.message.is_empty() {
            false => self.message,
            true => status.map_or_else(
                || "the provider reported a failure without a word".into(),
                |status| format!("the provider answered with status {status} and no message"),
            ),
        };
        let provider_code = [self.code, self.class].into_iter().find(|code| !code.is_empty());
        CallError { kind, message, status, provider_code, retry_after_ms }
    }

    fn kind(&self, status: Option<u16>) -> CallErrorKind {
        if let Some(kind) = from_code(&self.code).or_else(|| from_code(&self.class)) {
            return kind;
        }
        let kind = match status {
            Some(status) => from_status(status),
            None => from_class(&self.class),
        };
        match kind {
            CallErrorKind::InvalidRequest if names_context_length(&self.message) => {
                CallErrorKind::ContextLength
            }
            kind => kind,
        }
    }
}

/// The first 300 characters of a body that has no known shape, for a message: a first line,
/// not a web page.
pub fn excerpt(body: &[u8]) -> String {
    let longest = KEPT_CHARACTERS * 4;
    let start = body.get(..longest).unwrap_or(body);
    String::from_utf8_lossy(start).trim().chars().take(KEPT_CHARACTERS).collect()
}

/// What a status means where nothing else is known.
pub(crate) fn from_status(status: u16) -> CallErrorKind {
    match status {
        401 => CallErrorKind::Authentication,
        // Payment required: the account is empty, no repetition helps.
        402 | 403 => CallErrorKind::Permission,
        404 | 410 => CallErrorKind::NotFound,
        408 | 504 | 524 => CallErrorKind::Timeout,
        429 => CallErrorKind::RateLimited,
        400..=499 => CallErrorKind::InvalidRequest,
        // 529 is Anthropic's "overloaded", 520 to 523 are Cloudflare's "origin unreachable".
        502 | 503 | 520..=523 | 529 => CallErrorKind::Overloaded,
        500..=599 => CallErrorKind::Server,
        _ => CallErrorKind::MalformedResponse,
    }
}

/// Codes that say more than the status, or that come without one.
fn from_code(code: &str) -> Option<CallErrorKind> {
    Some(match code {
        "context_length_exceeded" | "model_context_window_exceeded" => CallErrorKind::ContextLength,
        "content_filter" | "content_policy_violation" | "ResponsibleAIPolicyViolation" => {
            CallErrorKind::ContentFilter
        }
        // Status 429, but an empty account stays empty: waiting does not help.
        "insufficient_quota" | "billing_not_active" | "billing_error" => CallErrorKind::Permission,
        "rate_limit_exceeded" | "rate_limit_error" => CallErrorKind::RateLimited,
        "overloaded_error" => CallErrorKind::Overloaded,
        "timeout_error" => CallErrorKind::Timeout,
        "invalid_api_key" | "authentication_error" => CallErrorKind::Authentication,
        "permission_error" => CallErrorKind::Permission,
        "model_not_found" | "not_found_error" => CallErrorKind::NotFound,
        _ => return None,
    })
}

fn from_class(class: &str) -> CallErrorKind {
    match class {
        "invalid_request_error" | "request_too_large" => CallErrorKind::InvalidRequest,
        _ => CallErrorKind::Server,
    }
}

/// Phrases of OpenAI, vLLM, Anthropic, xAI and llama.cpp for a prompt that does not fit.
fn names_context_length(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    [
        "maximum context length",
        "context window",
        "context limit",
        "context size",
        "prompt is too long",
        "maximum prompt length",
    ]
    .iter()
    .any(|phrase| message.contains(phrase))
}
