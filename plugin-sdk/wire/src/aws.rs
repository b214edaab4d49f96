//! Failures as the services of AWS report them.
//!
//! The name of the error says what happened: in the header `x-amzn-errortype`, else under
//! `__type` in the body, inside a stream as the type of the event; `ErrorCode` in the body is
//! more precise than either. A name that is not known keeps the meaning of the status. What
//! only one service says, in words of its own, is its adapter's affair.
//!
//! Sources: the "Common Errors" of the API references, and the errors that the operations of
//! Bedrock Runtime and SageMaker Runtime document.

use serde_json::Value;

use crate::error::{CallError, CallErrorKind as Kind};
use crate::failure::{excerpt, from_status};

/// What an answer with an error status means. `service` is how the message calls it where
/// nothing else is said, `header` the value of `x-amzn-errortype`.
pub fn decode(service: &str, header: Option<&str>, status: u16, body: &[u8]) -> CallError {
    let fields: Value = serde_json::from_slice(body).unwrap_or_default();
    let named = header.or_else(|| fields.get("__type")?.as_str());
    let name = named.map(bare_name).filter(|name| !name.is_empty());
    describe(service, name, Some(status), body, &fields)
}

/// What an event of a stream means, if it is a failure. `event` is the type of an exception
/// (`throttlingException`) or, for a message of type `error`, its code.
pub fn decode_event(service: &str, event: &str, data: &[u8]) -> Option<CallError> {
    let name = capitalised(bare_name(event));
    let is_failure = ["Exception", "Error", "Failure", "Unavailable"];
    if from_name(&name).is_none() && !is_failure.iter().any(|ending| name.ends_with(ending)) {
        return None;
    }
    let fields: Value = serde_json::from_slice(data).unwrap_or_default();
    Some(describe(service, Some(&name), None, data, &fields))
}

/// The words of an error's body, if it has any.
pub fn words(fields: &Value) -> Option<&str> {
    ["message", "Message", "originalMessage"]
        .iter()
        .filter_map(|key| fields.get(key)?.as_str())
        .find(|message| !message.is_empty())
}

fn describe(
    service: &str,
    name: Option<&str>,
    status: Option<u16>,
    raw: &[u8],
    fields: &Value,
) -> CallError {
    let code = fields.get("ErrorCode").and_then(Value::as_str).filter(|code| !code.is_empty());
    let kind = code
        .and_then(from_name)
        .or_else(|| name.and_then(from_name))
        .or_else(|| status.map(kind_of))
        .unwrap_or(Kind::Server);
    let message = match (words(fields).map_or_else(|| excerpt(raw), str::to_owned), name) {
        (message, _) if !message.is_empty() => message,
        (_, Some(name)) => format!("{service} reported {name} without a word"),
        (_, None) => format!("{service} reported a failure without a word"),
    };
    let provider_code = code.or(name).map(str::to_owned);
    CallError { status, provider_code, ..CallError::new(kind, message) }
}

/// Of `com.amazon.coral#ThrottlingException` or `ThrottlingException:http://…`.
fn bare_name(name: &str) -> &str {
    let name = name.split(':').next().unwrap_or_default();
    name.rsplit('#').next().unwrap_or_default().trim()
}

/// Exceptions of a stream are written `throttlingException`.
fn capitalised(name: &str) -> String {
    let mut characters = name.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).collect()
}

fn from_name(name: &str) -> Option<Kind> {
    Some(match name {
        "AccessDeniedException" | "AccessDenied" | "NotAuthorized" | "OptInRequired" => {
            Kind::Permission
        }
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "RequestExpired"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException" => Kind::Authentication,
        // A quota of the account: another endpoint may have room, and this one later.
        "ThrottlingException"
        | "Throttling"
        | "TooManyRequestsException"
        | "ServiceQuotaExceededException" => Kind::RateLimited,
        // Still being loaded. Its status is 429, but the client asked for nothing too much.
        "ModelNotReadyException"
        | "ServiceUnavailable"
        | "ServiceUnavailableException"
        | "ServiceUnavailableError" => Kind::Overloaded,
        "ModelTimeoutException"
        | "ModelInvocationTimeExceeded"
        | "RequestTimeout"
        | "RequestTimeoutException" => Kind::Timeout,
        "ResourceNotFoundException" | "UnknownOperationException" => Kind::NotFound,
        "ValidationException"
        | "ValidationError"
        | "ConflictException"
        | "SerializationException"
        | "RequestEntityTooLargeException" => Kind::InvalidRequest,
        "ModelError"
        | "ModelErrorException"
        | "ModelStreamError"
        | "ModelStreamErrorException"
        | "StreamBroken"
        | "InternalStreamFailure"
        | "InternalServerException"
        | "InternalServerError"
        | "InternalDependencyException"
        | "InternalFailure" => Kind::Server,
        _ => return None,
    })
}

fn kind_of(status: u16) -> Kind {
    match status {
        // The model or its container failed, not the request.
        424 => Kind::Server,
        status => from_status(status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(name: Option<&str>, status: u16, body: &str) -> Kind {
        decode("AWS", name, status, body.as_bytes()).kind
    }

    #[test]
    fn code_counts_more_than_name_and_name_more_than_status() {
        let timeout = r#"{"ErrorCode":"ModelInvocationTimeExceeded","__type":"x#ModelError"}"#;
        assert_eq!(kind(None, 400, timeout), Kind::Timeout);
        let unknown = r#"{"ErrorCode":"Odd","__type":"x#ThrottlingException"}"#;
        assert_eq!(kind(None, 400, unknown), Kind::RateLimited);
        assert_eq!(kind(Some("AccessDenied:http://x/"), 400, unknown), Kind::Permission);
        assert_eq!(kind(Some("Odd"), 424, "{}"), Kind::Server);
        assert_eq!(kind(None, 404, "{}"), Kind::NotFound);
    }

    #[test]
    fn event_is_a_failure_by_its_name_or_its_ending() {
        let failure = decode_event("AWS", "throttlingException", b"");
        let message = "AWS reported ThrottlingException without a word";
        let provider_code = Some("ThrottlingException".into());
        let expected = CallError { provider_code, ..CallError::new(Kind::RateLimited, message) };
        assert_eq!(failure, Some(expected));
        assert_eq!(decode_event("AWS", "newException", b"").map(|it| it.kind), Some(Kind::Server));
        assert_eq!(decode_event("AWS", "contentBlockStart", b"{}"), None);
    }
}
