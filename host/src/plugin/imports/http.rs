//! `torana:host/http`: outgoing requests to granted origins, for sinks.
//!
//! The origin must be among the grants, literally. A name is resolved once, by the very
//! connector that connects, and private or link-local results are refused unless the grant
//! itself names such an address or `localhost`: a name that resolves to something else on
//! the second look gains nothing. The origin of a sink's own `url` may be private, as a
//! provider's may: whoever runs a store has it in the next rack. Link-local addresses, where
//! clouds give out credentials, need the grant to say them in so many words even then.
//! Redirects are not followed.
//!
//! Headers that the operator gives the sink are added last (`own_headers.rs`). What belongs
//! to the connection is refused: a guest that could choose `host` would reach others than the
//! granted.

mod own_headers;

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::str::FromStr as _;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request as HttpRequest, Uri, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioExecutor;

use super::GuestState;
use crate::plugin::bindings::host::torana::host::http::{Error, Header, Host, Request, Response};
use crate::upstream::address;

pub(crate) use own_headers::OwnHeaders;

const MAX_BODY_BYTES: usize = 16 << 20;
const MAX_TIMEOUT: Duration = Duration::from_secs(60);

/// Connections of one plugin to its granted origins.
#[derive(Debug)]
pub(crate) struct HttpClient {
    origins: Vec<Origin>,
    own_headers: Arc<OwnHeaders>,
    client: Client<HttpsConnector<HttpConnector<PublicResolver>>, Full<Bytes>>,
}

/// What a plugin may call.
#[derive(Debug, Clone)]
pub(crate) struct Granted {
    /// Checked by the configuration: what does not parse grants nothing.
    pub(crate) url: String,
    /// The name may lead to private addresses.
    pub(crate) may_be_private: bool,
}

/// Scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Origin {
    fn of(uri: &Uri) -> Option<Self> {
        let scheme = uri.scheme_str()?;
        let default_port = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        let authority = uri.authority()?;
        if authority.as_str().contains('@') {
            return None;
        }
        Some(Self {
            scheme: scheme.to_owned(),
            host: authority.host().trim_matches(['[', ']']).to_ascii_lowercase(),
            port: authority.port_u16().unwrap_or(default_port),
        })
    }

    /// The operator named a private place in so many words.
    fn names_private(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(address::is_private)
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}:{}", self.scheme, self.host, self.port)
    }
}

impl HttpClient {
    pub(crate) fn new(
        granted: &[Granted],
        own_headers: Arc<OwnHeaders>,
        tls: rustls::ClientConfig,
    ) -> Self {
        let mut origins = Vec::new();
        let (mut private_names, mut own_names) = (Vec::new(), Vec::new());
        for granted in granted {
            let uri = Uri::from_str(&granted.url).ok();
            let Some(origin) = uri.as_ref().and_then(Origin::of) else { continue };
            if origin.names_private() {
                private_names.push(origin.host.clone());
            } else if granted.may_be_private {
                own_names.push(origin.host.clone());
            }
            origins.push(origin);
        }
        let mut connector =
            HttpConnector::new_with_resolver(PublicResolver { private_names, own_names });
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(10)));
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Self { origins, own_headers, client }
    }

    async fn send(&self, request: Request) -> Result<Response, Error> {
        let timeout = Duration::from_millis(request.timeout_ms.into()).min(MAX_TIMEOUT);
        let request = self.check(request)?;
        tokio::time::timeout(timeout, self.exchange(request)).await.unwrap_or(Err(Error::Timeout))
    }

    /// Nothing leaves before this.
    fn check(&self, request: Request) -> Result<HttpRequest<Full<Bytes>>, Error> {
        let uri = Uri::from_str(&request.url)
            .map_err(|error| Error::InvalidRequest(format!("url: {error}")))?;
        let origin = Origin::of(&uri)
            .ok_or_else(|| Error::InvalidRequest("url: expected http:// or https://".into()))?;
        if !self.origins.contains(&origin) {
            return Err(Error::NotGranted(origin.to_string()));
        }
        // The connector takes literal addresses without asking the resolver.
        if let Ok(literal) = origin.host.parse::<IpAddr>()
            && address::is_private(literal)
            && !origin.names_private()
        {
            return Err(Error::BlockedAddress(literal.to_string()));
        }
        let method = Method::from_str(&request.method)
            .ok()
            .filter(|method| ALLOWED_METHODS.contains(method))
            .ok_or_else(|| Error::InvalidRequest(format!("method: {}", request.method)))?;
        let mut built = HttpRequest::new(Full::new(Bytes::from(request.body)));
        *built.method_mut() = method;
        *built.uri_mut() = uri;
        for header in request.headers {
            let name = HeaderName::from_str(&header.name)
                .map_err(|_| Error::InvalidRequest(format!("header name: {}", header.name)))?;
            if OF_THE_CONNECTION.contains(&name) {
                return Err(Error::InvalidRequest(format!("header {name}: the host sets it")));
            }
            let value = HeaderValue::from_str(&header.value)
                .map_err(|_| Error::InvalidRequest(format!("header value of {name}")))?;
            built.headers_mut().append(name, value);
        }
        self.own_headers.put(built.headers_mut());
        Ok(built)
    }

    async fn exchange(&self, request: HttpRequest<Full<Bytes>>) -> Result<Response, Error> {
        let response = self.client.request(request).await.map_err(|error| understand(&error))?;
        let (head, body) = response.into_parts();
        if self.own_headers.cannot_read(&head.headers) {
            return Err(Error::Connection("the answer is encoded, which was not asked for".into()));
        }
        let body = Limited::new(body, MAX_BODY_BYTES).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                Error::TooLarge
            } else {
                Error::Connection(error.to_string())
            }
        })?;
        Ok(Response {
            status: head.status.as_u16(),
            headers: head
                .headers
                .iter()
                .map(|(name, value)| Header {
                    name: name.as_str().to_owned(),
                    value: self.readable(value.as_bytes()),
                })
                .collect(),
            body: self.own_headers.redact(body.to_bytes().to_vec()),
        })
    }

    fn readable(&self, value: &[u8]) -> String {
        String::from_utf8_lossy(&self.own_headers.redact(value.to_vec())).into_owned()
    }
}

