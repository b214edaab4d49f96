//! A whole response from the events of a stream, and the other way round.
//!
//! The assembler takes what it is given: deltas to blocks that never began are left out,
//! blocks that never stopped are kept, and whether the answer is whole is asked separately.
//! It holds at most [`MAX_BYTES`] of text.

use serde_json::{Value, json};

use crate::chat::{Block, FinishReason, Response, Usage};
use crate::error::CallError;
use crate::event::{BlockKind, StreamEvent};
use crate::fields::accumulate;

/// Text kept of one answer. The longest answers of today's models are a few megabytes;
/// what goes beyond is left out, see [`Assembler::is_truncated`].
pub const MAX_BYTES: usize = 64 * 1024 * 1024;
/// What a block counts for besides its text, so that empty ones are bounded too.
const BLOCK_BYTES: usize = 256;

/// Puts a response together.
#[derive(Debug, Default)]
pub struct Assembler {
    response: Response,
    blocks: Vec<(u32, Block)>,
    failure: Option<CallError>,
    bytes: usize,
    truncated: bool,
}

impl Assembler {
    pub fn push(&mut self, event: &StreamEvent) {
        match event {
            StreamEvent::Started { id, model } => {
                self.response.id.clone_from(id);
                self.response.model.clone_from(model);
            }
            StreamEvent::BlockStart { index, kind } => self.start(*index, kind),
            StreamEvent::TextDelta { index, text }
            | StreamEvent::ReasoningDelta { index, text }
            | StreamEvent::ToolCallDelta { index, arguments: text } => {
                if self.admit(text.len())
                    && let Some(target) = self.find(*index).and_then(text_of)
                {
                    target.push_str(text);
                }
            }
            StreamEvent::ReasoningSignature { index, signature: more, dialect: whose } => {
                if self.admit(more.len())
                    && let Some(Block::Reasoning { signature, dialect, .. }) = self.find(*index)
                {
                    signature.get_or_insert_default().push_str(more);
                    *dialect = (!whose.is_empty()).then(|| whose.clone());
                }
            }
            StreamEvent::BlockStop { .. } => {}
            StreamEvent::Usage(usage) => self.response.usage = Some(*usage),
            StreamEvent::Finish(reason) => self.response.finish_reason = Some(reason.clone()),
            StreamEvent::Failed(error) => self.failure = Some(error.clone()),
            StreamEvent::Other(value) => self.extra(value),
        }
    }

    /// The response as far as it came. Blocks stand in the order of their indices.
    pub fn finish(mut self) -> Response {
        self.blocks.sort_by_key(|(index, _)| *index);
        self.response.blocks = self.blocks.into_iter().map(|(_, block)| block).collect();
        self.response
    }

    /// The answer is whole.
    pub fn is_finished(&self) -> bool {
        self.response.finish_reason.is_some()
    }

    pub fn failure(&self) -> Option<&CallError> {
        self.failure.as_ref()
    }

    pub fn usage(&self) -> Option<&Usage> {
        self.response.usage.as_ref()
    }

    pub fn finish_reason(&self) -> Option<&FinishReason> {
        self.response.finish_reason.as_ref()
    }

    /// More came than [`MAX_BYTES`].
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    fn start(&mut self, index: u32, kind: &BlockKind) {
        let size = match kind {
            BlockKind::Other(value) => value.to_string().len(),
            _ => 0,
        };
        if !self.admit(size.saturating_add(BLOCK_BYTES)) {
            return;
        }
        let block = match kind {
            BlockKind::Text => Block::text(""),
            BlockKind::Reasoning => Block::reasoning(""),
            BlockKind::ToolCall { id, name } => Block::ToolCall {
                id: id.clone(),
                name: name.clone(),
                arguments: String::new(),
                cache: None,
            },
            BlockKind::Refusal => Block::Refusal { text: String::new() },
            BlockKind::Other(value) => whole(value),
        };
        self.blocks.push((index, block));
    }

    fn find(&mut self, index: u32) -> Option<&mut Block> {
        let found = self.blocks.iter_mut().rev().find(|(block, _)| *block == index);
        found.map(|(_, block)| block)
    }

