//! Connections to providers: pooled, HTTP/1.1 and HTTP/2, TCP_NODELAY, with a deadline on
//! connecting. Sends where it is told: to base URLs that the operator wrote and, for
//! credentials, to token and metadata services (`credential/exchange.rs`). Follows no redirect.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};

/// Idle connections kept to one provider: enough for a burst, few enough for the
/// provider's own bounds.
const MAX_IDLE_PER_HOST: usize = 256;
/// Shorter than the 60–75 s after which common front ends close an idle connection.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

type HttpsClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Connections to all providers. Outlives snapshots.
#[derive(Debug)]
pub struct UpstreamPool {
    tls: rustls::ClientConfig,
    /// One client for each connect timeout in use: a handful, since providers share the
    /// default.
    clients: Mutex<BTreeMap<Duration, Arc<HttpsClient>>>,
}

impl UpstreamPool {
    pub fn new() -> Result<Self, rustls::Error> {
        Ok(Self { tls: super::tls::client_configuration()?, clients: Mutex::default() })
    }

    /// Sends a request and waits for the head of the answer. Dropping the future, or the
    /// body of the answer, cancels the exchange.
    pub async fn send(
        &self,
        request: Request<Full<Bytes>>,
        connect_timeout: Duration,
    ) -> Result<Response<Incoming>, Error> {
        let client = self.client(connect_timeout);
        client.request(request).await
    }

    fn client(&self, connect_timeout: Duration) -> Arc<HttpsClient> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let client = clients.entry(connect_timeout);
        client.or_insert_with(|| Arc::new(connect(self.tls.clone(), connect_timeout))).clone()
    }
}

fn connect(tls: rustls::ClientConfig, connect_timeout: Duration) -> HttpsClient {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(connect_timeout));
    connector.set_keepalive(Some(Duration::from_secs(30)));
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .enable_http2()
        .wrap_connector(connector);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(MAX_IDLE_PER_HOST)
        .build(connector)
}
