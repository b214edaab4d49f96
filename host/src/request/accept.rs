//! Listeners, connections, and the way to a request's handler.
//!
//! A request pins the snapshot of the moment its head has arrived and keeps it to its end.
//! The path is parsed once, here; nothing later looks at it again.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::record::Record;
use super::reply::{self, ReplyBody};
use super::{admit, chat_completion, inferences, models};
use crate::config::{OnDisconnect, Server};
use crate::error::Cause;
use crate::gateway::Gateway;
use crate::snapshot::Snapshot;

/// The routes of the data plane, as documented in `docs/operating.md`.
pub const ROUTES: &[(&str, &str)] = &[
    ("POST", "/v1/chat/completions"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/{model}"),
    ("GET", "/v1/inferences"),
    ("GET", "/v1/inferences/{id}"),
];

/// Pause after a failed `accept`, which is mostly a lack of file descriptors: trying again
/// at once would only burn the CPU.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What cut connections get to write their records.
const CUT_TIME: Duration = Duration::from_secs(1);

/// Streams of one HTTP/2 connection, and header bytes of one request.
const MAX_STREAMS: u32 = 250;
const MAX_HEADER_BYTES: usize = 64 * 1024;
const MAX_HEADER_LIST_BYTES: u32 = 64 * 1024;
/// A peer that is gone without a word is noticed by an unanswered ping.
const KEEP_ALIVE_PING: Duration = Duration::from_secs(30);

/// Serves until the gateway stops, then lets running requests finish within the drain time.
pub async fn serve(gateway: Arc<Gateway>, listener: TcpListener) {
    let server = gateway.snapshot().config.server.clone();
    let connections = Arc::new(Semaphore::new(server.max_connections));
    let graceful = GracefulShutdown::new();
    let builder = protocol(&server);
    let stopping = gateway.tasks.stopping().clone();
    loop {
        let next = async {
            // None is free while all are in use: that wait must end with the gateway, too.
            let permit = connections.clone().acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            next = next => next,
            () = stopping.cancelled() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
        let for_requests = gateway.clone();
        let service = service_fn(move |request| {
            let gateway = for_requests.clone();
            async move { Ok::<_, Infallible>(dispatch(gateway, request).await) }
        });
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection.into_owned());
        let abandoned = gateway.tasks.abandoned().clone();
        gateway.tasks.spawn("connection", async move {
            let ended = tokio::select! {
                ended = connection => ended,
                () = abandoned.cancelled() => Ok(()),
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended badly");
            }
            drop(permit);
        });
    }
    drop(listener);
    let drained = async {
        graceful.shutdown().await;
        gateway.tasks.detached_ended().await;
    };
    if tokio::time::timeout(server.drain_timeout, drained).await.is_err() {
        tracing::warn!("requests were still running at the end of the drain time; they are cut");
        gateway.tasks.abandoned().cancel();
        let all = u32::try_from(server.max_connections).unwrap_or(u32::MAX);
        drop(tokio::time::timeout(CUT_TIME, connections.acquire_many(all)).await);
    }
}

/// HTTP/1.1 and HTTP/2 on one port, within bounds.
fn protocol(server: &Server) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(server.header_timeout)
        .max_buf_size(MAX_HEADER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_LIST_BYTES)
        .keep_alive_interval(Some(KEEP_ALIVE_PING));
    builder
}

/// Finds the handler.
async fn dispatch(gateway: Arc<Gateway>, request: Request<Incoming>) -> Response<ReplyBody> {
    let snapshot = gateway.snapshot();
    let path = request.uri().path().to_owned();
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match (request.method(), segments.as_slice()) {
        (&Method::POST, ["v1", "chat", "completions"]) => chat(gateway, snapshot, request).await,
        (&Method::GET | &Method::HEAD, ["v1", "models"]) => {
            read(&snapshot, &request, || models::list(&snapshot))
        }
        (&Method::GET | &Method::HEAD, ["v1", "models", model @ ..]) => {
            let model = model.join("/");
            read(&snapshot, &request, || models::one(&snapshot, &model))
        }
        (&Method::GET | &Method::HEAD, ["v1", "inferences"]) => {
            if let Err(cause) = admit::caller(&snapshot.config, request.headers()) {
                return reply::error(&cause);
            }
            inferences::list(&gateway, &snapshot, request.uri().query().unwrap_or("")).await
        }
        (&Method::GET | &Method::HEAD, ["v1", "inferences", id]) => {
            if let Err(cause) = admit::caller(&snapshot.config, request.headers()) {
                return reply::error(&cause);
            }
            inferences::one(&gateway, &snapshot, id).await
        }
        (method, segments) => {
            let (method, path) = (method.to_string(), path.clone());
            let allowed = match segments {
                ["v1", "chat", "completions"] => "POST",
                ["v1", "models" | "inferences", ..] => "GET",
                _ => return reply::error(&Cause::NoRoute { method, path }),
            };
            reply::error(&Cause::MethodNotAllowed { method, path, allowed })
        }
    }
}

fn read(
    snapshot: &Snapshot,
    request: &Request<Incoming>,
    answer: impl FnOnce() -> Response<ReplyBody>,
) -> Response<ReplyBody> {
    match admit::caller(&snapshot.config, request.headers()) {
        Ok(_) => answer(),
        Err(cause) => reply::error(&cause),
    }
}

async fn chat(
    gateway: Arc<Gateway>,
    snapshot: Arc<Snapshot>,
    request: Request<Incoming>,
) -> Response<ReplyBody> {
    let server = &snapshot.config.server;
    let (head, body) = request.into_parts();
    let key = match admit::caller(&snapshot.config, &head.headers) {
        Ok(key) => key,
        Err(cause) => return reply::error(&cause),
    };
    let body = match admit::body(body, server.body_limit_bytes, server.body_timeout).await {
        Ok(body) => body,
        Err(cause) => return reply::error(&cause),
    };
    let on_disconnect = server.on_disconnect;
    let mut record = Record::new(gateway.clone(), snapshot.clone());
    record.admitted(key);
    let tasks = gateway.tasks.clone();
    let running = gateway.metrics.running();
    let served = async move {
        let response = chat_completion(gateway, snapshot, head.headers, body, record).await;
        response.map(|body| running.until_the_end_of(body))
    };
    match on_disconnect {
        OnDisconnect::Cancel => served.await,
        OnDisconnect::Drain => {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            tasks.spawn_detached("request", async move {
                // A client that went away is the case this is for.
                let _gone = sender.send(served.await).is_err();
            });
            receiver.await.unwrap_or_else(|_| reply::error(&Cause::TaskDied))
        }
    }
}
