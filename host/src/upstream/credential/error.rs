//! Why a credential cannot be had or applied.
//!
//! Every message says what was asked, what came of it and what the operator can do. None of
//! them carries a value: not a key, not a token, not the text of an answer, of which at most
//! a short error code is shown. Parsers that quote their input are not kept as sources for
//! the same reason; their line and column are.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

/// What the caller's HTTP function failed with.
pub type TransportError = Arc<dyn std::error::Error + Send + Sync>;

/// Cheap to clone: requests that waited for the same fetch share its failure.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CredentialError {
    /// No source is set up. `looked` lists each with the reason it was passed over.
    #[error("no {cloud} credentials found ({looked}); {remedy}")]
    NotFound { cloud: &'static str, looked: String, remedy: &'static str },
    #[error("{found} is set but {missing} is not; set both or neither")]
    HalfSet { found: &'static str, missing: &'static str },
    #[error("cannot read {path}, which {named_by} names: {source}")]
    Unreadable { path: PathBuf, named_by: &'static str, source: Arc<io::Error> },
    #[error("{path}, which {named_by} names, is larger than {limit} bytes")]
    TooLarge { path: PathBuf, named_by: &'static str, limit: u64 },
    /// A file, a variable or an answer has not the form it should have.
    #[error("{origin} is not {expected}; {remedy}")]
    Malformed { origin: String, expected: &'static str, remedy: &'static str },
    /// It is understood, and the gateway does not do it.
    #[error("{origin} asks for {feature}, which the gateway does not do; {remedy}")]
    Unsupported { origin: String, feature: String, remedy: &'static str },
    #[error(
        "the AWS profile {name:?} is in neither {credentials} nor {config}; correct AWS_PROFILE or write the profile"
    )]
    NoProfile { name: String, credentials: PathBuf, config: PathBuf },
    /// An address that secrets must not be sent to.
    #[error(
        "{origin} names the address {address:?}, which credentials are not sent to; expected {expected}"
    )]
    Address { origin: String, address: String, expected: &'static str },
    #[error("cannot reach {origin}: {source}; {remedy}")]
    Unreachable { origin: String, source: TransportError, remedy: &'static str },
    #[error("{origin} did not answer within {} ms; {remedy}", after.as_millis())]
    TimedOut { origin: String, after: Duration, remedy: &'static str },
    /// `code` is the error code of the answer, or empty.
    #[error("{origin} answered {status} {code}; {remedy}")]
    Refused { origin: String, status: StatusCode, code: String, remedy: &'static str },
    #[error(
        "the credentials from {origin} cannot be sent in a header: they have control or non-ASCII characters; replace them"
    )]
    NotHeader { origin: &'static str },
    #[error(
        "cannot sign for the {what} {value:?}; expected lower-case letters, digits and hyphens, such as {example:?} (see the provider's settings and AWS_REGION)"
    )]
    Scope { what: &'static str, value: String, example: &'static str },
    #[error("cannot sign a request without a host; write an absolute base_url under [providers]")]
    NoHost,
    #[error("the private key of the service account cannot sign; create a new JSON key for it")]
    Key,
    #[error("the clock of this machine is outside the years 1970 to 9999; set it")]
    Clock,
    #[error("fetching credentials was broken off; try again")]
    BrokenOff,
}

impl CredentialError {
    /// The same may work in a moment, or it may work elsewhere: nothing that the operator
    /// wrote has to change first.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::BrokenOff => true,
            Self::Refused { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            _ => false,
        }
    }
}
