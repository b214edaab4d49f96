//! `reasoning_details` of a stream: which block an entry belongs to, and what a client is told.
//!
//! OpenRouter gives an entry in pieces that have the same `index` and type, first words, then
//! the signature; an encrypted entry comes in one piece. A client gets one entry a block, when
//! the block is over and it is known that there is more to it than words. The words are kept
//! until then, up to [`MAX_KEPT`] bytes.

use serde_json::Value;

use super::super::details::{self, DETAIL};
use crate::chat::Block;

/// Reasoning beyond that is told without its words in the details: the client has them as
/// `reasoning_content`.
const MAX_KEPT: usize = 4 * 1_024 * 1_024;

/// Reads a provider's entries.
#[derive(Debug, Default)]
pub(super) struct Details {
    /// The entries that the open block of reasoning came from, without their content.
    open: Vec<Value>,
    has_proof: bool,
    /// Length and fingerprint of the words that the open block has from elsewhere.
    plain: (usize, u64),
    /// Blocks of reasoning that are over.
    ordinal: u64,
    /// The item of OpenAI's Responses that the latest block is part of.
    item: Option<String>,
}

impl Details {
    pub(super) fn have_text(entries: &[Value]) -> bool {
        let text = |entry: &Value, key| {
            entry.get(key).and_then(Value::as_str).is_some_and(|text| !text.is_empty())
        };
        entries.iter().any(|entry| text(entry, "text") || text(entry, "summary"))
    }

    /// The open block got these words from beside the details.
    pub(super) fn read_plain(&mut self, text: &str) {
        let (length, hash) = self.plain;
        self.plain = (length.saturating_add(text.len()), fingerprint(hash, text));
    }

    /// The entry repeats what the open block has from beside the details, as our own streams
    /// do when they tell its signature.
    pub(super) fn repeats_plain(&self, text: &str) -> bool {
        self.open.is_empty() && self.plain == (text.len(), fingerprint(0, text))
    }

    /// The entry is more of the open block.
    pub(super) fn goes_on(&self, entry: &Value) -> bool {
        let Some(open) = self.open.last() else {
            return true;
        };
        let same = |key| match (open.get(key), entry.get(key)) {
            (Some(known), Some(found)) if !found.is_null() => known == found,
            _ => true,
        };
        same("index") && same("type")
    }

    /// The entry is the blob that proves the summary in the open block.
    pub(super) fn proves(&self, entry: &Value) -> bool {
        let [open] = self.open.as_slice() else {
            return false;
        };
        let same = |key: &str| open.get(key) == entry.get(key).filter(|value| !value.is_null());
        let format = entry.get("format").and_then(Value::as_str).map(details::dialect_of);
        format == Some(details::RESPONSES)
            && open.get("index").is_some()
            && ["index", "format", "id"].iter().all(|key| same(key))
    }

    /// The item that begins with the entry, if one does.
    pub(super) fn begin_item(&mut self, entry: &Value) -> Option<Block> {
        let found = details::item_id(entry);
        if found == self.item.as_deref() {
            return None;
        }
        self.item = found.map(str::to_owned);
        found.map(details::item_block)
    }

    /// Takes note of what an entry of the open block has besides its content.
    pub(super) fn read(&mut self, entry: Value, has_proof: bool) {
        self.has_proof |= has_proof;
        let skeleton = details::skeleton(entry, true);
        match (self.open.last_mut(), skeleton) {
            (Some(Value::Object(open)), Value::Object(fields))
                if open.get("type") == fields.get("type") =>
            {
                open.extend(fields);
            }
            (_, skeleton) => self.open.push(skeleton),
        }
    }

    /// The open block is over: its further fields.
    pub(super) fn close(&mut self) -> Option<Block> {
        self.plain = (0, 0);
        let open = std::mem::take(&mut self.open);
        let has_proof = std::mem::take(&mut self.has_proof);
        self.fields(open, has_proof)
    }

