//! Executes a plan: endpoint after endpoint until one answers.
//!
//! An attempt counts as answered when the whole answer, or the first batch of a stream, is
//! there and is no error. Up to then the next endpoint may be tried; afterwards the answer
//! is the client's. Only failures that another endpoint may help go on
//! ([`AttemptError::may_fall_back`]); each endpoint is tried once.
//!
//! An endpoint that has the client's own route gets the client's own bytes (`forward`); for
//! any other the chat payload goes through its adapter (`translate`, `embed`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use torana_wire::assemble::replay;
use torana_wire::chat::{self, Request, Usage};
use torana_wire::encoded::unsupported;
use torana_wire::error::{CallError, CallErrorKind};
use torana_wire::event::StreamEvent;

use super::answer::{Answer, Batch, Content, FrameReader, Source, Stream, Whole};
use super::decode::{self, Call};
use super::patch::patch;
use super::record::{FinishedAttempt, Record};
use super::structure::{self, Expected, Native, Plan as StructurePlan, Validity};
use crate::config::{Config, UnsupportedParams};
use crate::dialect::Dialect;
use crate::dialect::watch::{self, Watch};
use crate::error::{AttemptError, Cause, FailedAttempt};
use crate::gateway::Gateway;
use crate::plugin::provider::{
    Built, ForwardHead, Header, HttpRequest, HttpResponse, PacedEvent, StructuredOutput,
};
use crate::routing::breaker;
use crate::routing::plan::{Plan, Step};
use crate::routing::statistics::Observation;
use crate::snapshot::{Endpoint, Model};
use crate::upstream::request::{self, Parts};

