//! Items of an answer to a client, put together from blocks.
//!
//! [`Items`] decides where an item begins: at a marker, at a call, when the kind of content
//! changes, and after signed reasoning. An item that no provider named gets an id that is the
//! same for the same answer and place, and that [`is_generated`] knows again.

use serde_json::{Map, Value, json};

use super::{REASONING_TEXT, part};
use crate::chat::{Block, FinishReason};

/// Stands in ids of the gateway's own, so that no provider is sent them as its own.
const GENERATED: &str = "_torana";

/// The gateway made this id up: no provider knows it.
pub(super) fn is_generated(id: &str) -> bool {
    id.split_once(GENERATED).is_some_and(|(kind, _)| kind.len() <= 4)
}

/// One item of `output`.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) id: String,
    /// Further fields, such as `phase`.
    fields: Map<String, Value>,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    Message(Vec<Part>),
    Reasoning { summary: Vec<String>, text: Vec<String>, blob: Option<String> },
    Call { call_id: String, name: String, arguments: String },
    Whole(Value),
}

/// One part of a message.
#[derive(Debug)]
pub(super) enum Part {
    Text { text: String, extra: Map<String, Value> },
    Refusal(String),
    Other(Value),
}

impl Part {
    pub(super) fn value(&self) -> Value {
        match self {
            Self::Text { text, extra } => Value::Object(part::output_text(text, extra)),
            Self::Refusal(text) => json!({"type": "refusal", "refusal": text}),
            Self::Other(value) => value.clone(),
        }
    }
}

/// `status`, and why it is not `completed`. A reason that the wire has no word for stands
/// there as it is, except that a refusal by the safety system is a content filter.
pub(super) fn status_of(reason: Option<&FinishReason>) -> (&'static str, Option<&str>) {
    match reason {
        Some(FinishReason::Length) => ("incomplete", Some("max_output_tokens")),
        Some(FinishReason::ContentFilter | FinishReason::Refusal) => {
            ("incomplete", Some("content_filter"))
        }
        Some(FinishReason::Other(state)) if state == "queued" => ("queued", None),
        Some(FinishReason::Other(state)) if state == "in_progress" => ("in_progress", None),
        Some(FinishReason::Other(reason)) => ("incomplete", Some(reason)),
        Some(FinishReason::Stop | FinishReason::ToolCalls) | None => ("completed", None),
    }
}

/// Items in the order of the answer.
#[derive(Debug, Default)]
pub(super) struct Items {
    seed: u64,
    all: Vec<Item>,
    /// Fields of the item that begins next.
    pending: Option<Map<String, Value>>,
    /// The item that the next part may belong to.
    current: Option<usize>,
    /// Reasoning goes under `content` instead of `summary`.
    as_text: bool,
}

impl Items {
    /// `answer` is the id of the answer, from which ids of items are made.
    pub(super) fn new(answer: &str) -> Self {
        Self { seed: fingerprint(answer), ..Self::default() }
    }

    pub(super) fn get(&self, item: usize) -> Option<&Item> {
        self.all.get(item)
    }

