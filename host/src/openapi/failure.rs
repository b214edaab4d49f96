//! What each route can fail with: status, codes and shape of the body, as `request/reply.rs`
//! and `error.rs` have them.
//!
//! Statuses that only a provider can think of stand under `4XX` and `5XX`.

use std::collections::BTreeMap;

use http::header::{ALLOW, RETRY_AFTER};
use http::{HeaderName, StatusCode};
use serde_json::{Map, Value, json};

use super::{reference, references, schema};
use crate::request::paths::{Object, Route};
use crate::request::reply::header;

/// A status, and a code that comes with it.
pub(super) type Code = (u16, &'static str);

const ADMISSION: &[Code] =
    &[(401, "missing_api_key"), (401, "invalid_api_key"), (405, "method_not_allowed")];

const BODY: &[Code] = &[(400, "body_broken"), (408, "body_timeout"), (413, "body_too_large")];

/// Before a provider is asked.
const CALL: &[Code] = &[
    (400, "invalid_json"),
    (400, "json_too_complex"),
    (400, "invalid_request"),
    (400, "template_failed"),
    (400, "invalid_schema"),
    (404, "model_not_found"),
    (404, "no_endpoint"),
    (500, "task_died"),
    (503, "journal_full"),
    (503, "no_endpoint"),
];

/// By kind of failure, where the provider gave no status or code of its own.
const PROVIDER: &[Code] = &[
    (400, "unsupported_feature"),
    (400, "unsupported"),
    (400, "context_length"),
    (400, "content_filter"),
    (400, "all_attempts_failed"),
    (401, "authentication"),
    (403, "permission"),
    (404, "not_found"),
    (429, "rate_limited"),
    (429, "all_attempts_failed"),
    (502, "server"),
    (502, "malformed_response"),
    (502, "upstream_broken"),
    (502, "plugin_failed"),
    (502, "all_attempts_failed"),
    (503, "overloaded"),
    (503, "all_attempts_failed"),
    (504, "all_attempts_failed"),
];

/// Between the gateway and a provider.
const CONNECTION: &[Code] = &[
    (502, "connection_failed"),
    (502, "plugin_misbehaved"),
    (502, "no_credential"),
    (504, "timeout"),
];

const STORE: &[Code] =
    &[(501, "no_query_sink"), (501, "query_unsupported"), (503, "store_unavailable")];
const QUERY: &[Code] = &[(400, "invalid_request")];
const UNKNOWN_MODEL: &[Code] = &[(404, "model_not_found")];
const UNKNOWN_INFERENCE: &[Code] = &[(404, "inference_not_found")];
const FEEDBACK: &[Code] = &[
    (400, "invalid_json"),
    (400, "invalid_request"),
    (404, "episode_not_found"),
    (503, "journal_full"),
    (503, "not_recorded"),
];
const UNKNOWN_GENERATION: &[Code] = &[(404, "generation_not_found")];
/// To a key that reads the records of its own calls.
const SCOPE: &[Code] = &[(403, "reads_own_only")];
const UNKNOWN_RESPONSE: &[Code] = &[(404, "response_not_found")];
const NO_RESOURCE: &[Code] = &[(404, "no_resource_provider")];
/// Of no documented route, but with a place among the codes.
const NO_ROUTE: &[Code] = &[(404, "no_such_route")];

/// Schemas of errors.
const OPENAI: &str = "OpenaiError";
const ANTHROPIC: &str = "AnthropicError";
const FORWARDED: &str = "ForwardedError";
const OPENROUTER: &str = "OpenrouterError";

/// Say which call failed, once the request's body is there.
const IDENTITY: [HeaderName; 8] = [
    header::INFERENCE_ID,
    header::EPISODE_ID,
    header::VARIANT,
    header::GENERATION,
    header::ATTEMPTS,
    header::OVERHEAD_US,
    header::EXPLAIN,
    header::REQUEST_ID,
];

/// Who can fail a request beside the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Provider {
    /// Nobody.
    None,
    /// A provider, whose failure is understood.
    Understood,
    /// A provider, whatever it answers.
    PassedOn,
}

/// Routes that fail alike.
pub(super) struct Family {
    name: &'static str,
    codes: &'static [&'static [Code]],
    shapes: &'static [&'static str],
    provider: Provider,
}

