//! OpenRouter's `reasoning_details`: reasoning with signatures and encrypted parts.
//!
//! An entry is `reasoning.text` (`text`, `signature`), `reasoning.summary` (`summary`) or
//! `reasoning.encrypted` (`data`), each with `format` (whose it is), `index` and `id`.
//! Entries become reasoning blocks and blocks become entries; what an entry has besides, such
//! as its `id`, stands in a block of [`FIELDS`] just after, so that it is written as it was
//! read. An entry of another type is a block of its own.
//! Source: <https://openrouter.ai/docs/guides/best-practices/reasoning-tokens>.

use serde_json::{Map, Value, json};

use super::FIELDS;
use crate::chat::Block;
use crate::origin;

/// `dialect` of an entry of another type, kept as it stood.
pub(super) const DETAIL: &str = "openai-chat-reasoning-detail";
/// The key, in messages and in blocks of [`FIELDS`].
pub(super) const KEY: &str = "reasoning_details";

/// OpenRouter's names of formats and the payload's names of dialects.
const FORMATS: [(&str, &str); 3] = [
    ("anthropic-claude-v1", "anthropic-messages"),
    ("openai-responses-v1", "openai-responses"),
    ("google-gemini-v1", "gemini"),
];
/// Its reasoning is a summary and a blob.
pub(super) const RESPONSES: &str = "openai-responses";
/// `dialect` of the block that begins an item there: its id has to go back with the blob.
const ITEM: &str = crate::responses::ITEM_FIELDS;
const SUMMARY: &str = "reasoning.summary";
const ENCRYPTED: &str = "reasoning.encrypted";

/// Whose reasoning of that format is. A format without a name here is its own name.
pub(super) fn dialect_of(format: &str) -> &str {
    FORMATS.iter().find(|(name, _)| *name == format).map_or(format, |(_, dialect)| dialect)
}

fn format_of(dialect: &str) -> &str {
    FORMATS.iter().find(|(_, name)| *name == dialect).map_or(dialect, |(format, _)| format)
}

/// OpenRouter knows what to do with signatures of that dialect.
pub(super) fn is_routable(dialect: &str) -> bool {
    let is_version = |tail: &str| !tail.is_empty() && tail.bytes().all(|b| b.is_ascii_digit());
    format_of(dialect).rsplit_once("-v").is_some_and(|(_, tail)| is_version(tail))
}

/// Some reasoning has more to it than its text.
pub(super) fn are_needed(blocks: &[Block]) -> bool {
    let with_next = blocks.iter().enumerate().map(|(at, block)| (block, blocks.get(at + 1)));
    with_next.into_iter().any(|(block, next)| match block {
        Block::Reasoning { signature, encrypted, .. } => {
            signature.is_some() || encrypted.is_some() || skeletons(next).is_some()
        }
        Block::Other { dialect, .. } if dialect == DETAIL => true,
        Block::Other { .. } => {
            item_of(block).is_some() && matches!(next, Some(Block::Reasoning { .. }))
        }
        _ => false,
    })
}

/// The entries of all reasoning in a message.
pub(super) fn encode_all(blocks: &[Block]) -> Vec<Value> {
    let mut entries = Vec::new();
    let mut ordinal = 0;
    let mut item = None;
    for (at, block) in blocks.iter().enumerate() {
        match block {
            Block::Reasoning { dialect, .. } => {
                item = item.filter(|_| may_be_of_item(dialect.as_deref()));
                entries.extend(encode(block, blocks.get(at + 1), ordinal, item));
                ordinal += 1;
            }
            Block::Other { dialect, value } if dialect == DETAIL => entries.push(value.clone()),
            Block::Other { dialect, .. } if dialect == FIELDS => {}
            block => item = item_of(block),
        }
    }
    entries
}

/// The id of the item of OpenAI's Responses that begins with the block.
pub(super) fn item_of(block: &Block) -> Option<&str> {
    match block {
        Block::Other { dialect, value } if dialect == ITEM => value.get("id")?.as_str(),
        _ => None,
    }
}

/// Reasoning of that dialect can be part of such an item.
pub(super) fn may_be_of_item(dialect: Option<&str>) -> bool {
    dialect.is_none_or(|dialect| dialect == RESPONSES)
}

/// The block that begins such an item.
pub(super) fn item_block(id: &str) -> Block {
    Block::Other { dialect: ITEM.into(), value: json!({ "id": id }) }
}

