//! Executes a plan: endpoint after endpoint until one answers.
//!
//! An attempt counts as answered when the whole answer, or the first batch of a stream, is
//! there and is no error. Up to then the next endpoint may be tried; afterwards the answer
//! is the client's. Only failures that another endpoint may help go on
//! ([`AttemptError::may_fall_back`]); each endpoint is tried once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use torana_wire::chat::Request;
use torana_wire::error::{CallError, CallErrorKind};
use torana_wire::event::StreamEvent;
use torana_wire::openai;

use super::answer::{Answer, Batch, Content, FrameReader, Source, Stream, Whole};
use super::decode::{self, ChatCall};
use super::record::{FinishedAttempt, Record};
use crate::error::{AttemptError, Cause, FailedAttempt};
use crate::gateway::Gateway;
use crate::plugin::provider::{Built, ForwardHead, Header, HttpResponse, Wire};
use crate::routing::breaker;
use crate::routing::plan::{Plan, Step};
use crate::routing::statistics::Observation;
use crate::snapshot::{Endpoint, Model};
use crate::upstream::credential::{self, Parts};

/// Executes the plan.
pub async fn attempt(
    gateway: &Gateway,
    model: &Arc<Model>,
    plan: &Plan,
    call: &ChatCall,
    record: &mut Record,
) -> Result<Answer, Cause> {
    let mut failed: Vec<FailedAttempt> = Vec::new();
    let mut payload = None;
    for step in closed_first(model, &plan.steps) {
        let Some(endpoint) = model.endpoints.get(step.endpoint).cloned() else { continue };
        if payload.is_none() && !speaks_the_dialect(&endpoint) {
            // A body that cannot be read is the client's mistake, not an attempt's.
            payload = Some(chat_payload(call)?);
        }
        let in_flight = endpoint.statistics.start();
        record.attempt_started(&endpoint);
        let mut upstream = Upstream {
            gateway,
            endpoint: &endpoint,
            started: Instant::now(),
            waited: Duration::ZERO,
        };
        let result = upstream.call(call, payload.as_ref(), step.timeout).await;
        record.waited(upstream.waited);
        match result {
            Ok(content) => {
                let position = step.endpoint;
                return Ok(Answer { model: model.clone(), position, endpoint, in_flight, content });
            }
            Err(error) => {
                let total = in_flight.started().elapsed();
                let observation =
                    Observation { ttft: None, total, output_tokens: 0, error: Some(error.kind()) };
                in_flight.observe(&observation);
                gateway.observe(model, step.endpoint, &observation, None);
                let last = !error.may_fall_back();
                record.attempt_finished(FinishedAttempt::failed(&error, total));
                failed.push(FailedAttempt { endpoint: endpoint.name.clone(), error });
                if last {
                    break;
                }
            }
        }
    }
    Err(give_up(failed))
}

fn give_up(mut failed: Vec<FailedAttempt>) -> Cause {
    match failed.pop() {
        Some(last) if failed.is_empty() || !last.error.may_fall_back() => last.error.into(),
        Some(last) => {
            failed.push(last);
            Cause::AllAttempts(failed)
        }
        None => Cause::AllAttempts(failed),
    }
}

/// The plan's order, endpoints with an open breaker last.
fn closed_first(model: &Model, steps: &[Step]) -> Vec<Step> {
    let now = |step: &&Step| {
        model
            .endpoints
            .get(step.endpoint)
            .is_none_or(|endpoint| endpoint.statistics.breaker() != breaker::State::Open)
    };
    let (mut closed, open): (Vec<&Step>, Vec<&Step>) = steps.iter().partition(now);
    closed.extend(open);
    closed.into_iter().copied().collect()
}

/// One attempt at one endpoint.
struct Upstream<'a> {
    gateway: &'a Gateway,
    endpoint: &'a Arc<Endpoint>,
    started: Instant,
    /// Time spent waiting for the provider.
    waited: Duration,
}

