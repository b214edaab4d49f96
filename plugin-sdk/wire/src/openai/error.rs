//! Errors on the OpenAI wire, both ways.
//!
//! Understood are OpenAI's `{"error": {message, type, code, param}}`, a bare string under
//! `error`, FastAPI's `detail`, and `message` at the top. Of anything else the first 300
//! characters are kept. `insufficient_quota` is a matter of permission although its status
//! is 429: the account is empty and waiting does not fill it.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::{CallError, CallErrorKind};
use crate::failure::{Account, excerpt};

/// What a provider's answer with an error status means.
pub fn decode(status: u16, retry_after_ms: Option<u64>, body: &[u8]) -> CallError {
    let mut is_moderated = false;
    let account = match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => match account(&fields) {
            account if names_flagged_input(&fields) => {
                is_moderated = true;
                account
            }
            account if account.message.is_empty() => Account { message: excerpt(body), ..account },
            account => account,
        },
        Ok(Value::String(message)) => Account { message, ..Account::default() },
        _ => Account { message: excerpt(body), ..Account::default() },
    };
    let error = with_details(account.into_error(status, retry_after_ms));
    match is_moderated {
        true => CallError { kind: CallErrorKind::ContentFilter, ..error },
        false => error,
    }
}

/// OpenRouter's moderation says with status 403 what it took offence at.
fn names_flagged_input(fields: &Map<String, Value>) -> bool {
    let metadata = fields.get("error").and_then(|error| error.get("metadata"));
    metadata.is_some_and(|metadata| metadata.get("flagged_input").is_some())
}

/// What single providers say in words or codes of their own.
fn with_details(mut error: CallError) -> CallError {
    let says = |words: &str| error.message.contains(words);
    // Hugging Face, SGLang.
    let is_too_long = says("`inputs` tokens + `max_new_tokens`")
        || says("`inputs` must have less than")
        || says("longer than the model's context length");
    // xAI refuses a wrong key with status 400.
    let is_wrong_key = says("Incorrect API key");
    error.kind = match (error.kind, error.provider_code.as_deref()) {
        (CallErrorKind::InvalidRequest, _) if is_too_long => CallErrorKind::ContextLength,
        (CallErrorKind::InvalidRequest, _) if is_wrong_key => CallErrorKind::Authentication,
        // OpenRouter: another endpoint may have it.
        (CallErrorKind::NotFound, _) if says("No endpoints found that support") => {
            CallErrorKind::Unsupported
        }
        // Hugging Face's full queue, Groq's full flex tier.
        (_, Some("overloaded" | "capacity_exceeded")) => CallErrorKind::Overloaded,
        // Hugging Face, status 424: the model failed.
        (_, Some("generation")) => CallErrorKind::Server,
        // Fireworks, status 412: the account is suspended.
        (_, Some("FAILED_PRECONDITION")) => CallErrorKind::Permission,
        (kind, _) => kind,
    };
    error
}

/// What the value under `error` means inside an answer that began well.
pub(crate) fn decode_inner(error: Value) -> CallError {
    let fields = Map::from_iter([("error".to_owned(), error)]);
    account(&fields).into_error(0, None)
}

/// An error body for a client. `type` follows from the status.
pub fn encode(status: u16, message: &str, code: &str, param: Option<&str>) -> Vec<u8> {
    let error = ErrorBody { message, r#type: class(status), param, code };
    serde_json::to_vec(&Envelope { error }).unwrap_or_default()
}

/// An error body for a failure after the status line has gone.
pub(crate) fn write(error: &CallError, out: &mut Vec<u8>) {
    let status = error.status.unwrap_or_else(|| status_of(error.kind));
    let code = error.provider_code.as_deref().unwrap_or_else(|| error.kind.as_str());
    out.extend(encode(status, &error.message, code, None));
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: ErrorBody<'a>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    message: &'a str,
    r#type: &'static str,
    param: Option<&'a str>,
    code: &'a str,
}

fn class(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        _ => "server_error",
    }
}

fn status_of(kind: CallErrorKind) -> u16 {
    match kind {
        CallErrorKind::RateLimited => 429,
        CallErrorKind::Overloaded => 503,
        CallErrorKind::Timeout => 504,
        CallErrorKind::Authentication => 401,
        CallErrorKind::Permission => 403,
        CallErrorKind::NotFound => 404,
        CallErrorKind::InvalidRequest
        | CallErrorKind::Unsupported
        | CallErrorKind::ContextLength
        | CallErrorKind::ContentFilter => 400,
        CallErrorKind::Server => 500,
        CallErrorKind::MalformedResponse => 502,
    }
}

fn account(fields: &Map<String, Value>) -> Account {
    let (inner, outer) = match fields.get("error") {
        Some(Value::Object(inner)) => (inner, fields),
        Some(Value::String(message)) => {
            return Account {
                // Hugging Face has the class beside the words, xAI a sentence for a code;
                // Ollama has the words alone.
                class: text(fields, "error_type"),
                message: message.clone(),
                code: text(fields, "code"),
            };
        }
        _ => (fields, fields),
    };
    let message = ["message", "detail"]
        .iter()
        .filter_map(|key| inner.get(*key).or_else(|| outer.get(*key)))
        .map(words)
        .find(|words| !words.is_empty());
    Account {
        message: message.unwrap_or_default(),
        code: text(inner, "code"),
        class: text(inner, "type"),
    }
}

