//! Passes an answer on as it comes.
//!
//! Rules of the OpenAI dialect. A stream is complete when its finish is known; then, and only
//! after the record is in the journal, `[DONE]` is released. A stream that breaks ends with
//! an error event and never with `[DONE]`. Silence gets a comment, so that proxies between
//! us and the client keep the connection.
//!
//! The body pulls: a slow client slows the provider down, and a client that goes away drops
//! the body, which cancels the call. With `on_disconnect = "drain"` the relay runs in a task
//! of its own and reads the answer to its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::sync::mpsc;
use torana_wire::assemble::Assembler;
use torana_wire::event::StreamEvent;
use torana_wire::openai::{self, Identity};

use super::answer::{Answer, Batch, Content, Source, Stream, Whole};
use super::record::{ErrorFields, FinishedAttempt, Outcome, Record};
use super::reply::{self, ReplyBody};
use crate::config::OnDisconnect;
use crate::error::AttemptError;
use crate::gateway::Gateway;
use crate::routing::statistics::{InFlight, Observation};
use crate::snapshot::{Model, Snapshot};

/// Batches between the relay's task and a client when draining: a few, so that a slow client
/// still slows the provider down.
const DRAIN_BUFFER: usize = 16;

/// How long to wait for a provider to end a stream whose end marker came: reading the end
/// lets the connection be used again.
const LINGER: Duration = Duration::from_millis(50);

/// The reply to an answer.
pub async fn relay(
    gateway: &Arc<Gateway>,
    snapshot: &Arc<Snapshot>,
    answer: Answer,
    record: Record,
) -> Response<ReplyBody> {
    let Answer { model, position, endpoint, in_flight, content } = answer;
    let settle = Settle { gateway: gateway.clone(), model, position, in_flight: Some(in_flight) };
    match content {
        Content::Whole(answer) => whole(settle, *answer, &endpoint.name, record).await,
        Content::Stream(answer) => stream(snapshot, settle, *answer, &endpoint.name, record),
    }
}

/// Tells statistics and policy how the attempt went, once.
struct Settle {
    gateway: Arc<Gateway>,
    model: Arc<Model>,
    position: usize,
    in_flight: Option<InFlight>,
}

impl Settle {
    fn observe(
        &mut self,
        ttft: Option<Duration>,
        usage: Option<torana_wire::chat::Usage>,
        error: Option<&AttemptError>,
    ) -> FinishedAttempt {
        let Some(in_flight) = self.in_flight.take() else {
            return FinishedAttempt::succeeded(ttft, Duration::ZERO, usage);
        };
        let total = in_flight.started().elapsed();
        let observation = Observation {
            ttft,
            total,
            output_tokens: usage.map_or(0, |usage| usage.output),
            error: error.map(AttemptError::kind),
        };
        in_flight.observe(&observation);
        self.gateway.observe(&self.model, self.position, &observation, usage);
        match error {
            None => FinishedAttempt::succeeded(ttft, total, usage),
            Some(error) => FinishedAttempt::failed(error, total),
        }
    }
}

async fn whole(
    mut settle: Settle,
    answer: Whole,
    endpoint: &str,
    mut record: Record,
) -> Response<ReplyBody> {
    let identity = FallbackIdentity::new(&record, &settle.model.name);
    let body = match answer.raw {
        Some(raw) => raw,
        None => openai::response::encode(&answer.response, &identity.of(&answer.response)).into(),
    };
    // When its first token was there, a whole answer does not tell.
    record.attempt_finished(settle.observe(None, answer.response.usage, None));
    let mut response = reply::json(StatusCode::OK, body);
    reply::identify(response.headers_mut(), &record, Some(endpoint));
    let outcome =
        Outcome { status: 200, error: None, ttft: None, response: Some(&answer.response) };
    record.finish(outcome).await;
    response
}

