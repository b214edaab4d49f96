//! Puts a request together from what an adapter returned.
//!
//! The credential, which the adapter named but never saw, comes last. The URL is the operator's base URL and a path of the adapter's that cannot leave it. An
//! adapter's header may not be one that decides identity, destination or framing.

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, Uri};
use http_body_util::Full;

use crate::config::BaseUrl;
use crate::error::AttemptError;
use crate::plugin::provider::Header;
use crate::snapshot::Provider;

/// Why a request could not be made of what an adapter returned.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("the provider has no base_url; write one under [providers.{0}]")]
    NoBaseUrl(String),
    #[error("the adapter returned the path {0:?}, which is not one below the provider's base_url")]
    Path(String),
    #[error("the adapter returned the method {0:?}")]
    Method(String),
    #[error(
        "the adapter returned the header {0:?}, which only the gateway may set or which is not valid"
    )]
    Header(String),
}

/// What an adapter returned, before the host adds its part.
#[derive(Debug)]
pub struct Parts<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub headers: &'a [Header],
    pub body: Bytes,
}

/// Headers that decide who asks, where it goes and how it is framed.
const RESERVED: &[&str] = &[
    "host",
    "authorization",
    "proxy-authorization",
    "cookie",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "forwarded",
    "x-forwarded-for",
];

/// Makes the request that goes to the provider, credential and all.
///
/// # Errors
/// What the adapter returned cannot be sent, or there is no credential.
pub async fn to_provider(
    provider: &Provider,
    parts: Parts<'_>,
) -> Result<Request<Full<Bytes>>, AttemptError> {
    let config = &provider.config;
    let body = parts.body.clone();
    let mut request = assemble(&provider.name, config.base_url.as_ref(), &config.headers, parts)?;
    provider.authenticator.apply(&mut request, &body).await?;
    Ok(request)
}

fn assemble(
    provider: &str,
    base: Option<&BaseUrl>,
    operator_headers: &[(HeaderName, HeaderValue)],
    parts: Parts<'_>,
) -> Result<Request<Full<Bytes>>, RequestError> {
    let base = base.ok_or_else(|| RequestError::NoBaseUrl(provider.to_owned()))?;
    let method = Method::from_bytes(parts.method.as_bytes())
        .map_err(|_| RequestError::Method(parts.method.to_owned()))?;
    let mut request = Request::new(Full::new(parts.body));
    *request.method_mut() = method;
    *request.uri_mut() = join(base, parts.path)?;
    let headers = request.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for header in parts.headers {
        let invalid = || RequestError::Header(header.name.clone());
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| invalid())?;
        if RESERVED.contains(&name.as_str()) {
            return Err(invalid());
        }
        headers.insert(name, HeaderValue::from_str(&header.value).map_err(|_| invalid())?);
    }
    for (name, value) in operator_headers {
        headers.insert(name.clone(), value.clone());
    }
    Ok(request)
}

/// The base URL with `path` below it.
fn join(base: &BaseUrl, path: &str) -> Result<Uri, RequestError> {
    let refused = || RequestError::Path(path.to_owned());
    if !is_below(path) {
        return Err(refused());
    }
    let joined: PathAndQuery = format!("{}{path}", base.path).parse().map_err(|_| refused())?;
    Uri::builder()
        .scheme(base.scheme.clone())
        .authority(base.authority.clone())
        .path_and_query(joined)
        .build()
        .map_err(|_| refused())
}

/// Starts with one slash and has no segment that climbs, however it is encoded.
fn is_below(path: &str) -> bool {
    let only_path = path.split(['?', '#']).next().unwrap_or_default();
    let decoded =
        only_path.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "\\");
    path.starts_with('/')
        && !path.contains('#')
        && !decoded.contains("//")
        && !decoded.contains('\\')
        && decoded.split('/').all(|segment| segment != ".." && segment != ".")
        && path.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn base() -> BaseUrl {
        BaseUrl {
            scheme: http::uri::Scheme::HTTPS,
            authority: "api.example:8443".parse().unwrap(),
            path: "/v1".into(),
        }
    }

    #[test]
    fn no_path_leaves_the_base_url() {
        for path in ["/chat/completions", "/models/a:generate?alt=sse", "/a/b%20c"] {
            let uri = join(&base(), path).unwrap();
            assert_eq!(uri.authority().unwrap(), "api.example:8443");
            assert!(uri.path().starts_with("/v1/"), "{uri}");
        }
        for path in [
            "chat",
            "//evil.example/x",
            "/../admin",
            "/a/../../b",
            "/%2e%2e/admin",
            "/a%2f..%2fb",
            "/a/./b",
            "http://evil.example/",
            "@evil.example/",
            "/a\\..\\b",
            "/a b",
            "/a\r\nx: y",
            "/a#b",
            "/a%5c..%5cb",
        ] {
            assert!(join(&base(), path).is_err(), "{path}");
        }
    }

    #[test]
    fn an_adapter_cannot_set_identity_destination_or_framing() {
        for name in ["Host", "authorization", "content-length", "x-forwarded-for", "bad name"] {
            let header = Header { name: name.into(), value: "x".into() };
            let parts =
                Parts { method: "POST", path: "/x", headers: &[header], body: Bytes::new() };
            let refused = assemble("p", Some(&base()), &[], parts);
            assert!(matches!(refused, Err(RequestError::Header(_))), "{name}");
        }
    }
}
