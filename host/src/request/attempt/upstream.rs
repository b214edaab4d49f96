//! One attempt at one endpoint, from the adapter's request to the first of the answer.
//!
//! An endpoint that has the client's own route gets the client's own bytes (`forward`); for
//! any other the chat payload goes through its adapter (`translate`), or OpenAI's embeddings
//! request does (`embed`). Waiting is bounded by the provider's timeouts and what the policy
//! says; what is read, by `server.answer_limit_mib`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use torana_wire::chat::{self, Request};
use torana_wire::encoded::unsupported;
use torana_wire::error::{CallError, CallErrorKind};
use torana_wire::event::StreamEvent;

use super::super::answer::{Batch, Content, FrameReader, Source, Stream, Whole};
use super::super::decode::Call;
use super::super::patch::patch;
use super::super::record::Link;
use super::Way;
use crate::config::{Config, UnsupportedParams};
use crate::dialect::Dialect;
use crate::dialect::watch::{self, Watch};
use crate::error::AttemptError;
use crate::gateway::Gateway;
use crate::plugin::provider::{Built, ForwardHead, Header, HttpRequest, HttpResponse};
use crate::snapshot::Endpoint;
use crate::upstream::framing::FrameKind;
use crate::upstream::request::{self, Parts};

/// How an attempt ended, and what it took.
pub struct Ended {
    pub result: Result<Content, AttemptError>,
    /// Time spent waiting for the provider.
    pub waited: Duration,
    /// Parameters that are to be reported as left out.
    pub dropped: Vec<String>,
    /// The provider was asked. What was refused before says nothing about it.
    pub sent: bool,
}

/// One attempt at one endpoint.
pub(super) struct Upstream<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) config: &'a Config,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) link: Link,
    pub(super) started: Instant,
    /// Time spent waiting for the provider.
    pub(super) waited: Duration,
    /// Parameters that are to be reported as left out.
    pub(super) dropped: Vec<String>,
    /// The provider was asked. What was refused before says nothing about it.
    pub(super) sent: bool,
    /// An answer that was paid for and could be better.
    pub(super) best: Option<Box<Whole>>,
    /// Parallel calls are banned by us, for the sake of the structure that is asked for.
    pub(super) bans_calls: bool,
}

impl<'a> Upstream<'a> {
    pub(super) fn new(
        gateway: &'a Gateway,
        config: &'a Config,
        endpoint: Arc<Endpoint>,
        link: Link,
    ) -> Self {
        Self {
            gateway,
            config,
            endpoint,
            link,
            started: Instant::now(),
            waited: Duration::ZERO,
            dropped: Vec::new(),
            sent: false,
            best: None,
            bans_calls: false,
        }
    }

    pub(super) async fn call(
        mut self,
        way: Way,
        call: &Call,
        payload: Option<&Request>,
        patience: Option<Duration>,
    ) -> Ended {
        let result = self.within(way, call, payload, patience).await;
        Ended { result, waited: self.waited, dropped: self.dropped, sent: self.sent }
    }

    /// An answer within the time that operator and policy allow.
    async fn within(
        &mut self,
        way: Way,
        call: &Call,
        payload: Option<&Request>,
        patience: Option<Duration>,
    ) -> Result<Content, AttemptError> {
        let timeouts = &self.endpoint.provider.config.timeouts;
        let limit = match patience {
            Some(patience) => patience.min(timeouts.total),
            None if call.stream => timeouts.first_byte.min(timeouts.total),
            // A whole answer begins when it is complete: that may take as long as it may.
            None => timeouts.total,
        };
        let answer = async {
            match (way, payload) {
                (Way::Forward, _) => self.forward(call).await,
                (Way::Translate, Some(_)) if call.previous_response.is_some() => {
                    let feature = "previous_response_id of a response made elsewhere";
                    Err(AttemptError::provider(unsupported(feature)))
                }
                (Way::Translate, Some(payload)) => self.structured(call, payload).await,
                (Way::Embed, _) => self.embed(call).await,
                (Way::Translate, None) | (Way::None, _) => {
                    let feature = match call.dialect {
                        Dialect::OpenaiEmbeddings => "embedding text",
                        _ => "this route",
                    };
                    Err(AttemptError::provider(unsupported(feature)))
                }
            }
        };
        match tokio::time::timeout(limit, answer).await {
            Ok(result) => result.map_err(|error| self.named(error)),
            Err(_) => {
                self.waited = self.started.elapsed();
                match self.best.take() {
                    Some(best) => Ok(Content::Whole(best)),
                    None => Err(AttemptError::Timeout(limit.as_millis())),
                }
            }
        }
    }

