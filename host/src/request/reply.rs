//! The one place where a cause becomes a status and a body, in the client's dialect, and
//! where every reply gets its headers.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use serde_json::json;
use torana_wire::error::CallErrorKind;

use super::record::{Outcome, Record, error_fields};
use crate::dialect::{Dialect, encode};
use crate::error::{AttemptError, Cause, telling};

/// The body of any reply.
pub type ReplyBody = UnsyncBoxBody<Bytes, BodyError>;

/// Why a body that is passed on breaks off. It breaks the client's off as well.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// Names of the headers that say what served a reply.
pub mod header {
    use http::HeaderName;

    pub const INFERENCE_ID: HeaderName = HeaderName::from_static("x-torana-inference-id");
    pub const EPISODE_ID: HeaderName = HeaderName::from_static("x-torana-episode-id");
    pub const ENDPOINT: HeaderName = HeaderName::from_static("x-torana-endpoint");
    pub const VARIANT: HeaderName = HeaderName::from_static("x-torana-variant");
    pub const GENERATION: HeaderName = HeaderName::from_static("x-torana-generation");
    pub const ATTEMPTS: HeaderName = HeaderName::from_static("x-torana-attempts");
    pub const OVERHEAD_US: HeaderName = HeaderName::from_static("x-torana-overhead-us");
    pub const DROPPED_PARAMS: HeaderName = HeaderName::from_static("x-torana-dropped-params");
    pub const ESTIMATED: HeaderName = HeaderName::from_static("x-torana-estimated");
    pub const INVALID_OUTPUT: HeaderName = HeaderName::from_static("x-torana-invalid-output");
    pub const INVALID_TOOL_CALLS: HeaderName =
        HeaderName::from_static("x-torana-invalid-tool-calls");
    pub const EXPLAIN: HeaderName = HeaderName::from_static("x-torana-explain");
    pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
    /// Where Anthropic's SDKs look for it.
    pub const ANTHROPIC_REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
}

/// Whose shape an error has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Openai,
    Anthropic,
    /// <https://openrouter.ai/docs/api/reference/errors-and-debugging>
    Openrouter,
}

impl Shape {
    /// Of a route that several SDKs share: Anthropic's send their version. Two routes are
    /// OpenRouter's alone.
    pub fn of(path: &str, headers: &HeaderMap) -> Self {
        if path.ends_with("/v1/generation") || path.ends_with("/v1/activity") {
            Self::Openrouter
        } else if path.contains("/messages") && !path.contains("/chat/")
            || headers.contains_key("anthropic-version")
        {
            Self::Anthropic
        } else {
            Self::Openai
        }
    }

    pub fn of_dialect(dialect: Dialect) -> Self {
        if dialect.is_anthropic() { Self::Anthropic } else { Self::Openai }
    }
}

