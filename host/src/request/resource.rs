//! Routes about objects that live at a provider, such as stored completions: passed on to
//! the one that the operator named, as they are.
//!
//! Off unless `resource_provider` names a provider: whoever has a key may then read and delete
//! what lies there under the gateway's credential. The path goes below that provider's base
//! URL and cannot leave it.

use std::sync::Arc;
use std::time::Instant;

use futures_util::stream;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Incoming;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::admit;
use super::history::is_ours;
use super::reply::{BodyError, ReplyBody};
use crate::config::Timeouts;
use crate::error::{AttemptError, Cause};
use crate::gateway::Gateway;
use crate::snapshot::{Provider, Snapshot};
use crate::upstream::request::{self, Parts, RequestError};

/// A path segment: what RFC 3986 calls unreserved stays, and what OpenAI's ids are made of.
const SEGMENT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

/// A model that is not configured here.
pub async fn model(
    gateway: &Gateway,
    snapshot: &Snapshot,
    name: &str,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, Cause> {
    if provider(snapshot).is_none() {
        let known = super::route::known(snapshot);
        return Err(Cause::UnknownModel { name: name.to_owned(), known });
    }
    let path = format!("/models/{}", utf8_percent_encode(name, SEGMENT));
    pass_on(gateway, snapshot, &path, request).await
}

/// Passes the request on. `path` is the one below `/v1`.
pub async fn pass_on(
    gateway: &Gateway,
    snapshot: &Snapshot,
    path: &str,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, Cause> {
    let named = path.strip_prefix("/responses/").and_then(|rest| rest.split('/').next());
    if named.is_some_and(is_ours) {
        return Err(Cause::InvalidRequest {
            param: None,
            message: "a response that this gateway made can be read and gone on from; how long \
                      it is kept is the store's to say"
                .into(),
        });
    }
    let provider =
        provider(snapshot).ok_or_else(|| Cause::NoResourceProvider(format!("/v1{path}")))?;
    let server = &snapshot.config.server;
    let (head, body) = request.into_parts();
    let body = admit::body(body, server.body_limit_bytes, server.body_timeout).await?;
    let path = match head.uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let parts = Parts { method: head.method.as_str(), path: &path, headers: &[], body };
    let timeouts = &provider.config.timeouts;
    let answered = async {
        let request = request::to_provider(provider, parts).await?;
        let sent = gateway.upstream.send(request, timeouts.connect).await;
        sent.map_err(|error| AttemptError::Connection(Box::new(error)))
    };
    let response = tokio::time::timeout(timeouts.first_byte, answered)
        .await
        .map_err(|_| AttemptError::Timeout(timeouts.first_byte.as_millis()))
        .and_then(|answered| answered)
        .map_err(|error| match error {
            // The path is the client's here.
            AttemptError::Request(RequestError::Path(_)) => {
                let method = head.method.to_string();
                Cause::NoRoute { method, path: head.uri.path().to_owned() }
            }
            error => Cause::Attempt(error),
        })?;
    let (answer, body) = response.into_parts();
    let mut reply = Response::new(bounded(body, *timeouts));
    *reply.status_mut() = answer.status;
    for name in [CONTENT_TYPE, RETRY_AFTER] {
        if let Some(value) = answer.headers.get(&name) {
            reply.headers_mut().insert(name, value.clone());
        }
    }
    Ok(reply)
}

/// The provider's body as it comes. Silence and length end it with an error: nothing that
/// broke off looks complete.
fn bounded(body: Incoming, timeouts: Timeouts) -> ReplyBody {
    let deadline = Instant::now() + timeouts.total;
    let frames = stream::unfold(Some(body), move |body| async move {
        let mut body: Incoming = body?;
        let until = deadline.min(Instant::now() + timeouts.idle);
        match tokio::time::timeout_at(until.into(), body.frame()).await {
            Ok(None) => None,
            Ok(Some(Ok(frame))) => Some((Ok(frame), Some(body))),
            Ok(Some(Err(error))) => Some((Err(BodyError::from(error)), None)),
            Err(elapsed) => Some((Err(BodyError::from(elapsed)), None)),
        }
    });
    StreamBody::new(frames).boxed_unsync()
}

fn provider(snapshot: &Snapshot) -> Option<&Arc<Provider>> {
    let name = snapshot.config.resource_provider.as_ref()?;
    snapshot.providers.get(name)
}
