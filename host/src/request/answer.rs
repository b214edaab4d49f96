//! An endpoint's answer as it comes: whole, or a stream of batches.
//!
//! Three sources give the same batches: a provider's stream passed on while the host's codec
//! watches (forward), a provider's stream parsed by its adapter (translate), and events the
//! adapter made itself (local). A batch is whatever was there at once; nothing waits to fill
//! one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use torana_routing::execution::Step;
use torana_routing::statistics::InFlight;
use torana_wire::assemble::replay;
use torana_wire::chat::Response;
use torana_wire::error::CallError;
use torana_wire::event::StreamEvent;

use super::decode::Call;
use super::structure::StreamRewriter;
use super::tape::Tape;
use crate::dialect::Dialect;
use crate::dialect::watch::{self, Watch};
use crate::error::AttemptError;
use crate::plugin::provider::{self, PacedEvent, StreamParser};
use crate::snapshot::{Endpoint, Model};
use crate::upstream::framing::{Frame, FrameKind, Framer, Framing};

/// What an endpoint answered.
pub struct Answer {
    pub call: Call,
    pub model: Arc<Model>,
    /// Position of the endpoint in the model.
    pub position: usize,
    /// Place of the attempt in the record.
    pub row: usize,
    pub endpoint: Arc<Endpoint>,
    pub in_flight: InFlight,
    /// What is left of the model's plan, in order.
    pub rest: Vec<Step>,
    /// Parameters that the endpoint could not take, in the dialect's words, to be reported.
    pub dropped: Vec<String>,
    pub content: Content,
}

pub enum Content {
    Whole(Box<Whole>),
    Stream(Box<Stream>),
}

/// A whole answer.
pub struct Whole {
    /// The provider's own bytes, where it speaks the client's dialect.
    pub raw: Option<Bytes>,
    pub response: Response,
}

impl Whole {
    /// Of an answer that is to be encoded.
    pub fn of(response: Response) -> Self {
        Self { raw: None, response }
    }
}

/// A streamed answer. Its first batch is there already: up to it, other endpoints could be
/// tried.
pub struct Stream {
    pub first: Option<Batch>,
    pub source: Source,
    /// Puts the structure that was asked for back in place.
    pub rewriter: Option<StreamRewriter>,
}

impl Stream {
    /// Of an answer that was not streamed.
    pub fn replayed(response: &Response) -> Self {
        let paced = |event| PacedEvent { after: Duration::ZERO, event };
        let events = replay(response).into_iter().map(paced).collect();
        Self {
            first: None,
            source: Source::Local { events, since: Instant::now() },
            rewriter: None,
        }
    }
}

/// What was there at once.
#[derive(Debug, Default)]
pub struct Batch {
    /// Frames to pass on as they are; empty when the events are to be encoded.
    pub frames: Vec<Frame>,
    pub events: Vec<StreamEvent>,
    /// The frame that says the answer is whole: to be released last.
    pub terminal: Option<Frame>,
}

pub enum Source {
    Forward {
        frames: FrameReader,
        watch: Watch,
        dialect: Dialect,
        /// The gateway asked for usage that the client did not ask for.
        strip_usage: bool,
        ended: bool,
    },
    Translate {
        frames: FrameReader,
        parser: StreamParser,
        ended: bool,
    },
    Local {
        events: VecDeque<PacedEvent>,
        /// When the event before was due.
        since: Instant,
    },
}

impl Source {
    /// The next batch; `None` after the last. Cancel safe: a dropped call loses nothing.
    pub async fn next(&mut self) -> Result<Option<Batch>, AttemptError> {
        match self {
            Self::Forward { frames, watch, dialect, strip_usage, ended } => {
                if *ended {
                    return Ok(None);
                }
                let mut batch = Batch::default();
                match frames.read().await? {
                    Some(read) => watched(read, watch, *dialect, *strip_usage, &mut batch)?,
                    None => {
                        *ended = true;
                        watch.finish(&mut batch.events);
                    }
                }
                Ok(Some(batch))
            }
            Self::Translate { frames, parser, ended } => {
                if *ended {
                    return Ok(None);
                }
                let mut batch = Batch::default();
                match frames.read().await? {
                    Some(read) => parsed(read, parser, &mut batch)?,
                    None => {
                        *ended = true;
                        parser.finish(&mut batch.events)?;
                    }
                }
                Ok(Some(batch))
            }
            Self::Local { events, since } => {
                let Some(next) = events.front() else { return Ok(None) };
                tokio::time::sleep_until((*since + next.after).into()).await;
                let mut batch = Batch::default();
                while let Some(paced) = events.pop_front() {
                    *since += paced.after;
                    batch.events.push(paced.event);
                    if events.front().is_some_and(|next| !next.after.is_zero()) {
                        break;
                    }
                }
                Ok(Some(batch))
            }
        }
    }

    /// Nothing comes.
    pub fn none() -> Self {
        Self::Local { events: VecDeque::new(), since: Instant::now() }
    }

    /// Time spent waiting for the provider, until now.
    pub fn waited(&self) -> Duration {
        match self {
            Self::Forward { frames, .. } | Self::Translate { frames, .. } => frames.waited,
            Self::Local { .. } => Duration::ZERO,
        }
    }
}