    /// The client's own body, patched; the provider's own bytes back.
    async fn forward(&mut self, call: &Call) -> Result<Content, AttemptError> {
        let endpoint = self.endpoint.clone();
        let dialect = call.dialect;
        let head = ForwardHead {
            wire: dialect.wire(),
            stream: call.stream,
            stream_usage: call.stream_usage,
            headers: call.dialect_headers.clone(),
        };
        let forwarded = endpoint.provider.adapter.forward(&endpoint.target, &head)?;
        let model = serde_json::Value::from(endpoint.target.model.as_str()).to_string();
        let mut patches: Vec<(&str, Option<&[u8]>)> = Vec::new();
        let own = forwarded.patches.iter().any(|patch| patch.key == "model");
        if !own && !endpoint.target.model.is_empty() {
            patches.push(("model", Some(model.as_bytes())));
        }
        patches.extend(forwarded.patches.iter().map(|p| (p.key.as_str(), p.value.as_deref())));
        patches.extend(call.wishes.keys.iter().map(|key| (*key, None)));
        let strip_usage = dialect.asks_for_usage()
            && !call.stream_usage
            && forwarded.patches.iter().any(|patch| patch.key == "stream_options");
        let body = patch(&call.body, &patches).map_err(|error| {
            AttemptError::provider(CallError::new(CallErrorKind::InvalidRequest, error.to_string()))
        })?;
        let parts = Parts {
            method: &forwarded.method,
            path: &forwarded.path,
            headers: &forwarded.headers,
            body: body.into(),
        };
        let response = self.send(parts).await?;
        if !response.status().is_success() {
            let (status, retry_after, body) = self.error_body(response).await?;
            let error = watch::error(dialect, status.as_u16(), retry_after, &body);
            let body = watch::is_error_object(&body).then_some(body);
            return Err(AttemptError::Provider { error, body });
        }
        if call.stream && !is_json(&response) {
            let frames = self.frames(response.into_body());
            let watch = Watch::new(dialect);
            let source = Source::Forward { frames, watch, dialect, strip_usage, ended: false };
            return self.first(source).await.map(|stream| Content::Stream(Box::new(stream)));
        }
        let raw = self.whole(response.into_body()).await?;
        let response = watch::whole(dialect, &raw).map_err(AttemptError::provider)?;
        if call.stream {
            return self.replayed(&response).await;
        }
        Ok(Content::Whole(Box::new(Whole { raw: Some(raw), response })))
    }

    /// A whole answer where a stream was asked for: some servers know no other.
    async fn replayed(&mut self, response: &chat::Response) -> Result<Content, AttemptError> {
        self.first(Stream::replayed(response).source)
            .await
            .map(|stream| Content::Stream(Box::new(stream)))
    }

    /// The chat payload through the adapter, both ways.
    pub(super) async fn translate(
        &mut self,
        call: &Call,
        payload: &Request,
    ) -> Result<Content, AttemptError> {
        let endpoint = self.endpoint.clone();
        let adapter = &endpoint.provider.adapter;
        let request = match adapter.build(&endpoint.target, payload)? {
            Built::Send(request) => request,
            Built::Answer { response, after } => {
                self.wait(after).await;
                return Ok(Content::Whole(Box::new(Whole::of(response))));
            }
            Built::AnswerStream(events) => {
                let events = VecDeque::from(events);
                let source = Source::Local { events, since: Instant::now() };
                return self.first(source).await.map(|stream| Content::Stream(Box::new(stream)));
            }
        };
        let response = self.ask(call, request).await?;
        if call.stream && response.status().is_success() && !is_json(&response) {
            let parser = adapter.stream_parser(&endpoint.target)?;
            let frames = self.frames(response.into_body());
            let source = Source::Translate { frames, parser, ended: false };
            return self.first(source).await.map(|stream| Content::Stream(Box::new(stream)));
        }
        let response = self.collected(response).await?;
        let parsed = adapter.parse(&endpoint.target, &response)?;
        succeeded(response.status)?;
        if call.stream {
            return self.replayed(&parsed).await;
        }
        Ok(Content::Whole(Box::new(Whole::of(parsed))))
    }