/// The entries of one block of reasoning, the `ordinal`th of its message. `next` is the block
/// after it, `item` the id of the item of OpenAI's Responses that it is part of.
pub(super) fn encode(
    block: &Block,
    next: Option<&Block>,
    ordinal: u64,
    item: Option<&str>,
) -> Vec<Value> {
    let Some(skeletons) = skeletons(next) else {
        return generated(block, ordinal, item);
    };
    let Block::Reasoning { text, signature, encrypted, dialect } = block else {
        return Vec::new();
    };
    let is_summary = dialect.as_deref() == Some(RESPONSES);
    let text = Some(text.as_str()).filter(|text| !text.is_empty());
    let mut entries = Vec::with_capacity(skeletons.len());
    for skeleton in skeletons {
        let mut entry = skeleton.as_object().cloned().unwrap_or_default();
        match entry.get("type").and_then(Value::as_str) {
            Some("reasoning.summary") => insert(&mut entry, "summary", text),
            Some("reasoning.encrypted") => {
                let blob = signature.as_ref().filter(|_| is_summary).or(encrypted.as_ref());
                insert(&mut entry, "data", blob.map(String::as_str));
            }
            _ => {
                insert(&mut entry, "text", text);
                let signature = signature.as_deref().filter(|_| !is_summary);
                insert(&mut entry, "signature", signature);
            }
        }
        if !entry.contains_key("format") {
            insert(&mut entry, "format", dialect.as_deref().map(format_of));
        }
        entries.push(Value::Object(entry));
    }
    entries
}

/// The entries of a block of which nothing more is known.
fn generated(block: &Block, ordinal: u64, item: Option<&str>) -> Vec<Value> {
    let Block::Reasoning { text, signature, encrypted, dialect } = block else {
        return Vec::new();
    };
    let is_summary = match dialect.as_deref() {
        None => item.is_some(),
        Some(dialect) => dialect == RESPONSES,
    };
    let dialect = if is_summary { Some(RESPONSES) } else { dialect.as_deref() };
    let item = item.filter(|_| is_summary);
    // A summary has no signature: what came as one is the blob.
    let (signature, data) = match is_summary {
        true => (None, encrypted.as_deref().or(signature.as_deref())),
        false => (signature.as_deref(), encrypted.as_deref()),
    };
    let mut entries = Vec::new();
    let mut push = |kind: &str, fields: [(&str, Option<&str>); 2]| {
        let mut entry = Map::from_iter([("type".to_owned(), Value::from(kind))]);
        for (key, value) in fields {
            insert(&mut entry, key, value);
        }
        insert(&mut entry, "id", item);
        insert(&mut entry, "format", dialect.map(format_of));
        entry.insert("index".into(), ordinal.into());
        entries.push(Value::Object(entry));
    };
    if !text.is_empty() || signature.is_some() || data.is_none() {
        let text = Some(text.as_str()).filter(|text| !text.is_empty());
        match is_summary {
            true => push("reasoning.summary", [("summary", text), ("signature", None)]),
            false => push("reasoning.text", [("text", text), ("signature", signature)]),
        }
    }
    if data.is_some() {
        push("reasoning.encrypted", [("data", data), ("signature", None)]);
    }
    entries
}

/// The blocks that a message's entries mean.
pub(super) fn decode_all(entries: Vec<Value>) -> Vec<Block> {
    let mut found: Vec<(Block, Vec<Value>)> = Vec::with_capacity(entries.len());
    for entry in entries {
        let Some(block) = decode(&entry) else {
            found.push((Block::Other { dialect: DETAIL.into(), value: entry }, Vec::new()));
            continue;
        };
        match found.last_mut() {
            Some((before, parts)) if completes(&entry, &block, before, parts) => {
                complete(before, block);
                parts.push(without_nulls(entry));
            }
            _ => found.push((block, vec![without_nulls(entry)])),
        }
    }
    let mut blocks = Vec::with_capacity(found.len());
    let mut ordinal = 0;
    let mut item: Option<String> = None;
    for (block, entries) in found {
        let is_reasoning = matches!(block, Block::Reasoning { .. });
        let found = entries.first().and_then(item_id);
        if found != item.as_deref() {
            item = found.map(str::to_owned);
            blocks.extend(item.as_deref().map(item_block));
        }
        let fields = fields(&block, entries, ordinal, item.as_deref());
        blocks.push(block);
        blocks.extend(fields);
        ordinal += u64::from(is_reasoning);
    }
    blocks
}

