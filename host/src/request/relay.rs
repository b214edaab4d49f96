//! Passes an answer on as it comes.
//!
//! A stream is complete when its finish is known; then, and only after the record is in the
//! journal, the dialect's end marker is released (`[DONE]`, `message_stop`,
//! `response.completed`). A stream that breaks ends with the dialect's error event and never
//! with an end marker, unless another endpoint goes on with it (`resume`). Silence gets a
//! comment, so that proxies between us and the client keep the connection.
//!
//! The body pulls: a slow client slows the provider down, and a client that goes away drops
//! the body, which cancels the call. With `on_disconnect = "drain"` the relay runs in a task
//! of its own and reads the answer to its end.

mod resumed;
mod settle;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::sync::mpsc;
use torana_routing::execution::Step;
use torana_wire::assemble::Assembler;
use torana_wire::chat;
use torana_wire::event::StreamEvent;
use torana_wire::openai::Identity;

use super::answer::{Answer, Batch, Content, Source, Stream, Whole};
use super::decode::Call;
use super::estimate;
use super::findings::{self, Findings};
use super::history;
use super::patch::patch;
use super::record::{CLIENT_GONE, ErrorFields, Outcome, Record};
use super::reply::{self, ReplyBody, header};
use super::resume::{self, Resume};
use super::structure::StreamRewriter;
use crate::config::OnDisconnect;
use crate::dialect::Dialect;
use crate::dialect::encode::{self, Encoder};
use crate::error::AttemptError;
use crate::gateway::Gateway;
use crate::snapshot::Snapshot;
use crate::telemetry::{self, About};
use settle::Settle;

/// Batches between the relay's task and a client when draining: a few, so that a slow client
/// still slows the provider down.
const DRAIN_BUFFER: usize = 16;

/// How long to wait for a provider to end a stream whose end marker came: reading the end
/// lets the connection be used again.
const LINGER: Duration = Duration::from_millis(50);

/// For proxies that close connections on which nothing moves.
const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

/// The reply to an answer.
pub async fn relay(
    gateway: &Arc<Gateway>,
    snapshot: &Arc<Snapshot>,
    answer: Answer,
    record: Record,
) -> Response<ReplyBody> {
    let Answer { call, model, position, row, endpoint, in_flight, rest, dropped, content } = answer;
    let settle = Settle {
        gateway: gateway.clone(),
        model,
        position,
        row,
        session: call.session,
        generates: call.dialect != Dialect::AnthropicCountTokens,
        first_content: None,
        in_flight: Some(in_flight),
    };
    let mut response = match content {
        Content::Whole(answer) => whole(settle, *answer, &call, &endpoint.name, record).await,
        Content::Stream(answer) => {
            let resume = resumable(&settle, snapshot, &answer, rest, &call);
            stream(snapshot, settle, *answer, resume, call, &endpoint.name, record)
        }
    };
    findings::list(response.headers_mut(), header::DROPPED_PARAMS, &dropped);
    response
}

/// What it takes to go on with this stream, where the operator wants that.
fn resumable(
    settle: &Settle,
    snapshot: &Arc<Snapshot>,
    answer: &Stream,
    rest: Vec<Step>,
    call: &Call,
) -> Option<Resume> {
    let is_ours = !matches!(answer.source, Source::Forward { .. }) && answer.rewriter.is_none();
    let wanted = is_ours && resume::is_wanted(&settle.model, settle.position, call);
    wanted.then(|| Resume::new(&settle.gateway, snapshot, &settle.model, rest, call))
}

async fn whole(
    mut settle: Settle,
    answer: Whole,
    call: &Call,
    endpoint: &str,
    mut record: Record,
) -> Response<ReplyBody> {
    let Whole { raw, mut response } = answer;
    let findings = Findings::of(call, &mut response);
    let identity = OwnIdentity::new(&record, call.dialect, &settle.model.name);
    match &raw {
        Some(_) => record.responded(&response.id),
        None => record.responded(identity.of(&response).id),
    }
    let body = match raw {
        Some(raw) => match response.usage.filter(|usage| usage.estimated) {
            Some(usage) => with_usage(raw, call.dialect, &usage),
            None => raw,
        },
        None => encode::whole(call.dialect, &response, &identity.of(&response), &call.asked).into(),
    };
    settle.tool_calls(&findings);
    settle.observe(&mut record, response.usage, None);
    let mut reply = reply::json(StatusCode::OK, body);
    reply::identify(reply.headers_mut(), &record, Some(endpoint));
    findings.headers(reply.headers_mut());
    findings.note(&mut record);
    let outcome = Outcome { status: 200, error: None, ttft: None, response: Some(&response) };
    record.finish(outcome).await;
    reply
}

/// A provider's own answer with the usage that it lacks.
fn with_usage(raw: Bytes, dialect: Dialect, usage: &chat::Usage) -> Bytes {
    let Some(usage) = encode::missing_usage(dialect, usage) else { return raw };
    let usage = usage.to_string();
    patch(&raw, &[("usage", Some(usage.as_bytes()))]).map_or(raw, Bytes::from)
}