    /// An embeddings request through the adapter, both ways.
    async fn embed(&mut self, call: &Call) -> Result<Content, AttemptError> {
        let endpoint = self.endpoint.clone();
        let adapter = &endpoint.provider.adapter;
        let own: Vec<(&str, Option<&[u8]>)> =
            call.wishes.keys.iter().map(|key| (*key, None)).collect();
        let body = patch(&call.body, &own).map_err(|error| {
            AttemptError::provider(CallError::new(CallErrorKind::InvalidRequest, error.to_string()))
        })?;
        let request = adapter.build_embeddings(&endpoint.target, &body)?;
        let response = self.ask(call, request).await?;
        let response = self.collected(response).await?;
        let answer = adapter.parse_embeddings(&endpoint.target, &response)?;
        succeeded(response.status)?;
        let raw = embeddings(call, &answer)?;
        let response = watch::whole(call.dialect, &raw).map_err(AttemptError::provider)?;
        Ok(Content::Whole(Box::new(Whole { raw: Some(raw), response })))
    }

    /// Sends what an adapter made, unless it had to leave out what may not be left out.
    async fn ask(
        &mut self,
        call: &Call,
        request: HttpRequest,
    ) -> Result<Response<Incoming>, AttemptError> {
        // A forced tool of ours comes with a ban of parallel calls: not the client's to hear of.
        let is_ours = |name: &str| self.bans_calls && name == "parallel_tool_calls";
        let dropped: Vec<String> = request
            .dropped
            .iter()
            .filter(|name| !is_ours(name))
            .map(|name| call.dialect.parameter(name).to_owned())
            .collect();
        match call.unsupported {
            UnsupportedParams::Reject if !dropped.is_empty() => {
                let message = format!("{} is not supported", dropped.join(", "));
                let error = CallError::new(CallErrorKind::Unsupported, message);
                return Err(AttemptError::provider(error));
            }
            UnsupportedParams::DropAndReport => self.dropped = dropped,
            UnsupportedParams::Reject | UnsupportedParams::Ignore => {}
        }
        let parts = Parts {
            method: &request.method,
            path: &request.path,
            headers: &request.headers,
            body: request.body.into(),
        };
        self.send(parts).await
    }

    /// An unsupported feature is told with the endpoint that lacks it.
    fn named(&self, error: AttemptError) -> AttemptError {
        match error {
            AttemptError::Provider { error, body } if error.kind == CallErrorKind::Unsupported => {
                let message = format!("{}: {}", self.endpoint.name, error.message);
                let code = error.provider_code.or_else(|| Some("unsupported_feature".into()));
                let error = CallError { message, provider_code: code, ..error };
                AttemptError::Provider { error, body }
            }
            other => other,
        }
    }

    async fn collected(
        &mut self,
        response: Response<Incoming>,
    ) -> Result<HttpResponse, AttemptError> {
        Ok(HttpResponse {
            status: response.status().as_u16(),
            headers: headers(&response),
            body: self.whole(response.into_body()).await?.to_vec(),
        })
    }

    async fn send(&mut self, parts: Parts<'_>) -> Result<Response<Incoming>, AttemptError> {
        let provider = &self.endpoint.provider;
        let sent = Instant::now();
        self.sent = true;
        self.link.tape.sent(&parts.body);
        let mut request = request::to_provider(provider, parts).await?;
        if let Some(trace) = &self.link.trace {
            trace.put(request.headers_mut());
        }
        let response = self.gateway.upstream.send(request, provider.config.timeouts.connect).await;
        self.waited += sent.elapsed();
        response.map_err(|error| AttemptError::Connection(Box::new(error)))
    }