/// A JSON reply.
pub fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<ReplyBody> {
    let body = Full::new(body.into()).map_err(|never| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An inference that failed before its first byte: recorded, then answered.
pub async fn failed(cause: &Cause, shape: Shape, record: Record) -> Response<ReplyBody> {
    let mut response = error(cause, shape);
    identify(response.headers_mut(), &record, None);
    if matches!(cause, Cause::JournalFull) {
        record.refused(response.status().as_u16());
        return response;
    }
    let outcome = Outcome {
        status: response.status().as_u16(),
        error: Some(error_fields(cause, code(cause).to_owned())),
        ttft: None,
        response: None,
    };
    record.finish(outcome).await;
    response
}

/// The reply to a cause.
pub fn error(cause: &Cause, shape: Shape) -> Response<ReplyBody> {
    let status = status(cause);
    let passed_on = match cause {
        // The provider's own words, in the client's own dialect.
        Cause::Attempt(AttemptError::Provider { body: Some(body), .. }) => Some(body.clone()),
        _ => None,
    };
    let body = passed_on.unwrap_or_else(|| {
        let (status, message) = (status.as_u16(), crate::error::chain(cause));
        match shape {
            Shape::Openrouter => {
                let metadata = json!({ "code": code(cause), "param": param(cause) });
                let error = json!({ "code": status, "message": message, "metadata": metadata });
                json!({ "error": error }).to_string().into()
            }
            Shape::Openai => {
                encode::error(false, status, &message, code(cause), param(cause)).into()
            }
            Shape::Anthropic => {
                encode::error(true, status, &message, code(cause), param(cause)).into()
            }
        }
    });
    let mut response = json(status, body);
    if let Cause::MethodNotAllowed { allowed, .. } = cause {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    }
    if let Some(seconds) = retry_after(cause) {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

/// The number of a prompt's tokens, estimated here.
pub fn counted(tokens: u64, record: &Record) -> Response<ReplyBody> {
    let mut response = json(StatusCode::OK, format!("{{\"input_tokens\":{tokens}}}"));
    identify(response.headers_mut(), record, None);
    let estimated = HeaderValue::from_static("input_tokens");
    response.headers_mut().insert(header::ESTIMATED, estimated);
    response
}

/// Says what served the reply.
pub fn identify(headers: &mut HeaderMap, record: &Record, endpoint: Option<&str>) {
    let mut set = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    let id = record.id.to_string();
    set(header::INFERENCE_ID, &id);
    set(header::REQUEST_ID, &id);
    if record.dialect().is_anthropic() {
        set(header::ANTHROPIC_REQUEST_ID, &id);
    }
    set(header::GENERATION, &record.generation().to_string());
    set(header::ATTEMPTS, &record.attempts().to_string());
    set(header::OVERHEAD_US, &record.overhead().as_micros().to_string());
    if let Some(episode) = record.episode() {
        set(header::EPISODE_ID, &episode.to_string());
    }
    if let Some(endpoint) = endpoint {
        set(header::ENDPOINT, endpoint);
    }
    if let Some(variant) = record.variant() {
        set(header::VARIANT, variant);
    }
    if let Some(explanation) = record.explanation() {
        set(header::EXPLAIN, &explanation);
    }
}

/// The status a client sees.
pub fn status(cause: &Cause) -> StatusCode {
    match cause {
        Cause::MissingKey | Cause::UnknownKey => StatusCode::UNAUTHORIZED,
        Cause::NoRoute { .. }
        | Cause::UnknownModel { .. }
        | Cause::UnknownInference(_)
        | Cause::UnknownEpisode(_)
        | Cause::UnknownGeneration(_)
        | Cause::UnknownResponse { .. }
        | Cause::NoResourceProvider(_)
        | Cause::NoEndpoint { by_request: true, .. } => StatusCode::NOT_FOUND,
        Cause::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
        Cause::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Cause::BodyTimeout(_) => StatusCode::REQUEST_TIMEOUT,
        Cause::BodyBroken(_)
        | Cause::InvalidJson(_)
        | Cause::JsonBound(_)
        | Cause::InvalidRequest { .. }
        | Cause::Template { .. } => StatusCode::BAD_REQUEST,
        Cause::ForeignRecords { .. } => StatusCode::FORBIDDEN,
        Cause::NoQuerySink | Cause::QueryUnsupported { .. } => StatusCode::NOT_IMPLEMENTED,
        Cause::TaskDied => StatusCode::INTERNAL_SERVER_ERROR,
        Cause::StoreUnavailable(_)
        | Cause::JournalFull
        | Cause::NotRecorded(_)
        | Cause::NoEndpoint { .. } => StatusCode::SERVICE_UNAVAILABLE,
        Cause::Attempt(error) => attempt_status(error),
        Cause::AllAttempts(attempts) => {
            telling(attempts).map_or(StatusCode::SERVICE_UNAVAILABLE, attempt_status)
        }
    }
}

/// The provider's real status where there was one.
pub fn attempt_status(error: &AttemptError) -> StatusCode {
    let real = error
        .status()
        .and_then(|status| StatusCode::from_u16(status).ok())
        .filter(|status| status.is_client_error() || status.is_server_error());
    real.unwrap_or(match (error, error.kind()) {
        (AttemptError::Provider { .. }, kind) => match kind {
            CallErrorKind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            CallErrorKind::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            CallErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
            CallErrorKind::Authentication => StatusCode::UNAUTHORIZED,
            CallErrorKind::Permission => StatusCode::FORBIDDEN,
            CallErrorKind::NotFound => StatusCode::NOT_FOUND,
            CallErrorKind::InvalidRequest
            | CallErrorKind::Unsupported
            | CallErrorKind::ContextLength
            | CallErrorKind::ContentFilter => StatusCode::BAD_REQUEST,
            CallErrorKind::Server | CallErrorKind::MalformedResponse => StatusCode::BAD_GATEWAY,
        },
        (AttemptError::Timeout(_), _) => StatusCode::GATEWAY_TIMEOUT,
        (AttemptError::Schema { .. }, _) => StatusCode::BAD_REQUEST,
        _ => StatusCode::BAD_GATEWAY,
    })
}

/// A word for programs.
pub fn code(cause: &Cause) -> &str {
    match cause {
        Cause::MissingKey => "missing_api_key",
        Cause::UnknownKey => "invalid_api_key",
        Cause::NoRoute { .. } => "no_such_route",
        Cause::MethodNotAllowed { .. } => "method_not_allowed",
        Cause::BodyTooLarge { .. } => "body_too_large",
        Cause::BodyTimeout(_) => "body_timeout",
        Cause::BodyBroken(_) => "body_broken",
        Cause::InvalidJson(_) => "invalid_json",
        Cause::JsonBound(_) => "json_too_complex",
        Cause::InvalidRequest { .. } => "invalid_request",
        Cause::UnknownModel { .. } => "model_not_found",
        Cause::UnknownInference(_) => "inference_not_found",
        Cause::UnknownEpisode(_) => "episode_not_found",
        Cause::UnknownGeneration(_) => "generation_not_found",
        Cause::ForeignRecords { .. } => "reads_own_only",
        Cause::UnknownResponse { .. } => "response_not_found",
        Cause::NoResourceProvider(_) => "no_resource_provider",
        Cause::NoQuerySink => "no_query_sink",
        Cause::StoreUnavailable(_) => "store_unavailable",
        Cause::QueryUnsupported { .. } => "query_unsupported",
        Cause::JournalFull => "journal_full",
        Cause::NotRecorded(_) => "not_recorded",
        Cause::NoEndpoint { .. } => "no_endpoint",
        Cause::TaskDied => "task_died",
        Cause::Template { .. } => "template_failed",
        Cause::Attempt(error) => error.code(),
        Cause::AllAttempts(attempts) => match telling(attempts) {
            Some(error) if error.kind() == CallErrorKind::Unsupported => error.code(),
            _ => "all_attempts_failed",
        },
    }
}

fn param(cause: &Cause) -> Option<&str> {
    match cause {
        Cause::InvalidRequest { param, .. } => param.as_deref(),
        Cause::UnknownResponse { param, .. } => *param,
        Cause::Attempt(AttemptError::Schema { place, .. }) => Some(place),
        Cause::UnknownModel { .. } | Cause::NoEndpoint { .. } => Some("model"),
        Cause::Template { .. } => Some("metadata"),
        Cause::ForeignRecords { .. } => Some("key"),
        Cause::UnknownGeneration(_) => Some("id"),
        _ => None,
    }
}

/// Seconds, rounded up.
fn retry_after(cause: &Cause) -> Option<u64> {
    let of = |error: &AttemptError| match error {
        AttemptError::Provider { error, .. } => error.retry_after_ms.map(|ms| ms.div_ceil(1_000)),
        _ => None,
    };
    match cause {
        Cause::Attempt(error) => of(error),
        // Only where all say so is there nothing to be had before the first of them.
        Cause::AllAttempts(attempts) => {
            let hints: Option<Vec<u64>> = attempts.iter().map(|it| of(&it.error)).collect();
            hints.and_then(|hints| hints.into_iter().min())
        }
        Cause::JournalFull | Cause::StoreUnavailable(_) | Cause::NotRecorded(_) => Some(1),
        _ => None,
    }
}