/// The id of the item of OpenAI's Responses that an entry is of.
pub(super) fn item_id(entry: &Value) -> Option<&str> {
    let is_responses = entry.get("format")?.as_str().map(dialect_of) == Some(RESPONSES);
    entry.get("id")?.as_str().filter(|_| is_responses)
}

/// Brings together the details and the plain text beside them. False if the text is another
/// than that of the details.
pub(super) fn merge_text(blocks: &mut Vec<Block>, text: &str) -> bool {
    let mut told = String::new();
    for block in blocks.iter() {
        if let Block::Reasoning { text, .. } = block {
            told.push_str(text);
        }
    }
    if !told.is_empty() || text.is_empty() {
        return told == text;
    }
    let unread = blocks.iter_mut().find_map(|block| match block {
        Block::Reasoning { text, signature: Some(_), .. } => Some(text),
        _ => None,
    });
    match unread {
        Some(place) => text.clone_into(place),
        None => blocks.insert(0, Block::reasoning(text)),
    }
    true
}

/// The block that one entry means, if it is of a type that is known.
pub(super) fn decode(entry: &Value) -> Option<Block> {
    let text = |key: &str| entry.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let (key, signature, encrypted) = match text("type")? {
        "reasoning.text" => ("text", text("signature"), None),
        "reasoning.summary" => ("summary", None, None),
        "reasoning.encrypted" => ("", None, text("data")),
        _ => return None,
    };
    let (signed_by, signature) = signature.map(origin::open).unzip();
    let (sealed_by, encrypted) = encrypted.map(origin::open).unzip();
    let sealed = signed_by.or(sealed_by).flatten();
    let has_proof = signature.is_some() || encrypted.is_some();
    let dialect = sealed.or_else(|| text("format").map(dialect_of)).filter(|_| has_proof);
    Some(Block::Reasoning {
        text: text(key).unwrap_or_default().to_owned(),
        signature: signature.map(str::to_owned),
        encrypted: encrypted.map(str::to_owned),
        dialect: dialect.map(str::to_owned),
    })
}

/// The entry is the encrypted form of what the entry before says in words.
fn completes(entry: &Value, block: &Block, before: &Block, parts: &[Value]) -> bool {
    let (
        Block::Reasoning { encrypted: Some(_), .. },
        Block::Reasoning { encrypted: None, .. },
        [part],
    ) = (block, before, parts)
    else {
        return false;
    };
    let stated = |key: &str| entry.get(key).filter(|value| !value.is_null());
    stated("index").is_some()
        && ["index", "format", "id"].iter().all(|key| stated(key) == part.get(*key))
}

/// Adds the encrypted form. Where it proves a summary it is a signature in the payload: see
/// `responses::reasoning`.
fn complete(before: &mut Block, block: Block) {
    let (
        Block::Reasoning { text, signature: sign, encrypted: place, dialect: whose },
        Block::Reasoning { encrypted, dialect, .. },
    ) = (before, block)
    else {
        return;
    };
    match dialect.as_deref() == Some(RESPONSES) && !text.is_empty() {
        true => *sign = encrypted,
        false => *place = encrypted,
    }
    *whose = dialect;
}

/// What the entries have beyond what would be written of the block anyway.
fn fields(block: &Block, entries: Vec<Value>, ordinal: u64, item: Option<&str>) -> Option<Block> {
    if entries.is_empty() || entries == generated(block, ordinal, item) {
        return None;
    }
    let Block::Reasoning { dialect, .. } = block else {
        return None;
    };
    let with_format = dialect.is_none();
    let skeletons = entries.into_iter().map(|entry| skeleton(entry, with_format));
    Some(fields_block(skeletons.collect()))
}

pub(super) fn fields_block(skeletons: Vec<Value>) -> Block {
    Block::Other { dialect: FIELDS.into(), value: json!({ KEY: skeletons }) }
}

/// An entry without its content; `with_format` keeps whose it is.
pub(super) fn skeleton(mut entry: Value, with_format: bool) -> Value {
    if let Some(fields) = entry.as_object_mut() {
        for key in ["text", "summary", "data", "signature"] {
            fields.shift_remove(key);
        }
        if !with_format {
            fields.shift_remove("format");
        }
        fields.retain(|_, value| !value.is_null());
    }
    entry
}