/// Set by the client, or not to be had: with them a guest could speak to another host on the
/// same connection, or hide a second request in the first.
const OF_THE_CONNECTION: [HeaderName; 10] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::EXPECT,
];

const ALLOWED_METHODS: [Method; 6] =
    [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD];

fn understand(error: &hyper_util::client::legacy::Error) -> Error {
    let mut source = std::error::Error::source(error);
    let mut innermost = error.to_string();
    while let Some(cause) = source {
        if let Some(Blocked(address)) = cause.downcast_ref() {
            return Error::BlockedAddress(address.to_string());
        }
        innermost = cause.to_string();
        source = cause.source();
    }
    Error::Connection(innermost)
}

/// A name led to an address that was not granted.
#[derive(Debug, thiserror::Error)]
#[error("{0} is a private address")]
struct Blocked(IpAddr);

/// Resolves names to public addresses only, but for those that were granted otherwise.
#[derive(Debug, Clone, Default)]
struct PublicResolver {
    /// To wherever they lead.
    private_names: Vec<String>,
    /// To wherever they lead, but for link-local addresses.
    own_names: Vec<String>,
}

impl PublicResolver {
    fn admits(&self, name: &str, address: IpAddr) -> bool {
        let is_among =
            |names: &[String]| names.iter().any(|other| other.eq_ignore_ascii_case(name));
        !address::is_private(address)
            || is_among(&self.private_names)
            || (is_among(&self.own_names) && !is_link_local(address))
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

impl tower_service::Service<Name> for PublicResolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = std::io::Error;
    type Future =
        Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send + 'static>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolver = self.clone();
        Box::pin(async move {
            let addresses: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let blocked = addresses.iter().find(|a| !resolver.admits(name.as_str(), a.ip()));
            match blocked {
                Some(blocked) => Err(std::io::Error::other(Blocked(blocked.ip()))),
                None => Ok(addresses.into_iter()),
            }
        })
    }
}

impl Host for GuestState {
    async fn send(&mut self, request: Request) -> Result<Response, Error> {
        match self.capabilities.http.clone() {
            Some(client) => client.send(request).await,
            None => Err(Error::NotGranted("this plugin has no granted origin".into())),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn client(origins: &[&str]) -> HttpClient {
        let granted = |url: &&str| Granted { url: (*url).to_owned(), may_be_private: false };
        let origins: Vec<Granted> = origins.iter().map(granted).collect();
        let tls = crate::upstream::tls::client_configuration().unwrap();
        HttpClient::new(&origins, Arc::default(), tls)
    }

    fn request(url: &str) -> Request {
        Request {
            method: "GET".into(),
            url: url.into(),
            headers: vec![],
            body: vec![],
            timeout_ms: 1_000,
        }
    }

    #[test]
    fn only_granted_origins_pass() {
        let client = client(&["https://scores.example:8443", "http://127.0.0.1:9000"]);
        for granted in ["https://scores.example:8443/x", "http://127.0.0.1:9000/y?z"] {
            assert!(client.check(request(granted)).is_ok(), "{granted}");
        }
        for url in [
            "https://scores.example/x",
            "http://scores.example:8443/x",
            "https://scores.example:8443@evil.example/",
            "https://evil.example:8443/",
            "http://127.0.0.1:9001/",
            "http://[::ffff:127.0.0.1]:9000/",
            "http://169.254.169.254/latest/meta-data",
            "/relative",
            "file:///etc/passwd",
        ] {
            assert!(client.check(request(url)).is_err(), "{url}");
        }
    }

    #[tokio::test]
    async fn a_public_name_that_resolves_to_a_private_address_is_refused() {
        let mut resolver = PublicResolver::default();
        let name = Name::from_str("localhost").unwrap();
        let refused = tower_service::Service::call(&mut resolver, name).await;
        assert!(refused.is_err_and(|error| error.to_string().contains("private")));
    }

    #[test]
    fn the_sinks_own_host_may_be_private_but_not_link_local() {
        let own = PublicResolver { own_names: vec!["store.corp".into()], ..Default::default() };
        for (name, address, expected) in [
            ("store.corp", "10.1.2.3", true),
            ("Store.Corp", "fd00::1", true),
            ("store.corp", "169.254.169.254", false),
            ("store.corp", "::ffff:169.254.169.254", false),
            ("store.corp", "fe80::1", false),
            ("other.corp", "10.1.2.3", false),
            ("other.corp", "9.9.9.9", true),
        ] {
            let admitted = own.admits(name, address.parse().unwrap());
            assert_eq!(admitted, expected, "{name} at {address}");
        }
    }

    #[test]
    fn a_guest_sets_no_header_of_the_connection() {
        let client = client(&["http://127.0.0.1:9000"]);
        for name in ["Host", "content-length", "Transfer-Encoding", "connection"] {
            let header = Header { name: name.into(), value: "x".into() };
            let request = Request { headers: vec![header], ..request("http://127.0.0.1:9000/") };
            assert!(matches!(client.check(request), Err(Error::InvalidRequest(_))), "{name}");
        }
    }
}
