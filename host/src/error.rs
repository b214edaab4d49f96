//! Why a request could not be served: one type for all stages.
//!
//! A cause says what happened and whose doing it is; `request/reply.rs` alone turns it into
//! a status and a body, and `request/record.rs` into a row. External text never carries a
//! secret, a wasm backtrace or another tenant's data.

use std::sync::Arc;
use std::time::Duration;

use torana_wire::error::{CallError, CallErrorKind};

use crate::plugin::CallFailure;
use crate::request::bounds::BoundExceeded;
use crate::request::structure::SchemaError;
use crate::upstream::credential::CredentialError;
use crate::upstream::request::RequestError;

/// Why a request could not be served.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    #[error("no API key was sent; send `Authorization: Bearer KEY` with a key from [keys]")]
    MissingKey,
    #[error("this API key is not known here; keys are configured under [keys]")]
    UnknownKey,
    #[error("no such route: {method} {path}; see GET /v1/models and POST /v1/chat/completions")]
    NoRoute { method: String, path: String },
    #[error("{method} is not allowed on {path}; use {allowed}")]
    MethodNotAllowed { method: String, path: String, allowed: &'static str },
    #[error("the body has more than {limit} bytes; server.body_limit_mib bounds it")]
    BodyTooLarge { limit: usize },
    #[error("the body did not arrive within {0} ms")]
    BodyTimeout(u128),
    #[error("the body could not be read")]
    BodyBroken(#[source] hyper::Error),
    #[error("the body is not valid JSON: {0}")]
    InvalidJson(#[source] serde_json::Error),
    #[error("the body is more than can be taken: {0}")]
    JsonBound(#[source] BoundExceeded),
    #[error("{message}")]
    InvalidRequest { param: Option<String>, message: String },
    #[error("the model `{name}` does not exist here; there are: {known}")]
    UnknownModel { name: String, known: String },
    #[error("there is no inference with the id {0}; it may not have reached the store yet")]
    UnknownInference(String),
    #[error(
        "there is no generation with the id {0}; it may not have reached the store yet, or was \
         made with another key"
    )]
    UnknownGeneration(String),
    /// Of a key that reads its own records.
    #[error(
        "this key reads the records of its own calls alone; ask without another's `key`, or have \
         the operator set keys.{own}.reads = \"all\""
    )]
    ForeignRecords { own: String },
    #[error(
        "there is no response {id} here: it was not given to this key by this gateway, or its \
         content is not kept (`content` of journal, key or function, `redact`, `x-torana-content`, \
         `store`)"
    )]
    UnknownResponse { id: String, param: Option<&'static str> },
    #[error(
        "{0} is about an object that lives at a provider; name the one to ask in \
         `resource_provider`"
    )]
    NoResourceProvider(String),
    #[error("there is no episode with the id {0}; it may not have reached the store yet")]
    UnknownEpisode(uuid::Uuid),
    #[error("the feedback could not be written to the journal")]
    NotRecorded(#[source] crate::journal::AppendError),
    #[error("no configured sink can be read back; configure one, such as sink-sqlite")]
    NoQuerySink,
    #[error("the store does not answer: {0}")]
    StoreUnavailable(String),
    #[error("the store cannot answer this question: sink {sink}: {reason}")]
    QueryUnsupported { sink: String, reason: String },
    #[error("the journal is full and set to shed; its sinks must catch up first")]
    JournalFull,
    #[error("the gateway lost the task of this request; its log says why")]
    TaskDied,
    /// `by_request`: what the client asks for leaves nobody; otherwise it is the operator's to
    /// mend.
    #[error("{reasons}")]
    NoEndpoint { reasons: String, by_request: bool },
    #[error("the template of variant {variant} of function {function} failed: {source}")]
    Template { function: String, variant: String, source: minijinja::Error },
    /// One attempt was made, or the last one cannot be helped by another endpoint.
    #[error(transparent)]
    Attempt(#[from] AttemptError),
    #[error("all {} attempts failed: {}", .0.len(), summary(.0))]
    AllAttempts(Vec<FailedAttempt>),
}

/// An attempt that failed, for the message that lists them all.
#[derive(Debug)]
pub struct FailedAttempt {
    pub endpoint: Arc<str>,
    pub error: AttemptError,
}

/// The attempt that a client should go by: the last, but for endpoints that were never asked
/// because the request does not suit them.
pub fn telling(attempts: &[FailedAttempt]) -> Option<&AttemptError> {
    let asked = |attempt: &&FailedAttempt| attempt.error.kind() != CallErrorKind::Unsupported;
    let last = attempts.iter().rfind(asked).or(attempts.last());
    last.map(|attempt| &attempt.error)
}

fn summary(attempts: &[FailedAttempt]) -> String {
    let line = |attempt: &FailedAttempt| match attempt.error.status() {
        Some(status) => format!("{}: {} (status {status})", attempt.endpoint, attempt.error),
        None => format!("{}: {}", attempt.endpoint, attempt.error),
    };
    attempts.iter().map(line).collect::<Vec<_>>().join("; ")
}

/// Why one attempt at one endpoint failed.
#[derive(Debug, thiserror::Error)]
pub enum AttemptError {
    /// The provider's answer, understood. `body` is its own words where they can be passed
    /// on as they are.
    #[error("{}", .error.message)]
    Provider { error: CallError, body: Option<bytes::Bytes> },
    #[error("no connection to the provider")]
    Connection(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the provider did not answer within {0} ms")]
    Timeout(u128),
    #[error("the provider's answer ended before it was complete")]
    Truncated,
    #[error("the provider's answer broke off: {0}")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the plugin {plugin} failed: {source}")]
    Plugin { plugin: Arc<str>, source: CallFailure },
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The client's own schema, found out when an endpoint could not take it as it is.
    #[error("{place}: {source}")]
    Schema { place: &'static str, source: SchemaError },
    #[error(transparent)]
    Credential(#[from] CredentialError),
}

impl AttemptError {
    pub fn provider(error: CallError) -> Self {
        Self::Provider { error, body: None }
    }

    /// The kind that statistics, policies and rows know.
    pub fn kind(&self) -> CallErrorKind {
        match self {
            Self::Provider { error, .. } => error.kind,
            Self::Connection(_) => CallErrorKind::Overloaded,
            Self::Timeout(_) => CallErrorKind::Timeout,
            Self::Truncated | Self::Broken(_) | Self::Request(_) => {
                CallErrorKind::MalformedResponse
            }
            Self::Plugin { .. } => CallErrorKind::Server,
            Self::Schema { .. } => CallErrorKind::InvalidRequest,
            // Ours to have, not the client's: another provider may do.
            Self::Credential(_) => CallErrorKind::Server,
        }
    }

    /// Whether another endpoint may do better: its credential and its name for the model are the
    /// operator's, not the client's. The provider's verdict on the request itself stands.
    pub fn may_fall_back(&self) -> bool {
        match self.kind() {
            CallErrorKind::RateLimited
            | CallErrorKind::Overloaded
            | CallErrorKind::Timeout
            | CallErrorKind::Unsupported
            | CallErrorKind::Authentication
            | CallErrorKind::Permission
            | CallErrorKind::NotFound
            | CallErrorKind::Server
            | CallErrorKind::MalformedResponse => true,
            CallErrorKind::InvalidRequest
            | CallErrorKind::ContextLength
            | CallErrorKind::ContentFilter => false,
        }
    }

    /// The request does not suit the endpoint.
    pub fn is_refusal(&self) -> bool {
        matches!(self.kind(), CallErrorKind::Unsupported | CallErrorKind::InvalidRequest)
    }

    /// The provider's HTTP status, where there was one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Provider { error, .. } => error.status,
            _ => None,
        }
    }

    /// How long the provider asked to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Provider { error, .. } => error.retry_after_ms.map(Duration::from_millis),
            _ => None,
        }
    }

    /// A word for programs: the provider's own where it has one.
    pub fn code(&self) -> &str {
        match self {
            // Clients go by this word; where the provider's own body is passed on, its own.
            Self::Provider { error, body: None } if error.kind == CallErrorKind::ContextLength => {
                "context_length_exceeded"
            }
            Self::Provider { error, .. } => {
                error.provider_code.as_deref().unwrap_or(error.kind.as_str())
            }
            Self::Connection(_) => "connection_failed",
            Self::Timeout(_) => "timeout",
            Self::Truncated | Self::Broken(_) => "upstream_broken",
            Self::Plugin { .. } => "plugin_failed",
            Self::Request(_) => "plugin_misbehaved",
            Self::Schema { .. } => "invalid_schema",
            Self::Credential(_) => "no_credential",
        }
    }

    /// Its text has nothing of what a client or a provider said.
    pub fn quotes_nobody(&self) -> bool {
        match self {
            Self::Provider { .. } | Self::Request(_) | Self::Schema { .. } => false,
            Self::Connection(_)
            | Self::Timeout(_)
            | Self::Truncated
            | Self::Broken(_)
            | Self::Plugin { .. }
            | Self::Credential(_) => true,
        }
    }

    /// As the value that streams and encoders carry.
    pub fn to_call_error(&self) -> CallError {
        match self {
            Self::Provider { error, .. } => error.clone(),
            other => CallError::new(other.kind(), other.to_string()),
        }
    }
}

impl From<crate::plugin::provider::ProviderFailure> for AttemptError {
    fn from(failure: crate::plugin::provider::ProviderFailure) -> Self {
        use crate::plugin::provider::ProviderFailure;
        match failure {
            ProviderFailure::Call(error) => Self::provider(error),
            ProviderFailure::Plugin { plugin, source } => Self::Plugin { plugin, source },
        }
    }
}

/// Characters of an error's text. Some repeat what a client sent.
const LONGEST_TEXT: usize = 1_500;

/// An error with all its sources, on one line and not longer than people read.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            // wasmtime likes to spread its words over many lines.
            text.push_str(&cause_text.split_whitespace().collect::<Vec<_>>().join(" "));
        }
        source = cause.source();
    }
    if let Some((end, _)) = text.char_indices().nth(LONGEST_TEXT) {
        text.truncate(end);
        text.push('…');
    }
    text
}