fn stream(
    snapshot: &Snapshot,
    settle: Settle,
    answer: Stream,
    endpoint: &str,
    record: Record,
) -> Response<ReplyBody> {
    let identity = FallbackIdentity::new(&record, &settle.model.name);
    let encoder = match answer.source {
        Source::Forward { .. } => None,
        Source::Translate { .. } | Source::Local { .. } => {
            Some(openai::stream::Encoder::new(&identity.borrow(), answer.include_usage))
        }
    };
    let mut response = Response::new(());
    reply::identify(response.headers_mut(), &record, Some(endpoint));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    let server = &snapshot.config.server;
    let tasks = settle.gateway.tasks.clone();
    let relay = Relay {
        settle,
        record: Some(record),
        first: answer.first,
        waited_before: answer.source.waited(),
        source: answer.source,
        encoder,
        assembler: Assembler::default(),
        first_content: None,
        keep_alive: server.keep_alive_comment,
        phase: Phase::Running,
    };
    let body = match server.on_disconnect {
        OnDisconnect::Cancel => pulled(relay),
        OnDisconnect::Drain => {
            let (sender, receiver) = mpsc::channel(DRAIN_BUFFER);
            tasks.spawn_detached("drain", drain(relay, sender));
            received(receiver)
        }
    };
    response.map(|()| body)
}

fn pulled(relay: Relay) -> ReplyBody {
    let frames = stream::unfold(relay, async |mut relay| {
        let bytes = relay.next().await?;
        Some((Ok(Frame::data(bytes)), relay))
    });
    StreamBody::new(frames).boxed_unsync()
}

fn received(receiver: mpsc::Receiver<Bytes>) -> ReplyBody {
    let frames = stream::unfold(receiver, async |mut receiver| {
        let bytes = receiver.recv().await?;
        Some((Ok(Frame::data(bytes)), receiver))
    });
    StreamBody::new(frames).boxed_unsync()
}

/// Reads the answer to its end, whether the client still listens or not.
async fn drain(mut relay: Relay, client: mpsc::Sender<Bytes>) {
    while let Some(bytes) = relay.next().await {
        // A client that went away is the case this is for.
        let _gone = client.send(bytes).await.is_err();
    }
}

/// Id and model for answers whose provider gave none.
struct FallbackIdentity {
    id: String,
    model: String,
    created: u64,
}

impl FallbackIdentity {
    fn new(record: &Record, model: &str) -> Self {
        let created = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
        Self { id: format!("chatcmpl-{}", record.id.simple()), model: model.to_owned(), created }
    }

    fn borrow(&self) -> Identity<'_> {
        Identity { id: &self.id, model: &self.model, created: self.created }
    }

    fn of<'a>(&'a self, response: &'a torana_wire::chat::Response) -> Identity<'a> {
        let or = |own: &'a str, ours: &'a str| if own.is_empty() { ours } else { own };
        Identity {
            id: or(&response.id, &self.id),
            model: or(&response.model, &self.model),
            created: self.created,
        }
    }
}

/// One stream on its way to the client.
struct Relay {
    settle: Settle,
    /// Present until the stream is settled.
    record: Option<Record>,
    first: Option<Batch>,
    source: Source,
    /// Waiting that the attempt has already put into the record.
    waited_before: Duration,
    /// For answers that do not come in the client's dialect.
    encoder: Option<openai::stream::Encoder>,
    assembler: Assembler,
    /// When the first piece of content came.
    first_content: Option<Instant>,
    keep_alive: Option<Duration>,
    phase: Phase,
}

enum Phase {
    Running,
    /// Everything was said; the provider's connection may still be open.
    Lingering,
    Done,
}