/// The skeletons say no more than what would be written anyway.
pub(super) fn are_plain(skeletons: &[Value], ordinal: u64, item: Option<&str>) -> bool {
    let expected: &[&[&str]] = match item {
        Some(_) => &[&[SUMMARY], &[SUMMARY, ENCRYPTED], &[ENCRYPTED]],
        None => &[&["reasoning.text"], &[ENCRYPTED]],
    };
    expected.iter().any(|kinds| {
        kinds.len() == skeletons.len()
            && kinds.iter().zip(skeletons).all(|(kind, skeleton)| {
                let mut plain = json!({"type": kind, "index": ordinal});
                if let (Some(id), Some(fields)) = (item, plain.as_object_mut()) {
                    fields.insert("id".into(), id.into());
                }
                *skeleton == plain
            })
    })
}

fn skeletons(next: Option<&Block>) -> Option<&Vec<Value>> {
    match next {
        Some(Block::Other { dialect, value }) if dialect == FIELDS => value.get(KEY)?.as_array(),
        _ => None,
    }
}

fn without_nulls(mut entry: Value) -> Value {
    if let Some(fields) = entry.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    entry
}

fn insert(entry: &mut Map<String, Value>, key: &str, value: Option<&str>) {
    if let Some(value) = value {
        entry.insert(key.to_owned(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(text: &str, signature: &str, dialect: &str) -> Block {
        Block::Reasoning {
            text: text.into(),
            signature: Some(signature.into()),
            encrypted: None,
            dialect: Some(dialect.into()),
        }
    }

    #[test]
    fn blocks_of_any_dialect_come_back_as_they_were() {
        let encrypted = |text: &str, dialect: Option<&str>| Block::Reasoning {
            text: text.into(),
            signature: None,
            encrypted: Some("blob".into()),
            dialect: dialect.map(Into::into),
        };
        let blocks = vec![
            signed("a", "s", "anthropic-messages"),
            encrypted("", Some("anthropic-messages")),
            signed("summary", "blob", "openai-responses"),
            item_block("rs_1"),
            Block::reasoning("one"),
            signed("two", "blob", "openai-responses"),
            item_block("rs_2"),
            encrypted("", Some("openai-responses")),
            signed("b", "t", "bedrock-converse"),
            encrypted("c", None),
            Block::reasoning("unsigned"),
        ];
        assert!(are_needed(&blocks));
        assert_eq!(decode_all(encode_all(&blocks)), blocks);
    }

    #[test]
    fn entries_of_openrouter_come_back_as_they_were() {
        let entries = json!([
            {"type": "reasoning.summary", "summary": "s", "id": "rs_1", "format": "openai-responses-v1", "index": 0},
            {"type": "reasoning.encrypted", "data": "blob", "id": "rs_1", "format": "openai-responses-v1", "index": 0},
            {"type": "reasoning.text", "text": "t", "signature": "x", "format": "anthropic-claude-v1", "index": 1},
            {"type": "reasoning.encrypted", "data": "d", "id": "tool_1", "format": "google-gemini-v1"},
            {"type": "reasoning.server_tool_call", "name": "search"},
            {"type": "reasoning.text", "text": "u", "format": "xai-responses-v1", "index": 9}]);
        let Value::Array(list) = entries.clone() else { unreachable!() };
        let blocks = decode_all(list);
        let summary = [item_block("rs_1"), signed("s", "blob", "openai-responses")];
        assert_eq!(blocks.get(..2), Some(&summary[..]));
        assert_eq!(Value::Array(encode_all(&blocks)), entries);
    }

    #[test]
    fn sealed_signature_names_its_dialect() {
        let sealed = origin::seal("gemini", "sig");
        let entry = json!({"type": "reasoning.text", "text": "t", "signature": sealed});
        assert_eq!(decode(&entry), Some(signed("t", "sig", "gemini")));
    }

    #[test]
    fn only_formats_of_openrouter_are_routable() {
        for dialect in ["anthropic-messages", "openai-responses", "gemini", "xai-responses-v1"] {
            assert!(is_routable(dialect), "{dialect}");
        }
        for dialect in ["bedrock-converse", "openai-chat", "x-v", ""] {
            assert!(!is_routable(dialect), "{dialect}");
        }
    }
}
