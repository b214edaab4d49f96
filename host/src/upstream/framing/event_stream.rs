//! AWS event stream messages (`application/vnd.amazon.eventstream`).
//!
//! Source of the format: "Event stream encoding" in Amazon's developer documentation. All
//! numbers are big-endian: total length u32, length of the headers u32, CRC-32 of those eight
//! bytes, headers, payload, CRC-32 of everything before it. A header is the length of its name
//! (u8), the name, the type of its value (u8), the value. Both checksums are checked before
//! anything is believed; a body that is something else fails at the first.

use bytes::Bytes;

use super::{Frame, FrameKind, FramingError, MessagePart};

const PRELUDE_BYTES: usize = 12;
const CHECKSUM_BYTES: usize = 4;

/// Finds the ends of messages.
#[derive(Debug)]
pub(super) struct Cutter {
    prelude: [u8; PRELUDE_BYTES],
    /// How many bytes of the current message have come.
    seen: usize,
    /// Length of the current message once its prelude is there.
    total: Option<usize>,
    max_frame_bytes: usize,
}

impl Cutter {
    pub(super) fn new(max_frame_bytes: usize) -> Self {
        Self { prelude: [0; PRELUDE_BYTES], seen: 0, total: None, max_frame_bytes }
    }

    pub(super) fn scan(&mut self, bytes: &[u8]) -> Result<Option<usize>, FramingError> {
        let missing = self.prelude.get_mut(self.seen..).unwrap_or_default();
        for (place, byte) in missing.iter_mut().zip(bytes) {
            *place = *byte;
        }
        if self.total.is_none() && self.seen.saturating_add(bytes.len()) >= PRELUDE_BYTES {
            self.total = Some(self.checked_length()?);
        }
        match self.total {
            Some(total) if total.saturating_sub(self.seen) <= bytes.len() => {
                let end = total.saturating_sub(self.seen);
                self.seen = 0;
                self.total = None;
                Ok(Some(end))
            }
            _ => {
                self.seen = self.seen.saturating_add(bytes.len());
                Ok(None)
            }
        }
    }

    fn checked_length(&self) -> Result<usize, FramingError> {
        let mut prelude = Reader(&self.prelude);
        let lengths = prelude.0.get(..8).unwrap_or_default();
        let (total, headers, checksum) = (prelude.u32()?, prelude.u32()?, prelude.u32()?);
        if crc32fast::hash(lengths) != checksum {
            return Err(FramingError::Checksum { part: MessagePart::Prelude });
        }
        let smallest = (headers as usize).saturating_add(PRELUDE_BYTES + CHECKSUM_BYTES);
        if (total as usize) < smallest {
            return Err(FramingError::Malformed {
                reason: "the message is shorter than its headers",
            });
        }
        if total as usize > self.max_frame_bytes {
            return Err(FramingError::TooLong { limit: self.max_frame_bytes });
        }
        Ok(total as usize)
    }
}

/// A whole message, cut by its length, as a frame.
pub(super) fn parse(raw: Bytes) -> Result<Frame, FramingError> {
    let (body, checksum) = raw.split_last_chunk::<CHECKSUM_BYTES>().ok_or(SHORT_MESSAGE)?;
    if crc32fast::hash(body) != u32::from_be_bytes(*checksum) {
        return Err(FramingError::Checksum { part: MessagePart::Message });
    }
    let mut reader = Reader(body);
    reader.u32()?;
    let headers_length = reader.u32()?;
    reader.u32()?;
    let mut headers = Reader(reader.take(headers_length as usize)?);
    let payload = reader.0;
    let mut names = Names::default();
    while !headers.0.is_empty() {
        names.read(&mut headers)?;
    }
    let (kind, event, data) = names.describe(payload);
    Ok(Frame {
        event: event.map(str::to_owned),
        data: raw.slice_ref(data),
        kind,
        complete: true,
        raw: raw.clone(),
    })
}

const SHORT_MESSAGE: FramingError =
    FramingError::Malformed { reason: "a length points outside the message" };

/// The headers that say what a message is.
#[derive(Default)]
struct Names<'a> {
    message_type: Option<&'a str>,
    event_type: Option<&'a str>,
    exception_type: Option<&'a str>,
    error_code: Option<&'a str>,
    error_message: Option<&'a str>,
}

impl<'a> Names<'a> {
    fn read(&mut self, headers: &mut Reader<'a>) -> Result<(), FramingError> {
        let name_length = headers.u8()?;
        let name = headers.take(usize::from(name_length))?;
        let value = headers.value()?;
        let place = match name {
            b":message-type" => &mut self.message_type,
            b":event-type" => &mut self.event_type,
            b":exception-type" => &mut self.exception_type,
            b":error-code" => &mut self.error_code,
            b":error-message" => &mut self.error_message,
            _ => return Ok(()),
        };
        *place = value;
        Ok(())
    }

    /// A message of type `error` has no payload; its text is a header.
    fn describe(self, payload: &'a [u8]) -> (FrameKind, Option<&'a str>, &'a [u8]) {
        match self.message_type {
            Some("exception") => (FrameKind::Exception, self.exception_type, payload),
            Some("error") => {
                let text = self.error_message.unwrap_or_default().as_bytes();
                let data = if payload.is_empty() { text } else { payload };
                (FrameKind::Exception, self.error_code, data)
            }
            _ => (FrameKind::Event, self.event_type, payload),
        }
    }
}

/// Takes values from the front of a slice.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], FramingError> {
        let (front, rest) = self.0.split_at_checked(length).ok_or(SHORT_MESSAGE)?;
        self.0 = rest;
        Ok(front)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FramingError> {
        let (front, rest) = self.0.split_first_chunk::<N>().ok_or(SHORT_MESSAGE)?;
        self.0 = rest;
        Ok(*front)
    }

    fn u8(&mut self) -> Result<u8, FramingError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, FramingError> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, FramingError> {
        self.array().map(u32::from_be_bytes)
    }

    /// A header's value, when it is text.
    fn value(&mut self) -> Result<Option<&'a str>, FramingError> {
        let length = match self.u8()? {
            // true, false
            0 | 1 => 0,
            // byte, short, integer, long
            2 => 1,
            3 => 2,
            4 => 4,
            5 => 8,
            // bytes
            6 => usize::from(self.u16()?),
            7 => {
                let length = usize::from(self.u16()?);
                let text = std::str::from_utf8(self.take(length)?);
                return text
                    .map(Some)
                    .map_err(|_| FramingError::Malformed { reason: "a header is not UTF-8" });
            }
            // timestamp, UUID
            8 => 8,
            9 => 16,
            _ => {
                return Err(FramingError::Malformed { reason: "a header has an unknown type" });
            }
        };
        self.take(length)?;
        Ok(None)
    }
}
