//! Cuts the bytes of a streamed answer into frames.
//!
//! Owns the three framings that providers use; knows nothing of what a frame says. Promises:
//! the frames do not depend on how the transport cut the stream; for SSE and NDJSON the `raw`
//! parts of all frames, in order, are the input byte for byte, so a stream can be passed on
//! frame by frame; every byte is looked at once for cutting and once for its fields; a frame
//! that lies inside one chunk shares the chunk's memory. Never holds more than the limit of
//! one frame. Refuses longer frames and, for AWS event streams, every checksum that is wrong.
//!
//! Providers do send what is not in their framing: a plain JSON error after half a stream, or
//! instead of one. Such bytes come out as [`FrameKind::Foreign`] and are never swallowed.

mod event_stream;
mod ndjson;
mod sse;

use bytes::{Bytes, BytesMut};

/// How a streamed answer is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Server-sent events, as in the WHATWG HTML standard, section 9.2.
    Sse,
    /// One JSON value a line.
    Ndjson,
    /// `application/vnd.amazon.eventstream`.
    AwsEventStream,
}

/// One unit of a streamed answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The exact bytes, blank line or line end included.
    pub raw: Bytes,
    /// The `event:` field of SSE when it is not empty; of an AWS message its event type,
    /// exception type or error code.
    pub event: Option<String>,
    /// SSE: the data lines joined by `\n`. NDJSON: the line without white space around it.
    /// AWS: the payload. [`FrameKind::Foreign`]: all of `raw`. Not checked to be UTF-8.
    pub data: Bytes,
    pub kind: FrameKind,
    /// The frame ended as its framing asks. The last frame of a stream may lack its blank line
    /// or line end: `data: [DONE]` at the very end is common, half a JSON text means that the
    /// stream broke. The SSE standard discards such a frame; here the caller decides.
    pub complete: bool,
}

/// What a frame is to the parser of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// Carries data.
    Event,
    /// An AWS message of type `exception` or `error`: the provider ends the stream with it.
    Exception,
    /// Nothing to parse: comments, blank lines, fields without data. To be passed on.
    Comment,
    /// Bytes that are not in the framing, such as a JSON error or an HTML page. One such text
    /// comes as several frames where it contains blank lines (SSE) or lines (NDJSON).
    Foreign,
}

/// Why a stream cannot be cut any further. The framer stays failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    #[error("frame of the provider's stream is longer than {limit} bytes")]
    TooLong { limit: usize },
    /// Also what a body gives that is no event stream at all.
    #[error("checksum of the {part} of an event stream message is wrong")]
    Checksum { part: MessagePart },
    #[error("event stream message is malformed: {reason}")]
    Malformed { reason: &'static str },
    /// An AWS message cannot be trusted before its last byte.
    #[error("stream ended inside an event stream message, after {bytes} of its bytes")]
    Truncated { bytes: usize },
}

/// What a checksum of an AWS message covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessagePart {
    Prelude,
    Message,
}

impl std::fmt::Display for MessagePart {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Prelude => "prelude",
            Self::Message => "message",
        })
    }
}

/// Cuts one stream.
#[derive(Debug)]
pub struct Framer {
    cutter: Cutter,
    /// The beginning of a frame whose end has not come yet.
    carry: BytesMut,
    max_frame_bytes: usize,
    failed: Option<FramingError>,
}

#[derive(Debug)]
enum Cutter {
    Sse(sse::Cutter),
    Ndjson(ndjson::Cutter),
    AwsEventStream(event_stream::Cutter),
}

impl Framer {
    /// `max_frame_bytes` bounds `raw` of every frame, and with it the memory held.
    pub fn new(framing: Framing, max_frame_bytes: usize) -> Self {
        let cutter = match framing {
            Framing::Sse => Cutter::Sse(sse::Cutter::default()),
            Framing::Ndjson => Cutter::Ndjson(ndjson::Cutter::default()),
            Framing::AwsEventStream => {
                Cutter::AwsEventStream(event_stream::Cutter::new(max_frame_bytes))
            }
        };
        Self { cutter, carry: BytesMut::new(), max_frame_bytes, failed: None }
    }

    /// Adds the frames that end in `chunk`. On an error the frames before it were added.
    pub fn push(&mut self, chunk: Bytes, frames: &mut Vec<Frame>) -> Result<(), FramingError> {
        self.guarded(|framer| framer.cut(chunk, frames))
    }

    /// The stream ended: adds what is left, marked as incomplete unless it happens to be whole.
    pub fn finish(&mut self, frames: &mut Vec<Frame>) -> Result<(), FramingError> {
        self.guarded(|framer| {
            let raw = framer.carry.split().freeze();
            if raw.is_empty() {
                return Ok(());
            }
            match &mut framer.cutter {
                Cutter::Sse(cutter) => cutter.parse_tail(raw, frames),
                Cutter::Ndjson(cutter) => frames.push(cutter.parse_tail(raw)),
                Cutter::AwsEventStream(_) => {
                    return Err(FramingError::Truncated { bytes: raw.len() });
                }
            }
            Ok(())
        })
    }

    fn guarded(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<(), FramingError>,
    ) -> Result<(), FramingError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        work(self).inspect_err(|error| {
            self.failed = Some(*error);
            self.carry = BytesMut::new();
        })
    }

    fn cut(&mut self, mut chunk: Bytes, frames: &mut Vec<Frame>) -> Result<(), FramingError> {
        while !chunk.is_empty() {
            let end = self.cutter.scan(&chunk)?;
            let taken = end.unwrap_or(chunk.len());
            if self.carry.len().saturating_add(taken) > self.max_frame_bytes {
                return Err(FramingError::TooLong { limit: self.max_frame_bytes });
            }
            let part = chunk.split_to(taken);
            if end.is_none() {
                self.carry.extend_from_slice(&part);
                return Ok(());
            }
            let raw = if self.carry.is_empty() {
                part
            } else {
                self.carry.extend_from_slice(&part);
                self.carry.split().freeze()
            };
            frames.push(self.cutter.parse(raw)?);
        }
        Ok(())
    }
}

impl Cutter {
    /// `bytes`, not empty, follow on those of the calls before. Gives how many of them belong
    /// to the current frame when it ends in them.
    fn scan(&mut self, bytes: &[u8]) -> Result<Option<usize>, FramingError> {
        match self {
            Self::Sse(cutter) => Ok(cutter.scan(bytes)),
            Self::Ndjson(cutter) => Ok(cutter.scan(bytes)),
            Self::AwsEventStream(cutter) => cutter.scan(bytes),
        }
    }

    fn parse(&mut self, raw: Bytes) -> Result<Frame, FramingError> {
        match self {
            Self::Sse(cutter) => Ok(cutter.parse(raw)),
            Self::Ndjson(cutter) => Ok(cutter.parse(raw)),
            Self::AwsEventStream(_) => event_stream::parse(raw),
        }
    }
}

#[cfg(test)]
mod tests;