/// Executes the plan.
pub async fn attempt(
    gateway: &Gateway,
    config: &Config,
    model: &Arc<Model>,
    plan: &Plan,
    call: Call,
    record: &mut Record,
) -> Result<Answer, Cause> {
    let mut failed: Vec<FailedAttempt> = Vec::new();
    let mut payload = None;
    for step in closed_first(model, &plan.steps) {
        let Some(endpoint) = model.endpoints.get(step.endpoint).cloned() else { continue };
        let way = Way::of(&endpoint, &call);
        if payload.is_none() && way == Way::Translate {
            // A body that cannot be read is the client's mistake, not an attempt's.
            payload = Some(chat_payload(&call)?);
        }
        let in_flight = endpoint.statistics.start();
        record.attempt_started(&endpoint);
        let mut upstream = Upstream {
            gateway,
            config,
            endpoint: &endpoint,
            started: Instant::now(),
            waited: Duration::ZERO,
            dropped: Vec::new(),
            sent: false,
            best: None,
            bans_calls: false,
        };
        let result = upstream.call(way, &call, payload.as_ref(), step.timeout).await;
        record.waited(upstream.waited);
        let dropped = std::mem::take(&mut upstream.dropped);
        let sent = upstream.sent;
        match result {
            Ok(content) => {
                record.dropped(&dropped);
                let position = step.endpoint;
                let model = model.clone();
                return Ok(Answer { call, model, position, endpoint, in_flight, dropped, content });
            }
            Err(error) => {
                let total = in_flight.started().elapsed();
                if sent || !error.is_refusal() {
                    let error = Some(error.kind());
                    let observation = Observation { ttft: None, total, output_tokens: 0, error };
                    in_flight.observe(&observation);
                    gateway.observe(model, step.endpoint, &observation, None);
                }
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

/// An endpoint of the plan counts tokens itself.
pub fn can_count(model: &Model, plan: &Plan) -> bool {
    let endpoints = plan.steps.iter().filter_map(|step| model.endpoints.get(step.endpoint));
    endpoints.into_iter().any(|endpoint| endpoint.speaks(Dialect::AnthropicCountTokens))
}

/// How a call reaches an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The endpoint has the client's own route: its own bytes.
    Forward,
    /// Through the chat payload.
    Translate,
    /// Embeddings through the adapter.
    Embed,
    /// Neither.
    None,
}

impl Way {
    fn of(endpoint: &Endpoint, call: &Call) -> Self {
        let dialect = call.dialect;
        if endpoint.speaks(dialect) && !call.sealed {
            return Self::Forward;
        }
        match dialect {
            Dialect::OpenaiEmbeddings if endpoint.info.embeddings => Self::Embed,
            Dialect::OpenaiEmbeddings | Dialect::AnthropicCountTokens => Self::None,
            _ => Self::Translate,
        }
    }
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
    config: &'a Config,
    endpoint: &'a Arc<Endpoint>,
    started: Instant,
    /// Time spent waiting for the provider.
    waited: Duration,
    /// Parameters that are to be reported as left out.
    dropped: Vec<String>,
    /// The provider was asked. What was refused before says nothing about it.
    sent: bool,
    /// An answer that was paid for and could be better.
    best: Option<Box<Whole>>,
    /// Parallel calls are banned by us, for the sake of the structure that is asked for.
    bans_calls: bool,
}

impl Upstream<'_> {
    async fn call(
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
        let endpoint = self.endpoint;
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
        let paced = |event| PacedEvent { after: Duration::ZERO, event };
        let events = replay(response).into_iter().map(paced).collect();
        let source = Source::Local { events, since: Instant::now() };
        self.first(source).await.map(|stream| Content::Stream(Box::new(stream)))
    }

    /// The chat payload, with the structure that is asked for made of what the endpoint can
    /// do. A whole answer that does not match is mended, or asked for again.
    async fn structured(
        &mut self,
        call: &Call,
        payload: &Request,
    ) -> Result<Content, AttemptError> {
        let plan = StructurePlan::of(payload, native(self.endpoint.info.structured_output));
        let expected = tokio::task::block_in_place(|| Expected::of(payload));
        let expected = match (expected, &plan) {
            (Ok(Some(expected)), _) => expected,
            (Ok(None), _) => return self.translate(call, payload).await,
            // An endpoint that takes schemas itself may know better.
            (Err(_), None) => return self.translate(call, payload).await,
            (Err(source), Some(_)) => {
                let place = call.dialect.schema_place();
                return Err(AttemptError::Schema { place, source });
            }
        };
        self.bans_calls = plan.is_some() && payload.parallel_tool_calls.is_none();
        let settings = self.config.structured_output;
        let mut asked = payload.clone();
        let mut reasks = 0;
        loop {
            let rewritten = plan.as_ref().map(|plan| plan.request(&asked));
            let content = self.translate(call, rewritten.as_ref().unwrap_or(&asked)).await;
            let mut whole = match (content, self.best.take()) {
                (Ok(Content::Stream(mut stream)), _) => {
                    stream.rewriter = plan.as_ref().map(StructurePlan::stream);
                    return Ok(Content::Stream(stream));
                }
                (Ok(Content::Whole(mut whole)), best) => {
                    let spent = best.and_then(|best| best.response.usage);
                    whole.response.usage = added(spent, whole.response.usage);
                    whole
                }
                // Asking again failed: what is there is delivered, and flagged.
                (Err(_), Some(best)) => return Ok(Content::Whole(best)),
                (Err(error), None) => return Err(error),
            };
            if let Some(plan) = &plan {
                whole.response = plan.response(std::mem::take(&mut whole.response));
            }
            let Some(text) = structure::answer_text(&whole.response) else {
                return Ok(Content::Whole(whole));
            };
            let validity = tokio::task::block_in_place(|| expected.validate(&text));
            let Validity::Invalid { errors } = validity else {
                return Ok(Content::Whole(whole));
            };
            if let Some(repaired) = expected.repair(&text).filter(|_| settings.repair) {
                structure::replace_text(&mut whole.response, repaired);
                return Ok(Content::Whole(whole));
            }
            if reasks == settings.max_reasks {
                // Delivered as it is; the relay finds out the same and says so.
                return Ok(Content::Whole(whole));
            }
            reasks += 1;
            asked = structure::reask(&asked, &text, &errors);
            self.best = Some(whole);
        }
    }

    /// The chat payload through the adapter, both ways.
    async fn translate(&mut self, call: &Call, payload: &Request) -> Result<Content, AttemptError> {
        let endpoint = self.endpoint;
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
        let endpoint = self.endpoint;
        let adapter = &endpoint.provider.adapter;
        let request = adapter.build_embeddings(&endpoint.target, &call.body)?;
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
        let request = request::to_provider(provider, parts).await?;
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
        && batch.terminal.is_none()
        && batch
            .frames
            .iter()
            .all(|frame| frame.kind == crate::upstream::framing::FrameKind::Comment)
}

fn native(way: StructuredOutput) -> Native {
    match way {
        StructuredOutput::JsonSchema => Native::JsonSchema,
        StructuredOutput::Tool => Native::Tool,
        StructuredOutput::JsonObject => Native::JsonObject,
        StructuredOutput::Prompt => Native::Prompt,
    }
}

/// What two calls took together.
fn added(first: Option<Usage>, second: Option<Usage>) -> Option<Usage> {
    let (Some(first), Some(second)) = (first, second) else { return first.or(second) };
    Some(Usage {
        input: first.input.saturating_add(second.input),
        output: first.output.saturating_add(second.output),
        cached_input: first.cached_input.saturating_add(second.cached_input),
        cache_write: first.cache_write.saturating_add(second.cache_write),
        reasoning: first.reasoning.saturating_add(second.reasoning),
        audio: first.audio.saturating_add(second.audio),
        cost_usd: first.cost_usd.zip(second.cost_usd).map(|(first, second)| first + second),
        estimated: first.estimated || second.estimated,
    })
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

/// What a body means to an endpoint of another dialect, without what the gateway has seen to
/// itself.
fn chat_payload(call: &Call) -> Result<Request, Cause> {
    let decoded = call.dialect.decode(&call.body);
    let mut payload = decoded.map_err(|wrong| decode::wrong_type(call.dialect, &wrong))?;
    if call.dialect == Dialect::OpenaiResponses {
        // Keeping it is the journal's part.
        payload.extra.shift_remove("store");
    }
    Ok(payload)
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