/// A string as it is; anything else, such as FastAPI's list of complaints, as JSON.
fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// A code may be a number (OpenRouter repeats the status there).
fn text(fields: &Map<String, Value>, key: &str) -> String {
    match fields.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use CallErrorKind as Kind;

    fn kind(status: u16, body: &str) -> Kind {
        decode(status, None, body.as_bytes()).kind
    }

    #[test]
    fn status_tells_the_kind() {
        let expected = [
            (400, Kind::InvalidRequest),
            (401, Kind::Authentication),
            (402, Kind::Permission),
            (403, Kind::Permission),
            (404, Kind::NotFound),
            (408, Kind::Timeout),
            (413, Kind::InvalidRequest),
            (422, Kind::InvalidRequest),
            (429, Kind::RateLimited),
            (500, Kind::Server),
            (502, Kind::Overloaded),
            (503, Kind::Overloaded),
            (504, Kind::Timeout),
            (529, Kind::Overloaded),
        ];
        for (status, expected) in expected {
            assert_eq!(kind(status, "{}"), expected, "{status}");
        }
    }

    #[test]
    fn code_says_more_than_the_status() {
        let body = |code: &str| format!(r#"{{"error":{{"message":"m","code":"{code}"}}}}"#);
        assert_eq!(kind(400, &body("context_length_exceeded")), Kind::ContextLength);
        assert_eq!(kind(400, &body("content_filter")), Kind::ContentFilter);
        assert_eq!(kind(400, &body("content_policy_violation")), Kind::ContentFilter);
        assert_eq!(kind(429, &body("insufficient_quota")), Kind::Permission);
        assert_eq!(kind(429, &body("rate_limit_exceeded")), Kind::RateLimited);
    }

    #[test]
    fn prompt_that_does_not_fit_is_known_by_its_words() {
        let body = r#"{"message":"This model's maximum context length is 4096 tokens."}"#;
        assert_eq!(kind(400, body), Kind::ContextLength);
        assert_eq!(kind(500, body), Kind::Server);
    }

    #[test]
    fn openai_shape_keeps_message_code_status_and_wait() {
        let body = br#"{"error":{"message":"slow down","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#;
        let error = decode(429, Some(1500), body);
        assert_eq!(error.message, "slow down");
        assert_eq!(error.provider_code.as_deref(), Some("rate_limit_exceeded"));
        assert_eq!((error.status, error.retry_after_ms), (Some(429), Some(1500)));
    }

    #[test]
    fn other_shapes_give_their_words() {
        assert_eq!(decode(500, None, br#"{"error":"model crashed"}"#).message, "model crashed");
        assert_eq!(decode(404, None, br#"{"detail":"Not Found"}"#).message, "Not Found");
        let list = decode(422, None, br#"{"detail":[{"loc":["body"],"msg":"bad"}]}"#);
        assert_eq!(list.message, r#"[{"loc":["body"],"msg":"bad"}]"#);
        assert_eq!(
            decode(500, None, b"").message,
            "the provider answered with status 500 and no message"
        );
    }

    #[test]
    fn words_of_hugging_face_are_understood() {
        let long = br#"{"error":"Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000","error_type":"validation"}"#;
        assert_eq!(decode(422, None, long).kind, Kind::ContextLength);
        let busy = br#"{"error":"Model is overloaded","error_type":"overloaded"}"#;
        assert_eq!(decode(429, None, busy).kind, Kind::Overloaded);
    }

    #[test]
    fn moderation_and_missing_features_of_openrouter_are_known() {
        let flagged =
            br#"{"error":{"code":403,"message":"flagged","metadata":{"flagged_input":"x"}}}"#;
        assert_eq!(decode(403, None, flagged).kind, Kind::ContentFilter);
        let missing =
            br#"{"error":{"code":404,"message":"No endpoints found that support tool use."}}"#;
        assert_eq!(decode(404, None, missing).kind, Kind::Unsupported);
    }

    #[test]
    fn garbage_is_cut_to_300_characters() {
        let page = format!("<html>{}</html>", "ü".repeat(5_000));
        let error = decode(502, None, page.as_bytes());
        assert_eq!(error.message.chars().count(), 300);
        assert_eq!(decode(502, None, &[0xff; 10_000]).message.chars().count(), 300);
    }

    #[test]
    fn number_as_code_inside_a_stream_counts_as_status() {
        let error = decode_inner(serde_json::json!({"code": 502, "message": "upstream died"}));
        assert_eq!((error.kind, error.status), (Kind::Overloaded, Some(502)));
    }

    #[test]
    fn encoded_error_decodes_to_the_same_kind() {
        for (status, expected) in
            [(401, Kind::Authentication), (429, Kind::RateLimited), (500, Kind::Server)]
        {
            let body = encode(status, "no", "some_code", Some("messages"));
            let error = decode(status, None, &body);
            assert_eq!((error.kind, error.message.as_str()), (expected, "no"));
        }
    }
}