fn stream(
    snapshot: &Snapshot,
    settle: Settle,
    answer: Stream,
    resume: Option<Resume>,
    call: Call,
    endpoint: &str,
    record: Record,
) -> Response<ReplyBody> {
    let identity = OwnIdentity::new(&record, call.dialect, &settle.model.name);
    let encoder = match answer.source {
        Source::Forward { .. } => None,
        Source::Translate { .. } | Source::Local { .. } => {
            Some(Encoder::new(call.dialect, &identity.borrow(), call.stream_usage, &call.asked))
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
        about: record.about(),
        settle,
        record: Some(record),
        first: answer.first,
        waited_before: answer.source.waited(),
        source: answer.source,
        rewriter: answer.rewriter,
        resume,
        broke: None,
        call,
        identity,
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
        let bytes = telemetry::about(relay.about, relay.next()).await?;
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
    while let Some(bytes) = telemetry::about(relay.about, relay.next()).await {
        // A client that went away is the case this is for.
        let _gone = client.send(bytes).await.is_err();
    }
}

/// Id and model for answers whose provider gave none, or none that fits the dialect.
struct OwnIdentity {
    id: String,
    model: String,
    created: u64,
    /// The provider's id may stand for ours.
    keeps_id: bool,
    /// The provider's name of the model may stand for the client's.
    keeps_model: bool,
}

impl OwnIdentity {
    fn new(record: &Record, dialect: Dialect, model: &str) -> Self {
        let id = record.id.simple();
        Self {
            id: match dialect {
                Dialect::OpenaiResponses => history::response_id(record.id),
                Dialect::AnthropicMessages | Dialect::AnthropicCountTokens => format!("msg_{id}"),
                Dialect::OpenaiCompletions => format!("cmpl-{id}"),
                Dialect::OpenaiChat | Dialect::OpenaiEmbeddings => format!("chatcmpl-{id}"),
            },
            model: model.to_owned(),
            created: std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs(),
            keeps_id: dialect == Dialect::OpenaiChat,
            // What is read back later is what the client asked for.
            keeps_model: dialect != Dialect::OpenaiResponses,
        }
    }

    fn borrow(&self) -> Identity<'_> {
        Identity { id: &self.id, model: &self.model, created: self.created }
    }

    fn of<'a>(&'a self, response: &'a chat::Response) -> Identity<'a> {
        let keeps_id = self.keeps_id && !response.id.is_empty();
        let keeps_model = self.keeps_model && !response.model.is_empty();
        Identity {
            id: if keeps_id { &response.id } else { &self.id },
            model: if keeps_model { &response.model } else { &self.model },
            created: self.created,
        }
    }
}

/// One stream on its way to the client.
struct Relay {
    about: About,
    settle: Settle,
    /// Present until the stream is settled.
    record: Option<Record>,
    first: Option<Batch>,
    source: Source,
    /// Waiting that the attempt has already put into the record.
    waited_before: Duration,
    /// For an answer whose structure is made of something else.
    rewriter: Option<StreamRewriter>,
    /// For an answer that may be gone on with elsewhere.
    resume: Option<Resume>,
    /// Why it has to be.
    broke: Option<AttemptError>,
    call: Call,
    identity: OwnIdentity,
    /// For answers that do not come in the client's dialect.
    encoder: Option<Encoder>,
    assembler: Assembler,
    /// When the first piece of content came.
    first_content: Option<Instant>,
    keep_alive: Option<Duration>,
    phase: Phase,
}

enum Phase {
    Running,
    /// The answer broke off; another endpoint is asked to go on.
    Resuming,
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
                Phase::Running | Phase::Resuming => {
                    let bytes = match self.phase {
                        Phase::Resuming => self.resumed().await,
                        _ => self.step().await,
                    };
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
                    Err(_) => return Bytes::from_static(KEEP_ALIVE),
                },
            },
        };
        match batch {
            Ok(Some(batch)) => self.pass_on(batch).await,
            Ok(None) if self.assembler.is_finished() => self.complete(Vec::new(), None).await,
            Ok(None) => self.break_off(Vec::new(), AttemptError::Truncated).await,
            Err(error) => self.break_off(Vec::new(), error).await,
        }
    }

    async fn pass_on(&mut self, batch: Batch) -> Bytes {
        let mut out = Vec::new();
        let events = match &mut self.rewriter {
            Some(rewriter) => {
                let mut rewritten = Vec::with_capacity(batch.events.len());
                batch.events.into_iter().for_each(|event| rewriter.push(event, &mut rewritten));
                rewritten
            }
            None => batch.events,
        };
        let events = match &mut self.resume {
            Some(resume) => {
                let mut joined = Vec::with_capacity(events.len());
                events.into_iter().for_each(|event| resume.joint.push(event, &mut joined));
                joined
            }
            None => events,
        };
        let mut failure = None;
        for event in &events {
            if self.settle.first_content.is_none() && is_content(event) {
                let now = Instant::now();
                self.first_content.get_or_insert(now);
                self.settle.content(now);
            }
            // What failed is told by `fail`, after the record.
            if let StreamEvent::Failed(error) = event {
                failure = Some(error.clone());
                continue;
            }
            self.assembler.push(event);
            if let Some(encoder) = &mut self.encoder {
                encoder.push(event, &mut out);
            }
        }
        for frame in &batch.frames {
            out.extend_from_slice(&frame.raw);
            if !frame.complete {
                out.extend_from_slice(b"\n\n");
            }
        }
        if let Some(error) = failure {
            let error = AttemptError::provider(error);
            return self.break_off(out, error).await;
        }
        if self.assembler.is_finished() {
            return self.complete(out, batch.terminal.map(|frame| frame.raw)).await;
        }
        out.into()
    }

    /// Records, and only then releases the end marker.
    async fn complete(&mut self, mut out: Vec<u8>, terminal: Option<Bytes>) -> Bytes {
        let mut response = self.assembled();
        let findings = Findings::of(&self.call, &mut response);
        out.extend_from_slice(findings.comments().as_bytes());
        let estimated = response.usage.filter(|usage| usage.estimated);
        self.settle.tool_calls(&findings);
        if let Some(record) = &mut self.record {
            findings.note(record);
        }
        self.settle(&response, None).await;
        match (&mut self.encoder, terminal) {
            (Some(encoder), _) => {
                if let Some(usage) = estimated {
                    encoder.push(&StreamEvent::Usage(usage), &mut out);
                }
                encoder.end(&mut out);
            }
            (None, Some(terminal)) => {
                if let Some(usage) = estimated.filter(|_| self.call.stream_usage) {
                    let identity = self.identity.of(&response);
                    out.extend(encode::usage_chunk(self.call.dialect, &identity, &usage));
                }
                out.extend_from_slice(&terminal);
                if !terminal.ends_with(b"\n\n") && !terminal.ends_with(b"\r\n\r\n") {
                    out.extend_from_slice(b"\n\n");
                }
            }
            (None, None) => out.extend_from_slice(encode::end_marker(self.call.dialect)),
        }
        self.phase = Phase::Lingering;
        out.into()
    }

    /// Records, and ends the stream so that it cannot look complete.
    async fn fail(&mut self, mut out: Vec<u8>, error: &AttemptError) -> Bytes {
        let response = self.assembled();
        self.settle(&response, Some(error)).await;
        let status = reply::attempt_status(error).as_u16();
        let told = error.to_call_error();
        match &mut self.encoder {
            Some(encoder) => encoder.fail(self.call.dialect, status, &told, &mut out),
            None => out.extend_from_slice(&encode::stream_error(self.call.dialect, status, &told)),
        }
        self.phase = Phase::Done;
        out.into()
    }

    /// The answer as far as it came.
    fn assembled(&mut self) -> chat::Response {
        let mut response = std::mem::take(&mut self.assembler).finish();
        if let Some(resume) = &self.resume {
            response.usage = resume.joint.usage().or(response.usage);
        }
        response
    }

    /// The id that the client got.
    fn response_id<'a>(&'a self, response: &'a chat::Response) -> &'a str {
        match self.encoder {
            Some(_) => &self.identity.id,
            None => &response.id,
        }
    }

    async fn settle(&mut self, response: &chat::Response, error: Option<&AttemptError>) {
        let Some(mut record) = self.record.take() else { return };
        record.waited(self.source.waited().saturating_sub(self.waited_before));
        let ttft = self.first_content.map(|first| first.duration_since(record.started()));
        let usage = match &self.resume {
            Some(resume) if resume.joint.is_resumed() => resume.joint.last_usage(error.is_some()),
            _ => response.usage,
        };
        self.settle.observe(&mut record, usage, error);
        record.responded(self.response_id(response));
        let outcome = Outcome {
            status: 200,
            error: error.map(ErrorFields::of),
            ttft,
            response: Some(response),
        };
        record.finish(outcome).await;
    }
}

impl Drop for Relay {
    /// Before the answer was settled: the client went away. What it had is recorded.
    fn drop(&mut self) {
        let Some(mut record) = self.record.take() else { return };
        record.waited(self.source.waited().saturating_sub(self.waited_before));
        let response = self.assembled();
        let reported = match &self.resume {
            // The attempt before has its own; the next has given nothing yet.
            _ if matches!(self.phase, Phase::Resuming) => None,
            Some(resume) if resume.joint.is_resumed() => resume.joint.last_usage(true),
            _ => response.usage.map(|usage| estimate::cut_off(usage, &response)),
        };
        self.settle.cancelled(&mut record, reported);
        record.responded(self.response_id(&response));
        let ttft = self.first_content.map(|first| first.duration_since(record.started()));
        let outcome = Outcome { status: CLIENT_GONE, error: None, ttft, response: Some(&response) };
        record.cancelled(&outcome);
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
