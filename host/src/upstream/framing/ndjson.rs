//! Newline-delimited JSON: one value a line, LF or CRLF.
//!
//! Blank lines belong to the line after them. A line that cannot be the start of a JSON text
//! (RFC 8259, section 2) is foreign: the rest of the value is for the parser to check.

use bytes::Bytes;
use memchr::memchr;

use super::{Frame, FrameKind};

/// Finds the ends of lines that are not blank.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    /// The current line has something else than white space.
    has_content: bool,
}

impl Cutter {
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut position = 0;
        loop {
            let rest = bytes.get(position..).unwrap_or_default();
            let end = memchr(b'\n', rest);
            let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            self.has_content |= !line.trim_ascii().is_empty();
            position += end? + 1;
            if std::mem::take(&mut self.has_content) {
                return Some(position);
            }
        }
    }

    pub(super) fn parse(&self, raw: Bytes) -> Frame {
        frame(raw, true)
    }

    pub(super) fn parse_tail(&self, raw: Bytes) -> Frame {
        let complete = !self.has_content;
        frame(raw, complete)
    }
}

fn frame(raw: Bytes, complete: bool) -> Frame {
    let line = raw.slice_ref(raw.trim_ascii());
    let (kind, data) = match line.first() {
        None => (FrameKind::Comment, Bytes::new()),
        Some(b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
            (FrameKind::Event, line)
        }
        Some(_) => (FrameKind::Foreign, raw.clone()),
    };
    Frame { raw, event: None, data, kind, complete }
}
