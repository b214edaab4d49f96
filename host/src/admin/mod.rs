//! The admin listener: health, status, metrics, reload. Its own port, loopback by default;
//! nothing of it is reachable through the data plane.

mod status;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::error::chain;
use crate::gateway::Gateway;
use crate::request::reply::{self, ReplyBody};

/// The routes of the admin listener, as documented in `docs/operating.md`.
pub const ROUTES: &[(&str, &str)] = &[
    ("GET", "/health"),
    ("GET", "/ready"),
    ("GET", "/status"),
    ("GET", "/metrics"),
    ("POST", "/reload"),
];

/// Operators, probes and one scraper: a hundred connections are plenty.
const MAX_CONNECTIONS: usize = 100;
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop` is cancelled: later than the data plane, so that a draining gateway
/// can still be asked how it does.
pub async fn serve(
    gateway: Arc<Gateway>,
    listener: TcpListener,
    stop: tokio_util::sync::CancellationToken,
) {
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let next = async {
            let permit = connections.clone().acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            next = next => next,
            () = stop.cancelled() => return,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (gateway, stop) = (gateway.clone(), stop.clone());
        let tasks = gateway.tasks.clone();
        let service = service_fn(move |request| {
            let gateway = gateway.clone();
            async move { Ok::<_, Infallible>(dispatch(gateway, request).await) }
        });
        tasks.spawn("admin", async move {
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                ended = connection => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "an admin connection ended badly");
                    }
                }
                () = stop.cancelled() => {}
            }
            drop(permit);
        });
    }
}

async fn dispatch(gateway: Arc<Gateway>, request: Request<Incoming>) -> Response<ReplyBody> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/health") => object(StatusCode::OK, &json!({ "status": "ok" })),
        (&Method::GET, "/ready") => ready(&gateway),
        (&Method::GET, "/status") => object(StatusCode::OK, &status::status(&gateway)),
        (&Method::GET, "/metrics") => metrics(&gateway),
        (&Method::POST, "/reload") => reload(&gateway).await,
        (method, path) => {
            let allowed =
                ROUTES.iter().find(|(_, route)| *route == path).map(|(allowed, _)| allowed);
            let (status, error) = match allowed {
                Some(allowed) => (
                    StatusCode::METHOD_NOT_ALLOWED,
                    format!("{method} is not allowed on {path}; use {allowed}"),
                ),
                None => {
                    let routes: Vec<&str> = ROUTES.iter().map(|(_, route)| *route).collect();
                    (
                        StatusCode::NOT_FOUND,
                        format!("no such route: {path}; there are {}", routes.join(", ")),
                    )
                }
            };
            object(status, &json!({ "error": error }))
        }
    }
}

/// Ready means: takes requests and can keep their records.
fn ready(gateway: &Gateway) -> Response<ReplyBody> {
    let reason = if gateway.tasks.stopping().is_cancelled() {
        Some("the gateway is shutting down")
    } else if gateway.journal.is_full() {
        Some("the journal is full")
    } else {
        None
    };
    match reason {
        None => object(StatusCode::OK, &json!({ "ready": true })),
        Some(reason) => {
            object(StatusCode::SERVICE_UNAVAILABLE, &json!({ "ready": false, "reason": reason }))
        }
    }
}

fn metrics(gateway: &Gateway) -> Response<ReplyBody> {
    let mut response = reply::json(StatusCode::OK, gateway.metrics.encode(gateway));
    let text =
        HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    response
}

/// Runs in a task of its own: an operator who hangs up does not leave half a reload.
async fn reload(gateway: &Arc<Gateway>) -> Response<ReplyBody> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let task = gateway.clone();
    gateway.tasks.spawn("reload", async move {
        let _hung_up = sender.send(task.reload().await).is_err();
    });
    match receiver.await {
        Ok(Ok(generation)) => object(StatusCode::OK, &json!({ "generation": generation })),
        Ok(Err(error)) => {
            let problems = chain(&error);
            let problems: Vec<&str> = problems.lines().collect();
            object(
                StatusCode::UNPROCESSABLE_ENTITY,
                &json!({
                    "error": "reload refused, the running configuration stays",
                    "problems": problems,
                    "generation": gateway.snapshot().generation,
                }),
            )
        }
        Err(_) => object(
            StatusCode::INTERNAL_SERVER_ERROR,
            &json!({ "error": "the reload's task died; see the log" }),
        ),
    }
}

fn object(status: StatusCode, value: &serde_json::Value) -> Response<ReplyBody> {
    let mut body = value.to_string();
    body.push('\n');
    reply::json(status, body)
}