impl Family {
    pub(super) fn of(route: &Route) -> Self {
        use crate::dialect::Dialect;
        const INFERENCE: &[&[Code]] = &[ADMISSION, BODY, CALL, PROVIDER, CONNECTION];
        const RESPONSES: &[&[Code]] =
            &[ADMISSION, BODY, CALL, PROVIDER, CONNECTION, UNKNOWN_RESPONSE, STORE];
        const BOTH: &[&str] = &[OPENAI, ANTHROPIC];
        const ANY: &[&str] = &[OPENAI, ANTHROPIC, FORWARDED];
        let (name, codes, shapes, provider): (_, &'static [&'static [Code]], _, _) = match route {
            Route::Infer(dialect) if dialect.is_anthropic() => {
                ("Anthropic", INFERENCE, &[ANTHROPIC, FORWARDED][..], Provider::Understood)
            }
            Route::Infer(Dialect::OpenaiResponses) => {
                ("Responses", RESPONSES, &[OPENAI, FORWARDED], Provider::Understood)
            }
            Route::Infer(_) => ("Openai", INFERENCE, &[OPENAI, FORWARDED], Provider::Understood),
            Route::Object(Object::Models) => ("Models", &[ADMISSION, QUERY], BOTH, Provider::None),
            Route::Object(Object::Inferences | Object::Usage | Object::FeedbackStatistics) => {
                ("Records", &[ADMISSION, QUERY, SCOPE, STORE], BOTH, Provider::None)
            }
            Route::Object(Object::Generation) => (
                "Generation",
                &[ADMISSION, QUERY, UNKNOWN_GENERATION, STORE],
                &[OPENROUTER],
                Provider::None,
            ),
            Route::Object(Object::Activity) => {
                ("Activity", &[ADMISSION, QUERY, SCOPE, STORE], &[OPENROUTER], Provider::None)
            }
            Route::Object(Object::Inference(_)) => {
                ("Inference", &[ADMISSION, UNKNOWN_INFERENCE, STORE], BOTH, Provider::None)
            }
            Route::Object(Object::Feedback) => (
                "Feedback",
                &[ADMISSION, BODY, FEEDBACK, UNKNOWN_INFERENCE, STORE],
                BOTH,
                Provider::None,
            ),
            Route::Object(Object::Model(_)) => {
                ("Model", &[ADMISSION, BODY, UNKNOWN_MODEL, CONNECTION], ANY, Provider::PassedOn)
            }
            Route::Object(Object::Endpoints(_)) => {
                ("Endpoints", &[ADMISSION, UNKNOWN_MODEL], BOTH, Provider::None)
            }
            Route::Object(Object::Response(_)) => (
                "Response",
                &[ADMISSION, BODY, UNKNOWN_RESPONSE, NO_RESOURCE, STORE, CONNECTION],
                ANY,
                Provider::PassedOn,
            ),
            Route::Object(Object::Resource(_)) => {
                ("Resource", &[ADMISSION, BODY, NO_RESOURCE, CONNECTION], ANY, Provider::PassedOn)
            }
        };
        Self { name, codes, shapes, provider }
    }

    /// `responses` of an operation but for the good one.
    pub(super) fn references(&self) -> Map<String, Value> {
        let reference = |status: &str| reference("responses", &format!("{}{status}", self.name));
        self.all().iter().map(|(status, _)| (status.clone(), reference(status))).collect()
    }

    /// What the references lead to.
    pub(super) fn components(&self) -> impl Iterator<Item = (String, Value)> {
        self.all().into_iter().map(|(status, value)| (format!("{}{status}", self.name), value))
    }

    fn all(&self) -> Vec<(String, Value)> {
        let mut by_status: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
        for (status, code) in self.codes.iter().copied().flatten() {
            by_status.entry(*status).or_default().push(code);
        }
        let mut all: Vec<(String, Value)> = by_status
            .into_iter()
            .map(|(status, codes)| {
                let status = status.to_string();
                let response = self.response(&status, &told(&status, &codes));
                (status, response)
            })
            .collect();
        match self.provider {
            Provider::None => {}
            Provider::Understood => {
                for status in ["4XX", "5XX"] {
                    let told = "The provider failed, with this status of its own.";
                    all.push((status.into(), self.response(status, told)));
                }
            }
            Provider::PassedOn => {
                let told = "The provider's answer, as it came: status, type and body.";
                all.push(("default".into(), json!({ "description": told })));
            }
        }
        all
    }

    fn response(&self, status: &str, description: &str) -> Value {
        let is_method = status == "405";
        let shapes = match self.provider {
            // A method is refused before the dialect is known.
            Provider::Understood if is_method => &[OPENAI, ANTHROPIC, FORWARDED],
            _ => self.shapes,
        };
        let schemas: Vec<Value> = shapes.iter().map(|name| schema(name)).collect();
        let mut content = json!({ "application/json": { "schema": { "anyOf": schemas } } });
        if let (Provider::PassedOn, Some(content)) = (self.provider, content.as_object_mut()) {
            content.insert("*/*".into(), json!({}));
        }
        let mut headers = Vec::new();
        if is_method {
            headers.push(ALLOW);
        }
        if self.provider == Provider::Understood {
            headers.extend(IDENTITY);
            let own = self.shapes.contains(&ANTHROPIC).then_some(header::ANTHROPIC_REQUEST_ID);
            headers.extend(own);
        }
        if self.provider == Provider::Understood || status == "503" {
            headers.push(RETRY_AFTER);
        }
        json!({
            "description": description,
            "headers": references("headers", &headers),
            "content": content,
        })
    }
}

fn told(status: &str, codes: &[&str]) -> String {
    let reason = status.parse().ok().and_then(|status: StatusCode| status.canonical_reason());
    let codes: Vec<String> = codes.iter().map(|code| format!("`{code}`")).collect();
    format!("{}: {}", reason.unwrap_or_default(), codes.join(", "))
}

/// Every code, in alphabetical order.
pub(super) fn codes() -> Vec<&'static str> {
    let tables = [
        ADMISSION,
        BODY,
        CALL,
        PROVIDER,
        CONNECTION,
        STORE,
        QUERY,
        UNKNOWN_MODEL,
        UNKNOWN_INFERENCE,
        FEEDBACK,
        UNKNOWN_GENERATION,
        SCOPE,
        UNKNOWN_RESPONSE,
        NO_RESOURCE,
        NO_ROUTE,
    ];
    let mut codes: Vec<&str> = tables.iter().copied().flatten().map(|(_, code)| *code).collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}
