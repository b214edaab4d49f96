//! Server-sent events: where a block ends, and the fields of a block.
//!
//! Follows the WHATWG HTML standard, sections 9.2.5 and 9.2.6: lines end with LF, CRLF or CR,
//! one byte order mark at the start of the stream is skipped, a colon starts a comment, one
//! space after a field's colon is dropped, unknown fields (and `id` and `retry`, which matter
//! only to a client that reconnects) are ignored. Blank lines before a block belong to it.
//! After a lone CR the next byte decides whether an LF belongs to the line end, so a block
//! that ends with CR comes out when that byte is there.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use memchr::{memchr, memchr2};

use super::{Frame, FrameKind};

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Finds the ends of blocks; remembers just enough to never look at a byte twice.
#[derive(Debug)]
pub(super) struct Cutter {
    /// How much of a byte order mark stood at the start; absent once past it.
    mark: Option<usize>,
    /// Nothing of the current line has come yet.
    line_is_empty: bool,
    /// The current block has a line that is not empty.
    has_content: bool,
    /// The byte before was CR: the line ended, an LF still belongs to it.
    after_carriage_return: bool,
    /// The next block to parse is the stream's first.
    first_block: bool,
}

impl Default for Cutter {
    fn default() -> Self {
        Self {
            mark: Some(0),
            line_is_empty: true,
            has_content: false,
            after_carriage_return: false,
            first_block: true,
        }
    }
}

impl Cutter {
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut position = self.skip_mark(bytes);
        loop {
            let rest = bytes.get(position..).unwrap_or_default();
            if self.after_carriage_return {
                if rest.first()? == &b'\n' {
                    position += 1;
                }
                self.after_carriage_return = false;
                if self.end_line() {
                    return Some(position);
                }
                continue;
            }
            let Some(length) = memchr2(b'\n', b'\r', rest) else {
                self.line_is_empty &= rest.is_empty();
                return None;
            };
            self.line_is_empty &= length == 0;
            position += length + 1;
            if rest.get(length) == Some(&b'\r') {
                self.after_carriage_return = true;
            } else if self.end_line() {
                return Some(position);
            }
        }
    }

    pub(super) fn parse(&mut self, raw: Bytes) -> Frame {
        let start = self.start_of_block(&raw);
        let fields = Fields::read(&raw, start..raw.len());
        fields.into_frame(raw, true)
    }

    /// The bytes after the last block. Where fields run into foreign lines without a blank
    /// line between, each gets its own frame: that is how a JSON error follows a cut event.
    pub(super) fn parse_tail(&mut self, raw: Bytes, frames: &mut Vec<Frame>) {
        let complete = self.after_carriage_return && self.line_is_empty;
        let start = self.start_of_block(&raw);
        let fields = Fields::read(&raw, start..raw.len());
        match fields.foreign_from {
            Some(cut) if !complete && fields.known && cut > 0 => {
                let head = raw.slice(..cut);
                let fields = Fields::read(&head, start..cut);
                frames.push(fields.into_frame(head, false));
                frames.push(foreign(raw.slice(cut..), false));
            }
            _ => {
                // Blank lines alone are as whole as they will get.
                let complete = complete || fields.is_blank();
                frames.push(fields.into_frame(raw, complete));
            }
        }
    }

    /// A mark may come byte by byte, and only the whole of it leaves the line empty.
    fn skip_mark(&mut self, bytes: &[u8]) -> usize {
        let mut position = 0;
        while let Some(matched) = self.mark {
            let Some(expected) = BYTE_ORDER_MARK.get(matched) else {
                self.mark = None;
                self.line_is_empty = true;
                break;
            };
            match bytes.get(position) {
                None => break,
                Some(byte) if byte == expected => {
                    self.line_is_empty = false;
                    self.mark = Some(matched + 1);
                    position += 1;
                }
                Some(_) => self.mark = None,
            }
        }
        position
    }

    /// Whether the line that just ended also ends the block.
    fn end_line(&mut self) -> bool {
        let ends_block = self.line_is_empty && self.has_content;
        self.has_content = !ends_block && (self.has_content || !self.line_is_empty);
        self.line_is_empty = true;
        ends_block
    }

    fn start_of_block(&mut self, raw: &[u8]) -> usize {
        let marked = self.first_block && raw.starts_with(BYTE_ORDER_MARK);
        self.first_block = false;
        if marked { BYTE_ORDER_MARK.len() } else { 0 }
    }
}

/// What the lines of one block say.
#[derive(Default)]
struct Fields {
    event: Option<String>,
    data: Data,
    /// A field of the standard or a comment.
    known: bool,
    /// Where the first line starts that is neither.
    foreign_from: Option<usize>,
}

/// Nearly every block has one data line, which then needs no copy.
#[derive(Default)]
enum Data {
    #[default]
    None,
    Line(Range<usize>),
    Joined(BytesMut),
}

impl Fields {
    fn read(raw: &[u8], range: Range<usize>) -> Self {
        let mut fields = Self::default();
        let mut start = range.start;
        while let Some(rest) = raw.get(start..range.end).filter(|rest| !rest.is_empty()) {
            let length = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
            fields.read_line(raw, start..start + length);
            start += length + 1;
        }
        fields
    }

    fn read_line(&mut self, raw: &[u8], line: Range<usize>) {
        let text = raw.get(line.clone()).unwrap_or_default();
        if text.is_empty() {
            return;
        }
        let colon = memchr(b':', text);
        let name = text.get(..colon.unwrap_or(text.len())).unwrap_or_default();
        let value = match colon {
            Some(at) if text.get(at + 1) == Some(&b' ') => line.start + at + 2..line.end,
            Some(at) => line.start + at + 1..line.end,
            None => line.end..line.end,
        };
        match name {
            b"data" => self.data.add(raw, value),
            b"event" => {
                let value = raw.get(value).unwrap_or_default();
                self.event =
                    (!value.is_empty()).then(|| String::from_utf8_lossy(value).into_owned());
            }
            b"" | b"id" | b"retry" => {}
            _ => {
                self.foreign_from.get_or_insert(line.start);
                return;
            }
        }
        self.known = true;
    }

    fn is_blank(&self) -> bool {
        !self.known && self.foreign_from.is_none()
    }

    fn into_frame(self, raw: Bytes, complete: bool) -> Frame {
        if !self.known && self.foreign_from.is_some() {
            return foreign(raw, complete);
        }
        let (kind, data) = match self.data {
            Data::None => (FrameKind::Comment, Bytes::new()),
            Data::Line(range) => (FrameKind::Event, raw.slice(range)),
            Data::Joined(lines) => (FrameKind::Event, lines.freeze()),
        };
        Frame { raw, event: self.event, data, kind, complete }
    }
}

impl Data {
    fn add(&mut self, raw: &[u8], line: Range<usize>) {
        let mut lines = match std::mem::take(self) {
            Self::None => {
                *self = Self::Line(line);
                return;
            }
            Self::Line(first) => BytesMut::from(raw.get(first).unwrap_or_default()),
            Self::Joined(lines) => lines,
        };
        lines.extend_from_slice(b"\n");
        lines.extend_from_slice(raw.get(line).unwrap_or_default());
        *self = Self::Joined(lines);
    }
}

fn foreign(raw: Bytes, complete: bool) -> Frame {
    Frame { data: raw.clone(), raw, event: None, kind: FrameKind::Foreign, complete }
}