impl Relay {
    /// The next bytes for the client; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            match self.phase {
                Phase::Done => return None,
                Phase::Lingering => {
                    self.phase = Phase::Done;
                    let source = &mut self.source;
                    let end = async { while let Ok(Some(_)) = source.next().await {} };
                    drop(tokio::time::timeout(LINGER, end).await);
                }
                Phase::Running => {
                    let bytes = self.step().await;
                    if !bytes.is_empty() {
                        return Some(bytes);
                    }
                }
            }
        }
    }

    async fn step(&mut self) -> Bytes {
        let batch = match self.first.take() {
            Some(first) => Ok(Some(first)),
            None => match self.keep_alive {
                None => self.source.next().await,
                Some(silence) => match tokio::time::timeout(silence, self.source.next()).await {
                    Ok(batch) => batch,
                    Err(_) => return Bytes::from_static(b": keep-alive\n\n"),
                },
            },
        };
        match batch {
            Ok(Some(batch)) => self.pass_on(batch).await,
            Ok(None) if self.assembler.is_finished() => self.complete(BytesMut::new()).await,
            Ok(None) => self.fail(BytesMut::new(), &AttemptError::Truncated).await,
            Err(error) => self.fail(BytesMut::new(), &error).await,
        }
    }

    async fn pass_on(&mut self, batch: Batch) -> Bytes {
        let mut out = BytesMut::new();
        let mut encoded = Vec::new();
        for event in &batch.events {
            if self.first_content.is_none() && is_content(event) {
                self.first_content = Some(Instant::now());
            }
            self.assembler.push(event);
            if let Some(encoder) = &mut self.encoder {
                encoder.push(event, &mut encoded);
            }
        }
        out.extend_from_slice(&encoded);
        for frame in &batch.frames {
            // The end marker is ours to release.
            if &*frame.data != b"[DONE]" {
                out.extend_from_slice(&frame.raw);
                if !frame.complete {
                    out.extend_from_slice(b"\n\n");
                }
            }
        }
        if let Some(error) = self.assembler.failure() {
            let error = AttemptError::provider(error.clone());
            return self.fail(out, &error).await;
        }
        if self.assembler.is_finished() {
            return self.complete(out).await;
        }
        out.freeze()
    }

    /// Records, and only then releases the end marker.
    async fn complete(&mut self, mut out: BytesMut) -> Bytes {
        self.settle(None).await;
        match &mut self.encoder {
            Some(encoder) => {
                let mut end = Vec::new();
                encoder.end(&mut end);
                out.extend_from_slice(&end);
            }
            None => out.extend_from_slice(b"data: [DONE]\n\n"),
        }
        self.phase = Phase::Lingering;
        out.freeze()
    }

    /// Records, and ends the stream so that it cannot look complete.
    async fn fail(&mut self, mut out: BytesMut, error: &AttemptError) -> Bytes {
        self.settle(Some(error)).await;
        out.extend_from_slice(&reply::stream_error(error));
        self.phase = Phase::Done;
        out.freeze()
    }

    async fn settle(&mut self, error: Option<&AttemptError>) {
        let assembler = std::mem::take(&mut self.assembler);
        let response = assembler.finish();
        let Some(mut record) = self.record.take() else { return };
        record.waited(self.source.waited().saturating_sub(self.waited_before));
        let since = |start| self.first_content.map(|first| first.duration_since(start));
        let attempt_ttft = self.settle.in_flight.as_ref().map(InFlight::started).and_then(since);
        let ttft = since(record.started());
        record.attempt_finished(self.settle.observe(attempt_ttft, response.usage, error));
        let outcome = Outcome {
            status: 200,
            error: error.map(|error| ErrorFields {
                kind: error.kind().as_str(),
                code: error.code().to_owned(),
                message: crate::error::chain(error),
            }),
            ttft,
            response: Some(&response),
        };
        record.finish(outcome).await;
    }
}

fn is_content(event: &StreamEvent) -> bool {
    matches!(
        event,
        StreamEvent::TextDelta { .. }
            | StreamEvent::ReasoningDelta { .. }
            | StreamEvent::ToolCallDelta { .. }
            | StreamEvent::BlockStart { kind: torana_wire::event::BlockKind::ToolCall { .. }, .. }
    )
}
