//! What fetching a credential needs of the world: HTTP, the environment, files, the clock.
//!
//! HTTP goes through a function that the caller hands in, so that the gateway's own pool and
//! TLS are used and a test needs no network. Every exchange has a deadline, every answer and
//! every file a largest size. Redirects are not followed: they would carry a secret to a host
//! that nobody named.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName};
use http::uri::Scheme;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use tokio::io::AsyncReadExt;

use super::error::{CredentialError, TransportError};
use crate::upstream::pool::UpstreamPool;

/// Largest answer. Tokens have up to some 10 KiB; the caller's function should stop reading
/// here too.
pub const LARGEST_ANSWER_BYTES: usize = 64 * 1024;
/// Token services answer in well under a second; at ten one does not wait for a client's
/// sake, and one lost packet has been sent again thrice.
pub(super) const TOKEN_SERVICE_TIMEOUT: Duration = Duration::from_secs(10);
/// Metadata services are on the machine. Where there is none the packets vanish, and this is
/// what the first request waits before it learns it.
pub(super) const METADATA_TIMEOUT: Duration = Duration::from_secs(2);
/// Connecting over [`over_pool`]: as long as a metadata service may take in all.
const CONNECT_TIMEOUT: Duration = METADATA_TIMEOUT;
/// Unreserved characters of RFC 3986: the rest is escaped.
pub(super) const ESCAPED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Sends a request and collects the answer, of at most [`LARGEST_ANSWER_BYTES`].
pub type Exchange = Arc<
    dyn Fn(Request<Bytes>) -> BoxFuture<'static, Result<Response<Bytes>, TransportError>>
        + Send
        + Sync,
>;

type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;
type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// The world as credentials see it. Cheap to clone.
#[derive(Clone)]
pub struct Surroundings {
    exchange: Exchange,
    environment: Environment,
    clock: Clock,
}

/// HTTP over the gateway's own pool, and so its TLS. Stops reading at
/// [`LARGEST_ANSWER_BYTES`].
pub fn over_pool(pool: Arc<UpstreamPool>) -> Exchange {
    Arc::new(move |request| {
        let pool = Arc::clone(&pool);
        Box::pin(async move {
            let request = request.map(Full::new);
            let answer = pool
                .send(request, CONNECT_TIMEOUT)
                .await
                .map_err(|error| Arc::new(error) as TransportError)?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, LARGEST_ANSWER_BYTES).collect().await;
            let body = body.map_err(TransportError::from)?;
            Ok(Response::from_parts(head, body.to_bytes()))
        })
    })
}

/// Whom a request goes to, for messages, and what to do when that fails.
#[derive(Debug, Clone, Copy)]
pub(super) struct Service<'a> {
    pub(super) name: &'a str,
    pub(super) timeout: Duration,
    pub(super) remedy: &'static str,
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Surroundings")
    }
}

impl Surroundings {
    pub fn new(
        exchange: Exchange,
        environment: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        Self { exchange, environment: Arc::new(environment), clock: Arc::new(SystemTime::now) }
    }

    /// Another clock than the machine's.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    pub(super) fn now(&self) -> SystemTime {
        (self.clock)()
    }

    /// A variable that is set and not empty.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        (self.environment)(name).filter(|value| !value.is_empty())
    }

    /// `path`, of which a leading `~/` means the home directory.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        match (path.strip_prefix("~/"), self.variable("HOME")) {
            (Some(rest), Some(home)) => Path::new(&home).join(rest),
            _ => PathBuf::from(path),
        }
    }

    /// Sends a request. Any status but 200 is an error with the code that the answer gives.
    pub(super) async fn send(
        &self,
        service: &Service<'_>,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, CredentialError> {
        let answer = tokio::time::timeout(service.timeout, (self.exchange)(request)).await;
        let answer = answer
            .map_err(|_| CredentialError::TimedOut {
                origin: service.name.to_owned(),
                after: service.timeout,
                remedy: service.remedy,
            })?
            .map_err(|source| CredentialError::Unreachable {
                origin: service.name.to_owned(),
                source,
                remedy: service.remedy,
            })?;
        if answer.status() != StatusCode::OK {
            return Err(CredentialError::Refused {
                origin: service.name.to_owned(),
                status: answer.status(),
                code: error_code(answer.body()),
                remedy: service.remedy,
            });
        }
        if answer.body().len() > LARGEST_ANSWER_BYTES {
            return Err(malformed(service, "an answer of at most 64 KiB"));
        }
        Ok(answer)
    }

    /// The text of a regular file.
    pub(super) async fn read(
        &self,
        path: &Path,
        named_by: &'static str,
        limit: u64,
    ) -> Result<String, CredentialError> {
        let unreadable = |source: io::Error| CredentialError::Unreadable {
            path: path.to_path_buf(),
            named_by,
            source: Arc::new(source),
        };
        // Opening a pipe would wait for a writer.
        if !tokio::fs::metadata(path).await.map_err(unreadable)?.is_file() {
            return Err(unreadable(io::Error::other("not a regular file")));
        }
        let mut text = String::new();
        let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
        file.take(limit + 1).read_to_string(&mut text).await.map_err(unreadable)?;
        if text.len() as u64 > limit {
            return Err(CredentialError::TooLarge { path: path.to_path_buf(), named_by, limit });
        }
        Ok(text)
    }
}

/// A request without a body.
pub(super) fn get(uri: Uri, headers: &[(HeaderName, HeaderValue)]) -> Request<Bytes> {
    let mut request = Request::new(Bytes::new());
    *request.uri_mut() = uri;
    request.headers_mut().extend(headers.iter().cloned());
    request
}

