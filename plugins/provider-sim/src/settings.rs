//! What an endpoint of the simulator is set to, with every limit that it holds.

use serde::Deserialize;
use torana_plugin_sdk::{CallError, CallErrorKind, SettingsError};

/// An event a token crosses into the host at once: this many take a few megabytes.
pub(crate) const MAX_TOKENS: u32 = 32_768;
/// Longer than any deadline that a gateway would be configured with.
const MAX_MILLISECONDS: f64 = 3_600_000.0;

/// The `settings` table of a provider or endpoint.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// What it says. Absent: a paragraph that tells what it is and repeats the question.
    pub(crate) text: Option<String>,
    /// Tokens to say, by repeating the text. Absent: the text once.
    pub(crate) tokens: Option<u32>,
    /// Milliseconds until the first token.
    pub(crate) ttft_ms: f64,
    /// Absent: all at once.
    pub(crate) tokens_per_second: Option<f64>,
    /// Fraction of calls that fail, 0 to 1, spread evenly.
    pub(crate) failure_rate: f64,
    /// How calls fail.
    pub(crate) failure: Failure,
    /// A streamed call that fails does so after this many tokens. Absent: at the start.
    pub(crate) fail_after_tokens: Option<u32>,
    /// Calls a tool wherever the request offers one and the last message is no tool result.
    pub(crate) tool_call: bool,
}

/// How calls fail.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Failure {
    kind: CallErrorKind,
    /// Absent: the status that goes with the kind.
    status: Option<u16>,
    retry_after_ms: Option<u64>,
    message: String,
}

impl Default for Failure {
    fn default() -> Self {
        Self {
            kind: CallErrorKind::Server,
            status: None,
            retry_after_ms: None,
            message: "simulated failure".into(),
        }
    }
}

impl Settings {
    /// Serde has checked the types; this checks the ranges.
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        let in_range = |key: &str, value: f64, least: f64, most: f64| {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            let message = format!("{value} is not between {least} and {most}");
            Err(SettingsError::at(format!("/{key}"), message))
        };
        let most_tokens = f64::from(MAX_TOKENS);
        in_range("ttft_ms", self.ttft_ms, 0.0, MAX_MILLISECONDS)?;
        in_range("failure_rate", self.failure_rate, 0.0, 1.0)?;
        if let Some(rate) = self.tokens_per_second {
            // Slower than a token in 1,000 seconds no client waits for.
            in_range("tokens_per_second", rate, 0.001, 1e9)?;
        }
        if let Some(tokens) = self.tokens {
            in_range("tokens", f64::from(tokens), 0.0, most_tokens)?;
        }
        if let Some(status) = self.failure.status {
            in_range("failure/status", f64::from(status), 400.0, 599.0)?;
        }
        Ok(())
    }
}

impl Failure {
    pub(crate) fn error(&self) -> CallError {
        CallError {
            status: self.status.or_else(|| usual_status(self.kind)),
            retry_after_ms: self.retry_after_ms,
            ..CallError::new(self.kind, &self.message)
        }
    }
}

/// What providers answer with; none where the call ends without an answer.
fn usual_status(kind: CallErrorKind) -> Option<u16> {
    match kind {
        CallErrorKind::RateLimited => Some(429),
        CallErrorKind::Overloaded => Some(503),
        CallErrorKind::Authentication => Some(401),
        CallErrorKind::Permission => Some(403),
        CallErrorKind::NotFound => Some(404),
        CallErrorKind::InvalidRequest
        | CallErrorKind::Unsupported
        | CallErrorKind::ContextLength
        | CallErrorKind::ContentFilter => Some(400),
        CallErrorKind::Server => Some(500),
        CallErrorKind::MalformedResponse => Some(200),
        CallErrorKind::Timeout => None,
    }
}