    /// The further fields of a block that came whole.
    pub(super) fn fields_of_whole(&mut self, entry: Value) -> Option<Block> {
        self.fields(vec![details::skeleton(entry, true)], true)
    }

    /// A proof says whose it is, and so does an item; else the format would be lost.
    fn fields(&mut self, open: Vec<Value>, has_proof: bool) -> Option<Block> {
        let ordinal = self.ordinal;
        self.ordinal += 1;
        let item = self.item.as_deref();
        let bare = |with_format: bool| -> Vec<Value> {
            open.iter().map(|entry| details::skeleton(entry.clone(), with_format)).collect()
        };
        let is_plain = open.is_empty()
            || details::are_plain(&bare(!has_proof && item.is_none()), ordinal, item);
        (!is_plain).then(|| details::fields_block(bare(!has_proof)))
    }
}

/// FNV-1a, 64 bits, going on from `hash`; 0 begins.
pub(super) fn fingerprint(hash: u64, text: &str) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    let start = if hash == 0 { BASIS } else { hash };
    text.bytes().fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Puts together what a client is told.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// The latest block of reasoning.
    block: Option<Block>,
    fields: Option<Block>,
    ordinal: u64,
    kept: usize,
    /// The item of OpenAI's Responses that the latest block is part of.
    item: Option<String>,
}

impl Outgoing {
    /// A block of reasoning begins.
    pub(super) fn start(&mut self) {
        self.block = Some(Block::reasoning(""));
    }

    pub(super) fn text(&mut self, more: &str) {
        if let Some(Block::Reasoning { text, .. }) = &mut self.block {
            self.kept = self.kept.saturating_add(more.len());
            match self.kept <= MAX_KEPT {
                true => text.push_str(more),
                false => text.clear(),
            }
        }
    }

    pub(super) fn sign(&mut self, more: &str, whose: &str) {
        if let Some(Block::Reasoning { signature, dialect, .. }) = &mut self.block {
            signature.get_or_insert_default().push_str(more);
            *dialect = (!whose.is_empty()).then(|| whose.to_owned());
        }
    }

    /// A block of another kind begins.
    pub(super) fn leave_item(&mut self) {
        self.item = None;
    }

    /// Takes a block that came whole, if it has a place among the details.
    pub(super) fn whole(&mut self, block: Block) {
        match &block {
            Block::Reasoning { .. } => self.block = Some(block),
            Block::Other { dialect, .. } if dialect == DETAIL => self.block = Some(block),
            block => self.item = details::item_of(block).map(str::to_owned),
        }
    }

    /// Takes the further fields of the latest block; false if they are of another block.
    pub(super) fn fields(&mut self, block: &Block) -> bool {
        let is_ours =
            matches!(block, Block::Other { value, .. } if value.get(details::KEY).is_some());
        if is_ours {
            self.fields = Some(block.clone());
        }
        is_ours
    }

    /// The latest block is over: the entries to be told of it.
    pub(super) fn finish(&mut self) -> Vec<Value> {
        let (Some(block), fields) = (self.block.take(), self.fields.take()) else {
            return Vec::new();
        };
        self.kept = 0;
        if let Block::Reasoning { dialect, .. } = &block
            && !details::may_be_of_item(dialect.as_deref())
        {
            self.item = None;
        }
        let blocks: Vec<Block> = [block].into_iter().chain(fields).collect();
        let item = self.item.as_deref();
        let entries = match blocks.as_slice() {
            blocks if item.is_none() && !details::are_needed(blocks) => Vec::new(),
            [block @ Block::Reasoning { .. }, fields @ ..] => {
                details::encode(block, fields.first(), self.ordinal, item)
            }
            blocks => details::encode_all(blocks),
        };
        let is_reasoning = matches!(blocks.first(), Some(Block::Reasoning { .. }));
        self.ordinal += u64::from(is_reasoning);
        entries
    }
}
