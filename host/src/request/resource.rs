//! Routes about objects that live at a provider, such as stored completions: passed on to
//! the one that the operator named, as they are.
//!
//! Off unless `resource_provider` names a provider: whoever has a key may then read and delete
//! what lies there under the gateway's credential. The path goes below that provider's base
//! URL and cannot leave it.

use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::admit;
use super::reply::ReplyBody;
use crate::error::{AttemptError, Cause};
use crate::gateway::Gateway;
use crate::snapshot::{Provider, Snapshot};
use crate::upstream::request::{self, Parts};

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
            AttemptError::Request(_) => {
                let method = head.method.to_string();
                Cause::NoRoute { method, path: head.uri.path().to_owned() }
            }
            error => Cause::Attempt(error),
        })?;
    let (answer, body) = response.into_parts();
    // A body that breaks off breaks ours off, too: nothing here can look complete.
    let mut reply = Response::new(body.boxed_unsync());
    *reply.status_mut() = answer.status;
    if let Some(kind) = answer.headers.get(CONTENT_TYPE) {
        reply.headers_mut().insert(CONTENT_TYPE, kind.clone());
    }
    Ok(reply)
}

fn provider(snapshot: &Snapshot) -> Option<&Arc<Provider>> {
    let name = snapshot.config.resource_provider.as_ref()?;
    snapshot.providers.get(name)
}
