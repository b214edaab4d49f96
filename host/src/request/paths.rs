//! From a path to what it means. Nothing later looks at the path again.
//!
//! Every route stands under `/v1` and, for clients that were configured for another gateway,
//! under `/openai/v1` as well.

use http::Method;

use crate::dialect::Dialect;
use crate::error::Cause;

/// The routes of the data plane, as documented in `docs/operating.md`.
pub const ROUTES: &[(&str, &str)] = &[
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/completions"),
    ("POST", "/v1/responses"),
    ("POST", "/v1/embeddings"),
    ("POST", "/v1/messages"),
    ("POST", "/v1/messages/count_tokens"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/{model}"),
    ("GET", "/v1/models/{model}/endpoints"),
    ("DELETE", "/v1/models/{model}"),
    ("GET", "/v1/inferences"),
    ("GET", "/v1/inferences/{id}"),
    ("POST", "/v1/feedback"),
    ("GET", "/v1/usage"),
    ("GET", "/v1/feedback/statistics"),
    ("GET", "/v1/generation"),
    ("GET", "/v1/activity"),
    ("GET", "/v1/responses/{id}"),
    ("DELETE", "/v1/responses/{id}"),
    ("POST", "/v1/responses/{id}/cancel"),
    ("GET", "/v1/responses/{id}/input_items"),
    ("POST", "/v1/responses/compact"),
    ("POST", "/v1/responses/input_tokens"),
    ("GET", "/v1/chat/completions"),
    ("GET", "/v1/chat/completions/{id}"),
    ("POST", "/v1/chat/completions/{id}"),
    ("DELETE", "/v1/chat/completions/{id}"),
    ("GET", "/v1/chat/completions/{id}/messages"),
];

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// Asks a model.
    Infer(Dialect),
    /// Asks about something that is there.
    Object(Object),
}

/// What is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    Models,
    Model(String),
    /// Of the model or function with this name.
    Endpoints(String),
    Inferences,
    Inference(String),
    /// What somebody thinks of an inference or an episode.
    Feedback,
    Usage,
    FeedbackStatistics,
    Generation,
    Activity,
    /// A response that this gateway may have given itself.
    Response(String),
    /// Lives at a provider; the path below `/v1`.
    Resource(String),
}

/// Understands a method and a path.
///
/// # Errors
/// No such route, or not with this method.
pub fn parse(method: &Method, path: &str) -> Result<Route, Cause> {
    let below = path.strip_prefix("/openai").unwrap_or(path).strip_prefix("/v1/");
    let found = below.and_then(|below| {
        let segments: Vec<&str> = below.split('/').collect();
        route(method, below, &segments)
    });
    found.ok_or_else(|| refuse(method, path, below))
}

fn route(method: &Method, below: &str, segments: &[&str]) -> Option<Route> {
    if method == Method::POST
        && let Some(dialect) = dialect(segments)
    {
        return Some(Route::Infer(dialect));
    }
    object(method, below, segments).map(Route::Object)
}

fn dialect(segments: &[&str]) -> Option<Dialect> {
    Some(match segments {
        ["chat", "completions"] => Dialect::OpenaiChat,
        ["completions"] => Dialect::OpenaiCompletions,
        ["responses"] => Dialect::OpenaiResponses,
        ["embeddings"] => Dialect::OpenaiEmbeddings,
        ["messages"] => Dialect::AnthropicMessages,
        ["messages", "count_tokens"] => Dialect::AnthropicCountTokens,
        _ => return None,
    })
}

fn object(method: &Method, below: &str, segments: &[&str]) -> Option<Object> {
    let post = method == Method::POST;
    let get = method == Method::GET || method == Method::HEAD;
    let delete = method == Method::DELETE;
    let resource = || Some(Object::Resource(format!("/{below}")));
    match segments {
        ["models"] if get => Some(Object::Models),
        // A model whose name ends so is still found with its slash encoded.
        ["models", model @ .., "endpoints"] if get && !model.is_empty() => {
            Some(Object::Endpoints(decoded(&model.join("/"))))
        }
        ["models", model @ ..] if get => Some(Object::Model(decoded(&model.join("/")))),
        ["models", _] if delete => resource(),
        ["inferences"] if get => Some(Object::Inferences),
        ["inferences", id] if get => Some(Object::Inference((*id).to_owned())),
        ["feedback"] if post => Some(Object::Feedback),
        ["usage"] if get => Some(Object::Usage),
        ["feedback", "statistics"] if get => Some(Object::FeedbackStatistics),
        ["generation"] if get => Some(Object::Generation),
        ["activity"] if get => Some(Object::Activity),
        ["responses", "compact" | "input_tokens"] => post.then(resource).flatten(),
        ["responses", id] if get => Some(Object::Response((*id).to_owned())),
        ["responses", _] if delete => resource(),
        ["responses", _, "cancel"] if post => resource(),
        ["responses", _, "input_items"] if get => resource(),
        ["chat", "completions"] if get => resource(),
        ["chat", "completions", _] if get || post || delete => resource(),
        ["chat", "completions", _, "messages"] if get => resource(),
        _ => None,
    }
}