    pub(super) fn get_mut(&mut self, item: usize) -> Option<&mut Item> {
        self.all.get_mut(item)
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn current(&self) -> Option<usize> {
        self.current
    }

    /// A marker: the next block begins an item with these fields, unless it goes on with the
    /// other half of the same reasoning.
    pub(super) fn mark(&mut self, mut fields: Map<String, Value>) {
        self.as_text = fields.shift_remove(REASONING_TEXT) == Some(Value::Bool(true));
        let current = self.current.and_then(|item| self.all.get(item));
        let goes_on = self.as_text
            && current.is_some_and(|item| {
                let id = fields.get("id").and_then(Value::as_str);
                let is_open = matches!(&item.content,
                    Content::Reasoning { text, blob: None, .. } if text.is_empty());
                is_open && id == Some(item.id.as_str())
            });
        if !goes_on {
            self.current = None;
            self.pending = Some(fields);
        }
    }

    /// Adds a part to the message at hand or to a new one: its item and its place there.
    pub(super) fn message_part(&mut self, part: Part) -> (usize, usize) {
        let is_open = |item: &Item| matches!(item.content, Content::Message(_));
        let item = self.continued_or(is_open, "msg", || Content::Message(Vec::new()));
        match self.all.get_mut(item).map(|item| &mut item.content) {
            Some(Content::Message(parts)) => {
                parts.push(part);
                (item, parts.len() - 1)
            }
            _ => (item, 0),
        }
    }

    /// Adds a piece of reasoning: its item, its place there, and whether under `content`.
    pub(super) fn reasoning_part(&mut self) -> (usize, usize, bool) {
        let is_open = |item: &Item| matches!(item.content, Content::Reasoning { blob: None, .. });
        if !self.current.and_then(|item| self.all.get(item)).is_some_and(is_open)
            && self.pending.is_none()
        {
            self.as_text = false;
        }
        let as_text = self.as_text;
        let item = self.continued_or(is_open, "rs", || Content::Reasoning {
            summary: Vec::new(),
            text: Vec::new(),
            blob: None,
        });
        match self.all.get_mut(item).map(|item| &mut item.content) {
            Some(Content::Reasoning { summary, text, .. }) => {
                let parts = if as_text { text } else { summary };
                parts.push(String::new());
                (item, parts.len() - 1, as_text)
            }
            _ => (item, 0, as_text),
        }
    }

    /// Reasoning that cannot be read: an item without parts.
    pub(super) fn encrypted(&mut self, blob: String) -> usize {
        let content =
            Content::Reasoning { summary: Vec::new(), text: Vec::new(), blob: Some(blob) };
        let item = self.begin("rs", content);
        self.current = None;
        item
    }

    pub(super) fn call(&mut self, call_id: &str, name: &str) -> usize {
        let content = Content::Call {
            call_id: call_id.to_owned(),
            name: name.to_owned(),
            arguments: String::new(),
        };
        let item = self.begin("fc", content);
        self.current = None;
        item
    }

    pub(super) fn whole(&mut self, value: Value) -> usize {
        let item = self.begin("item", Content::Whole(value));
        self.current = None;
        item
    }

    /// An image that the model made, as the tool that makes images would have given it.
    pub(super) fn image(&mut self, data: &str) -> usize {
        let item = self.whole(Value::Null);
        if let Some(item) = self.all.get_mut(item) {
            item.id = item.id.replacen("item", "ig", 1);
            item.content = Content::Whole(json!({
                "id": item.id, "type": "image_generation_call", "status": "completed",
                "result": data,
            }));
        }
        item
    }

    /// Takes a block that came whole, where an item is to begin at the latest.
    pub(super) fn block(&mut self, block: &Block) {
        match block {
            Block::Text { text, extra, .. } => {
                self.message_part(Part::Text { text: text.clone(), extra: extra.clone() });
            }
            Block::Refusal { text } => {
                self.message_part(Part::Refusal(text.clone()));
            }
            Block::Reasoning { text, signature, encrypted, dialect } => {
                let blob = super::reasoning::sealed(
                    signature.as_deref(),
                    encrypted.as_deref(),
                    dialect.as_deref(),
                );
                self.reasoning(text, blob);
            }
            Block::ToolCall { id, name, arguments, .. } => {
                let item = self.call(id, name);
                if let Some(Content::Call { arguments: target, .. }) =
                    self.all.get_mut(item).map(|item| &mut item.content)
                {
                    target.push_str(arguments);
                }
            }
            Block::Media {
                kind: crate::chat::MediaKind::Image,
                source: crate::chat::MediaSource::Inline { data },
                ..
            } => {
                self.image(data);
            }
            Block::Other { dialect, value } => self.other(dialect, value),
            Block::Media { .. } | Block::ToolResult { .. } => {}
        }
    }

    fn reasoning(&mut self, text: &str, blob: Option<String>) {
        if text.is_empty()
            && let Some(blob) = blob
        {
            self.encrypted(blob);
            return;
        }
        if text.is_empty() {
            (self.pending, self.current) = (None, None);
            return;
        }
        let (item, place, as_text) = self.reasoning_part();
        if let Some(Content::Reasoning { summary, text: texts, blob: target }) =
            self.all.get_mut(item).map(|item| &mut item.content)
        {
            let parts = if as_text { texts } else { summary };
            if let Some(part) = parts.get_mut(place) {
                part.push_str(text);
            }
            if blob.is_some() {
                *target = blob;
                self.current = None;
            }
        }
    }

    fn other(&mut self, dialect: &str, value: &Value) {
        match (dialect, value) {
            (super::ITEM_FIELDS, Value::Object(fields)) => self.mark(fields.clone()),
            (super::DIALECT, value) => {
                self.whole(value.clone());
            }
            (super::PART, value) => {
                self.message_part(Part::Other(value.clone()));
            }
            _ => {}
        }
    }

    /// All items; the last one may be cut short.
    pub(super) fn values(&self, status: &str) -> Vec<Value> {
        let last = self.all.len().saturating_sub(1);
        let status = if status == "incomplete" { status } else { "completed" };
        let of = |place: usize| if place == last { status } else { "completed" };
        self.all.iter().enumerate().map(|(place, item)| item.value(of(place))).collect()
    }

    fn continued_or(
        &mut self,
        is_open: impl Fn(&Item) -> bool,
        prefix: &str,
        content: impl FnOnce() -> Content,
    ) -> usize {
        let current = self.current.filter(|item| self.all.get(*item).is_some_and(is_open));
        match current.filter(|_| self.pending.is_none()) {
            Some(item) => item,
            None => {
                let item = self.begin(prefix, content());
                self.current = Some(item);
                item
            }
        }
    }

    fn begin(&mut self, prefix: &str, content: Content) -> usize {
        let place = self.all.len();
        let mut fields = self.pending.take().unwrap_or_default();
        let named = match fields.shift_remove("id") {
            Some(Value::String(id)) if !id.is_empty() => Some(id),
            _ => None,
        };
        let id = named.unwrap_or_else(|| {
            // Short, as OpenAI takes back at most 64 characters.
            format!("{prefix}{GENERATED}{:016x}{place:04x}", self.seed)
        });
        self.all.push(Item { id, fields, content });
        place
    }
}

impl Item {
    /// The item as it stands in `output`.
    pub(super) fn value(&self, status: &str) -> Value {
        let mut item = Map::new();
        let mut put = |key: &str, value: Value| {
            item.insert(key.into(), value);
        };
        put("id", self.id.as_str().into());
        match &self.content {
            Content::Message(parts) => {
                put("type", "message".into());
                put("status", status.into());
                put("role", "assistant".into());
                put("content", parts.iter().map(Part::value).collect());
            }
            Content::Reasoning { summary, text, blob } => {
                put("type", "reasoning".into());
                put("summary", texts("summary_text", summary));
                if !text.is_empty() {
                    put("content", texts("reasoning_text", text));
                }
                if let Some(blob) = blob {
                    put("encrypted_content", blob.as_str().into());
                }
            }
            Content::Call { call_id, name, arguments } => {
                put("type", "function_call".into());
                put("status", status.into());
                put("call_id", call_id.as_str().into());
                put("name", name.as_str().into());
                put("arguments", arguments.as_str().into());
            }
            Content::Whole(value) => return value.clone(),
        }
        for (key, value) in &self.fields {
            item.entry(key.clone()).or_insert_with(|| value.clone());
        }
        Value::Object(item)
    }

    /// The item as it stands before anything of it has come.
    pub(super) fn empty_value(&self) -> Value {
        let content = match &self.content {
            Content::Message(_) => Content::Message(Vec::new()),
            Content::Reasoning { .. } => {
                Content::Reasoning { summary: Vec::new(), text: Vec::new(), blob: None }
            }
            Content::Call { call_id, name, .. } => Content::Call {
                call_id: call_id.clone(),
                name: name.clone(),
                arguments: String::new(),
            },
            Content::Whole(value) => return value.clone(),
        };
        let empty = Self { id: self.id.clone(), fields: self.fields.clone(), content };
        empty.value("in_progress")
    }
}

fn texts(kind: &str, parts: &[String]) -> Value {
    parts.iter().map(|text| json!({"type": kind, "text": text})).collect()
}

/// FNV-1a, 64 bits: short, and the same on every machine.
fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
