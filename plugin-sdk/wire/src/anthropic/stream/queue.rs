//! Blocks one after the other, whatever order their pieces come in.
//!
//! Text and reasoning give way to the next block and go on in a block of their own if more
//! comes: nothing waits for them. The arguments of a call cannot be parted: while a call is
//! open the blocks after it wait, until it stops or its JSON is whole. At most [`MAX_HELD`]
//! waits.

use serde_json::{Map, Value};

use super::json_end::JsonEnd;
use super::writer::{self, Piece};
use crate::error::{CallError, CallErrorKind};

/// Bytes that wait behind an open call. Parallel calls are a few kilobytes each; this leaves
/// room for whole files written through them.
const MAX_HELD: usize = 16 * 1024 * 1024;
/// What a block counts for besides its text, so that empty ones are bounded too.
const BLOCK_BYTES: usize = 256;

/// What a block is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Thinking,
    ToolUse,
    Whole,
}

/// How a block begins.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) index: u32,
    pub(super) kind: Kind,
    /// `content_block`.
    pub(super) block: Value,
    /// Further fields of it.
    pub(super) fields: Option<Map<String, Value>>,
}

/// The blocks of one answer.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Index of the next block on the wire.
    next: u32,
    open: Option<Open>,
    waiting: Vec<Waiting>,
    /// Blocks that gave way and have not stopped.
    interrupted: Vec<(u32, Kind)>,
    held: usize,
}

#[derive(Debug)]
struct Open {
    /// Index in the events.
    index: u32,
    /// Index on the wire.
    wire: u32,
    kind: Kind,
    /// Signature and dialect.
    signature: Option<(String, String)>,
    end: JsonEnd,
}

#[derive(Debug)]
struct Waiting {
    start: Start,
    pieces: Vec<Piece>,
    stopped: bool,
}

impl Queue {
    pub(super) fn start(&mut self, start: Start, out: &mut Vec<u8>) -> Result<(), CallError> {
        self.give_way(out);
        if self.open.is_none() {
            self.begin(start, out);
            return Ok(());
        }
        self.hold(BLOCK_BYTES.saturating_add(start.block.to_string().len()))?;
        self.waiting.push(Waiting { start, pieces: Vec::new(), stopped: false });
        Ok(())
    }

    pub(super) fn piece(
        &mut self,
        index: u32,
        piece: Piece,
        out: &mut Vec<u8>,
    ) -> Result<(), CallError> {
        if let Some(open) = self.open.as_mut().filter(|open| open.index == index) {
            open.write(piece, out);
            return Ok(());
        }
        if self.waiting.iter().any(|waiting| waiting.start.index == index) {
            self.hold(piece.size())?;
            let mut waiting = self.waiting.iter_mut().rev();
            if let Some(waiting) = waiting.find(|waiting| waiting.start.index == index) {
                waiting.pieces.push(piece);
            }
            return Ok(());
        }
        let interrupted = self.interrupted.iter().position(|(block, _)| *block == index);
        match interrupted.map(|position| self.interrupted.remove(position)) {
            None | Some((_, Kind::Whole)) => Ok(()),
            Some((_, Kind::ToolUse)) => {
                self.interrupted.push((index, Kind::ToolUse));
                match piece {
                    Piece::Arguments(text) if !text.trim().is_empty() => Err(torn()),
                    _ => Ok(()),
                }
            }
            Some((_, kind)) => {
                let block = match kind {
                    Kind::Thinking => writer::empty_thinking(),
                    _ => writer::empty_text(),
                };
                self.start(Start { index, kind, block, fields: None }, out)?;
                self.piece(index, piece, out)
            }
        }
    }

    pub(super) fn stop(&mut self, index: u32, out: &mut Vec<u8>) {
        self.interrupted.retain(|(block, _)| *block != index);
        if self.open.as_ref().is_some_and(|open| open.index == index) {
            self.close(out);
            self.drain(out);
            return;
        }
        for waiting in self.waiting.iter_mut().filter(|waiting| waiting.start.index == index) {
            waiting.stopped = true;
        }
    }

    /// Whatever is open stops.
    pub(super) fn stop_all(&mut self, out: &mut Vec<u8>) {
        for waiting in &mut self.waiting {
            waiting.stopped = true;
        }
        self.close(out);
        self.drain(out);
        self.interrupted.clear();
    }

    /// Closes the open block if another may begin before it has stopped.
    fn give_way(&mut self, out: &mut Vec<u8>) {
        let Some(open) = &self.open else { return };
        if open.kind != Kind::ToolUse || open.end.is_reached() {
            self.interrupted.push((open.index, open.kind));
            self.close(out);
        }
    }

    fn begin(&mut self, start: Start, out: &mut Vec<u8>) {
        let wire = self.next;
        self.next += 1;
        writer::start(wire, start.block, start.fields, out);
        let (index, kind) = (start.index, start.kind);
        self.open = Some(Open { index, wire, kind, signature: None, end: JsonEnd::default() });
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if let Some(open) = self.open.take() {
            if open.kind == Kind::Thinking {
                writer::signature(open.wire, open.signature.as_ref(), out);
            }
            writer::stop(open.wire, out);
        }
    }

    /// Writes what waits, as far as it goes.
    fn drain(&mut self, out: &mut Vec<u8>) {
        while self.open.is_none() && !self.waiting.is_empty() {
            let waiting = self.waiting.remove(0);
            self.begin(waiting.start, out);
            for piece in waiting.pieces {
                self.held = self.held.saturating_sub(piece.size());
                if let Some(open) = &mut self.open {
                    open.write(piece, out);
                }
            }
            if waiting.stopped {
                self.close(out);
            } else if !self.waiting.is_empty() {
                self.give_way(out);
            }
        }
        if self.waiting.is_empty() {
            self.held = 0;
        }
    }

    fn hold(&mut self, bytes: usize) -> Result<(), CallError> {
        self.held = self.held.saturating_add(bytes);
        if self.held > MAX_HELD {
            let message = format!("more than {MAX_HELD} bytes wait behind an unfinished tool call");
            return Err(CallError::new(CallErrorKind::MalformedResponse, message));
        }
        Ok(())
    }
}

impl Open {
    fn write(&mut self, piece: Piece, out: &mut Vec<u8>) {
        let wire = self.wire;
        match (self.kind, piece) {
            (Kind::Text, Piece::Text(text)) if !text.is_empty() => {
                writer::delta(wire, "text_delta", "text", &text, out);
            }
            (Kind::Text, Piece::Citation(citation)) => {
                writer::delta(wire, "citations_delta", "citation", &citation, out);
            }
            (Kind::Thinking, Piece::Thinking(text)) if !text.is_empty() => {
                writer::delta(wire, "thinking_delta", "thinking", &text, out);
            }
            (Kind::Thinking, Piece::Signature { text, dialect }) => {
                let (gathered, whose) = self.signature.get_or_insert_default();
                gathered.push_str(&text);
                *whose = dialect;
            }
            (Kind::ToolUse, Piece::Arguments(text)) if !text.is_empty() => {
                self.end.read(&text);
                writer::delta(wire, "input_json_delta", "partial_json", &text, out);
            }
            _ => {}
        }
    }
}

fn torn() -> CallError {
    let message = "the arguments of a tool call go on after their JSON was whole";
    CallError::new(CallErrorKind::MalformedResponse, message)
}