/// A form, to be answered in JSON.
pub(super) fn form(uri: Uri, pairs: &[(&str, &str)]) -> Request<Bytes> {
    let escape = |text| utf8_percent_encode(text, ESCAPED);
    let pairs: Vec<_> =
        pairs.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
    let mut request = Request::new(Bytes::from(pairs.join("&")));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    headers.insert(CONTENT_TYPE, form);
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    request
}

/// Reads an answer. What is wrong with it is not said: parsers quote, and it holds secrets.
pub(super) fn json<T: DeserializeOwned>(
    service: &Service<'_>,
    answer: &Response<Bytes>,
    expected: &'static str,
) -> Result<T, CredentialError> {
    serde_json::from_slice(answer.body()).map_err(|_| malformed(service, expected))
}

pub(super) fn malformed(service: &Service<'_>, expected: &'static str) -> CredentialError {
    CredentialError::Malformed {
        origin: format!("the answer of {}", service.name),
        expected,
        remedy: service.remedy,
    }
}

/// An address that may be sent secrets: `https`, or this machine.
pub(super) fn secure_address(origin: &str, address: &str) -> Result<Uri, CredentialError> {
    let refused = || CredentialError::Address {
        origin: origin.to_owned(),
        address: address.to_owned(),
        expected: "one that begins with https:// (or http:// on this machine)",
    };
    let uri: Uri = address.parse().map_err(|_| refused())?;
    let is_secure = uri.scheme() == Some(&Scheme::HTTPS);
    let has_host = uri.host().is_some_and(|host| !host.is_empty());
    match has_host && (is_secure || uri.scheme() == Some(&Scheme::HTTP) && is_loopback(&uri)) {
        true => Ok(uri),
        false => Err(refused()),
    }
}

/// The URI's host is this machine.
pub(super) fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The error code in an answer: Google's and OAuth's `error` (a text, or a record with
/// `status`), STS's `Error.Code`, the container endpoint's `code`. Empty when there is none
/// that looks like a code.
fn error_code(body: &[u8]) -> String {
    let Ok(answer) = serde_json::from_slice::<serde_json::Value>(body) else {
        return String::new();
    };
    ["/error", "/error/status", "/Error/Code", "/code", "/Code"]
        .iter()
        .filter_map(|place| answer.pointer(place)?.as_str())
        // A code is a word. Anything else might be a message that repeats what was sent.
        .find(|code| {
            code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        })
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use tokio::io::AsyncWriteExt;

    use super::*;

    #[test]
    fn secrets_go_only_to_https_or_to_this_machine() {
        for address in [
            "https://sts.amazonaws.com/",
            "http://127.0.0.1:9/x",
            "http://localhost",
            "http://[::1]:8/",
        ] {
            assert!(secure_address("x", address).is_ok(), "{address}");
        }
        for address in [
            "http://oauth2.example.com/token",
            "ftp://a/",
            "/token",
            "",
            "http://127.0.0.1.evil.example/",
        ] {
            let error = secure_address("token_uri", address).unwrap_err().to_string();
            assert!(error.contains("https://"), "{error}");
        }
    }

    #[test]
    fn only_a_code_is_shown_of_an_answer() {
        assert_eq!(
            error_code(br#"{"error":"invalid_grant","error_description":"x"}"#),
            "invalid_grant"
        );
        assert_eq!(error_code(br#"{"error":{"status":"PERMISSION_DENIED"}}"#), "PERMISSION_DENIED");
        assert_eq!(
            error_code(br#"{"Error":{"Code":"AccessDenied","Message":"m"}}"#),
            "AccessDenied"
        );
        assert_eq!(error_code(br#"{"error":"bad assertion eyJhbGciOi.x.y"}"#), "");
        assert_eq!(error_code(b"<html>"), "");
    }

    /// A server that answers one request with a body of `length` bytes.
    #[expect(clippy::disallowed_methods, reason = "a test's own server")]
    async fn served(length: usize) -> Result<Response<Bytes>, TransportError> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let read = stream.read(&mut request).await.unwrap();
            assert!(request[..read].starts_with(b"PUT /x HTTP/1.1"));
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            // The client hangs up when it has had enough.
            let _ = stream.write_all(&vec![b'a'; length]).await;
        });
        let mut request = get(format!("http://{address}/x").parse().unwrap(), &[]);
        *request.method_mut() = Method::PUT;
        over_pool(Arc::new(UpstreamPool::new().unwrap()))(request).await
    }

    #[tokio::test]
    async fn the_pool_carries_an_exchange_and_stops_at_the_bound() {
        let answer = served(LARGEST_ANSWER_BYTES).await.unwrap();
        assert_eq!(answer.into_body().len(), LARGEST_ANSWER_BYTES);
        assert!(served(LARGEST_ANSWER_BYTES + 1).await.is_err());
    }

    #[tokio::test]
    async fn a_file_is_read_up_to_its_bound_and_no_pipe_is_opened() {
        let network = crate::upstream::credential::fake::Network::silent();
        let world = network.surroundings();
        let path = crate::upstream::credential::fake::file("12345");
        assert_eq!(world.read(path.path(), "x", 5).await.unwrap(), "12345");
        let error = world.read(path.path(), "x", 4).await.unwrap_err();
        assert!(matches!(error, CredentialError::TooLarge { limit: 4, .. }), "{error}");
        assert!(world.read(Path::new("/dev/zero"), "x", 4).await.is_err());
    }

    #[test]
    fn a_form_escapes_everything_but_the_unreserved() {
        let request = form(Uri::from_static("https://a/"), &[("a", "b c+d/e=~"), ("é", "&")]);
        assert_eq!(request.body(), "a=b%20c%2Bd%2Fe%3D~&%C3%A9=%26");
    }
}
