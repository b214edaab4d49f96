//! Errors as rows keep them.

use serde::Serialize;

use crate::error::{AttemptError, Cause, telling};

/// What went wrong.
#[derive(Debug, Clone, Serialize)]
pub struct ErrorFields {
    pub kind: &'static str,
    pub code: String,
    /// `None` where it may not be kept.
    pub message: Option<String>,
    /// Nothing in the message is the client's or the provider's.
    #[serde(skip)]
    pub is_ours: bool,
}

impl ErrorFields {
    pub fn of(error: &AttemptError) -> Self {
        Self {
            kind: error.kind().as_str(),
            code: error.code().to_owned(),
            message: Some(crate::error::chain(error)),
            is_ours: error.quotes_nobody(),
        }
    }

    /// Providers repeat what they were sent, and we repeat what we could not read: such a
    /// message is content.
    pub(super) fn shown(&self, with_content: bool) -> Self {
        let message = self.message.clone().filter(|_| with_content || self.is_ours);
        Self { message, ..self.clone() }
    }
}

/// For outcomes: the cause as a row keeps it.
pub fn error_fields(cause: &Cause, code: String) -> ErrorFields {
    let kind = match cause {
        Cause::Attempt(error) => error.kind().as_str(),
        Cause::AllAttempts(attempts) => {
            telling(attempts).map_or("server", |error| error.kind().as_str())
        }
        Cause::MissingKey | Cause::UnknownKey => "authentication",
        Cause::UnknownModel { .. }
        | Cause::UnknownInference(_)
        | Cause::UnknownGeneration(_)
        | Cause::UnknownEpisode(_)
        | Cause::UnknownResponse { .. }
        | Cause::NoResourceProvider(_)
        | Cause::NoEndpoint { by_request: true, .. }
        | Cause::NoRoute { .. } => "not_found",
        Cause::ForeignRecords { .. } => "permission",
        Cause::NoQuerySink
        | Cause::QueryUnsupported { .. }
        | Cause::StoreUnavailable(_)
        | Cause::JournalFull
        | Cause::NotRecorded(_)
        | Cause::NoEndpoint { .. } => "overloaded",
        Cause::TaskDied => "server",
        Cause::BodyTimeout(_) => "timeout",
        Cause::MethodNotAllowed { .. }
        | Cause::BodyTooLarge { .. }
        | Cause::BodyBroken(_)
        | Cause::InvalidJson(_)
        | Cause::JsonBound(_)
        | Cause::InvalidRequest { .. }
        | Cause::Template { .. } => "invalid_request",
    };
    let message = Some(crate::error::chain(cause));
    ErrorFields { kind, code, message, is_ours: quotes_nobody(cause) }
}

fn quotes_nobody(cause: &Cause) -> bool {
    match cause {
        Cause::Attempt(error) => error.quotes_nobody(),
        Cause::AllAttempts(attempts) => {
            attempts.iter().all(|attempt| attempt.error.quotes_nobody())
        }
        // They show what they could not read.
        Cause::InvalidJson(_)
        | Cause::JsonBound(_)
        | Cause::InvalidRequest { .. }
        | Cause::Template { .. } => false,
        // A model's name is on record as well.
        _ => true,
    }
}