    /// See [`StreamEvent::Other`]: fields of a text block or of the response.
    fn extra(&mut self, value: &Value) {
        let Some(extra) = value.get("extra").and_then(Value::as_object) else {
            return;
        };
        if !self.admit(value.to_string().len()) {
            return;
        }
        let index = value.get("index").map(|index| index.as_u64().map(u32::try_from));
        match index {
            None => accumulate(&mut self.response.extra, extra.clone()),
            Some(Some(Ok(index))) => {
                if let Some(Block::Text { extra: fields, .. }) = self.find(index) {
                    accumulate(fields, extra.clone());
                }
            }
            Some(_) => {}
        }
    }

    fn admit(&mut self, bytes: usize) -> bool {
        let total = self.bytes.saturating_add(bytes);
        if total > MAX_BYTES {
            self.truncated = true;
            return false;
        }
        self.bytes = total;
        true
    }
}

/// The response that `events` give, as far as they go. The counterpart of [`replay`].
pub fn assemble<'a>(events: impl IntoIterator<Item = &'a StreamEvent>) -> Response {
    let mut assembler = Assembler::default();
    events.into_iter().for_each(|event| assembler.push(event));
    assembler.finish()
}

/// The events that give `response`, with one delta a block. Cannot express a `cache` marker
/// on text, which no answer has.
pub fn replay(response: &Response) -> Vec<StreamEvent> {
    let mut events = Vec::with_capacity(3 * response.blocks.len() + 4);
    let (id, model) = (response.id.clone(), response.model.clone());
    events.push(StreamEvent::Started { id, model });
    for (index, block) in (0..).zip(&response.blocks) {
        replay_block(index, block, &mut events);
    }
    if !response.extra.is_empty() {
        events.push(StreamEvent::Other(json!({"extra": response.extra})));
    }
    events.extend(response.usage.map(StreamEvent::Usage));
    events.extend(response.finish_reason.clone().map(StreamEvent::Finish));
    events
}

fn replay_block(index: u32, block: &Block, events: &mut Vec<StreamEvent>) {
    let start = |kind| StreamEvent::BlockStart { index, kind };
    match block {
        Block::Text { text, extra, .. } => {
            events.push(start(BlockKind::Text));
            if !text.is_empty() {
                events.push(StreamEvent::TextDelta { index, text: text.clone() });
            }
            if !extra.is_empty() {
                events.push(StreamEvent::Other(json!({"index": index, "extra": extra})));
            }
        }
        Block::Refusal { text } => {
            events.push(start(BlockKind::Refusal));
            events.push(StreamEvent::TextDelta { index, text: text.clone() });
        }
        Block::Reasoning { text, signature, encrypted: None, dialect } => {
            events.push(start(BlockKind::Reasoning));
            if !text.is_empty() {
                events.push(StreamEvent::ReasoningDelta { index, text: text.clone() });
            }
            events.extend(signature.clone().map(|signature| {
                let dialect = dialect.clone().unwrap_or_default();
                StreamEvent::ReasoningSignature { index, signature, dialect }
            }));
        }
        Block::ToolCall { id, name, arguments, cache: None } => {
            events.push(start(BlockKind::ToolCall { id: id.clone(), name: name.clone() }));
            let arguments = arguments.clone();
            events.push(StreamEvent::ToolCallDelta { index, arguments });
        }
        whole => {
            let value = serde_json::to_value(whole).unwrap_or_default();
            events.push(start(BlockKind::Other(value)));
        }
    }
    events.push(StreamEvent::BlockStop { index });
}

/// A block that came whole. What is not a block of ours is kept as it stood.
fn whole(value: &Value) -> Block {
    serde_json::from_value(value.clone())
        .unwrap_or_else(|_| Block::Other { dialect: "unknown".into(), value: value.clone() })
}

fn text_of(block: &mut Block) -> Option<&mut String> {
    match block {
        Block::Text { text, .. } | Block::Reasoning { text, .. } | Block::Refusal { text } => {
            Some(text)
        }
        Block::ToolCall { arguments, .. } => Some(arguments),
        _ => None,
    }
}
