//! Puts a request together from what an adapter returned, and applies the credential that
//! the adapter named but never saw.
//!
//! The URL is the operator's base URL and a path of the adapter's that cannot leave it. An
//! adapter's header may not be one that decides identity, destination or framing.

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, Uri};
use http_body_util::Full;

use crate::config::{BaseUrl, Credential, Secret};
use crate::plugin::provider::{CredentialScheme, Header};

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
    #[error("the credential cannot be sent in a header: it has control or non-ASCII characters")]
    Credential,
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

/// Makes the request that goes to the provider.
pub fn assemble(
    provider: &str,
    base: Option<&BaseUrl>,
    operator_headers: &[(HeaderName, HeaderValue)],
    scheme: &CredentialScheme,
    credential: &Credential,
    parts: Parts<'_>,
) -> Result<Request<Full<Bytes>>, RequestError> {
    let base = base.ok_or_else(|| RequestError::NoBaseUrl(provider.to_owned()))?;
    let mut uri = join(base, parts.path)?;
    let secret = match credential {
        Credential::Present(secret) => Some(secret),
        Credential::None | Credential::Missing(_) => None,
    };
    if let (CredentialScheme::Query(name), Some(secret)) = (scheme, secret) {
        uri = with_query(&uri, name, secret)?;
    }
    let method = Method::from_bytes(parts.method.as_bytes())
        .map_err(|_| RequestError::Method(parts.method.to_owned()))?;
    let mut request = Request::new(Full::new(parts.body));
    *request.method_mut() = method;
    *request.uri_mut() = uri;
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
    if let Some(secret) = secret
        && let Some((name, value)) = credential_header(scheme, secret)?
    {
        headers.insert(name, value);
    }
    Ok(request)
}

fn credential_header(
    scheme: &CredentialScheme,
    secret: &Secret,
) -> Result<Option<(HeaderName, HeaderValue)>, RequestError> {
    let (name, value) = match scheme {
        CredentialScheme::Bearer => (AUTHORIZATION, format!("Bearer {}", secret.expose())),
        CredentialScheme::Header(name) => (
            HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| RequestError::Header(name.clone()))?,
            secret.expose().to_owned(),
        ),
        // Refused when the provider was loaded, see `snapshot.rs`.
        CredentialScheme::AwsSigv4(_) | CredentialScheme::GoogleOauth => return Ok(None),
        CredentialScheme::Query(_) | CredentialScheme::None => return Ok(None),
    };
    let mut value = HeaderValue::try_from(value).map_err(|_| RequestError::Credential)?;
    value.set_sensitive(true);
    Ok(Some((name, value)))
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

fn with_query(uri: &Uri, name: &str, secret: &Secret) -> Result<Uri, RequestError> {
    let mut encoded = String::new();
    for byte in secret.expose().bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    let separator = if uri.query().is_some() { '&' } else { '?' };
    let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let mut parts = uri.clone().into_parts();
    let path = format!("{path}{separator}{name}={encoded}");
    parts.path_and_query = Some(path.parse().map_err(|_| RequestError::Credential)?);
    Uri::from_parts(parts).map_err(|_| RequestError::Credential)
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
            let refused = assemble(
                "p",
                Some(&base()),
                &[],
                &CredentialScheme::None,
                &Credential::None,
                parts,
            );
            assert!(matches!(refused, Err(RequestError::Header(_))), "{name}");
        }
    }
}
