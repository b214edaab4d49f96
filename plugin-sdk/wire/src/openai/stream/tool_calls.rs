//! Which tool call a delta belongs to.
//!
//! OpenAI numbers the calls and names each once. Others leave the number out, give every call
//! the number 0, repeat the id or the name in each delta, invent a new id for each delta, or
//! give no id at all. The rules, in this order:
//!
//! 1. with a number that is known: that call, unless the delta names a function and brings
//!    another id, or (for calls that never had an id) comes after complete arguments;
//! 2. without a number: the call with that id, else a new one if a function is named, else
//!    the latest.

use super::chunk;
use crate::error::{CallError, CallErrorKind};
use crate::event::{BlockKind, StreamEvent};

/// More parallel calls than any model makes; what comes after is an attack or a bug.
const MAX_CALLS: usize = 1_024;
/// Arguments that may come before the name of their function.
const MAX_EARLY_ARGUMENTS: usize = 64 * 1_024;

/// The tool calls of one answer.
#[derive(Debug, Default)]
pub(super) struct Calls {
    calls: Vec<Call>,
}

#[derive(Debug, Default)]
struct Call {
    /// The provider's number.
    number: Option<u64>,
    /// The provider's id; empty if it gave none.
    id: String,
    block: Option<u32>,
    open: bool,
    /// Came before the name.
    early: String,
    arguments: JsonEnd,
}

impl Calls {
    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Takes one delta. `next_index` is the next free block, `seed` makes ids unique.
    pub(super) fn push(
        &mut self,
        delta: chunk::Call<'_>,
        next_index: &mut u32,
        seed: u64,
        events: &mut Vec<StreamEvent>,
    ) -> Result<(), CallError> {
        let function = delta.function.unwrap_or_default();
        let (id, name, arguments) = (delta.id.0, function.name.0, function.arguments.0);
        let position = match self.find(delta.index, &id, &name) {
            Some(position) => position,
            None if self.calls.len() >= MAX_CALLS => {
                return Err(malformed(format!("more than {MAX_CALLS} tool calls in one answer")));
            }
            None => {
                self.calls.push(Call {
                    number: delta.index,
                    id: id.into_owned(),
                    ..Call::default()
                });
                self.calls.len() - 1
            }
        };
        let Some(call) = self.calls.get_mut(position) else {
            return Ok(());
        };
        if call.block.is_none() && !name.is_empty() {
            call.start(position, name.into_owned(), next_index, seed, events);
        }
        if arguments.is_empty() {
            return Ok(());
        }
        if call.id.is_empty() {
            call.arguments.read(&arguments);
        }
        match call.block {
            Some(index) => {
                let arguments = arguments.into_owned();
                events.push(StreamEvent::ToolCallDelta { index, arguments });
            }
            None if call.early.len() + arguments.len() > MAX_EARLY_ARGUMENTS => {
                return Err(malformed("a tool call has arguments but no name".into()));
            }
            None => call.early.push_str(&arguments),
        }
        Ok(())
    }

    /// Ends all calls that are open. One that never got a name is let out without it.
    pub(super) fn close(&mut self, next_index: &mut u32, seed: u64, events: &mut Vec<StreamEvent>) {
        for (position, call) in self.calls.iter_mut().enumerate() {
            if call.block.is_none() {
                call.start(position, String::new(), next_index, seed, events);
            }
            if let Some(index) = call.block.filter(|_| std::mem::take(&mut call.open)) {
                events.push(StreamEvent::BlockStop { index });
            }
        }
    }

    fn find(&self, number: Option<u64>, id: &str, name: &str) -> Option<usize> {
        let latest = self.calls.len().checked_sub(1);
        let last_where = |test: &dyn Fn(&Call) -> bool| self.calls.iter().rposition(test);
        let Some(number) = number else {
            return match last_where(&|call| !id.is_empty() && call.id == id) {
                Some(known) => Some(known),
                None if name.is_empty() => latest,
                None => None,
            };
        };
        let known = last_where(&|call| call.number == Some(number))?;
        let call = self.calls.get(known).filter(|call| call.open || call.block.is_none())?;
        let another_id = !id.is_empty() && !call.id.is_empty() && call.id != id;
        let after_the_end = id.is_empty() && call.id.is_empty() && call.arguments.is_reached();
        let is_new = !name.is_empty() && (another_id || after_the_end);
        (!is_new).then_some(known)
    }
}

impl Call {
    fn start(
        &mut self,
        position: usize,
        name: String,
        next_index: &mut u32,
        seed: u64,
        events: &mut Vec<StreamEvent>,
    ) {
        let index = *next_index;
        *next_index += 1;
        self.block = Some(index);
        self.open = true;
        let id = match self.id.is_empty() {
            // Unique over the turns of a conversation, as providers find results by it.
            true => format!("call_{seed:016x}_{position}"),
            false => self.id.clone(),
        };
        events.push(StreamEvent::BlockStart { index, kind: BlockKind::ToolCall { id, name } });
        if !self.early.is_empty() {
            let arguments = std::mem::take(&mut self.early);
            events.push(StreamEvent::ToolCallDelta { index, arguments });
        }
    }
}

/// Notices that a JSON object has come to its end, piece by piece.
#[derive(Debug, Default)]
struct JsonEnd {
    depth: u32,
    begun: bool,
    in_string: bool,
    escaped: bool,
}

impl JsonEnd {
    fn read(&mut self, text: &str) {
        for byte in text.bytes() {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                b'{' | b'[' if !self.in_string => {
                    self.depth = self.depth.saturating_add(1);
                    self.begun = true;
                }
                b'}' | b']' if !self.in_string => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    fn is_reached(&self) -> bool {
        self.begun && self.depth == 0
    }
}

fn malformed(message: String) -> CallError {
    CallError::new(CallErrorKind::MalformedResponse, message)
}