    /// Waits for a stream's first batch with something in it. An error there is still ours
    /// to handle.
    async fn first(&mut self, mut source: Source) -> Result<Stream, AttemptError> {
        let asked = Instant::now();
        let first = loop {
            match source.next().await? {
                None => return Err(AttemptError::Truncated),
                Some(batch) if is_silent(&batch) => {}
                Some(batch) => break batch,
            }
        };
        self.waited += match source {
            Source::Local { .. } => asked.elapsed(),
            Source::Forward { .. } | Source::Translate { .. } => source.waited(),
        };
        let failure = first.events.iter().find_map(|event| match event {
            StreamEvent::Failed(error) => Some(error.clone()),
            _ => None,
        });
        match failure {
            Some(error) => Err(AttemptError::provider(error)),
            None => Ok(Stream { first: Some(first), source, rewriter: None }),
        }
    }

    fn frames(&self, body: Incoming) -> FrameReader {
        let provider = &self.endpoint.provider;
        let timeouts = &provider.config.timeouts;
        FrameReader::new(
            body,
            self.endpoint.info.framing,
            self.gateway.answer_limit_bytes(),
            timeouts.idle,
            self.started,
            timeouts.total,
            self.link.tape.clone(),
        )
    }

    /// A whole body, within its bound.
    async fn whole(&mut self, body: Incoming) -> Result<Bytes, AttemptError> {
        let asked = Instant::now();
        let body = Limited::new(body, self.gateway.answer_limit_bytes()).collect().await;
        self.waited += asked.elapsed();
        let body = body.map(http_body_util::Collected::to_bytes).map_err(AttemptError::Broken)?;
        self.link.tape.received(&body);
        Ok(body)
    }

    async fn error_body(
        &mut self,
        response: Response<Incoming>,
    ) -> Result<(StatusCode, Option<u64>, Bytes), AttemptError> {
        let status = response.status();
        let retry_after = retry_after(&response);
        let body = self.whole(response.into_body()).await?;
        Ok((status, retry_after, body))
    }

    async fn wait(&mut self, duration: Duration) {
        let asked = Instant::now();
        if !duration.is_zero() {
            tokio::time::sleep(duration).await;
        }
        self.waited += asked.elapsed();
    }
}

/// Nothing that says the provider works: comments, or nothing at all.
fn is_silent(batch: &Batch) -> bool {
    batch.events.is_empty()
        && batch.terminal.is_none()
        && batch.frames.iter().all(|frame| frame.kind == FrameKind::Comment)
}

/// Embeddings in the encoding that the client asked for.
fn embeddings(call: &Call, answer: &[u8]) -> Result<Bytes, AttemptError> {
    let malformed =
        |message| AttemptError::provider(CallError::new(CallErrorKind::MalformedResponse, message));
    let answer = serde_json::from_slice(answer)
        .map_err(|error| malformed(format!("the adapter gave no JSON: {error}")))?;
    let head = torana_wire::embeddings::request::decode(&call.body);
    let encoding = head.map(|head| head.encoding).map_err(|error| malformed(error.to_string()))?;
    Ok(torana_wire::embeddings::response::encode(answer, encoding).into())
}

/// An adapter that takes a failure for an answer is wrong.
fn succeeded(status: u16) -> Result<(), AttemptError> {
    if (200..300).contains(&status) {
        return Ok(());
    }
    let message = format!("the adapter took an answer with status {status} for a good one");
    let error = CallError::new(CallErrorKind::MalformedResponse, message);
    Err(AttemptError::provider(CallError { status: Some(status), ..error }))
}

/// A whole JSON document, as opposed to any framing of a stream.
fn is_json(response: &Response<Incoming>) -> bool {
    let kind = response.headers().get(http::header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"))
}

/// `retry-after` in seconds, or `retry-after-ms` as some providers add.
fn retry_after(response: &Response<Incoming>) -> Option<u64> {
    let read = |name: &str| response.headers().get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
    let ms = read("retry-after-ms").or_else(|| read("retry-after").map(|s| s * 1e3))?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
    let ms = ms.clamp(0.0, 86_400_000.0) as u64;
    Some(ms)
}

fn headers(response: &Response<Incoming>) -> Vec<Header> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    response
        .headers()
        .iter()
        .map(|(name, value)| Header { name: name.as_str().to_owned(), value: text(value) })
        .collect()
}