/// Keeps the frames and has the host's codec watch them.
fn watched(
    read: Vec<Frame>,
    watch: &mut Watch,
    dialect: Dialect,
    strip_usage: bool,
    batch: &mut Batch,
) -> Result<(), AttemptError> {
    for frame in read {
        match frame.kind {
            FrameKind::Event => {
                let before = batch.events.len();
                watch.push(&frame, &mut batch.events);
                let events = batch.events.get(before..).unwrap_or_default();
                if events.iter().any(|event| matches!(event, StreamEvent::Failed(_))) {
                    // The relay ends the stream with an error event of its own.
                    return Ok(());
                }
                if events.iter().any(|event| matches!(event, StreamEvent::Finish(_))) {
                    // Whatever follows the end is not the client's.
                    batch.terminal = Some(frame);
                    return Ok(());
                }
                if !(strip_usage && is_usage_only(&frame.data)) {
                    batch.frames.push(frame);
                }
            }
            FrameKind::Comment => batch.frames.push(frame),
            FrameKind::Foreign | FrameKind::Exception => return Err(foreign(dialect, &frame.data)),
        }
    }
    Ok(())
}

/// The chunk that `stream_options.include_usage` adds: no choices, only usage.
fn is_usage_only(data: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Chunk {
        choices: Vec<serde::de::IgnoredAny>,
        usage: Option<serde::de::IgnoredAny>,
    }
    serde_json::from_slice::<Chunk>(data)
        .is_ok_and(|chunk| chunk.choices.is_empty() && chunk.usage.is_some())
}

fn parsed(
    read: Vec<Frame>,
    parser: &mut StreamParser,
    batch: &mut Batch,
) -> Result<(), AttemptError> {
    let mut frames = Vec::with_capacity(read.len());
    for frame in read {
        match frame.kind {
            FrameKind::Event | FrameKind::Exception => {
                frames.push(provider::Frame { event: frame.event, data: frame.data.to_vec() })
            }
            FrameKind::Comment => {}
            FrameKind::Foreign => return Err(foreign(Dialect::OpenaiChat, &frame.data)),
        }
    }
    if !frames.is_empty() {
        parser.push(&frames, &mut batch.events)?;
    }
    Ok(())
}

/// Bytes that are no frame: most often a JSON error after, or instead of, a stream.
fn foreign(dialect: Dialect, data: &[u8]) -> AttemptError {
    let error: CallError = watch::error(dialect, 502, None, data);
    AttemptError::provider(CallError { status: None, ..error })
}

/// Reads a provider's body and cuts it into frames.
pub struct FrameReader {
    body: Incoming,
    framer: Framer,
    idle: Duration,
    deadline: Instant,
    total: Duration,
    waited: Duration,
    tape: Tape,
    /// The framing is text: it is kept as it comes.
    is_text: bool,
    /// When bytes last came. Not the start of the running read: that may be given up and
    /// taken up again, for a keep-alive comment.
    heard: Instant,
    ended: bool,
}

impl FrameReader {
    pub fn new(
        body: Incoming,
        framing: provider::Framing,
        max_frame_bytes: usize,
        idle: Duration,
        started: Instant,
        total: Duration,
        tape: Tape,
    ) -> Self {
        let framing = match framing {
            provider::Framing::Sse => Framing::Sse,
            provider::Framing::Ndjson => Framing::Ndjson,
            provider::Framing::AwsEventStream => Framing::AwsEventStream,
        };
        Self {
            body,
            framer: Framer::new(framing, max_frame_bytes),
            idle,
            deadline: started + total,
            total,
            waited: Duration::ZERO,
            is_text: framing != Framing::AwsEventStream,
            tape,
            heard: Instant::now(),
            ended: false,
        }
    }

    /// At least one frame, or `None` at the end.
    async fn read(&mut self) -> Result<Option<Vec<Frame>>, AttemptError> {
        let mut frames = Vec::new();
        while frames.is_empty() {
            if self.ended {
                return Ok(None);
            }
            match self.chunk().await? {
                Some(chunk) => {
                    if self.is_text {
                        self.tape.streamed(&chunk);
                    }
                    self.framer.push(chunk, &mut frames).map_err(broken)?;
                }
                None => {
                    self.ended = true;
                    self.framer.finish(&mut frames).map_err(broken)?;
                }
            }
        }
        if !self.is_text {
            for frame in &frames {
                self.tape.streamed(&frame.data);
                self.tape.streamed(b"\n");
            }
        }
        Ok(Some(frames))
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, AttemptError> {
        loop {
            let now = Instant::now();
            let idle_until = self.heard + self.idle;
            let (until, limit) = if self.deadline < idle_until {
                (self.deadline, self.total)
            } else {
                (idle_until, self.idle)
            };
            let frame = tokio::time::timeout_at(until.into(), self.body.frame()).await;
            self.heard = Instant::now();
            self.waited += now.elapsed();
            match frame {
                Err(_) => return Err(AttemptError::Timeout(limit.as_millis())),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => return Err(broken(error)),
                // Trailers say nothing here.
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}

fn broken(error: impl std::error::Error + Send + Sync + 'static) -> AttemptError {
    AttemptError::Broken(Box::new(error))
}