impl Upstream<'_> {
    async fn call(
        &mut self,
        call: &ChatCall,
        payload: Option<&Request>,
        patience: Option<Duration>,
    ) -> Result<Content, AttemptError> {
        let provider = &self.endpoint.provider;
        let timeouts = &provider.config.timeouts;
        let limit = match patience {
            Some(patience) => patience.min(timeouts.total),
            None if call.stream => timeouts.first_byte.min(timeouts.total),
            // A whole answer begins when it is complete: that may take as long as it may.
            None => timeouts.total,
        };
        let answer = async {
            match payload {
                Some(payload) if !speaks_the_dialect(self.endpoint) => {
                    self.translate(call, payload).await
                }
                _ => self.forward(call).await,
            }
        };
        let result = tokio::time::timeout(limit, answer).await;
        match result {
            Ok(result) => result,
            Err(_) => {
                self.waited = self.started.elapsed();
                Err(AttemptError::Timeout(limit.as_millis()))
            }
        }
    }

    /// The client's own body, patched; the provider's own bytes back.
    async fn forward(&mut self, call: &ChatCall) -> Result<Content, AttemptError> {
        let endpoint = self.endpoint;
        let head = ForwardHead { stream: call.stream, stream_usage: call.stream_usage };
        let forwarded = endpoint.provider.adapter.forward(&endpoint.target, head)?;
        let model = serde_json::Value::from(endpoint.target.model.as_str()).to_string();
        let mut patches: Vec<(&str, Option<&[u8]>)> = vec![("model", Some(model.as_bytes()))];
        patches.extend(forwarded.patches.iter().map(|p| (p.key.as_str(), p.value.as_deref())));
        let strip_usage = !call.stream_usage
            && forwarded.patches.iter().any(|patch| patch.key == "stream_options");
        let body = decode::patch(&call.body, &patches).map_err(|error| {
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
            let error = openai::error::decode(status.as_u16(), retry_after, &body);
            let body = is_error_object(&body).then_some(body);
            return Err(AttemptError::Provider { error, body });
        }
        if call.stream {
            let frames = self.frames(response.into_body());
            let watch = openai::stream::Decoder::default();
            let source = Source::Forward { frames, watch, strip_usage, ended: false };
            return self.first(source, call.stream_usage).await;
        }
        let raw = self.whole(response.into_body()).await?;
        let response = openai::response::decode(&raw).map_err(AttemptError::provider)?;
        Ok(Content::Whole(Box::new(Whole { raw: Some(raw), response })))
    }

    /// The chat payload through the adapter, both ways.
    async fn translate(
        &mut self,
        call: &ChatCall,
        payload: &Request,
    ) -> Result<Content, AttemptError> {
        let endpoint = self.endpoint;
        let adapter = &endpoint.provider.adapter;
        let request = match adapter.build(&endpoint.target, payload)? {
            Built::Send(request) => request,
            Built::Answer { response, after } => {
                self.wait(after).await;
                return Ok(Content::Whole(Box::new(Whole { raw: None, response })));
            }
            Built::AnswerStream(events) => {
                let events = VecDeque::from(events);
                let source = Source::Local { events, since: Instant::now() };
                return self.first(source, call.stream_usage).await;
            }
        };
        let parts = Parts {
            method: &request.method,
            path: &request.path,
            headers: &request.headers,
            body: request.body.into(),
        };
        let response = self.send(parts).await?;
        if call.stream && response.status().is_success() {
            let parser = adapter.stream_parser(&endpoint.target)?;
            let frames = self.frames(response.into_body());
            let source = Source::Translate { frames, parser, ended: false };
            return self.first(source, call.stream_usage).await;
        }
        let status = response.status();
        let response = HttpResponse {
            status: status.as_u16(),
            headers: headers(&response),
            body: self.whole(response.into_body()).await?.to_vec(),
        };
        let response = adapter.parse(&endpoint.target, &response)?;
        if !status.is_success() {
            let message = format!("the adapter took an answer with status {status} for a good one");
            let error = CallError::new(CallErrorKind::MalformedResponse, message);
            return Err(AttemptError::provider(CallError {
                status: Some(status.as_u16()),
                ..error
            }));
        }
        Ok(Content::Whole(Box::new(Whole { raw: None, response })))
    }

    async fn send(&mut self, parts: Parts<'_>) -> Result<Response<Incoming>, AttemptError> {
        let provider = &self.endpoint.provider;
        let request = credential::assemble(
            &provider.name,
            provider.config.base_url.as_ref(),
            &provider.config.headers,
            &provider.info.credential,
            &provider.config.credential,
            parts,
        )?;
        let sent = Instant::now();
        let response = self.gateway.upstream.send(request, provider.config.timeouts.connect).await;
        self.waited += sent.elapsed();
        response.map_err(|error| AttemptError::Connection(Box::new(error)))
    }

    /// Waits for a stream's first batch with something in it. An error there is still ours
    /// to handle.
    async fn first(
        &mut self,
        mut source: Source,
        include_usage: bool,
    ) -> Result<Content, AttemptError> {
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
            None => {
                Ok(Content::Stream(Box::new(Stream { first: Some(first), source, include_usage })))
            }
        }
    }

    fn frames(&self, body: Incoming) -> FrameReader {
        let provider = &self.endpoint.provider;
        let timeouts = &provider.config.timeouts;
        FrameReader::new(
            body,
            provider.info.framing,
            self.gateway.answer_limit_bytes(),
            timeouts.idle,
            self.started,
            timeouts.total,
        )
    }

    /// A whole body, within its bound.
    async fn whole(&mut self, body: Incoming) -> Result<Bytes, AttemptError> {
        let asked = Instant::now();
        let body = Limited::new(body, self.gateway.answer_limit_bytes()).collect().await;
        self.waited += asked.elapsed();
        body.map(http_body_util::Collected::to_bytes).map_err(AttemptError::Broken)
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
        && batch
            .frames
            .iter()
            .all(|frame| frame.kind == crate::upstream::framing::FrameKind::Comment)
}

/// The client's body can go to the endpoint as it is.
fn speaks_the_dialect(endpoint: &Endpoint) -> bool {
    endpoint.provider.config.forward && endpoint.provider.info.wire == Wire::OpenaiChat
}

fn chat_payload(call: &ChatCall) -> Result<Request, Cause> {
    openai::request::decode(&call.body).map_err(|wrong| decode::wrong_type(&wrong))
}

fn is_error_object(body: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Error {
        #[expect(dead_code, reason = "its presence is what counts")]
        error: serde_json::Map<String, serde_json::Value>,
    }
    serde_json::from_slice::<Error>(body).is_ok()
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
