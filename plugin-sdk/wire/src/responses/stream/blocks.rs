//! Blocks of a stream in the order they begin in, and the markers between them.

use serde_json::{Map, Value};

use super::super::{ITEM_FIELDS, PART};
use crate::chat::Block;
use crate::event::{BlockKind, StreamEvent};

/// Blocks get their numbers in the order they begin in.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    pub(super) next: u32,
    /// The last block belongs to content or reasoning that the next would run together with.
    last: Last,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    #[default]
    Item,
    Content,
    Reasoning,
}

impl Blocks {
    pub(super) fn is_empty(&self) -> bool {
        self.next == 0
    }

    pub(super) fn start(&mut self, kind: BlockKind, events: &mut Vec<StreamEvent>) -> u32 {
        let index = self.next;
        self.next = self.next.saturating_add(1);
        self.last = match &kind {
            BlockKind::Text | BlockKind::Refusal => Last::Content,
            BlockKind::Reasoning => Last::Reasoning,
            BlockKind::ToolCall { .. } | BlockKind::Other(_) => Last::Item,
        };
        events.push(StreamEvent::BlockStart { index, kind });
        index
    }

    pub(super) fn whole(&mut self, block: &Block, events: &mut Vec<StreamEvent>) {
        let value = serde_json::to_value(block).unwrap_or_default();
        let index = self.start(BlockKind::Other(value), events);
        self.last = match block {
            Block::Reasoning { .. } => Last::Reasoning,
            Block::Other { dialect, .. } if dialect == PART => Last::Content,
            _ => Last::Item,
        };
        events.push(StreamEvent::BlockStop { index });
    }

    pub(super) fn marker(
        &mut self,
        fields: Map<String, Value>,
        before: Last,
        events: &mut Vec<StreamEvent>,
    ) {
        if !fields.is_empty() || (before != Last::Item && self.last == before) {
            let value = Value::Object(fields);
            self.whole(&Block::Other { dialect: ITEM_FIELDS.into(), value }, events);
        }
    }
}
