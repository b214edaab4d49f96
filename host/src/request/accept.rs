//! Listeners, connections, and the way to a request's handler.
//!
//! A request pins the snapshot of the moment its head has arrived and keeps it to its end.
//! The path is understood once (`paths.rs`); nothing later looks at it again.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::inferences::scope::Scope;
use super::paths::{self, Object, Route};
use super::record::Record;
use super::reply::{self, ReplyBody, Shape};
use super::trace::Trace;
use super::{
    Asked, activity, admit, endpoints, feedback, feedback_statistics, generation, history,
    inference, inferences, models, resource, usage,
};
use crate::config::{OnDisconnect, Server, TraceHeaders};
use crate::dialect::Dialect;
use crate::error::Cause;
use crate::gateway::Gateway;
use crate::snapshot::Snapshot;
use crate::telemetry::{self, About};

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
    let shape = Shape::of(request.uri().path(), request.headers());
    let route = match paths::parse(request.method(), request.uri().path()) {
        Ok(route) => route,
        Err(cause) => return reply::error(&cause, shape),
    };
    let object = match route {
        Route::Infer(dialect) => return infer(gateway, snapshot, dialect, request).await,
        Route::Object(object) => object,
    };
    let caller = match admit::caller(&snapshot.config, request.headers()) {
        Ok(caller) => caller,
        Err(cause) => return reply::error(&cause, shape),
    };
    let key = caller.map(|key| key.name.as_str());
    let scope = Scope::of(caller);
    let query = request.uri().query().unwrap_or("");
    let answer = match object {
        Object::Models => models::list(&snapshot, query, shape),
        Object::Model(name) => match models::one(&snapshot, &name, shape) {
            Some(found) => Ok(found),
            None => resource::model(&gateway, &snapshot, &name, request).await,
        },
        Object::Endpoints(name) => endpoints::of(&gateway, &snapshot, &name),
        Object::Inferences => inferences::list(&gateway, &snapshot, scope, query).await,
        Object::Inference(id) => inferences::one(&gateway, &snapshot, scope, &id).await,
        Object::Usage => usage::usage(&gateway, &snapshot, scope, query).await,
        Object::FeedbackStatistics => {
            feedback_statistics::statistics(&gateway, &snapshot, scope, query).await
        }
        Object::Feedback => feedback::give(&gateway, &snapshot, caller, request).await,
        Object::Generation => generation::generation(&gateway, &snapshot, scope, query).await,
        Object::Activity => activity::activity(&gateway, &snapshot, scope, query).await,
        Object::Response(id) => match history::response(&gateway, &snapshot, key, &id).await {
            Ok(Some(found)) => Ok(found),
            Ok(None) => {
                resource::pass_on(&gateway, &snapshot, &format!("/responses/{id}"), request).await
            }
            Err(cause) => Err(cause),
        },
        Object::Resource(path) => resource::pass_on(&gateway, &snapshot, &path, request).await,
    };
    answer.unwrap_or_else(|cause| reply::error(&cause, shape))
}

/// From the head of a request to its handler, with the body read in between.
async fn infer(
    gateway: Arc<Gateway>,
    snapshot: Arc<Snapshot>,
    dialect: Dialect,
    request: Request<Incoming>,
) -> Response<ReplyBody> {
    let server = &snapshot.config.server;
    let shape = Shape::of_dialect(dialect);
    let (head, body) = request.into_parts();
    let key = match admit::caller(&snapshot.config, &head.headers) {
        Ok(key) => key,
        Err(cause) => return reply::error(&cause, shape),
    };
    let body = match admit::body(body, server.body_limit_bytes, server.body_timeout).await {
        Ok(body) => body,
        Err(cause) => return reply::error(&cause, shape),
    };
    let on_disconnect = server.on_disconnect;
    let trace = match server.trace_headers {
        TraceHeaders::Both | TraceHeaders::In => Trace::of(&head.headers),
        TraceHeaders::None => Trace::begin(),
    };
    let about = About { inference: uuid::Uuid::now_v7(), trace: trace.id };
    let mut record =
        Record::new(gateway.clone(), snapshot.clone(), dialect, about.inference, trace);
    record.admitted(key.map(|key| key.name.clone()));
    record.keep_at_most(key.and_then(|key| key.content));
    let unsupported = key.and_then(|key| key.unsupported_params);
    let asked = Asked { dialect, headers: head.headers, body, unsupported };
    let tasks = gateway.tasks.clone();
    let running = gateway.metrics.running();
    let pinned = snapshot.clone();
    let served = telemetry::about(about, async move {
        let response = inference(gateway, pinned, asked, record).await;
        response.map(|body| running.until_the_end_of(body))
    });
    match on_disconnect {
        OnDisconnect::Cancel => served.await,
        OnDisconnect::Drain => {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            tasks.spawn_detached("request", async move {
                // A client that went away is the case this is for.
                let _gone = sender.send(served.await).is_err();
            });
            receiver.await.unwrap_or_else(|_| reply::error(&Cause::TaskDied, shape))
        }
    }
}
