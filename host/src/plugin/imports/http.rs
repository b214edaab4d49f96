//! `torana:host/http`: outgoing requests to granted origins, for sinks.
//!
//! The origin must be among the grants, literally. A name is resolved once, by the very
//! connector that connects, and private or link-local results are refused unless the grant
//! itself names such an address or `localhost`: a name that resolves to something else on
//! the second look gains nothing. Redirects are not followed.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::str::FromStr as _;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request as HttpRequest, Uri};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioExecutor;

use super::GuestState;
use crate::plugin::bindings::host::torana::host::http::{Error, Header, Host, Request, Response};
use crate::upstream::address;

const MAX_BODY_BYTES: usize = 16 << 20;
const MAX_TIMEOUT: Duration = Duration::from_secs(60);

/// Connections of one plugin to its granted origins.
#[derive(Debug)]
pub(crate) struct HttpClient {
    origins: Vec<Origin>,
    client: Client<HttpsConnector<HttpConnector<PublicResolver>>, Full<Bytes>>,
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
    /// `origins` are checked by the configuration: what does not parse grants nothing.
    pub(crate) fn new(origins: &[String], tls: rustls::ClientConfig) -> Self {
        let origins: Vec<Origin> = origins
            .iter()
            .filter_map(|origin| Uri::from_str(origin).ok())
            .filter_map(|uri| Origin::of(&uri))
            .collect();
        let private_names = origins
            .iter()
            .filter(|origin| origin.names_private())
            .map(|o| o.host.clone())
            .collect();
        let mut connector = HttpConnector::new_with_resolver(PublicResolver { private_names });
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(10)));
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        Self { origins, client: Client::builder(TokioExecutor::new()).build(connector) }
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
            let value = HeaderValue::from_str(&header.value)
                .map_err(|_| Error::InvalidRequest(format!("header value of {name}")))?;
            built.headers_mut().append(name, value);
        }
        Ok(built)
    }

    async fn exchange(&self, request: HttpRequest<Full<Bytes>>) -> Result<Response, Error> {
        let response = self.client.request(request).await.map_err(|error| understand(&error))?;
        let (head, body) = response.into_parts();
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
                    value: String::from_utf8_lossy(value.as_bytes()).into_owned(),
                })
                .collect(),
            body: body.to_bytes().to_vec(),
        })
    }
}

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

/// Resolves names to public addresses only.
#[derive(Debug, Clone)]
struct PublicResolver {
    private_names: Vec<String>,
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
        let private = self.private_names.iter().any(|private| private == name.as_str());
        Box::pin(async move {
            let addresses: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let blocked = addresses.iter().find(|a| !private && address::is_private(a.ip()));
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
        let origins: Vec<String> = origins.iter().map(|&origin| origin.to_owned()).collect();
        HttpClient::new(&origins, crate::upstream::tls::client_configuration().unwrap())
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
        let mut resolver = PublicResolver { private_names: vec![] };
        let name = Name::from_str("localhost").unwrap();
        let refused = tower_service::Service::call(&mut resolver, name).await;
        assert!(refused.is_err_and(|error| error.to_string().contains("private")));
    }
}