/// SDKs percent-encode the slash of `provider/model`.
fn decoded(segment: &str) -> String {
    percent_encoding::percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

/// The path exists with other methods, or not at all.
fn refuse(method: &Method, path: &str, below: Option<&str>) -> Cause {
    let segments: Vec<&str> = below.unwrap_or_default().split('/').collect();
    let allowed = match segments.as_slice() {
        ["chat", "completions"] => "GET, POST",
        ["completions" | "responses" | "embeddings" | "messages" | "feedback"] => "POST",
        ["messages", "count_tokens"] | ["responses", "compact" | "input_tokens"] => "POST",
        ["models" | "inferences" | "usage" | "generation" | "activity"]
        | ["inferences", _]
        | ["feedback", "statistics"] => "GET",
        ["models", _] | ["responses", _] => "GET, DELETE",
        ["models", ..] => "GET",
        ["responses", _, "cancel"] => "POST",
        ["responses", _, "input_items"] | ["chat", "completions", _, "messages"] => "GET",
        ["chat", "completions", _] => "GET, POST, DELETE",
        _ => {
            return Cause::NoRoute { method: method.to_string(), path: path.to_owned() };
        }
    };
    Cause::MethodNotAllowed { method: method.to_string(), path: path.to_owned(), allowed }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn every_documented_route_is_understood_under_both_prefixes() {
        for (method, path) in ROUTES {
            let method: Method = method.parse().unwrap();
            let path = path.replace("{id}", "x_1").replace("{model}", "m");
            let route = parse(&method, &path).unwrap();
            assert_eq!(parse(&method, &format!("/openai{path}")).unwrap(), route, "{path}");
        }
    }

    #[test]
    fn other_methods_are_told_what_is_allowed_and_other_paths_that_there_is_nothing() {
        for (_, path) in ROUTES {
            let path = path.replace("{id}", "x_1").replace("{model}", "m");
            let refused = parse(&Method::PATCH, &path);
            assert!(matches!(refused, Err(Cause::MethodNotAllowed { .. })), "{path}");
        }
        for path in ["/", "", "/v1", "/v1/", "/v2/models", "/openai/models", "/v1/chat", "/v1//"] {
            let refused = parse(&Method::GET, path);
            assert!(matches!(refused, Err(Cause::NoRoute { .. })), "{path}: {refused:?}");
        }
    }

    #[test]
    fn models_may_have_slashes() {
        let route = parse(&Method::GET, "/v1/models/openai/gpt-5").unwrap();
        assert_eq!(route, Route::Object(Object::Model("openai/gpt-5".into())));
        assert_eq!(parse(&Method::GET, "/v1/models/openai%2Fgpt-5").unwrap(), route);
    }

    #[test]
    fn endpoints_are_those_of_what_stands_before_them() {
        let endpoints = |name: &str| Route::Object(Object::Endpoints(name.into()));
        let model = |name: &str| Route::Object(Object::Model(name.into()));
        for (below, expected) in [
            ("fast/endpoints", endpoints("fast")),
            ("openai/gpt-5/endpoints", endpoints("openai/gpt-5")),
            ("openai%2Fgpt-5/endpoints", endpoints("openai/gpt-5")),
            ("endpoints/endpoints", endpoints("endpoints")),
            ("endpoints", model("endpoints")),
            ("fast%2Fendpoints", model("fast/endpoints")),
            ("fast/endpoints/", model("fast/endpoints/")),
        ] {
            let path = format!("/v1/models/{below}");
            assert_eq!(parse(&Method::GET, &path).unwrap(), expected, "{path}");
        }
    }
}
